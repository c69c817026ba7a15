/* Writing a record: an SQLite file in WAL mode, one transaction at a time.
 *
 * Everything here may wait for the disk: it belongs to the recorder's thread. */
#ifndef RECORD_STORE_H
#define RECORD_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "feed/ring.h"
#include "latent.h"
#include "record/place.h"
#include "why/explain.h"

#define STORE_WAL_BYTES (32u << 20) /* above it somebody reads for too long: another file is due */

/* What the record is of; copied into the file. */
struct store_about {
    const char *stream, *config; /* configuration text in force */
    const struct latent_info *info;
    const char *mode, *precision, *session; /* session: NULL: the file has none */
    uint64_t decoder_id, clock_id;
    uint32_t contract;
    const char *continues; /* the file that this one goes on from; NULL: it is the first */
    uint64_t file;         /* number among those of the record, from 1 */
};

enum store_result {
    STORE_OK = 0,
    STORE_BUSY,   /* somebody else holds the file: try again */
    STORE_FULL,   /* no space; nothing of this transaction is in the file */
    STORE_FAILED, /* anything else, likewise */
};

struct store;

/* Can this build write records? 0, or negative and a text. */
int store_possible(struct latent_error *err);
/* A new file; one that exists is refused, and so is one that an old -wal would be taken for. 0, or
 * negative and a text. */
int store_create(struct store **out, const char *path, const struct store_about *about,
                 struct latent_error *err);
/* BUSY leaves no transaction open. */
enum store_result store_begin(struct store *s);
/* The next record of the ring. */
enum store_result store_put(struct store *s, const struct ring_record *record);
/* A late bin and what it waited for; within a transaction, between entries. */
enum store_result store_put_late(struct store *s, const struct why_bin *b);
/* to_disk: also against a loss of power. BUSY leaves the transaction open. */
enum store_result store_commit(struct store *s, bool to_disk);
/* Between transactions: from the WAL into the file what is due. What readers or a full disk forbid
 * stays in the WAL, and is no error. */
enum store_result store_checkpoint(struct store *s);
void store_rollback(struct store *s);
/* What went wrong at last. */
const char *store_text(const struct store *s);
/* Between transactions: are the files still where they were, and whole? store_text says what is
 * not. MOVED: what was written can still be read, and written, through this store. */
enum place_found store_look(struct store *s);
uint64_t store_wal_bytes(const struct store *s);
/* The record's name now; false: it has none. */
bool store_name(const struct store *s, char *path, size_t n);
/* After the last commit: note that nothing is missing at the end. */
void store_finish(struct store *s);
/* Folds the WAL into the file, as far as the disk lets it. NULL is allowed. */
void store_close(struct store *s);
/* Of a record that was MOVED: folds the WAL into it wherever it is, and closes it. BUSY, FAILED:
 * not all of it could be; still open. */
enum store_result store_fold(struct store *s);
/* Of a record that is GONE: a new file with all that was committed, read through what from has
 * open; nothing is said of its end yet. 0; or negative and a text, and there is no new file. */
int store_rescue(struct store **out, struct store *from, const char *path,
                 const struct store_about *about, struct latent_error *err);
/* Close one that was rescued, and remove its own -wal, which would be taken for a part of whatever
 * has its name now. */
void store_forget(struct store *s);
/* Close it, and touch none of its files: they are not what they were. */
void store_abandon(struct store *s);

#endif

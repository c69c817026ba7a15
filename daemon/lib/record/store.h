/* Writing a record: an SQLite file in WAL mode, one transaction at a time.
 *
 * Everything here may wait for the disk: it belongs to the recorder's thread. */
#ifndef RECORD_STORE_H
#define RECORD_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "feed/ring.h"
#include "latent.h"

/* What the record is of; copied into the file. */
struct store_about {
    const char *stream, *config; /* configuration text in force */
    const struct latent_info *info;
    const char *mode, *precision;
    uint64_t decoder_id, clock_id;
    uint32_t contract;
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
/* A new file; one that exists is refused. 0, or negative and a text. */
int store_create(struct store **out, const char *path, const struct store_about *about,
                 struct latent_error *err);
/* BUSY leaves no transaction open. */
enum store_result store_begin(struct store *s);
/* The next record of the ring. */
enum store_result store_put(struct store *s, const struct ring_record *record);
/* to_disk: also against a loss of power. BUSY leaves the transaction open. */
enum store_result store_commit(struct store *s, bool to_disk);
void store_rollback(struct store *s);
/* What went wrong at last. */
const char *store_text(const struct store *s);
/* Bytes on the disk of the file, open or closed. */
uint64_t store_bytes(const char *path);
/* After the last commit: note that nothing is missing at the end. */
void store_finish(struct store *s);
/* Folds the WAL into the file, as far as the disk lets it. NULL is allowed. */
void store_close(struct store *s);

#endif

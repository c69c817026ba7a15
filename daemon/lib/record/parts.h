/* The files of a record, one after the other. As a rule there is one; when something happens to it
 * while it is written, the record goes on in another. Belongs to the recorder's thread. */
#ifndef RECORD_PARTS_H
#define RECORD_PARTS_H

#include "record/drain.h"
#include "record/store.h"

/* Why a file is left. */
enum parts_leave {
    PARTS_MOVED,  /* it has another name, or what belongs to it has: all of it can be kept */
    PARTS_LONG,   /* a reader keeps its WAL from being folded in */
    PARTS_BROKEN, /* SQLite refuses it: what can be read is kept */
    PARTS_GONE,   /* deleted, replaced or cut: copied, if all of it can still be read */
};

struct parts {
    struct store_about about;
    struct store *store;         /* of the newest file; NULL: none is open */
    char first[PLACE_MAX_PATH];  /* name that was asked for */
    char path[PLACE_MAX_PATH];   /* of the newest file */
    char before[PLACE_MAX_PATH]; /* name of the one before it, when it was left */
    uint64_t n_files;
    uint64_t kept_bytes, kept_entries, kept_frames; /* in files before the newest */
    uint64_t lost_entries, lost_frames;             /* committed, but no longer to be read */
    char text[LATENT_ERROR_TEXT];                   /* what happened last; "" */
};

/* The first file. What about points to stays the caller's. 0, or negative and a text. */
int parts_open(struct parts *p, const char *path, const struct store_about *about,
               struct latent_error *err);
/* Leave the newest file, into which d has written, and begin the next one: beside it, under the
 * first free number. Says so on stderr. 0, or negative and a text; no file is open then. */
int parts_next(struct parts *p, enum parts_leave why, const struct drain *d,
               struct latent_error *err);
/* The newest file is complete: close it, with all that d has written, wherever it is now. */
void parts_end(struct parts *p, const struct drain *d);
/* Close the newest file, if one is open, as it is. */
void parts_close(struct parts *p);

#endif

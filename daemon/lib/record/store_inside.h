/* What store.c (rows and transactions) and store_life.c (opening, copying, closing) share. */
#ifndef RECORD_STORE_INSIDE_H
#define RECORD_STORE_INSIDE_H

#include <sqlite3.h>

#include "feed/trace.h"
#include "record/buffer.h"
#include "record/store.h"
#include "wire.h"

#define PAGE_BYTES 4096
#define PAGE_TEXT "4096"

enum statement {
    BEGIN,
    COMMIT,
    PUT_ENTRY,
    PUT_FRAME,
    PUT_OUTCOME,
    PUT_ACTION,
    PUT_SNAPSHOT,
    PUT_DECODER,
    PUT_LOSS,
    PUT_LATE,
    PUT_WAIT,
    N_STATEMENTS,
};

extern const char *const store_sql[N_STATEMENTS];

struct store {
    sqlite3 *db;
    sqlite3_stmt *statement[N_STATEMENTS];
    struct place place;
    char text[LATENT_ERROR_TEXT];
    struct wire_arena arena; /* one unpacked frame */
    uint64_t n_wal_pages;    /* in use since the WAL was started anew */

    int64_t entry; /* number of the entry that is being put together; 0: none yet */
    bool entry_is_open;
    struct trace_event head;
    struct buffer payload, clock;
};

/* One step of a statement that is bound. */
enum store_result store_run(struct store *s, enum statement which);
/* Of what SQLite answered; its words become the store's. */
enum store_result store_result_of(struct store *s, int status);

#endif

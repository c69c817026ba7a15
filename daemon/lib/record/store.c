/* Prepared statements, one per table; an entry is kept until all that belongs into its row has
 * come. */
#include "record/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "feed/trace.h"
#include "record/buffer.h"
#include "record/meta.h"
#include "record/schema.h"
#include "wire.h"

#define MAX_PATH 4096

enum statement {
    BEGIN,
    COMMIT,
    PUT_ENTRY,
    PUT_FRAME,
    PUT_OUTCOME,
    PUT_ACTION,
    PUT_SNAPSHOT,
    PUT_LOSS,
    N_STATEMENTS,
};

static const char *const statement_sql[N_STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [PUT_ENTRY] = "INSERT INTO entries (entry, kind, what, t_ns, payload, clock)"
                  " VALUES (?, ?, ?, ?, ?, ?)",
    [PUT_FRAME] = "INSERT INTO frames (entry, epoch, seq, flags, sent, pub_seq,"
                  " t_recv_ns, t_publish_ns, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [PUT_OUTCOME] = "INSERT INTO outcomes (entry, epoch, seq, code) VALUES (?, ?, ?, ?)",
    [PUT_ACTION] = "INSERT INTO actions (entry, epoch, seq, code) VALUES (?, ?, ?, ?)",
    [PUT_SNAPSHOT] = "INSERT INTO snapshots (entry, bytes) VALUES (?, ?)",
    [PUT_LOSS] = "INSERT INTO losses (entry, t_ns, n_entries, n_frames) VALUES (?, ?, ?, ?)",
};

struct store {
    sqlite3 *db;
    sqlite3_stmt *statement[N_STATEMENTS];
    char path[MAX_PATH];
    char text[LATENT_ERROR_TEXT];
    struct wire_arena arena; /* one unpacked frame */

    int64_t entry; /* number of the entry that is being put together; 0: none yet */
    bool entry_is_open;
    struct trace_event head;
    struct buffer payload, clock;
};

/* ---- results ---- */

static enum store_result result_of(struct store *s, int status)
{
    switch (status & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return STORE_OK;
    case SQLITE_BUSY:
        return STORE_BUSY;
    default:
        break;
    }
    snprintf(s->text, sizeof s->text, "%s", sqlite3_errmsg(s->db));
    /* A file system that is full, or a quota, may also show as a failed write. */
    if ((status & 0xff) == SQLITE_FULL || sqlite3_system_errno(s->db) == ENOSPC ||
        sqlite3_system_errno(s->db) == EDQUOT)
        return STORE_FULL;
    return STORE_FAILED;
}

static enum store_result out_of_memory(struct store *s)
{
    snprintf(s->text, sizeof s->text, "out of memory");
    return STORE_FAILED;
}

const char *store_text(const struct store *s)
{
    return s->text;
}

static enum store_result run(struct store *s, enum statement which)
{
    sqlite3_stmt *statement = s->statement[which];
    int status = sqlite3_step(statement);
    enum store_result result = result_of(s, status);

    sqlite3_reset(statement);
    return result;
}

/* SQLite's whole numbers are signed: what is above their range comes back by a cast. */
static void bind_whole(sqlite3_stmt *statement, int place, uint64_t value)
{
    sqlite3_bind_int64(statement, place, (sqlite3_int64)value);
}

/* Only read during the next step. No bytes are NULL. */
static void bind_bytes(sqlite3_stmt *statement, int place, const void *bytes, size_t n)
{
    if (n == 0)
        sqlite3_bind_null(statement, place);
    else
        sqlite3_bind_blob64(statement, place, bytes, n, SQLITE_STATIC);
}

/* ---- rows ---- */

static enum store_result close_entry(struct store *s)
{
    sqlite3_stmt *statement = s->statement[PUT_ENTRY];

    if (!s->entry_is_open) return STORE_OK;
    s->entry_is_open = false;
    bind_whole(statement, 1, (uint64_t)s->entry);
    bind_whole(statement, 2, s->head.kind);
    bind_whole(statement, 3, s->head.what);
    bind_whole(statement, 4, s->head.t_ns);
    bind_bytes(statement, 5, s->payload.bytes, s->payload.n);
    bind_bytes(statement, 6, s->clock.bytes, s->clock.n);
    return run(s, PUT_ENTRY);
}

static enum store_result put_loss(struct store *s, const void *bytes, size_t n)
{
    sqlite3_stmt *statement = s->statement[PUT_LOSS];
    const struct trace_loss *loss = bytes;

    assert(n == sizeof *loss);
    bind_whole(statement, 1, (uint64_t)s->entry + 1);
    bind_whole(statement, 2, loss->t_ns);
    bind_whole(statement, 3, loss->n_entries);
    bind_whole(statement, 4, loss->n_frames);
    return run(s, PUT_LOSS);
}

static enum store_result put_snapshot(struct store *s, const void *bytes, size_t n)
{
    sqlite3_stmt *statement = s->statement[PUT_SNAPSHOT];

    bind_whole(statement, 1, (uint64_t)s->entry + 1);
    bind_bytes(statement, 2, bytes, n);
    return run(s, PUT_SNAPSHOT);
}

static enum store_result put_entry(struct store *s, const void *bytes, size_t n)
{
    const unsigned char *payload = (const unsigned char *)bytes + sizeof s->head;

    assert(n >= sizeof s->head);
    memcpy(&s->head, bytes, sizeof s->head);
    s->entry++;
    s->entry_is_open = true;
    s->clock.n = s->payload.n = 0;
    if (buffer_add(&s->payload, payload, n - sizeof s->head)) return out_of_memory(s);
    return STORE_OK;
}

static enum store_result put_clock(struct store *s, const void *bytes, size_t n)
{
    return buffer_add(&s->clock, bytes, n) ? out_of_memory(s) : STORE_OK;
}

static enum store_result put_event(struct store *s, enum statement which, const void *bytes,
                                   size_t n)
{
    sqlite3_stmt *statement = s->statement[which];
    const struct trace_event *event = bytes;

    assert(n == sizeof *event);
    bind_whole(statement, 1, (uint64_t)s->entry);
    bind_whole(statement, 2, event->epoch);
    bind_whole(statement, 3, event->seq);
    bind_whole(statement, 4, event->what);
    return run(s, which);
}

static enum store_result put_action(struct store *s, const void *bytes, size_t n)
{
    return put_event(s, PUT_ACTION, bytes, n);
}

static enum store_result put_outcome(struct store *s, const void *bytes, size_t n)
{
    return put_event(s, PUT_OUTCOME, bytes, n);
}

/* What only the frame says; it stands in columns for whoever asks in SQL. */
static void bind_unpacked(struct store *s, sqlite3_stmt *statement, const void *bytes, size_t n)
{
    struct wire_frame f;

    for (int place = 6; place <= 8; place++) sqlite3_bind_null(statement, place);
    if (n == 0 || wire_unpack_frame(&s->arena, bytes, n, &f)) return;
    bind_whole(statement, 6, f.pub_seq);
    bind_whole(statement, 7, f.t_recv_ns);
    bind_whole(statement, 8, f.t_publish_ns);
}

static enum store_result put_frame(struct store *s, const void *bytes, size_t n)
{
    sqlite3_stmt *statement = s->statement[PUT_FRAME];
    const struct trace_frame *head = bytes;
    size_t n_frame = n - sizeof *head;

    assert(n >= sizeof *head);
    bind_whole(statement, 1, (uint64_t)s->entry);
    bind_whole(statement, 2, head->epoch);
    bind_whole(statement, 3, head->seq);
    bind_whole(statement, 4, head->flags);
    bind_whole(statement, 5, head->sent);
    bind_unpacked(s, statement, head + 1, n_frame);
    bind_bytes(statement, 9, head + 1, n_frame);
    return run(s, PUT_FRAME);
}

enum store_result store_put(struct store *s, const struct ring_record *record)
{
    static enum store_result (*const put[TRACE_N_KINDS])(struct store *, const void *, size_t) = {
        [TRACE_LOSS] = put_loss,   [TRACE_SNAPSHOT] = put_snapshot, [TRACE_ENTRY] = put_entry,
        [TRACE_CLOCK] = put_clock, [TRACE_ACTION] = put_action,     [TRACE_OUTCOME] = put_outcome,
        [TRACE_FRAME] = put_frame,
    };
    bool begins_group = record->kind <= TRACE_ENTRY;
    enum store_result result = begins_group ? close_entry(s) : STORE_OK;

    assert(record->kind < TRACE_N_KINDS);
    return result ? result : put[record->kind](s, record->bytes, record->n_bytes);
}

/* ---- transactions ---- */

enum store_result store_begin(struct store *s)
{
    return run(s, BEGIN);
}

/* In WAL mode only FULL waits for the disk at a commit; what was written before it is then on the
 * disk, too. Without it a transaction survives the end of the process, but not of the machine. */
enum store_result store_commit(struct store *s, bool to_disk)
{
    enum store_result result = close_entry(s);

    if (result) return result;
    sqlite3_exec(s->db, to_disk ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", NULL,
                 NULL, NULL);
    return run(s, COMMIT);
}

void store_rollback(struct store *s)
{
    s->entry_is_open = false;
    if (!sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

uint64_t store_bytes(const char *path)
{
    char wal[MAX_PATH + 8];
    struct stat file;
    uint64_t n = 0;

    snprintf(wal, sizeof wal, "%s-wal", path);
    if (stat(path, &file) == 0) n += (uint64_t)file.st_size;
    if (stat(wal, &file) == 0) n += (uint64_t)file.st_size;
    return n;
}

/* ---- life ---- */

static int fail(struct store *s, int status, struct latent_error *err)
{
    if (result_of(s, status) == STORE_BUSY)
        snprintf(s->text, sizeof s->text, "somebody else holds it");
    return error_text(err, LATENT_E_IO, "record %s: cannot write: %.300s", s->path, s->text);
}

/* SQLite opens what is there; the exclusive creation here is what refuses it. */
static int create_file(const char *path, struct latent_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

    if (fd < 0)
        return error_text(err, LATENT_E_IO,
                          "record %s: cannot create: %s; a record never replaces a file", path,
                          strerror(errno));
    close(fd);
    return 0;
}

static int prepare(struct store *s)
{
    for (int i = 0; i < N_STATEMENTS; i++) {
        int status = sqlite3_prepare_v3(s->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                                        &s->statement[i], NULL);
        if (status) return status;
    }
    return SQLITE_OK;
}

/* Tables and meta are one transaction: a record has all of it or is empty. */
static int fill(struct store *s, const struct store_about *about)
{
    int status = sqlite3_exec(s->db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);

    if (!status) status = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (!status) status = sqlite3_exec(s->db, record_schema, NULL, NULL, NULL);
    if (!status) status = meta_write(s->db, about);
    if (!status) status = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
    return status ? status : prepare(s);
}

static int take_memory(struct store *s, const struct latent_info *info)
{
    size_t n_values = (size_t)info->n_latents + info->n_rates + info->n_readout;

    s->arena.size = WIRE_ARENA_BASE + 4 * wire_frame_bound(n_values);
    s->arena.bytes = malloc(s->arena.size);
    return s->arena.bytes ? 0 : -1;
}

int store_possible(struct latent_error *err)
{
    (void)err;
    return 0;
}

int store_create(struct store **out, const char *path, const struct store_about *about,
                 struct latent_error *err)
{
    struct store *s = calloc(1, sizeof *s);
    int status;

    *out = NULL;
    if (!s || take_memory(s, about->info)) {
        store_close(s);
        return error_text(err, LATENT_E_NOMEM, "out of memory");
    }
    snprintf(s->path, sizeof s->path, "%s", path);
    status = create_file(path, err);
    if (!status && sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE, NULL))
        status = fail(s, sqlite3_errcode(s->db), err);
    if (!status && fill(s, about)) status = fail(s, sqlite3_errcode(s->db), err);
    if (status) {
        store_close(s);
        return status;
    }
    *out = s;
    return 0;
}

void store_finish(struct store *s)
{
    meta_write_end(s->db);
}

void store_close(struct store *s)
{
    if (!s) return;
    for (int i = 0; i < N_STATEMENTS; i++) sqlite3_finalize(s->statement[i]);
    sqlite3_close(s->db);
    free(s->arena.bytes);
    buffer_free(&s->payload);
    buffer_free(&s->clock);
    free(s);
}

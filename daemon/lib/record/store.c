/* Prepared statements, one per table; an entry is kept until all that belongs into its row has
 * come. */
#include "record/store.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "feed/trace.h"
#include "line/event.h"
#include "line/label.h"
#include "record/hex.h"
#include "record/store_inside.h"

#define CHECKPOINT_PAGES 1000 /* of the WAL; SQLite's own number */
#define EMPTIED_TRIES 20
#define EMPTIED_WAIT_NS 5000000
#define WAL_HEAD_BYTES 32
#define WAL_FRAME_HEAD_BYTES 24

const char *const store_sql[N_STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [PUT_ENTRY] = "INSERT INTO entries (entry, kind, what, t_ns, payload, clock)"
                  " VALUES (?, ?, ?, ?, ?, ?)",
    [PUT_FRAME] = "INSERT INTO frames (entry, epoch, seq, flags, sent, pub_seq,"
                  " t_recv_ns, t_publish_ns, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [PUT_OUTCOME] = "INSERT INTO outcomes (entry, epoch, seq, code) VALUES (?, ?, ?, ?)",
    [PUT_ACTION] = "INSERT INTO actions (entry, epoch, seq, code) VALUES (?, ?, ?, ?)",
    [PUT_SNAPSHOT] = "INSERT INTO snapshots (entry, bytes) VALUES (?, ?)",
    [PUT_DECODER] = "INSERT OR REPLACE INTO decoders"
                    " (entry, of, decoder_id, path, sha256, mode, precision, groups, session)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [PUT_LATE] = "INSERT INTO lates (epoch, seq, since, t_source_ns, t_since_ns, t_recv_ns,"
                 " t_start_ns, t_publish_ns, t_done_ns, n_before, flags, outcome, budget_ns,"
                 " knows_spans, knows_processor, steal_ns, steal_of_ns)"
                 " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [PUT_WAIT] = "INSERT INTO waits (late, part, stream, ns) VALUES (?, ?, ?, ?)",
    [PUT_LOSS] = "INSERT INTO losses (entry, t_ns, n_entries, n_frames) VALUES (?, ?, ?, ?)"
                 " ON CONFLICT (entry) DO UPDATE SET n_entries = n_entries + excluded.n_entries,"
                 " n_frames = n_frames + excluded.n_frames",
};

/* ---- results ---- */

enum store_result store_result_of(struct store *s, int status)
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

enum store_result store_run(struct store *s, enum statement which)
{
    sqlite3_stmt *statement = s->statement[which];
    int status = sqlite3_step(statement);
    enum store_result result = store_result_of(s, status);

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
    return store_run(s, PUT_ENTRY);
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
    return store_run(s, PUT_LOSS);
}

static void bind_word(sqlite3_stmt *statement, int place, const char *word)
{
    sqlite3_bind_text(statement, place, word, -1, SQLITE_TRANSIENT);
}

/* The label that these bytes begin with: whose the snapshot before an entry is, or whom the entry
 * promotes. */
static enum store_result put_label(struct store *s, int64_t entry, const char *of,
                                   const void *bytes, size_t n)
{
    sqlite3_stmt *statement = s->statement[PUT_DECODER];
    char id[HEX_ID_BYTES], sha256[HEX_SHA256_BYTES];
    struct label label;
    size_t n_label;
    bool is_label = label_read(&label, bytes, n, &n_label);

    assert(is_label);
    if (!is_label) return STORE_OK;
    hex_of_id(id, label.decoder_id);
    hex_of_sha256(sha256, label.sha256);
    bind_whole(statement, 1, (uint64_t)entry);
    bind_word(statement, 2, of);
    bind_word(statement, 3, id);
    bind_word(statement, 4, label.path);
    bind_word(statement, 5, sha256);
    bind_word(statement, 6, label.mode);
    bind_word(statement, 7, label.precision);
    bind_whole(statement, 8, label.groups);
    if (label.session[0])
        bind_word(statement, 9, label.session);
    else
        sqlite3_bind_null(statement, 9);
    return store_run(s, PUT_DECODER);
}

static enum store_result put_decoder(struct store *s, const void *bytes, size_t n)
{
    return put_label(s, s->entry + 1, "snapshot", bytes, n);
}

static enum store_result put_snapshot(struct store *s, const void *bytes, size_t n)
{
    sqlite3_stmt *statement = s->statement[PUT_SNAPSHOT];

    bind_whole(statement, 1, (uint64_t)s->entry + 1);
    bind_bytes(statement, 2, bytes, n);
    return store_run(s, PUT_SNAPSHOT);
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
    if (s->head.kind != LINE_PROMOTE) return STORE_OK;
    return put_label(s, s->entry, "promotion", payload, n - sizeof s->head);
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
    return store_run(s, which);
}

static enum store_result put_action(struct store *s, const void *bytes, size_t n)
{
    return put_event(s, PUT_ACTION, bytes, n);
}

static enum store_result put_outcome(struct store *s, const void *bytes, size_t n)
{
    return put_event(s, PUT_OUTCOME, bytes, n);
}

/* A decoder that was promoted may say more than the first. */
static bool has_arena(struct store *s, size_t n_frame)
{
    size_t size = WIRE_ARENA_BASE + 4 * n_frame;
    void *bytes = size > s->arena.size ? realloc(s->arena.bytes, size) : s->arena.bytes;

    if (!bytes) return false;
    s->arena.bytes = bytes;
    if (size > s->arena.size) s->arena.size = size;
    return true;
}

/* What only the frame says; it stands in columns for whoever asks in SQL. */
static void bind_unpacked(struct store *s, sqlite3_stmt *statement, const void *bytes, size_t n)
{
    struct wire_frame f;

    for (int place = 6; place <= 8; place++) sqlite3_bind_null(statement, place);
    if (n == 0 || !has_arena(s, n) || wire_unpack_frame(&s->arena, bytes, n, &f)) return;
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
    return store_run(s, PUT_FRAME);
}

enum store_result store_put(struct store *s, const struct ring_record *record)
{
    static enum store_result (*const put[TRACE_N_KINDS])(struct store *, const void *, size_t) = {
        [TRACE_LOSS] = put_loss,         [TRACE_DECODER] = put_decoder,
        [TRACE_SNAPSHOT] = put_snapshot, [TRACE_ENTRY] = put_entry,
        [TRACE_CLOCK] = put_clock,       [TRACE_ACTION] = put_action,
        [TRACE_OUTCOME] = put_outcome,   [TRACE_FRAME] = put_frame,
    };
    bool begins_group = record->kind <= TRACE_ENTRY;
    enum store_result result = begins_group ? close_entry(s) : STORE_OK;

    assert(record->kind < TRACE_N_KINDS);
    return result ? result : put[record->kind](s, record->bytes, record->n_bytes);
}

/* ---- transactions ---- */

/* Nobody else may shorten the WAL during a transaction. */
enum store_result store_begin(struct store *s)
{
    enum store_result result = store_run(s, BEGIN);

    s->place.least[PLACE_WAL] = place_bytes(&s->place, PLACE_WAL);
    return result;
}

static uint64_t wal_bytes_in_use(const struct store *s)
{
    if (s->n_wal_pages == 0) return 0;
    return WAL_HEAD_BYTES + s->n_wal_pages * (PAGE_BYTES + WAL_FRAME_HEAD_BYTES);
}

/* In WAL mode only FULL waits for the disk at a commit; what was written before it is then on the
 * disk, too. Without it a transaction survives the end of the process, but not of the machine. */
enum store_result store_commit(struct store *s, bool to_disk)
{
    enum store_result result = close_entry(s);

    if (result) return result;
    if (place_look(&s->place, s->text, sizeof s->text) == PLACE_CUT) return STORE_FAILED;
    sqlite3_exec(s->db, to_disk ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", NULL,
                 NULL, NULL);
    result = store_run(s, COMMIT);
    if (!result) s->place.least[PLACE_WAL] = wal_bytes_in_use(s);
    return result;
}

/* Not into a file that was cut, nor out of a WAL that was: it would hide where. */
enum store_result store_checkpoint(struct store *s)
{
    enum store_result result;

    if (s->n_wal_pages < CHECKPOINT_PAGES) return STORE_OK;
    if (store_look(s) >= PLACE_CUT) return STORE_OK;
    result = store_result_of(
        s, sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL));
    return result == STORE_FAILED ? result : STORE_OK;
}

void store_rollback(struct store *s)
{
    s->entry_is_open = false;
    if (!sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

/* Another connection may have emptied the WAL, into the file: SQLite knows. While that one is still
 * at it, this one is told BUSY. */
static bool wal_is_emptied(struct store *s)
{
    const struct timespec wait = {.tv_nsec = EMPTIED_WAIT_NS};
    int status = SQLITE_BUSY;

    if (place_bytes(&s->place, PLACE_WAL) > 0) return false;
    for (int i = 0; status == SQLITE_BUSY && i < EMPTIED_TRIES; i++) {
        if (i > 0) clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, NULL);
        status = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    }
    if (status) return false;
    s->place.least[PLACE_WAL] = s->n_wal_pages = 0;
    return true;
}

enum place_found store_look(struct store *s)
{
    enum place_found found = place_look(&s->place, s->text, sizeof s->text);

    if (found != PLACE_CUT || !wal_is_emptied(s)) return found;
    return place_look(&s->place, s->text, sizeof s->text);
}

uint64_t store_wal_bytes(const struct store *s)
{
    return place_bytes(&s->place, PLACE_WAL);
}

bool store_name(const struct store *s, char *path, size_t n)
{
    return place_name(&s->place, path, n);
}

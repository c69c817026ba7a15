/* One ordered walk per table; those of what came of an entry follow the walk of the entries. */
#include "record/reading.h"

#include <assert.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "line/ledger.h"
#include "record/hex.h"
#include "record/meta.h"
#include "record/reading_inside.h"
#include "record/schema.h"

#define MAX_CODES 256 /* of one kind in table names */

enum walk { ENTRIES, FRAMES, ACTIONS, OUTCOMES, SNAPSHOTS, DECODERS, LOSSES, N_WALKS };

static const char decoders_sql[] =
    "SELECT entry, decoder_id, path, sha256, mode, precision, groups, session FROM decoders"
    " WHERE of = 'snapshot' ORDER BY entry";

/* Of records from before there were sessions. */
static const char old_decoders_sql[] =
    "SELECT entry, decoder_id, path, sha256, mode, precision, groups, NULL FROM decoders"
    " WHERE of = 'snapshot' ORDER BY entry";

static const char *const walk_sql[N_WALKS] = {
    [ENTRIES] = "SELECT entry, kind, what, t_ns, payload, clock FROM entries ORDER BY entry",
    [FRAMES] = "SELECT entry, epoch, seq, flags, sent, bytes FROM frames ORDER BY id",
    [ACTIONS] = "SELECT entry, epoch, seq, code FROM actions ORDER BY id",
    [OUTCOMES] = "SELECT entry, epoch, seq, code FROM outcomes ORDER BY id",
    [SNAPSHOTS] = "SELECT entry, bytes FROM snapshots ORDER BY entry",
    [DECODERS] = decoders_sql,
    [LOSSES] = "SELECT entry, n_entries, n_frames FROM losses ORDER BY entry",
};

/* Codes of the file, by the names that they have there, as those of this version. */
struct codes {
    uint32_t own[MAX_CODES];
};

struct reading {
    sqlite3 *db;
    sqlite3_stmt *walk[N_WALKS];
    bool is_at_row[N_WALKS]; /* the row is not used yet */
    sqlite3_stmt *meta;
    struct codes entries, actions, outcomes;
    struct label label; /* of the newest snapshot */
    int64_t entry;
    int status; /* the first failure of SQLite, or 0 */
};

/* ---- walks ---- */

/* Rows of entries that are passed over, after a gap in a damaged file, are skipped. */
static bool stand_at(struct reading *r, enum walk w, int64_t entry)
{
    for (;;) {
        if (!r->is_at_row[w]) {
            int status = sqlite3_step(r->walk[w]);

            if (status != SQLITE_ROW) {
                if (status != SQLITE_DONE && !r->status) r->status = status;
                return false;
            }
            r->is_at_row[w] = true;
        }
        if (sqlite3_column_int64(r->walk[w], 0) >= entry) break;
        r->is_at_row[w] = false;
    }
    return sqlite3_column_int64(r->walk[w], 0) == entry;
}

/* The columns are then valid until the walk goes on. */
static sqlite3_stmt *row_of(struct reading *r, enum walk w, int64_t entry)
{
    if (r->status || !r->walk[w] || !stand_at(r, w, entry)) return NULL;
    r->is_at_row[w] = false;
    return r->walk[w];
}

static uint64_t whole(sqlite3_stmt *row, int column)
{
    return (uint64_t)sqlite3_column_int64(row, column);
}

static uint32_t code_of(const struct codes *codes, uint64_t code)
{
    return code < MAX_CODES ? codes->own[code] : UINT32_MAX;
}

/* ---- entries ---- */

static void add_snapshot(struct reading *r, struct reading_entry *e)
{
    sqlite3_stmt *row = row_of(r, SNAPSHOTS, e->entry);

    if (!row) return;
    e->snapshot = sqlite3_column_blob(row, 1);
    e->n_snapshot = (size_t)sqlite3_column_bytes(row, 1);
}

static void take_word(char *word, size_t max, sqlite3_stmt *row, int column)
{
    const unsigned char *text = sqlite3_column_text(row, column);

    snprintf(word, max, "%s", text ? (const char *)text : "");
}

static void add_decoder(struct reading *r, struct reading_entry *e)
{
    sqlite3_stmt *row = row_of(r, DECODERS, e->entry);
    struct label *label = &r->label;

    if (!row) return;
    hex_to_id((const char *)sqlite3_column_text(row, 1), &label->decoder_id);
    take_word(label->path, sizeof label->path, row, 2);
    hex_to_sha256((const char *)sqlite3_column_text(row, 3), label->sha256);
    take_word(label->mode, sizeof label->mode, row, 4);
    take_word(label->precision, sizeof label->precision, row, 5);
    label->groups = (uint32_t)whole(row, 6);
    take_word(label->session, sizeof label->session, row, 7);
    e->decoder = label;
}

static void add_loss(struct reading *r, struct reading_entry *e)
{
    sqlite3_stmt *row = row_of(r, LOSSES, e->entry);

    if (!row) return;
    e->lost_entries = whole(row, 1);
    e->lost_frames = whole(row, 2);
}

static bool step_entries(struct reading *r)
{
    int status = r->status ? r->status : sqlite3_step(r->walk[ENTRIES]);

    if (status != SQLITE_ROW && status != SQLITE_DONE) r->status = status;
    return status == SQLITE_ROW;
}

bool reading_next_entry(struct reading *r, struct reading_entry *out)
{
    sqlite3_stmt *row = r->walk[ENTRIES];

    if (!step_entries(r)) return false;
    *out = (struct reading_entry){.entry = sqlite3_column_int64(row, 0)};
    out->event =
        (struct line_event){.kind = (enum line_event_kind)code_of(&r->entries, whole(row, 1)),
                            .what = (uint32_t)whole(row, 2),
                            .t_ns = whole(row, 3),
                            .bytes = sqlite3_column_blob(row, 4),
                            .n_bytes = (size_t)sqlite3_column_bytes(row, 4)};
    out->clock = sqlite3_column_blob(row, 5);
    out->n_clock = (size_t)sqlite3_column_bytes(row, 5) / sizeof(uint64_t);
    r->entry = out->entry;
    add_snapshot(r, out);
    add_decoder(r, out);
    add_loss(r, out);
    return true;
}

/* Its writer had a name for it. */
bool reading_has_turns(const struct reading *r)
{
    for (size_t i = 0; i < MAX_CODES; i++)
        if (r->entries.own[i] == LINE_CONTINUE) return true;
    return false;
}

uint64_t reading_clock(const struct reading_entry *e, size_t i)
{
    uint64_t ns;

    assert(i < e->n_clock);
    memcpy(&ns, e->clock + i * sizeof ns, sizeof ns);
    return ns;
}

bool reading_next_frame(struct reading *r, struct reading_frame *out)
{
    sqlite3_stmt *row = row_of(r, FRAMES, r->entry);

    if (!row) return false;
    *out = (struct reading_frame){.epoch = whole(row, 1),
                                  .seq = whole(row, 2),
                                  .flags = (uint32_t)whole(row, 3),
                                  .sent = whole(row, 4) == 0,
                                  .bytes = sqlite3_column_blob(row, 5),
                                  .n_bytes = (size_t)sqlite3_column_bytes(row, 5)};
    return true;
}

static bool next_event(struct reading *r, enum walk w, const struct codes *codes,
                       struct reading_event *out)
{
    sqlite3_stmt *row = row_of(r, w, r->entry);

    if (!row) return false;
    *out = (struct reading_event){
        .epoch = whole(row, 1), .seq = whole(row, 2), .code = code_of(codes, whole(row, 3))};
    return true;
}

bool reading_next_action(struct reading *r, struct reading_event *out)
{
    return next_event(r, ACTIONS, &r->actions, out);
}

bool reading_next_outcome(struct reading *r, struct reading_event *out)
{
    return next_event(r, OUTCOMES, &r->outcomes, out);
}

void reading_rewind(struct reading *r)
{
    for (int w = 0; w < N_WALKS; w++) {
        sqlite3_reset(r->walk[w]);
        r->is_at_row[w] = false;
    }
}

int reading_check(struct reading *r, struct latent_error *err)
{
    if (!r->status) return 0;
    return error_text(err, LATENT_E_FORMAT, "the record cannot be read: %s",
                      sqlite3_errstr(r->status));
}

/* ---- meta ---- */

static bool find_meta(struct reading *r, const char *key)
{
    sqlite3_reset(r->meta);
    sqlite3_bind_text(r->meta, 1, key, -1, SQLITE_TRANSIENT);
    return sqlite3_step(r->meta) == SQLITE_ROW;
}

const char *reading_text(struct reading *r, const char *key)
{
    return find_meta(r, key) ? (const char *)sqlite3_column_text(r->meta, 0) : NULL;
}

uint64_t reading_whole(struct reading *r, const char *key)
{
    return find_meta(r, key) ? (uint64_t)sqlite3_column_int64(r->meta, 0) : 0;
}

uint64_t reading_ask(struct reading *r, const char *sql)
{
    sqlite3_stmt *question = NULL;
    uint64_t value = 0;

    if (sqlite3_prepare_v2(r->db, sql, -1, &question, NULL) == SQLITE_OK &&
        sqlite3_step(question) == SQLITE_ROW)
        value = (uint64_t)sqlite3_column_int64(question, 0);
    sqlite3_finalize(question);
    return value;
}

sqlite3 *reading_db(struct reading *r)
{
    return r->db;
}

/* ---- what is missing ---- */

bool reading_is_closed(struct reading *r)
{
    return reading_text(r, "end_utc_ns") != NULL;
}

/* Reading makes an empty -wal where there was none. */
static void say_end(const char *path, FILE *out)
{
    struct stat found;
    char wal[4096];

    snprintf(wal, sizeof wal, "%s-wal", path);
    fprintf(out, "the record was not closed: it is still being written, or its writer was stopped");
    if (stat(wal, &found) == 0 && found.st_size > 0)
        fprintf(out, "\n");
    else
        fprintf(out,
                "; if this is a copy, what was in its -wal is missing: copy that with it, or stop "
                "the record first\n");
}

void reading_say_ends(struct reading *r, const char *path, FILE *out)
{
    const char *before = reading_text(r, "continues");

    if (before) fprintf(out, "the record goes on here; what came before is in %s\n", before);
    if (!reading_is_closed(r)) say_end(path, out);
}

void reading_say_missing(struct reading *r, const char *path, FILE *out)
{
    uint64_t n_gaps = reading_ask(r, "SELECT count(*) FROM losses");
    uint64_t n_lost = reading_ask(r, "SELECT sum(n_entries) FROM losses");

    if (n_gaps > 0)
        fprintf(out, "gaps %" PRIu64 ", entries lost in them %" PRIu64 "\n", n_gaps, n_lost);
    reading_say_ends(r, path, out);
}

/* ---- names ---- */

typedef bool own_name_fn(uint32_t code, char *name, size_t n);

static void learn_codes(struct reading *r, struct codes *codes, const char *kind,
                        own_name_fn *own_name)
{
    sqlite3_stmt *names = NULL;
    char own[META_MAX_NAME];

    memset(codes, 0xff, sizeof *codes);
    sqlite3_prepare_v2(r->db, "SELECT code, name FROM names WHERE kind = ?", -1, &names, NULL);
    sqlite3_bind_text(names, 1, kind, -1, SQLITE_STATIC);
    while (sqlite3_step(names) == SQLITE_ROW) {
        uint64_t code = whole(names, 0);
        const char *name = (const char *)sqlite3_column_text(names, 1);

        for (uint32_t i = 0; code < MAX_CODES && own_name(i, own, sizeof own); i++)
            if (name && strcmp(own, name) == 0) codes->own[code] = i;
    }
    sqlite3_finalize(names);
}

/* ---- life ---- */

static int check_version(struct reading *r, const char *path, struct latent_error *err)
{
    uint64_t version = reading_ask(r, "PRAGMA user_version");

    if (reading_ask(r, "PRAGMA application_id") != RECORD_APPLICATION_ID)
        return error_text(err, LATENT_E_FORMAT,
                          "%s: not a record of latentd (or one that was killed before "
                          "it began): %s",
                          path, sqlite3_errmsg(r->db));
    if (version != RECORD_SCHEMA_VERSION)
        return error_text(err, LATENT_E_FORMAT,
                          "%s: a record of version %llu; this program reads %d", path,
                          (unsigned long long)version, RECORD_SCHEMA_VERSION);
    return 0;
}

/* Not in records from before a decoder could be promoted. */
static bool has_decoders(struct reading *r)
{
    return reading_ask(r, "SELECT count(*) FROM sqlite_master WHERE name = 'decoders'") > 0;
}

static const char *sql_of(struct reading *r, enum walk w)
{
    if (w == DECODERS &&
        !reading_ask(r,
                     "SELECT count(*) FROM pragma_table_info('decoders') WHERE name = 'session'"))
        return old_decoders_sql;
    return walk_sql[w];
}

static int prepare(struct reading *r)
{
    for (enum walk w = 0; w < N_WALKS; w++)
        if ((w != DECODERS || has_decoders(r)) &&
            sqlite3_prepare_v2(r->db, sql_of(r, w), -1, &r->walk[w], NULL))
            return -1;
    return sqlite3_prepare_v2(r->db, "SELECT value FROM meta WHERE key = ?", -1, &r->meta, NULL);
}

static int open_file(struct reading *r, const char *path, struct latent_error *err)
{
    int status = sqlite3_open_v2(path, &r->db, SQLITE_OPEN_READONLY, NULL);

    if (status)
        return error_text(err, LATENT_E_IO, "%s: cannot open: %s", path, sqlite3_errmsg(r->db));
    status = check_version(r, path, err);
    if (status) return status;
    /* One transaction: what is written meanwhile is not seen in one table only. */
    if (sqlite3_exec(r->db, "BEGIN", NULL, NULL, NULL) || prepare(r))
        return error_text(err, LATENT_E_FORMAT, "%s: a damaged record: %s", path,
                          sqlite3_errmsg(r->db));
    learn_codes(r, &r->entries, "entry", meta_entry_name);
    learn_codes(r, &r->actions, "action", meta_action_name);
    learn_codes(r, &r->outcomes, "outcome", meta_outcome_name);
    return 0;
}

int reading_open(struct reading **out, const char *path, struct latent_error *err)
{
    struct reading *r = calloc(1, sizeof *r);
    int status;

    *out = NULL;
    if (!r) return error_text(err, LATENT_E_NOMEM, "out of memory");
    status = open_file(r, path, err);
    if (status) {
        reading_close(r);
        return status;
    }
    *out = r;
    return 0;
}

void reading_close(struct reading *r)
{
    if (!r) return;
    for (int w = 0; w < N_WALKS; w++) sqlite3_finalize(r->walk[w]);
    sqlite3_finalize(r->meta);
    sqlite3_close(r->db);
    free(r);
}

/* A row of each bin; for each, its parts. */
#include "record/lates.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "line/ledger.h"
#include "record/reading_inside.h"

static const char bins_sql[] =
    "SELECT id, epoch, seq, since, t_source_ns, t_since_ns, t_recv_ns, t_start_ns, t_publish_ns,"
    " t_done_ns, n_before, flags, outcome, budget_ns, knows_spans, knows_processor, steal_ns,"
    " steal_of_ns FROM lates ORDER BY id";
static const char waits_sql[] = "SELECT part, stream, ns FROM waits WHERE late = ? ORDER BY id";

struct lates {
    sqlite3_stmt *bins, *waits; /* NULL: the record has no such table */
};

static uint64_t whole(sqlite3_stmt *row, int column)
{
    return (uint64_t)sqlite3_column_int64(row, column);
}

static const char *word(sqlite3_stmt *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row, column);

    return text ? text : "";
}

static enum late_since since_of(const char *name)
{
    for (enum late_since since = 0; since < LATE_N_SINCE; since++)
        if (strcmp(late_since_name(since), name) == 0) return since;
    return LATE_SINCE_ARRIVAL;
}

/* By its name, as frames have them. */
static uint32_t outcome_of(const char *name)
{
    enum counter c = ledger_group_first(LEDGER_FRAMES);

    while (c + 1 < ledger_group_end(LEDGER_FRAMES) && strcmp(counter_name(c), name) != 0) c++;
    return c;
}

/* A part that this version does not know is not explained to it. */
static void take_waits(struct lates *l, sqlite3_int64 id, struct why_bin *out)
{
    sqlite3_reset(l->waits);
    sqlite3_bind_int64(l->waits, 1, id);
    while (out->n_waits < WHY_MAX_WAITS && sqlite3_step(l->waits) == SQLITE_ROW) {
        struct why_wait *w = &out->waits[out->n_waits++];

        if (!why_part_find(word(l->waits, 0), &w->part)) w->part = WHY_UNKNOWN;
        snprintf(w->stream, sizeof w->stream, "%s", word(l->waits, 1));
        w->ns = whole(l->waits, 2);
    }
}

bool lates_next(struct lates *l, struct why_bin *out)
{
    sqlite3_stmt *row = l->bins;

    if (!row || sqlite3_step(row) != SQLITE_ROW) return false;
    *out = (struct why_bin){.knows_spans = whole(row, 14) != 0,
                            .knows_processor = whole(row, 15) != 0,
                            .steal_ns = whole(row, 16),
                            .steal_of_ns = whole(row, 17)};
    out->bin = (struct late_bin){.epoch = whole(row, 1),
                                 .seq = whole(row, 2),
                                 .since = since_of(word(row, 3)),
                                 .t_source_ns = whole(row, 4),
                                 .t_since_ns = whole(row, 5),
                                 .t_recv_ns = whole(row, 6),
                                 .t_start_ns = whole(row, 7),
                                 .t_publish_ns = whole(row, 8),
                                 .t_done_ns = whole(row, 9),
                                 .n_before = whole(row, 10),
                                 .budget_ns = whole(row, 13),
                                 .flags = (uint32_t)whole(row, 11),
                                 .outcome = outcome_of(word(row, 12))};
    take_waits(l, sqlite3_column_int64(row, 0), out);
    return true;
}

bool lates_are_told(const struct lates *l)
{
    return l->bins != NULL;
}

int lates_open(struct lates **out, struct reading *r, struct latent_error *err)
{
    struct lates *l = calloc(1, sizeof *l);
    sqlite3 *db = reading_db(r);
    bool has_tables =
        reading_ask(r, "SELECT count(*) FROM sqlite_master WHERE name IN ('lates', 'waits')") == 2;

    *out = l;
    if (!l) return error_text(err, LATENT_E_NOMEM, "out of memory");
    if (!has_tables) return 0;
    if (sqlite3_prepare_v2(db, bins_sql, -1, &l->bins, NULL) ||
        sqlite3_prepare_v2(db, waits_sql, -1, &l->waits, NULL))
        return error_text(err, LATENT_E_FORMAT, "a damaged record: %s", sqlite3_errmsg(db));
    return 0;
}

void lates_close(struct lates *l)
{
    if (!l) return;
    sqlite3_finalize(l->bins);
    sqlite3_finalize(l->waits);
    free(l);
}

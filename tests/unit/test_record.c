/* From the line into the file, on a virtual clock: nothing is missing, nothing is later
 * than the sync interval, and what does not fit is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "feed/feed.h"
#include "line_fixture.h"
#include "record/drain.h"

enum { BIN_NS = 20000000, RING_BYTES = 1 << 20, MAX_TIMES = 16384 };
static const uint64_t sync_ns = 100000000;

/* A line whose tap fills a ring, and the file that the ring is drained into. */
struct desk {
    char folder[64], path[96];
    struct rig line;
    struct ring *ring;
    struct feed feed;
    struct store *store;
    struct drain drain;
    sqlite3 *reader;
    uint64_t seq;
};

static struct store_about about_of(const struct rig *l)
{
    return (struct store_about){.stream = "arm",
                                .config = "[stream arm]\n",
                                .info = &l->info,
                                .mode = latent_decoder_mode(l->decoder)->name,
                                .precision = "f32",
                                .decoder_id = latent_decoder_id(l->decoder),
                                .clock_id = 77,
                                .contract = LINE_CONTRACT};
}

static void desk_open(struct desk *g, size_t ring_bytes)
{
    struct latent_error err = {0};
    struct store_about about;

    memset(g, 0, sizeof *g);
    snprintf(g->folder, sizeof g->folder, "/tmp/latent-record-XXXXXX");
    assert_non_null(mkdtemp(g->folder));
    snprintf(g->path, sizeof g->path, "%s/arm.record", g->folder);
    rig_open(&g->line, maker_gru(), NULL, NULL);
    about = about_of(&g->line);
    g->ring = ring_new(ring_bytes);
    assert_non_null(g->ring);
    feed_init(&g->feed, g->ring, g->line.line);
    assert_true(line_add_tap(g->line.line, feed_tap(&g->feed)));
    if (store_create(&g->store, g->path, &about, &err)) fail_msg("%s", err.text);
    drain_init(&g->drain, g->ring, g->store, sync_ns);
    assert_int_equal(sqlite3_open_v2(g->path, &g->reader, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
}

static void desk_close(struct desk *g)
{
    sqlite3_close(g->reader);
    store_close(g->store);
    ring_free(g->ring);
    rig_close(&g->line);
    assert_int_equal(unlink(g->path), 0); /* closed in order: one file is left */
    assert_int_equal(rmdir(g->folder), 0);
}

/* The first column of the only row of the answer. */
static uint64_t ask(struct desk *g, const char *sql)
{
    sqlite3_stmt *statement;
    uint64_t value;

    if (sqlite3_prepare_v2(g->reader, sql, -1, &statement, NULL))
        fail_msg("%s: %s", sql, sqlite3_errmsg(g->reader));
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    value = (uint64_t)sqlite3_column_int64(statement, 0);
    assert_int_equal(sqlite3_step(statement), SQLITE_DONE);
    sqlite3_finalize(statement);
    return value;
}

static void send_bins(struct desk *g, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        rig_send(&g->line, 1, g->seq, 1, (float)(g->seq % 3));
        g->seq++;
        g->line.now_ns += BIN_NS;
    }
}

static void turn(struct desk *g)
{
    assert_int_equal(drain_turn(&g->drain, g->line.now_ns), STORE_OK);
}

static void end(struct desk *g)
{
    assert_int_equal(drain_end(&g->drain, g->line.now_ns), STORE_OK);
}

/* ---- what is in the file ---- */

static void assert_frames_kept(struct desk *g)
{
    sqlite3_stmt *statement;
    const char *sql = "SELECT seq, pub_seq, flags, t_publish_ns, sent, bytes, entry"
                      " FROM frames ORDER BY id";

    assert_int_equal(sqlite3_prepare_v2(g->reader, sql, -1, &statement, NULL), 0);
    for (size_t i = 0; i < g->line.n_frames; i++) {
        const struct kept_frame *k = &g->line.frames[i];
        struct wire_frame f = k->frame;
        uint8_t bytes[4096];
        size_t n;

        f.values.latents = k->latents;
        f.values.rates = k->rates;
        f.values.readout = k->readout;
        n = wire_pack_frame(&f, bytes, sizeof bytes);

        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        assert_int_equal(sqlite3_column_int64(statement, 0), f.seq);
        assert_int_equal(sqlite3_column_int64(statement, 1), f.pub_seq);
        assert_int_equal(sqlite3_column_int64(statement, 2), f.values.flags);
        assert_int_equal(sqlite3_column_int64(statement, 3), f.t_publish_ns);
        assert_int_equal(sqlite3_column_int(statement, 4), 0);
        assert_int_equal(sqlite3_column_bytes(statement, 5), n);
        assert_memory_equal(sqlite3_column_blob(statement, 5), bytes, n);
    }
    assert_int_equal(sqlite3_step(statement), SQLITE_DONE);
    sqlite3_finalize(statement);
}

static void test_everything(void **state)
{
    struct desk g;

    (void)state;
    desk_open(&g, RING_BYTES);
    send_bins(&g, 10);
    g.seq += 2; /* a gap: two frames for bins that did not come */
    send_bins(&g, 1);
    rig_send_bytes(&g.line, "\xff", 1);
    line_refuse_parts(g.line.line);
    line_reset(g.line.line);
    end(&g);
    assert_int_equal(ask(&g, "SELECT count(*) FROM entries"), 27);
    assert_int_equal(ask(&g, "SELECT count(*) FROM snapshots"), 1);
    assert_int_equal(ask(&g, "SELECT entry FROM snapshots"), 1);
    assert_int_equal(ask(&g, "SELECT count(*) FROM losses"), 0);
    assert_int_equal(g.line.n_frames, 13);
    assert_frames_kept(&g);
    assert_int_equal(ask(&g,
                         "SELECT count(*) FROM outcomes JOIN names ON names.code = outcomes.code"
                         " AND kind = 'outcome' AND name = 'messages refused.format'"),
                     1);
    assert_int_equal(ask(&g, "SELECT count(*) FROM actions JOIN names ON names.code = actions.code"
                             " AND kind = 'action' AND name = 'predict' WHERE seq IN (10, 11)"),
                     2);
    assert_int_equal(
        ask(&g, "SELECT sum(length(clock)) FROM entries WHERE entry > 21 AND entry < 25"),
        8 * (3 + 2 +
             3)); /* two fills and one bin, an entry each; before them: is the lease over? */
    assert_int_equal(ask(&g, "SELECT value = 'arm' FROM meta WHERE key = 'stream'"), 1);
    assert_int_equal(ask(&g, "SELECT length(value) FROM meta WHERE key = 'model_sha256'"), 64);
    desk_close(&g);
}

static void test_never_replaces(void **state)
{
    struct latent_error err = {0};
    struct store_about about;
    struct store *second;
    struct desk g;

    (void)state;
    desk_open(&g, RING_BYTES);
    about = about_of(&g.line);
    assert_int_not_equal(store_create(&second, g.path, &about, &err), 0);
    assert_null(second);
    assert_non_null(strstr(err.text, "File exists"));
    send_bins(&g, 1);
    end(&g);
    assert_int_equal(ask(&g, "SELECT count(*) FROM entries"), 2); /* message and step */
    desk_close(&g);
}

/* ---- when it is in the file ---- */

/* Bins at random times, turns at the drain's own period: what another connection sees
 * after a turn, as it would after a kill, lacks nothing older than the interval. */
static void test_sync_interval(void **state)
{
    static uint64_t t_sent[MAX_TIMES];
    uint64_t random = 20260401, next_bin_ns, n_visible, n_due = 0;
    unsigned n_sent = 0;
    struct desk g;

    (void)state;
    desk_open(&g, RING_BYTES);
    next_bin_ns = g.line.now_ns;
    for (int i = 0; i < 2000; i++) {
        g.line.now_ns += drain_period_ns(&g.drain);
        while (next_bin_ns < g.line.now_ns) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            t_sent[n_sent++] = next_bin_ns;
            assert_true(n_sent < MAX_TIMES);
            rig_send(&g.line, 1, g.seq++, 1, 1.0f);
            next_bin_ns += 1000000 + (random >> 33) % 60000000 * (i / 50 % 4);
        }
        turn(&g);
        n_visible = ask(&g, "SELECT count(*) FROM frames");
        while (n_due < n_sent && t_sent[n_due] + sync_ns <= g.line.now_ns) n_due++;
        assert_in_range(n_visible, n_due, n_sent);
    }
    assert_true(n_due > 500);
    assert_true(g.drain.n_commits > 100);
    end(&g);
    desk_close(&g);
}

/* ---- when there is no room, or no access ---- */

static void test_full_ring(void **state)
{
    uint64_t n_lost, n_thinned, lost_frames;
    struct desk g;

    (void)state;
    desk_open(&g, 64 << 10);
    send_bins(&g, 1000); /* nobody takes them */
    n_lost = g.feed.counts.n_lost;
    n_thinned = g.feed.counts.n_thinned;
    lost_frames = g.feed.counts.lost_frames;
    assert_true(n_lost > 0 && n_thinned > 0 && lost_frames + n_thinned < 1000);
    assert_int_equal(lost_frames, (n_lost + 1) / 2); /* every second entry, and the last, has one */
    assert_int_equal(g.feed.counts.n_gaps, 1);
    assert_true(g.feed.counts.is_thinning);
    turn(&g);
    send_bins(&g, 60);
    end(&g);
    assert_false(g.feed.counts.is_thinning);
    assert_int_equal(g.feed.counts.n_lost, n_lost);
    assert_int_equal(ask(&g, "SELECT count(*) FROM entries"), 2120 - n_lost);
    assert_int_equal(ask(&g, "SELECT count(*) FROM frames WHERE bytes IS NULL"), n_thinned);
    assert_int_equal(ask(&g, "SELECT count(*) FROM frames"), 1060 - lost_frames);
    assert_int_equal(ask(&g, "SELECT n_entries FROM losses"), n_lost);
    assert_int_equal(ask(&g, "SELECT n_frames FROM losses"), lost_frames);
    /* The loss and the new snapshot stand before the same entry. */
    assert_int_equal(ask(&g, "SELECT entry FROM losses"), 2000 - n_lost + 1);
    assert_int_equal(ask(&g, "SELECT max(entry) FROM snapshots"), 2000 - n_lost + 1);
    assert_int_equal(ask(&g, "SELECT count(*) FROM snapshots"), 2);
    desk_close(&g);
}

/* ---- beside another tap ---- */

struct counting_tap {
    uint64_t n_entries, n_frames, n_done, n_removed;
};

static void count_event(void *ctx, const struct line_event *event)
{
    struct counting_tap *t = ctx;

    t->n_entries += line_event_is_entry(event->kind);
    t->n_frames += event->kind == LINE_FRAME;
    t->n_done += event->kind == LINE_DONE;
}

static void count_removed(void *ctx)
{
    struct counting_tap *t = ctx;

    t->n_removed++;
}

static void assert_counted(const struct counting_tap *t, uint64_t n)
{
    assert_int_equal(t->n_entries, 2 * n); /* a message and its step */
    assert_int_equal(t->n_frames, n);
    assert_int_equal(t->n_done, 2 * n);
}

/* Each comes and goes while the other runs, and misses nothing in between. */
static void test_beside_another_tap(void **state)
{
    struct counting_tap counting = {0};
    const struct line_tap tap = {count_event, count_removed, &counting};
    struct desk g;

    (void)state;
    desk_open(&g, RING_BYTES);
    send_bins(&g, 10);
    assert_true(line_add_tap(g.line.line, tap));
    send_bins(&g, 20);
    assert_counted(&counting, 20);
    line_remove_tap(g.line.line, &counting);
    assert_int_equal(counting.n_removed, 1);
    send_bins(&g, 5);
    assert_counted(&counting, 20);
    assert_true(line_add_tap(g.line.line, tap));
    assert_false(feed_is_removed(&g.feed));
    line_remove_tap(g.line.line, &g.feed);
    assert_true(feed_is_removed(&g.feed));
    send_bins(&g, 7);
    assert_counted(&counting, 27);
    assert_int_equal(counting.n_removed, 1);
    end(&g);
    assert_int_equal(ask(&g, "SELECT count(*) FROM entries"), 70);
    assert_int_equal(ask(&g, "SELECT count(*) FROM frames WHERE bytes IS NOT NULL"), 35);
    assert_int_equal(ask(&g, "SELECT count(*) FROM losses"), 0);
    desk_close(&g);
}

/* A snapshot holds no open message: a record that is started inside of one begins behind it, and
 * nothing counts as lost. */
static void test_started_inside_a_message(void **state)
{
    struct desk g;
    uint8_t message[4096];
    size_t n;

    (void)state;
    desk_open(&g, RING_BYTES);
    line_remove_tap(g.line.line, &g.feed);
    n = rig_pack(&g.line, 1, 0, 3, 1.0f, message, sizeof message);
    line_on_frame(g.line.line, message, n, g.line.now_ns);
    line_continue(g.line.line);
    feed_init(&g.feed, g.ring, g.line.line);
    assert_true(line_add_tap(g.line.line, feed_tap(&g.feed)));
    while (line_has_work(g.line.line)) line_continue(g.line.line);
    g.seq = 3;
    send_bins(&g, 4);
    end(&g);
    assert_int_equal(ask(&g, "SELECT count(*) FROM entries"), 8);
    assert_int_equal(ask(&g, "SELECT count(*) FROM snapshots WHERE entry = 1"), 1);
    assert_int_equal(ask(&g, "SELECT count(*) FROM losses"), 0);
    assert_int_equal(g.feed.counts.n_lost, 0);
    desk_close(&g);
}

static void test_taps_have_a_limit(void **state)
{
    struct counting_tap counting[LINE_MAX_TAPS] = {0};
    struct desk g;

    (void)state;
    desk_open(&g, RING_BYTES); /* the record is one */
    for (size_t i = 0; i < LINE_MAX_TAPS; i++)
        assert_int_equal(
            line_add_tap(g.line.line, (struct line_tap){count_event, count_removed, &counting[i]}),
            i + 1 < LINE_MAX_TAPS);
    line_remove_tap(g.line.line, &counting[LINE_MAX_TAPS - 1]); /* which it does not have */
    send_bins(&g, 3);
    for (size_t i = 0; i < LINE_MAX_TAPS; i++)
        assert_counted(&counting[i], i + 1 < LINE_MAX_TAPS ? 3 : 0);
    end(&g);
    assert_int_equal(ask(&g, "SELECT count(*) FROM entries"), 6);
    desk_close(&g);
}

static void run_sql(struct desk *g, const char *sql)
{
    if (sqlite3_exec(g->reader, sql, NULL, NULL, NULL))
        fail_msg("%s: %s", sql, sqlite3_errmsg(g->reader));
}

static void test_file_held_by_another(void **state)
{
    struct desk g;

    (void)state;
    desk_open(&g, RING_BYTES);
    send_bins(&g, 5);
    run_sql(&g, "BEGIN IMMEDIATE");
    for (int i = 0; i < 20; i++) {
        send_bins(&g, 5);
        turn(&g);
    }
    assert_int_equal(drain_end(&g.drain, g.line.now_ns), STORE_BUSY);
    assert_int_equal(g.drain.n_busy, 21);
    assert_int_equal(ask(&g, "SELECT count(*) FROM entries"), 0);
    run_sql(&g, "ROLLBACK");
    end(&g);
    assert_int_equal(ask(&g, "SELECT count(*) FROM entries"), 210);
    assert_int_equal(g.feed.counts.n_lost, 0);
    desk_close(&g);
}

/* What a ring must hold grows with the decoder that is promoted. */
static void test_room(void **state)
{
    enum { MANY = 1 << 16 };
    struct line_decoder *next;
    float *values = calloc(MANY, sizeof *values), *own;
    struct desk g;

    (void)state;
    desk_open(&g, RING_BYTES);
    assert_int_equal(line_decoder_new(&next, g.line.decoder, &g.line.info), 0);
    assert_true(feed_takes(&g.feed, next));
    own = next->read_kept;
    next->n_kept = MANY; /* as if it were of that many values */
    next->read_kept = values;
    assert_false(feed_takes(&g.feed, next));
    next->read_kept = own;
    line_decoder_free(next);
    free(values);
    desk_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_never_replaces),
        cmocka_unit_test(test_sync_interval),
        cmocka_unit_test(test_full_ring),
        cmocka_unit_test(test_file_held_by_another),
        cmocka_unit_test(test_beside_another_tap),
        cmocka_unit_test(test_started_inside_a_message),
        cmocka_unit_test(test_taps_have_a_limit),
        cmocka_unit_test(test_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A record across promotions and roll-backs is verified with the files that were promoted, also
 * when the promotion itself is in a gap; without them it says what is missing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <hdf5.h>
#include <sqlite3.h>

#include "conf/read.h"
#include "feed/feed.h"
#include "latent-replay/verify.h"
#include "latentctl/export.h"
#include "model_maker.h"
#include "record/drain.h"
#include "record/reading.h"
#include "setup/setup.h"
#include "wire.h"

enum { N_MODELS = 3, N_BINS = 4000, BIN_NS = 20000000, MAX_MESSAGE = 1024, MAX_TEXT = 2048 };

struct live {
    char folder[64], record[96], path[N_MODELS][96], text[MAX_TEXT];
    struct conf conf;
    latent_model *model[N_MODELS];
    struct latent_info info[N_MODELS];
    latent_decoder *decoder[N_MODELS];
    struct line_decoder *seat[N_MODELS]; /* [0]: the line's */
    unsigned in_use;
    struct line *line;
    struct ring *ring;
    struct feed feed;
    struct store *store;
    struct drain drain;
    uint64_t now_ns, seed, seq, n_promotions;
};

static uint64_t draw(struct live *l, uint64_t n)
{
    l->seed = l->seed * 6364136223846793005u + 1442695040888963407u;
    return (l->seed >> 33) % n;
}

static uint64_t read_clock(void *ctx)
{
    struct live *l = ctx;

    l->now_ns += draw(l, 100000);
    return l->now_ns;
}

static int take_frame(void *ctx, const char *topic, const void *bytes, size_t n)
{
    (void)topic;
    (void)bytes;
    (void)n;
    return draw(ctx, 50) ? 0 : -1;
}

/* The others do what the one in use does. */
static void hear(void *ctx, const struct line_event *e)
{
    struct live *l = ctx;
    struct latent_frame out;

    for (unsigned i = 0; e->kind == LINE_ACTION && i < N_MODELS; i++) {
        if (i == l->in_use) continue;
        if (e->what == LINE_START) latent_decoder_reset(l->decoder[i]);
        if (e->what == LINE_PREDICT) latent_decoder_predict(l->decoder[i], &out);
        if (e->input) latent_decoder_step(l->decoder[i], e->input, &out);
    }
}

/* ---- before and after ---- */

static void put_file(const char *path, struct file_bytes file)
{
    FILE *out = fopen(path, "wb");

    assert_non_null(out);
    assert_int_equal(fwrite(file.bytes, 1, file.n, out), file.n);
    fclose(out);
    free(file.bytes);
}

static struct model_parts parts_of(unsigned i)
{
    return i == 0 ? maker_kalman() : i == 1 ? maker_kalman_1() : maker_stage();
}

static void open_models(struct live *l)
{
    static const char *const names[N_MODELS] = {"first", "narrow", "stage"};
    const struct latent_options options = setup_decoder(&l->conf.streams[0].values);
    struct latent_error err = {0};

    for (unsigned i = 0; i < N_MODELS; i++) {
        struct model_parts parts = parts_of(i);

        snprintf(l->path[i], sizeof l->path[i], "%s/%s.safetensors", l->folder, names[i]);
        put_file(l->path[i], maker_file(&parts));
        if (latent_model_open(&l->model[i], l->path[i], &err)) fail_msg("%s", err.text);
        latent_model_info(l->model[i], &l->info[i]);
        if (latent_decoder_new(&l->decoder[i], l->model[i], &options, &err))
            fail_msg("%s", err.text);
    }
}

static void open_line(struct live *l)
{
    const struct line_options options = setup_line(&l->conf.streams[0], &l->info[0], 77);

    assert_int_equal(line_new(&l->line, l->decoder[0], &l->info[0], &options,
                              (struct line_clock){read_clock, l},
                              (struct line_sink){take_frame, l}),
                     0);
    l->seat[0] = line_decoder(l->line);
    for (unsigned i = 1; i < N_MODELS; i++)
        assert_int_equal(line_decoder_new(&l->seat[i], l->decoder[i], &l->info[i]), 0);
    assert_true(line_add_tap(l->line, (struct line_tap){.on_event = hear, .ctx = l}));
}

/* The record says that `about` is in use when it begins. */
static void open_record(struct live *l, size_t ring_bytes, unsigned about)
{
    const struct store_about of = {.stream = "arm",
                                   .config = l->text,
                                   .info = &l->info[about],
                                   .mode = "causal",
                                   .precision = "f32",
                                   .decoder_id = latent_decoder_id(l->decoder[about]),
                                   .clock_id = 77,
                                   .contract = LINE_CONTRACT,
                                   .file = 1};
    struct latent_error err = {0};

    l->ring = ring_new(ring_bytes);
    assert_non_null(l->ring);
    feed_init(&l->feed, l->ring, l->line);
    assert_true(line_add_tap(l->line, feed_tap(&l->feed)));
    if (store_create(&l->store, l->record, &of, &err)) fail_msg("%s", err.text);
    drain_init(&l->drain, l->ring, l->store, 100000000);
}

static void live_open(struct live *l, uint64_t seed)
{
    *l = (struct live){.seed = seed, .now_ns = 1000000000};
    snprintf(l->folder, sizeof l->folder, "/tmp/latent-promoted-XXXXXX");
    assert_non_null(mkdtemp(l->folder));
    snprintf(l->record, sizeof l->record, "%s/arm.record", l->folder);
    snprintf(l->text, sizeof l->text,
             "[stream arm]\nmodel = %s/first.safetensors\nmode = causal\nprecision = f32\n"
             "outputs = latents readout\nbudget-ms = 5\nvalid-for-ms = 60\non-gap = hold-input\n"
             "max-age-ms = 40\nmissing-after-ms = 60\non-missing = hold-frame\non-silent = safe\n"
             "max-jump-ms = 10000\nsource-clock = auto\n"
             "lease-ms = 200\nsafe-ramp-ms = 100\nsafe-exit = 3\ncontract = 2\n",
             l->folder);
    if (conf_read_text(&l->conf, "(test)", l->text)) fail_msg("%s", l->conf.problems[0]);
    open_models(l);
    open_line(l);
}

/* The file stays. */
static void close_record(struct live *l)
{
    assert_int_equal(drain_end(&l->drain, l->now_ns), STORE_OK);
    store_finish(l->store);
    store_close(l->store);
    l->store = NULL;
}

static void live_close(struct live *l)
{
    char beside[128];

    line_free(l->line);
    for (unsigned i = 0; i < N_MODELS; i++) {
        if (i > 0) line_decoder_free(l->seat[i]);
        latent_decoder_free(l->decoder[i]);
        latent_model_close(l->model[i]);
        unlink(l->path[i]);
    }
    ring_free(l->ring);
    conf_free(&l->conf);
    assert_int_equal(unlink(l->record), 0);
    for (int i = 0; i < 2; i++) { /* reading makes them */
        snprintf(beside, sizeof beside, "%s%s", l->record, i ? "-shm" : "-wal");
        unlink(beside);
    }
    assert_int_equal(rmdir(l->folder), 0);
}

/* ---- a session ---- */

static void promote(struct live *l, unsigned next)
{
    struct line_decoder *old = l->seat[l->in_use];

    l->in_use = next;
    assert_ptr_equal(
        line_promote(l->line, l->seat[next], (enum line_promotion)draw(l, LINE_N_PROMOTIONS)), old);
    l->n_promotions++;
}

static void send_bins(struct live *l, uint32_t n_bins)
{
    float counts[8 * 3];
    uint32_t marks[8] = {draw(l, 40) ? 0 : LATENT_MARK_RESET};
    const struct wire_bins head = {.epoch = 1,
                                   .seq = l->seq,
                                   .t_source_ns = 1 + l->seq * BIN_NS,
                                   .bin_width_us = 20000,
                                   .n_channels = 3,
                                   .n_bins = n_bins};
    uint8_t message[MAX_MESSAGE];

    for (size_t i = 0; i < n_bins * 3; i++) counts[i] = (float)draw(l, 6);
    l->seq += n_bins;
    line_on_frame(l->line, message,
                  wire_pack_bins(&head, counts, marks, NULL, message, sizeof message), l->now_ns);
    while (line_has_work(l->line)) line_continue(l->line);
}

static void wait_for(struct live *l, uint64_t ns)
{
    uint64_t end_ns = l->now_ns + ns;

    for (uint64_t next; (next = line_next_tick_ns(l->line, false)) <= end_ns;) {
        if (next > l->now_ns) l->now_ns = next;
        line_on_tick(l->line, l->now_ns, false);
    }
    l->now_ns = end_ns > l->now_ns ? end_ns : l->now_ns;
}

/* turns_in: one in so many bins the recorder gets a turn. */
static void live_on(struct live *l, unsigned n_bins, uint64_t turns_in)
{
    for (unsigned i = 0; i < n_bins; i++) {
        uint64_t act = draw(l, 60);

        if (draw(l, 4) == 0) promote(l, (l->in_use + 1 + (unsigned)draw(l, 2)) % N_MODELS);
        if (act == 0) line_reset(l->line);
        if (act == 1) line_safe_on(l->line, l->now_ns);
        if (act < 8) line_safe_off(l->line);
        if (act == 8) l->seq += 1 + draw(l, 5);
        if (act == 9) wait_for(l, draw(l, 300) * 1000000);
        wait_for(l, BIN_NS);
        send_bins(l, draw(l, 10) ? 1 : 1 + (uint32_t)draw(l, 7));
        if (draw(l, turns_in) == 0) assert_int_equal(drain_turn(&l->drain, l->now_ns), STORE_OK);
    }
}

/* ---- questions to the file ---- */

static uint64_t ask(const struct live *l, const char *sql)
{
    struct reading *r;
    uint64_t value;

    assert_int_equal(reading_open(&r, l->record, NULL), 0);
    value = reading_ask(r, sql);
    reading_close(r);
    return value;
}

static void change(const struct live *l, const char *sql)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(l->record, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL)) fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    assert_int_equal(sqlite3_changes(db) > 0, strncmp(sql, "UPDATE", 6) == 0);
    sqlite3_close(db);
}

static void assert_verifies(const struct live *l, int expected, const char *words)
{
    struct latent_error err = {0};
    int status = verify_run(l->record, NULL, &err);

    if (status != expected) fail_msg("%d, expected %d: %s", status, expected, err.text);
    if (words && !strstr(err.text, words)) fail_msg("\"%s\" says nothing of %s", err.text, words);
}

/* ---- tests ---- */

static void test_verify(void **state)
{
    struct live l;
    (void)state;
    live_open(&l, 7);
    open_record(&l, 1 << 20, 0);
    live_on(&l, N_BINS, 2);
    close_record(&l);
    assert_true(l.n_promotions > N_BINS / 5);
    assert_int_equal(ask(&l, "SELECT count(*) FROM losses"), 0);
    assert_int_equal(ask(&l, "SELECT count(*) FROM decoders WHERE of = 'promotion'"),
                     l.n_promotions);
    assert_int_equal(ask(&l, "SELECT count(*) FROM entries JOIN names ON code = entries.kind AND"
                             " names.kind = 'entry' AND name = 'promote'"),
                     l.n_promotions);
    assert_int_equal(ask(&l, "SELECT count(DISTINCT sha256) FROM decoders"), N_MODELS);
    assert_int_equal(ask(&l, "SELECT count(*) FROM decoders JOIN entries USING (entry) JOIN names"
                             " ON code = what AND names.kind = 'promotion'"
                             " WHERE of = 'promotion' AND name LIKE 'rolled back%'") > 0,
                     1);
    assert_verifies(&l, 0, NULL);
    live_close(&l);
}

/* A ring that is often full: promotions are lost, and what comes after is of decoders that no entry
 * told of. */
static void test_verify_after_losses(void **state)
{
    struct live l;
    (void)state;
    live_open(&l, 8);
    open_record(&l, feed_least_ring(l.line), 0);
    live_on(&l, 2 * N_BINS, 300);
    close_record(&l);
    print_message("%d losses\n", (int)ask(&l, "SELECT count(*) FROM losses"));
    assert_true(ask(&l, "SELECT count(*) FROM losses") > 10);
    assert_true(ask(&l, "SELECT count(*) FROM decoders WHERE of = 'promotion'") <
                l.n_promotions - 100);
    assert_true(ask(&l, "SELECT count(DISTINCT decoder_id) FROM decoders WHERE of = 'snapshot'") ==
                N_MODELS);
    assert_verifies(&l, 0, NULL);
    live_close(&l);
}

/* One that begins after a promotion; and one that says another decoder than is in use when it
 * begins, because the promotion came between. */
static void test_started_after(void **state)
{
    (void)state;
    for (unsigned about = 0; about < 2; about++) {
        struct live l;

        live_open(&l, 9);
        open_record(&l, 1 << 20, about);
        line_remove_tap(l.line, &l.feed);
        live_on(&l, 20, 1);
        promote(&l, (l.in_use + 1) % N_MODELS);
        if (l.in_use != 1) promote(&l, 1);
        feed_init(&l.feed, l.ring, l.line);
        assert_true(line_add_tap(l.line, feed_tap(&l.feed)));
        live_on(&l, 200, 1);
        close_record(&l);
        assert_verifies(&l, 0, NULL);
        live_close(&l);
    }
}

static void test_what_is_missing(void **state)
{
    struct model_parts other = maker_stage();
    char kept[128];
    struct live l;
    (void)state;
    live_open(&l, 10);
    open_record(&l, 1 << 20, 0);
    live_on(&l, 300, 1);
    close_record(&l);
    snprintf(kept, sizeof kept, "%s.kept", l.path[1]);
    assert_int_equal(rename(l.path[1], kept), 0);
    assert_verifies(&l, LATENT_E_IO, "the decoder that is promoted: ");
    assert_verifies(&l, LATENT_E_IO, l.path[1]);
    put_file(l.path[1], maker_file(&other));
    assert_verifies(&l, LATENT_E_CONFIG, "is not the model that was promoted: expected SHA-256");
    assert_int_equal(rename(kept, l.path[1]), 0);
    assert_verifies(&l, 0, NULL);
    live_close(&l);
}

/* Bytes of a promotion that are not what was written: told, and nothing worse. */
static void test_damaged(void **state)
{
    struct live l;
    (void)state;
    live_open(&l, 11);
    open_record(&l, 1 << 20, 0);
    live_on(&l, 200, 1);
    close_record(&l);
    change(&l, "CREATE TABLE kept AS SELECT entry, payload FROM entries JOIN decoders USING (entry)"
               " WHERE of = 'promotion'");
    change(&l, "UPDATE entries SET payload = substr(payload, 1, 40)"
               " WHERE entry = (SELECT max(entry) FROM kept)");
    assert_verifies(&l, LATENT_E_FORMAT, "damaged");
    change(&l, "UPDATE entries SET payload = (SELECT substr(payload, 1, length(payload) - 1)"
               " FROM kept WHERE kept.entry = entries.entry)"
               " WHERE entry = (SELECT max(entry) FROM kept)");
    assert_verifies(&l, LATENT_E_SNAPSHOT, "damaged");
    change(&l, "UPDATE entries SET payload = NULL WHERE entry = (SELECT max(entry) FROM kept)");
    assert_verifies(&l, LATENT_E_FORMAT, "damaged");
    change(&l, "UPDATE entries SET payload = (SELECT payload FROM kept WHERE kept.entry ="
               " entries.entry) WHERE entry IN (SELECT entry FROM kept)");
    assert_verifies(&l, 0, NULL);
    change(&l, "UPDATE frames SET bytes = substr(bytes, 1, length(bytes) - 1) || x'00'"
               " WHERE id = (SELECT max(id) FROM frames)");
    assert_verifies(&l, VERIFY_DIFFERENT, NULL);
    live_close(&l);
}

/* A record from before there were promotions has no such table. */
static void test_of_before(void **state)
{
    struct live l;
    (void)state;
    live_open(&l, 12);
    open_record(&l, 1 << 20, 0);
    for (int i = 0; i < 50; i++) send_bins(&l, 1);
    close_record(&l);
    change(&l, "DROP TABLE decoders");
    assert_verifies(&l, 0, NULL);
    live_close(&l);
}

static void read_column(hid_t file, const char *name, hid_t type, void *out, size_t n)
{
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT), space = H5Dget_space(set);

    assert_int_equal(H5Sget_simple_extent_npoints(space), n);
    assert_true(H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out) >= 0);
    H5Sclose(space);
    H5Dclose(set);
}

/* Frames of the narrow model keep their latent; the place of the one that it lacks is NaN. */
static void check_export(const struct live *l, const char *path, size_t n)
{
    uint64_t *flags = calloc(n, sizeof *flags), *id = calloc(n, sizeof *id);
    uint64_t *to = calloc(l->n_promotions, sizeof *to);
    float *latents = calloc(2 * n, sizeof *latents);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    size_t n_narrow = 0, n_wide = 0;

    read_column(file, "frames/flags", H5T_NATIVE_UINT64, flags, n);
    read_column(file, "frames/decoder_id", H5T_NATIVE_UINT64, id, n);
    read_column(file, "frames/latents", H5T_NATIVE_FLOAT, latents, 2 * n);
    read_column(file, "promotions/decoder_id", H5T_NATIVE_UINT64, to, l->n_promotions);
    for (size_t i = 0; i < n; i++) {
        bool is_narrow = id[i] == l->seat[1]->decoder_id;

        if (flags[i] & (LATENT_SAFE | LATENT_HELD)) continue;
        assert_true(isfinite(latents[2 * i]));
        assert_int_equal(!isfinite(latents[2 * i + 1]), is_narrow);
        n_narrow += is_narrow;
        n_wide += !is_narrow;
    }
    assert_true(n_narrow > 10 && n_wide > 10);
    assert_int_equal(to[l->n_promotions - 1], l->seat[l->in_use]->decoder_id);
    H5Fclose(file);
    free(flags);
    free(id);
    free(to);
    free(latents);
}

static void test_export(void **state)
{
    struct latent_error err = {0};
    char path[128];
    struct live l;
    (void)state;
    live_open(&l, 14);
    open_record(&l, 1 << 20, 0);
    live_on(&l, 300, 1);
    close_record(&l);
    snprintf(path, sizeof path, "%s/out.h5", l.folder);
    if (export_record(l.record, path, &err)) fail_msg("%s", err.text);
    check_export(&l, path, (size_t)ask(&l, "SELECT count(*) FROM frames"));
    unlink(path);
    live_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verify),        cmocka_unit_test(test_verify_after_losses),
        cmocka_unit_test(test_started_after), cmocka_unit_test(test_what_is_missing),
        cmocka_unit_test(test_damaged),       cmocka_unit_test(test_of_before),
        cmocka_unit_test(test_export),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

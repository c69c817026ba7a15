/* A record whose files are not left alone, with the recorder's own thread: it goes on in another
 * file, and what is kept and what is lost add up to what there was. Nothing depends on how fast the
 * thread is: each look waits for what must come. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "line_fixture.h"
#include "record/recorder.h"

enum { BIN_NS = 20000000, WAL_BYTES = 256 << 10, N_BINS = 40, ENTRIES_PER_BIN = 2 };
static const uint64_t wait_ns = 60000000000u;

struct desk {
    char folder[64], path[96];
    struct rig line;
    struct recorder *recorder;
    uint64_t seq;
};

static void desk_open(struct desk *g)
{
    const struct recorder_options options = {
        .path = g->path, .sync_ns = 20000000, .buffer_bytes = 8 << 20, .wal_bytes = WAL_BYTES};
    struct latent_error err = {0};
    struct store_about about;

    memset(g, 0, sizeof *g);
    snprintf(g->folder, sizeof g->folder, "/tmp/latent-files-XXXXXX");
    assert_non_null(mkdtemp(g->folder));
    snprintf(g->path, sizeof g->path, "%s/arm.record", g->folder);
    rig_open(&g->line, maker_gru(), NULL, NULL);
    about = (struct store_about){.stream = "arm",
                                 .config = "[stream arm]\n",
                                 .info = &g->line.info,
                                 .mode = latent_decoder_mode(g->line.decoder)->name,
                                 .precision = "f32",
                                 .contract = LINE_CONTRACT};
    if (recorder_open(&g->recorder, &options, &about, g->line.line, &err)) fail_msg("%s", err.text);
    assert_true(line_add_tap(g->line.line, recorder_tap(g->recorder)));
    assert_true(recorder_wait_open(g->recorder, wait_ns));
}

static void name_in(const struct desk *g, char *path, size_t n, const char *name)
{
    snprintf(path, n, "%s/%s", g->folder, name);
}

static void send_bins(struct desk *g, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        rig_send(&g->line, 1, g->seq, 1, (float)(g->seq % 3));
        g->seq++;
        g->line.now_ns += BIN_NS;
    }
}

static struct recorder_status look(struct desk *g)
{
    struct recorder_status status;
    const struct timespec moment = {.tv_nsec = 2000000};

    nanosleep(&moment, NULL);
    recorder_read(g->recorder, &status);
    return status;
}

/* All that was sent is accounted for. */
static struct recorder_status settle(struct desk *g)
{
    struct recorder_status status = look(g);

    while (status.n_entries + status.n_lost < ENTRIES_PER_BIN * g->seq) {
        assert_true(status.state < RECORDER_STOPPED);
        status = look(g);
    }
    assert_int_equal(status.n_entries + status.n_lost, ENTRIES_PER_BIN * g->seq);
    assert_int_equal(status.n_frames + status.lost_frames, g->seq);
    return status;
}

/* Bins until the record is in so many files. */
static struct recorder_status send_until(struct desk *g, uint64_t n_files)
{
    struct recorder_status status = look(g);

    while (status.n_files < n_files) {
        assert_true(status.state < RECORDER_STOPPED);
        send_bins(g, 1);
        status = look(g);
    }
    return settle(g);
}

static struct recorder_status finish(struct desk *g)
{
    struct recorder_status status;

    line_remove_tap(g->line.line, recorder_tap(g->recorder).ctx);
    recorder_finish(g->recorder);
    assert_true(recorder_wait_end(g->recorder, wait_ns));
    recorder_read(g->recorder, &status);
    return status;
}

static void desk_close(struct desk *g)
{
    DIR *folder = opendir(g->folder);
    char path[512];

    assert_true(recorder_close(g->recorder, 0));
    rig_close(&g->line);
    assert_non_null(folder);
    for (struct dirent *file; (file = readdir(folder));) {
        snprintf(path, sizeof path, "%s/%s", g->folder, file->d_name);
        unlink(path);
    }
    closedir(folder);
    assert_int_equal(rmdir(g->folder), 0);
}

static uint64_t ask(const struct desk *g, const char *name, const char *sql)
{
    sqlite3_stmt *statement;
    uint64_t value;
    char path[160];
    sqlite3 *db;

    name_in(g, path, sizeof path, name);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL)) fail_msg("%s", sqlite3_errmsg(db));
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    value = (uint64_t)sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return value;
}

static bool is_there(const struct desk *g, const char *name)
{
    struct stat found;
    char path[160];

    name_in(g, path, sizeof path, name);
    return lstat(path, &found) == 0;
}

static const char count_entries[] = "SELECT count(*) FROM entries";
static const char is_closed[] = "SELECT count(*) FROM meta WHERE key = 'end_utc_ns'";

/* ---- kinds ---- */

/* Both files are complete, each begins with a snapshot, and no -wal is left. */
static void test_renamed(void **state)
{
    struct recorder_status status;
    struct desk g;
    char old[160];

    (void)state;
    desk_open(&g);
    send_bins(&g, N_BINS);
    settle(&g);
    name_in(&g, old, sizeof old, "old.record");
    assert_int_equal(rename(g.path, old), 0);
    status = send_until(&g, 2);
    assert_int_equal(status.state, RECORDER_RECORDING);
    assert_non_null(strstr(status.path, "/arm-2.record"));
    assert_non_null(strstr(status.text, "/old.record now"));
    status = finish(&g);
    assert_int_equal(status.state, RECORDER_STOPPED);
    assert_int_equal(status.n_lost, 0);
    assert_int_equal(ask(&g, "old.record", count_entries) + ask(&g, "arm-2.record", count_entries),
                     ENTRIES_PER_BIN * g.seq);
    assert_int_equal(ask(&g, "old.record", is_closed) + ask(&g, "arm-2.record", is_closed), 2);
    assert_int_equal(ask(&g, "arm-2.record", "SELECT min(entry) FROM snapshots"), 1);
    assert_int_equal(ask(&g, "arm-2.record", "SELECT value FROM meta WHERE key = 'file'"), 2);
    assert_false(is_there(&g, "arm.record-wal"));
    desk_close(&g);
}

/* With nothing to come there is no other file; what was in the -wal comes after it all the same. */
static void test_renamed_at_the_end(void **state)
{
    struct desk g;
    char old[160];

    (void)state;
    desk_open(&g);
    send_bins(&g, N_BINS);
    settle(&g);
    name_in(&g, old, sizeof old, "old.record");
    assert_int_equal(rename(g.path, old), 0);
    assert_int_equal(finish(&g).n_files, 1);
    assert_int_equal(ask(&g, "old.record", count_entries), ENTRIES_PER_BIN * N_BINS);
    assert_int_equal(ask(&g, "old.record", is_closed), 1);
    desk_close(&g);
}

/* Deleted: all of it is copied, and goes on in the copy. */
static void test_deleted(void **state)
{
    struct recorder_status status;
    struct desk g;

    (void)state;
    desk_open(&g);
    send_bins(&g, N_BINS);
    settle(&g);
    assert_int_equal(unlink(g.path), 0);
    status = send_until(&g, 2);
    assert_non_null(strstr(status.text, "deleted"));
    assert_int_equal(status.n_lost, 0);
    finish(&g);
    assert_int_equal(ask(&g, "arm-2.record", count_entries), ENTRIES_PER_BIN * g.seq);
    assert_int_equal(ask(&g, "arm-2.record", "SELECT max(entry) FROM entries"),
                     ENTRIES_PER_BIN * g.seq);
    assert_false(is_there(&g, "arm.record-wal"));
    desk_close(&g);
}

/* What was in the -wal cannot be read any more: counted, and told before the next file's first
 * entry. */
static void test_cut_wal(void **state)
{
    struct recorder_status status;
    struct desk g;
    char wal[160];

    (void)state;
    desk_open(&g);
    send_bins(&g, N_BINS);
    settle(&g);
    name_in(&g, wal, sizeof wal, "arm.record-wal");
    assert_int_equal(truncate(wal, 0), 0);
    status = send_until(&g, 2);
    assert_int_equal(status.n_lost, ENTRIES_PER_BIN * N_BINS);
    assert_int_equal(status.lost_frames, N_BINS);
    assert_non_null(strstr(status.text, "arm.record-wal was cut to 0 bytes"));
    finish(&g);
    assert_int_equal(ask(&g, "arm-2.record", count_entries), ENTRIES_PER_BIN * (g.seq - N_BINS));
    assert_int_equal(ask(&g, "arm-2.record", "SELECT n_entries FROM losses WHERE entry = 1"),
                     ENTRIES_PER_BIN * N_BINS);
    desk_close(&g);
}

/* SQLite has the -shm mapped: touching what is cut away would end the program. */
static void test_cut_shm(void **state)
{
    struct desk g;
    char shm[160];

    (void)state;
    desk_open(&g);
    send_bins(&g, N_BINS);
    settle(&g);
    name_in(&g, shm, sizeof shm, "arm.record-shm");
    assert_int_equal(truncate(shm, 0), 0);
    assert_int_equal(send_until(&g, 2).n_lost, 0);
    finish(&g);
    assert_int_equal(ask(&g, "arm.record", count_entries) + ask(&g, "arm-2.record", count_entries),
                     ENTRIES_PER_BIN * g.seq);
    desk_close(&g);
}

/* Somebody reads, and does not end: the -wal is bounded, and nothing is lost. */
static void test_long_reader(void **state)
{
    struct recorder_status status;
    struct desk g;
    sqlite3 *reader;

    (void)state;
    desk_open(&g);
    send_bins(&g, N_BINS);
    settle(&g);
    assert_int_equal(sqlite3_open_v2(g.path, &reader, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM entries", NULL, NULL, NULL),
                     SQLITE_OK);
    status = send_until(&g, 2);
    assert_non_null(strstr(status.text, "has been read by somebody"));
    assert_true(status.wal_bytes < WAL_BYTES);
    assert_int_equal(status.n_lost, 0);
    sqlite3_close(reader);
    finish(&g);
    assert_int_equal(ask(&g, "arm.record", count_entries) + ask(&g, "arm-2.record", count_entries),
                     ENTRIES_PER_BIN * g.seq);
    desk_close(&g);
}

/* A -wal that lost its record would be taken for a part of the new one, or deleted: no file gets
 * its name. */
static void test_no_name_beside_an_old_wal(void **state)
{
    struct recorder_status status;
    struct desk g;
    char path[160];

    (void)state;
    desk_open(&g);
    name_in(&g, path, sizeof path, "arm-2.record-wal");
    fclose(fopen(path, "w"));
    send_bins(&g, N_BINS);
    settle(&g);
    assert_int_equal(unlink(g.path), 0);
    status = send_until(&g, 2);
    assert_non_null(strstr(status.path, "/arm-3.record"));
    finish(&g);
    assert_true(is_there(&g, "arm-2.record-wal"));
    desk_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_renamed),
        cmocka_unit_test(test_renamed_at_the_end),
        cmocka_unit_test(test_deleted),
        cmocka_unit_test(test_cut_wal),
        cmocka_unit_test(test_cut_shm),
        cmocka_unit_test(test_long_reader),
        cmocka_unit_test(test_no_name_beside_an_old_wal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The operator's SAFE on a disk: what was written is read, what is not whole holds everybody. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <uv.h>

#include "latentd/held.h"

#define BYTES 4096

struct place {
    char folder[64], path[96], fresh[104];
    struct held_names names, found;
    struct conf conf;
    struct conf_stream_section streams[3];
    struct notes notes;
    uv_loop_t loop;
};

static int place_open(void **state)
{
    static const char *const names[] = {"arm", "leg", "Hand-2_x"};
    struct place *p = calloc(1, sizeof *p);
    snprintf(p->folder, sizeof p->folder, "/tmp/test-held.XXXXXX");
    if (!mkdtemp(p->folder)) {
        free(p);
        return -1;
    }
    snprintf(p->path, sizeof p->path, "%s/x.safe", p->folder);
    snprintf(p->fresh, sizeof p->fresh, "%s.new", p->path);
    for (size_t i = 0; i < 3; i++)
        snprintf(p->streams[i].name, sizeof p->streams[i].name, "%s", names[i]);
    p->conf = (struct conf){.streams = p->streams, .n_streams = 3};
    p->conf.daemon.safe_file = p->path;
    uv_loop_init(&p->loop);
    *state = p;
    return 0;
}

static int place_close(void **state)
{
    struct place *p = *state;
    int status;
    unlink(p->path);
    unlink(p->fresh);
    rmdir(p->path);
    status = rmdir(p->folder);
    uv_loop_close(&p->loop);
    free(p);
    return status;
}

static size_t file_bytes(const char *path, char bytes[BYTES])
{
    FILE *file = fopen(path, "rb");
    size_t n;
    assert_non_null(file);
    n = fread(bytes, 1, BYTES, file);
    fclose(file);
    return n;
}

static void file_put(const char *path, const char *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static void write_names(struct place *p, size_t n)
{
    struct latent_error err = {0};
    p->names.n = 0;
    for (size_t i = 0; i < n; i++) assert_true(held_names_add(&p->names, p->streams[i].name));
    assert_int_equal(held_file_write(p->path, &p->names, &err), 0);
}

static int read_names(struct place *p)
{
    struct latent_error err = {0};
    int status = held_file_read(p->path, &p->found, &err);
    if (status) assert_non_null(strstr(err.text, p->path));
    if (status) assert_int_equal(p->found.n, 0);
    return status;
}

static void test_names_come_back(void **state)
{
    struct place *p = *state;
    assert_int_equal(read_names(p), 0); /* no file */
    assert_int_equal(p->found.n, 0);
    for (size_t n = 1; n <= 3; n++) {
        write_names(p, n);
        assert_int_equal(read_names(p), 0);
        assert_int_equal(p->found.n, n);
        for (size_t i = 0; i < n; i++) assert_true(held_names_have(&p->found, p->streams[i].name));
    }
    write_names(p, 0);
    assert_int_equal(access(p->path, F_OK), -1);
    assert_int_equal(access(p->fresh, F_OK), -1);
}

/* Cut anywhere, any bit changed, anything added: no names, and said. */
static void test_damage(void **state)
{
    struct place *p = *state;
    char whole[BYTES], bytes[BYTES];
    size_t n;
    write_names(p, 2);
    n = file_bytes(p->path, whole);
    for (size_t i = 0; i < n; i++) {
        file_put(p->path, whole, i);
        assert_true(read_names(p) < 0);
    }
    for (size_t bit = 0; bit < 8 * n; bit++) {
        memcpy(bytes, whole, n);
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
        file_put(p->path, bytes, n);
        assert_true(read_names(p) < 0);
    }
    whole[n] = '\n';
    file_put(p->path, whole, n + 1);
    assert_true(read_names(p) < 0);
    memset(bytes, 0, sizeof bytes);
    file_put(p->path, bytes, sizeof bytes);
    assert_true(read_names(p) < 0);
}

static void test_what_is_no_file(void **state)
{
    struct place *p = *state;
    assert_int_equal(mkfifo(p->path, 0600), 0);
    assert_true(read_names(p) < 0);
    write_names(p, 1); /* a pipe there is no hindrance */
    assert_int_equal(read_names(p), 0);
    assert_int_equal(unlink(p->path), 0);
    assert_int_equal(symlink("/nowhere", p->path), 0);
    assert_true(read_names(p) < 0);
    assert_int_equal(unlink(p->path), 0);
    assert_int_equal(mkdir(p->path, 0700), 0);
    assert_true(read_names(p) < 0);
    assert_true(held_file_write(p->path, &p->found, &(struct latent_error){0}) < 0);
}

/* A writing that fails leaves what was there. */
static void test_failed_writing(void **state)
{
    struct place *p = *state;
    struct latent_error err = {0};
    write_names(p, 1);
    assert_int_equal(mkdir(p->fresh, 0700), 0);
    held_names_add(&p->names, "leg");
    assert_true(held_file_write(p->path, &p->names, &err) < 0);
    assert_non_null(strstr(err.text, p->path));
    assert_int_equal(rmdir(p->fresh), 0);
    assert_int_equal(read_names(p), 0);
    assert_int_equal(p->found.n, 1);
}

/* ---- the whole of it ---- */

static void check_held(struct place *p, unsigned expected)
{
    struct held h;
    p->notes.n = 0;
    held_open(&h, &p->conf, &p->notes);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(held_is_on(&h, p->streams[i].name), expected >> i & 1);
    held_close(&h);
}

/* Changes that come while the disk is at work are written after it: the file ends as the last one
 * says, and each is answered for. */
static void test_changes(void **state)
{
    struct place *p = *state;
    char text[HELD_TEXT];
    struct held h;
    uint64_t last = 0;
    held_open(&h, &p->conf, &p->notes);
    assert_int_equal(p->notes.n, 0);
    h.loop = &p->loop;
    for (unsigned i = 0; i < 20; i++) last = held_set(&h, p->streams[i % 3].name, i % 2 == 0);
    assert_int_equal(held_look(&h, last, 1000, 1000 + HELD_MOMENT_NS, text), HELD_OWED);
    assert_int_equal(held_look(&h, last, 1000, 1001 + HELD_MOMENT_NS, text), HELD_NOT_KEPT);
    assert_non_null(strstr(text, "has not answered"));
    held_tell(&h, p->streams[0].name, text);
    assert_non_null(strstr(text, "NOT KEPT yet: "));
    uv_run(&p->loop, UV_RUN_DEFAULT);
    assert_false(held_is_writing(&h));
    assert_int_equal(held_look(&h, last, 0, 0, text), HELD_KEPT);
    assert_string_equal(text, p->path);
    held_tell(&h, p->streams[0].name, text);
    assert_non_null(strstr(text, "kept in "));
    held_tell(&h, p->streams[1].name, text);
    assert_string_equal(text, "");
    held_close(&h);
    check_held(p, 1); /* the last: i = 18 on, 19 off, 17 off */
    assert_int_equal(p->notes.n, 1);
}

static void test_unreadable_holds_all(void **state)
{
    struct place *p = *state;
    struct held h;
    file_put(p->path, "x", 1);
    check_held(p, 7);
    assert_int_equal(p->notes.n, 1);
    held_open(&h, &p->conf, &p->notes);
    h.loop = &p->loop;
    held_set(&h, p->streams[1].name, false);
    uv_run(&p->loop, UV_RUN_DEFAULT);
    held_close(&h);
    check_held(p, 5);
}

/* Streams that a configuration leaves out for a while are not let go by that. */
static void test_others_stay(void **state)
{
    struct place *p = *state;
    struct held h;
    write_names(p, 3);
    p->conf.n_streams = 1;
    held_open(&h, &p->conf, &p->notes);
    h.loop = &p->loop;
    held_set(&h, p->streams[0].name, false);
    uv_run(&p->loop, UV_RUN_DEFAULT);
    held_close(&h);
    p->conf.n_streams = 3;
    check_held(p, 6);
}

static void test_tried_again(void **state)
{
    struct place *p = *state;
    char text[HELD_TEXT];
    struct held h;
    uint64_t change;
    held_open(&h, &p->conf, &p->notes);
    h.loop = &p->loop;
    assert_int_equal(mkdir(p->fresh, 0700), 0);
    change = held_set(&h, p->streams[0].name, true);
    uv_run(&p->loop, UV_RUN_DEFAULT);
    assert_int_equal(held_look(&h, change, 0, 0, text), HELD_NOT_KEPT);
    held_tell(&h, p->streams[0].name, text);
    assert_non_null(strstr(text, "NOT KEPT: "));
    assert_int_equal(rmdir(p->fresh), 0);
    held_retry(&h);
    uv_run(&p->loop, UV_RUN_DEFAULT);
    assert_int_equal(held_look(&h, change, 0, 0, text), HELD_KEPT);
    held_close(&h);
    check_held(p, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_names_come_back, place_open, place_close),
        cmocka_unit_test_setup_teardown(test_damage, place_open, place_close),
        cmocka_unit_test_setup_teardown(test_what_is_no_file, place_open, place_close),
        cmocka_unit_test_setup_teardown(test_failed_writing, place_open, place_close),
        cmocka_unit_test_setup_teardown(test_changes, place_open, place_close),
        cmocka_unit_test_setup_teardown(test_unreadable_holds_all, place_open, place_close),
        cmocka_unit_test_setup_teardown(test_others_stay, place_open, place_close),
        cmocka_unit_test_setup_teardown(test_tried_again, place_open, place_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

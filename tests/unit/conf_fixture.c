/* Configurations read from text, through a file that is gone afterwards. */
#include "conf_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/read.h"

void read_bytes(struct read *r, const char *text, size_t n)
{
    int fd;
    snprintf(r->path, sizeof r->path, "/tmp/latent-conf-XXXXXX");
    fd = mkstemp(r->path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), n);
    close(fd);
    r->status = conf_read(&r->conf, r->path);
    unlink(r->path);
}

struct conf *read_text(struct read *r, const char *text)
{
    read_bytes(r, text, strlen(text));
    return &r->conf;
}

const char *problem_at(const struct read *r, size_t i)
{
    size_t n = strlen(r->path);
    assert_true(i < r->conf.n_problems);
    assert_int_equal(strncmp(r->conf.problems[i], r->path, n), 0);
    return r->conf.problems[i] + n;
}

void check_good(const char *text)
{
    struct read r;
    read_text(&r, text);
    for (size_t i = 0; i < r.conf.n_problems; i++) fail_msg("%s", problem_at(&r, i));
    assert_int_equal(r.status, 0);
    conf_free(&r.conf);
}

void check_problem(const char *text, const char *expected)
{
    struct read r;
    read_text(&r, text);
    assert_int_equal(r.status, -1);
    assert_string_equal(problem_at(&r, 0), expected);
    assert_int_equal(r.conf.n_problems, 1);
    conf_free(&r.conf);
}

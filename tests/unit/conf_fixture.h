/* Configurations read from text. */
#ifndef CONF_FIXTURE_H
#define CONF_FIXTURE_H

#include "conf/conf.h"

#define STREAM "[stream arm]\nmodel = m.safetensors\n"

/* What was read; conf_free(&r.conf) is the test's. */
struct read {
    struct conf conf;
    char path[64];
    int status;
};

void read_bytes(struct read *r, const char *text, size_t n);
struct conf *read_text(struct read *r, const char *text);
/* The i-th problem, without the file's name. */
const char *problem_at(const struct read *r, size_t i);

/* The text has no mistake. */
void check_good(const char *text);
/* The text has exactly this one mistake. */
void check_problem(const char *text, const char *expected);

#endif

/* What the lines of a configuration file say. */
#include "conf/conf.h"

#include <assert.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

/* ---- problems ---- */

/* A file with more is not a slip of the hand: the last place says so. */
static void add_problem(struct conf *c, char *text)
{
    if (c->n_problems == CONF_MAX_PROBLEMS) {
        free(text);
        return;
    }
    c->problems = memory_need(realloc(c->problems, (c->n_problems + 1) * sizeof *c->problems));
    c->problems[c->n_problems++] = text;
}

__attribute__((format(printf, 4, 0))) static void
problem(struct conf *c, unsigned line, const char *key, const char *format, va_list args)
{
    char what[2 * CONF_MAX_VALUE], where[32] = "", *text;

    vsnprintf(what, sizeof what, format, args);
    if (line) snprintf(where, sizeof where, ":%u", line);
    if (asprintf(&text, "%s%s: %s%s%s", c->path, where, key ? key : "", key ? ": " : "", what) < 0)
        text = NULL;
    add_problem(c, printable(memory_need(text)));
}

void conf_problem(struct conf *c, unsigned line, const char *key, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    problem(c, line, key, format, args);
    va_end(args);
}

bool conf_is_given(const struct conf_lines *lines, enum conf_section section, const char *key)
{
    const struct conf_key *row = conf_find(section, key);

    return row && lines->key[row - conf_keys(section)];
}

unsigned conf_line(const struct conf_lines *lines, enum conf_section section, const char *key)
{
    const struct conf_key *row = key ? conf_find(section, key) : NULL;
    unsigned line = row ? lines->key[row - conf_keys(section)] : 0;

    return line ? line : lines->section;
}

void conf_stream_problem(struct conf *c, const struct conf_stream_section *s, const char *key,
                         const char *format, ...)
{
    va_list args;

    va_start(args, format);
    problem(c, conf_line(&s->lines, CONF_STREAM, key), key, format, args);
    va_end(args);
}

/* ---- life ---- */

void conf_init(struct conf *c, const char *path)
{
    char *copy = memory_need(strdup(path));

    *c = (struct conf){.path = memory_need(strdup(path))};
    c->folder = memory_need(strdup(dirname(copy)));
    free(copy);
    conf_set_defaults(CONF_DAEMON, &c->daemon);
}

void conf_free(struct conf *c)
{
    for (size_t i = 0; i < c->n_problems; i++) free(c->problems[i]);
    for (size_t i = 0; i < c->n_streams; i++) conf_free_values(CONF_STREAM, &c->streams[i].values);
    for (size_t i = 0; i < c->n_clients; i++) conf_free_values(CONF_CLIENT, &c->clients[i].values);
    conf_free_values(CONF_DAEMON, &c->daemon);
    free(c->problems);
    free(c->streams);
    free(c->clients);
    free(c->folder);
    free(c->path);
    *c = (struct conf){0};
}

/* ---- values against the model ---- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t largest(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* What is found here is written into a configuration, so it stays among the times that one
 * takes. */
void conf_resolve(struct conf_stream *s, uint32_t bin_width_us, uint32_t every_bins)
{
    const uint64_t ms = 1000000, bin_ns = (uint64_t)bin_width_us * 1000, most = 3600000 * ms;

    if (s->budget_ns == 0) s->budget_ns = least(bin_ns / 2, 5 * ms);
    if (s->missing_after_ns == 0) s->missing_after_ns = largest(3 * bin_ns, 20 * ms);
    if (s->valid_for_ns == 0)
        s->valid_for_ns = least(largest(50 * ms, s->missing_after_ns + every_bins * bin_ns), most);
    if (s->lease_ns == 0)
        s->lease_ns = largest(largest(200 * ms, s->safe_ramp_ns + 2 * bin_ns), s->valid_for_ns);
    if (s->max_age_ns == 0) s->max_age_ns = largest(2 * bin_ns, 20 * ms);
}

uint64_t conf_bins(uint64_t time_ns, uint32_t bin_width_us)
{
    return largest(time_ns / ((uint64_t)bin_width_us * 1000), 1);
}

char *conf_path_of(const struct conf *c, const char *path)
{
    char *whole = NULL;
    int n =
        path[0] == '/' ? asprintf(&whole, "%s", path) : asprintf(&whole, "%s/%s", c->folder, path);

    assert(n > 0);
    return whole;
}

char *conf_safe_file(const struct conf *c)
{
    static const char ipc[] = "ipc://";
    const char *control = c->daemon.control, *beside = c->path;
    char *whole = NULL;
    int n;

    if (c->daemon.safe_file) return conf_path_of(c, c->daemon.safe_file);
    if (strncmp(control, ipc, strlen(ipc)) == 0 && !strchr("*@", control[strlen(ipc)]))
        beside = control + strlen(ipc);
    n = asprintf(&whole, "%s.safe", beside);
    assert(n > 0);
    (void)n;
    return whole;
}

/* What the lines of a configuration file say, and whether the sections fit each other.
 */
#include "conf/conf.h"

#include <assert.h>
#include <errno.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/reader.h"
#include "conf/types.h"
#include "tool/printable.h"

/* ---- problems ---- */

/* A file with more is not a slip of the hand: the last place says so. */
static void add_problem(struct conf *c, char *text)
{
    if (c->n_problems == CONF_MAX_PROBLEMS) {
        free(text);
        return;
    }
    c->problems = realloc(c->problems, (c->n_problems + 1) * sizeof *c->problems);
    assert(c->problems);
    c->problems[c->n_problems++] = text;
}

__attribute__((format(printf, 4, 0))) static void problem(struct conf *c, unsigned line,
                                                          const char *key,
                                                          const char *format,
                                                          va_list args)
{
    char what[2 * CONF_MAX_VALUE], where[32] = "", *text;

    vsnprintf(what, sizeof what, format, args);
    if (line) snprintf(where, sizeof where, ":%u", line);
    if (asprintf(&text, "%s%s: %s%s%s", c->path, where, key ? key : "", key ? ": " : "",
                 what) < 0)
        text = NULL;
    assert(text);
    add_problem(c, printable(text));
}

void conf_problem(struct conf *c, unsigned line, const char *key, const char *format,
                  ...)
{
    va_list args;

    va_start(args, format);
    problem(c, line, key, format, args);
    va_end(args);
}

static unsigned line_of(const struct conf_stream_section *s, const char *key)
{
    const struct conf_key *row = conf_find(CONF_STREAM, key);
    unsigned line = row ? s->lines.key[row - conf_keys(CONF_STREAM)] : 0;

    return line ? line : s->lines.section;
}

void conf_stream_problem(struct conf *c, const struct conf_stream_section *s,
                         const char *key, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    problem(c, line_of(s, key), key, format, args);
    va_end(args);
}

/* ---- sections that must fit each other ---- */

static void check_required(struct conf *c, const struct conf_stream_section *s)
{
    if (s->values.model) return;
    conf_stream_problem(c, s, "model",
                        "missing in [stream %s]; write the path of a model file",
                        s->name);
}

/* The readout must be able to get to neutral before the lease is over. */
static void check_lease(struct conf *c, const struct conf_stream_section *s)
{
    if (s->values.lease_ns == 0 || s->values.safe_ramp_ns <= s->values.lease_ns) return;
    conf_stream_problem(c, s, "safe-ramp-ms",
                        "%.12g is longer than lease-ms (%.12g), within which the ramp "
                        "must end",
                        (double)s->values.safe_ramp_ns / 1e6,
                        (double)s->values.lease_ns / 1e6);
}

static void check_plaintext(struct conf *c, unsigned line, const char *key,
                            const char *endpoint)
{
    if (c->daemon.plaintext == CONF_PLAINTEXT_ANYWHERE) return;
    if (endpoint_is_local(endpoint)) return;
    conf_problem(
        c, line, key,
        "%s can be reached from other machines, unencrypted; use an address of "
        "127.0.0.0/8 or ipc://, or set [latentd] plaintext = anywhere",
        endpoint);
}

static void check_endpoints(struct conf *c, const struct conf_stream_section *s)
{
    const struct conf_stream *v = &s->values;

    check_plaintext(c, line_of(s, "input"), "input", v->input);
    check_plaintext(c, line_of(s, "output"), "output", v->output);
    if (v->input_attach == CONF_CONNECT && endpoint_is_wildcard(v->input))
        conf_stream_problem(c, s, "input", "%s: connect needs a port number", v->input);
    if (v->output_attach == CONF_CONNECT && endpoint_is_wildcard(v->output))
        conf_stream_problem(c, s, "output", "%s: connect needs a port number",
                            v->output);
}

/* What the daemon binds, for the texts: an endpoint, and what is bound there. */
struct binding {
    const char *key, *endpoint;
    const struct conf_stream_section *section; /* NULL: [latentd] */
};

static size_t bindings_of(const struct conf_stream_section *s, struct binding out[2])
{
    size_t n = 0;

    if (s->values.input_attach == CONF_BIND)
        out[n++] = (struct binding){"input", s->values.input, s};
    if (s->values.output_attach == CONF_BIND)
        out[n++] = (struct binding){"output", s->values.output, s};
    return n;
}

/* The same key with the same text is one socket, shared. */
static void check_clash(struct conf *c, const struct binding *a,
                        const struct binding *b)
{
    bool is_shared =
        strcmp(a->key, b->key) == 0 && strcmp(a->endpoint, b->endpoint) == 0;

    if (is_shared || !endpoints_clash(a->endpoint, b->endpoint)) return;
    conf_stream_problem(c, a->section, a->key,
                        "%s cannot be bound twice: it is also %s of [%s%s]; choose "
                        "another endpoint",
                        a->endpoint, b->key, b->section ? "stream " : "latentd",
                        b->section ? b->section->name : "");
}

static void check_clashes(struct conf *c, size_t i)
{
    const struct binding control = {"control", c->daemon.control, NULL};
    struct binding own[2], other[2];
    size_t n_own = bindings_of(&c->streams[i], own);

    for (size_t k = 0; k < n_own; k++) {
        check_clash(c, &own[k], &control);
        for (size_t j = 0; j < i; j++) {
            size_t n_other = bindings_of(&c->streams[j], other);

            for (size_t m = 0; m < n_other; m++) check_clash(c, &own[k], &other[m]);
        }
    }
    if (n_own == 2) check_clash(c, &own[1], &own[0]);
}

/* A socket belongs to one thread and is of one kind: streams that name it must agree.
 */
static void check_shared(struct conf *c, const struct conf_stream_section *s,
                         const struct conf_stream_section *other, const char *key,
                         bool agree)
{
    if (agree) return;
    conf_stream_problem(
        c, s, key,
        "differs from [stream %s], which uses the same socket; make them "
        "equal, or give the streams different endpoints",
        other->name);
}

static void check_pair(struct conf *c, const struct conf_stream_section *s,
                       const struct conf_stream_section *other)
{
    const struct conf_stream *a = &s->values, *b = &other->values;
    bool same_input = strcmp(a->input, b->input) == 0;
    bool same_output = strcmp(a->output, b->output) == 0;
    bool same_loop = strcmp(a->loop, b->loop) == 0;

    if (same_input) {
        check_shared(c, s, other, "input-socket", a->input_socket == b->input_socket);
        check_shared(c, s, other, "input-attach", a->input_attach == b->input_attach);
    }
    if (same_output)
        check_shared(c, s, other, "output-attach",
                     a->output_attach == b->output_attach);
    if (same_input || same_output) check_shared(c, s, other, "loop", same_loop);
}

/* Each stream against the first that shares a socket with it: one disagreement, one
 * text. */
static void check_sharing(struct conf *c, size_t i)
{
    const struct conf_stream_section *s = &c->streams[i];

    for (size_t k = 0; k < i; k++) {
        const struct conf_stream_section *other = &c->streams[k];

        if (strcmp(s->values.input, other->values.input) != 0 &&
            strcmp(s->values.output, other->values.output) != 0)
            continue;
        check_pair(c, s, other);
        return;
    }
}

/* A loop is one thread: its streams agree on where it runs. */
static void check_cpu(struct conf *c, size_t i)
{
    const struct conf_stream_section *s = &c->streams[i];

    for (size_t k = 0; k < i; k++) {
        const struct conf_stream_section *other = &c->streams[k];

        if (strcmp(s->values.loop, other->values.loop) != 0) continue;
        if (s->values.cpu != other->values.cpu)
            conf_stream_problem(c, s, "cpu",
                                "differs from [stream %s], which runs in the same "
                                "loop; make them equal, or give them different loops",
                                other->name);
        return;
    }
}

static void check_sections(struct conf *c)
{
    const struct conf_key *control = conf_find(CONF_DAEMON, "control");
    unsigned line = c->daemon_lines.key[control - conf_keys(CONF_DAEMON)];

    check_plaintext(c, line, "control", c->daemon.control);
    if (c->n_streams == 0)
        conf_problem(c, 0, NULL, "no stream; add a section [stream NAME] with a model");
    for (size_t i = 0; i < c->n_streams; i++) {
        check_required(c, &c->streams[i]);
        check_endpoints(c, &c->streams[i]);
        check_lease(c, &c->streams[i]);
        check_sharing(c, i);
        check_clashes(c, i);
        check_cpu(c, i);
    }
}

/* ---- life ---- */

static void start(struct conf *c, const char *path)
{
    char *copy = strdup(path);

    *c = (struct conf){.path = strdup(path)};
    assert(copy && c->path);
    c->folder = strdup(dirname(copy));
    free(copy);
    conf_set_defaults(CONF_DAEMON, &c->daemon);
}

/* file NULL: what was to be read could not be opened. */
static int read_and_check(struct conf *c, FILE *file)
{
    if (!file)
        conf_problem(c, 0, NULL, "cannot open: %s", strerror(errno));
    else if (conf_reader_run(c, file))
        check_sections(c);
    if (file) fclose(file);
    return c->n_problems ? -1 : 0;
}

int conf_read(struct conf *c, const char *path)
{
    start(c, path);
    return read_and_check(c, fopen(path, "r"));
}

int conf_read_text(struct conf *c, const char *path, const char *text)
{
    start(c, path);
    return read_and_check(c, fmemopen((void *)(uintptr_t)text, strlen(text), "r"));
}

void conf_free(struct conf *c)
{
    for (size_t i = 0; i < c->n_problems; i++) free(c->problems[i]);
    for (size_t i = 0; i < c->n_streams; i++)
        conf_free_values(CONF_STREAM, &c->streams[i].values);
    conf_free_values(CONF_DAEMON, &c->daemon);
    free(c->problems);
    free(c->streams);
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

void conf_resolve(struct conf_stream *s, uint32_t bin_width_us)
{
    const uint64_t ms = 1000000, bin_ns = (uint64_t)bin_width_us * 1000;

    if (s->budget_ns == 0) s->budget_ns = least(bin_ns / 2, 5 * ms);
    if (s->valid_for_ns == 0) s->valid_for_ns = largest(3 * bin_ns, 50 * ms);
    if (s->missing_after_ns == 0) s->missing_after_ns = largest(3 * bin_ns, 20 * ms);
    if (s->lease_ns == 0) s->lease_ns = largest(200 * ms, s->safe_ramp_ns + 2 * bin_ns);
    if (s->max_age_ns == 0) s->max_age_ns = largest(2 * bin_ns, 20 * ms);
}

uint64_t conf_bins(uint64_t time_ns, uint32_t bin_width_us)
{
    return largest(time_ns / ((uint64_t)bin_width_us * 1000), 1);
}

char *conf_path_of(const struct conf *c, const char *path)
{
    char *whole = NULL;
    int n = path[0] == '/' ? asprintf(&whole, "%s", path)
                           : asprintf(&whole, "%s/%s", c->folder, path);

    assert(n > 0);
    return whole;
}

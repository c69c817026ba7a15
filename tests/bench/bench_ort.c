/* Benchmark worker: one ONNX Runtime session, called natively on prepared tensors.
 *
 * A plan (text, written by graphs.py) says which memory each input and output of the
 * graph uses in each of its n_phases steps, so that a step is exactly one session call:
 * no allocation and no copy by the caller. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ort_api.h"
#include "worker.h"

#define MAX_BUFFERS 16
#define MAX_PORTS 128
#define MAX_WORDS 12

struct buffer {
    const char *name;
    size_t n_floats;
    float *data;
};

struct port {
    const char *name;
    ort_object **values; /* [n_phases] */
};

struct ports {
    const char *names[MAX_PORTS];
    struct port list[MAX_PORTS];
    ort_object *now[MAX_PORTS];
    size_t n;
};

struct bench {
    ort_object *session;
    size_t n_phases, n_buffers, n_result;
    struct buffer buffers[MAX_BUFFERS];
    struct buffer *result; /* its last n_result floats are the answer */
    struct ports in, out;
};

static struct buffer *buffer_find(struct bench *b, const char *name, size_t length)
{
    for (size_t i = 0; i < b->n_buffers; i++)
        if (strlen(b->buffers[i].name) == length && !memcmp(b->buffers[i].name, name, length))
            return &b->buffers[i];
    worker_absent("plan: no buffer %.*s", (int)length, name);
}

/* "NAME" is one buffer, "EVEN/ODD" alternates with the phase. */
static struct buffer *buffer_at(struct bench *b, const char *names, size_t phase)
{
    const char *slash = strchr(names, '/');
    if (!slash) return buffer_find(b, names, strlen(names));
    if (phase % 2 == 0) return buffer_find(b, names, (size_t)(slash - names));
    return buffer_find(b, slash + 1, strlen(slash + 1));
}

/* "t" is the phase, "t+1" the next, anything else a number. */
static int64_t dim_at(const char *text, size_t phase)
{
    if (!strcmp(text, "t")) return (int64_t)phase;
    if (!strcmp(text, "t+1")) return (int64_t)phase + 1;
    return strtoll(text, NULL, 10);
}

/* The words of a plan's line; too many or none ends the worker. */
struct line {
    char *words[MAX_WORDS];
    size_t n;
};

static struct line line_split(char *text)
{
    struct line line = {.n = 0};
    char *rest = text, *word;
    while ((word = strsep(&rest, " \n"))) {
        if (!*word) continue;
        if (line.n == MAX_WORDS) worker_absent("plan: too many words after %s", text);
        line.words[line.n++] = word;
    }
    return line;
}

static size_t line_number(const struct line *line, size_t i)
{
    if (i >= line->n) worker_absent("plan: %s: number %zu is missing", line->words[0], i);
    return strtoul(line->words[i], NULL, 10);
}

/* phases N */
static void plan_phases(struct bench *b, const struct line *line)
{
    b->n_phases = line_number(line, 1);
}

/* buffer NAME N_FLOATS [FILE] */
static void plan_buffer(struct bench *b, const struct line *line)
{
    size_t n_floats = line_number(line, 2);
    if (b->n_buffers == MAX_BUFFERS) worker_absent("plan: too many buffers");
    struct buffer *buffer = &b->buffers[b->n_buffers++];
    buffer->name = strdup(line->words[1]);
    buffer->n_floats = n_floats;
    buffer->data = line->n > 3 ? worker_floats(line->words[3], n_floats)
                               : worker_alloc(n_floats * sizeof(float));
}

/* The tensor of a port in phase t. */
static ort_object *port_tensor(struct bench *b, const struct line *line, size_t t)
{
    struct buffer *buffer = buffer_at(b, line->words[2], t);
    size_t start = line_number(line, 3) + line_number(line, 4) * t;
    size_t n_dims = line->n - 5, n_floats = 1;
    int64_t shape[MAX_WORDS];
    for (size_t i = 0; i < n_dims; i++) {
        shape[i] = dim_at(line->words[5 + i], t);
        n_floats *= (size_t)shape[i];
    }
    if (start + n_floats > buffer->n_floats)
        worker_absent("plan: %s leaves %s in phase %zu", line->words[1], buffer->name, t);
    return ort_tensor(buffer->data + start, n_dims, shape);
}

/* in|out NAME BUFFER OFFSET STRIDE DIM...: the tensor of phase t lies at OFFSET +
 * STRIDE t. */
static void plan_port(struct bench *b, const struct line *line)
{
    struct ports *ports = strcmp(line->words[0], "in") ? &b->out : &b->in;
    if (line->n < 6 || ports->n == MAX_PORTS)
        worker_absent("plan: a port has too few words, or there are too many ports");
    struct port *port = &ports->list[ports->n];
    port->name = ports->names[ports->n] = strdup(line->words[1]);
    port->values = worker_alloc(b->n_phases * sizeof(ort_object *));
    ports->n++;
    for (size_t t = 0; t < b->n_phases; t++) port->values[t] = port_tensor(b, line, t);
}

/* result NAME N_FLOATS: the last N_FLOATS of that buffer */
static void plan_result(struct bench *b, const struct line *line)
{
    b->n_result = line_number(line, 2);
    b->result = buffer_find(b, line->words[1], strlen(line->words[1]));
    if (b->n_result > b->result->n_floats)
        worker_absent("plan: the result exceeds %s", line->words[1]);
}

static const struct {
    const char *word;
    void (*obey)(struct bench *b, const struct line *line);
} plan_words[] = {
    {"phases", plan_phases}, {"buffer", plan_buffer}, {"in", plan_port},
    {"out", plan_port},      {"result", plan_result},
};

static void plan_line(struct bench *b, const struct line *line)
{
    for (size_t i = 0; i < sizeof plan_words / sizeof *plan_words; i++)
        if (!strcmp(line->words[0], plan_words[i].word)) {
            plan_words[i].obey(b, line);
            return;
        }
    worker_absent("plan: unknown word %s", line->words[0]);
}

static void plan_read(struct bench *b, const char *path)
{
    char text[1024];
    FILE *file = fopen(path, "r");
    if (!file) worker_absent("%s: cannot be opened", path);
    while (fgets(text, sizeof text, file)) {
        struct line line = line_split(text);
        if (line.n) plan_line(b, &line);
    }
    fclose(file);
    if (!b->n_phases || !b->result) worker_absent("%s: no phases or no result", path);
}

static void bench_step(void *context, size_t i)
{
    struct bench *b = context;
    size_t t = i % b->n_phases;
    for (size_t p = 0; p < b->in.n; p++) b->in.now[p] = b->in.list[p].values[t];
    for (size_t p = 0; p < b->out.n; p++) b->out.now[p] = b->out.list[p].values[t];
    ort_run(b->session, b->in.n, b->in.names, b->in.now, b->out.n, b->out.names, b->out.now);
}

static size_t bench_values(void *context, float *out, size_t cap)
{
    const struct bench *b = context;
    size_t n = b->n_result < cap ? b->n_result : cap;
    memcpy(out, b->result->data + b->result->n_floats - n, n * sizeof *out);
    return n;
}

int main(int argc, char **argv)
{
    static struct bench b;
    const char *error = ort_open(worker_option(argc, argv, "library"));
    if (error) worker_absent("%s", error);
    plan_read(&b, worker_option(argc, argv, "plan"));
    b.session = ort_session(worker_option(argc, argv, "graph"));

    char text[128];
    snprintf(text, sizeof text, "ONNX Runtime %s, native session call", ort_version());
    struct worker w = {&b, bench_step, bench_values, NULL};
    worker_run(&w, text);
    return 0;
}

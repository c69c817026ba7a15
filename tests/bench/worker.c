/* The loop of a benchmark worker; see worker.h. */
#include "worker.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "flush.h"

uint64_t worker_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void worker_absent(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("absent ", stdout);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
    fflush(stdout);
    exit(1);
}

void *worker_alloc(size_t n_bytes)
{
    size_t rounded = (n_bytes + 63) / 64 * 64 + 64;
    void *p = aligned_alloc(64, rounded);
    if (!p) worker_absent("out of memory (%zu bytes)", n_bytes);
    return memset(p, 0, rounded);
}

float *worker_floats(const char *path, size_t n)
{
    float *values = worker_alloc(n * sizeof *values);
    FILE *file = fopen(path, "rb");
    if (!file) worker_absent("%s: cannot be opened", path);
    size_t n_read = fread(values, sizeof *values, n, file);
    fclose(file);
    if (n_read != n) worker_absent("%s: %zu floats, expected %zu", path, n_read, n);
    return values;
}

const char *worker_option(int argc, char **argv, const char *name)
{
    for (int i = 1; i + 1 < argc; i++)
        if (!strncmp(argv[i], "--", 2) && !strcmp(argv[i] + 2, name)) return argv[i + 1];
    worker_absent("option --%s is missing", name);
}

size_t worker_size(int argc, char **argv, const char *name)
{
    return strtoul(worker_option(argc, argv, name), NULL, 10);
}

static void wait_until(uint64_t t_ns)
{
    struct timespec t = {(time_t)(t_ns / 1000000000u), (long)(t_ns % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL)) {
    }
}

/* How n steps are timed: one every pace_ns (0: back to back); flushed: with caches
 * emptied before each wait; warmed warm_ns before each is due (0: not). */
struct situation {
    size_t n;
    uint64_t pace_ns, warm_ns;
    bool flush;
};

static struct situation situation_read(char *text)
{
    struct situation s = {.n = strtoul(text, &text, 10)};
    s.pace_ns = strtoull(text, &text, 10);
    s.flush = strtol(text, &text, 10) != 0;
    s.warm_ns = strtoull(text, NULL, 10);
    return s;
}

static void wait_for_step(const struct worker *w, const struct situation *s, uint64_t due_ns)
{
    if (w->warm && s->warm_ns) {
        wait_until(due_ns - s->warm_ns);
        w->warm(w->context);
    }
    if (s->pace_ns) wait_until(due_ns);
}

/* Time the steps, and print the nanoseconds of each. With flushing, which takes longer
 * than some paces, the core sleeps for all of pace_ns after it. */
static void run_steps(const struct worker *w, size_t *next, const struct situation *s)
{
    size_t n = s->n;
    uint64_t *took_ns = worker_alloc(n * sizeof *took_ns);
    uint64_t due_ns = worker_now_ns();
    for (size_t i = 0; i < n; i++) {
        if (s->flush) {
            flush_caches();
            due_ns = worker_now_ns();
        }
        due_ns += s->pace_ns;
        wait_for_step(w, s, due_ns);
        uint64_t start_ns = worker_now_ns();
        w->step(w->context, (*next)++);
        took_ns[i] = worker_now_ns() - start_ns;
    }
    fputs("times", stdout);
    for (size_t i = 0; i < n; i++) printf(" %llu", (unsigned long long)took_ns[i]);
    putchar('\n');
    free(took_ns);
}

static void print_values(const struct worker *w)
{
    float values[WORKER_MAX_VALUES];
    size_t n = w->values(w->context, values, WORKER_MAX_VALUES);
    fputs("values", stdout);
    for (size_t i = 0; i < n; i++) printf(" %.9g", (double)values[i]);
    putchar('\n');
}

void worker_run(const struct worker *w, const char *text)
{
    char line[128];
    size_t next = 0;
    printf("ready %s\n", text);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (!strncmp(line, "run ", 4)) {
            struct situation s = situation_read(line + 4);
            run_steps(w, &next, &s);
        } else if (!strncmp(line, "values", 6)) {
            print_values(w);
        } else if (!strncmp(line, "flush", 5)) {
            printf("flushed %zu\n", flush_caches());
        } else {
            printf("unknown command: %s", line);
        }
        fflush(stdout);
    }
}

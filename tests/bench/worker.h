/* The loop of a benchmark worker: commands on stdin, times on stdout, so that several
 * implementations can take turns on one core. tests/bench/README.md has the protocol. */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include <stddef.h>
#include <stdint.h>

struct worker {
    void *context;
    /* Bin i since the start; what is timed. */
    void (*step)(void *context, size_t i);
    /* Copy the values of the last step (expected counts per bin, or readout); returns
     * how many. */
    size_t (*values)(void *context, float *out, size_t cap);
    /* Read what a step reads into the caches; NULL: it has no such call. */
    void (*warm)(void *context);
};

#define WORKER_MAX_VALUES 4096

/* Say "ready TEXT", then obey until stdin ends. */
void worker_run(const struct worker *w, const char *text);
/* Say "absent REASON" and end the process: this implementation cannot be measured here. */
void worker_absent(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* Read n floats from a file, or end as absent. */
float *worker_floats(const char *path, size_t n);
void *worker_alloc(size_t n_bytes);
uint64_t worker_now_ns(void);
/* The value of "--NAME VALUE" on the command line; ends as absent when it is missing. */
const char *worker_option(int argc, char **argv, const char *name);
size_t worker_size(int argc, char **argv, const char *name);

#endif

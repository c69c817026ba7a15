/* A line on stderr that says how far long work is. */
#ifndef COMMAND_PROGRESS_H
#define COMMAND_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

struct progress {
    const char *what; /* e.g. "decoding" */
    size_t n_total;
    uint64_t shown_ns; /* when last shown; at first the start */
    int terminal, n_shown;
};

void progress_start(struct progress *progress, const char *what, size_t n_total);
/* Shows at most five lines a second on a terminal, one in two seconds elsewhere. */
void progress_update(struct progress *progress, size_t n_done);
void progress_end(struct progress *progress);

#endif

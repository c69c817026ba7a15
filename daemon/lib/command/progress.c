/* Progress of long work. */
#include "command/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

#define TERMINAL_PERIOD_NS 200000000u
#define LOG_PERIOD_NS 2000000000u

void progress_start(struct progress *progress, const char *what, size_t n_total)
{
    *progress = (struct progress){.what = what,
                                  .n_total = n_total,
                                  .shown_ns = clock_now_ns(),
                                  .terminal = isatty(STDERR_FILENO)};
}

void progress_update(struct progress *progress, size_t n_done)
{
    uint64_t now_ns = clock_now_ns();
    uint64_t period_ns = progress->terminal ? TERMINAL_PERIOD_NS : LOG_PERIOD_NS;
    if (now_ns - progress->shown_ns < period_ns) return;
    progress->shown_ns = now_ns;
    progress->n_shown++;
    fprintf(stderr, "%s%s: %zu of %zu (%.0f %%)%s", progress->terminal ? "\r" : "", progress->what,
            n_done, progress->n_total, 100.0 * (double)n_done / (double)progress->n_total,
            progress->terminal ? "" : "\n");
}

void progress_end(struct progress *progress)
{
    if (progress->terminal && progress->n_shown) fputc('\n', stderr);
}

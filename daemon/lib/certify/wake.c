/* Waking on time: what cyclictest measures, at the pace and with the thread of a stream. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "certify/measure.h"
#include "command/stop.h"

struct wake {
    uint64_t period_ns;
    size_t n;
    struct series *series;
    int timer_fd, error;
};

/* A wake that comes after the next one was due counts for each that it missed. */
static void *wake_run(void *ctx)
{
    struct wake *w = ctx;
    uint64_t due_ns, n_expired;

    thread_prepare();
    due_ns = clock_now_ns() + w->period_ns;
    for (size_t i = 0; i < w->n && !stop_requested(); i++, due_ns += w->period_ns) {
        const struct itimerspec at = {.it_value = clock_timespec(due_ns)};

        if (timerfd_settime(w->timer_fd, TFD_TIMER_ABSTIME, &at, NULL) ||
            read(w->timer_fd, &n_expired, sizeof n_expired) != (ssize_t)sizeof n_expired) {
            w->error = errno;
            break;
        }
        series_add(w->series, clock_now_ns() - due_ns);
    }
    return NULL;
}

int wake_measure(const struct subject *s, double seconds, struct findings *f,
                 struct latent_error *err)
{
    struct wake w = {.period_ns = (uint64_t)s->info.bin_width_us * 1000};
    pthread_t thread;
    int error;

    w.n = (size_t)(seconds * 1e9 / (double)w.period_ns) + 1;
    w.series = findings_series(f, CERTIFY_WAKE, w.n, s->section->values.budget_ns,
                               "%s: wake after its time", s->section->name);
    w.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (!w.series || w.timer_fd < 0)
        return error_text(err, LATENT_E_NOMEM, "no memory or no timer for %zu wakes", w.n);
    error = thread_start(&thread, "certify-wake", &s->wish, wake_run, &w);
    if (error == 0) pthread_join(thread, NULL);
    close(w.timer_fd);
    if (error == 0) error = w.error;
    if (error) return error_text(err, LATENT_E_IO, "the wake test cannot run: %s", strerror(error));
    series_sort(w.series);
    return 0;
}

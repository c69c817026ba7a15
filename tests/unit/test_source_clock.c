/* The clock of a source, against truth: a source whose clock is off, a network that delays, both
 * simulated, so that it is known when a bin ended. LATENT_CLOCK_HOURS=24 simulates a day of each
 * kind instead of a half an hour. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "line/source_clock.h"

#define US ((uint64_t)1000)
#define MS (1000 * US)
#define S (1000 * MS)

/* ---- chance ---- */

static uint64_t seed;

static double chance(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(seed >> 11) / 9007199254740992.0;
}

static double between(double low, double high)
{
    return low + (high - low) * chance();
}

/* ---- the world ---- */

struct kind {
    const char *name;
    uint64_t bin_ns;
    double skew_ppm;
    double jitter_ns; /* mean of what a message takes beyond the least, exponential */
    double queue_ns;  /* now and then all wait, up to so long ... */
    double queue_s;   /* ... for up to so long */
    double route_ns;  /* now and then the least time is longer by up to so much, or short again */
    double step_ns;   /* now and then the clock of the source is set, by up to so much */
    double slew_ppm;  /* now and then it is slewed, so fast, for a while */
    double pause_s;   /* now and then the source stops for up to so long */
    double wander_ppm_s;     /* its drift changes by up to so much in a second */
    double stamp_ns;         /* what the source calls the end of a bin is that much late, at most */
    uint32_t n_batch;        /* bins in a message; 0: one */
    bool restarts, is_plain; /* plain: nothing of the above but jitter of 100 us */
};

struct world {
    const struct kind *kind;
    double t_ns;         /* here, end of the newest bin */
    double skew, slewed; /* as parts */
    double clock_ns;     /* of the source, beyond a phase, then */
    uint64_t phase_ns, seq;
    double least_ns, shortest_ns; /* of the way of a message: now; ever since the start */
    double queue_end_ns, queue_start_ns, queue_ns, slew_end_ns;
    double t_seen_ns; /* of the newest message */
    struct source_clock clock;
    double begun_ns;
    uint64_t n_known, n_unknown, n_beyond, n_drift_beyond;
    double worst_ppm, sum_bound_ns;
};

static const uint64_t start_ns = 5000 * S;

static bool happens(const struct world *w, double every_s)
{
    return chance() < (double)w->kind->bin_ns / 1e9 / every_s;
}

static void begin(struct world *w)
{
    w->phase_ns = (uint64_t)(chance() * 1e18);
    w->seq = (uint64_t)(chance() * 1000);
    source_clock_init(&w->clock);
    w->shortest_ns = INFINITY;
    w->begun_ns = w->t_ns;
}

static void disturb(struct world *w)
{
    const struct kind *k = w->kind;

    if (k->queue_ns > 0 && w->t_ns > w->queue_end_ns && happens(w, 3 * k->queue_s)) {
        w->queue_start_ns = w->t_ns;
        w->queue_end_ns = w->t_ns + between(0.05, k->queue_s) * 1e9;
        w->queue_ns = between(0, k->queue_ns);
    }
    if (k->route_ns > 0 && happens(w, 300))
        w->least_ns = 300e3 + (chance() < 0.5 ? 0 : between(0, k->route_ns));
    if (k->step_ns > 0 && happens(w, 1000)) w->clock_ns += between(-k->step_ns, k->step_ns);
    if (k->slew_ppm > 0 && happens(w, 1000)) {
        w->slewed = between(-k->slew_ppm, k->slew_ppm) / 1e6;
        w->slew_end_ns = w->t_ns + between(1, 60) * 1e9;
    }
    if (w->t_ns > w->slew_end_ns) w->slewed = 0;
    if (k->pause_s > 0 && happens(w, 60)) {
        double pause_ns = between(0, k->pause_s) * 1e9;
        w->t_ns += pause_ns;
        w->clock_ns += pause_ns * (1 + w->skew + w->slewed);
    }
    if (k->restarts && happens(w, 200)) begin(w);
    w->skew += between(-k->wander_ppm_s, k->wander_ppm_s) * (double)k->bin_ns / 1e15;
}

static double way_ns(struct world *w)
{
    double jitter_ns = -log(1 - chance()) * w->kind->jitter_ns, queue_ns = 0;

    if (w->t_ns < w->queue_end_ns)
        queue_ns = w->queue_ns * fmin(1, (w->t_ns - w->queue_start_ns) / 1e8) * between(0.9, 1);
    return w->least_ns + jitter_ns + queue_ns;
}

/* The least time on the way is that of all messages, or that of now where it changes for good. */
static void judge(struct world *w, double t_end_ns, uint64_t t_source_ns)
{
    double bound_ns = (double)source_clock_uncertainty_ns(&w->clock);
    uint64_t here_ns = source_clock_here_ns(&w->clock, t_source_ns) - start_ns;
    double off_ns = (double)(int64_t)here_ns - t_end_ns, low_ns = w->shortest_ns;
    double high_ns = w->kind->route_ns > 0 ? fmax(low_ns, w->least_ns) : low_ns;
    double error_ns = off_ns < low_ns ? low_ns - off_ns : off_ns > high_ns ? off_ns - high_ns : 0;

    w->n_known++;
    w->n_beyond += error_ns > bound_ns;
    w->sum_bound_ns += bound_ns;
}

static double ppm_error(const struct world *w)
{
    return fabs(-(double)w->clock.drift_ppb / 1e3 - w->skew * 1e6);
}

/* What cannot be seen in an instant has no part in it: a clock that is being set. */
static void judge_drift(struct world *w)
{
    const struct kind *k = w->kind;
    double since_ns = w->t_ns - w->begun_ns;

    if (!w->clock.has_drift || k->slew_ppm > 0 || k->step_ns > 0 || k->route_ns > 0) return;
    w->n_drift_beyond += ppm_error(w) > (double)w->clock.drift_error_ppb / 1e3;
    if (k->is_plain && since_ns > 120e9) w->worst_ppm = fmax(w->worst_ppm, ppm_error(w));
}

/* The bins of a message, and when it is seen: never before the one before. */
static void send(struct world *w)
{
    const struct kind *k = w->kind;
    uint32_t n = k->n_batch ? k->n_batch : 1;
    double t_end_ns[16], bin_ns = (double)k->bin_ns / (1 + w->skew), late_ns;
    uint64_t t_source_ns[16];

    late_ns = between(0, k->stamp_ns);
    for (uint32_t i = 0; i < n; i++) {
        w->t_ns += bin_ns;
        w->clock_ns += bin_ns * (1 + w->skew + w->slewed);
        t_end_ns[i] = w->t_ns + late_ns;
        t_source_ns[i] = w->phase_ns + (uint64_t)llround(w->clock_ns + late_ns);
        w->seq++;
    }
    w->t_seen_ns = fmax(w->t_seen_ns + 1e3, w->t_ns + late_ns + way_ns(w));
    w->shortest_ns = fmin(w->shortest_ns, w->t_seen_ns - w->t_ns - late_ns);
    source_clock_on_message(&w->clock, k->bin_ns, w->seq - 1, t_source_ns[n - 1],
                            start_ns + (uint64_t)llround(w->t_seen_ns));
    if (!source_clock_is_known(&w->clock)) {
        w->n_unknown += n;
        return;
    }
    for (uint32_t i = 0; i < n; i++) judge(w, t_end_ns[i], t_source_ns[i]);
    judge_drift(w);
}

static double hours(void)
{
    const char *text = getenv("LATENT_CLOCK_HOURS");

    return text ? strtod(text, NULL) : 2;
}

static void run(const struct kind *k)
{
    static struct world w;
    double n;

    w = (struct world){.kind = k, .skew = k->skew_ppm / 1e6, .least_ns = 300e3, .t_seen_ns = -1e18};
    seed = 42;
    begin(&w);
    while (w.t_ns < (double)k->bin_ns * fmax(hours() * 180e3, 2000)) {
        disturb(&w);
        send(&w);
    }
    n = (double)w.n_known;
    print_message("%-9s %8.0f bins: %.4f %% beyond an uncertainty of %.3f ms (mean), %.3f %% not "
                  "known; drift off by at most %.2f ppm after 120 s\n",
                  k->name, n, 100 * (double)w.n_beyond / n, w.sum_bound_ns / n / 1e6,
                  100 * (double)w.n_unknown / (n + (double)w.n_unknown), w.worst_ppm);
    if ((double)w.n_beyond > n / 1000) fail_msg("%s: too often beyond the uncertainty", k->name);
    if (w.n_drift_beyond) fail_msg("%s: the drift is beyond its uncertainty", k->name);
    if (w.worst_ppm > 1) fail_msg("%s: the drift is off", k->name);
    if ((double)w.n_unknown > n / 5) fail_msg("%s: hardly ever known", k->name);
}

#define BIN .bin_ns = 20 * MS
#define JITTER .jitter_ns = 100e3

static const struct kind kinds[] = {
    {"level", BIN, .skew_ppm = 0, JITTER, .is_plain = true},
    {"fast", BIN, .skew_ppm = 50, JITTER, .is_plain = true},
    {"slow", BIN, .skew_ppm = -50, JITTER, .is_plain = true},
    {"1 kHz", .bin_ns = MS, .skew_ppm = -50, JITTER, .is_plain = true},
    {"noisy", BIN, .skew_ppm = 30, .jitter_ns = 5e6},
    {"stamps", BIN, .skew_ppm = 30, JITTER, .stamp_ns = 3e6},
    {"batches", .bin_ns = 10 * MS, .skew_ppm = -30, .jitter_ns = 1e6, .n_batch = 10},
    {"queues", BIN, .skew_ppm = 50, JITTER, .queue_ns = 100e6, .queue_s = 5},
    {"jams", BIN, .skew_ppm = -50, JITTER, .queue_ns = 500e6, .queue_s = 60},
    {"standing", BIN, .skew_ppm = -50, JITTER, .queue_ns = 5e6, .queue_s = 600},
    {"routes", BIN, .skew_ppm = 50, JITTER, .route_ns = 5e6},
    {"steps", BIN, .skew_ppm = -50, JITTER, .step_ns = 2e9},
    {"small", BIN, .skew_ppm = 50, JITTER, .step_ns = 19e6},
    {"slewed", BIN, .skew_ppm = 10, JITTER, .slew_ppm = 100},
    {"pauses", BIN, .skew_ppm = 50, .jitter_ns = 1e6, .pause_s = 200},
    {"restarts", BIN, .skew_ppm = -20, .jitter_ns = 1e6, .restarts = true},
    {"wander", BIN, .skew_ppm = 20, JITTER, .wander_ppm_s = 0.2},
    {"long bins", .bin_ns = 500 * MS, .skew_ppm = 50, .jitter_ns = 1e6},
    {"longest", .bin_ns = 10 * S, .skew_ppm = 50, .jitter_ns = 1e6},
};

static void test_truth(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) run(&kinds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_truth)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

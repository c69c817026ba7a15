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

/* ---- by hand: bins of 20 ms that take 1 ms each ---- */

#define BIN_NS (20 * MS)

struct by_hand {
    struct source_clock clock;
    uint64_t seq, t_ns, apart_ns, way_ns; /* apart: here less there */
};

static struct by_hand by_hand(uint64_t apart_ns)
{
    struct by_hand h = {.t_ns = 100 * S, .apart_ns = apart_ns, .way_ns = MS};

    source_clock_init(&h.clock);
    return h;
}

static void say(struct by_hand *h, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        h->t_ns += BIN_NS;
        source_clock_on_message(&h->clock, BIN_NS, h->seq++, h->t_ns - h->apart_ns,
                                h->t_ns + h->way_ns);
    }
}

/* How old the newest bin is when it is seen, by the estimate. */
static uint64_t age_ns(const struct by_hand *h)
{
    return h->t_ns + h->way_ns - source_clock_here_ns(&h->clock, h->t_ns - h->apart_ns);
}

/* Known at the first bin of the eleventh cell. */
static void test_learning(void **state)
{
    struct by_hand h = by_hand(7 * S);
    const uint64_t first_ns = 1000 * (uint64_t)SOURCE_CLOCK_CELL_NS;

    (void)state;
    h.t_ns = first_ns - BIN_NS - h.way_ns;
    for (say(&h, 1); h.t_ns + h.way_ns < first_ns + 10 * SOURCE_CLOCK_CELL_NS; say(&h, 1))
        assert_false(source_clock_is_known(&h.clock));
    assert_true(source_clock_is_known(&h.clock));
    assert_int_equal(age_ns(&h), 0);
    assert_false(h.clock.has_drift);
    say(&h, 2000);
    assert_true(h.clock.has_drift);
    assert_int_equal(h.clock.drift_ppb, 0);
}

/* Whatever the numbers are, they wrap together. */
static void test_wrap(void **state)
{
    const uint64_t apart[] = {0, 1, UINT64_MAX, 100 * S + 30 * S, (uint64_t)1 << 63};

    (void)state;
    for (size_t i = 0; i < sizeof apart / sizeof apart[0]; i++) {
        struct by_hand h = by_hand(apart[i]);

        h.seq = UINT64_MAX - 1000;
        say(&h, 4000);
        assert_true(source_clock_is_known(&h.clock));
        assert_int_equal(age_ns(&h), 0);
        assert_true(source_clock_uncertainty_ns(&h.clock) < 100 * US);
    }
}

/* What all bins wait shows, however long it lasts: in ten minutes at most 6 ms of it are forgotten,
 * and told as uncertain; and it is gone with it. */
static void test_standing_queue(void **state)
{
    struct by_hand h = by_hand(S);

    (void)state;
    say(&h, 10000);
    h.way_ns = 101 * MS;
    for (int i = 0; i < 30000; i++) {
        say(&h, 1);
        assert_in_range(age_ns(&h), 94 * MS, 100 * MS);
        assert_true(age_ns(&h) + source_clock_uncertainty_ns(&h.clock) >= 100 * MS);
    }
    h.way_ns = MS;
    say(&h, 3);
    assert_int_equal(age_ns(&h), 0);
    assert_int_equal(h.clock.n_steps, 0);
}

/* A clock that is set makes no bin old, and is learnt anew. */
static void test_steps(void **state)
{
    const int64_t step[] = {-3600 * (int64_t)S, -30 * (int64_t)MS, -2 * (int64_t)MS,
                            25 * (int64_t)MS, 3600 * (int64_t)S};

    (void)state;
    for (size_t i = 0; i < sizeof step / sizeof step[0]; i++) {
        struct by_hand h = by_hand(S);

        say(&h, 3000);
        h.apart_ns -= (uint64_t)step[i];
        say(&h, 2);
        assert_true(source_clock_is_known(&h.clock));
        say(&h, 1);
        assert_false(source_clock_is_known(&h.clock));
        assert_int_equal(h.clock.n_steps, 1);
        say(&h, 200);
        assert_true(source_clock_is_known(&h.clock));
        assert_int_equal(age_ns(&h), 0);
    }
}

/* One message, or two, whose time is wrong change nothing. */
static void test_glitch(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < SOURCE_CLOCK_PERSISTS; n++)
        for (int sign = -1; sign <= 1; sign += 2) {
            struct by_hand h = by_hand(S);

            say(&h, 3000);
            h.apart_ns += (uint64_t)sign * 300 * MS;
            say(&h, n);
            h.apart_ns -= (uint64_t)sign * 300 * MS;
            for (int i = 0; i < 2000; i++) {
                say(&h, 1);
                assert_int_equal(age_ns(&h), 0);
            }
        }
}

/* A source that stops and goes on, with the next number, is not late; after two minutes it is
 * learnt anew. */
static void test_pause(void **state)
{
    (void)state;
    for (uint64_t pause_s = 1; pause_s < 300; pause_s += 59) {
        struct by_hand h = by_hand(S);

        say(&h, 3000);
        h.t_ns += pause_s * S;
        for (int i = 0; i < 3000; i++) {
            say(&h, 1);
            assert_int_equal(source_clock_is_known(&h.clock),
                             pause_s < 120 || h.clock.n_cells == 10);
            assert_int_equal(age_ns(&h), 0);
        }
    }
}

/* As fast as it can, with the times of a steady pace: they are nobody's clock. */
static void test_full_speed(void **state)
{
    struct by_hand h = by_hand(S);

    (void)state;
    for (int i = 0; i < 100000; i++) {
        source_clock_on_message(&h.clock, BIN_NS, h.seq, 10 * S + h.seq * BIN_NS, h.t_ns += MS);
        h.seq++;
        assert_false(source_clock_is_known(&h.clock));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truth), cmocka_unit_test(test_learning),
        cmocka_unit_test(test_wrap),  cmocka_unit_test(test_standing_queue),
        cmocka_unit_test(test_steps), cmocka_unit_test(test_glitch),
        cmocka_unit_test(test_pause), cmocka_unit_test(test_full_speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

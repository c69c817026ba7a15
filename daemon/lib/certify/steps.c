/* Steps of a decoder at the pace of its stream. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "base/text.h"
#include "certify/measure.h"
#include "command/stop.h"
#include "setup/setup.h"

#define CACHE_BYTES (32u << 20) /* what other programs push through the caches between bins */
#define LEAST_SWEPT_NS UINT64_C(10000000) /* shorter bins leave no time to */
#define WARM_BEFORE_NS UINT64_C(1000000)  /* as warm-ms = 1 */
#define DEFAULT_MEAN 0.5f

struct steps {
    const struct subject *subject;
    latent_decoder *decoder;
    struct series *cold, *warm;
    float *counts;        /* [n_channels] */
    unsigned char *cache; /* [CACHE_BYTES], or NULL */
    uint64_t random;
    size_t n;
    long n_minor, n_major, n_switched;
    int status;
};

/* xorshift64*: from 0 up to 1. */
static float draw(struct steps *s)
{
    s->random ^= s->random >> 12;
    s->random ^= s->random << 25;
    s->random ^= s->random >> 27;
    return (float)(s->random * UINT64_C(2685821657736338717) >> 40) / (float)(1 << 24);
}

/* Poisson counts (Knuth) of the training mean, or values around it. */
static void make_bin(struct steps *s)
{
    const struct latent_info *info = &s->subject->info;

    for (uint32_t c = 0; c < info->n_channels; c++) {
        float mean = info->channel_mean ? info->channel_mean[c] : DEFAULT_MEAN;
        float left = 1, least = expf(-fminf(mean, 50));

        if (info->input == LATENT_INPUT_REAL) {
            s->counts[c] = (info->channel_mean ? mean : 0) + 2 * draw(s) - 1;
            continue;
        }
        s->counts[c] = -1;
        do {
            s->counts[c]++;
            left *= draw(s);
        } while (left > least);
    }
}

static void use_caches(struct steps *s)
{
    volatile unsigned char *bytes = s->cache;

    if (!s->cache) return;
    for (size_t i = 0; i < CACHE_BYTES; i += 64) bytes[i]++;
}

static void wait_until(uint64_t due_ns)
{
    const struct timespec at = clock_timespec(due_ns);

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR) continue;
}

static void step(struct steps *s, uint64_t due_ns, size_t i, struct series *to)
{
    const struct latent_bin bin = {.seq = i,
                                   .t_source_ns = due_ns,
                                   .n_channels = s->subject->info.n_channels,
                                   .counts = s->counts};
    struct latent_frame frame;
    uint64_t t_ns;

    if (to == s->warm) {
        wait_until(due_ns - WARM_BEFORE_NS);
        latent_decoder_warm(s->decoder);
    }
    wait_until(due_ns);
    t_ns = clock_now_ns();
    s->status = latent_decoder_step(s->decoder, &bin, &frame);
    series_add(to, clock_now_ns() - t_ns);
    if (s->status == LATENT_E_OUTPUT) {
        latent_decoder_reset(s->decoder);
        s->status = 0;
    }
}

static void *steps_run(void *ctx)
{
    struct steps *s = ctx;
    uint64_t period_ns = (uint64_t)s->subject->info.bin_width_us * 1000, due_ns;
    size_t n_block = (size_t)(UINT64_C(500000000) / period_ns) + 1;
    struct rusage before = {0}, after = {0};

    thread_prepare();
    due_ns = clock_now_ns() + period_ns;
    getrusage(RUSAGE_THREAD, &before);
    for (size_t i = 0; i < s->n && s->status == 0 && !stop_requested(); i++, due_ns += period_ns) {
        bool warms = s->warm && i / n_block % 2;

        make_bin(s);
        use_caches(s);
        step(s, due_ns, i, warms ? s->warm : s->cold);
    }
    getrusage(RUSAGE_THREAD, &after);
    s->n_minor = after.ru_minflt - before.ru_minflt;
    s->n_major = after.ru_majflt - before.ru_majflt;
    s->n_switched = after.ru_nivcsw - before.ru_nivcsw;
    return NULL;
}

static void add_interruptions(const struct steps *s, struct findings *f)
{
    struct finding faults = {CERTIFY_MODEL,
                             VERDICT_OK,
                             "page faults from disk",
                             "none",
                             "lock-memory = yes with a memlock limit that holds the models",
                             ""};
    struct finding switches = {CERTIFY_MODEL,
                               VERDICT_OK,
                               "taken off the CPU",
                               "never",
                               "realtime-priority, and a core of its own",
                               ""};

    if (s->n_major) faults.verdict = VERDICT_WARN;
    findings_add(f, &faults, "%s: %ld, and %ld without", s->subject->section->name, s->n_major,
                 s->n_minor);
    if (s->n_switched) switches.verdict = VERDICT_WARN;
    findings_add(f, &switches, "%s: %ld times in %zu bins", s->subject->section->name,
                 s->n_switched, s->n);
}

static int series_open(struct steps *s, struct findings *f)
{
    const struct conf_stream_section *section = s->subject->section;
    uint64_t budget_ns = section->values.budget_ns;
    bool is_warmed = section->values.warm_ns > 0; /* the other way is for comparison */
    bool is_swept = (uint64_t)s->subject->info.bin_width_us * 1000 >= LEAST_SWEPT_NS;

    s->cold = findings_series(f, CERTIFY_MODEL, s->n, is_swept && is_warmed ? 0 : budget_ns,
                              "%s: step%s", section->name, is_swept ? ", cold caches" : "");
    if (is_swept) {
        s->warm = findings_series(f, CERTIFY_MODEL, s->n, is_warmed ? budget_ns : 0,
                                  "%s: step, warmed caches", section->name);
        s->cache = malloc(CACHE_BYTES);
    }
    s->counts = calloc(s->subject->info.n_channels, sizeof *s->counts);
    return s->cold && s->counts && (!is_swept || (s->warm && s->cache)) ? 0 : LATENT_E_NOMEM;
}

static int run_thread(struct steps *s, struct latent_error *err)
{
    pthread_t thread;
    int error = thread_start(&thread, "certify-steps", &s->subject->wish, steps_run, s);

    if (error)
        return error_text(err, LATENT_E_IO, "the model test cannot run: %s", strerror(error));
    pthread_join(thread, NULL);
    if (s->status)
        return error_text(err, s->status, "stream %s: its decoder refuses a bin: %s",
                          s->subject->section->name, latent_strerror(s->status));
    return 0;
}

int steps_measure(const struct subject *subject, double seconds, struct findings *f,
                  struct latent_error *err)
{
    const struct latent_options options = setup_decoder(&subject->section->values);
    struct steps s = {.subject = subject, .random = 20260401};
    int status = latent_decoder_new(&s.decoder, subject->model, &options, err);

    if (status) return status;
    s.n = (size_t)(seconds * 1e6 / subject->info.bin_width_us) + 1;
    status = series_open(&s, f);
    if (status)
        error_text(err, status, "out of memory for %zu steps", s.n);
    else
        status = run_thread(&s, err);
    if (status == 0) {
        series_sort(s.cold);
        if (s.warm) series_sort(s.warm);
        add_interruptions(&s, f);
    }
    latent_decoder_free(s.decoder);
    free(s.counts);
    free(s.cache);
    return status;
}

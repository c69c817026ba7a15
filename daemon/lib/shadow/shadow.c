/* The runner. What the data thread writes (handed) is read after a step that was counted later. */
#include "shadow/shadow.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "base/thread.h"

#define THREAD_NAME "shadow"
#define NICE 10
#define STEPS_A_TURN 64
#define WINDOW_NS 10000000000u /* of the agreement */
#define LIMITED_NS 1000000000u /* at the limit for so long */
#define LOOK_MOST_NS 2000000u  /* between two looks; a quarter of a bin where that is less ... */
#define LOOK_LEAST_NS 100000u  /* ... but not less than this */
#define STACK_BYTES (1u << 20)

/* What the line's decoder did for consumers, newest bin last. */
struct watch {
    uint64_t late; /* a bit per bin that came, the newest lowest */
    uint64_t n_limited;
    enum shadow_trigger trigger;
};

struct shadow {
    struct shadow_of of;
    uint64_t bin_ns;
    uint32_t n_channels, n_readout;
    float *zeros; /* [n_channels] */

    /* Of whoever has the decoder. */
    struct {
        uint64_t number; /* of exchanges */
        struct shadow_decoder decoder;
        enum shadow_role role;
        const struct latent_readout *limits; /* of the decoder in the line */
    } handed;

    /* Of the runner. */
    uint64_t exchanges; /* of which it knows */
    uint64_t next, primed_end, window_bins;
    struct recent_step step;
    struct agreement *agreement;
    struct watch watch;
    struct shadow_status now; /* without step and agreement */
    struct histogram times;

    _Atomic uint64_t n_done;
    _Atomic bool is_primed, stop_is_wanted, has_ended;

    pthread_mutex_t mutex; /* of what is told */
    struct shadow_status told;

    pthread_t thread;
    bool has_thread;
};

/* ---- priming ---- */

/* From the oldest step that is kept; from the very first the state is what the line's would be. */
static void begin_priming(struct shadow *s)
{
    uint64_t count = recent_count(s->of.recent), depth = recent_depth(s->of.recent);

    s->next = count > depth ? count - depth : 0;
    s->primed_end = count;
    s->now.n_primed = count - s->next;
    s->now.is_exact = s->next == 0;
    s->now.is_warm = false;
    s->now.n_clean = 0;
    atomic_store_explicit(&s->n_done, s->next, memory_order_relaxed);
    atomic_store_explicit(&s->is_primed, s->next == s->primed_end, memory_order_release);
}

/* The steps that were written over. */
static void lose(struct shadow *s)
{
    uint64_t before = s->next;

    latent_decoder_reset(s->handed.decoder.decoder);
    begin_priming(s);
    s->now.n_losses++;
    s->now.n_lost += s->next - before;
}

/* What was the line's, or goes back there, begins its new role with clean sheets. */
static void take_handed(struct shadow *s)
{
    if (s->exchanges == s->handed.number) return;
    s->exchanges = s->handed.number;
    s->now = (struct shadow_status){.role = s->handed.role, .is_warm = true, .is_exact = true};
    s->watch = (struct watch){0};
    agreement_clear(s->agreement);
    histogram_clear(&s->times);
}

/* ---- a step ---- */

static const float *input_of(const struct shadow *s)
{
    if (s->step.action == LINE_STEP_ZERO) return s->zeros;
    if (s->step.action == LINE_STEP_MEAN) return s->handed.decoder.info->channel_mean;
    return s->step.counts;
}

/* The channels that the line does not believe; a model that cannot mask them is not promoted. */
static void take_mask(struct shadow *s)
{
    latent_decoder *d = s->handed.decoder.decoder;

    if (latent_decoder_mask_version(d) != s->step.mask_version)
        latent_decoder_mask(d, s->step.mask, ((size_t)s->n_channels + 7) / 8, s->step.mask_version);
}

/* As the line would have it; 0 or what the decoder says. */
static int decode(struct shadow *s, struct latent_frame *frame)
{
    latent_decoder *d = s->handed.decoder.decoder;
    const struct latent_bin bin = {.seq = s->step.seq,
                                   .marks = s->step.marks,
                                   .n_channels = s->n_channels,
                                   .counts = input_of(s)};

    if (s->step.action == LINE_PREDICT) return latent_decoder_predict(d, frame);
    return bin.counts ? latent_decoder_step(d, &bin, frame) : LATENT_E_UNSUPPORTED;
}

/* What reset the line's decoder by marks or by order made both the same again. */
static bool begins_anew(const struct recent_step *step)
{
    return step->action == LINE_START ||
           (step->marks & (LATENT_MARK_TRIAL_START | LATENT_MARK_RESET)) != 0;
}

static bool is_comparable(const struct recent_step *step, const struct latent_frame *frame)
{
    const uint32_t other =
        LATENT_SAFE | LATENT_HELD | LATENT_WARMUP | LATENT_OUTSIDE | LATENT_NO_SIGNAL;

    return step->has_frame && ((step->flags | frame->flags) & other) == 0;
}

/* frame: NULL: it failed. */
static void compare(struct shadow *s, const struct latent_frame *frame)
{
    bool good = frame && is_comparable(&s->step, frame) && s->step.n_shown >= s->n_readout &&
                frame->n_readout >= s->n_readout;

    agreement_add(s->agreement, good ? frame->readout : NULL, good ? s->step.readout : NULL);
}

static bool is_at_limit(const struct shadow *s)
{
    const struct recent_step *step = &s->step;

    if (!(step->flags & LATENT_LIMITED)) return false;
    for (uint32_t o = 0; o < step->n_shown && o < s->n_readout; o++) {
        const struct latent_readout *r = &s->handed.limits[o];

        if (step->readout[o] <= r->min || step->readout[o] >= r->max) return true;
    }
    return false;
}

/* The decoder in the line, while another is kept: bins that came are judged. */
static void watch(struct shadow *s)
{
    const uint64_t all = ((uint64_t)1 << SHADOW_MISSES_OF) - 1;
    struct watch *w = &s->watch;

    if (s->now.role != SHADOW_KEPT || s->step.action != LINE_STEP) return;
    w->late = (w->late << 1 | s->step.is_late) & all;
    if (s->step.has_frame) w->n_limited = is_at_limit(s) ? w->n_limited + 1 : 0;
    if (w->trigger) return;
    if (__builtin_popcountll(w->late) >= SHADOW_MISSES_MOST) w->trigger = SHADOW_MISSES;
    if (w->n_limited * s->bin_ns >= LIMITED_NS) w->trigger = SHADOW_LIMITS;
}

/* Output that is not finite: reset, as the line would. */
static void judge(struct shadow *s, int status, const struct latent_frame *frame)
{
    bool is_live = s->next >= s->primed_end;

    if (begins_anew(&s->step)) s->now.is_exact = true;
    if (s->step.action == LINE_START || status == LATENT_E_SHAPE || status == LATENT_E_VALUE)
        return;
    if (is_live) s->now.n_steps++;
    s->now.is_warm = !status && !(frame->flags & LATENT_WARMUP);
    s->now.n_clean = is_live ? s->now.n_clean + 1 : 0;
    if (!status) return;
    s->now.n_bad++;
    s->now.n_clean = 0;
    latent_decoder_reset(s->handed.decoder.decoder);
}

static uint64_t now_ns(const struct shadow *s)
{
    return s->of.clock.now_ns(s->of.clock.ctx);
}

static void do_step(struct shadow *s)
{
    struct latent_frame frame = {0};
    uint64_t before_ns = now_ns(s);
    int status = 0;

    take_mask(s);
    if (s->step.action == LINE_START)
        latent_decoder_reset(s->handed.decoder.decoder);
    else
        status = decode(s, &frame);
    if (s->step.action != LINE_START && s->next >= s->primed_end) {
        histogram_add(&s->times, now_ns(s) - before_ns);
        compare(s, status ? NULL : &frame);
        watch(s);
    }
    judge(s, status, &frame);
}

/* false: there is none. */
static bool step_next(struct shadow *s)
{
    enum recent_answer answer = recent_read(s->of.recent, s->next, &s->step);

    if (answer == RECENT_NOT_YET) return false;
    take_handed(s);
    if (answer == RECENT_LOST) {
        lose(s);
        return true;
    }
    do_step(s);
    s->next++;
    if (s->next == s->primed_end) atomic_store_explicit(&s->is_primed, true, memory_order_relaxed);
    atomic_store_explicit(&s->n_done, s->next, memory_order_release);
    return true;
}

/* ---- telling ---- */

static void tell(struct shadow *s)
{
    pthread_mutex_lock(&s->mutex);
    s->told = s->now;
    s->told.is_priming = s->next < s->primed_end;
    s->told.behind = recent_count(s->of.recent) - s->next;
    s->told.trigger = s->watch.trigger;
    s->told.n_readout = s->n_readout < SHADOW_MAX_READOUT ? s->n_readout : SHADOW_MAX_READOUT;
    for (uint32_t o = 0; o < s->told.n_readout; o++)
        agreement_read(s->agreement, o, &s->told.agreement[o]);
    pthread_mutex_unlock(&s->mutex);
}

void shadow_read(struct shadow *s, struct shadow_status *out)
{
    pthread_mutex_lock(&s->mutex);
    *out = s->told;
    pthread_mutex_unlock(&s->mutex);
    histogram_read(&s->times, &out->step);
}

/* ---- turns ---- */

bool shadow_turn(struct shadow *s)
{
    unsigned n = 0;

    while (n < STEPS_A_TURN && !atomic_load(&s->stop_is_wanted) && step_next(s)) n++;
    if (n) tell(s);
    return n > 0;
}

static uint64_t look_ns(const struct shadow *s)
{
    uint64_t ns = s->bin_ns / 4;

    if (ns > LOOK_MOST_NS) return LOOK_MOST_NS;
    return ns < LOOK_LEAST_NS ? LOOK_LEAST_NS : ns;
}

static void *run(void *ctx)
{
    struct shadow *s = ctx;
    const struct timespec period = clock_timespec(look_ns(s));

    thread_prepare();
    (void)setpriority(PRIO_PROCESS, 0, NICE); /* of this thread alone */
    while (!atomic_load(&s->stop_is_wanted))
        if (!shadow_turn(s)) clock_nanosleep(CLOCK_MONOTONIC, 0, &period, NULL);
    atomic_store(&s->has_ended, true);
    return NULL;
}

/* ---- the data thread ---- */

bool shadow_is_level(const struct shadow *s)
{
    uint64_t n_done = atomic_load_explicit(&s->n_done, memory_order_acquire);

    return n_done == recent_count(s->of.recent) &&
           atomic_load_explicit(&s->is_primed, memory_order_relaxed);
}

bool shadow_is_exact(const struct shadow *s)
{
    return s->exchanges == s->handed.number ? s->now.is_exact : true;
}

struct shadow_decoder shadow_exchange(struct shadow *s, struct shadow_decoder other,
                                      enum shadow_role role)
{
    struct shadow_decoder had = s->handed.decoder;

    s->handed.decoder = other;
    s->handed.role = role;
    s->handed.limits = had.info->readout;
    s->handed.number++;
    return had;
}

/* ---- life ---- */

static bool take_memory(struct shadow *s)
{
    s->zeros = calloc(s->n_channels + 1, sizeof *s->zeros);
    s->step.counts = calloc(s->n_channels + 1, sizeof *s->step.counts);
    s->step.readout = calloc(s->n_readout + 1, sizeof *s->step.readout);
    s->step.mask = calloc(s->n_channels / 8 + 1, sizeof *s->step.mask);
    s->agreement = agreement_new(WINDOW_NS / s->bin_ns, s->n_readout);
    return s->zeros && s->step.counts && s->step.readout && s->step.mask && s->agreement;
}

int shadow_new(struct shadow **out, const struct shadow_of *of, struct shadow_decoder decoder)
{
    struct shadow *s = calloc(1, sizeof *s);

    *out = NULL;
    if (!s) return LATENT_E_NOMEM;
    s->of = *of;
    s->handed.decoder = decoder;
    s->handed.limits = decoder.info->readout;
    s->n_channels = decoder.info->n_channels;
    s->n_readout = decoder.info->n_readout;
    s->bin_ns = (uint64_t)decoder.info->bin_width_us * 1000;
    pthread_mutex_init(&s->mutex, NULL);
    if (!take_memory(s)) {
        shadow_free(s);
        return LATENT_E_NOMEM;
    }
    begin_priming(s);
    tell(s);
    *out = s;
    return 0;
}

int shadow_start(struct shadow *s)
{
    const struct thread_wish wish = {.cpu = THREAD_ANY_CPU, .stack_bytes = STACK_BYTES};
    int status = thread_start(&s->thread, THREAD_NAME, &wish, run, s);

    s->has_thread = status == 0;
    return status;
}

void shadow_stop(struct shadow *s)
{
    atomic_store(&s->stop_is_wanted, true);
}

bool shadow_has_ended(const struct shadow *s)
{
    return !s->has_thread || atomic_load(&s->has_ended);
}

struct shadow_decoder shadow_free(struct shadow *s)
{
    struct shadow_decoder decoder = s->handed.decoder;

    shadow_stop(s);
    if (s->has_thread) pthread_join(s->thread, NULL);
    agreement_free(s->agreement);
    free(s->zeros);
    free(s->step.counts);
    free(s->step.readout);
    free(s->step.mask);
    pthread_mutex_destroy(&s->mutex);
    free(s);
    return decoder;
}

/* Before and after each frame, and around each expiry, a consumer is asked what it acts on. */
#include "contract_consumers.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "contract_frames.h"
#include "latent.pb-c.h"

#define MS ((uint64_t)1000000)
#define ELSEWHERE 7 /* clock id of another machine */
#define MOST_DRIFT_PPB 100000

/* ---- chance, clocks ---- */

static uint64_t draw(struct consumers *c, uint64_t low, uint64_t high)
{
    c->chance = c->chance * 6364136223846793005u + 1442695040888963407u;
    return low + (c->chance >> 33) % (high - low + 1);
}

static int64_t own_time(const struct consumer *k, uint64_t t_ns)
{
    int64_t t = (int64_t)t_ns;

    return t + k->offset_ns + t / 1000000000 * k->drift_ppb;
}

/* ---- what may be acted on ---- */

static const struct latent_readout *spec_of(const struct consumers *c, size_t i)
{
    return &c->oracle->readout[i];
}

static struct stance ask(const struct consumers *c, struct consumer *k, uint64_t t_ns)
{
    struct latent_client_readout out;
    struct stance s = {.fresh = false};

    require(c->oracle, judge_readout(&k->judge, own_time(k, t_ns), &out) == 1, "%s has no info",
            k->what);
    s.fresh = out.reason == NULL;
    for (size_t i = 0; i < ORACLE_N_READOUT; i++) {
        float neutral = spec_of(c, i)->neutral;

        s.y[i] = out.values[i];
        require(c->oracle, isfinite((double)s.y[i]), "%s gets %g", k->what, (double)s.y[i]);
        if (!s.fresh)
            require(c->oracle, memcmp(&s.y[i], &neutral, sizeof neutral) == 0, "%s: %g, and stale",
                    k->what, (double)s.y[i]);
    }
    k->n_fresh += s.fresh;
    k->n_stale += !s.fresh;
    return s;
}

/* How much older than it seems a frame can be: what the fastest took, and what clocks ran apart. */
static uint64_t most_unseen_ns(const struct consumers *c, const struct consumer *k)
{
    if (k->clock_id != ELSEWHERE) return 0;
    return k->delay_ns + k->jitter_ns + CLOCKS_SPREAD_NS + c->most_drift_ns;
}

/* Nothing that has expired, or repeats what has, is fresh; and on the publisher's own machine
 * nothing else is stale. */
static void check_fresh(const struct consumers *c, struct consumer *k, const struct stance *s,
                        uint64_t t_ns)
{
    uint64_t valid_for_ns = c->oracle->options->valid_for_ns;
    uint64_t age_ns = t_ns - k->newest.frame.t_publish_ns;

    require(c->oracle, k->has_newest || !s->fresh, "%s: fresh without a frame", k->what);
    if (s->fresh) {
        require(c->oracle, memcmp(s->y, k->newest.readout, sizeof s->y) == 0, "%s: other values",
                k->what);
        require(c->oracle, age_ns < valid_for_ns + most_unseen_ns(c, k),
                "%s: fresh, %.3f ms old, valid for %.3f", k->what, (double)age_ns / 1e6,
                (double)valid_for_ns / 1e6);
        require(c->oracle, k->continues, "%s: held, and what it repeats had expired", k->what);
    } else if (k->has_newest && k->clock_id != ELSEWHERE) {
        require(c->oracle, age_ns >= valid_for_ns || !k->continues, "%s: stale, %.3f ms old",
                k->what, (double)age_ns / 1e6);
    }
}

/* ---- steps, for the ideal one ---- */

/* Away from neutral: by the slew for as long as it had the last value, at most a bin; and on the
 * way from neutral by as much of what the decoder says as the ramp allows. */
static void check_away(const struct consumers *c, const struct consumer *k, size_t i,
                       const struct stance *s, uint64_t dt_ns)
{
    const struct latent_readout *spec = spec_of(c, i);
    double neutral = (double)spec->neutral, y = (double)s->y[i], from = (double)k->had.y[i];
    double ramp_ns = (double)c->oracle->options->policy.safe_ramp_ns, dt = (double)dt_ns;
    double side = (y - neutral) * (from - neutral) > 0.0 ? fabs(from - neutral) : 0.0;
    double way = fabs((double)k->newest.decoded[i] - neutral);

    if (fabs(y - neutral) <= side) return;
    if (isfinite((double)spec->slew))
        require(c->oracle, fabs(y - neutral) - side <= (double)spec->slew * dt / 1e9 + 1e-4,
                "%s: %g after %g in %g ns", k->what, y, from, dt);
    if (k->leaving && ramp_ns > 0.0)
        require(c->oracle, fabs(y - neutral) <= side + way * dt / ramp_ns + 1e-4,
                "%s: %g after %g in %g ns, leaving", k->what, y, from, dt);
}

static void step_to(const struct consumers *c, struct consumer *k, const struct stance *s,
                    uint64_t t_ns)
{
    const uint32_t rest = LATENT_SAFE | LATENT_WARMUP | LATENT_OUTSIDE;
    uint32_t flags = k->newest.frame.values.flags;
    uint64_t bin_ns = c->oracle->bin_ns, dt_ns = t_ns - k->t_had_ns;

    if (dt_ns > bin_ns || k->newest.frame.pub_seq == 0) dt_ns = bin_ns; /* 0: of a new life */
    if (!k->had.fresh || flags & LATENT_RESET || k->newest.frame.pub_seq == 0) {
        k->leaving = true;
        k->t_left_ns = 0;
    }
    for (size_t i = 0; i < ORACLE_N_READOUT; i++) check_away(c, k, i, s, dt_ns);
    if (!(flags & LATENT_HELD)) k->t_left_ns += dt_ns;
    k->leaving &= k->t_left_ns < c->oracle->options->policy.safe_ramp_ns;
    if (flags & rest) {
        k->leaving = true;
        k->t_left_ns = 0;
    }
}

static void look(const struct consumers *c, struct consumer *k, uint64_t t_ns, bool is_new)
{
    struct stance s = ask(c, k, t_ns);

    check_fresh(c, k, &s, t_ns);
    if (k->is_ideal && is_new && s.fresh) step_to(c, k, &s, t_ns);
    if (is_new || s.fresh != k->had.fresh) k->t_had_ns = t_ns;
    k->had = s;
}

/* ---- frames on their way ---- */

static void arrive(const struct consumers *c, struct consumer *k, const struct seen_frame *f,
                   uint64_t t_ns)
{
    uint64_t apart_ns = f->frame.t_publish_ns - k->newest.frame.t_publish_ns;

    if (f->frame.values.flags & LATENT_HELD)
        k->continues &= k->has_newest && apart_ns < c->oracle->options->valid_for_ns;
    else
        k->continues = true;
    k->newest = *f;
    k->newest.frame.values.readout = k->newest.readout;
    k->newest.frame.values.n_latents = k->newest.frame.values.n_rates = 0;
    k->has_newest = true;
    judge_on_frame(&k->judge, &k->newest.frame, own_time(k, t_ns));
    look(c, k, t_ns, true);
}

/* Around the moment at which what it has is no longer valid. */
static void expire(const struct consumers *c, struct consumer *k, uint64_t until_ns)
{
    uint64_t end_ns = k->newest.frame.t_publish_ns + c->oracle->options->valid_for_ns;
    const uint64_t moments[] = {end_ns - 1, end_ns, end_ns + most_unseen_ns(c, k)};

    if (!k->has_newest) return;
    for (size_t i = 0; i < sizeof moments / sizeof moments[0]; i++)
        if (k->had.fresh && moments[i] <= until_ns && moments[i] >= k->t_had_ns)
            look(c, k, moments[i], false);
}

static void follow(const struct consumers *c, struct consumer *k, uint64_t now_ns)
{
    while (k->n_flight && k->flight[k->first].t_ns <= now_ns) {
        uint64_t t_ns = k->flight[k->first].t_ns;

        expire(c, k, t_ns);
        look(c, k, t_ns, false);
        arrive(c, k, &k->flight[k->first].frame, t_ns);
        k->first = (k->first + 1) % CONSUMERS_MAX_FLIGHT;
        k->n_flight--;
    }
    expire(c, k, now_ns);
}

void consumers_follow(struct consumers *c, uint64_t now_ns)
{
    if (!c->t_open_ns) c->t_open_ns = now_ns;
    c->most_drift_ns = (now_ns - c->t_open_ns) / 1000000000 * MOST_DRIFT_PPB + MOST_DRIFT_PPB;
    for (size_t i = 0; i < CONSUMERS_N; i++) follow(c, &c->all[i], now_ns);
}

/* A queue in the order of sending; what a full one has no place for is lost. */
static void send_on(struct consumers *c, struct consumer *k, const struct seen_frame *f,
                    uint64_t now_ns)
{
    uint64_t t_ns = k->is_ideal ? f->frame.t_publish_ns : now_ns + k->delay_ns;
    size_t at = (k->first + k->n_flight) % CONSUMERS_MAX_FLIGHT;

    if (draw(c, 0, 999) < k->n_lost_in_1000 || k->n_flight == CONSUMERS_MAX_FLIGHT) return;
    if (k->jitter_ns) t_ns += draw(c, 0, k->jitter_ns);
    if (draw(c, 0, 999) < k->n_held_in_1000) t_ns += draw(c, 50, 3000) * MS;
    if (t_ns < k->t_last_ns) t_ns = k->t_last_ns;
    k->t_last_ns = t_ns;
    k->flight[at].t_ns = t_ns;
    k->flight[at].frame = *f;
    k->n_flight++;
}

void consumers_publish(struct consumers *c, const struct seen_frame *f, uint64_t now_ns)
{
    consumers_follow(c, f->frame.t_publish_ns);
    for (size_t i = 0; i < CONSUMERS_N; i++) send_on(c, &c->all[i], f, now_ns);
}

/* ---- life ---- */

static void give_info(struct consumer *k, const struct latent_info *info, uint64_t decoder_id)
{
    Latent__V1__ReadoutInfo fields[ORACLE_N_READOUT], *pointers[ORACLE_N_READOUT];
    Latent__V1__Info m = LATENT__V1__INFO__INIT;
    uint8_t bytes[1024];

    m.decoder_id = decoder_id;
    m.n_readout = ORACLE_N_READOUT;
    m.readout = pointers;
    for (size_t i = 0; i < ORACLE_N_READOUT; i++) {
        Latent__V1__ReadoutInfo *r = pointers[i] = &fields[i];

        latent__v1__readout_info__init(r);
        r->name = (char *)(uintptr_t)info->readout[i].name;
        r->unit = (char *)(uintptr_t)info->readout[i].unit;
        r->neutral = info->readout[i].neutral;
        r->min = info->readout[i].min;
        r->max = info->readout[i].max;
        r->slew = info->readout[i].slew;
    }
    assert_int_equal(judge_on_info(&k->judge, bytes, latent__v1__info__pack(&m, bytes)), 0);
}

void consumers_open(struct consumers *c, const struct oracle *oracle,
                    const struct latent_info *info, uint64_t decoder_id, uint64_t seed)
{
    const uint64_t here = oracle->options->clock_id;
    int64_t apart_ns, drift_ppb;

    *c = (struct consumers){.oracle = oracle, .chance = seed ^ 0x5eed};
    apart_ns = (int64_t)draw(c, 0, 2000000) * (int64_t)MS - (int64_t)(1000000 * MS);
    drift_ppb = (int64_t)draw(c, 0, 2 * MOST_DRIFT_PPB) - MOST_DRIFT_PPB;
    c->all[0] = (struct consumer){.what = "ideal", .clock_id = here, .is_ideal = true};
    c->all[1] = (struct consumer){
        .what = "near", .clock_id = here, .delay_ns = 200000, .jitter_ns = 3 * MS};
    c->all[2] = (struct consumer){.what = "near and lossy",
                                  .clock_id = here,
                                  .delay_ns = 100000,
                                  .jitter_ns = draw(c, 0, 30) * MS,
                                  .n_lost_in_1000 = 100,
                                  .n_held_in_1000 = 3};
    c->all[3] = (struct consumer){.what = "far",
                                  .clock_id = ELSEWHERE,
                                  .offset_ns = apart_ns,
                                  .drift_ppb = drift_ppb,
                                  .delay_ns = draw(c, 0, 20) * MS,
                                  .jitter_ns = draw(c, 0, 2) * MS};
    c->all[4] = (struct consumer){.what = "far and lossy",
                                  .clock_id = ELSEWHERE,
                                  .offset_ns = -apart_ns,
                                  .drift_ppb = -drift_ppb,
                                  .delay_ns = draw(c, 0, 20) * MS,
                                  .jitter_ns = draw(c, 0, 30) * MS,
                                  .n_lost_in_1000 = 100,
                                  .n_held_in_1000 = 3};
    for (size_t i = 0; i < CONSUMERS_N; i++) {
        judge_open(&c->all[i].judge, c->all[i].clock_id);
        give_info(&c->all[i], info, decoder_id);
    }
}

void consumers_tell(struct consumers *c, const struct latent_info *info, uint64_t decoder_id)
{
    for (size_t i = 0; i < CONSUMERS_N; i++) give_info(&c->all[i], info, decoder_id);
}

void consumers_close(struct consumers *c)
{
    for (size_t i = 0; i < CONSUMERS_N; i++) judge_close(&c->all[i].judge);
}

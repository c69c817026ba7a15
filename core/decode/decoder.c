/* One stream: what a bin means to a model, and what a frame shows of it. */
#include <assert.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "decode/forward.h"
#include "decode/input_stage.h"
#include "decode/options.h"
#include "decode/readout.h"
#include "decode/snapshot.h"
#include "kernels/denormals.h"
#include "kernels/kernels.h"

/* What the decoder itself carries from bin to bin; lies in the state arena, so
 * snapshots hold it. */
struct decoder_state {
    uint32_t fresh;  /* no bin since the reset: the next frame carries LATENT_RESET */
    uint32_t reset;  /* it was asked for (a new decoder's first frame carries no flag) */
    uint32_t ended;  /* trial_end was seen: outside until the next reset */
    uint32_t failed; /* non-finite output: refuses until reset */
};

struct latent_decoder {
    const latent_model *m;
    const void *bound;           /* the weights in this stream's precision */
    const struct arena *weights; /* where they lie */
    const struct latent_mode *mode;
    const char *precision;
    size_t session; /* of the model's */
    uint32_t input; /* enum latent_input: what it takes */
    uint32_t groups;
    bool predicts;
    uint64_t id;
    struct arena state, work;
    struct arena_piece *pieces;       /* of state */
    size_t n_old_pieces, n_old_bytes; /* of the state without that of the input stage */
    struct decoder_state *own;
    struct input_stage input_stage;
    float *last_readout;              /* [O], in the state arena */
    float *latents, *rates, *readout; /* [L], [N], [O] */
    float *logits;                    /* [n_logits] */
    struct forward forward;
};

/* ---- making ---- */

static uint64_t decoder_id(const latent_decoder *d)
{
    const char *mode = d->mode->name, *session = latent_decoder_session(d);
    crypto_hash_sha256_state h;
    uint8_t sum[32], bits = (uint8_t)d->groups;
    uint64_t id = 0;
    crypto_hash_sha256_init(&h);
    crypto_hash_sha256_update(&h, d->m->info.sha256, sizeof d->m->info.sha256);
    crypto_hash_sha256_update(&h, (const uint8_t *)mode, strlen(mode) + 1);
    crypto_hash_sha256_update(&h, (const uint8_t *)d->precision, strlen(d->precision) + 1);
    crypto_hash_sha256_update(&h, &bits, 1);
    if (d->m->dims.n_sessions > 1)
        crypto_hash_sha256_update(&h, (const uint8_t *)session, strlen(session) + 1);
    crypto_hash_sha256_final(&h, sum);
    for (int i = 0; i < 8; i++) id = id << 8 | sum[i];
    return id;
}

/* Carve everything; over counting arenas this only adds up. */
static void decoder_carve(latent_decoder *d, int mode)
{
    const struct model_dims *dims = &d->m->dims;
    struct model_memory memory = {.state = &d->state, .work = &d->work, .session = d->session};
    d->own = (struct decoder_state *)arena_flags(&d->state, sizeof *d->own / sizeof(uint32_t));
    d->last_readout = arena_floats(&d->state, dims->n_readout);
    d->latents = arena_floats(&d->work, dims->n_latents);
    d->rates = arena_floats(&d->work, dims->n_rates);
    d->readout = arena_floats(&d->work, dims->n_readout);
    if (dims->n_logits) d->logits = arena_floats(&d->work, dims->n_logits);
    forward_init(&d->forward, d->m, d->bound, mode, &memory);
    d->n_old_pieces = d->state.n_pieces; /* snapshots of before end here */
    d->n_old_bytes = d->state.used;
    input_stage_init(&d->input_stage, d->m, &memory);
}

static int decoder_memory(latent_decoder *d, int mode, struct latent_error *err)
{
    decoder_carve(d, mode);
    size_t state = d->state.used, work = d->work.used, n_pieces = d->state.n_pieces;
    if (state > MODEL_MAX_BYTES || work > MODEL_MAX_BYTES)
        return error_set(err, LATENT_E_NOMEM,
                         "%s: a decoder would need %zu bytes; at most %llu are allowed",
                         d->m->info.path, state + work, (unsigned long long)MODEL_MAX_BYTES);
    d->pieces = calloc(n_pieces, sizeof *d->pieces);
    if (!d->pieces || arena_new(&d->state, state) || arena_new(&d->work, work))
        return error_set(err, LATENT_E_NOMEM, "%s: no memory for a decoder of %zu bytes",
                         d->m->info.path, state + work);
    d->state.pieces = d->pieces;
    decoder_carve(d, mode);
    return 0;
}

/* The model's own word for a listed precision; NULL: its first. */
static const char *precision_of(const latent_model *m, const char *name)
{
    uint32_t i = 0;
    while (name && strcmp(m->info.precisions[i], name) != 0) i++;
    return m->info.precisions[i];
}

int latent_decoder_new(latent_decoder **out, const latent_model *m,
                       const struct latent_options *opt, struct latent_error *err)
{
    static const struct latent_options defaults = {0};
    const struct latent_options *o = opt ? opt : &defaults;
    assert(out && m);
    *out = NULL;
    int mode = options_check(m, o, err);
    if (mode < 0) return mode;
    latent_decoder *d = calloc(1, sizeof *d);
    if (!d) return error_set(err, LATENT_E_NOMEM, "no memory for a decoder");
    d->m = m;
    d->bound = model_bound(m, o->precision);
    d->weights = model_memory(m, o->precision);
    d->mode = &m->ops->modes[mode];
    d->input = o->any_finite ? LATENT_INPUT_REAL : m->info.input;
    d->groups = o->groups ? o->groups : model_groups(m);
    d->predicts = o->predicts != 0;
    d->precision = precision_of(m, o->precision);
    d->session = (size_t)model_session(m, o->session);
    d->id = decoder_id(d);
    int status = decoder_memory(d, mode, err);
    if (status) {
        latent_decoder_free(d);
        return status;
    }
    input_stage_clear(&d->input_stage);
    latent_decoder_reset(d);
    d->own->reset = 0;
    *out = d;
    return 0;
}

void latent_decoder_free(latent_decoder *d)
{
    if (!d) return;
    arena_free(&d->state);
    arena_free(&d->work);
    free(d->pieces);
    free(d);
}

/* ---- stepping ---- */

void latent_decoder_warm(const latent_decoder *d)
{
    arena_warm(d->weights);
    arena_warm(&d->state);
    arena_warm(&d->work);
}

void latent_decoder_reset(latent_decoder *d)
{
    forward_reset(&d->forward);
    readout_neutral(d->readout, d->last_readout, d->m->info.readout, d->m->dims.n_readout);
    *d->own = (struct decoder_state){.fresh = 1, .reset = 1};
}

static bool all_finite(const float *x, size_t n)
{
    return kernels_get()->finite(x, n);
}

static int values_check(const latent_decoder *d, const float *values, size_t n)
{
    return latent_input_check(d->input, values, n) == n ? 0 : LATENT_E_VALUE;
}

static int bin_check(const latent_decoder *d, const struct latent_bin *in)
{
    if (d->mode->offline) return LATENT_E_UNSUPPORTED;
    if (in->n_channels != d->m->dims.n_channels) return LATENT_E_SHAPE;
    return values_check(d, in->counts, in->n_channels);
}

/* Counts per bin to Hz. */
static void rates_to_hz(float *rates, size_t n, double bin_s)
{
    kernels_get()->scale(rates, n, (float)(1.0 / bin_s));
}

static void frame_show(const latent_decoder *d, struct latent_frame *out, uint32_t groups)
{
    const struct model_dims *dims = &d->m->dims;
    groups &= d->groups;
    if (groups & LATENT_GROUP_LATENTS) out->n_latents = (uint32_t)dims->n_latents;
    if (groups & LATENT_GROUP_RATES) out->n_rates = (uint32_t)dims->n_rates;
    if (groups & LATENT_GROUP_READOUT) out->n_readout = (uint32_t)dims->n_readout;
    if (groups & LATENT_GROUP_LOGITS) out->n_logits = (uint32_t)dims->n_logits;
    out->logits = d->logits;
    out->latents = d->latents;
    out->rates = d->rates;
    out->readout = d->readout;
}

static int frame_outside(latent_decoder *d, struct latent_frame *out)
{
    const struct model_dims *dims = &d->m->dims;
    readout_neutral(d->readout, d->last_readout, d->m->info.readout, dims->n_readout);
    out->flags |= LATENT_OUTSIDE;
    frame_show(d, out, LATENT_GROUP_READOUT);
    return 0;
}

/* No rate is below zero: what a linear model says there is shown as none. */
static uint32_t rates_hold(float *rates, size_t n)
{
    uint32_t flags = 0;
    for (size_t i = 0; i < n; i++)
        if (rates[i] < 0.0f) {
            rates[i] = 0.0f;
            flags = LATENT_LIMITED;
        }
    return flags;
}

/* What the model computed, on its way out. */
static int frame_finish(latent_decoder *d, struct latent_frame *out, const struct model_out *model)
{
    const struct model_dims *dims = &d->m->dims;
    const struct latent_readout *spec = d->m->info.readout;
    bool absent = model->absent;
    if (!absent) rates_to_hz(d->rates, dims->n_rates, dims->bin_s);
    if (model->infinite || !all_finite(d->latents, dims->n_latents) ||
        !all_finite(d->rates, dims->n_rates) || !all_finite(d->readout, dims->n_readout) ||
        !all_finite(d->logits, dims->n_logits)) {
        d->own->failed = 1;
        return LATENT_E_OUTPUT;
    }
    if (dims->answers_rates && !absent) out->flags |= rates_hold(d->rates, dims->n_rates);
    if (out->flags & LATENT_WARMUP)
        readout_neutral(d->readout, d->last_readout, spec, dims->n_readout);
    else
        out->flags |=
            readout_limit(d->readout, d->last_readout, spec, dims->n_readout, dims->bin_s);
    uint32_t groups = absent ? LATENT_GROUP_READOUT : d->groups;
    if (out->flags & LATENT_WARMUP) groups &= ~(uint32_t)LATENT_GROUP_LOGITS;
    frame_show(d, out, groups);
    return 0;
}

/* One bin, with counts or (NULL) without. */
static int decoder_advance(latent_decoder *d, const float *counts, struct latent_frame *out)
{
    struct model_out model = {
        .latents = d->latents, .rates = d->rates, .readout = d->readout, .logits = d->logits};
    *out = (struct latent_frame){0};
    if (d->own->failed) return LATENT_E_OUTPUT;
    if (d->own->fresh && d->own->reset) out->flags |= LATENT_RESET;
    d->own->fresh = 0;
    if (!counts) out->flags |= LATENT_PREDICTED;
    if (d->input_stage.n_masked) out->flags |= LATENT_MASKED;
    if (d->own->ended) return frame_outside(d, out);

    denormals_mode before = denormals_off();
    forward_step(&d->forward, counts, &model);
    out->flags |= model.flags;
    int status =
        model.flags & LATENT_OUTSIDE ? frame_outside(d, out) : frame_finish(d, out, &model);
    denormals_restore(before);
    return status;
}

int latent_decoder_step(latent_decoder *d, const struct latent_bin *in, struct latent_frame *out)
{
    assert(d && in && out);
    *out = (struct latent_frame){0};
    int status = bin_check(d, in);
    if (status) return status;
    if (in->marks & (LATENT_MARK_TRIAL_START | LATENT_MARK_RESET)) latent_decoder_reset(d);
    uint32_t clipped = 0;
    const float *counts = input_stage_run(&d->input_stage, in, &clipped);
    status = decoder_advance(d, counts, out);
    if (!status) out->flags |= clipped;
    if (d->mode->aligned && in->marks & LATENT_MARK_TRIAL_END) d->own->ended = 1;
    return status;
}

int latent_decoder_predict(latent_decoder *d, struct latent_frame *out)
{
    assert(d && out);
    *out = (struct latent_frame){0};
    if (d->mode->offline || !d->predicts) return LATENT_E_UNSUPPORTED;
    return decoder_advance(d, NULL, out);
}

/* ---- whole trials ---- */

static int trial_check(const latent_decoder *d, const float *counts, size_t n_bins)
{
    const struct model_dims *dims = &d->m->dims;
    if (!d->mode->offline) return LATENT_E_UNSUPPORTED;
    if (n_bins == 0 || (dims->trial_bins && n_bins > dims->trial_bins)) return LATENT_E_SHAPE;
    return values_check(d, counts, n_bins * dims->n_channels);
}

/* The caller's buffer, or one of our own for an output that the caller does not want. */
static float *rows_for(float *caller, size_t n_bins, size_t width, struct arena *own)
{
    if (caller) return caller;
    return arena_new(own, n_bins * width * sizeof *caller) ? NULL : (float *)(void *)own->base;
}

/* A whole trial begins and ends. */
static uint32_t marks_of_row(size_t t, size_t n_bins)
{
    return (t == 0 ? LATENT_MARK_TRIAL_START : 0u) | (t + 1 == n_bins ? LATENT_MARK_TRIAL_END : 0u);
}

/* The rows as the model gets them: the caller's, or changed in a buffer of our own; NULL: no
 * memory. */
static const float *rows_taken(latent_decoder *d, const float *counts, size_t n_bins,
                               struct arena *own)
{
    size_t c = d->m->dims.n_channels;
    if (input_stage_is_plain(&d->input_stage)) return counts;
    float *rows = rows_for(NULL, n_bins, c, own);
    for (size_t t = 0; rows && t < n_bins; t++)
        input_stage_take(
            &d->input_stage, rows + t * c,
            &(struct latent_bin){.counts = counts + t * c, .marks = marks_of_row(t, n_bins)});
    return rows;
}

/* As a stream from a reset shows them: neutral until the stage's lags are filled, then
 * within limits and slew. */
static void trial_limit(latent_decoder *d, float *readout, size_t n_bins)
{
    const struct latent_readout *spec = d->m->info.readout;
    size_t n = d->m->dims.n_readout, n_warm_up = d->m->stage.n_lags;
    readout_neutral(d->last_readout, d->last_readout, spec, n);
    for (size_t t = 0; t < n_bins; t++, readout += n)
        if (t + 1 < n_warm_up)
            readout_neutral(readout, d->last_readout, spec, n);
        else
            readout_limit(readout, d->last_readout, spec, n, d->m->dims.bin_s);
}

int latent_decoder_trial(latent_decoder *d, const float *counts, size_t n_bins, float *latents,
                         float *rates, float *readout)
{
    assert(d && counts);
    const struct model_dims *dims = &d->m->dims;
    struct arena own[4] = {0};
    int status = trial_check(d, counts, n_bins);
    if (status) return status;
    struct model_out out = {
        .latents = rows_for(latents, n_bins, dims->n_latents, &own[0]),
        .rates = rows_for(rates, n_bins, dims->n_rates, &own[1]),
        .readout = rows_for(readout, n_bins, dims->n_readout, &own[2]),
    };
    const float *rows = rows_taken(d, counts, n_bins, &own[3]);
    if (!rows || !out.latents || !out.rates || !out.readout)
        status = LATENT_E_NOMEM;
    else {
        denormals_mode before = denormals_off();
        forward_trial(&d->forward, rows, n_bins, &out);
        rates_to_hz(out.rates, n_bins * dims->n_rates, dims->bin_s);
        denormals_restore(before);
        if (!all_finite(out.latents, n_bins * dims->n_latents) ||
            !all_finite(out.rates, n_bins * dims->n_rates) ||
            !all_finite(out.readout, n_bins * dims->n_readout))
            status = LATENT_E_OUTPUT;
        else
            trial_limit(d, out.readout, n_bins);
    }
    for (int i = 0; i < 4; i++) arena_free(&own[i]);
    return status;
}

/* ---- snapshots ---- */

static struct snapshot snapshot_of(const latent_decoder *d)
{
    return (struct snapshot){.decoder_id = d->id,
                             .state = &d->state,
                             .n_old_pieces = d->n_old_pieces,
                             .n_old_bytes = d->n_old_bytes};
}

size_t latent_decoder_size(const latent_decoder *d)
{
    const struct snapshot s = snapshot_of(d);
    return snapshot_size(&s);
}

int latent_decoder_save(const latent_decoder *d, void *buf, size_t n)
{
    const struct snapshot s = snapshot_of(d);
    if (n < snapshot_size(&s)) return LATENT_E_SHAPE;
    snapshot_write(&s, buf);
    return 0;
}

int latent_decoder_load(latent_decoder *d, const void *buf, size_t n)
{
    const struct snapshot s = snapshot_of(d);
    int format = snapshot_read(&s, buf, n);
    if (!format) return LATENT_E_SNAPSHOT;
    if (format < SNAPSHOT_WITH_INPUT)
        input_stage_clear(&d->input_stage);
    else
        input_stage_loaded(&d->input_stage);
    forward_loaded(&d->forward);
    return 0;
}

/* ---- the input ---- */

int latent_decoder_mask(latent_decoder *d, const uint8_t *bits, size_t n_bytes, uint32_t version)
{
    assert(d && bits);
    return input_stage_mask(&d->input_stage, bits, n_bytes, version);
}

int latent_decoder_normalise(latent_decoder *d, uint32_t act, const double *mean, const double *sd,
                             size_t n)
{
    assert(d);
    return normalise_act(&d->input_stage.normalise, act, mean, sd, n);
}

void latent_decoder_normalisation(const latent_decoder *d, struct latent_normalisation *out,
                                  double *mean, double *sd)
{
    assert(d && out);
    normalise_tell(&d->input_stage.normalise, out, mean, sd);
}

uint32_t latent_decoder_masked(const latent_decoder *d, uint8_t *bits, size_t n_bytes)
{
    if (bits) input_stage_masked(&d->input_stage, bits, n_bytes);
    return (uint32_t)d->input_stage.n_masked;
}

uint32_t latent_decoder_mask_version(const latent_decoder *d)
{
    return (uint32_t)*d->input_stage.mask_version;
}

/* ---- telling ---- */

uint64_t latent_decoder_id(const latent_decoder *d)
{
    return d->id;
}

const struct latent_mode *latent_decoder_mode(const latent_decoder *d)
{
    return d->mode;
}

const char *latent_decoder_precision(const latent_decoder *d)
{
    return d->precision;
}

uint32_t latent_decoder_groups(const latent_decoder *d)
{
    return d->groups;
}

const char *latent_decoder_session(const latent_decoder *d)
{
    return d->m->dims.n_sessions ? d->m->dims.sessions[d->session] : NULL;
}

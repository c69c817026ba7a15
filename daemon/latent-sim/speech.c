/* Words of phonemes, said between silences:
 *
 *   tau a' = target of the phoneme - a          articulators, at rest (0) in silence
 *   log(expected count) = bias + loading . a    of each neuron
 *
 * Words are drawn phoneme by phoneme, none twice in succession. A trial begins and ends in silence,
 * and has as many words as go into it. The readout is the number of what is said: 1 ... N for the
 * phonemes, N + 1 for silence. */
#include "latent-sim/speech.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct speech {
    const struct recipe *recipe;
    double *targets;  /* [n_phonemes][n_articulators] */
    double *loadings; /* [n_channels][n_articulators] */
    double *bias;     /* [n_channels] log expected count at rest */
};

static const struct trial_readout speech_readout[] = {{"phoneme", "1"}};

static double bin_ms(const struct speech *self)
{
    return self->recipe->bin_width_us / 1000.0;
}

/* At least one bin. */
static uint32_t bins_draw(const struct speech *self, const struct recipe_range *ms, struct rng *rng)
{
    long n = lround(rng_between(rng, ms->low, ms->high) / bin_ms(self));
    return n > 1 ? (uint32_t)n : 1;
}

static uint32_t bins_write(struct trial *trial, uint32_t bin, uint32_t n, uint32_t said)
{
    for (uint32_t end = bin + n; bin < end; bin++) trial->readout[bin] = (float)said;
    return bin;
}

/* A word from `bin` on -> the bin behind it; it may not reach `end`: then `bin`, and nothing was
 * said. */
static uint32_t word_say(const struct speech *self, struct rng *rng, struct trial *trial,
                         uint32_t bin, uint32_t end)
{
    const struct recipe_speech *r = &self->recipe->speech;
    uint32_t length =
        r->word_phonemes[0] + rng_below(rng, r->word_phonemes[1] + 1 - r->word_phonemes[0]);
    uint32_t last = 0, at = bin;
    for (uint32_t k = 0; k < length; k++) {
        uint32_t phoneme = 1 + rng_below(rng, r->n_phonemes - (last > 0));
        if (last && phoneme >= last) phoneme++;
        uint32_t n = bins_draw(self, &r->phoneme_ms, rng);
        if (n > end - at) {
            bins_write(trial, bin, at - bin, r->n_phonemes + 1);
            return bin;
        }
        at = bins_write(trial, at, n, phoneme);
        last = phoneme;
    }
    return at;
}

static void words_say(const struct speech *self, struct rng *rng, struct trial *trial)
{
    const struct recipe_speech *r = &self->recipe->speech;
    uint32_t n_bins = self->recipe->trial_bins, silence = r->n_phonemes + 1;
    uint32_t tail = bins_draw(self, &r->pause_ms, rng), bin = 0, before = 0;
    uint32_t end = tail < n_bins ? n_bins - tail : 0;
    do {
        uint32_t pause = bins_draw(self, &r->pause_ms, rng);
        if (pause > end - bin) break;
        before = bins_write(trial, bin, pause, silence);
        bin = word_say(self, rng, trial, before, end);
    } while (bin > before);
    bins_write(trial, bin, n_bins - bin, silence);
}

/* Articulators follow what is said, neurons the articulators. */
static void bins_follow(const struct speech *self, struct trial *trial)
{
    const struct recipe_speech *r = &self->recipe->speech;
    uint32_t n = r->n_articulators, n_channels = self->recipe->n_channels;
    double share = -expm1(-bin_ms(self) / r->tau_ms);
    for (uint32_t bin = 0; bin < self->recipe->trial_bins; bin++) {
        uint32_t said = (uint32_t)trial->readout[bin] - 1;
        const double *target = self->targets + (size_t)said * n;
        float *now = trial->latents + (size_t)bin * n, *counts = trial->counts;
        counts += (size_t)bin * n_channels;
        for (uint32_t j = 0; j < n; j++) {
            double a = bin ? (double)now[(ptrdiff_t)j - (ptrdiff_t)n] : 0.0;
            double aim = said < r->n_phonemes ? target[j] : 0.0;
            now[j] = (float)(a + share * (aim - a));
        }
        for (uint32_t i = 0; i < n_channels; i++) {
            const double *loading = self->loadings + (size_t)i * n;
            double log_rate = self->bias[i];
            for (uint32_t j = 0; j < n; j++) log_rate += loading[j] * (double)now[j];
            counts[i] = (float)exp(log_rate);
        }
    }
}

void speech_trial_make(const void *pointer, struct rng *rng, uint32_t condition,
                       struct trial *trial)
{
    const struct speech *self = pointer;
    (void)condition; /* what is said is drawn */
    trial->condition = 0;
    words_say(self, rng, trial);
    bins_follow(self, trial);
}

static void population_draw(struct speech *self)
{
    const struct recipe *recipe = self->recipe;
    const struct recipe_speech *r = &recipe->speech;
    size_t n = r->n_articulators;
    struct rng rng;
    rng_init(&rng, recipe->seed, TRIAL_STREAM_POPULATION);
    for (size_t k = 0; k < r->n_phonemes * n; k++) self->targets[k] = rng_normal(&rng);
    for (size_t i = 0; i < recipe->n_channels; i++) {
        double hz = rng_between(&rng, r->rest_rate_hz.low, r->rest_rate_hz.high);
        self->bias[i] = log(hz * recipe->bin_width_us * 1e-6);
        for (size_t j = 0; j < n; j++)
            self->loadings[i * n + j] = r->depth / sqrt((double)n) * rng_normal(&rng);
    }
}

void *speech_new(const struct recipe *recipe, struct trial_shape *shape)
{
    const struct recipe_speech *r = &recipe->speech;
    struct speech *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->recipe = recipe;
    self->targets = calloc((size_t)r->n_phonemes * r->n_articulators, sizeof(double));
    self->loadings = calloc((size_t)recipe->n_channels * r->n_articulators, sizeof(double));
    self->bias = calloc(recipe->n_channels, sizeof(double));
    if (!self->targets || !self->loadings || !self->bias) {
        speech_free(self);
        return NULL;
    }
    population_draw(self);
    shape->n_latents = r->n_articulators;
    shape->n_readout = 1;
    shape->readout = speech_readout;
    return self;
}

void speech_free(void *pointer)
{
    struct speech *self = pointer;
    free(self->targets);
    free(self->loadings);
    free(self->bias);
    free(self);
}

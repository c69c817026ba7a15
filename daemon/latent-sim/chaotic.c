/* The chaotic network of the LFADS and NDT papers, by Euler's method:
 *
 *   tau y' = -y + W tanh(y)         W normal with sd gain / sqrt(N)
 *   rate = peak (1 + tanh(y)) / 2   of each unit
 *
 * A condition is a random initial state, and recurs from trial to trial. */
#include "latent-sim/chaotic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct chaotic {
    const struct recipe *recipe;
    double *weights;  /* [n][n] */
    float *activity;  /* tanh(y) [n_conditions][n_bins][n] */
    double *y, *tanh; /* one state and its tanh [n] */
};

static void network_step(struct chaotic *self, double share)
{
    uint32_t n = self->recipe->n_channels;
    for (uint32_t i = 0; i < n; i++) {
        const double *row = self->weights + (size_t)i * n;
        double sum = 0.0;
        for (uint32_t j = 0; j < n; j++) sum += row[j] * self->tanh[j];
        self->y[i] += share * (sum - self->y[i]);
    }
    for (uint32_t i = 0; i < n; i++) self->tanh[i] = tanh(self->y[i]);
}

/* One condition: a random state, and where the network goes from there. */
static void condition_make(struct chaotic *self, struct rng *rng, float *row)
{
    const struct recipe_chaotic *r = &self->recipe->chaotic;
    uint32_t n = self->recipe->n_channels;
    double share = self->recipe->bin_width_us / 1000.0 / r->tau_ms / r->steps_per_bin;
    for (uint32_t i = 0; i < n; i++) {
        self->y[i] = r->initial_sd * rng_normal(rng);
        self->tanh[i] = tanh(self->y[i]);
    }
    for (uint32_t bin = 0; bin < self->recipe->trial_bins; bin++, row += n) {
        for (uint32_t i = 0; i < n; i++) row[i] = (float)self->tanh[i];
        for (uint32_t k = 0; k < r->steps_per_bin; k++) network_step(self, share);
    }
}

static int chaotic_alloc(struct chaotic *self)
{
    const struct recipe *recipe = self->recipe;
    size_t n = recipe->n_channels;
    self->weights = calloc(n * n, sizeof(double));
    self->activity =
        calloc((size_t)recipe->chaotic.n_conditions * recipe->trial_bins * n, sizeof(float));
    self->y = calloc(n, sizeof(double));
    self->tanh = calloc(n, sizeof(double));
    return self->weights && self->activity && self->y && self->tanh ? 0 : LATENT_E_NOMEM;
}

void *chaotic_new(const struct recipe *recipe, struct trial_shape *shape)
{
    struct chaotic *self = calloc(1, sizeof *self);
    size_t n = recipe->n_channels, n_conditions = recipe->chaotic.n_conditions;
    if (!self) return NULL;
    self->recipe = recipe;
    if (chaotic_alloc(self)) {
        chaotic_free(self);
        return NULL;
    }
    struct rng rng;
    rng_init(&rng, recipe->seed, TRIAL_STREAM_POPULATION);
    for (size_t i = 0; i < n * n; i++)
        self->weights[i] = recipe->chaotic.gain / sqrt((double)n) * rng_normal(&rng);
    for (size_t c = 0; c < n_conditions; c++)
        condition_make(self, &rng, self->activity + c * recipe->trial_bins * n);
    shape->n_latents = recipe->n_channels;
    shape->n_conditions = recipe->chaotic.n_conditions;
    return self;
}

void chaotic_free(void *pointer)
{
    struct chaotic *self = pointer;
    free(self->weights);
    free(self->activity);
    free(self->y);
    free(self->tanh);
    free(self);
}

void chaotic_trial_make(const void *pointer, struct rng *rng, uint32_t condition,
                        struct trial *trial)
{
    const struct chaotic *self = pointer;
    const struct recipe *recipe = self->recipe;
    size_t n = (size_t)recipe->trial_bins * recipe->n_channels;
    double peak = recipe->chaotic.peak_rate_hz * recipe->bin_width_us * 1e-6;
    if (condition == TRIAL_ANY_CONDITION) condition = rng_below(rng, recipe->chaotic.n_conditions);
    trial->condition = condition;

    const float *activity = self->activity + condition * n;
    memcpy(trial->latents, activity, n * sizeof *activity);
    for (size_t i = 0; i < n; i++)
        trial->counts[i] = (float)(peak * 0.5 * (1.0 + (double)activity[i]));
}

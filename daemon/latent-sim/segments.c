/* One long orbit, cut into as many segments as the recipe has trials, in random order.
 *
 *   log(expected count) = a random projection of the state, standardised
 *
 * After the data sets of Sedler, Versteeg & Pandarinath 2023. */
#include "latent-sim/segments.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "latent-sim/flow.h"

struct segments {
    const struct recipe *recipe;
    size_t n_rows;
    uint32_t n_segments;
    double *states;   /* standardised, one row per bin [n_rows][FLOW_STATES] */
    double *loadings; /* of the standardised state [n_channels][FLOW_STATES] */
    uint32_t *order;  /* condition -> segment of the orbit [n_segments] */
    double mean[FLOW_STATES], sd[FLOW_STATES];
};

static struct flow segments_flow(const struct recipe_segments *r)
{
    static void (*const slopes[])(const double *, const double *, double *) = {
        [SYSTEM_ARNEODO] = flow_arneodo,
        [SYSTEM_ROSSLER] = flow_rossler,
        [SYSTEM_LORENZ] = flow_lorenz,
    };
    struct flow flow = {.slope = slopes[r->system]};
    memcpy(flow.p, r->parameters, sizeof flow.p);
    return flow;
}

static void orbit_make(struct segments *self)
{
    const struct recipe_segments *r = &self->recipe->segments;
    struct flow flow = segments_flow(r);
    double h = r->period / r->bins_per_period / r->steps_per_bin;
    double x[FLOW_STATES];
    memcpy(x, r->start, sizeof x);
    for (size_t row = 0; row < self->n_rows; row++) {
        memcpy(self->states + row * FLOW_STATES, x, sizeof x);
        for (uint32_t i = 0; i < r->steps_per_bin; i++) flow_step(&flow, h, x);
    }
}

/* Every trial is a segment of its own; which, is random, and so is then the split. */
static void order_draw(struct segments *self, struct rng *rng)
{
    for (uint32_t i = 0; i < self->n_segments; i++) self->order[i] = i;
    for (uint32_t i = self->n_segments; i > 1; i--) {
        uint32_t other = rng_below(rng, i), last = self->order[i - 1];
        self->order[i - 1] = self->order[other];
        self->order[other] = last;
    }
}

static double projection(const double *loading, const double *state)
{
    return loading[0] * state[0] + loading[1] * state[1] + loading[2] * state[2];
}

/* A uniformly drawn projection of the state itself (not of the standardised one), scaled so that
 * the log-rate has the recipe's sd over the whole orbit. */
static void neuron_make(struct segments *self, struct rng *rng, uint32_t i)
{
    double *loading = self->loadings + (size_t)i * FLOW_STATES;
    double squares = 0.0;
    for (int j = 0; j < FLOW_STATES; j++) loading[j] = rng_between(rng, -0.5, 0.5) * self->sd[j];
    for (size_t row = 0; row < self->n_rows; row++) {
        double y = projection(loading, self->states + row * FLOW_STATES);
        squares += y * y;
    }
    double sd = sqrt(squares / (double)self->n_rows);
    for (int j = 0; j < FLOW_STATES; j++) loading[j] *= self->recipe->segments.log_sd / sd;
}

static int segments_alloc(struct segments *self)
{
    const struct recipe *recipe = self->recipe;
    self->n_segments = recipe->n_train + recipe->n_valid + recipe->n_test;
    self->n_rows = (size_t)self->n_segments * recipe->trial_bins;
    self->states = calloc(self->n_rows * FLOW_STATES, sizeof(double));
    self->loadings = calloc((size_t)recipe->n_channels * FLOW_STATES, sizeof(double));
    self->order = calloc(self->n_segments, sizeof *self->order);
    return self->states && self->loadings && self->order ? 0 : LATENT_E_NOMEM;
}

void *segments_new(const struct recipe *recipe, struct trial_shape *shape)
{
    struct segments *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->recipe = recipe;
    if (segments_alloc(self)) {
        segments_free(self);
        return NULL;
    }
    struct rng rng;
    rng_init(&rng, recipe->seed, TRIAL_STREAM_POPULATION);
    orbit_make(self);
    states_standardise(self->states, self->n_rows, FLOW_STATES, self->mean, self->sd);
    order_draw(self, &rng);
    for (uint32_t i = 0; i < recipe->n_channels; i++) neuron_make(self, &rng, i);
    shape->n_latents = FLOW_STATES;
    shape->latent_mean = self->mean;
    shape->latent_scale = self->sd;
    shape->n_conditions = self->n_segments;
    shape->each_once = 1;
    return self;
}

void segments_free(void *pointer)
{
    struct segments *self = pointer;
    free(self->states);
    free(self->loadings);
    free(self->order);
    free(self);
}

void segments_trial_make(const void *pointer, struct rng *rng, uint32_t condition,
                         struct trial *trial)
{
    const struct segments *self = pointer;
    uint32_t n_bins = self->recipe->trial_bins, n_channels = self->recipe->n_channels;
    if (condition == TRIAL_ANY_CONDITION) condition = rng_below(rng, self->n_segments);
    trial->condition = condition;

    const double *state = self->states + (size_t)self->order[condition] * n_bins * FLOW_STATES;
    for (uint32_t bin = 0; bin < n_bins; bin++, state += FLOW_STATES) {
        float *counts = trial->counts + (size_t)bin * n_channels;
        for (int j = 0; j < FLOW_STATES; j++)
            trial->latents[bin * FLOW_STATES + j] = (float)state[j];
        for (uint32_t i = 0; i < n_channels; i++)
            counts[i] = (float)exp(self->recipe->segments.log_mean +
                                   projection(self->loadings + i * FLOW_STATES, state));
    }
}

/* The reach set. For neuron i at time t, with the movement its lag ahead (neurons
 * lead):
 *
 *   log(expected count) = bias + depth_v cos(angle to its preferred direction) speed
 *       + depth_s speed + depth_p position along another preferred direction
 *       + loadings . rotations + a slow gain of its own
 *
 * The rotations are damped planar oscillators that the plan of each movement kicks
 * shortly before it begins. */
#include "latent-sim/reach.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "latent-sim/movement.h"

#define N_KINEMATIC 4 /* latents: vx, vy, px, py */
#define N_CALIBRATION_TRIALS 100

struct neuron {
    double lag_s, bias;
    double velocity[2], speed, position[2]; /* per unit of scaled movement */
};

struct plane {
    double turn[2][2];  /* one bin of damped rotation */
    double drive[2][2]; /* direction of the movement -> kick: a scaled rotation */
};

struct reach {
    const struct recipe *recipe;
    uint32_t n_latents;
    struct neuron *neurons; /* [n_channels] */
    struct plane *planes;   /* [n_planes] */
    double *loadings;       /* [n_channels][2 n_planes] */
};

static const struct trial_readout reach_readout[] = {{"vx", "mm/s"}, {"vy", "mm/s"}};

static double bin_width_s(const struct reach *self)
{
    return self->recipe->bin_width_us * 1e-6;
}

static double draw(struct rng *rng, struct recipe_range range)
{
    return rng_between(rng, range.low, range.high);
}

static void vector_draw(struct rng *rng, double length, double out[2])
{
    double angle = rng_between(rng, 0.0, 2.0 * M_PI);
    out[0] = length * cos(angle);
    out[1] = length * sin(angle);
}

/* ---- the population, fixed by the recipe's seed ------------------------------------ */

/* The log of a uniform mean rate stands in the bias until the calibration. */
static void neuron_draw(const struct reach *self, struct rng *rng, struct neuron *n)
{
    const struct recipe_reach *r = &self->recipe->reach;
    n->lag_s = draw(rng, r->lag_ms) / 1000.0;
    n->bias = log(draw(rng, r->mean_rate_hz) * bin_width_s(self));
    vector_draw(rng, draw(rng, r->velocity_depth), n->velocity);
    n->speed = draw(rng, r->speed_depth);
    vector_draw(rng, draw(rng, r->position_depth), n->position);
}

static void plane_draw(const struct reach *self, struct rng *rng, struct plane *plane)
{
    const struct recipe_reach *r = &self->recipe->reach;
    double dt_s = bin_width_s(self);
    double angle = 2.0 * M_PI * draw(rng, r->frequency_hz) * dt_s;
    double decay = exp(-1000.0 * dt_s / r->decay_ms);
    plane->turn[0][0] = plane->turn[1][1] = decay * cos(angle);
    plane->turn[0][1] = -decay * sin(angle);
    plane->turn[1][0] = decay * sin(angle);
    vector_draw(rng, r->drive, plane->drive[0]);
    plane->drive[1][0] = -plane->drive[0][1];
    plane->drive[1][1] = plane->drive[0][0];
}

static void population_draw(struct reach *self, struct rng *rng)
{
    const struct recipe *recipe = self->recipe;
    for (uint32_t i = 0; i < recipe->n_channels; i++) neuron_draw(self, rng, &self->neurons[i]);
    for (uint32_t i = 0; i < recipe->reach.n_planes; i++) plane_draw(self, rng, &self->planes[i]);
    size_t n_loadings = (size_t)recipe->n_channels * 2 * recipe->reach.n_planes;
    for (size_t i = 0; i < n_loadings; i++)
        self->loadings[i] = recipe->reach.loading_sd * rng_normal(rng);
}

/* ---- one trial ---------------------------------------------------------------------- */

/* How strongly the plan drives the rotations at t_s: a half sine of unit area that ends when the
 * movement begins. direction: of that movement, scaled by its length. */
static double drive_at(const struct recipe_reach *r, const struct movement_plan *plan, double t_s,
                       double direction[2])
{
    double drive_s = r->drive_ms / 1000.0;
    for (uint32_t i = 0; i < plan->n_movements; i++) {
        const struct movement *m = &plan->movements[i];
        double phase = (t_s - (m->start_s - drive_s)) / drive_s;
        if (phase < 0.0 || phase > 1.0) continue;
        for (int j = 0; j < 2; j++) direction[j] = m->by_mm[j] / r->radius_mm;
        return M_PI / 2.0 / drive_s * sin(M_PI * phase);
    }
    direction[0] = direction[1] = 0.0;
    return 0.0;
}

/* Advances the rotations [2 n_planes] by the bin that ends at t_s. */
static void rotations_step(const struct reach *self, const struct movement_plan *plan, double t_s,
                           double *rotations)
{
    double direction[2], dt_s = bin_width_s(self);
    double strength = drive_at(&self->recipe->reach, plan, t_s - dt_s / 2.0, direction);
    for (uint32_t i = 0; i < self->recipe->reach.n_planes; i++) {
        const struct plane *p = &self->planes[i];
        double *z = rotations + 2 * i, old[2] = {z[0], z[1]};
        for (int j = 0; j < 2; j++) {
            double kick = p->drive[j][0] * direction[0] + p->drive[j][1] * direction[1];
            z[j] = p->turn[j][0] * old[0] + p->turn[j][1] * old[1] + dt_s * strength * kick;
        }
    }
}

static double neuron_log_count(const struct reach *self, uint32_t i,
                               const struct movement_plan *plan, double t_s,
                               const double *rotations)
{
    const struct recipe_reach *r = &self->recipe->reach;
    const struct neuron *n = &self->neurons[i];
    const double *loading = self->loadings + (size_t)i * 2 * r->n_planes;
    struct movement_state m;
    movement_state_at(plan, t_s + n->lag_s, &m);

    double sum = n->bias;
    for (int j = 0; j < 2; j++) {
        sum += n->velocity[j] * m.velocity_mm_s[j] / r->velocity_scale_mm_s;
        sum += n->position[j] * m.position_mm[j] / r->position_scale_mm;
    }
    sum += n->speed * hypot(m.velocity_mm_s[0], m.velocity_mm_s[1]) / r->velocity_scale_mm_s;
    for (uint32_t j = 0; j < 2 * r->n_planes; j++) sum += loading[j] * rotations[j];
    return sum;
}

/* What a decoder should find for the bin that ends at t_s. */
static void truth_store(const struct reach *self, const struct movement_plan *plan, double t_s,
                        uint32_t bin, const double *rotations, struct trial *trial)
{
    const struct recipe_reach *r = &self->recipe->reach;
    float *latents = trial->latents + (size_t)bin * self->n_latents;
    struct movement_state m;
    movement_state_at(plan, t_s, &m);
    for (int j = 0; j < 2; j++) {
        trial->readout[2 * bin + j] = (float)m.velocity_mm_s[j];
        trial->position[2 * bin + j] = (float)m.position_mm[j];
        latents[j] = (float)(m.velocity_mm_s[j] / r->velocity_scale_mm_s);
        latents[2 + j] = (float)(m.position_mm[j] / r->position_scale_mm);
    }
    for (uint32_t j = 0; j < 2 * r->n_planes; j++) latents[N_KINEMATIC + j] = (float)rotations[j];
}

/* Multiplies every neuron's counts by its own slow log-normal gain (an Ornstein-Uhlenbeck process
 * in the log, mean of the gain 1). */
static void gains_apply(const struct reach *self, struct rng *rng, struct trial *trial)
{
    const struct recipe *recipe = self->recipe;
    double sd = recipe->reach.gain_sd;
    double keep = exp(-1000.0 * bin_width_s(self) / recipe->reach.gain_time_ms);
    double renew = sqrt(1.0 - keep * keep);
    for (uint32_t i = 0; i < recipe->n_channels; i++) {
        double x = rng_normal(rng);
        for (uint32_t bin = 0; bin < recipe->trial_bins; bin++) {
            float *count = &trial->counts[(size_t)bin * recipe->n_channels + i];
            *count = (float)((double)*count * exp(sd * x - sd * sd / 2.0));
            x = keep * x + renew * rng_normal(rng);
        }
    }
}

static void plan_follow(const struct reach *self, const struct movement_plan *plan,
                        struct trial *trial)
{
    const struct recipe *recipe = self->recipe;
    double rotations[2 * RECIPE_MAX_PLANES] = {0.0};
    for (uint32_t bin = 0; bin < recipe->trial_bins; bin++) {
        double t_s = (bin + 1) * bin_width_s(self);
        float *counts = trial->counts + (size_t)bin * recipe->n_channels;
        rotations_step(self, plan, t_s, rotations);
        for (uint32_t i = 0; i < recipe->n_channels; i++)
            counts[i] = (float)exp(neuron_log_count(self, i, plan, t_s, rotations));
        truth_store(self, plan, t_s, bin, rotations, trial);
    }
}

void reach_trial_make(const void *pointer, struct rng *rng, uint32_t condition, struct trial *trial)
{
    const struct reach *self = pointer;
    struct movement_plan plan;
    (void)condition; /* the targets are drawn */
    movement_plan_draw(&self->recipe->reach, self->recipe->trial_bins * bin_width_s(self), rng,
                       &plan);
    trial->condition = plan.condition;
    plan_follow(self, &plan, trial);
    gains_apply(self, rng, trial);
}

/* ---- construction ------------------------------------------------------------------- */

/* Sets the biases so that every neuron has its drawn mean rate over many trials. */
static int biases_calibrate(struct reach *self, const struct trial_shape *shape)
{
    struct rng rng;
    struct trial trial;
    double *sums = calloc(shape->n_channels, sizeof *sums);
    if (!sums || trial_new(&trial, shape)) {
        free(sums);
        return LATENT_E_NOMEM;
    }
    rng_init(&rng, self->recipe->seed, TRIAL_STREAM_CALIBRATION);
    for (int n = 0; n < N_CALIBRATION_TRIALS; n++) {
        reach_trial_make(self, &rng, TRIAL_ANY_CONDITION, &trial);
        for (size_t k = 0; k < (size_t)shape->n_bins * shape->n_channels; k++)
            sums[k % shape->n_channels] += (double)trial.counts[k];
    }
    for (uint32_t i = 0; i < shape->n_channels; i++) {
        double mean = sums[i] / ((double)N_CALIBRATION_TRIALS * shape->n_bins);
        self->neurons[i].bias += self->neurons[i].bias - log(mean);
    }
    trial_free(&trial);
    free(sums);
    return 0;
}

void *reach_new(const struct recipe *recipe, struct trial_shape *shape)
{
    const struct recipe_reach *r = &recipe->reach;
    struct reach *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->recipe = recipe;
    self->n_latents = N_KINEMATIC + 2 * r->n_planes;
    self->neurons = calloc(recipe->n_channels, sizeof *self->neurons);
    self->planes = calloc(r->n_planes + 1, sizeof *self->planes);
    self->loadings = calloc((size_t)recipe->n_channels * 2 * r->n_planes + 1, sizeof(double));

    shape->n_latents = self->n_latents;
    shape->n_readout = shape->n_positions = 2;
    shape->readout = reach_readout;
    if (self->neurons && self->planes && self->loadings) {
        struct rng rng;
        rng_init(&rng, recipe->seed, TRIAL_STREAM_POPULATION);
        population_draw(self, &rng);
        if (biases_calibrate(self, shape) == 0) return self;
    }
    reach_free(self);
    return NULL;
}

void reach_free(void *pointer)
{
    struct reach *self = pointer;
    free(self->neurons);
    free(self->planes);
    free(self->loadings);
    free(self);
}

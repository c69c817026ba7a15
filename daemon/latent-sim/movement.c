/* Minimum-jerk reaching: positions and velocities in closed form. */
#include "latent-sim/movement.h"

#include <math.h>

/* Short draws are tried again this often before the rest of the trial becomes a hold. */
#define N_DRAWS 8

static double draw(struct rng *rng, struct recipe_range range)
{
    return rng_between(rng, range.low, range.high);
}

/* A target of the ring, or anywhere in between. Returns its number. */
static uint32_t target_draw(const struct recipe_reach *r, struct rng *rng, double out[2])
{
    uint32_t target = rng_below(rng, r->n_targets);
    double angle = 2.0 * M_PI * target / r->n_targets;
    double radius = r->radius_mm;
    if (rng_uniform(rng) < r->random_target_fraction) {
        target = r->n_targets;
        angle = rng_between(rng, 0.0, 2.0 * M_PI);
        radius = draw(rng, r->random_radius_mm);
    }
    out[0] = radius * cos(angle);
    out[1] = radius * sin(angle);
    return target;
}

/* One reach out and back from time *t_s on; moves *t_s past it and the hold after it. */
static uint32_t reach_draw(const struct recipe_reach *r, struct rng *rng, double *t_s,
                           struct movement pair[2])
{
    double target[2];
    uint32_t number = target_draw(r, rng, target);
    pair[0] = (struct movement){.from_mm = {0.0, 0.0}, .by_mm = {target[0], target[1]}};
    pair[1] =
        (struct movement){.from_mm = {target[0], target[1]}, .by_mm = {-target[0], -target[1]}};
    for (int i = 0; i < 2; i++) {
        pair[i].start_s = *t_s;
        pair[i].duration_s = draw(rng, r->duration_ms) / 1000.0;
        pair[i].bow_mm = r->curvature_mm * rng_normal(rng);
        *t_s += pair[i].duration_s + draw(rng, r->hold_ms) / 1000.0;
    }
    return number;
}

void movement_plan_draw(const struct recipe_reach *r, double trial_s, struct rng *rng,
                        struct movement_plan *plan)
{
    double t_s = draw(rng, r->hold_ms) / 1000.0;
    *plan = (struct movement_plan){.condition = r->n_targets};
    for (int failed = 0; failed < N_DRAWS && plan->n_movements + 2 <= MOVEMENT_MAX;) {
        struct movement *pair = plan->movements + plan->n_movements;
        double end_s = t_s;
        uint32_t target = reach_draw(r, rng, &end_s, pair);
        if (end_s > trial_s) {
            failed++;
            continue;
        }
        if (plan->n_movements == 0) plan->condition = target;
        plan->n_movements += 2;
        t_s = end_s;
    }
}

/* Minimum jerk: u = 10 s^3 - 15 s^4 + 6 s^5 along the line; sideways a smooth bow 64 s^3 (1 - s)^3
 * that is 1 at half time and leaves from and arrives at rest. */
static void movement_at(const struct movement *m, double t_s, struct movement_state *out)
{
    double s = (t_s - m->start_s) / m->duration_s;
    double along = s * s * s * (10.0 + s * (-15.0 + 6.0 * s));
    double along_slope = 30.0 * s * s * (1.0 - s) * (1.0 - s);
    double q = s * (1.0 - s);
    double bow = 64.0 * q * q * q;
    double bow_slope = 192.0 * q * q * (1.0 - 2.0 * s);

    double length = hypot(m->by_mm[0], m->by_mm[1]);
    double side[2] = {-m->by_mm[1] / length, m->by_mm[0] / length};
    for (int i = 0; i < 2; i++) {
        double sideways = m->bow_mm * side[i];
        out->position_mm[i] = m->from_mm[i] + along * m->by_mm[i] + bow * sideways;
        out->velocity_mm_s[i] = (along_slope * m->by_mm[i] + bow_slope * sideways) / m->duration_s;
    }
}

void movement_state_at(const struct movement_plan *plan, double t_s, struct movement_state *out)
{
    *out = (struct movement_state){{0.0, 0.0}, {0.0, 0.0}};
    for (uint32_t i = 0; i < plan->n_movements; i++) {
        const struct movement *m = &plan->movements[i];
        if (t_s < m->start_s) return;
        if (t_s <= m->start_s + m->duration_s) {
            movement_at(m, t_s, out);
            return;
        }
        out->position_mm[0] = m->from_mm[0] + m->by_mm[0];
        out->position_mm[1] = m->from_mm[1] + m->by_mm[1];
        out->velocity_mm_s[0] = out->velocity_mm_s[1] = 0.0;
    }
}

/* A hand that reaches out and back, centre-out: minimum-jerk movements and holds. */
#ifndef SIM_MOVEMENT_H
#define SIM_MOVEMENT_H

#include <stdint.h>

#include "latent-sim/recipe.h"
#include "latent-sim/rng.h"

/* One movement from rest to rest. */
struct movement {
    double start_s, duration_s;
    double from_mm[2], by_mm[2]; /* where it begins and how far it goes */
    double bow_mm;               /* largest sideways deviation */
};

#define MOVEMENT_MAX 64

/* The movements of one trial: out, back, out, back ..., all over before its end. */
struct movement_plan {
    uint32_t condition; /* first target; n_targets: a random one */
    uint32_t n_movements;
    struct movement movements[MOVEMENT_MAX];
};

/* Draws a plan. The hand starts and ends the trial at rest at the centre, so that trials follow
 * each other without a jump. */
void movement_plan_draw(const struct recipe_reach *r, double trial_s, struct rng *rng,
                        struct movement_plan *plan);

struct movement_state {
    double position_mm[2], velocity_mm_s[2];
};

/* Where the hand is at time t_s; before and after the plan it rests at the centre. */
void movement_state_at(const struct movement_plan *plan, double t_s, struct movement_state *out);

#endif

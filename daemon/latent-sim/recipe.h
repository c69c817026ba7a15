/* Recipes: the JSON files that say exactly which data the simulator makes. */
#ifndef SIM_RECIPE_H
#define SIM_RECIPE_H

#include <stdint.h>

#include "latent.h"

#define RECIPE_MAX_PLANES 32

enum recipe_kind { RECIPE_LORENZ, RECIPE_REACH, RECIPE_SEGMENTS, RECIPE_CHAOTIC, RECIPE_SPEECH };

enum recipe_system { SYSTEM_ARNEODO, SYSTEM_ROSSLER, SYSTEM_LORENZ };

struct recipe_range {
    double low, high;
};

struct recipe_lorenz {
    uint32_t n_conditions; /* initial conditions, which recur from trial to trial */
    double sigma, rho, beta;
    double burn_in_time; /* from a random point to the attractor, in Lorenz time */
    double time_per_bin; /* Lorenz time */
    uint32_t steps_per_bin;
    double mean_counts_per_bin; /* of every neuron, over all conditions */
    double loading_norm;        /* length of every neuron's loading vector */
};

struct recipe_reach {
    uint32_t n_targets;
    double radius_mm;
    double random_target_fraction;
    struct recipe_range random_radius_mm, duration_ms, hold_ms;
    double curvature_mm; /* sd of the sideways bow of a movement */
    struct recipe_range mean_rate_hz, lag_ms;
    double velocity_scale_mm_s, position_scale_mm;
    struct recipe_range velocity_depth, speed_depth, position_depth;
    uint32_t n_planes;
    struct recipe_range frequency_hz;
    double decay_ms;
    double drive_ms, drive; /* length of a kick, and its size for a full reach */
    double loading_sd;
    double gain_sd, gain_time_ms;
};

struct recipe_segments {
    uint32_t system; /* enum recipe_system */
    double parameters[3], start[3];
    double period; /* mean period, in the system's time */
    double bins_per_period;
    uint32_t steps_per_bin;
    double log_mean, log_sd; /* of every neuron's log expected count, over the orbit */
};

struct recipe_chaotic {
    uint32_t n_conditions; /* initial states, which recur from trial to trial */
    double gain;
    double tau_ms;
    uint32_t steps_per_bin;
    double initial_sd;
    double peak_rate_hz;
};

struct recipe_speech {
    uint32_t n_phonemes, n_articulators;
    uint32_t word_phonemes[2]; /* fewest, most */
    struct recipe_range phoneme_ms, pause_ms;
    double tau_ms;
    struct recipe_range rest_rate_hz;
    double depth; /* sd of a neuron's log rate while phonemes are held */
};

struct recipe {
    enum recipe_kind kind;
    uint64_t seed;
    uint32_t n_channels, bin_width_us, trial_bins;
    uint32_t n_train, n_valid, n_test; /* trials, per condition if these recur */
    struct recipe_lorenz lorenz;
    struct recipe_reach reach;
    struct recipe_segments segments;
    struct recipe_chaotic chaotic;
    struct recipe_speech speech;
    char *text; /* the file as it was read */
};

/* Reads and checks a recipe. Every key is required and every other key is refused. */
int recipe_load(struct recipe *recipe, const char *path, struct latent_error *err);
void recipe_free(struct recipe *recipe);

#endif

/* The simulator: recipes and their refusals, the same bytes from the same recipe, the
 * attractor's means, movements against their formulas, tuning against its lag. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "latent-sim/dataset.h"
#include "latent-sim/movement.h"
#include "latent-sim/recipe.h"
#include "latent-sim/world.h"

#define LARGEST_FILE (32u << 20)

static char folder[] = "/tmp/latent-test-sim-XXXXXX";

static char *path_in_folder(const char *name)
{
    static char path[2][256];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static char *file_read(const char *path, size_t *n)
{
    FILE *file = fopen(path, "rb");
    char *bytes = malloc(LARGEST_FILE);
    assert_non_null(file);
    assert_non_null(bytes);
    *n = fread(bytes, 1, LARGEST_FILE - 1, file);
    bytes[*n] = 0;
    fclose(file);
    return bytes;
}

/* The pinned recipe models/KIND.json with `find` replaced, written to the folder. */
static const char *recipe_variant(const char *kind, const char *find, const char *put)
{
    const char *root = getenv("LATENT_SOURCE");
    char source[512];
    size_t n;
    snprintf(source, sizeof source, "%s/models/%s.json", root ? root : ".", kind);
    char *text = file_read(source, &n);
    char *at = find ? strstr(text, find) : text;
    assert_non_null(at);

    char *path = path_in_folder("recipe.json");
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fwrite(text, 1, (size_t)(at - text), file);
    fputs(find ? put : "", file);
    fputs(at + (find ? strlen(find) : 0), file);
    fclose(file);
    free(text);
    return path;
}

static void recipe_load_variant(struct recipe *recipe, const char *kind, const char *find,
                                const char *put)
{
    struct latent_error err = {0};
    if (recipe_load(recipe, recipe_variant(kind, find, put), &err)) fail_msg("%s", err.text);
}

/* ---- recipes ------------------------------------------------------------------------ */

static void check_refused(const char *kind, const char *find, const char *put,
                          const char *part_of_text)
{
    struct latent_error err = {0};
    struct recipe recipe;
    int status = recipe_load(&recipe, recipe_variant(kind, find, put), &err);
    assert_true(status < 0);
    assert_int_equal(err.status, status);
    if (!strstr(err.text, part_of_text))
        fail_msg("\"%s\" does not say \"%s\"", err.text, part_of_text);
}

static void test_recipe_refusals(void **state)
{
    (void)state;
    check_refused("lorenz", "\"seed\"", "\"sed\"", "unknown key \"sed\"");
    check_refused("lorenz", "\"sigma\"", "\"sigme\"", "unknown key \"lorenz.sigme\"");
    check_refused("lorenz", "\"sigma\": 10,", "", "lorenz.sigma: expected a value, found");
    check_refused("lorenz", "\"sigma\": 10", "\"sigma\": \"ten\"", "found \"ten\"");
    check_refused("lorenz", "\"n_channels\": 29", "\"n_channels\": 2.5",
                  "n_channels: expected a whole number from 1 to 65535, found 2.5");
    check_refused("lorenz", "\"n_channels\": 29", "\"n_channels\": 0", "found 0");
    check_refused("lorenz", "\"bin_width_ms\": 20", "\"bin_width_ms\": 0.0001",
                  "whole microseconds");
    check_refused("lorenz", "{\"train\": 14, \"valid\": 2, \"test\": 4}",
                  "{\"train\": 0, \"valid\": 0, \"test\": 0}", "at least one");
    check_refused("lorenz", "\"format\": 1", "\"format\": 2", "\"format\": 1");
    check_refused("lorenz", "\"kind\": \"lorenz\"", "\"kind\": \"rossler\"", "found rossler");
    check_refused("lorenz", "\"seed\"", "\"seed\": 1, \"seed\"", "duplicate");
    check_refused("lorenz", "\"seed\"", "seed", "line 4: not JSON");
    check_refused("arneodo", "\"arneodo\"", "\"duffing\"",
                  "orbit.system: expected \"arneodo\", \"rossler\" or");
    check_refused("arneodo", "[5.5, 4.5, 1]", "[5.5, 4.5]",
                  "orbit.parameters: expected three numbers");
    check_refused("arneodo", "[5.5, 4.5, 1]", "[5.5, 4.5, \"one\"]", "three numbers");
    check_refused("chaotic", "\"tau_ms\": 25", "\"tau_ms\": 0",
                  "network.tau_ms: expected a number from");
    check_refused("speech", "[2, 5]", "[2.5, 5]", "speech.word_phonemes: expected two whole");
    check_refused("speech", "[2, 5]", "[5, 2]", "speech.word_phonemes: expected [low, high]");
    check_refused("reach", "[300, 600]", "[600, 300]", "movement.duration_ms: expected");
    check_refused("reach", "[300, 600]", "300", "found 300");
    check_refused("reach", "\"lag_ms\"", "\"sigma\": 10, \"lag_ms\"",
                  "unknown key \"tuning.sigma\"");
}

static void test_recipe_missing_file(void **state)
{
    struct latent_error err = {0};
    struct recipe recipe;
    (void)state;
    assert_true(recipe_load(&recipe, path_in_folder("none.json"), &err) < 0);
    assert_non_null(strstr(err.text, "none.json: No such file"));
}

static void test_recipe_values(void **state)
{
    struct recipe r;
    (void)state;
    recipe_load_variant(&r, "lorenz", NULL, NULL);
    assert_int_equal(r.kind, RECIPE_LORENZ);
    assert_int_equal(r.n_channels, 29);
    assert_int_equal(r.bin_width_us, 20000);
    assert_int_equal(r.trial_bins, 50);
    assert_int_equal(r.lorenz.n_conditions, 65);
    assert_int_equal(r.n_train + r.n_valid, 16);
    assert_int_equal(r.n_test, 4);
    assert_true(r.lorenz.mean_counts_per_bin == 0.49);
    recipe_free(&r);
    recipe_load_variant(&r, "reach", "\"bin_width_ms\": 10", "\"bin_width_ms\": 0.5");
    assert_int_equal(r.kind, RECIPE_REACH);
    assert_int_equal(r.bin_width_us, 500);
    assert_true(r.reach.lag_ms.low == 0.0 && r.reach.lag_ms.high == 150.0);
    recipe_free(&r);
}

/* ---- data sets ---------------------------------------------------------------------- */

static char *dataset_bytes(const char *kind, const char *find, const char *put, size_t *n)
{
    struct latent_error err = {0};
    struct recipe recipe;
    recipe_load_variant(&recipe, kind, find, put);
    struct world *world = world_new(&recipe);
    assert_non_null(world);
    if (dataset_write(&recipe, world, path_in_folder("data.h5"), &err)) fail_msg("%s", err.text);
    world_free(world);
    recipe_free(&recipe);
    return file_read(path_in_folder("data.h5"), n);
}

static void check_determined(const char *kind, const char *find, const char *put)
{
    size_t n_first, n_second;
    char *first = dataset_bytes(kind, find, put, &n_first);
    char *second = dataset_bytes(kind, find, put, &n_second);
    assert_int_equal(n_first, n_second);
    assert_true(n_first > 100000 && n_first < LARGEST_FILE - 1);
    assert_memory_equal(first, second, n_first);
    free(first);
    free(second);
}

static void test_same_recipe_same_bytes(void **state)
{
    (void)state;
    check_determined("lorenz", NULL, NULL);
    check_determined("reach", "\"train\": 300", "\"train\": 3");
    check_determined("rossler", "\"train\": 1280", "\"train\": 128");
    check_determined("chaotic", "\"n_conditions\": 130", "\"n_conditions\": 13");
    check_determined("speech", "\"train\": 700", "\"train\": 3");
}

static void test_other_seed_other_bytes(void **state)
{
    size_t n_first, n_second;
    char *first = dataset_bytes("lorenz", NULL, NULL, &n_first);
    char *second = dataset_bytes("lorenz", "\"seed\": 20240229", "\"seed\": 20240228", &n_second);
    (void)state;
    assert_int_equal(n_first, n_second);
    assert_memory_not_equal(first, second, n_first);
    free(first);
    free(second);
}

static void test_counts_beyond_the_type_are_refused(void **state)
{
    struct latent_error err = {0};
    struct recipe recipe;
    (void)state;
    recipe_load_variant(&recipe, "lorenz", "0.49", "99");
    struct world *world = world_new(&recipe);
    char *path = path_in_folder("none.h5");
    assert_int_equal(dataset_write(&recipe, world, path, &err), LATENT_E_VALUE);
    assert_non_null(strstr(err.text, "at most 255"));
    assert_int_equal(access(path, F_OK), -1);
    world_free(world);
    recipe_free(&recipe);
}

/* ---- the attractor ------------------------------------------------------------------ */

/* Sums over all conditions of the pinned recipe. */
static void lorenz_sums(const struct world *world, uint32_t n_conditions, double latent_sums[3][2],
                        double *counts)
{
    const struct trial_shape *s = world_shape(world);
    struct trial trial;
    struct rng rng;
    rng_init(&rng, 1, 0);
    assert_int_equal(trial_new(&trial, s), 0);
    for (uint32_t c = 0; c < n_conditions; c++) {
        world_trial_make(world, &rng, c, &trial);
        assert_int_equal(trial.condition, c);
        for (uint32_t k = 0; k < s->n_bins * 3; k++) {
            double z = (double)trial.latents[k];
            latent_sums[k % 3][0] += z;
            latent_sums[k % 3][1] += z * z;
        }
        for (uint32_t k = 0; k < s->n_bins * s->n_channels; k++)
            counts[k % s->n_channels] += (double)trial.counts[k];
    }
    trial_free(&trial);
}

static void test_lorenz_means(void **state)
{
    struct recipe recipe;
    double latent_sums[3][2] = {{0.0}}, counts[29] = {0.0};
    (void)state;
    recipe_load_variant(&recipe, "lorenz", NULL, NULL);
    struct world *world = world_new(&recipe);
    assert_int_equal(world_shape(world)->n_latents, 3);
    assert_int_equal(world_shape(world)->n_readout, 0);
    lorenz_sums(world, 65, latent_sums, counts);
    double n = 65.0 * 50.0;
    for (int i = 0; i < 3; i++) {
        assert_true(fabs(latent_sums[i][0] / n) < 1e-6);
        assert_true(fabs(latent_sums[i][1] / n - 1.0) < 1e-6);
    }
    for (int i = 0; i < 29; i++) assert_true(fabs(counts[i] / n - 0.49) < 1e-6);
    world_free(world);
    recipe_free(&recipe);
}

/* ---- reaching ----------------------------------------------------------------------- */

static void test_movement_formulas(void **state)
{
    struct movement_plan plan = {.n_movements = 1,
                                 .movements = {{.start_s = 0.2,
                                                .duration_s = 0.5,
                                                .from_mm = {0.0, 0.0},
                                                .by_mm = {60.0, 80.0},
                                                .bow_mm = 5.0}}};
    struct movement_state m;
    (void)state;
    movement_state_at(&plan, 0.2, &m);
    assert_true(m.position_mm[0] == 0.0 && m.velocity_mm_s[1] == 0.0);
    /* Half way: half the distance and the bow; the peak speed of a minimum-jerk
     * movement is 15/8 of distance over duration. */
    movement_state_at(&plan, 0.45, &m);
    assert_true(fabs(m.position_mm[0] - (30.0 - 5.0 * 0.8)) < 1e-9);
    assert_true(fabs(m.position_mm[1] - (40.0 + 5.0 * 0.6)) < 1e-9);
    assert_true(fabs(hypot(m.velocity_mm_s[0], m.velocity_mm_s[1]) - 375.0) < 1e-9);
    movement_state_at(&plan, 0.7 + 1e-9, &m);
    assert_true(m.position_mm[0] == 60.0 && m.position_mm[1] == 80.0);
    assert_true(m.velocity_mm_s[0] == 0.0 && m.velocity_mm_s[1] == 0.0);
}

/* Trials begin and end at rest at the centre; velocity is the slope of position. */
static void test_reach_trials_are_whole(void **state)
{
    struct recipe r;
    struct rng rng;
    int conditions[9] = {0};
    (void)state;
    recipe_load_variant(&r, "reach", NULL, NULL);
    rng_init(&rng, 5, 0);
    for (int trial = 0; trial < 300; trial++) {
        struct movement_plan plan;
        struct movement_state a, b;
        movement_plan_draw(&r.reach, 3.0, &rng, &plan);
        assert_true(plan.n_movements >= 2 && plan.n_movements % 2 == 0);
        assert_true(plan.condition <= 8);
        conditions[plan.condition]++;
        movement_state_at(&plan, 0.05, &a);
        movement_state_at(&plan, 2.999, &b);
        for (int i = 0; i < 2; i++) {
            assert_true(a.position_mm[i] == 0.0 && a.velocity_mm_s[i] == 0.0);
            assert_true(fabs(b.position_mm[i]) < 1e-9 && b.velocity_mm_s[i] == 0.0);
        }
        double t = 3.0 * rng_uniform(&rng), h = 1e-5;
        movement_state_at(&plan, t - h, &a);
        movement_state_at(&plan, t + h, &b);
        double slope = (b.position_mm[0] - a.position_mm[0]) / (2.0 * h);
        movement_state_at(&plan, t, &a);
        assert_true(fabs(slope - a.velocity_mm_s[0]) < 0.5);
    }
    for (int i = 0; i < 9; i++) assert_true(conditions[i] > 10);
    recipe_free(&r);
}

/* A neuron that is only tuned to velocity: log-rate(t) - mean = k . v(t + lag) exactly.
 * Returns the largest deviation when the velocity is looked up n_lead bins ahead. */
static double lead_error(const struct trial *trial, uint32_t n_channels, int n_lead)
{
    double error = 0.0;
    double xx = 0, xy = 0, yy = 0, xr = 0, yr = 0, rest = log((double)trial->counts[0]);
    for (int pass = 0; pass < 2; pass++)
        for (int bin = 0; bin + n_lead < 300; bin++) {
            const float *v = trial->readout + 2 * (bin + n_lead);
            double x = (double)v[0], y = (double)v[1], d = xx * yy - xy * xy;
            double r = log((double)trial->counts[(uint32_t)bin * n_channels]) - rest;
            if (pass == 0) {
                xx += x * x, xy += x * y, yy += y * y, xr += x * r, yr += y * r;
                continue;
            }
            double k[2] = {(yy * xr - xy * yr) / d, (xx * yr - xy * xr) / d};
            error = fmax(error, fabs(r - k[0] * x - k[1] * y));
        }
    return error;
}

static void test_reach_neurons_lead(void **state)
{
    struct recipe recipe;
    struct trial trial;
    struct rng rng;
    (void)state;
    recipe_load_variant(&recipe, "reach", NULL, NULL);
    recipe.n_channels = 1;
    recipe.reach.n_planes = 0;
    recipe.reach.gain_sd = 0.0;
    recipe.reach.lag_ms = (struct recipe_range){100.0, 100.0};
    recipe.reach.velocity_depth = (struct recipe_range){0.8, 0.8};
    recipe.reach.speed_depth = (struct recipe_range){0.0, 0.0};
    recipe.reach.position_depth = (struct recipe_range){0.0, 0.0};
    recipe.reach.hold_ms = (struct recipe_range){250.0, 300.0};
    struct world *world = world_new(&recipe);
    assert_non_null(world);
    assert_int_equal(trial_new(&trial, world_shape(world)), 0);
    rng_init(&rng, 3, 0);
    world_trial_make(world, &rng, TRIAL_ANY_CONDITION, &trial);
    assert_true(lead_error(&trial, 1, 10) < 1e-5);
    assert_true(lead_error(&trial, 1, 9) > 0.01);
    assert_true(lead_error(&trial, 1, 0) > 0.1);
    trial_free(&trial);
    world_free(world);
    recipe_free(&recipe);
}

/* Over 200 trials every neuron's mean rate is inside the recipe's range, give or take
 * the gain and the movements that happened, and the neurons fill the range. */
static void test_reach_mean_rates(void **state)
{
    struct recipe recipe;
    struct trial trial;
    struct rng rng;
    double sums[96] = {0.0}, lowest = 1e9, highest = 0.0;
    (void)state;
    recipe_load_variant(&recipe, "reach", NULL, NULL);
    struct world *world = world_new(&recipe);
    const struct trial_shape *s = world_shape(world);
    assert_int_equal(s->n_latents, 4 + 2 * 3);
    assert_int_equal(s->n_readout, 2);
    assert_int_equal(trial_new(&trial, s), 0);
    rng_init(&rng, 9, 0);
    for (int n = 0; n < 200; n++) {
        world_trial_make(world, &rng, TRIAL_ANY_CONDITION, &trial);
        for (uint32_t k = 0; k < 300 * 96; k++) sums[k % 96] += (double)trial.counts[k];
    }
    for (int i = 0; i < 96; i++) {
        double hz = sums[i] / (200.0 * 3.0);
        lowest = fmin(lowest, hz);
        highest = fmax(highest, hz);
    }
    assert_true(lowest > 5.0 * 0.9 && lowest < 7.0);
    assert_true(highest < 25.0 * 1.1 && highest > 23.0);
    trial_free(&trial);
    world_free(world);
    recipe_free(&recipe);
}

static int folder_make(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int folder_remove(void **state)
{
    (void)state;
    unlink(path_in_folder("recipe.json"));
    unlink(path_in_folder("data.h5"));
    return rmdir(folder); /* fails if a temporary file was left behind */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recipe_refusals),
        cmocka_unit_test(test_recipe_missing_file),
        cmocka_unit_test(test_recipe_values),
        cmocka_unit_test(test_same_recipe_same_bytes),
        cmocka_unit_test(test_other_seed_other_bytes),
        cmocka_unit_test(test_counts_beyond_the_type_are_refused),
        cmocka_unit_test(test_lorenz_means),
        cmocka_unit_test(test_movement_formulas),
        cmocka_unit_test(test_reach_trials_are_whole),
        cmocka_unit_test(test_reach_neurons_lead),
        cmocka_unit_test(test_reach_mean_rates),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}

/* The contract on a virtual clock: seeded histories of a source, a network, a machine
 * and an operator through the real line, each frame and each counter held against an
 * oracle that knows what was injected. LATENT_CONTRACT_SEEDS asks for more seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "contract_world.h"
#include "model_maker.h"

enum { DEFAULT_SEEDS = 1000, N_BINS = 1000 };
#define MS ((uint64_t)1000000)

static latent_model *model, *other;
static struct world world;

static void open_parts(latent_model **out, struct model_parts parts)
{
    struct file_bytes file = maker_file(&parts);

    assert_int_equal(model_open_bytes(out, file.bytes, file.n, NULL), 0);
    free(file.bytes);
}

static int open_model(void **state)
{
    (void)state;
    open_parts(&model, maker_kalman());
    open_parts(&other, maker_kalman_other());
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    latent_model_close(model);
    latent_model_close(other);
    return 0;
}

static uint64_t n_seeds(void)
{
    const char *text = getenv("LATENT_CONTRACT_SEEDS");
    return text ? strtoull(text, NULL, 10) : DEFAULT_SEEDS;
}

/* What occurred over all seeds, so that a rule that was never tried shows. */
static void test_histories(void **state)
{
    uint64_t total[N_COUNTERS] = {0};
    uint64_t n_bins = 0, n_lives = 0, seconds = 0, n_misclaimed = 0, n_ends[ORACLE_N_ENDS] = {0};
    uint64_t n_fresh[CONSUMERS_N] = {0}, n_stale[CONSUMERS_N] = {0};
    (void)state;
    for (uint64_t seed = 1; seed <= n_seeds(); seed++) {
        world_open(&world, model, other, seed);
        world_run(&world, N_BINS);
        n_bins += world.n_bins;
        n_lives += world.n_lives;
        seconds += world.now_ns / (1000 * MS) - 1000;
        for (size_t i = 0; i < CONSUMERS_N; i++) {
            n_fresh[i] += world.consumers.all[i].n_fresh;
            n_stale[i] += world.consumers.all[i].n_stale;
        }
        world_close(&world);
        for (enum counter c = 0; c < N_COUNTERS; c++) total[c] += world_total(&world, c);
        for (size_t i = 0; i < ORACLE_N_ENDS; i++) n_ends[i] += world.n_ends[i];
        n_misclaimed += world.n_misclaimed;
    }
    print_message("%.1f million bins, %.1f simulated hours, %.0f lives\n", (double)n_bins / 1e6,
                  (double)seconds / 3600, (double)n_lives);
    print_message(
        "bins by a clock that is ours: %.0f thousand, estimated %.0f, not known %.0f; %.0f "
        "messages that cannot be by ours\n",
        (double)n_ends[ORACLE_EXACT] / 1e3, (double)n_ends[ORACLE_ESTIMATED] / 1e3,
        (double)n_ends[ORACLE_UNKNOWN] / 1e3, (double)n_misclaimed);
    for (size_t i = 0; i < ORACLE_N_ENDS; i++) assert_true(n_ends[i] > 0);
    assert_true(n_misclaimed > 0);
    for (size_t i = 0; i < CONSUMERS_N; i++) {
        const char *what = world.consumers.all[i].what;

        print_message("consumer %s: %.0f thousand looks fresh, %.0f stale\n", what,
                      (double)n_fresh[i] / 1e3, (double)n_stale[i] / 1e3);
        if (!n_fresh[i] || !n_stale[i]) fail_msg("%s: all the same", what);
    }
    for (enum counter c = 0; c < N_COUNTERS; c++) {
        uint32_t flag = c >= FLAGS_FIRST && c <= FLAGS_LAST ? 1u << (c - FLAGS_FIRST) : 0;
        if (c == BINS_REFUSED_SHAPE || c == STATE_LAST_SEQ || c == STATE_LAST_EPOCH ||
            c == STATE_STATE)
            continue;
        if (flag & (LATENT_WARMUP | LATENT_MASKED | LATENT_OUTSIDE | LATENT_INPUT_CLIPPED |
                    LATENT_BETWEEN))
            continue;
        if (total[c] == 0) fail_msg("%s never occurred", counter_name(c));
    }
}

/* The source stops at a moment of its own; from the lease's end on (or that of a stall)
 * consumers are neutral, and stay so. */
static void test_safe_within_the_lease(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= n_seeds(); seed++) {
        uint64_t end_ns;

        world_open(&world, model, other, 1000000 + seed);
        world_run(&world, 50 + seed % 97);
        world_fall_silent(&world, 0);
        end_ns = world.oracle.t_decoded_ns + world.options.policy.lease_ns;
        if (end_ns < world.t_stalled_ns) end_ns = world.t_stalled_ns;
        if (!world.oracle.heard || end_ns < world.now_ns) end_ns = world.now_ns;
        world_fall_silent(&world, end_ns - world.now_ns);
        world_fall_silent(&world, 0); /* what fell due while a frame was being made */
        for (int i = 0; i < 20 && world.oracle.heard; i++) {
            if (!oracle_is_neutral(&world.oracle, world.now_ns))
                fail_msg("seed %d: not neutral", (int)seed);
            world_fall_silent(&world, 37 * MS);
            world_fall_silent(&world, 0);
        }
        world_close(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histories),
        cmocka_unit_test(test_safe_within_the_lease),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}

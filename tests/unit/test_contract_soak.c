/* One long history on the virtual clock: the ledgers stay exact and nothing grows.
 * LATENT_SOAK_BINS asks for more bins than the few of an ordinary test run. */
#include <inttypes.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "contract_world.h"
#include "model_maker.h"

/* The address sanitizer keeps what was freed for a while. */
#ifdef __SANITIZE_ADDRESS__
enum { DEFAULT_BINS = 300000, N_LEGS = 10, MAX_GROWTH_KIB = 512 * 1024 };
#else
enum { DEFAULT_BINS = 300000, N_LEGS = 10, MAX_GROWTH_KIB = 256 };
#endif

static struct world world;

static uint64_t n_bins(void)
{
    const char *text = getenv("LATENT_SOAK_BINS");
    return text ? strtoull(text, NULL, 10) : DEFAULT_BINS;
}

/* Whatever a life takes it gives back; what the newest holds lies in aligned blocks, each up to 32
 * bytes larger than another time, for what is too small to be a block of its own. */
#define SLACK_BYTES 1024

/* The most that was ever resident. */
static long peak_kib(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss;
}

static void check_ledgers(void)
{
    struct ledger_values v;
    assert_true(line_read(world.line, &v));
    oracle_check(&world.oracle, &v);
}

static void test_soak(void **state)
{
    struct model_parts parts[] = {maker_kalman(), maker_kalman_other()};
    latent_model *model[2];
    long before_kib;
    size_t heap;
    uint64_t start_ns;
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct file_bytes file = maker_file(&parts[i]);

        assert_int_equal(model_open_bytes(&model[i], file.bytes, file.n, NULL), 0);
        free(file.bytes);
    }
    world_open(&world, model[0], model[1], 1);
    start_ns = world.now_ns;
    world_run(&world, n_bins() / N_LEGS); /* all that is used is there after this */
    before_kib = peak_kib();
    heap = mallinfo2().uordblks;
    for (int leg = 1; leg < N_LEGS; leg++) {
        world_run(&world, n_bins() / N_LEGS);
        check_ledgers();
        assert_true(mallinfo2().uordblks <= heap + SLACK_BYTES);
        assert_true(peak_kib() - before_kib <= MAX_GROWTH_KIB);
    }
    print_message("%" PRIu64 " bins, %.1f simulated hours, %" PRIu64 " frames, "
                  "%ld KiB more than after the first tenth\n",
                  world.n_bins, (double)(world.now_ns - start_ns) / 3600e9,
                  world.oracle.count[FRAMES_PUBLISHED], peak_kib() - before_kib);
    world_close(&world);
    for (int i = 0; i < 2; i++) latent_model_close(model[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_soak)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

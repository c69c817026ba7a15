/* Four threads, one model each in turn, all modes: not one differing result. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "decoder_runs.h"

enum { N_BINS = 40 };

struct job {
    const latent_model *m;
    const char *mode;
    const float *counts;
    struct run result;
};

static void *job_run(void *arg)
{
    struct job *job = arg;
    latent_decoder *d = decoder_new(job->m, job->mode);
    for (int round = 0; round < 2; round++) {
        struct run r = run_bins(d, job->counts, channels_of(job->m), 0, N_BINS);
        run_append(&job->result, r.bytes, r.n);
        free(r.bytes);
        latent_decoder_reset(d);
    }
    latent_decoder_free(d);
    return NULL;
}

static void test_four_threads(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_shipped; i++) {
        latent_model *m = model_open(shipped[i].file);
        float *counts = counts_new(N_BINS, channels_of(m), 9);
        struct job jobs[5];
        pthread_t threads[4];
        for (int k = 0; k < 5; k++)
            jobs[k] = (struct job){.m = m, .mode = shipped[i].mode, .counts = counts};
        job_run(&jobs[4]);
        for (int k = 0; k < 4; k++)
            assert_int_equal(pthread_create(&threads[k], NULL, job_run, &jobs[k]), 0);
        for (int k = 0; k < 4; k++) {
            pthread_join(threads[k], NULL);
            assert_int_equal(jobs[k].result.n, jobs[4].result.n);
            assert_memory_equal(jobs[k].result.bytes, jobs[4].result.bytes, jobs[4].result.n);
            free(jobs[k].result.bytes);
        }
        free(jobs[4].result.bytes);
        free(counts);
        latent_model_close(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_four_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The state is put back as it was, not reset: the first frame must be the one that latent-decode
 * gives. */
#include "latentd/admit.h"

#include <stdlib.h>

#include "base/clock.h"

#define MOST_STEPS 300
#define MOST_NS 300000000u

/* A trial-aligned model is fed one trial after the other: outside of a trial it would have nothing
 * to do. */
static uint32_t marks_of(const latent_decoder *d, const struct latent_info *info, uint64_t seq)
{
    uint64_t trial_bins = info->trial_bins;

    if (!latent_decoder_mode(d)->aligned) return 0;
    return trial_bins == 0 || seq % trial_bins == 0 ? LATENT_MARK_TRIAL_START : 0;
}

/* Status of the last step. */
static int run(latent_decoder *d, const struct latent_info *info, const float *counts,
               struct admission *a)
{
    uint64_t start = clock_now_ns(), now = start;
    struct latent_frame frame;
    int status = 0;

    while (a->n_steps < MOST_STEPS && now - start < MOST_NS && !status) {
        const struct latent_bin bin = {.seq = a->n_steps,
                                       .marks = marks_of(d, info, a->n_steps),
                                       .n_channels = info->n_channels,
                                       .counts = counts};
        uint64_t before = clock_now_ns();

        status = latent_decoder_step(d, &bin, &frame);
        now = clock_now_ns();
        admission_add(a, now - before);
    }
    return status;
}

int admit_run(latent_decoder *d, const struct latent_info *info, struct admission *a, int *failed)
{
    size_t n_state = latent_decoder_size(d);
    float *silence = calloc(info->n_channels, sizeof *silence);
    void *state = malloc(n_state);
    int status = silence && state ? latent_decoder_save(d, state, n_state) : LATENT_E_NOMEM;

    *failed = 0;
    if (status == 0) {
        *failed = run(d, info, silence, a);
        status = latent_decoder_load(d, state, n_state);
    }
    free(silence);
    free(state);
    return status;
}

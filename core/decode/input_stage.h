/* What happens to a bin before the model gets it: masked channels read as their training mean, no
 * more of a channel gets through than its file allows, and what the file wants normalised is. State
 * is kept beside the model's: a reset does not touch it. */
#ifndef LATENT_INPUT_STAGE_H
#define LATENT_INPUT_STAGE_H

#include <stdbool.h>

#include "decode/model.h"
#include "decode/normalise.h"

struct input_stage {
    const struct latent_info *info;
    uint32_t *masked;       /* [C] flags, in the state arena; [0] where the file has no mean */
    uint64_t *mask_version; /* the same */
    size_t n_masked;        /* of them */
    struct normalise normalise;
    float *bin; /* [C] as the model gets it; [0] where it always gets it as it came */
    float *raw; /* [C] before it is normalised; [0] where it is not */
};

/* Carve; once over counting arenas, then for real. */
void input_stage_init(struct input_stage *s, const latent_model *m, struct model_memory *memory);
/* As it is without any order: nothing is masked. */
void input_stage_clear(struct input_stage *s);
/* The state was written from outside (a snapshot). */
void input_stage_loaded(struct input_stage *s);
/* See latent_decoder_mask. */
int input_stage_mask(struct input_stage *s, const uint8_t *bits, size_t n_bytes, uint32_t version);
/* Which are masked: bits [n_bytes] laid out as there. */
void input_stage_masked(const struct input_stage *s, uint8_t *bits, size_t n_bytes);
/* A bin on its way to the model: its counts, or a copy that ends with the next call. *flags gets
 * LATENT_INPUT_CLIPPED. */
const float *input_stage_run(struct input_stage *s, const struct latent_bin *bin, uint32_t *flags);
/* The same into out [C], whatever has to be done. Returns the flags. */
uint32_t input_stage_take(struct input_stage *s, float *out, const struct latent_bin *bin);
/* Does a bin reach the model as it came, whatever is in it? */
bool input_stage_is_plain(const struct input_stage *s);

#endif

/* The architecture's step with the readout stage behind it. */
#include "decode/forward.h"

#include "kernels/denormals.h"

void forward_init(struct forward *f, const latent_model *m, const void *bound, int mode,
                  struct model_memory *memory)
{
    f->m = m;
    f->model = m->ops->init(bound, mode, memory);
    if (m->stage.n_lags) readout_stage_init(&f->stage, &m->stage, memory->state);
}

void forward_reset(struct forward *f)
{
    f->m->ops->reset(f->model);
    if (f->m->stage.n_lags) readout_stage_reset(&f->m->stage, &f->stage);
}

void forward_loaded(struct forward *f)
{
    if (!f->m->ops->loaded) return;
    denormals_mode before = denormals_off(); /* as in a step */
    f->m->ops->loaded(f->model);
    denormals_restore(before);
}

/* Row t of what the architecture wrote, into row t of the readout. */
static uint32_t readout_row(struct forward *f, const struct model_out *out, size_t t)
{
    const struct readout_stage *s = &f->m->stage;
    const float *rows = s->from_rates ? out->rates : out->latents;
    return readout_stage_step(s, &f->stage, out->readout + t * s->n_readout,
                              rows + t * s->n_inputs);
}

void forward_step(struct forward *f, const float *counts, struct model_out *out)
{
    const struct model_ops *ops = f->m->ops;
    if (counts)
        ops->step(f->model, counts, out);
    else
        ops->predict(f->model, out);
    if (f->m->stage.n_lags && !out->absent && !(out->flags & LATENT_OUTSIDE))
        out->flags |= readout_row(f, out, 0);
}

void forward_trial(struct forward *f, const float *counts, size_t n_bins, struct model_out *out)
{
    forward_reset(f);
    f->m->ops->trial(f->model, counts, n_bins, out);
    for (size_t t = 0; f->m->stage.n_lags && t < n_bins; t++) readout_row(f, out, t);
}

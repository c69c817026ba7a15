/* Pointers move, and of the state what consumers have and what came last. What is shown of latents
 * and rates was the other decoder's: a frame that is held shows none until this one made some. */
#include "line/promote.h"

#include <assert.h>
#include <string.h>

#include "line/still.h"

void promote_seat(struct line *line, struct line_decoder *d)
{
    const struct latent_info *info = &d->info;

    line->seat = d;
    line->decoder = d->decoder;
    line->decoder_id = d->decoder_id;
    line->n_latents = info->n_latents;
    line->n_rates = info->n_rates;
    line->mean = info->channel_mean;
    line->limits = info->readout;
    line->buffer = d->buffer;
    line->n_buffer = d->n_buffer;
    line->kept = d->kept;
    line->n_kept = d->n_kept;
    line->read_kept = d->read_kept;
    line->shown_latents = d->kept;
    line->shown_rates = line->shown_latents + info->n_latents;
    line->shown_readout = line->shown_rates + info->n_rates;
    line->last_counts = line->shown_readout + info->n_readout;
    still_init(line, info);
    atomic_store_explicit(&line->n_bytes, line_size_with(d), memory_order_relaxed);
}

/* The same channels are not believed. line_may_follow has seen to it that it can. */
static void take_mask_over(struct line *line, latent_decoder *next)
{
    size_t n = line_mask_bytes(line);

    if (next == line->decoder) return;
    latent_decoder_masked(line->decoder, line->mask, n);
    latent_decoder_mask(next, line->mask, n, latent_decoder_mask_version(line->decoder));
}

/* Whether a normalisation may learn is the operator's word about the stream. A decoder whose file
 * has none says nothing of it. */
static void take_freeze_over(struct line *line, latent_decoder *next)
{
    uint32_t kind = line->seat->info.normalise;
    struct latent_normalisation now, then;

    if (kind != LATENT_NORMALISE_EWMA && kind != LATENT_NORMALISE_WINDOW_TRIALS) return;
    latent_decoder_normalisation(line->decoder, &now, NULL, NULL);
    latent_decoder_normalisation(next, &then, NULL, NULL);
    if (now.frozen != then.frozen)
        latent_decoder_normalise(next, now.frozen ? LATENT_NORMALISE_FREEZE : LATENT_NORMALISE_THAW,
                                 NULL, NULL, 0);
}

void promote_describe(struct line *line, struct line_event *entry)
{
    struct line_decoder *next = entry->next;
    int status;

    take_mask_over(line, next->decoder);
    take_freeze_over(line, next->decoder);
    status = latent_decoder_save(next->decoder, next->entry + next->n_label,
                                 next->n_entry - next->n_label);

    assert(status == 0);
    (void)status;
    entry->bytes = next->entry;
    entry->n_bytes = next->n_entry;
}

void promote_enter(struct line *line, struct line_decoder *next)
{
    const float *readout = line->shown_readout, *counts = line->last_counts;

    assert(next->info.n_readout == line->n_readout && next->info.n_channels == line->n_channels);
    if (next == line->seat) return;
    promote_seat(line, next);
    memset(line->kept, 0, line->n_kept * sizeof *line->kept);
    memcpy(line->shown_readout, readout, line->n_readout * sizeof *readout);
    memcpy(line->last_counts, counts, line->n_channels * sizeof *counts);
    line->state.shown.n_latents = line->state.shown.n_rates = 0;
    line->state.is_swapped = true;
    line->state.easing = true;
}

/* A decoder as a line can have it, with all of the line's memory that depends on its model. Made
 * where allocating is allowed; a line then exchanges one for another between two bins
 * (LINE_PROMOTE) by moving pointers.
 *
 * Whoever wants a promotion makes one of these, sees to it that its decoder has done every step
 * that the line's has (steps, predictions, resets), orders it (feed/orders.h), and is handed back
 * the one that was in use: warm, for a roll-back, which is the same order with that one. */
#ifndef LINE_SEAT_H
#define LINE_SEAT_H

#include <stddef.h>
#include <stdint.h>

#include "latent.h"
#include "line/label.h"
#include "line/policy.h"

struct line_decoder {
    latent_decoder *decoder; /* the caller's */
    struct latent_info info; /* of its model, which must outlive this */
    uint64_t decoder_id;
    struct label label;

    /* The line's. */
    unsigned char *entry; /* [n_entry]: the label, then room for a snapshot of the decoder */
    size_t n_label, n_entry;
    uint8_t *buffer; /* [n_buffer]: one packed frame */
    size_t n_buffer;
    /* Part of the line's state: shown latents [L], rates [N] and readout [O], last counts [C]. */
    float *kept;
    float *read_kept; /* of a snapshot that is being judged */
    size_t n_kept;
};

/* d stays the caller's, and must be made as the stream's configuration asks for (setup_decoder).
 * All memory is taken, and touched, here. 0 or LATENT_E_NOMEM. */
int line_decoder_new(struct line_decoder **out, latent_decoder *d, const struct latent_info *info);
void line_decoder_free(struct line_decoder *d); /* NULL is allowed; not the latent_decoder */

/* May a decoder of model `next` follow one of model `now` on a line? 0, or LATENT_E_UNSUPPORTED and
 * a text that says what differs. The same must be: number and, where both say them, names of the
 * channels, bin width, kind of input; number, names, units, neutral values of the readouts, and
 * which of them hold. Others are told by NAME/info and may differ: latents, rates, modes, trials,
 * limits and slew of the readouts. Where the one in use says its training mean, so must the next:
 * masked channels stay masked. on-gap = mean asks for it, too. */
int line_may_follow(const struct latent_info *now, const struct latent_info *next,
                    const struct line_policy *policy, struct latent_error *err);

#endif

/* Making what a line exchanges, and which models may follow each other. */
#include "line/seat.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "line/memory.h"
#include "wire.h"

/* ---- life ---- */

static bool take_memory(struct line_decoder *d)
{
    const struct latent_info *info = &d->info;
    size_t n_values = (size_t)info->n_latents + info->n_rates + info->n_readout + info->n_logits;

    d->n_label = label_size(&d->label);
    d->n_entry = d->n_label + latent_decoder_size(d->decoder);
    d->entry = memory_new(d->n_entry);
    d->n_buffer = wire_frame_bound(n_values);
    d->buffer = memory_new(d->n_buffer);
    d->n_kept = n_values + info->n_channels;
    d->kept = memory_new(d->n_kept * sizeof *d->kept);
    d->read_kept = memory_new(d->n_kept * sizeof *d->read_kept);
    return d->entry && d->buffer && d->kept && d->read_kept;
}

int line_decoder_new(struct line_decoder **out, latent_decoder *d, const struct latent_info *info)
{
    struct line_decoder *made = memory_new(sizeof *made);

    *out = NULL;
    if (!made) return LATENT_E_NOMEM;
    made->decoder = d;
    made->info = *info;
    made->decoder_id = latent_decoder_id(d);
    label_of(&made->label, d, info);
    if (!take_memory(made)) {
        line_decoder_free(made);
        return LATENT_E_NOMEM;
    }
    label_write(&made->label, made->entry);
    *out = made;
    return 0;
}

void line_decoder_free(struct line_decoder *d)
{
    if (!d) return;
    free(d->entry);
    free(d->buffer);
    free(d->kept);
    free(d->read_kept);
    free(d);
}

/* ---- which may follow ---- */

static int refuse_number(struct latent_error *err, const struct latent_info *next, const char *what,
                         uint32_t expected, uint32_t found)
{
    return error_text(err, LATENT_E_UNSUPPORTED, "%.300s: %s: expected %u, as in use, found %u",
                      next->path, what, expected, found);
}

static int refuse_word(struct latent_error *err, const struct latent_info *next, const char *what,
                       const char *expected, const char *found)
{
    return error_text(err, LATENT_E_UNSUPPORTED,
                      "%.250s: %s: expected %.60s, as in use, found %.60s", next->path, what,
                      expected, found);
}

static int check_channels(const struct latent_info *now, const struct latent_info *next,
                          struct latent_error *err)
{
    if (now->n_channels != next->n_channels)
        return refuse_number(err, next, "channels", now->n_channels, next->n_channels);
    for (uint32_t i = 0; now->channel_names && next->channel_names && i < now->n_channels; i++)
        if (strcmp(now->channel_names[i], next->channel_names[i]) != 0)
            return refuse_word(err, next, "name of a channel", now->channel_names[i],
                               next->channel_names[i]);
    return 0;
}

static int check_readout(const struct latent_readout *now, const struct latent_info *info,
                         const struct latent_readout *next, struct latent_error *err)
{
    if (strcmp(now->name, next->name) != 0)
        return refuse_word(err, info, "name of a readout", now->name, next->name);
    if (strcmp(now->unit, next->unit) != 0)
        return refuse_word(err, info, "unit of a readout", now->unit, next->unit);
    if (now->hold != next->hold)
        return refuse_word(err, info, "what a readout does in SAFE",
                           now->hold ? "\"hold\"" : "\"neutral\"",
                           next->hold ? "\"hold\"" : "\"neutral\"");
    if (now->neutral < next->neutral || now->neutral > next->neutral)
        return error_text(err, LATENT_E_UNSUPPORTED,
                          "%.250s: neutral value of readout %.60s: expected %g, as in use, found "
                          "%g",
                          info->path, next->name, (double)now->neutral, (double)next->neutral);
    return 0;
}

int line_may_follow(const struct latent_info *now, const struct latent_info *next,
                    const struct line_policy *policy, struct latent_error *err)
{
    int status = check_channels(now, next, err);

    if (status) return status;
    if (now->bin_width_us != next->bin_width_us)
        return refuse_number(err, next, "bin width in us", now->bin_width_us, next->bin_width_us);
    if (now->input != next->input)
        return refuse_word(err, next, "kind of input", latent_input_name(now->input),
                           latent_input_name(next->input));
    if (now->n_readout != next->n_readout)
        return refuse_number(err, next, "readouts", now->n_readout, next->n_readout);
    for (uint32_t o = 0; o < now->n_readout && !status; o++)
        status = check_readout(&now->readout[o], next, &next->readout[o], err);
    if (!status && now->channel_mean && !next->channel_mean)
        return error_text(err, LATENT_E_UNSUPPORTED,
                          "%.300s: the file says no mean of its channels, so that none could be "
                          "masked, as they can be in the one in use; export it again with "
                          "--statistics FILE.h5:/counts",
                          next->path);
    if (!status && policy->on_gap == ON_GAP_MEAN && !next->channel_mean)
        return error_text(err, LATENT_E_UNSUPPORTED,
                          "%.300s: on-gap = mean, and the file says no mean of its channels",
                          next->path);
    return status;
}

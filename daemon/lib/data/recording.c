/* The choice between the two forms of recording, and what each needs. */
#include "data/recording.h"

#include <assert.h>
#include <stdlib.h>

#include "base/text.h"
#include "data/binned.h"
#include "data/ticks.h"

struct reader {
    struct reader_shape shape;
    uint32_t *channels;
    struct binned *binned; /* one of the two */
    struct ticks *ticks;
};

static int channels_fill(struct reader *reader, struct latent_error *err)
{
    size_t n = reader->shape.n_channels;
    reader->channels = calloc(n, sizeof *reader->channels);
    if (!reader->channels) return error_text(err, LATENT_E_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++)
        reader->channels[i] = reader->ticks ? ticks_unit(reader->ticks, i) : (uint32_t)i;
    return 0;
}

int reader_open(struct reader **out, const struct reader_options *options, struct latent_error *err)
{
    *out = NULL;
    int status = reader_check(options, err);
    if (status) return status;
    struct reader *reader = calloc(1, sizeof *reader);
    if (!reader) return error_text(err, LATENT_E_NOMEM, "out of memory");
    if (options->ticks)
        status = ticks_open(&reader->ticks, options, &reader->shape, err);
    else
        status = binned_open(&reader->binned, options, &reader->shape, err);
    if (!status) status = channels_fill(reader, err);
    if (status) {
        reader_close(reader);
        return status;
    }
    *out = reader;
    return 0;
}

const struct reader_shape *reader_shape(const struct reader *reader)
{
    return &reader->shape;
}

const uint32_t *reader_channels(const struct reader *reader)
{
    return reader->channels;
}

int reader_rows(struct reader *reader, size_t trial, size_t first, size_t n, float *counts,
                struct latent_error *err)
{
    assert(trial < reader->shape.n_trials && first + n <= reader->shape.n_bins);
    if (reader->binned) return binned_rows(reader->binned, trial, first, n, counts, err);
    ticks_rows(reader->ticks, first, n, counts);
    return 0;
}

void reader_close(struct reader *reader)
{
    if (!reader) return;
    binned_close(reader->binned);
    ticks_close(reader->ticks);
    free(reader->channels);
    free(reader);
}

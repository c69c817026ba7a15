/* A line and its messages; see feed.h. */
#include "feed.h"

#include <stdlib.h>

#include "line/line.h"
#include "wire.h"
#include "worker.h"

struct feed {
    latent_model *model;
    latent_decoder *decoder;
    struct line *line;
    const float *counts;       /* [n_bins, n_channels], used round and round */
    size_t n_bins, trial_bins; /* trial_bins 0: no trials */
    struct wire_bins head;
    uint8_t *messages; /* [FEED_MESSAGES][bound] */
    size_t bound, *n_bytes;
};

static uint64_t read_clock(void *ctx)
{
    (void)ctx;
    return worker_now_ns();
}

static int take_frame(void *ctx, const char *topic, const void *bytes, size_t n_bytes)
{
    (void)ctx;
    (void)topic;
    (void)bytes;
    (void)n_bytes;
    return 0;
}

static void open_decoder(struct feed *f, const char *path, const char *mode)
{
    struct latent_options options = {.mode = mode, .predicts = 1};
    struct latent_error err;
    if (latent_model_open(&f->model, path, &err)) worker_absent("%s", err.text);
    if (latent_decoder_new(&f->decoder, f->model, &options, &err)) worker_absent("%s", err.text);
}

static void open_line(struct feed *f, const struct latent_info *info)
{
    struct line_options line = {.name = "bench",
                                .sequence = {.window_bins = 16, .max_gap_bins = 50, .fill = true},
                                .budget_ns = 1000000000,
                                .send_readout = true};
    if (line_new(&f->line, f->decoder, info, &line, (struct line_clock){read_clock, NULL},
                 (struct line_sink){take_frame, NULL}))
        worker_absent("out of memory");
}

struct feed *feed_open(int argc, char **argv)
{
    struct feed *f = worker_alloc(sizeof *f);
    struct latent_info info;
    open_decoder(f, worker_option(argc, argv, "model"), worker_option(argc, argv, "mode"));
    latent_model_info(f->model, &info);
    open_line(f, &info);
    f->n_bins = worker_size(argc, argv, "bins");
    f->trial_bins = worker_size(argc, argv, "trial");
    f->counts = worker_floats(worker_option(argc, argv, "counts"), f->n_bins * info.n_channels);
    f->head = (struct wire_bins){
        .epoch = 1, .n_bins = 1, .n_channels = info.n_channels, .bin_width_us = info.bin_width_us};
    f->bound = wire_bins_bound(1, info.n_channels);
    f->messages = worker_alloc(FEED_MESSAGES * f->bound);
    f->n_bytes = worker_alloc(FEED_MESSAGES * sizeof *f->n_bytes);
    return f;
}

void feed_pack(struct feed *f, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t seq = f->head.seq;
        uint32_t begins = f->trial_bins && seq % f->trial_bins == 0;
        uint32_t marks = begins ? LATENT_MARK_TRIAL_START : 0;
        const float *counts = f->counts + seq % f->n_bins * f->head.n_channels;
        f->n_bytes[i] =
            wire_pack_bins(&f->head, counts, &marks, NULL, f->messages + i * f->bound, f->bound);
        f->head.seq++;
        f->head.t_source_ns += (uint64_t)f->head.bin_width_us * 1000;
    }
}

void feed_step(struct feed *f, size_t i)
{
    line_on_frame(f->line, f->messages + i * f->bound, f->n_bytes[i], worker_now_ns());
    while (line_has_work(f->line)) line_continue(f->line);
}

size_t feed_frames(const struct feed *f)
{
    struct ledger_values v;
    line_read(f->line, &v);
    size_t n_outside = v.value[FLAGS_FIRST + __builtin_ctz(LATENT_OUTSIDE)];
    return v.value[FRAMES_PUBLISHED] - n_outside;
}

void feed_close(struct feed *f)
{
    line_free(f->line);
    latent_decoder_free(f->decoder);
    latent_model_close(f->model);
    free((void *)f->counts);
    free(f->messages);
    free(f->n_bytes);
    free(f);
}

/* Benchmark worker: the line of a stream, bytes of a message in, bytes of a frame out,
 * with a sink that only counts them. */
#include <stdio.h>
#include <stdlib.h>

#include "line/pipeline.h"
#include "wire.h"
#include "worker.h"

#define N_MESSAGES 4096 /* packed at once, outside of all but one time in so many */

struct bench {
    struct pipeline *pipeline;
    const float *counts; /* [n_bins, n_channels] */
    size_t n_bins;
    struct wire_bins head;
    uint8_t *messages; /* [N_MESSAGES][bound] */
    size_t bound, *n_bytes;
    size_t n_sent, n_sent_bytes;
};

static uint64_t read_clock(void *ctx)
{
    (void)ctx;
    return worker_now_ns();
}

static int count_frame(void *ctx, const char *topic, const void *bytes, size_t n_bytes)
{
    struct bench *b = ctx;
    (void)topic;
    (void)bytes;
    b->n_sent++;
    b->n_sent_bytes += n_bytes;
    return 0;
}

static void messages_pack(struct bench *b)
{
    for (size_t i = 0; i < N_MESSAGES; i++) {
        const float *counts = b->counts + b->head.seq % b->n_bins * b->head.n_channels;
        b->n_bytes[i] = wire_pack_bins(&b->head, counts, NULL, NULL,
                                       b->messages + i * b->bound, b->bound);
        b->head.seq++;
        b->head.t_source_ns += (uint64_t)b->head.bin_width_us * 1000;
    }
}

static void bench_step(void *context, size_t i)
{
    struct bench *b = context;
    size_t at = i % N_MESSAGES;
    if (at == 0) messages_pack(b);
    pipeline_on_frame(b->pipeline, b->messages + at * b->bound, b->n_bytes[at],
                      worker_now_ns());
}

/* Frames made, so that a line that refuses everything is noticed. */
static size_t bench_values(void *context, float *out, size_t cap)
{
    const struct bench *b = context;
    if (cap) out[0] = (float)b->n_sent;
    return 1;
}

int main(int argc, char **argv)
{
    struct latent_error err;
    latent_model *model;
    latent_decoder *decoder;
    struct latent_info info;
    if (latent_model_open(&model, worker_option(argc, argv, "model"), &err))
        worker_absent("%s", err.text);
    latent_model_info(model, &info);
    struct latent_options options = {.mode = worker_option(argc, argv, "mode")};
    if (latent_decoder_new(&decoder, model, &options, &err))
        worker_absent("%s", err.text);
    struct bench b = {.n_bins = worker_size(argc, argv, "bins"),
                      .head = {.epoch = 1,
                               .n_bins = 1,
                               .n_channels = info.n_channels,
                               .bin_width_us = info.bin_width_us},
                      .bound = wire_bins_bound(1, info.n_channels)};
    b.counts =
        worker_floats(worker_option(argc, argv, "counts"), b.n_bins * info.n_channels);
    b.messages = worker_alloc(N_MESSAGES * b.bound);
    b.n_bytes = worker_alloc(N_MESSAGES * sizeof *b.n_bytes);
    struct pipeline_options line = {
        .name = "bench",
        .sequence = {.window_bins = 16, .max_gap_bins = 50, .fill = true},
        .budget_ns = 1000000000,
        .send_readout = true};
    if (pipeline_new(&b.pipeline, decoder, &info, &line,
                     (struct pipeline_clock){read_clock, NULL},
                     (struct pipeline_sink){count_frame, &b}))
        worker_absent("out of memory");

    struct worker w = {&b, bench_step, bench_values};
    worker_run(&w, "the line, without sockets");

    pipeline_free(b.pipeline);
    latent_decoder_free(decoder);
    latent_model_close(model);
    return 0;
}

/* A line around a small real model, on a virtual clock, with a sink that keeps the
 * frames. */
#include "line_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_BINS = 256, MAX_CHANNELS = 8, MAX_MESSAGE = 65536 };

static uint64_t read_clock(void *ctx)
{
    struct rig *l = ctx;
    uint64_t now = l->now_ns;
    l->now_ns += l->tick_ns;
    return now;
}

static void keep(float *to, const float *from, uint32_t n)
{
    assert_true(n <= LINE_MAX_VALUES);
    if (n) memcpy(to, from, n * sizeof *to);
}

static int keep_frame(void *ctx, const char *topic, const void *bytes, size_t n)
{
    struct rig *l = ctx;
    struct kept_frame *k = &l->frames[l->n_frames];
    assert_string_equal(topic, "arm/frame");
    if (l->answer) return l->answer;
    assert_true(l->n_frames < LINE_MAX_FRAMES);
    assert_int_equal(wire_unpack_frame(&l->arena, bytes, n, &k->frame), 0);
    keep(k->latents, k->frame.values.latents, k->frame.values.n_latents);
    keep(k->rates, k->frame.values.rates, k->frame.values.n_rates);
    keep(k->readout, k->frame.values.readout, k->frame.values.n_readout);
    l->n_frames++;
    return 0;
}

struct line_options rig_options(void)
{
    return (struct line_options){.name = "arm",
                                 .sequence = {.window_bins = 16, .max_gap_bins = 25},
                                 .max_jump_bins = 500,
                                 .budget_ns = 5000000,
                                 .valid_for_ns = 60000000,
                                 .clock_id = 77,
                                 .policy = {.safe_exit_bins = 1,
                                            .missing_after_ns = 60000000,
                                            .on_silent = ON_SILENT_OFF,
                                            .max_masked = 50},
                                 .any_finite = true,
                                 .send_readout = true,
                                 .contract = LINE_CONTRACT};
}

void rig_open(struct rig *l, struct model_parts parts, const char *mode,
              const struct line_options *options)
{
    const struct line_options defaults = rig_options();
    const struct latent_options decoder_options = {.mode = mode, .predicts = 1, .any_finite = 1};
    struct file_bytes file = maker_file(&parts);
    struct latent_error err = {0};
    struct line_clock clock = {read_clock, l};
    struct line_sink sink = {keep_frame, l};

    *l = (struct rig){.now_ns = 1000000000};
    if (model_open_bytes(&l->model, file.bytes, file.n, &err)) fail_msg("%s", err.text);
    free(file.bytes);
    latent_model_info(l->model, &l->info);
    if (latent_decoder_new(&l->decoder, l->model, &decoder_options, &err)) fail_msg("%s", err.text);
    l->frames = calloc(LINE_MAX_FRAMES, sizeof *l->frames);
    l->arena.size = WIRE_ARENA_BASE;
    l->arena.bytes = aligned_alloc(16, l->arena.size);
    assert_true(l->frames && l->arena.bytes);
    assert_int_equal(
        line_new(&l->line, l->decoder, &l->info, options ? options : &defaults, clock, sink), 0);
}

void rig_mask(struct rig *l, uint8_t bits)
{
    line_enter(l->line, &(struct line_event){.kind = LINE_MASK,
                                             .what = latent_decoder_mask_version(l->decoder) + 1,
                                             .t_ns = l->now_ns,
                                             .bytes = &bits,
                                             .n_bytes = 1});
}

void rig_close(struct rig *l)
{
    line_free(l->line);
    latent_decoder_free(l->decoder);
    latent_model_close(l->model);
    free(l->frames);
    free(l->arena.bytes);
}

static size_t pack(const struct rig *l, const struct wire_bins *head, float count,
                   const uint32_t *marks, uint8_t *buf, size_t cap)
{
    float counts[MAX_BINS * MAX_CHANNELS];
    uint64_t event_ids[MAX_BINS];

    assert_true(head->n_bins <= MAX_BINS && l->info.n_channels <= MAX_CHANNELS);
    for (size_t i = 0; i < head->n_bins * l->info.n_channels; i++) counts[i] = count;
    for (size_t i = 0; i < head->n_bins; i++) event_ids[i] = 500 + head->seq + i;
    return wire_pack_bins(head, counts, marks, event_ids, buf, cap);
}

static struct wire_bins head_of(const struct rig *l, uint64_t epoch, uint64_t seq, size_t n_bins)
{
    return (struct wire_bins){.epoch = epoch,
                              .seq = seq,
                              .t_source_ns = 9000000000u + seq * l->info.bin_width_us * 1000,
                              .bin_width_us = l->info.bin_width_us,
                              .n_channels = l->info.n_channels,
                              .n_bins = n_bins};
}

size_t rig_pack(const struct rig *l, uint64_t epoch, uint64_t seq, size_t n_bins, float count,
                uint8_t *buf, size_t cap)
{
    struct wire_bins head = head_of(l, epoch, seq, n_bins);
    return pack(l, &head, count, NULL, buf, cap);
}

void rig_send_bytes(struct rig *l, const void *bytes, size_t n)
{
    line_on_frame(l->line, bytes, n, l->now_ns);
    while (line_has_work(l->line)) line_continue(l->line);
}

void rig_wait(struct rig *l, uint64_t ns)
{
    uint64_t end = l->now_ns + ns;

    for (uint64_t next; (next = line_next_tick_ns(l->line, false)) <= end;) {
        if (next > l->now_ns) l->now_ns = next;
        line_on_tick(l->line, l->now_ns, false);
    }
    l->now_ns = end;
}

void rig_send(struct rig *l, uint64_t epoch, uint64_t seq, size_t n_bins, float count)
{
    uint8_t message[MAX_MESSAGE];
    size_t n = rig_pack(l, epoch, seq, n_bins, count, message, sizeof message);
    assert_true(n > 0);
    rig_send_bytes(l, message, n);
}

void rig_send_marks(struct rig *l, uint64_t seq, uint32_t marks)
{
    struct wire_bins head = head_of(l, 1, seq, 1);
    uint8_t message[MAX_MESSAGE];
    size_t n = pack(l, &head, 1.0f, &marks, message, sizeof message);
    assert_true(n > 0);
    rig_send_bytes(l, message, n);
}

uint64_t rig_counter(struct rig *l, enum counter c)
{
    struct ledger_values v;
    char text[256];
    assert_true(line_read(l->line, &v));
    if (!ledger_check(&v, text, sizeof text)) fail_msg("%s", text);
    return v.value[c];
}

const struct kept_frame *rig_last(const struct rig *l)
{
    assert_true(l->n_frames > 0);
    return &l->frames[l->n_frames - 1];
}

void assert_flags(const struct kept_frame *k, uint32_t flags)
{
    assert_int_equal(k->frame.values.flags, flags | LATENT_AGE_UNKNOWN);
}

void assert_flags_known(const struct kept_frame *k, uint32_t flags)
{
    assert_int_equal(k->frame.values.flags, flags);
}

void rig_say(struct rig *l, struct rig_message m, uint64_t pause_ns)
{
    float counts[MAX_CHANNELS * 16];
    uint64_t event_ids[16];
    uint8_t message[2048];
    struct wire_bins head = {.epoch = m.epoch,
                             .seq = m.seq,
                             .t_source_ns = m.t_source_ns,
                             .bin_width_us = l->info.bin_width_us,
                             .n_channels = l->info.n_channels,
                             .n_bins = m.n_bins ? m.n_bins : 1,
                             .clock_id = m.clock_id};

    assert_true(head.n_bins <= 16 && head.n_channels <= MAX_CHANNELS);
    for (size_t i = 0; i < head.n_bins * head.n_channels; i++) counts[i] = m.count;
    for (size_t i = 0; i < head.n_bins; i++) event_ids[i] = m.event_id;
    rig_send_bytes(l, message,
                   wire_pack_bins(&head, counts, NULL, event_ids, message, sizeof message));
    l->now_ns += pause_ns;
}

/* A line around a small real model, on a virtual clock, with a sink that keeps the
 * frames. */
#ifndef LINE_FIXTURE_H
#define LINE_FIXTURE_H

#include "line/line.h"
#include "model_maker.h"
#include "wire.h"

#define RIG_BIN_NS 20000000u /* of its models */
#define LINE_MAX_VALUES 8
#define LINE_MAX_FRAMES 30000

/* A frame as it left, its values copied. */
struct kept_frame {
    struct wire_frame frame;
    float latents[LINE_MAX_VALUES], rates[LINE_MAX_VALUES], readout[LINE_MAX_VALUES];
};

struct rig {
    latent_model *model;
    struct latent_info info;
    latent_decoder *decoder;
    struct line *line;
    uint64_t now_ns;  /* what the clock says next ... */
    uint64_t tick_ns; /* ... and how far each look moves it */
    int answer;       /* of the sink */
    struct kept_frame *frames;
    size_t n_frames;
    struct wire_arena arena;
};

/* Budget 5 ms, frames valid for 60 ms, window 16, gaps of at most 25 bins filled unless
 * the options say otherwise; nobody looks whether there is a signal. options may be NULL. */
struct line_options rig_options(void);
void rig_open(struct rig *l, struct model_parts parts, const char *mode,
              const struct line_options *options);
void rig_close(struct rig *l);

/* One message of n_bins equal bins; every channel holds count. It arrives at l->now_ns. */
void rig_send(struct rig *l, uint64_t epoch, uint64_t seq, size_t n_bins, float count);
/* Mask these channels, and no others, as the next version. */
void rig_mask(struct rig *l, uint8_t bits);
void rig_send_marks(struct rig *l, uint64_t seq, uint32_t marks);
/* One message of equal bins, all of it said by the caller: n_bins 0 is one. Then so much time
 * passes, without ticks. */
struct rig_message {
    uint64_t epoch, seq, t_source_ns;
    size_t n_bins;
    float count;
    uint64_t event_id;
    uint64_t clock_id;
};
void rig_say(struct rig *l, struct rig_message m, uint64_t pause_ns);
/* Time goes on; frames that become due on the way are made. */
void rig_wait(struct rig *l, uint64_t ns);
/* A message packed by the caller. */
void rig_send_bytes(struct rig *l, const void *bytes, size_t n);
size_t rig_pack(const struct rig *l, uint64_t epoch, uint64_t seq, size_t n_bins, float count,
                uint8_t *buf, size_t cap);

/* A counter's value, after checking that all ledgers balance. */
uint64_t rig_counter(struct rig *l, enum counter c);
const struct kept_frame *rig_last(const struct rig *l);
/* Exactly these flags, beside AGE_UNKNOWN. */
void assert_flags(const struct kept_frame *k, uint32_t flags);
/* Exactly these. */
void assert_flags_known(const struct kept_frame *k, uint32_t flags);

#endif

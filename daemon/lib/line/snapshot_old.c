/* Format 1, as latentd wrote it on x86-64: two whole numbers, struct old_memory, the kept
 * floats. */
#include <assert.h>
#include <string.h>

#include "base/serial.h"
#include "line/snapshot.h"

/* The struct of that time, with its padding; what were bool and enum are numbers, since any can
 * stand there. */
struct old_memory {
    struct {
        struct {
            uint32_t window_bins;
            uint64_t max_gap_bins;
            uint8_t fill;
        } rules;
        uint8_t started, has_previous;
        uint64_t epoch, previous_epoch, newest, n_ahead;
        uint32_t n_suspect;
        uint8_t slot[1024];
        uint64_t n_lost, n_reordered, n_restarts;
    } sequence;
    struct {
        uint8_t on, asked, locked, arrived;
        uint32_t reason, n_good;
        uint64_t t_end_ns, t_last_ns;
    } safe;
    struct {
        uint8_t heard;
        uint64_t t_decoded_ns, t_due_ns;
    } silence;
    struct {
        uint64_t t_ns;
        uint32_t flags, n_latents, n_rates;
    } shown;
    uint64_t pub_seq;
    uint8_t easing;
};
_Static_assert(sizeof(struct old_memory) == 1216, "as it lay in memory");

struct old_head {
    uint64_t n_bytes, check;
};

size_t snapshot_old_size(const struct line *line)
{
    return sizeof(struct old_head) + sizeof(struct old_memory) +
           line->n_kept * sizeof *line->read_kept;
}

static bool is_truth(uint8_t value)
{
    return value <= 1;
}

static bool is_sound(const struct old_memory *old)
{
    bool sequence = is_truth(old->sequence.rules.fill) && is_truth(old->sequence.started) &&
                    is_truth(old->sequence.has_previous);
    bool safe = is_truth(old->safe.on) && is_truth(old->safe.asked) && is_truth(old->safe.locked) &&
                is_truth(old->safe.arrived) && old->safe.reason < 6;

    return sequence && safe && is_truth(old->silence.heard) && is_truth(old->easing);
}

static struct sequence sequence_of(const struct old_memory *old)
{
    struct sequence s = {
        .rules = {.window_bins = old->sequence.rules.window_bins,
                  .max_gap_bins = old->sequence.rules.max_gap_bins,
                  .fill = old->sequence.rules.fill},
        .started = old->sequence.started,
        .has_previous = old->sequence.has_previous,
        .epoch = old->sequence.epoch,
        .previous_epoch = old->sequence.previous_epoch,
        .newest = old->sequence.newest,
        .n_ahead = old->sequence.n_ahead,
        .n_suspect = old->sequence.n_suspect,
        .n_lost = old->sequence.n_lost,
        .n_reordered = old->sequence.n_reordered,
        .n_restarts = old->sequence.n_restarts,
    };

    memcpy(s.slot, old->sequence.slot, sizeof s.slot);
    return s;
}

static struct line_memory memory_of(const struct old_memory *old)
{
    return (struct line_memory){
        .sequence = sequence_of(old),
        .safe = {.on = old->safe.on,
                 .asked = old->safe.asked,
                 .locked = old->safe.locked,
                 .arrived = old->safe.arrived,
                 .reason = (enum safe_reason)old->safe.reason,
                 .n_good = old->safe.n_good,
                 .t_end_ns = old->safe.t_end_ns,
                 .t_last_ns = old->safe.t_last_ns},
        .silence = {.heard = old->silence.heard,
                    .t_decoded_ns = old->silence.t_decoded_ns,
                    .t_due_ns = old->silence.t_due_ns},
        .shown = {.t_ns = old->shown.t_ns,
                  .flags = old->shown.flags,
                  .n_latents = old->shown.n_latents,
                  .n_rates = old->shown.n_rates},
        .pub_seq = old->pub_seq,
        .easing = old->easing,
    };
}

bool snapshot_old_read(struct line *line, const unsigned char *bytes, size_t n,
                       struct line_memory *state)
{
    size_t n_kept = line->n_kept * sizeof *line->read_kept;
    const unsigned char *at = bytes + sizeof(struct old_head),
                        *kept = at + sizeof(struct old_memory);
    struct serial floats = {SERIAL_READ, NULL, kept, n_kept, 0, false};
    struct old_head head;
    struct old_memory old;

    memcpy(&head, bytes, sizeof head);
    memcpy(&old, at, sizeof old);
    if (head.n_bytes != n || head.check != serial_check(at, sizeof old + n_kept)) return false;
    serial_floats(&floats, line->read_kept, line->n_kept);
    if (!is_sound(&old) || floats.is_bad) return false;
    *state = memory_of(&old);
    return true;
}

/* A ring that is written over. Each step is claimed before its words are written and counted after
 * the entry that it is of: a reader copies the words of a step that is counted, and then looks
 * whether it was claimed again meanwhile. All words are atomic, so that a copy that comes too late
 * is only useless. */
#include "shadow/recent.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MOST_BYTES ((size_t)32 << 20)

/* Words of a step; the counts and the readout follow, two to a word, and the mask, 64 to one. */
enum { WORD_HEAD, WORD_EPOCH, WORD_SEQ, WORD_FRAME, WORD_MASK, WORD_VALUES };

/* Of WORD_HEAD, above the marks. */
enum { SHIFT_ACTION = 32, BIT_INPUT = 40 };
/* Of WORD_FRAME, above the flags. */
enum { BIT_FRAME = 32, BIT_LATE, BIT_FAILED, SHIFT_SHOWN = 40 };

struct recent {
    uint32_t n_channels, n_readout;
    size_t n_words; /* of a step */
    uint64_t n_steps;
    _Atomic uint64_t *words; /* [n_steps][n_words] */

    _Atomic uint64_t claimed, counted;
    /* Of the data thread: the step of the entry that goes on. */
    bool is_open;
    uint64_t frame; /* its WORD_FRAME */
    uint64_t *mask; /* [mask_words] in force */
    uint32_t mask_version;
};

/* ---- life ---- */

static size_t words_of(uint32_t n_values)
{
    return ((size_t)n_values + 1) / 2;
}

static size_t mask_words(uint32_t n_channels)
{
    return ((size_t)n_channels + 63) / 64;
}

static uint64_t steps_that_fit(size_t n_words)
{
    const uint64_t wanted = RECENT_KEPT + RECENT_AHEAD;
    uint64_t fit = MOST_BYTES / (n_words * sizeof(uint64_t));

    if (fit < 2 * (uint64_t)RECENT_AHEAD) return 2 * (uint64_t)RECENT_AHEAD;
    return fit < wanted ? fit : wanted;
}

struct recent *recent_new(uint32_t n_channels, uint32_t n_readout)
{
    struct recent *r = calloc(1, sizeof *r);
    size_t n_bytes;

    if (!r) return NULL;
    r->n_channels = n_channels;
    r->n_readout = n_readout;
    r->n_words = WORD_VALUES + words_of(n_channels) + words_of(n_readout) + mask_words(n_channels);
    r->n_steps = steps_that_fit(r->n_words);
    n_bytes = r->n_steps * r->n_words * sizeof *r->words;
    r->words = malloc(n_bytes);
    r->mask = calloc(mask_words(n_channels), sizeof *r->mask);
    if (!r->words || !r->mask) {
        recent_free(r);
        return NULL;
    }
    memset((void *)r->words, 0, n_bytes); /* touched */
    return r;
}

void recent_free(struct recent *r)
{
    if (!r) return;
    free((void *)r->words);
    free(r->mask);
    free(r);
}

uint64_t recent_depth(const struct recent *r)
{
    return r->n_steps - RECENT_AHEAD;
}

uint64_t recent_count(const struct recent *r)
{
    return atomic_load_explicit(&r->counted, memory_order_acquire);
}

/* ---- the data thread ---- */

static _Atomic uint64_t *step_at(const struct recent *r, uint64_t number)
{
    return r->words + number % r->n_steps * r->n_words;
}

static void put(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static void put_floats(_Atomic uint64_t *words, const float *from, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 2) {
        uint64_t two = 0;

        memcpy(&two, from + i, (i + 1 < n ? 2 : 1) * sizeof *from);
        put(words + i / 2, two);
    }
}

/* Of a step at `words`: where its mask is. */
static size_t mask_at(const struct recent *r)
{
    return r->n_words - mask_words(r->n_channels);
}

void recent_mask(struct recent *r, const uint8_t *bits, uint32_t version)
{
    memcpy(r->mask, bits, ((size_t)r->n_channels + 7) / 8);
    r->mask_version = version;
}

/* The last step that was claimed. */
static _Atomic uint64_t *newest(const struct recent *r)
{
    return step_at(r, atomic_load_explicit(&r->claimed, memory_order_relaxed) - 1);
}

/* By read-modify-write, as readers look at it: what is written after it stays after it, and what
 * was read before, before; without fences, which the thread sanitizer does not know. */
static void claim(struct recent *r, const struct line_event *e)
{
    uint64_t number = atomic_fetch_add_explicit(&r->claimed, 1, memory_order_acq_rel);
    uint64_t head = (uint64_t)e->what << SHIFT_ACTION;
    _Atomic uint64_t *words = step_at(r, number);

    if (e->input) head |= (uint64_t)1 << BIT_INPUT | e->input->marks;
    put(words + WORD_HEAD, head);
    put(words + WORD_EPOCH, e->epoch);
    put(words + WORD_SEQ, e->seq);
    put(words + WORD_FRAME, 0);
    put(words + WORD_MASK, r->mask_version);
    for (size_t i = 0; i < mask_words(r->n_channels); i++) put(words + mask_at(r) + i, r->mask[i]);
    if (e->input) put_floats(words + WORD_VALUES, e->input->counts, r->n_channels);
}

/* A start within the entry of a step is for its output, which was not finite; one of its own is a
 * step of its own. */
static void on_action(struct recent *r, const struct line_event *e)
{
    if (e->what == LINE_ENTER_SAFE || e->what == LINE_LEAVE_SAFE) return;
    if (e->what == LINE_START && r->is_open) {
        r->frame |= (uint64_t)1 << BIT_FAILED;
        return;
    }
    claim(r, e);
    r->is_open = e->what != LINE_START;
    r->frame = 0;
}

static void on_frame(struct recent *r, const struct line_event *e)
{
    uint32_t n = e->values->n_readout < r->n_readout ? e->values->n_readout : r->n_readout;

    if (!r->is_open) return;
    r->frame |= (uint64_t)1 << BIT_FRAME | (uint64_t)n << SHIFT_SHOWN | e->what;
    if (e->what & LATENT_LATE) r->frame |= (uint64_t)1 << BIT_LATE;
    put_floats(newest(r) + WORD_VALUES + words_of(r->n_channels), e->values->readout, n);
}

static void on_done(struct recent *r)
{
    if (r->is_open) put(newest(r) + WORD_FRAME, r->frame);
    r->is_open = false;
    atomic_store_explicit(&r->counted, atomic_load_explicit(&r->claimed, memory_order_relaxed),
                          memory_order_release);
}

static void on_event(void *ctx, const struct line_event *e)
{
    struct recent *r = ctx;

    if (e->kind == LINE_MASK) recent_mask(r, e->bytes, e->what);
    if (e->kind == LINE_ACTION) on_action(r, e);
    if (e->kind == LINE_FRAME) on_frame(r, e);
    if (e->kind == LINE_OUTCOME && e->what == FRAMES_SKIPPED && r->is_open)
        r->frame |= (uint64_t)1 << BIT_LATE;
    if (e->kind == LINE_DONE) on_done(r);
}

struct line_tap recent_tap(struct recent *r)
{
    return (struct line_tap){.on_event = on_event, .ctx = r};
}

/* ---- readers ---- */

static uint64_t get(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void get_floats(const _Atomic uint64_t *words, float *to, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 2) {
        uint64_t two = get(words + i / 2);

        memcpy(to + i, &two, (i + 1 < n ? 2 : 1) * sizeof *to);
    }
}

static void get_mask(const _Atomic uint64_t *words, uint8_t *to, uint32_t n_channels)
{
    size_t n_bytes = ((size_t)n_channels + 7) / 8;

    for (size_t i = 0; i < n_bytes; i += 8) {
        uint64_t bits = get(words + i / 8);

        memcpy(to + i, &bits, n_bytes - i < 8 ? n_bytes - i : 8);
    }
}

static bool has_bit(uint64_t word, unsigned bit)
{
    return word >> bit & 1;
}

/* n_shown is held within the room, whatever a word that is being written over says. */
static void copy(const struct recent *r, const _Atomic uint64_t *words, struct recent_step *out)
{
    uint64_t head = get(words + WORD_HEAD), frame = get(words + WORD_FRAME);
    uint32_t n_shown = (uint32_t)(frame >> SHIFT_SHOWN);

    out->action = (enum line_action)(head >> SHIFT_ACTION & 0xff);
    out->marks = (uint32_t)head;
    out->has_input = has_bit(head, BIT_INPUT);
    out->epoch = get(words + WORD_EPOCH);
    out->seq = get(words + WORD_SEQ);
    out->flags = (uint32_t)frame;
    out->has_frame = has_bit(frame, BIT_FRAME);
    out->is_late = has_bit(frame, BIT_LATE);
    out->failed = has_bit(frame, BIT_FAILED);
    out->n_shown = n_shown < r->n_readout ? n_shown : r->n_readout;
    out->mask_version = (uint32_t)get(words + WORD_MASK);
    get_mask(words + mask_at(r), out->mask, r->n_channels);
    get_floats(words + WORD_VALUES, out->counts, out->has_input ? r->n_channels : 0);
    get_floats(words + WORD_VALUES + words_of(r->n_channels), out->readout, out->n_shown);
}

enum recent_answer recent_read(struct recent *r, uint64_t number, struct recent_step *out)
{
    uint64_t n_claimed;

    if (number >= recent_count(r)) return RECENT_NOT_YET;
    copy(r, step_at(r, number), out);
    n_claimed = atomic_fetch_add_explicit(&r->claimed, 0, memory_order_acq_rel);
    if (n_claimed - number > r->n_steps) return RECENT_LOST;
    return RECENT_THERE;
}

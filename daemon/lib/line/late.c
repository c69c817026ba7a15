/* A row of words for each. */
#include "line/late.h"

#include <assert.h>
#include <string.h>

#include "line/inside.h"

enum { N_WORDS = sizeof(struct late_bin) / sizeof(uint64_t) };
static_assert(N_WORDS * sizeof(uint64_t) == sizeof(struct late_bin), "whole words");

static const char *const since_names[LATE_N_SINCE] = {
    [LATE_SINCE_END] = "end",
    [LATE_SINCE_ESTIMATED] = "estimated end",
    [LATE_SINCE_PACE] = "pace",
    [LATE_SINCE_ARRIVAL] = "arrival",
};

const char *late_since_name(enum late_since since)
{
    assert(since < LATE_N_SINCE);
    return since_names[since];
}

int late_open(struct late *l)
{
    return trail_open(&l->bins, LATE_MAX, N_WORDS);
}

void late_close(struct late *l)
{
    trail_close(&l->bins);
}

static enum late_since since_of(const struct line *line, const struct bin_frame *b,
                                uint64_t t_since_ns)
{
    if (b->is_mapped) return line->open.is_exact ? LATE_SINCE_END : LATE_SINCE_ESTIMATED;
    return t_since_ns < b->t_arrived_ns ? LATE_SINCE_PACE : LATE_SINCE_ARRIVAL;
}

void late_on_decoded(struct line *line, const struct bin_frame *b)
{
    const struct wire_frame *f = &b->frame;
    uint64_t age_ns = line->options.budget_ns - (uint64_t)f->budget_left_ns;
    struct late_bin bin = {.epoch = f->epoch,
                           .seq = f->seq,
                           .t_source_ns = f->t_source_ns,
                           .t_since_ns = f->t_publish_ns - age_ns,
                           .t_recv_ns = f->t_recv_ns,
                           .t_start_ns = b->t_start_ns,
                           .t_publish_ns = f->t_publish_ns,
                           .t_done_ns = b->t_done_ns,
                           .budget_ns = line->options.budget_ns,
                           .flags = f->values.flags,
                           .outcome = b->outcome};
    struct late *l = &line->late;
    uint64_t words[N_WORDS];

    if (l->t_wake_ns != f->t_recv_ns) l->n_of_wake = 0;
    l->t_wake_ns = f->t_recv_ns;
    bin.n_before = l->n_of_wake++;
    if (!(f->values.flags & LATENT_LATE)) return;
    bin.since = since_of(line, b, bin.t_since_ns);
    memcpy(words, &bin, sizeof bin);
    trail_put(&l->bins, words);
}

bool late_read(struct late *l, uint64_t i, struct late_bin *out)
{
    uint64_t words[N_WORDS];

    if (!trail_read(&l->bins, i, words)) return false;
    memcpy(out, words, sizeof *out);
    return true;
}

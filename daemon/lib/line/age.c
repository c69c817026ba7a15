/* A message is seen when the step of its first bin begins: its arrival stamp may be from before it
 * came, as one drain has one stamp. */
#include "line/age.h"

#define MOST_CLAIMED_NS \
    10000000000u /* of a bin by this machine's clock; older ones are estimated */

/* Does the message say its times by this machine's clock? */
static bool is_claimed(const struct line *line)
{
    const struct wire_bins *bins = &line->open.bins;

    if (line->options.source_clock == SOURCE_CLOCK_MONOTONIC) return true;
    return bins->clock_id && bins->clock_id == line->options.clock_id;
}

/* A claim that cannot be true is not believed. t_source_ns: of the newest bin. */
static bool is_exact(struct line *line, uint64_t t_source_ns, uint64_t now_ns)
{
    if (!is_claimed(line)) return false;
    if (now_ns - t_source_ns <= MOST_CLAIMED_NS) return true;
    misfit_expect(&line->misfits, MISFIT_CLOCK, now_ns);
    misfit_note(&line->misfits, MISFIT_CLOCK, t_source_ns, line->open.bins.epoch);
    return false;
}

/* Once of each message, by its newest bin. */
static void look_at_time(struct line *line, uint64_t now_ns)
{
    struct open_message *m = &line->open;
    uint64_t n_more = m->bins.n_bins - 1, t_source_ns = m->bins.t_source_ns + n_more * line->bin_ns;

    m->is_timed = true;
    m->is_exact = is_exact(line, t_source_ns, now_ns);
    source_clock_on_message(&line->state.source_clock, line->bin_ns, m->bins.seq + n_more,
                            t_source_ns, now_ns);
}

/* No bin has its step before it ended. */
static void map(struct line *line, struct bin_frame *b)
{
    const struct source_clock *c = &line->state.source_clock;

    b->is_mapped = line->open.is_exact || source_clock_is_known(c);
    b->t_end_ns = b->frame.t_source_ns;
    if (!line->open.is_exact)
        b->t_end_ns = source_clock_here_ns(c, b->frame.t_source_ns) - line->options.min_delay_ns;
    if ((int64_t)(b->t_start_ns - b->t_end_ns) < 0) b->t_end_ns = b->t_start_ns;
}

static void tell(struct line *line, const struct bin_frame *b)
{
    enum source_clock_state state = SOURCE_CLOCK_LEARNING_IT;

    if (line->open.is_exact)
        state = SOURCE_CLOCK_EXACT;
    else if (b->frame.t_source_ns == 0)
        state = SOURCE_CLOCK_UNSTAMPED;
    else if (b->is_mapped)
        state = SOURCE_CLOCK_ESTIMATED;
    else if (line->state.source_clock.is_no_clock)
        state = SOURCE_CLOCK_NO_CLOCK;
    source_clock_tell(&line->source_told, &line->state.source_clock, state);
}

void age_on_bin(struct line *line, struct bin_frame *b)
{
    if (line->options.contract == 1) return;
    b->pace_age_ns = pace_on_bin(&line->state.pace, b->frame.seq, b->t_arrived_ns, line->bin_ns,
                                 line->options.policy.safe_exit_bins);
    if (line->options.source_clock == SOURCE_CLOCK_OFF) return;
    if (b->frame.t_source_ns) {
        if (!line->open.is_timed) look_at_time(line, b->t_start_ns);
        map(line, b);
    }
    line->state.ended = (struct ended){b->is_mapped, b->frame.seq, b->t_end_ns};
    tell(line, b);
}

void age_on_frame(const struct line *line, struct bin_frame *b)
{
    const struct ended *e = &line->state.ended;
    uint64_t now_ns = b->frame.t_publish_ns;

    if (!e->is_known) return;
    b->is_mapped = true;
    b->t_end_ns = e->t_here_ns + (b->frame.seq - e->seq) * line->bin_ns;
    if ((int64_t)(now_ns - b->t_end_ns) < 0) b->t_end_ns = now_ns;
}

void age_on_restart(struct line *line)
{
    pace_init(&line->state.pace);
    source_clock_init(&line->state.source_clock);
    line->state.ended = (struct ended){0};
}

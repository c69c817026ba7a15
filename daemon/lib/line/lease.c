/* The readout is neutral when the lease after the arrival of the last decoded bin is over. */
#include "line/lease.h"

#include "line/publish.h"

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t lease_end_ns(const struct line *line)
{
    const struct silence *s = &line->state.silence;
    uint64_t lease_ns = line->options.policy.lease_ns;

    return s->heard && lease_ns ? s->t_decoded_ns + lease_ns : LINE_NEVER;
}

uint64_t lease_start_ns(const struct line *line, bool input_waits)
{
    uint64_t end_ns = lease_end_ns(line), ramp_ns = line->options.policy.safe_ramp_ns;

    if (end_ns == LINE_NEVER || line->state.safe.on) return LINE_NEVER;
    return input_waits ? end_ns : end_ns - least(ramp_ns, line->options.policy.lease_ns);
}

void lease_on_step(struct line *line, uint64_t now_ns)
{
    uint64_t end_ns = lease_start_ns(line, true);

    if (line->options.contract != 1 && now_ns > end_ns)
        publish_enter_safe(line, SAFE_LEASE, now_ns, end_ns);
}

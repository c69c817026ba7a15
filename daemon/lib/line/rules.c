/* Packed: a format, then the fields; a later format has the fields of those before. */
#include "line/rules.h"

#include <assert.h>

#include "base/serial.h"
#include "line/inside.h"
#include "line/publish.h"
#include "line/silence.h"
#include "line/still.h"

#define FORMAT 1

struct rules rules_of(const struct line_options *options)
{
    return (struct rules){.budget_ns = options->budget_ns,
                          .valid_for_ns = options->valid_for_ns,
                          .max_jump_bins = options->max_jump_bins,
                          .policy = options->policy};
}

static uint32_t visit_choice(struct serial *f, uint32_t now, uint32_t most)
{
    uint32_t value = now;

    serial_u32_to(f, &value, most);
    return value;
}

void rules_visit(struct serial *f, struct rules *r)
{
    struct line_policy *p = &r->policy;

    serial_u64(f, &r->budget_ns);
    serial_u64(f, &r->valid_for_ns);
    serial_u64(f, &r->max_jump_bins);
    p->on_late = (enum line_on_late)visit_choice(f, p->on_late, ON_LATE_SAFE);
    p->on_missing = (enum line_on_missing)visit_choice(f, p->on_missing, ON_MISSING_SKIP);
    p->on_silent = (enum line_on_silent)visit_choice(f, p->on_silent, ON_SILENT_OFF);
    serial_u64(f, &p->missing_after_ns);
    serial_u64(f, &p->lease_ns);
    serial_u64(f, &p->max_age_ns);
    serial_u64(f, &p->safe_ramp_ns);
    serial_u32(f, &p->safe_exit_bins);
    serial_u32(f, &p->max_masked);
}

size_t rules_pack(const struct rules *r, unsigned char bytes[RULES_BYTES])
{
    struct serial f = {.how = SERIAL_WRITE, .to = bytes, .n_bytes = RULES_BYTES};
    struct rules copy = *r;
    uint32_t format = FORMAT;

    serial_u32(&f, &format);
    rules_visit(&f, &copy);
    assert(!f.is_bad);
    return f.at;
}

bool rules_unpack(struct rules *r, const void *bytes, size_t n_bytes)
{
    struct serial f = {.how = SERIAL_READ, .from = bytes, .n_bytes = n_bytes};
    uint32_t format = 0;

    *r = (struct rules){0};
    serial_u32(&f, &format);
    rules_visit(&f, r);
    return !f.is_bad && format >= FORMAT;
}

void rules_take(struct line *line, const struct rules *r)
{
    struct line_options *o = &line->options;
    const struct line_policy before = o->policy;

    o->budget_ns = r->budget_ns;
    o->valid_for_ns = r->valid_for_ns;
    o->max_jump_bins = r->max_jump_bins;
    o->policy = r->policy;
    o->policy.on_gap = before.on_gap;
    o->policy.safe_start = before.safe_start;
    line->trust.max_jump_bins = r->max_jump_bins;
    line->trust.silent_ns = r->policy.missing_after_ns;
    still_init(line, &line->seat->info);
}

/* Nothing is due earlier than now: what the rules before did not ask for is not made up for. */
static void wait_anew(struct line *line, uint64_t now_ns)
{
    struct silence *s = &line->state.silence;

    if (!s->heard || line->state.safe.on) return;
    silence_on_heard(line, s->t_decoded_ns);
    if (s->t_due_ns < now_ns) s->t_due_ns = now_ns;
}

void rules_enter(struct line *line, const struct line_event *entry)
{
    const struct line_policy before = line->options.policy, *now = &line->options.policy;
    struct safe *safe = &line->state.safe;
    struct rules r;

    if (!rules_unpack(&r, entry->bytes, entry->n_bytes)) return;
    rules_take(line, &r);
    if (now->missing_after_ns != before.missing_after_ns || now->on_missing != before.on_missing)
        wait_anew(line, entry->t_ns);
    if (safe->on && now->safe_exit_bins == 0) safe->locked = true;
}

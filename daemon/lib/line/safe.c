/* The ramp needs no start value: each frame goes the share of the way that is left
 * which the time took of the time that was left. */
#include "line/safe.h"

/* For good: the reason stays. */
static bool safe_is_stopped(const struct safe *s)
{
    return s->on && s->asked && s->reason == SAFE_STOP;
}

void safe_enter(struct safe *s, const struct line_policy *policy, enum safe_reason reason,
                uint64_t now_ns, uint64_t t_end_ns)
{
    bool asked = reason == SAFE_OPERATOR || reason == SAFE_STOP;

    s->n_good = 0;
    if (!safe_is_stopped(s) && (!s->on || asked)) s->reason = reason;
    if (asked) s->asked = true;
    s->locked = s->locked || policy->safe_exit_bins == 0;
    if (s->on && t_end_ns >= s->t_end_ns) return;
    if (!s->on) s->arrived = false;
    s->on = true;
    s->t_end_ns = t_end_ns > now_ns ? t_end_ns : now_ns;
}

void safe_release(struct safe *s)
{
    if (safe_is_stopped(s)) return;
    s->asked = false;
    s->locked = false;
}

void safe_begin(struct safe *s, const struct line_policy *policy)
{
    *s = (struct safe){.on = true, .arrived = true, .reason = SAFE_START};
    s->locked = policy->safe_exit_bins == 0;
}

bool safe_on_good(struct safe *s, const struct line_policy *policy, uint64_t t_arrived_ns,
                  uint64_t span_ns)
{
    if (s->n_good++ == 0) s->t_good_ns = t_arrived_ns;
    if (s->asked || s->locked || s->n_good < policy->safe_exit_bins) return false;
    return t_arrived_ns - s->t_good_ns >= span_ns;
}

static float between(float y, float a, float b)
{
    float low = a < b ? a : b, high = a < b ? b : a;

    return y < low ? low : y > high ? high : y;
}

void safe_ramp(struct safe *s, float *y, const float *neutral, size_t n, uint64_t now_ns)
{
    uint64_t before_ns = s->t_last_ns < now_ns ? s->t_last_ns : now_ns;
    double left = 0.0;

    if (now_ns >= s->t_end_ns)
        s->arrived = true;
    else
        left = (double)(s->t_end_ns - now_ns) / (double)(s->t_end_ns - before_ns);
    for (size_t i = 0; i < n; i++) {
        double way = ((double)y[i] - (double)neutral[i]) * left;
        y[i] = between((float)((double)neutral[i] + way), y[i], neutral[i]);
    }
}

/* Offsets of foreign clocks, believed when enough frames agree. */
#include "clocks.h"

int64_t clocks_difference_ns(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b);
}

static int64_t minus(int64_t a, int64_t b)
{
    return clocks_difference_ns((uint64_t)a, (uint64_t)b);
}

/* ---- which clock ---- */

static struct clocks_clock *clock_find(const struct clocks *c, uint64_t id)
{
    for (size_t i = 0; i < CLOCKS_MAX; i++)
        if (c->clocks[i].last_heard && c->clocks[i].id == id)
            return (struct clocks_clock *)&c->clocks[i];
    return NULL;
}

static struct clocks_clock *clock_of(struct clocks *c, uint64_t id)
{
    struct clocks_clock *clock = clock_find(c, id);

    if (!clock) {
        clock = &c->clocks[0];
        for (size_t i = 1; i < CLOCKS_MAX; i++)
            if (c->clocks[i].last_heard < clock->last_heard) clock = &c->clocks[i];
        *clock = (struct clocks_clock){.id = id};
    }
    clock->last_heard = ++c->n_heard;
    return clock;
}

/* ---- what to believe ---- */

static void candidate_start(struct clocks_candidate *c, int64_t offset_ns, int64_t t_receipt_ns)
{
    *c = (struct clocks_candidate){offset_ns, offset_ns, t_receipt_ns, t_receipt_ns, 1, 0};
}

/* Does the frame support the candidate? Otherwise a smaller offset takes its place; a
 * larger one does when nothing has supported it for long: it was of a frame that lied. */
static bool candidate_take(struct clocks_candidate *c, int64_t offset_ns, int64_t t_receipt_ns)
{
    if (c->n > 0 && minus(offset_ns, c->low_ns) <= CLOCKS_SPREAD_NS &&
        minus(c->high_ns, offset_ns) <= CLOCKS_SPREAD_NS) {
        if (minus(offset_ns, c->low_ns) < 0) c->low_ns = offset_ns;
        if (minus(offset_ns, c->high_ns) > 0) c->high_ns = offset_ns;
        c->n_missed = 0;
        if (minus(t_receipt_ns, c->t_counted_ns) < CLOCKS_SPREAD_NS) return true;
        c->t_counted_ns = t_receipt_ns;
        c->n++;
        return true;
    }
    if (c->n == 0 || minus(offset_ns, c->low_ns) < 0 || ++c->n_missed > CLOCKS_MISSES)
        candidate_start(c, offset_ns, t_receipt_ns);
    return false;
}

/* It is the offset of a frame received at t_receipt_ns. */
static void believe(struct clocks_clock *clock, int64_t offset_ns, int64_t t_receipt_ns)
{
    clock->offset_ns = clock->base_ns = offset_ns;
    clock->t_base_ns = t_receipt_ns;
}

/* A whole window without a frame as early as is believed. */
static void rise(struct clocks_clock *clock, int64_t t_receipt_ns)
{
    int64_t allowed_ns = minus(t_receipt_ns, clock->t_base_ns) / 1000000 * CLOCKS_DRIFT_PPM;
    int64_t rise_ns = minus(clock->low_ns, clock->base_ns);

    if (clock->n_window < CLOCKS_FRAMES || minus(clock->low_ns, clock->offset_ns) <= 0) return;
    if (rise_ns <= allowed_ns)
        believe(clock, clock->low_ns, clock->t_low_ns);
    else if (allowed_ns > minus(clock->offset_ns, clock->base_ns))
        clock->offset_ns = (int64_t)((uint64_t)clock->base_ns + (uint64_t)allowed_ns);
}

static void watch_window(struct clocks_clock *clock, int64_t offset_ns, int64_t t_receipt_ns)
{
    if (clock->n_window && minus(t_receipt_ns, clock->t_window_ns) >= CLOCKS_WINDOW_NS) {
        rise(clock, t_receipt_ns);
        clock->n_window = 0;
    }
    if (clock->n_window == 0) clock->t_window_ns = t_receipt_ns;
    if (clock->n_window == 0 || minus(offset_ns, clock->low_ns) < 0) {
        clock->low_ns = offset_ns;
        clock->t_low_ns = t_receipt_ns;
    }
    clock->n_window++;
}

static void learn(struct clocks_clock *clock, int64_t offset_ns, int64_t t_receipt_ns,
                  uint64_t valid_for_ns)
{
    struct clocks_candidate *c = &clock->candidate;
    int64_t stood_ns;

    if (clock->known && minus(offset_ns, clock->base_ns) >= -CLOCKS_SPREAD_NS) {
        watch_window(clock, offset_ns, t_receipt_ns);
        if (minus(offset_ns, clock->offset_ns) <= 0) believe(clock, offset_ns, t_receipt_ns);
        if (c->n > 0 && ++c->n_missed > CLOCKS_MISSES) *c = (struct clocks_candidate){0};
        return;
    }
    if (!candidate_take(c, offset_ns, t_receipt_ns)) return;
    stood_ns = minus(t_receipt_ns, c->t_first_ns);
    if (c->n < CLOCKS_FRAMES || stood_ns < 0 || (uint64_t)stood_ns < valid_for_ns) return;
    clock->known = true;
    clock->n_window = 0;
    believe(clock, c->low_ns, t_receipt_ns);
    *c = (struct clocks_candidate){0};
}

bool clocks_on_frame(struct clocks *c, const struct clocks_frame *f, int64_t t_receipt_ns,
                     int64_t *t_published_ns)
{
    struct clocks_clock *clock = clock_of(c, f->clock_id);
    int64_t offset_ns = clocks_difference_ns((uint64_t)t_receipt_ns, f->t_publish_ns);
    int64_t used_ns, ahead_ns;

    learn(clock, offset_ns, t_receipt_ns, f->valid_for_ns);
    used_ns = clock->known ? clock->offset_ns : clock->candidate.low_ns;
    ahead_ns = minus(used_ns, offset_ns);
    if (ahead_ns > 0 && (uint64_t)ahead_ns < f->valid_for_ns) used_ns = offset_ns;
    *t_published_ns = (int64_t)(f->t_publish_ns + (uint64_t)used_ns);
    return clock->known;
}

unsigned clocks_n_support(const struct clocks *c, uint64_t clock_id)
{
    const struct clocks_clock *clock = clock_find(c, clock_id);

    return clock ? clock->candidate.n : 0;
}

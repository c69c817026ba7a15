/* Whole numbers: the same on every machine, bit by bit; the drift alone is reckoned with fractions,
 * and rounded. */
#include "line/source_clock.h"

#include <assert.h>
#include <math.h>

#define RISEN_CELLS 15360      /* after so many, an hour, 1/e is left of what the line has risen */
#define MOST_NS 10000000000000 /* of a time to extrapolate over */
#define WANDER_PPB 500         /* a clock's drift is not the same all the time ... */
#define AGEING_PPB 50          /* ... and less and less what it was, in a span */
#define MOST_HOLE 0.25         /* of the time that a slope is of */
#define RECENT_CELLS 3
#define QUARTER (SOURCE_CLOCK_CELLS / 4)

/* What a message says. */
struct sample {
    uint64_t t_ns, offset_ns, pace_ns;
};

/* ---- numbers ---- */

static int64_t difference(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Of ns at so many billionths. */
static uint64_t part(int64_t ns, int64_t ppb)
{
    int64_t bound = ns > MOST_NS ? MOST_NS : ns < -MOST_NS ? -MOST_NS : ns;

    return (uint64_t)(bound / 1000 * ppb / 1000000);
}

static uint64_t cell_ns(uint64_t bin_ns)
{
    return bin_ns > SOURCE_CLOCK_CELL_NS ? bin_ns : SOURCE_CLOCK_CELL_NS;
}

static uint64_t memory_ns(uint64_t width_ns)
{
    return SOURCE_CLOCK_SPANS * SOURCE_CLOCK_SPAN_CELLS * width_ns;
}

/* The line at a time. */
static uint64_t line_at(const struct source_clock *c, uint64_t t_ns)
{
    return c->offset_ns + part(difference(t_ns, c->t_offset_ns), c->drift_ppb);
}

/* What the drift may have added since the line was beneath a bin. */
static uint64_t drifted_ns(const struct source_clock *c, uint64_t t_ns)
{
    return part(difference(t_ns, c->t_touch_ns), (int64_t)c->drift_error_ppb);
}

/* ---- beginning ---- */

void source_clock_init(struct source_clock *c)
{
    *c = (struct source_clock){.drift_error_ppb = SOURCE_CLOCK_MOST_PPB};
}

static void begin(struct source_clock *c, const struct sample *s)
{
    uint64_t n_steps = c->n_steps + source_clock_is_known(c);

    source_clock_init(c);
    c->is_started = true;
    c->n_steps = n_steps;
    c->offset_ns = s->offset_ns;
    c->pace_ns = s->pace_ns;
    c->t_ns = c->t_offset_ns = c->t_touch_ns = s->t_ns;
}

/* ---- cells and spans ---- */

static void put(struct source_cell *to, uint64_t at, const struct sample *s)
{
    if (to->at != at) *to = (struct source_cell){at, s->t_ns, s->offset_ns, s->pace_ns};
    if (difference(s->pace_ns, to->pace_ns) < 0) to->pace_ns = s->pace_ns;
    if (difference(s->offset_ns, to->offset_ns) >= 0) return;
    to->offset_ns = s->offset_ns;
    to->t_ns = s->t_ns;
}

/* Is it of the n stretches up to `at`? */
static bool is_of(const struct source_cell *x, uint64_t at, uint64_t n)
{
    return x->at && x->at <= at && at - x->at < n;
}

/* ---- the drift ---- */

struct fit {
    double n, x, y, xx, xy; /* sums, of seconds and ns since the first */
    double slope, low, high, first_s, last_s;
    double leverage; /* the largest of a point: its residual hides so much of what it is off */
    double pull, before_s, hole_s; /* of all points on the slope; the longest time without one */
    double error;                  /* of the slope, at most */
};

typedef void point_fn(struct fit *f, double x, double y);

static void sum(struct fit *f, double x, double y)
{
    f->first_s = f->n > 0 ? fmin(f->first_s, x) : x;
    f->last_s = f->n > 0 ? fmax(f->last_s, x) : x;
    f->n++;
    f->x += x;
    f->y += y;
    f->xx += x * x;
    f->xy += x * y;
}

static void range(struct fit *f, double x, double y)
{
    double residual = y - f->slope * x;

    f->low = fmin(f->low, residual);
    f->high = fmax(f->high, residual);
}

/* What a point adds to the slope for each ns: those on one side of the middle, all late, bend it by
 * half the sum of all. Points come in the order of their times. */
static void pull(struct fit *f, double x, double y)
{
    double off = x - f->x / f->n, spread = f->xx - f->x * f->x / f->n;

    (void)y;
    f->pull += fabs(off) / spread;
    f->leverage = fmax(f->leverage, 1 / f->n + off * off / spread);
    f->hole_s = fmax(f->hole_s, x - f->before_s);
    f->before_s = x;
}

/* Of the n cells or spans up to `at`, from the oldest. */
static void visit_points(const struct source_clock *c, const struct source_cell *points, size_t n,
                         uint64_t at, point_fn *visit, struct fit *f)
{
    for (size_t i = 1; i <= n; i++) {
        const struct source_cell *p = &points[(at + i) % n];

        if (is_of(p, at, n))
            visit(f, (double)difference(p->t_ns, c->t_ns) / 1e9,
                  (double)difference(p->offset_ns, c->offset_ns));
    }
}

/* Bins that all waited, up to h, bend the slope by what their points pull; where the points lie
 * close they show in the residuals with h. false: there are too few, or a hole that hides it. */
static bool fit_line(const struct source_clock *c, const struct source_cell *points, size_t n,
                     uint64_t at, size_t n_least, struct fit *f)
{
    *f = (struct fit){.low = INFINITY, .high = -INFINITY};
    visit_points(c, points, n, at, sum, f);
    if (f->n < (double)n_least) return false;
    f->slope = (f->n * f->xy - f->x * f->y) / (f->n * f->xx - f->x * f->x);
    visit_points(c, points, n, at, range, f);
    f->before_s = f->first_s;
    visit_points(c, points, n, at, pull, f);
    f->error = f->pull / 2 * (f->high - f->low) / (1 - f->leverage) + WANDER_PPB;
    return f->hole_s <= (f->last_s - f->first_s) * MOST_HOLE;
}

/* at: the newest whole span. -> by how much it changed. */
static int64_t fit_drift(struct source_clock *c, uint64_t at)
{
    struct fit f;
    int64_t before = c->drift_ppb;

    if (c->drift_error_ppb < SOURCE_CLOCK_MOST_PPB) c->drift_error_ppb += AGEING_PPB;
    if (!fit_line(c, c->span, SOURCE_CLOCK_SPANS, at, SOURCE_CLOCK_LEAST_SPANS, &f)) return 0;
    if (!(fabs(f.slope) <= SOURCE_CLOCK_MOST_PPB) || f.error > (double)c->drift_error_ppb) return 0;
    c->drift_ppb = llrint(f.slope);
    c->drift_error_ppb = (uint64_t)llrint(f.error);
    c->has_drift = true;
    return c->drift_ppb > before ? c->drift_ppb - before : before - c->drift_ppb;
}

/* Times that are made up, bin after bin, by a program that sleeps in between run by thousands of
 * ppm: no clock does, and what comes of them is no age. Once a drift was found, what grows is a
 * queue. at: the newest whole cell. */
static bool runs_as_no_clock(const struct source_clock *c, uint64_t at)
{
    struct fit f;

    return !c->has_drift &&
           fit_line(c, c->cell, SOURCE_CLOCK_CELLS, at, SOURCE_CLOCK_LEARNING, &f) &&
           fabs(f.slope) > SOURCE_CLOCK_MOST_PPB + f.error;
}

/* ---- the line ---- */

/* What the newest cells say of a time: the least, and how far above it a quarter of them is. */
struct envelope {
    uint64_t offset_ns, t_touch_ns, pace_ns, spread_ns;
    uint32_t n;
};

static uint64_t spread_of(const uint64_t above_ns[], uint32_t n)
{
    uint64_t low[QUARTER + 1]; /* the least of all, in order */
    uint32_t last = n / 4;

    for (uint32_t k = 0; k <= last; k++) low[k] = UINT64_MAX;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = last;

        if (above_ns[i] >= low[last]) continue;
        for (; k > 0 && low[k - 1] > above_ns[i]; k--) low[k] = low[k - 1];
        low[k] = above_ns[i];
    }
    return low[last];
}

static struct envelope find_envelope(const struct source_clock *c, uint64_t at, uint64_t t_ns,
                                     uint64_t n_newest)
{
    uint64_t offset_ns[SOURCE_CLOCK_CELLS];
    struct envelope e = {0};

    for (size_t i = 0; i < SOURCE_CLOCK_CELLS; i++) {
        const struct source_cell *x = &c->cell[i];

        if (!is_of(x, at, n_newest)) continue;
        offset_ns[e.n] = x->offset_ns + part(difference(t_ns, x->t_ns), c->drift_ppb);
        if (e.n == 0 || difference(offset_ns[e.n], e.offset_ns) < 0) {
            e.offset_ns = offset_ns[e.n];
            e.t_touch_ns = x->t_ns;
        }
        if (e.n == 0 || difference(x->pace_ns, e.pace_ns) < 0) e.pace_ns = x->pace_ns;
        e.n++;
    }
    for (uint32_t i = 0; i < e.n; i++) offset_ns[i] -= e.offset_ns;
    if (e.n) e.spread_ns = spread_of(offset_ns, e.n);
    return e;
}

/* The least pace from before the bin that the line is beneath, and its own. */
static uint64_t pace_at_touch(const struct source_clock *c, uint64_t width_ns)
{
    uint64_t at = c->t_touch_ns / width_ns + 1, pace_ns = 0;
    uint64_t span = (at - 1) / SOURCE_CLOCK_SPAN_CELLS + 1;
    bool is_found = false;

    for (size_t i = 0; i < SOURCE_CLOCK_CELLS + SOURCE_CLOCK_SPANS; i++) {
        bool is_cell = i < SOURCE_CLOCK_CELLS;
        const struct source_cell *x = is_cell ? &c->cell[i] : &c->span[i - SOURCE_CLOCK_CELLS];

        if (x->at == 0 || x->at > (is_cell ? at : span - 1)) continue;
        if (!is_found || difference(x->pace_ns, pace_ns) < 0) pace_ns = x->pace_ns;
        is_found = true;
    }
    return is_found ? pace_ns : c->pace_ns;
}

/* How far the source's clock has fallen behind the numbers of its bins: no waiting does that. */
static uint64_t shown_by_pace(const struct source_clock *c, const struct envelope *e)
{
    int64_t above = difference(e->offset_ns, c->offset_ns);
    int64_t behind = difference(c->pace_ns, e->pace_ns);

    return e->n && above > 0 && behind > 0 ? least((uint64_t)above, (uint64_t)behind) : 0;
}

/* The line rises as clocks may drift in a cell; as far as its pace shows; free_ns, for the drift is
 * known better now. */
static void rise(struct source_clock *c, const struct envelope *e, uint64_t width_ns,
                 uint64_t free_ns)
{
    uint64_t shown_ns = shown_by_pace(c, e), drifts_ns, rise_ns;
    int64_t ppb = c->has_drift ? SOURCE_CLOCK_RISE_PPB : SOURCE_CLOCK_MOST_PPB;

    if (e->n < SOURCE_CLOCK_LEARNING) return;
    if (c->lag_ns > SOURCE_CLOCK_DEAD_NS) {
        drifts_ns = least(c->lag_ns - shown_ns, part((int64_t)width_ns, ppb));
        rise_ns = least(c->lag_ns, shown_ns + drifts_ns + free_ns);
        if (c->has_drift) c->risen_ns += drifts_ns;
        c->pace_ns -= shown_ns;
        c->offset_ns += rise_ns;
        c->lag_ns -= rise_ns;
    }
    if (c->lag_ns > SOURCE_CLOCK_DEAD_NS) return;
    c->risen_ns -= (c->risen_ns + RISEN_CELLS - 1) / RISEN_CELLS;
    c->t_touch_ns = e->t_touch_ns;
    c->pace_ns = pace_at_touch(c, width_ns);
}

static void follow(struct source_clock *c, const struct envelope *e, uint64_t width_ns,
                   uint64_t free_ns)
{
    int64_t lag = difference(e->offset_ns, c->offset_ns);

    c->spread_ns = e->spread_ns;
    c->lag_ns = lag > 0 ? (uint64_t)lag : 0;
    if (lag < 0) {
        c->risen_ns -= least(c->risen_ns, 0 - (uint64_t)lag);
        c->offset_ns = e->offset_ns;
        c->t_touch_ns = e->t_touch_ns;
    }
    rise(c, e, width_ns, free_ns);
}

/* The first message of a new cell: the one before is whole. */
static void close_cell(struct source_clock *c, uint64_t width_ns, uint64_t t_ns)
{
    uint64_t at = c->t_ns / width_ns + 1, span = (at - 1) / SOURCE_CLOCK_SPAN_CELLS + 1;
    const struct source_cell *x = &c->cell[at % SOURCE_CLOCK_CELLS];
    const struct sample s = {x->t_ns, x->offset_ns, x->pace_ns};
    struct envelope all, recent;
    uint64_t free_ns = 0;

    if (c->n_cells < SOURCE_CLOCK_LEARNING) c->n_cells++;
    put(&c->span[span % SOURCE_CLOCK_SPANS], span, &s);
    c->offset_ns = line_at(c, t_ns);
    c->t_offset_ns = t_ns;
    if (t_ns / width_ns / SOURCE_CLOCK_SPAN_CELLS + 1 != span)
        free_ns = part((int64_t)memory_ns(width_ns), fit_drift(c, span));
    all = find_envelope(c, t_ns / width_ns, t_ns, SOURCE_CLOCK_CELLS);
    recent = find_envelope(c, t_ns / width_ns, t_ns, RECENT_CELLS);
    if (all.n) follow(c, &all, width_ns, free_ns);
    c->is_no_clock = runs_as_no_clock(c, at);
    c->shown_ns = shown_by_pace(c, &recent);
}

/* Nothing came for a while, and what comes since is late by all of that, cell by cell: had it
 * waited, it would have caught up. gap_ns: to the newest message, which begins a cell. */
static bool has_stood(struct source_clock *c, uint64_t width_ns, uint64_t gap_ns)
{
    struct envelope newest = find_envelope(c, c->t_ns / width_ns, c->t_ns, 1);
    int64_t late_ns = difference(newest.offset_ns, line_at(c, c->t_ns));

    if (gap_ns > SOURCE_CLOCK_GAP_NS && gap_ns > 2 * width_ns) {
        c->gap_ns = gap_ns;
        c->n_gap_cells = 0;
    } else if (c->gap_ns && newest.n) {
        c->n_gap_cells++;
        if (late_ns < (int64_t)(c->gap_ns - c->gap_ns / 8)) c->gap_ns = c->n_gap_cells = 0;
    }
    return c->n_gap_cells >= SOURCE_CLOCK_LEARNING;
}

/* ---- messages ---- */

enum verdict { TAKEN, PASSED_OVER, OF_ANOTHER_CLOCK };

/* above: of the line. */
static enum verdict judge(struct source_clock *c, const struct sample *s, int64_t above)
{
    bool is_below = above < -SOURCE_CLOCK_FALL_NS - (int64_t)drifted_ns(c, s->t_ns);
    bool is_set_back =
        above > SOURCE_CLOCK_FALL_NS && difference(c->pace_ns, s->pace_ns) >= above / 2;

    c->n_below = is_below ? c->n_below + 1 : 0;
    c->n_above = is_set_back ? c->n_above + 1 : 0;
    if (!is_below && !is_set_back) return TAKEN;
    if (c->n_below + c->n_above < SOURCE_CLOCK_PERSISTS) return PASSED_OVER;
    c->n_below = c->n_above = 0;
    return above < 0 && above >= -SOURCE_CLOCK_STEP_NS ? TAKEN : OF_ANOTHER_CLOCK;
}

/* A bin below the line: it is beneath that one. */
static void fall(struct source_clock *c, const struct sample *s, uint64_t below_ns)
{
    c->offset_ns = s->offset_ns;
    c->t_offset_ns = c->t_touch_ns = s->t_ns;
    c->spread_ns += c->lag_ns + below_ns;
    c->lag_ns = 0;
    c->risen_ns -= least(c->risen_ns, below_ns);
}

void source_clock_on_message(struct source_clock *c, uint64_t bin_ns, uint64_t seq,
                             uint64_t t_source_ns, uint64_t t_seen_ns)
{
    uint64_t width_ns = cell_ns(bin_ns);
    struct sample s = {t_seen_ns, t_seen_ns - t_source_ns, t_source_ns - seq * bin_ns};
    uint64_t gap_ns;
    int64_t above;
    bool is_new_cell;

    if (c->is_started && difference(s.t_ns, c->t_ns) < 0) s.t_ns = c->t_ns;
    if (!c->is_started || s.t_ns - c->t_ns > memory_ns(width_ns)) begin(c, &s);
    above = difference(s.offset_ns, line_at(c, s.t_ns));
    switch (judge(c, &s, above)) {
    case PASSED_OVER:
        return;
    case OF_ANOTHER_CLOCK:
        begin(c, &s);
        break;
    case TAKEN:
        break;
    }
    gap_ns = s.t_ns - c->t_ns;
    is_new_cell = s.t_ns / width_ns != c->t_ns / width_ns;
    if (is_new_cell) close_cell(c, width_ns, s.t_ns);
    c->t_ns = s.t_ns;
    if (is_new_cell && has_stood(c, width_ns, gap_ns)) begin(c, &s);
    put(&c->cell[(s.t_ns / width_ns + 1) % SOURCE_CLOCK_CELLS], s.t_ns / width_ns + 1, &s);
    above = difference(s.offset_ns, line_at(c, s.t_ns));
    if (above < 0) fall(c, &s, 0 - (uint64_t)above);
}

/* ---- what it says ---- */

bool source_clock_is_known(const struct source_clock *c)
{
    return c->n_cells >= SOURCE_CLOCK_LEARNING && !c->is_no_clock;
}

uint64_t source_clock_here_ns(const struct source_clock *c, uint64_t t_source_ns)
{
    return t_source_ns + line_at(c, c->t_ns);
}

uint64_t source_clock_uncertainty_ns(const struct source_clock *c)
{
    return c->spread_ns + c->lag_ns + c->risen_ns + c->risen_ns / 4 + c->shown_ns +
           drifted_ns(c, c->t_ns) + SOURCE_CLOCK_DEAD_NS;
}

/* ---- telling ---- */

const char *source_clock_state_name(enum source_clock_state state)
{
    static const char *const names[SOURCE_CLOCK_N_STATES] = {
        [SOURCE_CLOCK_WAITING] = "waiting",      [SOURCE_CLOCK_UNSTAMPED] = "unstamped",
        [SOURCE_CLOCK_LEARNING_IT] = "learning", [SOURCE_CLOCK_ESTIMATED] = "estimated",
        [SOURCE_CLOCK_EXACT] = "exact",          [SOURCE_CLOCK_NO_CLOCK] = "no clock",
    };

    assert(state < SOURCE_CLOCK_N_STATES);
    return names[state];
}

static void set(_Atomic uint64_t *number, uint64_t value)
{
    atomic_store_explicit(number, value, memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

void source_clock_tell(struct source_clock_told *told, const struct source_clock *c,
                       enum source_clock_state state)
{
    bool is_estimated = state == SOURCE_CLOCK_ESTIMATED;

    set(&told->offset_ns, is_estimated ? line_at(c, c->t_ns) : 0);
    set(&told->uncertainty_ns, is_estimated ? source_clock_uncertainty_ns(c) : 0);
    set(&told->drift_ppb, c->has_drift ? (uint64_t)c->drift_ppb : 0);
    set(&told->drift_error_ppb, c->has_drift ? c->drift_error_ppb : 0);
    set(&told->n_steps, c->n_steps);
    atomic_store_explicit(&told->state, state, memory_order_release);
}

void source_clock_read(const struct source_clock_told *told, struct source_clock_seen *out)
{
    out->state = (enum source_clock_state)atomic_load_explicit(&told->state, memory_order_acquire);
    out->offset_ns = (int64_t)get(&told->offset_ns);
    out->uncertainty_ns = get(&told->uncertainty_ns);
    out->ppm = (double)-(int64_t)get(&told->drift_ppb) / 1e3;
    out->ppm_uncertainty = (double)get(&told->drift_error_ppb) / 1e3;
    out->n_steps = get(&told->n_steps);
}

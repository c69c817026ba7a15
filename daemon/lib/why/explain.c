/* The time is cut where the data loop looked at its clock. Between two looks either it worked for a
 * stream, or it slept or did something else. A stop, or a wait for the processor, lies between two
 * looks, too: it is taken out of the longest piece that it can lie in. */
#include "why/explain.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const part_names[WHY_N_PARTS] = {
    [WHY_SOURCE] = "source", [WHY_STOPPED] = "stopped", [WHY_PROCESSOR] = "processor",
    [WHY_STREAM] = "stream", [WHY_OTHERS] = "others",   [WHY_OWN] = "own",
    [WHY_STEP] = "step",     [WHY_UNKNOWN] = "unknown",
};

const char *why_part_name(enum why_part part)
{
    assert(part < WHY_N_PARTS);
    return part_names[part];
}

bool why_part_find(const char *name, enum why_part *out)
{
    for (enum why_part part = 0; part < WHY_N_PARTS; part++) {
        if (strcmp(name, part_names[part]) != 0) continue;
        *out = part;
        return true;
    }
    return false;
}

uint64_t why_whole_ns(const struct late_bin *bin)
{
    return bin->t_publish_ns - bin->t_since_ns;
}

uint64_t why_stopped_ns(uint64_t wall_ns, uint64_t slept_ns, uint64_t ran_ns, uint64_t delay_ns,
                        uint64_t least_ns)
{
    uint64_t known_ns = slept_ns + ran_ns + delay_ns;
    uint64_t stopped_ns = wall_ns > known_ns ? wall_ns - known_ns : 0;

    return stopped_ns < least_ns ? 0 : stopped_ns;
}

/* ---- pieces ---- */

struct work {
    const struct late_bin *bin;
    const struct why_known *known;
    size_t n; /* of known->pieces */
    struct why_wait *waits;
    size_t n_waits;
};

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void add_piece(struct work *w, uint64_t from_ns, uint64_t to_ns, enum why_part part,
                      uint64_t place)
{
    struct why_piece *p = &w->known->pieces[w->n];

    if (to_ns <= from_ns) return;
    assert(w->n < WHY_PIECES);
    *p = (struct why_piece){from_ns, to_ns, to_ns - from_ns, place, part};
    w->n++;
}

/* The loop worked for nobody: until the wake that found it, it was not here. */
static void add_gap(struct work *w, uint64_t from_ns, uint64_t to_ns)
{
    uint64_t known_ns = w->known->spans_from_ns, wake_ns = w->bin->t_recv_ns;
    uint64_t a = most(from_ns, least(to_ns, known_ns)), b = most(a, least(to_ns, wake_ns));

    add_piece(w, from_ns, a, WHY_UNKNOWN, 0);
    add_piece(w, a, b, WHY_SOURCE, 0);
    add_piece(w, b, to_ns, WHY_UNKNOWN, 0);
}

static enum why_part part_of(const struct work *w, const struct why_span *s)
{
    if (s->place != w->known->place) return WHY_STREAM;
    return s->to_ns > w->bin->t_start_ns ? WHY_STEP : WHY_OWN;
}

static void cut(struct work *w)
{
    const struct late_bin *bin = w->bin;
    uint64_t at_ns = bin->t_since_ns, end_ns = most(at_ns, bin->t_start_ns);
    size_t i = w->known->n_spans;

    while (i > 0 && w->known->spans[i - 1].to_ns > at_ns) i--;
    for (; i < w->known->n_spans && w->known->spans[i].from_ns < end_ns; i++) {
        const struct why_span *s = &w->known->spans[i];
        uint64_t from_ns = most(s->from_ns, at_ns), to_ns = most(from_ns, least(s->to_ns, end_ns));

        add_gap(w, at_ns, from_ns);
        add_piece(w, from_ns, to_ns, part_of(w, s), s->place);
        at_ns = to_ns;
    }
    add_gap(w, at_ns, end_ns);
    add_piece(w, end_ns, bin->t_publish_ns, WHY_STEP, 0);
}

/* ---- what lay between two looks at the clock ---- */

static uint64_t overlap(const struct why_piece *p, uint64_t from_ns, uint64_t to_ns)
{
    uint64_t a = most(p->from_ns, from_ns), b = least(p->to_ns, to_ns);

    return b > a ? least(b - a, p->left_ns) : 0;
}

/* The piece that most of what lay in a sample can lie in, and how much; NULL: none. */
static struct why_piece *find_longest(struct work *w, uint64_t from_ns, uint64_t to_ns,
                                      uint64_t *longest_ns)
{
    struct why_piece *found = NULL;

    *longest_ns = 0;
    for (size_t i = 0; i < w->n; i++) {
        uint64_t n = overlap(&w->known->pieces[i], from_ns, to_ns);

        if (n <= *longest_ns) continue;
        *longest_ns = n;
        found = &w->known->pieces[i];
    }
    return found;
}

/* Of at most ns; what is taken. */
static uint64_t take_out(struct work *w, uint64_t from_ns, uint64_t to_ns, uint64_t ns)
{
    uint64_t longest_ns, taken_ns;
    struct why_piece *from = find_longest(w, from_ns, to_ns, &longest_ns);

    if (!from) return 0;
    taken_ns = least(ns, longest_ns);
    from->left_ns -= taken_ns;
    return taken_ns;
}

static bool touches(const struct work *w, const struct why_sample *s)
{
    return s->to_ns > w->bin->t_since_ns && s->from_ns < w->bin->t_publish_ns;
}

/* A stop lies between two looks: where no piece holds most of it, it was before or after them all.
 * Where the bin's time does not begin with a look, what came before belongs to the first piece. */
static bool can_hold(struct work *w, const struct why_sample *s)
{
    uint64_t longest_ns;
    const struct why_piece *p = find_longest(w, s->from_ns, s->to_ns, &longest_ns);
    bool is_cut = p && p->from_ns == w->bin->t_since_ns && w->bin->since != LATE_SINCE_ARRIVAL;

    return is_cut || longest_ns >= s->stopped_ns / 2;
}

static uint64_t find_stops(struct work *w)
{
    uint64_t sum_ns = 0;

    for (size_t i = 0; i < w->known->n_samples; i++) {
        const struct why_sample *s = &w->known->samples[i];

        if (s->stopped_ns && touches(w, s) && can_hold(w, s))
            sum_ns += take_out(w, s->from_ns, s->to_ns, s->stopped_ns);
    }
    return sum_ns;
}

/* The kernel adds up a wait when it ends: it may have begun before the sample. Many small pieces
 * cannot hold one long wait. */
static uint64_t find_delays(struct work *w, bool *knows)
{
    uint64_t sum_ns = 0;

    *knows = false;
    for (size_t i = 0; i < w->known->n_samples; i++) {
        const struct why_sample *s = &w->known->samples[i];
        uint64_t left_ns = s->delay_ns, n_left = s->n_delays, taken = 1;

        if (left_ns == WHY_UNKNOWN_NS || !touches(w, s)) continue;
        *knows = true;
        for (; left_ns && taken && n_left; left_ns -= taken, sum_ns += taken, n_left--)
            taken = take_out(w, s->from_ns - least(s->from_ns, s->delay_ns), s->to_ns, left_ns);
    }
    return sum_ns;
}

/* ---- parts ---- */

static void add_wait(struct work *w, enum why_part part, const char *stream, uint64_t ns)
{
    size_t i = 0;

    if (ns == 0) return;
    while (i < w->n_waits && (w->waits[i].part != part || strcmp(w->waits[i].stream, stream) != 0))
        i++;
    if (i == w->n_waits) {
        assert(w->n_waits < WHY_MAX_WAITS);
        w->waits[w->n_waits++] = (struct why_wait){.part = part};
        snprintf(w->waits[i].stream, WHY_NAME_BYTES, "%s", stream);
    }
    w->waits[i].ns += ns;
}

static size_t streams_named(const struct work *w)
{
    size_t n = 0;

    for (size_t i = 0; i < w->n_waits; i++) n += w->waits[i].part == WHY_STREAM;
    return n;
}

static bool is_named(const struct work *w, const char *stream)
{
    for (size_t i = 0; i < w->n_waits; i++)
        if (w->waits[i].part == WHY_STREAM &&
            strncmp(w->waits[i].stream, stream, WHY_NAME_BYTES - 1) == 0)
            return true;
    return false;
}

static void add_up(struct work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct why_piece *p = &w->known->pieces[i];
        bool is_other = p->part == WHY_STREAM && p->place < w->known->n_names;
        const char *name = is_other ? w->known->names[p->place] : "";

        if (p->part != WHY_STREAM)
            add_wait(w, p->part, "", p->left_ns);
        else if (is_other && (is_named(w, name) || streams_named(w) < WHY_MAX_STREAMS))
            add_wait(w, WHY_STREAM, name, p->left_ns);
        else
            add_wait(w, WHY_OTHERS, "", p->left_ns);
    }
}

static int compare_waits(const void *a, const void *b)
{
    const struct why_wait *x = a, *y = b;

    if (x->ns != y->ns) return x->ns < y->ns ? 1 : -1;
    return (int)x->part - (int)y->part;
}

void why_explain(struct why_bin *out, const struct late_bin *bin, const struct why_known *known)
{
    struct work w = {.bin = bin, .known = known, .waits = out->waits};
    uint64_t stopped_ns, delay_ns;

    *out = (struct why_bin){.bin = *bin, .knows_spans = known->spans_from_ns <= bin->t_since_ns};
    cut(&w);
    stopped_ns = find_stops(&w);
    delay_ns = find_delays(&w, &out->knows_processor);
    add_wait(&w, WHY_STOPPED, "", stopped_ns);
    add_wait(&w, WHY_PROCESSOR, "", delay_ns);
    add_up(&w);
    out->n_waits = w.n_waits;
    qsort(out->waits, out->n_waits, sizeof *out->waits, compare_waits);
}

/* A line as bytes: a head, the line's own fields, then the decoder's snapshot. Each field is
 * checked when it is read, so that bytes from outside cannot do more than be refused. */
#include "line/snapshot.h"

#include <string.h>

#include "base/serial.h"
#include "line/arrive.h"
#include "line/rules.h"

#define MAGIC 0x32656e6974616c00u /* a zero, then "latine2": no old snapshot is that large */
#define FORMAT 7
#define FORMAT_FIRST 2 /* of those that are still read */

/* ---- the fields, in order ---- */

static void visit_rules(struct serial *f, struct sequence_rules *r)
{
    serial_u32(f, &r->window_bins);
    serial_u64(f, &r->max_gap_bins);
    serial_bool(f, &r->fill);
}

static void visit_sequence(struct serial *f, struct sequence *s)
{
    visit_rules(f, &s->rules);
    serial_bool(f, &s->started);
    serial_bool(f, &s->has_previous);
    serial_u64(f, &s->epoch);
    serial_u64(f, &s->previous_epoch);
    serial_u64(f, &s->newest);
    serial_u64(f, &s->n_ahead);
    serial_u32(f, &s->n_suspect);
    for (size_t i = 0; i < SEQUENCE_MAX_WINDOW; i++) serial_byte_to(f, &s->slot[i], SLOT_SKIPPED);
    serial_u64(f, &s->n_lost);
    serial_u64(f, &s->n_reordered);
    serial_u64(f, &s->n_restarts);
}

static void visit_trust(struct serial *f, struct trust *t)
{
    serial_u64(f, &t->t_heard_ns);
    serial_u64(f, &t->t_source_ns);
    serial_u32(f, &t->n_claims);
    serial_u64(f, &t->claim.epoch);
    serial_u64(f, &t->claim.seq);
    serial_u64(f, &t->claim.t_source_ns);
    serial_u64(f, &t->t_claim_ns);
}

static void visit_safe(struct serial *f, struct safe *s)
{
    uint32_t reason = s->reason;

    serial_bool(f, &s->on);
    serial_bool(f, &s->asked);
    serial_bool(f, &s->locked);
    serial_bool(f, &s->arrived);
    serial_u32_to(f, &reason, SAFE_N_REASONS - 1);
    s->reason = (enum safe_reason)reason;
    serial_u32(f, &s->n_good);
    serial_u64(f, &s->t_good_ns);
    serial_u64(f, &s->t_end_ns);
    serial_u64(f, &s->t_last_ns);
}

static void visit_silence(struct serial *f, struct silence *s)
{
    serial_bool(f, &s->heard);
    serial_u64(f, &s->t_decoded_ns);
    serial_u64(f, &s->t_due_ns);
}

static void visit_shown(struct serial *f, struct shown *s)
{
    serial_u64(f, &s->t_ns);
    serial_u32(f, &s->flags);
    serial_u32(f, &s->n_latents);
    serial_u32(f, &s->n_rates);
}

static void visit_pace(struct serial *f, struct pace *p)
{
    serial_bool(f, &p->is_known);
    serial_u64(f, &p->least_ns);
    serial_u32_to(f, &p->n, PACE_MOST_BINS);
    serial_u32_to(f, &p->at, PACE_MOST_BINS - 1);
    for (size_t i = 0; i < PACE_MOST_BINS; i++) {
        serial_u64(f, &p->e_ns[i]);
        serial_u64(f, &p->t_ns[i]);
    }
}

static void visit_cell(struct serial *f, struct source_cell *x)
{
    serial_u64(f, &x->at);
    serial_u64(f, &x->t_ns);
    serial_u64(f, &x->offset_ns);
    serial_u64(f, &x->pace_ns);
}

static void visit_source_clock(struct serial *f, struct source_clock *c)
{
    uint64_t drift_ppb = (uint64_t)c->drift_ppb;

    serial_bool(f, &c->is_started);
    serial_bool(f, &c->has_drift);
    serial_bool(f, &c->is_no_clock);
    serial_u32_to(f, &c->n_cells, SOURCE_CLOCK_LEARNING);
    serial_u32_to(f, &c->n_gap_cells, SOURCE_CLOCK_LEARNING);
    serial_u32_to(f, &c->n_below, SOURCE_CLOCK_PERSISTS);
    serial_u32_to(f, &c->n_above, SOURCE_CLOCK_PERSISTS);
    serial_u64(f, &c->n_steps);
    serial_u64(f, &c->t_ns);
    serial_u64(f, &c->offset_ns);
    serial_u64(f, &c->t_offset_ns);
    serial_u64(f, &c->pace_ns);
    serial_u64(f, &drift_ppb);
    if (drift_ppb + SOURCE_CLOCK_MOST_PPB > 2 * SOURCE_CLOCK_MOST_PPB) f->is_bad = true;
    c->drift_ppb = f->is_bad ? 0 : (int64_t)drift_ppb;
    serial_u64(f, &c->drift_error_ppb);
    if (c->drift_error_ppb > 2 * SOURCE_CLOCK_MOST_PPB) f->is_bad = true;
    serial_u64(f, &c->t_touch_ns);
    serial_u64(f, &c->lag_ns);
    serial_u64(f, &c->risen_ns);
    serial_u64(f, &c->shown_ns);
    serial_u64(f, &c->gap_ns);
    serial_u64(f, &c->spread_ns);
    for (size_t i = 0; i < SOURCE_CLOCK_CELLS; i++) visit_cell(f, &c->cell[i]);
    for (size_t i = 0; i < SOURCE_CLOCK_SPANS; i++) visit_cell(f, &c->span[i]);
}

static void visit_age(struct serial *f, struct line_memory *m)
{
    visit_source_clock(f, &m->source_clock);
    serial_bool(f, &m->ended.is_known);
    serial_u64(f, &m->ended.seq);
    serial_u64(f, &m->ended.t_here_ns);
}

/* Each format has the fields of those before. */
static void visit(struct serial *f, uint32_t format, struct line_memory *m, struct rules *rules,
                  float *kept, size_t n_kept)
{
    visit_sequence(f, &m->sequence);
    visit_safe(f, &m->safe);
    visit_silence(f, &m->silence);
    visit_shown(f, &m->shown);
    visit_pace(f, &m->pace);
    serial_bool(f, &m->eased.leaving);
    serial_u64(f, &m->eased.t_ns);
    serial_u64(f, &m->pub_seq);
    serial_bool(f, &m->easing);
    serial_floats(f, kept, n_kept);
    if (format >= 3) serial_u64(f, &m->n_still);
    if (format >= 4) visit_trust(f, &m->trust);
    if (format >= 5) serial_bool(f, &m->is_swapped);
    if (format >= 6) visit_age(f, m);
    if (format >= 7) rules_visit(f, rules);
}

/* ---- head ---- */

struct head {
    uint64_t magic, n_bytes, check; /* n_bytes: of line and decoder; check: of the line's fields */
    uint32_t format, contract, n_kept;
};

static void visit_head(struct serial *f, struct head *h)
{
    serial_u64(f, &h->magic);
    serial_u32(f, &h->format);
    serial_u32(f, &h->contract);
    serial_u32(f, &h->n_kept);
    serial_u64(f, &h->n_bytes);
    serial_u64(f, &h->check);
}

static size_t head_size(void)
{
    struct serial f = {.how = SERIAL_COUNT};
    struct head head = {0};

    visit_head(&f, &head);
    return f.at;
}

/* Of any state alike: other threads ask while the line runs, so its state is not looked at. */
static size_t fields_size(const struct line_decoder *d, uint32_t format)
{
    struct line_memory state = {0};
    struct rules rules = {0};
    struct serial f = {.how = SERIAL_COUNT};

    visit(&f, format, &state, &rules, d->read_kept, d->n_kept);
    return f.at;
}

/* ---- saving ---- */

size_t line_size(const struct line *line)
{
    return atomic_load_explicit(&line->n_bytes, memory_order_relaxed);
}

size_t line_size_with(const struct line_decoder *d)
{
    return head_size() + fields_size(d, FORMAT) + latent_decoder_size(d->decoder);
}

int line_save(const struct line *line, void *buf, size_t n)
{
    size_t n_head = head_size(), n_fields = fields_size(line->seat, FORMAT);
    unsigned char *bytes = buf;
    struct line_memory state = line->state;
    struct rules rules = rules_of(&line->options);
    struct serial body = {SERIAL_WRITE, bytes + n_head, NULL, n_fields, 0, false};
    struct serial front = {SERIAL_WRITE, bytes, NULL, n_head, 0, false};
    struct head head = {MAGIC,  line_size(line),        0,
                        FORMAT, line->options.contract, (uint32_t)line->n_kept};

    if (arrive_is_open(line)) return LATENT_E_UNSUPPORTED;
    if (n < head.n_bytes) return LATENT_E_SHAPE;
    visit(&body, FORMAT, &state, &rules, line->kept, line->n_kept);
    head.check = serial_check(bytes + n_head, n_fields);
    visit_head(&front, &head);
    return latent_decoder_save(line->decoder, bytes + n_head + n_fields, n - n_head - n_fields);
}

/* ---- loading ---- */

/* Values that the line could have. */
static bool is_sound(const struct line *line, const struct line_memory *m)
{
    const struct shown *shown = &m->shown;
    bool latents = shown->n_latents == 0 || shown->n_latents == line->n_latents;
    bool rates = shown->n_rates == 0 || shown->n_rates == line->n_rates;

    return latents && rates && shown->flags < 1u << LATENT_N_FLAGS &&
           sequence_is_sound(&m->sequence, &line->options.sequence);
}

/* What the decoder's part has, the decoder says: of an earlier version it is shorter. */
static bool is_fitting(const struct line *line, const struct head *h, size_t n_line, size_t n)
{
    return h->contract == line->options.contract && h->n_kept == line->n_kept &&
           h->n_bytes >= n_line && n >= h->n_bytes;
}

/* n_line: how many of the bytes are the line's; *n: how many there are, cut to those it says. */
static bool read_fields(struct line *line, const unsigned char *bytes, size_t *n,
                        struct line_memory *state, struct rules *rules, size_t *n_line)
{
    struct serial front = {SERIAL_READ, NULL, bytes, *n, 0, false}, body;
    struct head head = {0};
    size_t n_fields;

    visit_head(&front, &head);
    if (front.is_bad || head.format < FORMAT_FIRST || head.format > FORMAT) return false;
    n_fields = fields_size(line->seat, head.format);
    *n_line = front.at + n_fields;
    if (!is_fitting(line, &head, *n_line, *n)) return false;
    *n = head.n_bytes;
    body = (struct serial){SERIAL_READ, NULL, bytes + front.at, n_fields, 0, false};
    if (head.check != serial_check(body.from, body.n_bytes)) return false;
    visit(&body, head.format, state, rules, line->read_kept, line->n_kept);
    return !body.is_bad;
}

/* The struct of format 1, which contract 1 alone has. */
static bool read_old(struct line *line, const unsigned char *bytes, size_t *n,
                     struct line_memory *state, struct rules *rules, size_t *n_line)
{
    (void)rules; /* those of the options */
    *n_line = snapshot_old_size(line);
    return *n >= *n_line && line->options.contract == 1 &&
           snapshot_old_read(line, bytes, *n, state);
}

int line_load(struct line *line, const void *buf, size_t n)
{
    struct line_memory state = {0};
    struct rules rules = rules_of(&line->options);
    struct serial f = {SERIAL_READ, NULL, buf, n, 0, false};
    uint64_t magic = 0;
    size_t n_line = 0;
    int status;

    serial_u64(&f, &magic);
    if (!(magic == MAGIC ? read_fields : read_old)(line, buf, &n, &state, &rules, &n_line) ||
        !is_sound(line, &state))
        return LATENT_E_SNAPSHOT;
    status = latent_decoder_load(line->decoder, (const unsigned char *)buf + n_line, n - n_line);
    if (status) return status;
    line->state = state;
    rules_take(line, &rules);
    memcpy(line->kept, line->read_kept, line->n_kept * sizeof *line->kept);
    arrive_drop(line);
    return 0;
}

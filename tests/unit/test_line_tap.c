/* What a tap hears is enough: a second line that is given a snapshot of the first, then
 * its entries and the answers of its clock and sink, does the same to the last bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "line/label.h"
#include "line_fixture.h"

enum { MAX_EVENTS = 60000, MAX_BYTES = 8 << 20, N_BINS = 1000, MAX_SNAPSHOT = 1 << 20 };

/* Events in order, their bytes copied. */
struct tape {
    struct line_event event[MAX_EVENTS];
    size_t n_events;
    unsigned char bytes[MAX_BYTES];
    size_t n_bytes;
    /* At this entry, or the first after it that finds no message open, the line is saved, before
     * anything changes. */
    const struct line *line;
    size_t n_entries, save_at, first; /* first: event of that entry */
    bool is_saved;
    unsigned char snapshot[MAX_SNAPSHOT];
};

static void hear(void *ctx, const struct line_event *event)
{
    struct tape *t = ctx;

    if (line_event_is_entry(event->kind) && ++t->n_entries > t->save_at && !t->is_saved &&
        !line_has_work(t->line)) {
        t->first = t->n_events;
        t->is_saved = true;
        assert_int_equal(line_save(t->line, t->snapshot, MAX_SNAPSHOT), 0);
    }
    assert_true(t->n_events < MAX_EVENTS && t->n_bytes + event->n_bytes <= MAX_BYTES);
    t->event[t->n_events] = *event;
    if (event->n_bytes) {
        memcpy(t->bytes + t->n_bytes, event->bytes, event->n_bytes);
        t->event[t->n_events].bytes = t->bytes + t->n_bytes;
        t->n_bytes += event->n_bytes;
    }
    t->n_events++;
}

static struct tape *tape_new(const struct line *line, size_t save_at)
{
    struct tape *t = calloc(1, sizeof *t);
    assert_non_null(t);
    t->line = line;
    t->save_at = save_at;
    return t;
}

/* ---- the first line: whatever can happen, and a sink that refuses now and then ---- */

static uint64_t draw(uint64_t *seed, uint64_t n)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (*seed >> 33) % n;
}

/* spare: of another decoder; the two take turns, as they are. */
static void live_through(struct rig *l, struct line_decoder *spare, uint64_t seed)
{
    uint64_t seq = 0, epoch = 1, still = 0;

    for (int i = 0; i < N_BINS; i++) {
        uint64_t chance = draw(&seed, 100);

        l->tick_ns = draw(&seed, 3000000);
        l->answer = draw(&seed, 20) == 0 ? -1 : 0;
        if (chance < 5) seq += 1 + draw(&seed, 40);
        if (chance == 5) epoch++;
        if (chance == 6) line_reset(l->line);
        if (chance == 7) rig_send_bytes(l, "\xff", 1);
        if (chance == 8) line_refuse_parts(l->line);
        if (chance == 9) rig_send(l, epoch, seq++, 1, NAN);
        if (chance == 10) rig_send(l, epoch, seq / 2, 1, 1.0f);
        if (chance == 12) rig_mask(l, (uint8_t)draw(&seed, 8)); /* 8: of three channels */
        if (chance == 11) line_safe_on(l->line, l->now_ns);
        if (chance == 12) spare = line_promote(l->line, spare, PROMOTE_ASKED);
        if (chance < 20) line_safe_off(l->line);
        if (chance > 90) rig_wait(l, draw(&seed, 400) * 1000000);
        still = still ? still - 1 : draw(&seed, 50) == 0 ? 40 : 0;
        rig_send(l, epoch, seq, 1, still ? 0.0f : (float)draw(&seed, 4));
        seq++;
    }
    line_stop(l->line, l->now_ns);
}

/* ---- the second line: the tape is its world ---- */

struct player {
    struct tape *from;
    size_t at; /* next event whose answer is due */
    struct line_decoder *spare;
};

static const struct line_event *next_answer(struct player *p, enum line_event_kind kind)
{
    while (p->from->event[p->at].kind != kind) {
        p->at++;
        assert_true(p->at < p->from->n_events);
    }
    return &p->from->event[p->at++];
}

static uint64_t clock_again(void *ctx)
{
    return next_answer(ctx, LINE_CLOCK)->t_ns;
}

static int sink_again(void *ctx, const char *topic, const void *bytes, size_t n)
{
    (void)topic;
    (void)bytes;
    (void)n;
    return next_answer(ctx, LINE_SENT)->what ? -1 : 0;
}

/* The other decoder, in the state that the entry says. */
static struct line_decoder *restore(const struct line_event *e, struct line_decoder *d)
{
    struct label label;
    size_t n;

    assert_true(label_read(&label, e->bytes, e->n_bytes, &n));
    assert_int_equal(label.decoder_id, d->decoder_id);
    assert_int_equal(
        latent_decoder_load(d->decoder, (const unsigned char *)e->bytes + n, e->n_bytes - n), 0);
    return d;
}

static void play(struct line *line, struct player *p)
{
    const struct tape *t = p->from;

    for (size_t i = t->first; i < t->n_events; i++) {
        struct line_event entry = t->event[i];
        struct line_decoder *in_use = line_decoder(line);

        if (!line_event_is_entry(entry.kind)) continue;
        p->at = i + 1;
        if (entry.kind == LINE_PROMOTE) entry.next = restore(&entry, p->spare);
        line_enter(line, &entry);
        if (entry.kind == LINE_PROMOTE) p->spare = in_use;
    }
}

static void assert_same(const struct tape *a, const struct tape *b)
{
    assert_int_equal(a->n_events - a->first, b->n_events);
    for (size_t i = 0; i < b->n_events; i++) {
        const struct line_event *x = &a->event[a->first + i], *y = &b->event[i];
        if (x->kind != y->kind || x->what != y->what || x->t_ns != y->t_ns ||
            x->epoch != y->epoch || x->seq != y->seq || x->n_bytes != y->n_bytes)
            fail_msg("event %zu: %s %u, again: %s %u", i, line_event_name(x->kind), x->what,
                     line_event_name(y->kind), y->what);
        if (x->n_bytes) assert_memory_equal(x->bytes, y->bytes, x->n_bytes);
    }
}

/* All words of all policies occur in the variants 0 to 19. */
static struct line_options options_of(unsigned variant)
{
    struct line_options options = rig_options();

    options.policy =
        (struct line_policy){.on_gap = (enum line_on_gap)(variant % 5),
                             .on_late = (enum line_on_late)(variant % 4),
                             .on_missing = (enum line_on_missing)((variant + variant / 4) % 4),
                             .on_silent = (enum line_on_silent)(variant % 3),
                             .missing_after_ns = 60000000,
                             .lease_ns = 200000000,
                             .max_age_ns = 6000000,
                             .safe_ramp_ns = 100000000,
                             .safe_exit_bins = variant % 7,
                             .max_masked = 70};
    options.source_clock = (enum line_source_clock)(variant % 3);
    return options;
}

/* The model that follows: another where there is one, else the same once more. */
struct next {
    latent_model *model;
    struct latent_info info;
    latent_decoder *decoder[2]; /* for the first line, for the second */
    struct line_decoder *seat[2];
};

static void next_open(struct next *n, struct model_parts parts, const char *mode)
{
    const struct latent_options options = {.mode = mode, .predicts = 1, .any_finite = 1};
    struct file_bytes file = maker_file(&parts);

    assert_int_equal(model_open_bytes(&n->model, file.bytes, file.n, NULL), 0);
    free(file.bytes);
    latent_model_info(n->model, &n->info);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(latent_decoder_new(&n->decoder[i], n->model, &options, NULL), 0);
        assert_int_equal(line_decoder_new(&n->seat[i], n->decoder[i], &n->info), 0);
    }
}

static void next_close(struct next *n)
{
    for (int i = 0; i < 2; i++) {
        line_decoder_free(n->seat[i]);
        latent_decoder_free(n->decoder[i]);
    }
    latent_model_close(n->model);
}

/* The second line's decoder, before the snapshot: whichever it is of. */
static void seat_of_snapshot(struct line *second, struct player *p, const struct tape *t)
{
    struct line_decoder *first = line_decoder(second);

    if (line_load(second, t->snapshot, MAX_SNAPSHOT) == 0) return;
    line_seat(second, p->spare);
    p->spare = first;
    assert_int_equal(line_load(second, t->snapshot, MAX_SNAPSHOT), 0);
}

static void play_again(struct rig *l, const struct line_options *options, const char *mode,
                       struct next *n, struct tape *tape)
{
    const struct latent_options decoder_options = {.mode = mode, .predicts = 1, .any_finite = 1};
    struct player player = {.from = tape, .spare = n->seat[1]};
    struct line *second;
    struct tape *again;
    latent_decoder *d;

    assert_int_equal(latent_decoder_new(&d, l->model, &decoder_options, NULL), 0);
    assert_int_equal(line_new(&second, d, &l->info, options,
                              (struct line_clock){clock_again, &player},
                              (struct line_sink){sink_again, &player}),
                     0);
    again = tape_new(second, SIZE_MAX);
    assert_true(line_add_tap(second, (struct line_tap){.on_event = hear, .ctx = again}));
    seat_of_snapshot(second, &player, tape);
    play(second, &player);
    assert_same(tape, again);
    line_free(second);
    latent_decoder_free(d);
    free(again);
}

static void run_twice(struct model_parts parts, struct model_parts following, const char *mode,
                      size_t save_at, unsigned variant)
{
    const struct line_options options = options_of(variant);
    struct next next;
    struct tape *tape;
    struct rig l;

    rig_open(&l, parts, mode, &options);
    next_open(&next, following, mode);
    tape = tape_new(l.line, save_at);
    assert_true(line_add_tap(l.line, (struct line_tap){.on_event = hear, .ctx = tape}));
    live_through(&l, next.seat[0], 17 + save_at);
    play_again(&l, &options, mode, &next, tape);
    rig_close(&l);
    next_close(&next);
    free(tape);
}

static void test_again(void **state)
{
    static const size_t save_at[] = {0, 1, 333, 777};
    (void)state;
    for (unsigned variant = 0; variant < 20; variant++)
        run_twice(maker_kalman(), variant % 3 ? maker_kalman_1() : maker_kalman_other(), NULL,
                  save_at[variant % 4], variant);
    for (unsigned variant = 0; variant < 20; variant++) {
        if (variant % 5 == ON_GAP_MEAN) continue; /* these have no training mean */
        run_twice(maker_gru(), maker_gru(), NULL, save_at[variant % 4], variant);
        run_twice(maker_stage(), maker_kalman_1(), NULL, save_at[variant % 4], variant);
        run_twice(maker_ndt(), maker_ndt(), variant % 2 ? "C" : "A", save_at[variant % 4], variant);
    }
}

/* ---- what is told of one bin ---- */

static void test_events_of_a_gap(void **state)
{
    static const struct {
        enum line_event_kind kind;
        uint32_t what;
        uint64_t seq;
    } expected[] = {
        {LINE_MESSAGE, 0, 0},
        {LINE_OUTCOME, MESSAGES_ACCEPTED, 0},
        {LINE_DONE, 0, 0},
        {LINE_CONTINUE, 0, 0},
        {LINE_CLOCK, 0, 0},
        {LINE_ACTION, LINE_PREDICT, 1},
        {LINE_CLOCK, 0, 0},
        {LINE_FRAME, LATENT_FILLED | LATENT_PREDICTED | LATENT_AGE_UNKNOWN, 1},
        {LINE_SENT, 0, 1},
        {LINE_CLOCK, 0, 0},
        {LINE_OUTCOME, SEQUENCE_FILLED, 1},
        {LINE_OUTCOME, FRAMES_PUBLISHED, 1},
        {LINE_DONE, 0, 0},
        {LINE_CONTINUE, 0, 0},
        {LINE_CLOCK, 0, 0},
        {LINE_ACTION, LINE_STEP, 2},
        {LINE_CLOCK, 0, 0},
        {LINE_FRAME, LATENT_GAP | LATENT_AGE_UNKNOWN, 2},
        {LINE_SENT, 0, 2},
        {LINE_CLOCK, 0, 0},
        {LINE_OUTCOME, BINS_DECODED, 2},
        {LINE_OUTCOME, FRAMES_PUBLISHED, 2},
        {LINE_DONE, 0, 0},
    };
    struct tape *tape;
    struct rig l;
    (void)state;
    rig_open(&l, maker_gru(), NULL, NULL);
    rig_send(&l, 1, 0, 1, 1.0f);
    tape = tape_new(l.line, SIZE_MAX);
    assert_true(line_add_tap(l.line, (struct line_tap){.on_event = hear, .ctx = tape}));
    rig_send(&l, 1, 2, 1, 1.0f);
    assert_int_equal(tape->n_events, sizeof expected / sizeof expected[0]);
    for (size_t i = 0; i < tape->n_events; i++) {
        assert_string_equal(line_event_name(tape->event[i].kind),
                            line_event_name(expected[i].kind));
        assert_int_equal(tape->event[i].what, expected[i].what);
        assert_int_equal(tape->event[i].seq, expected[i].seq);
    }
    rig_close(&l);
    free(tape);
}

/* ---- names ---- */

static void test_names(void **state)
{
    (void)state;
    for (enum line_event_kind k = 0; k < LINE_N_EVENTS; k++)
        for (enum line_event_kind j = 0; j < k; j++)
            assert_string_not_equal(line_event_name(j), line_event_name(k));
    for (enum line_action a = 0; a < LINE_N_ACTIONS; a++)
        for (enum line_action b = 0; b < a; b++)
            assert_string_not_equal(line_action_name(b), line_action_name(a));
    for (enum line_promotion a = 0; a < LINE_N_PROMOTIONS; a++)
        for (enum line_promotion b = 0; b < a; b++)
            assert_string_not_equal(line_promotion_name(b), line_promotion_name(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_events_of_a_gap),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

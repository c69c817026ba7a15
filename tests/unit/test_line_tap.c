/* What a tap hears is enough: a second line that is given a snapshot of the first, then
 * its entries and the answers of its clock and sink, does the same to the last bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/serial.h"
#include "line_fixture.h"

enum { LINE_HEAD = 36, DECODER_HEAD = 64 }; /* of a snapshot's parts */
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

static void live_through(struct rig *l, uint64_t seed)
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
        if (chance == 11) line_safe_on(l->line, l->now_ns);
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

static void play(struct line *line, struct player *p)
{
    const struct tape *t = p->from;

    for (size_t i = t->first; i < t->n_events; i++) {
        if (!line_event_is_entry(t->event[i].kind)) continue;
        p->at = i + 1;
        line_enter(line, &t->event[i]);
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
                             .safe_exit_bins = variant % 7};
    return options;
}

static void run_twice(struct model_parts parts, const char *mode, size_t save_at, unsigned variant)
{
    const struct line_options options = options_of(variant);
    const struct latent_options decoder_options = {.mode = mode, .predicts = 1, .any_finite = 1};
    struct line *second;
    latent_decoder *d;
    struct player player;
    struct tape *tape, *again;
    struct rig l;

    rig_open(&l, parts, mode, &options);
    tape = tape_new(l.line, save_at);
    assert_true(line_add_tap(l.line, (struct line_tap){.on_event = hear, .ctx = tape}));
    live_through(&l, 17 + save_at);
    player = (struct player){.from = tape};
    assert_int_equal(latent_decoder_new(&d, l.model, &decoder_options, NULL), 0);
    assert_int_equal(line_new(&second, d, &l.info, &options,
                              (struct line_clock){clock_again, &player},
                              (struct line_sink){sink_again, &player}),
                     0);
    again = tape_new(second, SIZE_MAX);
    assert_true(line_add_tap(second, (struct line_tap){.on_event = hear, .ctx = again}));
    assert_int_equal(line_load(second, tape->snapshot, MAX_SNAPSHOT), 0);
    play(second, &player);
    assert_same(tape, again);
    line_free(second);
    latent_decoder_free(d);
    rig_close(&l);
    free(tape);
    free(again);
}

static void test_again(void **state)
{
    static const size_t save_at[] = {0, 1, 333, 777};
    (void)state;
    for (unsigned variant = 0; variant < 20; variant++)
        run_twice(maker_kalman(), NULL, save_at[variant % 4], variant);
    for (unsigned variant = 0; variant < 20; variant++) {
        if (variant % 5 == ON_GAP_MEAN) continue; /* these have no training mean */
        run_twice(maker_gru(), NULL, save_at[variant % 4], variant);
        run_twice(maker_ndt(), variant % 2 ? "C" : "A", save_at[variant % 4], variant);
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

/* ---- snapshots ---- */

static void test_snapshot_refused(void **state)
{
    unsigned char *buf = malloc(MAX_SNAPSHOT);
    struct line_options wider = rig_options();
    struct rig l, other;
    size_t n;
    (void)state;
    wider.sequence.window_bins = 17;
    rig_open(&l, maker_kalman(), NULL, NULL);
    rig_open(&other, maker_kalman(), NULL, &wider);
    rig_send(&l, 1, 5, 1, 1.0f);
    n = line_size(l.line);
    assert_int_equal(line_save(l.line, buf, n - 1), LATENT_E_SHAPE);
    assert_int_equal(line_save(l.line, buf, n), 0);
    assert_int_equal(line_load(other.line, buf, n), LATENT_E_SNAPSHOT);
    assert_int_equal(line_load(l.line, buf, n - 1), LATENT_E_SNAPSHOT);
    for (size_t i = 0; i < n; i++) {
        buf[i] ^= 0x10;
        assert_int_equal(line_load(l.line, buf, n), LATENT_E_SNAPSHOT);
        buf[i] ^= 0x10;
    }
    assert_int_equal(line_load(l.line, buf, n), 0);
    l.now_ns += RIG_BIN_NS;
    rig_send(&l, 1, 6, 1, 1.0f);
    assert_flags(rig_last(&l), 0);
    rig_close(&l);
    rig_close(&other);
    free(buf);
}

/* A head that a forger would write: the check of the line's fields, the hash of the decoder's. */
static void mend(unsigned char *buf, size_t n_line, size_t n)
{
    uint64_t check = serial_check(buf + LINE_HEAD, n_line - LINE_HEAD);

    memcpy(buf + LINE_HEAD - 8, &check, 8);
    crypto_hash_sha256(buf + n_line + DECODER_HEAD - 32, buf + n_line + DECODER_HEAD,
                       n - n_line - DECODER_HEAD);
}

/* Whatever the line goes on from, it goes on: bins, gaps, silence, SAFE and its end. */
static void live_on(struct rig *l)
{
    uint64_t seq = 100;

    l->n_frames = 0;
    rig_send(l, 1, seq++, 2, 1.0f);
    seq += 3;
    rig_send(l, 1, seq++, 1, 2.0f);
    rig_wait(l, 300 * (uint64_t)1000000);
    line_safe_on(l->line, l->now_ns);
    line_safe_off(l->line);
    rig_send(l, 2, seq, 12, 1.0f);
}

/* Every byte with other bits and checks that fit: refused, or another state to go on from. What is
 * accepted is written as it was read. */
static void flip_every_byte(struct model_parts parts, const char *mode)
{
    const struct line_options options = options_of(0);
    unsigned char *buf = malloc(MAX_SNAPSHOT), *again = malloc(MAX_SNAPSHOT);
    size_t n, n_line, n_accepted = 0;
    struct rig l;

    rig_open(&l, parts, mode, &options);
    rig_send(&l, 1, 5, 3, 1.0f);
    n = line_size(l.line);
    n_line = n - latent_decoder_size(l.decoder);
    assert_int_equal(line_save(l.line, buf, n), 0);
    for (size_t i = 0; i < n; i++)
        for (unsigned bits = 1; bits < 256; bits = bits * 5 + 1) {
            buf[i] ^= (unsigned char)bits;
            mend(buf, n_line, n);
            if (line_load(l.line, buf, n) == 0) {
                n_accepted++;
                assert_int_equal(line_save(l.line, again, n), 0);
                assert_memory_equal(again, buf, n);
                live_on(&l);
            }
            buf[i] ^= (unsigned char)bits;
        }
    assert_true(n_accepted > 100); /* epochs, numbers, times: any can be */
    mend(buf, n_line, n);
    for (size_t cut = 0; cut < n; cut++)
        assert_int_equal(line_load(l.line, buf, cut), LATENT_E_SNAPSHOT);
    rig_close(&l);
    free(buf);
    free(again);
}

/* Of each format that is still read: the last bytes of format 5 that it does not have. */
enum { N_STILL = 8, N_TRUST = 6 * 8 + 4, N_SWAPPED = 1 };

/* A snapshot as `format` had it, without the last n_new bytes of the line's fields: they begin
 * anew. */
static void check_older(uint32_t format, size_t n_new)
{
    const struct line_options options = options_of(0);
    unsigned char *buf = malloc(MAX_SNAPSHOT), *again = malloc(MAX_SNAPSHOT), zeros[64] = {0};
    uint64_t n_bytes;
    struct line_decoder *seat;
    size_t n, n_line;
    struct rig l;

    rig_open(&l, maker_kalman(), NULL, &options);
    rig_send(&l, 1, 5, 3, 1.0f);
    assert_int_equal(line_decoder_new(&seat, l.decoder, &l.info), 0);
    line_promote(l.line, seat, PROMOTE_ASKED);
    n = line_size(l.line);
    n_line = n - latent_decoder_size(l.decoder);
    assert_int_equal(line_save(l.line, buf, n), 0);
    assert_memory_not_equal(buf + n_line - n_new, zeros, n_new);
    memmove(buf + n_line - n_new, buf + n_line, n - n_line);
    n_bytes = n - n_new;
    memcpy(buf + 8, &format, 4);
    memcpy(buf + 20, &n_bytes, 8);
    mend(buf, n_line - n_new, n - n_new);
    assert_int_equal(line_load(l.line, buf, n - n_new - 1), LATENT_E_SNAPSHOT);
    assert_int_equal(line_load(l.line, buf, n - n_new), 0);
    assert_int_equal(line_save(l.line, again, n), 0);
    assert_memory_equal(again + LINE_HEAD, buf + LINE_HEAD, n_line - n_new - LINE_HEAD);
    assert_memory_equal(again + n_line - n_new, zeros, n_new);
    rig_close(&l);
    line_decoder_free(seat);
    free(buf);
    free(again);
}

static void test_older_formats(void **state)
{
    (void)state;
    check_older(2, N_STILL + N_TRUST + N_SWAPPED); /* without the count of equal bins */
    check_older(3, N_TRUST + N_SWAPPED);           /* without whose messages they are */
    check_older(4, N_SWAPPED);                     /* without promotions */
}

static void test_every_byte(void **state)
{
    (void)state;
    flip_every_byte(maker_kalman(), NULL);
    flip_every_byte(maker_gru(), NULL);
    flip_every_byte(maker_ndt(), "A");
    flip_every_byte(maker_ndt(), "C");
}

/* A message that is open is in no snapshot, and one that is loaded ends it. */
static void test_open_message(void **state)
{
    unsigned char *buf = malloc(MAX_SNAPSHOT);
    uint8_t message[4096];
    struct rig l;
    size_t n;
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);
    n = line_size(l.line);
    assert_int_equal(line_save(l.line, buf, n), 0);
    line_on_frame(l.line, message, rig_pack(&l, 1, 0, 3, 1.0f, message, sizeof message), l.now_ns);
    assert_true(line_has_work(l.line));
    assert_false(line_takes(l.line, LINE_MESSAGE));
    assert_true(line_takes(l.line, LINE_CONTINUE));
    line_continue(l.line);
    assert_int_equal(line_save(l.line, buf, n), LATENT_E_UNSUPPORTED);
    assert_int_equal(line_load(l.line, buf, n), 0);
    assert_false(line_has_work(l.line));
    assert_false(line_takes(l.line, LINE_CONTINUE));
    rig_close(&l);
    free(buf);
}

static void test_names(void **state)
{
    (void)state;
    for (enum line_event_kind k = 0; k < LINE_N_EVENTS; k++)
        for (enum line_event_kind j = 0; j < k; j++)
            assert_string_not_equal(line_event_name(j), line_event_name(k));
    for (enum line_action a = 0; a < LINE_N_ACTIONS; a++)
        for (enum line_action b = 0; b < a; b++)
            assert_string_not_equal(line_action_name(b), line_action_name(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_events_of_a_gap),
        cmocka_unit_test(test_snapshot_refused),
        cmocka_unit_test(test_older_formats),
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_open_message),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

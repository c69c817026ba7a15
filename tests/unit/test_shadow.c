/* A decoder beside a line has, bit by bit, the state of the line's own, whatever happens to the
 * stream; what it loses is counted, and it starts anew; the two change places between bins. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "line_fixture.h"
#include "shadow/shadow.h"

enum { N_BINS = 3000, MAX_STATE = 65536, N_EXCHANGES = 1000 };

/* A line with a tap, and a second decoder of its model. */
struct pair {
    struct rig l;
    struct recent *recent;
    latent_decoder *other;
    struct shadow *shadow;
    uint64_t seed, seq;
};

static uint64_t no_time(void *ctx)
{
    (void)ctx;
    return 0;
}

static struct shadow_decoder other_of(struct pair *p)
{
    return (struct shadow_decoder){p->other, &p->l.info, NULL};
}

static void begin_shadow(struct pair *p)
{
    const struct shadow_of of = {p->recent, {no_time, NULL}};

    assert_int_equal(shadow_new(&p->shadow, &of, other_of(p)), 0);
}

static void pair_open(struct pair *p, struct model_parts parts, const char *mode,
                      enum line_on_gap on_gap)
{
    const struct latent_options decoder_options = {.mode = mode, .predicts = 1, .any_finite = 1};
    struct line_options options = rig_options();

    options.policy.on_gap = on_gap;
    options.policy.on_missing = ON_MISSING_PREDICT;
    options.policy.lease_ns = 900000000;
    options.policy.safe_ramp_ns = 100000000;
    *p = (struct pair){.seed = 7};
    rig_open(&p->l, parts, mode, &options);
    p->recent = recent_new(p->l.info.n_channels, p->l.info.n_readout);
    assert_non_null(p->recent);
    assert_true(line_add_tap(p->l.line, recent_tap(p->recent)));
    assert_int_equal(latent_decoder_new(&p->other, p->l.model, &decoder_options, NULL), 0);
}

static void pair_close(struct pair *p)
{
    if (p->shadow) shadow_free(p->shadow);
    latent_decoder_free(p->other);
    rig_close(&p->l);
    recent_free(p->recent);
}

static uint64_t draw(struct pair *p, uint64_t n)
{
    p->seed = p->seed * 6364136223846793005u + 1442695040888963407u;
    return (p->seed >> 33) % n;
}

/* Gaps that are filled and that reset, orders, marks, refused bins, silence with
 * predictions, output that is not finite. */
static void live(struct pair *p, int n)
{
    struct rig *l = &p->l;

    for (int i = 0; i < n; i++) {
        uint64_t chance = draw(p, 100);

        l->now_ns += RIG_BIN_NS;
        if (chance < 4) p->seq += 1 + draw(p, 40);
        if (chance == 4) p->seq += 100; /* a reset */
        if (chance == 5) line_reset(l->line);
        if (chance == 6) rig_send_bytes(l, "\xff", 1);
        if (chance == 7) rig_send(l, 1, p->seq / 2, 1, 1.0f);
        if (chance == 8) rig_send_marks(l, p->seq++, 1 + (uint32_t)draw(p, 7));
        if (chance == 9) rig_wait(l, draw(p, 400) * 1000000);
        if (chance == 10) rig_send(l, 1, p->seq++, 1, 3e38f);
        if (chance == 11 && l->info.channel_mean) rig_mask(l, (uint8_t)draw(p, 8));
        rig_send(l, 1, p->seq, 1 + draw(p, 3), (float)draw(p, 4));
        p->seq += 3;
    }
}

static void catch_up(struct pair *p)
{
    while (shadow_turn(p->shadow)) continue;
    assert_true(shadow_is_level(p->shadow));
}

/* What either would say from here on is the same. */
static void assert_same_state(latent_decoder *a, latent_decoder *b)
{
    static unsigned char x[MAX_STATE], y[MAX_STATE];
    size_t n = latent_decoder_size(a);

    assert_true(n <= MAX_STATE && n == latent_decoder_size(b));
    assert_int_equal(latent_decoder_save(a, x, n), 0);
    assert_int_equal(latent_decoder_save(b, y, n), 0);
    assert_memory_equal(x, y, n);
}

static void follow(struct model_parts parts, const char *mode, enum line_on_gap on_gap)
{
    struct shadow_status s;
    struct pair p;

    pair_open(&p, parts, mode, on_gap);
    begin_shadow(&p);
    assert_true(shadow_is_level(p.shadow));
    for (int i = 0; i < N_BINS; i++) {
        live(&p, 1);
        catch_up(&p);
        assert_same_state(p.l.decoder, p.other);
    }
    shadow_read(p.shadow, &s);
    assert_true(s.is_exact);
    assert_int_equal(s.n_losses, 0);
    assert_int_equal(s.n_primed, 0);
    assert_true(s.n_steps > N_BINS);
    assert_true(s.step.n >= s.n_steps && s.step.n <= recent_count(p.recent));
    pair_close(&p);
}

static void test_in_step(void **state)
{
    (void)state;
    for (enum line_on_gap on_gap = ON_GAP_PREDICT; on_gap <= ON_GAP_RESET; on_gap++)
        follow(maker_kalman(), NULL, on_gap);
    follow(maker_gru(), NULL, ON_GAP_PREDICT);
    follow(maker_stage(), NULL, ON_GAP_HOLD_INPUT);
    follow(maker_ndt(), "A", ON_GAP_PREDICT);
    follow(maker_ndt(), "C", ON_GAP_ZERO);
}

/* Output that is not finite resets the decoder that gave it, and no other. */
static void test_failure_is_its_own(void **state)
{
    struct shadow_status s;
    struct pair p;
    struct latent_frame frame;
    (void)state;
    pair_open(&p, maker_kalman(), NULL, ON_GAP_PREDICT);
    begin_shadow(&p);
    for (int i = 0; i < 5; i++) {
        p.l.now_ns += RIG_BIN_NS;
        rig_send(&p.l, 1, p.seq++, 1, 1.0f);
    }
    catch_up(&p);
    /* The shadow's alone: a state that the next bin takes beyond the range. */
    for (int i = 0; i < 2; i++) {
        const float large[] = {3e38f, 3e38f, 3e38f};
        const struct latent_bin bin = {.n_channels = 3, .counts = large};

        latent_decoder_step(p.other, &bin, &frame);
    }
    p.l.now_ns += RIG_BIN_NS;
    rig_send(&p.l, 1, p.seq++, 1, 1.0f);
    catch_up(&p);
    shadow_read(p.shadow, &s);
    assert_int_equal(s.n_bad, 1);
    assert_int_equal(s.n_clean, 0);
    assert_int_equal(rig_counter(&p.l, SEQUENCE_RESETS), 0);
    p.l.now_ns += RIG_BIN_NS;
    rig_send(&p.l, 1, p.seq++, 1, 1.0f);
    catch_up(&p);
    shadow_read(p.shadow, &s);
    assert_int_equal(s.n_bad, 1);
    assert_int_equal(s.n_clean, 1);
    pair_close(&p);
}

/* Of a line that runs already: from what is kept, exact when that reaches back to a reset. */
static void test_priming(void **state)
{
    struct shadow_status s;
    struct pair p;
    (void)state;
    pair_open(&p, maker_kalman(), NULL, ON_GAP_PREDICT);
    for (int i = 0; i < N_BINS; i++) {
        p.l.now_ns += RIG_BIN_NS;
        rig_send(&p.l, 1, p.seq++, 1, (float)(i % 4));
    }
    begin_shadow(&p);
    assert_false(shadow_is_level(p.shadow));
    shadow_read(p.shadow, &s);
    assert_true(s.is_priming);
    catch_up(&p);
    shadow_read(p.shadow, &s);
    assert_false(s.is_priming);
    assert_false(s.is_exact);
    assert_true(s.is_warm);
    assert_int_equal(s.n_primed, RECENT_KEPT);
    assert_int_equal(s.n_steps, 0);
    line_reset(p.l.line);
    live(&p, 50);
    catch_up(&p);
    assert_same_state(p.l.decoder, p.other);
    shadow_read(p.shadow, &s);
    assert_true(s.is_exact);
    pair_close(&p);
}

/* Whoever is too slow is told how much is gone, and begins again. */
static void test_loss(void **state)
{
    struct shadow_status s;
    struct pair p;
    (void)state;
    pair_open(&p, maker_kalman(), NULL, ON_GAP_PREDICT);
    begin_shadow(&p);
    for (int i = 0; i < RECENT_KEPT + RECENT_AHEAD + 10; i++) {
        p.l.now_ns += RIG_BIN_NS;
        rig_send(&p.l, 1, p.seq++, 1, (float)(i % 4));
    }
    assert_false(shadow_is_level(p.shadow));
    catch_up(&p);
    shadow_read(p.shadow, &s);
    assert_int_equal(s.n_losses, 1);
    assert_int_equal(s.n_lost, RECENT_AHEAD + 10);
    assert_int_equal(s.n_primed, RECENT_KEPT);
    assert_int_equal(s.n_clean, 0);
    assert_false(s.is_exact);
    /* One less is none too many. */
    for (int i = 0; i < RECENT_KEPT + RECENT_AHEAD; i++) {
        p.l.now_ns += RIG_BIN_NS;
        rig_send(&p.l, 1, p.seq++, 1, (float)(i % 4));
    }
    catch_up(&p);
    shadow_read(p.shadow, &s);
    assert_int_equal(s.n_losses, 1);
    assert_int_equal(s.n_clean, RECENT_KEPT + RECENT_AHEAD);
    pair_close(&p);
}

/* The same decoder on both sides agrees with itself; SAFE frames are not compared. */
static void test_comparison(void **state)
{
    struct shadow_status s;
    struct pair p;
    (void)state;
    pair_open(&p, maker_kalman(), NULL, ON_GAP_PREDICT);
    begin_shadow(&p);
    for (int i = 0; i < 100; i++) {
        if (i == 40) line_safe_on(p.l.line, p.l.now_ns);
        p.l.now_ns += RIG_BIN_NS;
        rig_send(&p.l, 1, p.seq++, 1, (float)(i % 4));
    }
    catch_up(&p);
    shadow_read(p.shadow, &s);
    assert_int_equal(s.n_readout, 2);
    assert_in_range(s.agreement[0].n, 30, 40);
    pair_close(&p);
}

/* ---- the watch over what is in the line ---- */

static void exchange(struct pair *p, enum shadow_role role)
{
    struct shadow_decoder line = {p->l.decoder, &p->l.info, NULL};

    assert_true(shadow_is_level(p->shadow));
    assert_ptr_equal(shadow_exchange(p->shadow, line, role).decoder, p->other);
}

/* One step as the tap hears it of a line. */
static void tell(struct pair *p, uint32_t flags, float readout)
{
    const float counts[3] = {0}, values[2] = {readout, readout};
    const struct latent_bin bin = {.n_channels = 3, .counts = counts};
    const struct latent_frame frame = {.flags = flags, .n_readout = 2, .readout = values};
    const struct line_tap tap = recent_tap(p->recent);

    tap.on_event(tap.ctx, &(struct line_event){.kind = LINE_ACTION, .input = &bin});
    tap.on_event(tap.ctx,
                 &(struct line_event){.kind = LINE_FRAME, .what = flags, .values = &frame});
    tap.on_event(tap.ctx, &(struct line_event){.kind = LINE_DONE});
}

static enum shadow_trigger trigger_of(struct pair *p)
{
    struct shadow_status s;

    catch_up(p);
    shadow_read(p->shadow, &s);
    return s.trigger;
}

static void test_misses(void **state)
{
    struct pair p;
    (void)state;
    pair_open(&p, maker_kalman(), NULL, ON_GAP_PREDICT);
    begin_shadow(&p);
    for (int i = 0; i < 5; i++) tell(&p, LATENT_LATE, 0.0f);
    assert_int_equal(trigger_of(&p), SHADOW_NO_TRIGGER); /* a candidate watches nobody */
    exchange(&p, SHADOW_KEPT);
    for (int i = 0; i < 200; i++) tell(&p, i % 25 == 0 ? LATENT_LATE : 0, 0.0f); /* 2 of 50 */
    assert_int_equal(trigger_of(&p), SHADOW_NO_TRIGGER);
    tell(&p, LATENT_LATE, 0.0f);
    assert_int_equal(trigger_of(&p), SHADOW_NO_TRIGGER);
    tell(&p, LATENT_LATE, 0.0f);
    assert_int_equal(trigger_of(&p), SHADOW_MISSES);
    shadow_free(p.shadow);
    p.shadow = NULL;
    pair_close(&p);
}

static void test_limits(void **state)
{
    struct pair p;
    float most;
    (void)state;
    pair_open(&p, maker_kalman(), NULL, ON_GAP_PREDICT);
    most = p.l.info.readout[0].max;
    begin_shadow(&p);
    tell(&p, 0, 0.0f);
    catch_up(&p);
    exchange(&p, SHADOW_KEPT);
    for (int i = 0; i < 100; i++) tell(&p, LATENT_LIMITED, 0.0f); /* by its slew */
    for (int i = 0; i < 49; i++) tell(&p, LATENT_LIMITED, most);
    tell(&p, 0, 0.0f);
    for (int i = 0; i < 49; i++) tell(&p, LATENT_LIMITED, most);
    assert_int_equal(trigger_of(&p), SHADOW_NO_TRIGGER);
    tell(&p, LATENT_LIMITED, most);
    assert_int_equal(trigger_of(&p), SHADOW_LIMITS);
    shadow_free(p.shadow);
    p.shadow = NULL;
    pair_close(&p);
}

/* ---- with its thread ---- */

/* The line goes on at once while a thread does its steps, too: nothing is torn, and once it is
 * level both decoders are the data thread's, to look at and to exchange. (The rig's line keeps its
 * own: the two go there and back.) */
static void test_thread(void **state)
{
    struct shadow_status s;
    struct pair p;
    (void)state;
    pair_open(&p, maker_kalman(), NULL, ON_GAP_PREDICT);
    begin_shadow(&p);
    assert_int_equal(shadow_start(p.shadow), 0);
    for (int i = 0; i < N_EXCHANGES; i++) {
        const struct shadow_decoder own = {p.l.decoder, &p.l.info, NULL};
        struct shadow_decoder had;

        live(&p, 1);
        while (!shadow_is_level(p.shadow)) sched_yield();
        assert_same_state(p.l.decoder, p.other);
        had = shadow_exchange(p.shadow, own, SHADOW_KEPT);
        assert_ptr_equal(had.decoder, p.other);
        assert_ptr_equal(shadow_exchange(p.shadow, had, SHADOW_KEPT).decoder, p.l.decoder);
    }
    live(&p, 1);
    while (!shadow_is_level(p.shadow)) sched_yield();
    shadow_stop(p.shadow);
    while (!shadow_has_ended(p.shadow)) sched_yield();
    shadow_read(p.shadow, &s);
    assert_int_equal(s.n_losses, 0);
    assert_int_equal(s.role, SHADOW_KEPT);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_step),    cmocka_unit_test(test_failure_is_its_own),
        cmocka_unit_test(test_priming),    cmocka_unit_test(test_loss),
        cmocka_unit_test(test_comparison), cmocka_unit_test(test_misses),
        cmocka_unit_test(test_limits),     cmocka_unit_test(test_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

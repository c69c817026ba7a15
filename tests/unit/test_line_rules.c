/* Policies that change while a line runs: from the next step on, in snapshots, and the same again
 * in another line that hears the entries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "line/rules.h"
#include "line_fixture.h"

enum { MAX_SNAPSHOT = 1 << 20, N_STEPS = 3000 };

#define MS UINT64_C(1000000)

static void enter(struct rig *l, const struct rules *r)
{
    unsigned char bytes[RULES_BYTES];
    size_t n = rules_pack(r, bytes);

    line_enter(l->line, &(struct line_event){
                            .kind = LINE_RULES, .t_ns = l->now_ns, .bytes = bytes, .n_bytes = n});
}

static struct rules rules_now(void)
{
    const struct line_options options = rig_options();

    return rules_of(&options);
}

static void send_next(struct rig *l, uint64_t *seq)
{
    l->now_ns += RIG_BIN_NS;
    rig_send(l, 1, (*seq)++, 1, 1.0f);
}

static void open_running(struct rig *l, uint64_t *seq)
{
    rig_open(l, maker_kalman(), NULL, NULL);
    *seq = 0;
    for (int i = 0; i < 3; i++) send_next(l, seq);
}

static bool is_safe(const struct rig *l)
{
    return (rig_last(l)->frame.values.flags & LATENT_SAFE) != 0;
}

/* What is read is what was written; what is too short, or no choice, is none. */
static void test_bytes(void **state)
{
    unsigned char bytes[RULES_BYTES];
    struct rules r = rules_now(), back;
    size_t n;
    (void)state;
    r.policy.on_missing = ON_MISSING_SAFE;
    r.policy.lease_ns = UINT64_MAX;
    n = rules_pack(&r, bytes);
    assert_true(rules_unpack(&back, bytes, n));
    back.policy.on_gap = r.policy.on_gap;
    back.policy.safe_start = r.policy.safe_start;
    assert_memory_equal(&back, &r, sizeof r);
    for (size_t cut = 0; cut < n; cut++) assert_false(rules_unpack(&back, bytes, cut));
    bytes[4 + 3 * 8] = 9; /* on-late */
    assert_false(rules_unpack(&back, bytes, n));
}

/* Frames tell what is valid and how much of the budget is left. */
static void test_next_frame(void **state)
{
    struct rules r = rules_now();
    uint64_t seq;
    struct rig l;
    (void)state;
    open_running(&l, &seq);
    assert_int_equal(rig_last(&l)->frame.valid_for_ns, r.valid_for_ns);
    r.valid_for_ns = 77 * MS;
    r.budget_ns = 3 * MS;
    enter(&l, &r);
    send_next(&l, &seq);
    assert_int_equal(rig_last(&l)->frame.valid_for_ns, 77 * MS);
    assert_int_equal(rig_last(&l)->frame.budget_left_ns, 3 * MS);
    rig_close(&l);
}

/* A line that waits waits by the new rule: on-missing begins as if it had been there, but not
 * before now. */
static void test_missing(void **state)
{
    struct rules r = rules_now();
    uint64_t seq, t_ns;
    struct rig l;
    (void)state;
    open_running(&l, &seq);
    t_ns = l.now_ns;
    assert_int_equal(line_next_tick_ns(l.line, false), t_ns + r.policy.missing_after_ns);
    r.policy.missing_after_ns = 30 * MS;
    enter(&l, &r);
    assert_int_equal(line_next_tick_ns(l.line, false), t_ns + 30 * MS);
    l.now_ns += 29 * MS;
    r.policy.missing_after_ns = 20 * MS;
    enter(&l, &r);
    assert_int_equal(line_next_tick_ns(l.line, false), l.now_ns);
    r.policy.on_missing = ON_MISSING_SKIP;
    enter(&l, &r);
    assert_true(line_next_tick_ns(l.line, false) == UINT64_MAX);
    r.policy.lease_ns = 100 * MS;
    enter(&l, &r);
    assert_int_equal(line_next_tick_ns(l.line, false), t_ns + 100 * MS);
    rig_wait(&l, 200 * MS);
    assert_true(is_safe(&l));
    rig_close(&l);
}

/* SAFE that ends by itself does not, once the operator alone is to end it; nor does it then, when
 * that is taken back, end without him. */
static void test_safe_exit(void **state)
{
    struct rules r = rules_now();
    uint64_t seq;
    struct rig l;
    (void)state;
    open_running(&l, &seq);
    r.policy.lease_ns = 100 * MS;
    enter(&l, &r);
    rig_wait(&l, 200 * MS);
    assert_true(is_safe(&l));
    r.policy.safe_exit_bins = 0;
    enter(&l, &r);
    for (int i = 0; i < 30; i++) send_next(&l, &seq);
    assert_true(is_safe(&l));
    r.policy.safe_exit_bins = 2;
    enter(&l, &r);
    for (int i = 0; i < 30; i++) send_next(&l, &seq);
    assert_true(is_safe(&l));
    line_safe_off(l.line);
    for (int i = 0; i < 4; i++) send_next(&l, &seq);
    assert_false(is_safe(&l));
    rig_close(&l);
}

static void test_max_masked(void **state)
{
    struct rules r = rules_now();
    uint64_t seq;
    size_t n;
    struct rig l;
    (void)state;
    open_running(&l, &seq);
    rig_mask(&l, 1);
    send_next(&l, &seq);
    assert_false(is_safe(&l));
    n = l.n_frames;
    r.policy.max_masked = 0;
    enter(&l, &r);
    assert_int_equal(l.n_frames, n + 1); /* at once */
    assert_true(is_safe(&l));
    r.policy.max_masked = 100;
    enter(&l, &r);
    for (int i = 0; i < 4; i++) send_next(&l, &seq);
    assert_false(is_safe(&l));
    rig_close(&l);
}

static uint64_t draw(uint64_t *seed, uint64_t n)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (*seed >> 33) % n;
}

static struct rules draw_rules(uint64_t *seed)
{
    return (struct rules){.budget_ns = draw(seed, 10) * MS,
                          .valid_for_ns = draw(seed, 200) * MS,
                          .max_jump_bins = 100 + draw(seed, 500),
                          .policy = {.on_late = (enum line_on_late)draw(seed, 4),
                                     .on_missing = (enum line_on_missing)draw(seed, 4),
                                     .on_silent = (enum line_on_silent)draw(seed, 3),
                                     .missing_after_ns = draw(seed, 100) * MS,
                                     .lease_ns = draw(seed, 500) * MS,
                                     .max_age_ns = draw(seed, 50) * MS,
                                     .safe_ramp_ns = draw(seed, 100) * MS,
                                     .safe_exit_bins = (uint32_t)draw(seed, 4),
                                     .max_masked = (uint32_t)draw(seed, 101)}};
}

/* One step of whatever can happen. */
static void live(struct rig *l, uint64_t *seed, uint64_t *seq)
{
    struct rules r;

    switch (draw(seed, 8)) {
    case 0:
        r = draw_rules(seed);
        enter(l, &r);
        break;
    case 1:
        rig_wait(l, draw(seed, 300) * MS);
        break;
    case 2:
        *seq += draw(seed, 4);
        break;
    case 3:
        rig_mask(l, (uint8_t)draw(seed, 8));
        break;
    case 4:
        line_safe_off(l->line);
        break;
    default:
        l->tick_ns = draw(seed, 3) * MS;
        send_next(l, seq);
        break;
    }
}

/* From a snapshot taken after any change another line, made with the rules of the start, goes on as
 * this one; all ledgers balance. */
static void test_the_same_again(void **state)
{
    unsigned char *buf = malloc(MAX_SNAPSHOT);
    uint64_t seed = 11, seq = 0, other_seed, other_seq;
    struct rig l, other;
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);
    rig_open(&other, maker_kalman(), NULL, NULL);
    for (int i = 0; i < N_STEPS; i++) {
        live(&l, &seed, &seq);
        if (i % 50) continue;
        assert_int_equal(line_save(l.line, buf, line_size(l.line)), 0);
        assert_int_equal(line_load(other.line, buf, line_size(l.line)), 0);
        other.now_ns = l.now_ns;
        other.tick_ns = l.tick_ns;
        l.n_frames = other.n_frames = 0;
        other_seed = seed;
        other_seq = seq;
        for (int k = 0; k < 40; k++) live(&l, &seed, &seq);
        for (int k = 0; k < 40; k++) live(&other, &other_seed, &other_seq);
        assert_int_equal(other.n_frames, l.n_frames);
        for (size_t k = 0; k < l.n_frames; k++) {
            assert_int_equal(other.frames[k].frame.values.flags, l.frames[k].frame.values.flags);
            assert_int_equal(other.frames[k].frame.t_publish_ns, l.frames[k].frame.t_publish_ns);
            assert_int_equal(other.frames[k].frame.valid_for_ns, l.frames[k].frame.valid_for_ns);
            assert_memory_equal(other.frames[k].readout, l.frames[k].readout,
                                sizeof l.frames[k].readout);
        }
        rig_counter(&l, BINS_IN);
    }
    assert_true(rig_counter(&l, BINS_DECODED) > N_STEPS / 8);
    rig_close(&l);
    rig_close(&other);
    free(buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),      cmocka_unit_test(test_next_frame),
        cmocka_unit_test(test_missing),    cmocka_unit_test(test_safe_exit),
        cmocka_unit_test(test_max_masked), cmocka_unit_test(test_the_same_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

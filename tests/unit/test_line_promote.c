/* One decoder for another between two bins: no bin is lost, and what comes out is the offline
 * splice, of the old one up to the boundary and of the new one from its snapshot on. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "line/label.h"
#include "line_fixture.h"

enum { N_PROMOTIONS = 1000, MAX_ENTRY = 1 << 16 };

/* A line of model 0, and another decoder that does each of its steps: they take turns. A third one
 * for each model decodes what the entries of the promotions say, from their snapshots on. */
struct pair {
    struct rig rig;
    latent_model *model[2];
    struct latent_info info[2];
    latent_decoder *decoder[2], *offline[2];
    struct line_decoder *own[2]; /* [0]: the line's */
    unsigned in_use;
    float value, last_value; /* of all channels of the bin that is sent; that came last */
    struct latent_frame expected;
    float latents[2], readout[2];
    uint64_t n_promotions;
    enum line_promotion why;
};

static void step_with(latent_decoder *d, float value, struct latent_frame *out)
{
    const float counts[3] = {value, value, value};
    const struct latent_bin bin = {.n_channels = 3, .counts = counts};

    if (latent_decoder_step(d, &bin, out)) *out = (struct latent_frame){0};
}

static void act_on(struct pair *p, latent_decoder *d, enum line_action action,
                   struct latent_frame *out)
{
    if (action == LINE_STEP) step_with(d, p->value, out);
    if (action == LINE_STEP_HELD) step_with(d, p->last_value, out);
    if (action == LINE_PREDICT) assert_int_equal(latent_decoder_predict(d, out), 0);
    if (action == LINE_START) latent_decoder_reset(d);
}

static void copy_expected(struct pair *p)
{
    if (p->expected.n_latents)
        memcpy(p->latents, p->expected.latents, p->expected.n_latents * sizeof *p->latents);
    if (p->expected.n_readout) memcpy(p->readout, p->expected.readout, sizeof p->readout);
}

/* The entry says all that is needed: who it is, and in which state. */
static void restore_offline(struct pair *p, const struct line_event *e)
{
    struct label label;
    size_t n_label;

    assert_true(label_read(&label, e->bytes, e->n_bytes, &n_label));
    assert_int_equal(label.decoder_id, latent_decoder_id(p->offline[p->in_use]));
    assert_memory_equal(label.sha256, p->info[p->in_use].sha256, sizeof label.sha256);
    assert_string_equal(label.mode, "causal");
    assert_string_equal(label.precision, "f32");
    assert_int_equal(label.groups & LATENT_GROUP_READOUT, LATENT_GROUP_READOUT);
    assert_int_equal(latent_decoder_load(p->offline[p->in_use],
                                         (const unsigned char *)e->bytes + n_label,
                                         e->n_bytes - n_label),
                     0);
}

static void hear(void *ctx, const struct line_event *e)
{
    struct pair *p = ctx;
    struct latent_frame other;

    if (e->kind == LINE_PROMOTE) {
        p->in_use = !p->in_use;
        p->n_promotions++;
        assert_int_equal(e->what, p->why);
        restore_offline(p, e);
    }
    if (e->kind == LINE_MASK)
        assert_int_equal(latent_decoder_mask(p->offline[p->in_use], e->bytes, e->n_bytes, e->what),
                         0);
    if (e->kind != LINE_ACTION) return;
    act_on(p, p->offline[p->in_use], (enum line_action)e->what, &p->expected);
    copy_expected(p);
    act_on(p, p->decoder[!p->in_use], (enum line_action)e->what, &other);
    if (e->what == LINE_STEP) p->last_value = p->value;
}

static void open_second(struct pair *p, struct model_parts parts)
{
    const struct latent_options options = {.predicts = 1, .any_finite = 1};
    struct file_bytes file = maker_file(&parts);

    p->model[0] = p->rig.model;
    p->info[0] = p->rig.info;
    p->decoder[0] = p->rig.decoder;
    p->own[0] = line_decoder(p->rig.line);
    assert_int_equal(model_open_bytes(&p->model[1], file.bytes, file.n, NULL), 0);
    free(file.bytes);
    latent_model_info(p->model[1], &p->info[1]);
    assert_int_equal(latent_decoder_new(&p->decoder[1], p->model[1], &options, NULL), 0);
    assert_int_equal(line_decoder_new(&p->own[1], p->decoder[1], &p->info[1]), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(latent_decoder_new(&p->offline[i], p->model[i], &options, NULL), 0);
    assert_true(line_add_tap(p->rig.line, (struct line_tap){.on_event = hear, .ctx = p}));
}

static void pair_open(struct pair *p, struct model_parts first, struct model_parts second,
                      const struct line_options *options)
{
    *p = (struct pair){0};
    rig_open(&p->rig, first, NULL, options);
    open_second(p, second);
}

static void pair_close(struct pair *p)
{
    for (int i = 0; i < 2; i++) latent_decoder_free(p->offline[i]);
    rig_close(&p->rig);
    line_decoder_free(p->own[1]);
    latent_decoder_free(p->decoder[1]);
    latent_model_close(p->model[1]);
}

static void promote(struct pair *p, enum line_promotion why)
{
    struct line_decoder *old, *expected = p->own[p->in_use], *next = p->own[!p->in_use];

    p->why = why;
    old = line_promote(p->rig.line, next, why);
    assert_ptr_equal(old, expected);
    assert_ptr_equal(line_decoder(p->rig.line), next);
    assert_int_equal(line_size(p->rig.line), line_size_with(next));
}

static void send(struct pair *p, uint64_t seq, float value)
{
    p->value = value;
    rig_send(&p->rig, 1, seq, 1, value);
}

static uint64_t draw(uint64_t *seed, uint64_t n)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (*seed >> 33) % n;
}

/* ---- each frame ---- */

/* What the last frame that left must be: by whom, and in what it says his. */
static void check_last(struct pair *p, size_t n_before, bool is_first)
{
    const struct kept_frame *k = rig_last(&p->rig);
    const struct latent_frame *v = &k->frame.values;
    bool shows = !(v->flags & (LATENT_SAFE | LATENT_HELD));

    assert_int_equal(p->rig.n_frames, n_before + 1);
    assert_int_equal(k->frame.decoder_id, latent_decoder_id(p->decoder[p->in_use]));
    assert_int_equal(!!(v->flags & LATENT_SWAPPED), is_first);
    if (!shows) return;
    assert_int_equal(v->n_latents, p->info[p->in_use].n_latents);
    assert_memory_equal(k->latents, p->latents, v->n_latents * sizeof *k->latents);
    assert_int_equal(v->n_readout, 2);
    if (!(v->flags & LATENT_LIMITED)) assert_memory_equal(k->readout, p->readout, 8);
}

/* The line's own slew, from frame to frame: of "grip" 25.5 a second; in SAFE and warm-up it goes to
 * neutral at will (test_line_safe). */
static void check_slew(const struct kept_frame *a, const struct kept_frame *b)
{
    double dt_s = (double)(b->frame.t_publish_ns - a->frame.t_publish_ns) / 1e9;
    double most = 25.5 * (dt_s < 0.02 ? dt_s : 0.02);

    if (b->frame.values.flags & (LATENT_SAFE | LATENT_WARMUP)) return;
    if (dt_s >= 0.06) return; /* it had expired */
    if (fabs((double)b->readout[1] - (double)a->readout[1]) > most + 1e-5)
        fail_msg("%g after %g in %g s", (double)b->readout[1], (double)a->readout[1], dt_s);
}

static void mask(struct pair *p, uint8_t bits, uint32_t version)
{
    line_enter(p->rig.line, &(struct line_event){.kind = LINE_MASK,
                                                 .what = version,
                                                 .t_ns = p->rig.now_ns,
                                                 .bytes = &bits,
                                                 .n_bytes = 1});
}

/* Masks stay with the line, whichever decoder it has. */
static void splice_with(struct model_parts second, uint64_t seed)
{
    struct line_options options = rig_options();
    uint64_t seq = 0, n_missing = 0;
    uint32_t version = 0;
    struct pair p;

    options.policy.on_gap = ON_GAP_HOLD_INPUT;
    pair_open(&p, maker_kalman(), second, &options);
    while (p.n_promotions < N_PROMOTIONS) {
        uint64_t n_bins = 1 + draw(&seed, 10), act = draw(&seed, 40);

        promote(&p, (enum line_promotion)draw(&seed, LINE_N_PROMOTIONS));
        if (act == 0) line_reset(p.rig.line);
        if (act == 1) line_safe_on(p.rig.line, p.rig.now_ns);
        if (act == 2) line_safe_off(p.rig.line);
        if (act == 4) mask(&p, (uint8_t)(draw(&seed, 8) & 4), ++version);
        for (uint64_t i = 0; i < n_bins; i++) {
            bool is_first = i == 0 && act != 1;
            size_t n_before = p.rig.n_frames;

            p.rig.now_ns += RIG_BIN_NS;
            send(&p, seq++, (float)draw(&seed, 9));
            check_last(&p, n_before, is_first);
            assert_int_equal(rig_last(&p.rig)->frame.mask_version, version);
            if (n_before) check_slew(rig_last(&p.rig) - 1, rig_last(&p.rig));
        }
        if (act == 3) { /* one does not come: it is filled */
            p.rig.now_ns += 2 * RIG_BIN_NS;
            send(&p, ++seq, 1.0f);
            seq++;
            n_missing++;
        }
    }
    assert_int_equal(rig_counter(&p.rig, FLAGS_FIRST + 8), N_PROMOTIONS); /* SWAPPED */
    assert_int_equal(rig_counter(&p.rig, BINS_DECODED), seq - n_missing);
    assert_int_equal(rig_counter(&p.rig, SEQUENCE_FILLED), n_missing);
    assert_int_equal(rig_counter(&p.rig, SEQUENCE_LOST), n_missing);
    assert_int_equal(rig_counter(&p.rig, FRAMES_PUBLISHED), rig_counter(&p.rig, FRAMES_DUE));
    for (size_t i = 0; i < p.rig.n_frames; i++) assert_int_equal(p.rig.frames[i].frame.pub_seq, i);
    pair_close(&p);
}

static void test_thousand_promotions(void **state)
{
    (void)state;
    splice_with(maker_kalman_1(), 1);
    splice_with(maker_stage(), 2);
    splice_with(maker_kalman(), 3); /* of the same file: the same id */
}

/* ---- what goes on and what does not ---- */

/* A frame that is held shows the readout that consumers have, and nothing of the other decoder's
 * latents under the new id. */
static void test_held_after_promotion(void **state)
{
    const struct kept_frame *before, *held;
    struct pair p;
    (void)state;
    pair_open(&p, maker_kalman(), maker_kalman_1(), NULL);
    for (uint64_t seq = 0; seq < 20; seq++) {
        p.rig.now_ns += RIG_BIN_NS;
        send(&p, seq, 2.0f);
    }
    before = rig_last(&p.rig);
    assert_int_equal(before->frame.values.n_latents, 2);
    promote(&p, PROMOTE_ASKED);
    rig_wait(&p.rig, 60000000);
    held = rig_last(&p.rig);
    assert_ptr_equal(held, before + 1);
    assert_flags(held, LATENT_HELD | LATENT_SWAPPED);
    assert_int_equal(held->frame.values.n_latents, 0);
    assert_int_equal(held->frame.decoder_id, latent_decoder_id(p.decoder[1]));
    rig_wait(&p.rig, RIG_BIN_NS);
    assert_ptr_equal(rig_last(&p.rig), held + 1);
    assert_flags(rig_last(&p.rig), LATENT_HELD);
    p.rig.now_ns += 1;
    send(&p, 20, 2.0f);
    assert_int_equal(rig_last(&p.rig)->frame.values.n_latents, 1);
    pair_close(&p);
}

/* SWAPPED is for consumers: a frame that the socket does not take does not count. */
static void test_swapped_until_sent(void **state)
{
    struct pair p;
    (void)state;
    pair_open(&p, maker_kalman(), maker_kalman_1(), NULL);
    send(&p, 0, 1.0f);
    promote(&p, PROMOTE_ASKED);
    p.rig.answer = -1;
    p.rig.now_ns += RIG_BIN_NS;
    send(&p, 1, 1.0f);
    assert_int_equal(p.rig.n_frames, 1);
    p.rig.answer = 0;
    p.rig.now_ns += RIG_BIN_NS;
    send(&p, 2, 1.0f);
    assert_true(rig_last(&p.rig)->frame.values.flags & LATENT_SWAPPED);
    p.rig.now_ns += RIG_BIN_NS;
    send(&p, 3, 1.0f);
    assert_false(rig_last(&p.rig)->frame.values.flags & LATENT_SWAPPED);
    pair_close(&p);
}

/* ---- snapshots ---- */

/* One of a line after a promotion fits a line that had the promotion, and no other. */
static void test_snapshot(void **state)
{
    unsigned char *buf = malloc(MAX_ENTRY), *again = malloc(MAX_ENTRY);
    struct pair p, q;
    size_t n;
    (void)state;
    pair_open(&p, maker_kalman(), maker_kalman_1(), NULL);
    pair_open(&q, maker_kalman(), maker_kalman_1(), NULL);
    for (uint64_t seq = 0; seq < 5; seq++) send(&p, seq, 2.0f);
    promote(&p, PROMOTE_ASKED);
    n = line_size(p.rig.line);
    assert_int_equal(line_save(p.rig.line, buf, n), 0);
    assert_int_equal(line_load(q.rig.line, buf, n), LATENT_E_SNAPSHOT);
    promote(&q, PROMOTE_ASKED);
    assert_int_equal(line_load(q.rig.line, buf, n), 0);
    assert_int_equal(line_save(q.rig.line, again, n), 0);
    assert_memory_equal(buf, again, n);
    promote(&q, ROLL_BACK_ASKED);
    assert_int_equal(line_load(q.rig.line, buf, n), LATENT_E_SNAPSHOT);
    pair_close(&p);
    pair_close(&q);
    free(buf);
    free(again);
}

/* ---- which may follow ---- */

static void assert_refused(const struct latent_info *now, const struct latent_info *next,
                           const struct line_policy *policy, const char *words)
{
    struct latent_error err = {0};

    assert_int_equal(line_may_follow(now, next, policy, &err), LATENT_E_UNSUPPORTED);
    if (!strstr(err.text, words)) fail_msg("\"%s\" says nothing of %s", err.text, words);
}

static void test_may_follow(void **state)
{
    static const char *const names[] = {"a", "x", "c"};
    const struct line_policy policy = {.on_gap = ON_GAP_PREDICT}, mean = {.on_gap = ON_GAP_MEAN};
    struct latent_readout readout[2];
    struct latent_info now, next;
    struct pair p;
    (void)state;
    pair_open(&p, maker_kalman(), maker_kalman_1(), NULL);
    now = p.info[0];
    assert_int_equal(line_may_follow(&now, &p.info[1], &mean, NULL), 0);
    next = p.info[1], next.n_channels = 4;
    assert_refused(&now, &next, &policy, "channels: expected 3, as in use, found 4");
    next = p.info[1], next.channel_names = names;
    assert_refused(&now, &next, &policy, "name of a channel: expected b, as in use, found x");
    next.channel_names = NULL;
    assert_int_equal(line_may_follow(&now, &next, &policy, NULL), 0);
    next = p.info[1], next.bin_width_us = 10000;
    assert_refused(&now, &next, &policy, "bin width in us: expected 20000, as in use, found 10000");
    next = p.info[1], next.input = LATENT_INPUT_REAL;
    assert_refused(&now, &next, &policy, "kind of input: expected counts, as in use, found real");
    next = p.info[1], next.n_readout = 1;
    assert_refused(&now, &next, &policy, "readouts: expected 2, as in use, found 1");
    next = p.info[1], next.channel_mean = NULL;
    assert_refused(&now, &next, &policy, "none could be masked");
    now.channel_mean = NULL;
    assert_int_equal(line_may_follow(&now, &next, &policy, NULL), 0);
    assert_refused(&now, &next, &mean, "on-gap = mean");
    now = p.info[0];
    next = p.info[1], next.readout = readout;
    memcpy(readout, p.info[1].readout, sizeof readout);
    readout[1].name = "grasp";
    assert_refused(&now, &next, &policy,
                   "name of a readout: expected grip, as in use, found grasp");
    memcpy(readout, p.info[1].readout, sizeof readout);
    readout[0].unit = "cm/s";
    assert_refused(&now, &next, &policy, "unit of a readout: expected mm/s, as in use, found cm/s");
    memcpy(readout, p.info[1].readout, sizeof readout);
    readout[1].neutral = 0.75f;
    assert_refused(&now, &next, &policy, "neutral value of readout grip: expected 0.5");
    memcpy(readout, p.info[1].readout, sizeof readout);
    readout[0].hold = 1;
    assert_refused(&now, &next, &policy,
                   "in SAFE: expected \"neutral\", as in use, found \"hold\"");
    memcpy(readout, p.info[1].readout, sizeof readout);
    readout[0].slew = 3.0f, readout[0].max = 7.0f, next.trial_bins = 5;
    assert_int_equal(line_may_follow(&now, &next, &policy, NULL), 0);
    pair_close(&p);
}

/* ---- labels ---- */

static bool is_frozen(const struct pair *p)
{
    struct latent_normalisation n;

    latent_decoder_normalisation(p->decoder[p->in_use], &n, NULL, NULL);
    return n.frozen;
}

/* What the operator said of the stream's normalisation holds for whatever decodes it. */
static void test_freeze_is_taken_over(void **state)
{
    const uint32_t acts[] = {LATENT_NORMALISE_FREEZE, LATENT_NORMALISE_THAW};
    struct pair p;
    (void)state;
    pair_open(&p, maker_kalman_normalised(), maker_kalman_normalised(), NULL);
    for (uint64_t i = 0; i < 4; i++) {
        line_enter(p.rig.line, &(struct line_event){.kind = LINE_NORMALISE, .what = acts[i % 2]});
        send(&p, i, 1);
        promote(&p, PROMOTE_ASKED);
        assert_int_equal(is_frozen(&p), i % 2 == 0);
    }
    pair_close(&p);
    pair_open(&p, maker_kalman_normalised(), maker_kalman(), NULL);
    line_enter(p.rig.line, &(struct line_event){.kind = LINE_NORMALISE, .what = acts[0]});
    promote(&p, PROMOTE_ASKED); /* to one that has none, and back */
    promote(&p, ROLL_BACK_ASKED);
    assert_true(is_frozen(&p));
    pair_close(&p);
}

static void test_label_damaged(void **state)
{
    unsigned char bytes[sizeof(struct label) + 64];
    struct label label, again;
    struct pair p;
    size_t n, n_read;
    (void)state;
    pair_open(&p, maker_kalman(), maker_kalman_1(), NULL);
    label_of(&label, p.decoder[1], &p.info[1]);
    n = label_size(&label);
    label_write(&label, bytes);
    assert_true(label_read(&again, bytes, n, &n_read));
    assert_int_equal(n_read, n);
    assert_memory_equal(&again, &label, sizeof label);
    for (size_t cut = 0; cut < n; cut++) assert_false(label_read(&again, bytes, cut, &n_read));
    for (size_t i = 0; i < n; i++)
        for (unsigned bits = 1; bits < 256; bits = bits * 5 + 1) {
            bytes[i] ^= (unsigned char)bits;
            if (label_read(&again, bytes, n, &n_read)) assert_true(n_read <= n);
            bytes[i] ^= (unsigned char)bits;
        }
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thousand_promotions),  cmocka_unit_test(test_held_after_promotion),
        cmocka_unit_test(test_swapped_until_sent),   cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_may_follow),           cmocka_unit_test(test_label_damaged),
        cmocka_unit_test(test_freeze_is_taken_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A line as bytes: what is not whole, of another line or forged is refused, or is another state to
 * go on from; formats of before are read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/serial.h"
#include "line_fixture.h"

enum { LINE_HEAD = 36, DECODER_HEAD = 64 }; /* of a snapshot's parts */
enum { MAX_SNAPSHOT = 1 << 20 };

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

static struct line_options full_options(void)
{
    struct line_options options = rig_options();

    options.policy = (struct line_policy){.missing_after_ns = 60000000,
                                          .lease_ns = 200000000,
                                          .max_age_ns = 6000000,
                                          .safe_ramp_ns = 100000000};
    return options;
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

/* Of each format that is still read: the last bytes of the newest that it does not have. */
enum {
    N_STILL = 8,
    N_TRUST = 6 * 8 + 4,
    N_SWAPPED = 1,
    N_CELLS = (SOURCE_CLOCK_CELLS + SOURCE_CLOCK_SPANS) * 32,
    N_ENDED = 17,
    N_CLOCK = 3 + 4 * 4 + 13 * 8 + N_CELLS + N_ENDED,
    N_RULES = 7 * 8 + 5 * 4
};

/* The cells of the source's clock are all alike: the first, the last and one of them will do. */
static bool is_among_alike(size_t i, size_t n_line)
{
    size_t first = n_line - N_RULES - N_ENDED - N_CELLS, cell = (i - first) / 32;

    return i >= first && i < n_line - N_RULES - N_ENDED && cell > 0 && cell < N_CELLS / 32 - 1 &&
           cell != SOURCE_CLOCK_CELLS;
}

/* Every byte with other bits and checks that fit: refused, or another state to go on from. What is
 * accepted is written as it was read. */
static void flip_every_byte(struct model_parts parts, const char *mode)
{
    const struct line_options options = full_options();
    unsigned char *buf = malloc(MAX_SNAPSHOT), *again = malloc(MAX_SNAPSHOT);
    size_t n, n_line, n_accepted = 0;
    struct rig l;

    rig_open(&l, parts, mode, &options);
    rig_send(&l, 1, 5, 3, 1.0f);
    n = line_size(l.line);
    n_line = n - latent_decoder_size(l.decoder);
    assert_int_equal(line_save(l.line, buf, n), 0);
    for (size_t i = 0; i < n; i++) {
        if (is_among_alike(i, n_line)) continue;
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
    }
    assert_true(n_accepted > 100); /* epochs, numbers, times: any can be */
    mend(buf, n_line, n);
    for (size_t cut = 0; cut < n; cut++)
        assert_int_equal(line_load(l.line, buf, cut), LATENT_E_SNAPSHOT);
    rig_close(&l);
    free(buf);
    free(again);
}

/* A snapshot as `format` had it, without the last n_new bytes of the line's fields and the rules:
 * they begin anew, and the rules are the line's. */
static void check_older(uint32_t format, size_t n_anew)
{
    const size_t n_new = n_anew + N_RULES;
    const struct line_options options = full_options();
    unsigned char *buf = malloc(MAX_SNAPSHOT), *again = malloc(MAX_SNAPSHOT),
                  zeros[N_CLOCK + N_RULES + 64] = {0}, rules[N_RULES];
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
    assert_memory_not_equal(buf + n_line - n_new, zeros, n_anew ? n_anew : N_RULES);
    memcpy(rules, buf + n_line - N_RULES, N_RULES);
    memmove(buf + n_line - n_new, buf + n_line, n - n_line);
    n_bytes = n - n_new;
    memcpy(buf + 8, &format, 4);
    memcpy(buf + 20, &n_bytes, 8);
    mend(buf, n_line - n_new, n - n_new);
    assert_int_equal(line_load(l.line, buf, n - n_new - 1), LATENT_E_SNAPSHOT);
    assert_int_equal(line_load(l.line, buf, n - n_new), 0);
    assert_int_equal(line_save(l.line, again, n), 0);
    assert_memory_equal(again + LINE_HEAD, buf + LINE_HEAD, n_line - n_new - LINE_HEAD);
    assert_memory_equal(again + n_line - n_new, zeros, n_anew);
    assert_memory_equal(again + n_line - N_RULES, rules, N_RULES);
    rig_close(&l);
    line_decoder_free(seat);
    free(buf);
    free(again);
}

static void test_older_formats(void **state)
{
    (void)state;
    check_older(2, N_STILL + N_TRUST + N_SWAPPED + N_CLOCK); /* without the count of equal bins */
    check_older(3, N_TRUST + N_SWAPPED + N_CLOCK);           /* without whose messages they are */
    check_older(4, N_SWAPPED + N_CLOCK);                     /* without promotions */
    check_older(5, N_CLOCK);                                 /* without the source's clock */
    check_older(6, 0);                                       /* without the rules */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshot_refused),
        cmocka_unit_test(test_older_formats),
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_open_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Bins on the wire, damaged or hostile: always a named refusal, never a wrong answer. */
#include "wire_fixture.h"

/* Same sequence everywhere: an error found by mutation can be found again. */
static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static enum wire_refusal unpack(size_t n, struct wire_bins *out)
{
    struct wire_arena arena = arena_of(n);
    enum wire_refusal refusal = wire_unpack_bins(&arena, packet, n, out);

    assert_true(arena.used <= arena.size);
    return refusal;
}

static void test_messages_refused(void **state)
{
    static const struct {
        uint32_t n_channels;
        int encoding;
        size_t n_bins;
        enum wire_refusal refusal;
    } cases[] = {
        {4, 0, 0, WIRE_REFUSED_FORMAT},
        {4, 0, WIRE_MAX_BINS + 1, WIRE_REFUSED_FORMAT},
        {4, 4, 1, WIRE_REFUSED_FORMAT},
        {4, -1, 1, WIRE_REFUSED_FORMAT},
        {4, INT32_MAX, 1, WIRE_REFUSED_FORMAT},
        {0, 0, 1, WIRE_REFUSED_SHAPE},
        {WIRE_MAX_CHANNELS + 1, 0, 1, WIRE_REFUSED_SHAPE},
        {UINT32_MAX, LATENT__V1__ENCODING__PAIRS, 1, WIRE_REFUSED_SHAPE},
        {4, 0, WIRE_MAX_BINS, WIRE_OK},
    };
    struct wire_bins out;

    (void)state;
    assert_int_equal(unpack(0, &out), WIRE_REFUSED_LENGTH);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n =
            pack_message(cases[i].n_channels, cases[i].encoding, cases[i].n_bins, "\1\2\3\4", 4);

        assert_int_equal(unpack(n, &out), cases[i].refusal);
    }
    memset(packet, 0xFF, 1000);
    assert_int_equal(unpack(1000, &out), WIRE_REFUSED_FORMAT);
}

/* As many silent bins as allowed fit the arena that their few bytes earn. */
static void test_most_silent_bins(void **state)
{
    struct wire_bins out;
    size_t n = pack_message(9, LATENT__V1__ENCODING__PAIRS, WIRE_MAX_BINS, NULL, 0);
    float decoded[9];

    (void)state;
    assert_int_equal(unpack(n, &out), WIRE_OK);
    assert_int_equal(wire_bin_counts(&out, WIRE_MAX_BINS - 1, decoded), WIRE_OK);
    for (size_t c = 0; c < 9; c++) assert_true(decoded[c] == 0);
}

static void test_bins_refused(void **state)
{
    static const struct {
        int encoding;
        const char *bytes;
        size_t n_bytes;
        enum wire_refusal refusal;
    } cases[] = {
        {LATENT__V1__ENCODING__U8, "\1\2\3\4", 4, WIRE_OK},
        {LATENT__V1__ENCODING__U8, "", 0, WIRE_REFUSED_SHAPE},
        {LATENT__V1__ENCODING__U8, "\1\2\3", 3, WIRE_REFUSED_SHAPE},
        {LATENT__V1__ENCODING__U8, "\1\2\3\4\5", 5, WIRE_REFUSED_SHAPE},
        {LATENT__V1__ENCODING__U16, "\1\2\3\4", 4, WIRE_REFUSED_SHAPE},
        {LATENT__V1__ENCODING__U16, "\1\2\3\4\5\6\7", 7, WIRE_REFUSED_SHAPE},
        {LATENT__V1__ENCODING__F32, "\1\2\3\4", 4, WIRE_REFUSED_SHAPE},
        {LATENT__V1__ENCODING__F32, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xC0\x7F", 16,
         WIRE_REFUSED_VALUE}, /* NaN */
        {LATENT__V1__ENCODING__F32, "\0\0\x80\xFF\0\0\0\0\0\0\0\0\0\0\0\0", 16,
         WIRE_REFUSED_VALUE}, /* -inf */
        {LATENT__V1__ENCODING__PAIRS, "\0\0\1\0\3\0\1\0", 8, WIRE_OK},
        {LATENT__V1__ENCODING__PAIRS, "\0\0\1\0\3\0", 6, WIRE_REFUSED_SHAPE},
        {LATENT__V1__ENCODING__PAIRS, "\4\0\1\0", 4, WIRE_REFUSED_VALUE},
        {LATENT__V1__ENCODING__PAIRS, "\0\1\1\0", 4, WIRE_REFUSED_VALUE},
        {LATENT__V1__ENCODING__PAIRS, "\3\0\1\0\0\0\1\0", 8, WIRE_REFUSED_VALUE},
        {LATENT__V1__ENCODING__PAIRS, "\2\0\1\0\2\0\1\0", 8, WIRE_REFUSED_VALUE},
        {LATENT__V1__ENCODING__PAIRS, "\0\0\1\0\1\0\1\0\2\0\1\0\3\0\1\0\4\0\1\0", 20,
         WIRE_REFUSED_SHAPE},
    };
    struct wire_bins out;
    float decoded[4];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = pack_message(4, cases[i].encoding, 1, cases[i].bytes, cases[i].n_bytes);

        assert_int_equal(unpack(n, &out), WIRE_OK);
        assert_int_equal(wire_bin_counts(&out, 0, decoded), cases[i].refusal);
    }
}

/* The sender's NaN arrives as NaN and is refused there; it never becomes a count. */
static void test_nan_is_refused(void **state)
{
    struct wire_bins head = head_of(1, 16), out;
    float decoded[16];

    (void)state;
    fill(1, 16);
    counts[3] = NAN;
    assert_int_equal(unpack(wire_pack_bins(&head, counts, NULL, NULL, packet, sizeof packet), &out),
                     WIRE_OK);
    assert_int_equal(out.encoding, LATENT__V1__ENCODING__F32);
    assert_int_equal(wire_bin_counts(&out, 0, decoded), WIRE_REFUSED_VALUE);
}

/* Cut anywhere: refused, or, cut exactly between two bins, the bins before the cut. The
 * bins lost that way show as a hole in seq. */
static void test_truncated_everywhere(void **state)
{
    enum { N_BINS = 5, N_CHANNELS = 60 };
    struct wire_bins head = head_of(N_BINS, N_CHANNELS), out;
    const uint32_t marks[N_BINS] = {1, 0, 4, 0, 2};
    float decoded[N_CHANNELS];
    size_t n, n_accepted = 0;

    (void)state;
    for (size_t i = 0; i < N_BINS * N_CHANNELS; i++) counts[i] = (float)(i % 7);
    n = wire_pack_bins(&head, counts, marks, NULL, packet, sizeof packet);
    for (size_t cut = 0; cut < n; cut++) {
        enum wire_refusal refusal = unpack(cut, &out);

        assert_int_equal(cut == 0, refusal == WIRE_REFUSED_LENGTH);
        if (refusal != WIRE_OK) continue;
        assert_in_range(out.n_bins, 1, N_BINS - 1);
        n_accepted++;
        for (size_t i = 0; i < out.n_bins; i++) {
            assert_int_equal(wire_bin_counts(&out, i, decoded), WIRE_OK);
            assert_memory_equal(decoded, counts + i * N_CHANNELS, sizeof decoded);
        }
    }
    assert_int_equal(n_accepted, N_BINS - 1);
}

/* Read all that an accepted message offers: a sanitizer watches. */
static void read_everything(const struct wire_bins *bins, float *decoded)
{
    for (size_t i = 0; i < bins->n_bins; i++) {
        enum wire_refusal refusal = wire_bin_counts(bins, i, decoded);

        if (refusal != WIRE_OK) {
            assert_true(refusal == WIRE_REFUSED_SHAPE || refusal == WIRE_REFUSED_VALUE);
            continue;
        }
        for (size_t c = 0; c < bins->n_channels; c++) assert_true(isfinite(decoded[c]));
    }
}

static void test_mutations(void **state)
{
    enum { N_ITERATIONS = 200000, N_CHANNELS = 24 };
    struct wire_bins head = head_of(3, N_CHANNELS), out;
    uint64_t random = 0x9E3779B97F4A7C15u;
    size_t n_ok = 0, n_refused = 0;
    float *decoded = malloc(WIRE_MAX_CHANNELS * sizeof *decoded);

    (void)state;
    assert_non_null(decoded);
    for (size_t k = 0; k < N_ITERATIONS; k++) {
        size_t n, n_changes = 1 + random_next(&random) % 4;
        /* sparse, small, large, fractional: one encoding each */
        float unit = (const float[]){1, 1, 300, 0.5f}[k % 4];

        for (size_t i = 0; i < 3 * N_CHANNELS; i++)
            counts[i] = k % 4 == 0 ? (float)(i % 20 == 0) : unit * (float)(i % 5);
        n = wire_pack_bins(&head, counts, NULL, NULL, packet, sizeof packet);
        for (size_t i = 0; i < n_changes; i++)
            packet[random_next(&random) % n] = (uint8_t)random_next(&random);
        if (random_next(&random) % 8 == 0) n = 1 + random_next(&random) % n;
        if (unpack(n, &out) == WIRE_OK) {
            read_everything(&out, decoded);
            n_ok++;
        } else {
            n_refused++;
        }
    }
    free(decoded);
    assert_true(n_ok > N_ITERATIONS / 10); /* both ways are really taken */
    assert_true(n_refused > N_ITERATIONS / 10);
}

/* At every arena size: whole, or refused as format; never a byte past its end. */
static void test_arena_exhaustion(void **state)
{
    struct wire_bins head = head_of(40, 20), out;
    struct wire_arena arena = {.bytes = arena_bytes};
    size_t n, n_refused = 0;

    (void)state;
    fill(1, 800);
    n = wire_pack_bins(&head, counts, NULL, NULL, packet, sizeof packet);
    for (arena.size = 0; arena.size <= 16384; arena.size += 8) {
        enum wire_refusal refusal;

        memset(arena_bytes + arena.size, GUARD, 64);
        refusal = wire_unpack_bins(&arena, packet, n, &out);
        for (size_t i = 0; i < 64; i++) assert_int_equal(arena_bytes[arena.size + i], GUARD);
        if (refusal == WIRE_OK) break;
        assert_int_equal(refusal, WIRE_REFUSED_FORMAT);
        n_refused++;
    }
    assert_in_range(n_refused, 100, 2000);
    assert_in_range(arena.size, 1000, 16384);
}

/* A later version's fields are ignored; thousands of them are not worth memory. */
static void test_unknown_fields(void **state)
{
    static const uint8_t field_1000[] = {0xC0, 0x3E, 0x05};
    struct wire_bins head = head_of(1, 12), out;
    size_t n;

    (void)state;
    fill(1, 12);
    n = wire_pack_bins(&head, counts, NULL, NULL, packet, sizeof packet);
    memcpy(packet + n, field_1000, sizeof field_1000);
    assert_int_equal(unpack(n + sizeof field_1000, &out), WIRE_OK);
    assert_int_equal(out.n_channels, 12);
    for (; n + sizeof field_1000 <= sizeof packet; n += sizeof field_1000)
        memcpy(packet + n, field_1000, sizeof field_1000);
    assert_int_equal(unpack(n, &out), WIRE_REFUSED_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_refused),     cmocka_unit_test(test_most_silent_bins),
        cmocka_unit_test(test_bins_refused),         cmocka_unit_test(test_nan_is_refused),
        cmocka_unit_test(test_truncated_everywhere), cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_arena_exhaustion),     cmocka_unit_test(test_unknown_fields),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

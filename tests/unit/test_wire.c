/* Bins on the wire: every encoding both ways, narrowest and exact. */
#include "wire_fixture.h"

/* Pack counts, unpack, compare every value; returns the encoding that was chosen. */
static uint32_t round_trip(size_t n_bins, uint32_t n_channels)
{
    struct wire_bins head = head_of(n_bins, n_channels), out;
    size_t bound = wire_bins_bound(n_bins, n_channels);
    size_t n = wire_pack_bins(&head, counts, NULL, NULL, packet, bound);
    struct wire_arena arena = arena_of(n);
    float decoded[MAX_CHANNELS];

    assert_true(bound <= sizeof packet);
    assert_in_range(n, 1, bound);
    assert_int_equal(wire_unpack_bins(&arena, packet, n, &out), WIRE_OK);
    assert_int_equal(out.n_bins, n_bins);
    assert_int_equal(out.n_channels, n_channels);
    for (size_t i = 0; i < n_bins; i++) {
        assert_int_equal(wire_bin_counts(&out, i, decoded), WIRE_OK);
        for (size_t c = 0; c < n_channels; c++)
            assert_true(decoded[c] == counts[i * n_channels + c]);
    }
    return out.encoding;
}

static void test_narrowest_u8(void **state)
{
    (void)state;
    fill(1, MAX_COUNTS);
    assert_int_equal(round_trip(1, 192), LATENT__V1__ENCODING__U8);
    counts[5] = 255;
    assert_int_equal(round_trip(3, 192), LATENT__V1__ENCODING__U8);
    fill(0, MAX_COUNTS); /* 4 x 2 pairs bytes = 8 channels: equal, the plainer one wins */
    counts[0] = counts[7] = 1;
    assert_int_equal(round_trip(1, 8), LATENT__V1__ENCODING__U8);
    fill(255, MAX_COUNTS);
    assert_int_equal(round_trip(1, 1), LATENT__V1__ENCODING__U8);
}

static void test_narrowest_pairs(void **state)
{
    (void)state;
    fill(0, MAX_COUNTS); /* silent: not one byte of counts */
    assert_int_equal(round_trip(1, 192), LATENT__V1__ENCODING__PAIRS);
    assert_int_equal(round_trip(8, 256), LATENT__V1__ENCODING__PAIRS);
    counts[0] = 1;
    counts[100] = 65535;
    counts[191] = 300;
    assert_int_equal(round_trip(1, 192), LATENT__V1__ENCODING__PAIRS);
    assert_int_equal(round_trip(2, 192), LATENT__V1__ENCODING__PAIRS);
}

static void test_narrowest_u16(void **state)
{
    (void)state;
    fill(3, MAX_COUNTS);
    counts[11] = 256; /* what one byte cannot hold must not saturate */
    assert_int_equal(round_trip(1, 192), LATENT__V1__ENCODING__U16);
    counts[200] = 65535;
    assert_int_equal(round_trip(2, 192), LATENT__V1__ENCODING__U16);
}

static void test_narrowest_f32(void **state)
{
    static const float values[] = {65536, 1e30f, -1, 0.5f, 1e-30f, -65536, 16777216};

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        fill(0, MAX_COUNTS);
        counts[40] = values[i];
        assert_int_equal(round_trip(1, 192), LATENT__V1__ENCODING__F32);
        assert_int_equal(round_trip(4, 33), LATENT__V1__ENCODING__F32);
    }
}

static void test_head_marks_events(void **state)
{
    const uint32_t marks[3] = {LATENT_MARK_TRIAL_START, 0, UINT32_MAX};
    const uint64_t events[3] = {0, UINT64_MAX, 5};
    struct wire_bins head = head_of(3, 10), out;
    struct wire_arena arena;
    size_t n;

    (void)state;
    fill(2, 30);
    n = wire_pack_bins(&head, counts, marks, events, packet, sizeof packet);
    arena = arena_of(n);
    assert_int_equal(wire_unpack_bins(&arena, packet, n, &out), WIRE_OK);
    assert_int_equal(out.epoch, 7);
    assert_int_equal(out.seq, 1000);
    assert_int_equal(out.t_source_ns, 123456789);
    assert_int_equal(out.bin_width_us, 20000);
    for (size_t i = 0; i < 3; i++) {
        struct wire_bin bin;

        wire_bin_at(&out, i, &bin);
        assert_int_equal(bin.marks, marks[i]);
        assert_int_equal(bin.event_id, events[i]);
        assert_int_equal(bin.n_bytes, 10);
    }
}

static void test_same_bytes_as_protobuf(void **state)
{
    static uint8_t ours[sizeof packet];
    struct wire_bins head = head_of(5, 200);
    uint8_t bytes[200];
    size_t n;

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i + 1);
    n = pack_message(200, LATENT__V1__ENCODING__U8, 5, bytes, sizeof bytes);
    for (size_t i = 0; i < 1000; i++) counts[i] = (float)bytes[i % 200];
    assert_int_equal(wire_pack_bins(&head, counts, NULL, NULL, ours, sizeof ours), n);
    assert_memory_equal(ours, packet, n);
}

static void test_pack_never_exceeds_cap(void **state)
{
    const uint32_t marks[4] = {1, 2, 3, 4};
    const uint64_t events[4] = {1, 2, 3, 4};
    struct wire_bins head = head_of(4, 50);
    size_t n;

    (void)state;
    fill(0.25f, 200);
    n = wire_pack_bins(&head, counts, marks, events, packet, sizeof packet);
    assert_in_range(n, 800, wire_bins_bound(4, 50));
    for (size_t cap = 0; cap < n; cap++) {
        memset(packet, GUARD, n);
        assert_int_equal(wire_pack_bins(&head, counts, marks, events, packet, cap), 0);
        for (size_t i = cap; i < n; i++) assert_int_equal(packet[i], GUARD);
    }
    assert_int_equal(wire_pack_bins(&head, counts, marks, events, packet, n), n);
}

/* Who sends a message at another time takes its clock_id out, and nothing else. */
static void test_drop_clock_id(void **state)
{
    struct wire_bins head = head_of(8, 3), out;
    struct wire_arena arena = arena_of(sizeof packet);
    uint8_t plain[4096], garbage[] = {0x41, 1, 2, 3}, without[sizeof packet];
    size_t n_plain, n;

    (void)state;
    for (size_t i = 0; i < 24; i++) counts[i] = (float)(i % 5);
    n_plain = wire_pack_bins(&head, counts, NULL, NULL, plain, sizeof plain);
    head.clock_id = UINT64_MAX;
    n = wire_pack_bins(&head, counts, NULL, NULL, packet, sizeof packet);
    assert_int_equal(wire_unpack_bins(&arena, packet, n, &out), WIRE_OK);
    assert_true(out.clock_id == UINT64_MAX);
    assert_int_equal(n, n_plain + 9);
    assert_int_equal(wire_drop_clock_id(packet, n, without), n_plain);
    assert_memory_equal(without, plain, n_plain);
    for (size_t cut = 0; cut < n; cut++)
        assert_true(wire_drop_clock_id(packet, cut, without) <= cut);
    memset(packet, 0xff, 64);
    assert_int_equal(wire_drop_clock_id(packet, 64, without), 64);
    assert_memory_equal(without, packet, 64);
    assert_int_equal(wire_drop_clock_id(garbage, sizeof garbage, without), sizeof garbage);
}

/* The bound holds where every varint and every optional field is as long as it can be. */
static void test_bound_of_largest_values(void **state)
{
    uint32_t marks[8];
    uint64_t events[8];
    struct wire_bins head = {.epoch = UINT64_MAX,
                             .seq = UINT64_MAX,
                             .t_source_ns = UINT64_MAX,
                             .bin_width_us = UINT32_MAX,
                             .n_channels = 256,
                             .n_bins = 8,
                             .clock_id = UINT64_MAX};

    (void)state;
    memset(marks, 255, sizeof marks);
    memset(events, 255, sizeof events);
    fill(-0.5f, MAX_COUNTS);
    assert_in_range(wire_pack_bins(&head, counts, marks, events, packet, wire_bins_bound(8, 256)),
                    8 * 256 * 4, wire_bins_bound(8, 256));
}

static void test_pack_refuses_empty_and_huge(void **state)
{
    static const struct {
        size_t n_bins;
        uint32_t n_channels;
    } bad[] = {{0, 10}, {WIRE_MAX_BINS + 1, 1}, {1, 0}, {1, WIRE_MAX_CHANNELS + 1}};

    (void)state;
    fill(1, MAX_COUNTS);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct wire_bins head = head_of(bad[i].n_bins, bad[i].n_channels);

        assert_int_equal(wire_pack_bins(&head, counts, NULL, NULL, packet, sizeof packet), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_narrowest_u8),
        cmocka_unit_test(test_narrowest_pairs),
        cmocka_unit_test(test_narrowest_u16),
        cmocka_unit_test(test_narrowest_f32),
        cmocka_unit_test(test_head_marks_events),
        cmocka_unit_test(test_same_bytes_as_protobuf),
        cmocka_unit_test(test_pack_never_exceeds_cap),
        cmocka_unit_test(test_drop_clock_id),
        cmocka_unit_test(test_bound_of_largest_values),
        cmocka_unit_test(test_pack_refuses_empty_and_huge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

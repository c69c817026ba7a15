/* Frames and truth on the wire, and the promise that nothing there takes memory. */
#include "wire_fixture.h"

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COUNTS_ALLOCATIONS 1
/* Defined and visible here, these are used by every library of the process. */
#define VISIBLE __attribute__((visibility("default")))
static size_t n_allocations;
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

VISIBLE void *malloc(size_t n)
{
    n_allocations++;
    return __libc_malloc(n);
}

VISIBLE void *calloc(size_t n, size_t size)
{
    n_allocations++;
    return __libc_calloc(n, size);
}

VISIBLE void *realloc(void *p, size_t n)
{
    n_allocations++;
    return __libc_realloc(p, n);
}
#endif

#define N_VALUES 300
static float values[N_VALUES];

static struct wire_frame frame_of(uint32_t n_latents, uint32_t n_rates, uint32_t n_readout)
{
    for (size_t i = 0; i < N_VALUES; i++) values[i] = (float)i * 0.37f - 5.0f;
    return (struct wire_frame){.epoch = 1,
                               .seq = 2,
                               .pub_seq = 3,
                               .t_source_ns = 4,
                               .t_recv_ns = 5,
                               .t_publish_ns = 6,
                               .clock_id = 0xFEDCBA9876543210,
                               .age_ns = -8,
                               .budget_left_ns = INT64_MIN,
                               .valid_for_ns = 10,
                               .decoder_id = UINT64_MAX,
                               .event_id = 12,
                               .mask_version = 13,
                               .marks = LATENT_MARK_TRIAL_END,
                               .values = {.flags = LATENT_LATE | LATENT_AGE_UNKNOWN,
                                          .n_latents = n_latents,
                                          .n_rates = n_rates,
                                          .n_readout = n_readout,
                                          .latents = values,
                                          .rates = values + 100,
                                          .readout = values + 200,
                                          .n_logits = n_rates / 2,
                                          .logits = values + 30}};
}

static void assert_group_equal(uint32_t n, const float *a, uint32_t n_expected,
                               const float *expected)
{
    assert_int_equal(n, n_expected);
    if (n) assert_memory_equal(a, expected, n * sizeof *a);
}

static void assert_frame_equal(const struct wire_frame *a, const struct wire_frame *b)
{
    assert_int_equal(a->epoch, b->epoch);
    assert_int_equal(a->seq, b->seq);
    assert_int_equal(a->pub_seq, b->pub_seq);
    assert_int_equal(a->t_source_ns, b->t_source_ns);
    assert_int_equal(a->t_recv_ns, b->t_recv_ns);
    assert_int_equal(a->t_publish_ns, b->t_publish_ns);
    assert_int_equal(a->clock_id, b->clock_id);
    assert_true(a->age_ns == b->age_ns);
    assert_true(a->budget_left_ns == b->budget_left_ns);
    assert_int_equal(a->valid_for_ns, b->valid_for_ns);
    assert_int_equal(a->decoder_id, b->decoder_id);
    assert_int_equal(a->event_id, b->event_id);
    assert_int_equal(a->mask_version, b->mask_version);
    assert_int_equal(a->marks, b->marks);
    assert_int_equal(a->values.flags, b->values.flags);
    assert_group_equal(a->values.n_latents, a->values.latents, b->values.n_latents,
                       b->values.latents);
    assert_group_equal(a->values.n_rates, a->values.rates, b->values.n_rates, b->values.rates);
    assert_group_equal(a->values.n_readout, a->values.readout, b->values.n_readout,
                       b->values.readout);
    assert_group_equal(a->values.n_logits, a->values.logits, b->values.n_logits, b->values.logits);
}

static void test_frame_round_trip(void **state)
{
    static const uint32_t sizes[][3] = {
        {3, 50, 2}, {0, 0, 0}, {100, 0, 0}, {0, 0, 100}, {0, 100, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct wire_frame in = frame_of(sizes[i][0], sizes[i][1], sizes[i][2]), out;
        size_t bound = wire_frame_bound(sizes[i][0] + sizes[i][1] + sizes[i][2] + sizes[i][1] / 2);
        size_t n = wire_pack_frame(&in, packet, bound);
        struct wire_arena arena = arena_of(n);

        assert_in_range(n, 1, bound);
        assert_int_equal(wire_unpack_frame(&arena, packet, n, &out), 0);
        assert_frame_equal(&out, &in);
    }
}

static void test_frame_never_exceeds_cap(void **state)
{
    struct wire_frame in = frame_of(5, 5, 5);
    size_t n = wire_pack_frame(&in, packet, sizeof packet);

    (void)state;
    assert_true(n > 60);
    for (size_t cap = 0; cap < n; cap++) {
        memset(packet, GUARD, n);
        assert_int_equal(wire_pack_frame(&in, packet, cap), 0);
        for (size_t i = 0; i < n; i++) assert_int_equal(packet[i], GUARD);
    }
    assert_int_equal(wire_pack_frame(&in, packet, n), n);
}

/* The bound holds where every field is as long as it can be. */
static void test_frame_bound_of_largest_values(void **state)
{
    struct wire_frame in = frame_of(100, 100, 100);

    (void)state;
    in.mask_version = UINT32_MAX;
    in.marks = UINT32_MAX;
    in.values.flags = UINT32_MAX;
    in.normalise_version = UINT32_MAX;
    assert_in_range(wire_pack_frame(&in, packet, wire_frame_bound(350)), 1400,
                    wire_frame_bound(350));
}

/* Cut anywhere: refused, or a group is whole or absent, so that its size tells. */
static void test_frame_truncated_everywhere(void **state)
{
    struct wire_frame in = frame_of(7, 9, 2), out;
    size_t n = wire_pack_frame(&in, packet, sizeof packet), n_accepted = 0;

    (void)state;
    for (size_t cut = 0; cut < n; cut++) {
        struct wire_arena arena = arena_of(cut);

        if (wire_unpack_frame(&arena, packet, cut, &out)) continue;
        n_accepted++;
        assert_true(out.values.n_latents == 0 || out.values.n_latents == 7);
        assert_true(out.values.n_rates == 0 || out.values.n_rates == 9);
        assert_true(out.values.n_readout == 0 || out.values.n_readout == 2);
        assert_true(out.values.n_logits == 0 || out.values.n_logits == 4);
    }
    assert_true(n_accepted <= 19); /* cuts between two of the 19 fields */
}

static void test_frame_arena_exhaustion(void **state)
{
    struct wire_frame in = frame_of(50, 50, 50), out;
    struct wire_arena arena = {.bytes = arena_bytes};
    size_t n = wire_pack_frame(&in, packet, sizeof packet), n_refused = 0;

    (void)state;
    for (arena.size = 0; arena.size < 8192; arena.size += 8) {
        if (!wire_unpack_frame(&arena, packet, n, &out)) break;
        n_refused++;
    }
    assert_in_range(n_refused, 75, 1000);
    assert_frame_equal(&out, &in);
}

static void test_truth_round_trip(void **state)
{
    struct wire_truth in = {1, 2, 3, 3, 50, 2, values, values + 100, values + 200};
    size_t n = wire_pack_truth(&in, packet, wire_frame_bound(55));
    Latent__V1__Truth *out;

    (void)state;
    assert_true(n > 0);
    for (size_t cap = 0; cap < n; cap++) assert_int_equal(wire_pack_truth(&in, packet, cap), 0);
    assert_int_equal(wire_pack_truth(&in, packet, n), n);
    out = latent__v1__truth__unpack(NULL, n, packet);
    assert_non_null(out);
    assert_int_equal(out->epoch, 1);
    assert_int_equal(out->seq, 2);
    assert_int_equal(out->t_source_ns, 3);
    assert_group_equal((uint32_t)out->n_latents, out->latents, 3, in.latents);
    assert_group_equal((uint32_t)out->n_rates, out->rates, 50, in.rates);
    assert_group_equal((uint32_t)out->n_readout, out->readout, 2, in.readout);
    latent__v1__truth__free_unpacked(out, NULL);
}

/* A trip through everything a data loop calls. */
static void wire_work(const struct wire_frame *frame, float *decoded)
{
    struct wire_bins head = head_of(4, 200), bins;
    struct wire_truth truth = {1, 2, 3, 3, 50, 2, values, values + 100, values + 200};
    struct wire_frame out;
    size_t n = wire_pack_bins(&head, counts, NULL, NULL, packet, sizeof packet);
    struct wire_arena arena = arena_of(n);

    assert_int_equal(wire_unpack_bins(&arena, packet, n, &bins), WIRE_OK);
    for (size_t i = 0; i < bins.n_bins; i++)
        assert_int_equal(wire_bin_counts(&bins, i, decoded), WIRE_OK);
    assert_int_not_equal(wire_unpack_bins(&arena, packet, n - 1, &bins), WIRE_OK);
    n = wire_pack_frame(frame, packet, sizeof packet);
    assert_int_equal(wire_unpack_frame(&arena, packet, n, &out), 0);
    assert_int_not_equal(wire_pack_truth(&truth, packet, sizeof packet), 0);
}

static void test_no_allocations(void **state)
{
#ifdef COUNTS_ALLOCATIONS
    struct wire_frame frame = frame_of(100, 100, 2);
    float decoded[200];
    size_t before;
    size_t n = wire_pack_frame(&frame, packet, sizeof packet);

    (void)state;
    before = n_allocations; /* with its own allocator protobuf-c is seen to allocate */
    latent__v1__frame__free_unpacked(latent__v1__frame__unpack(NULL, n, packet), NULL);
    assert_true(n_allocations >= before + 4);
    for (size_t i = 0; i < MAX_COUNTS; i++) counts[i] = (float)(i % 3);
    before = n_allocations;
    for (size_t k = 0; k < 100; k++) {
        counts[0] = (const float[]){0, 1, 300, 0.5f}[k % 4];
        wire_work(&frame, decoded);
    }
    assert_int_equal(n_allocations, before);
#else
    (void)state;
    print_message("not counted under a sanitizer, which owns malloc\n");
    wire_work(&(struct wire_frame){.seq = 1}, (float[200]){0});
#endif
}

static void test_refusal_names(void **state)
{
    (void)state;
    assert_string_equal(wire_refusal_name(WIRE_OK), "ok");
    assert_string_equal(wire_refusal_name(WIRE_REFUSED_LENGTH), "length");
    assert_string_equal(wire_refusal_name(WIRE_REFUSED_FORMAT), "format");
    assert_string_equal(wire_refusal_name(WIRE_REFUSED_SHAPE), "shape");
    assert_string_equal(wire_refusal_name(WIRE_REFUSED_SEQUENCE), "sequence");
    assert_string_equal(wire_refusal_name(WIRE_REFUSED_VALUE), "value");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_round_trip),
        cmocka_unit_test(test_frame_never_exceeds_cap),
        cmocka_unit_test(test_frame_bound_of_largest_values),
        cmocka_unit_test(test_frame_truncated_everywhere),
        cmocka_unit_test(test_frame_arena_exhaustion),
        cmocka_unit_test(test_truth_round_trip),
        cmocka_unit_test(test_no_allocations),
        cmocka_unit_test(test_refusal_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

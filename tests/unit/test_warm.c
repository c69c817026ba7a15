/* When the data loop reads a model into the caches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "latentd/stream.h"
#include "latentd/warm.h"
#include "model_maker.h"

#define MS 1000000u

struct streams {
    struct conf_stream_section sections[2];
    struct stream streams[2], *list[2];
    struct engine engines[2];
};

/* Two streams with bins of 20 ms whose last message came at these times. */
static void streams_init(struct streams *s, uint64_t warm_ns, uint64_t first_ns, uint64_t second_ns)
{
    *s = (struct streams){0};
    for (int i = 0; i < 2; i++) {
        s->sections[i].values.warm_ns = warm_ns;
        s->streams[i] = (struct stream){
            .conf = &s->sections[i], .bin_ns = 20 * MS, .recv_ns = i ? second_ns : first_ns};
        s->streams[i].in_line = &s->engines[i];
        s->list[i] = &s->streams[i];
    }
}

static void test_due(void **state)
{
    (void)state;
    struct streams s;
    streams_init(&s, 3 * MS, 1000 * MS, 0); /* the second has had no message */
    assert_false(warm_is_due(s.list[0], 1017 * MS - 1));
    assert_true(warm_is_due(s.list[0], 1017 * MS));
    assert_true(warm_is_due(s.list[0], 1020 * MS - 1));
    assert_false(warm_is_due(s.list[0], 1020 * MS)); /* the bin is there, or late */
    assert_false(warm_is_due(s.list[1], 1017 * MS));
    assert_int_equal(warm_next_ns(s.list, 2, 1000 * MS), 1017 * MS);
    assert_int_equal(warm_next_ns(s.list, 2, 1018 * MS), 1018 * MS);
    assert_true(warm_next_ns(s.list, 2, 1020 * MS) == UINT64_MAX);
}

/* Once for each bin, and each stream for itself. */
static void test_once(void **state)
{
    (void)state;
    struct streams s;
    struct model_parts parts = maker_gru();
    struct file_bytes file = maker_file(&parts);
    latent_model *m;
    assert_int_equal(model_open_bytes(&m, file.bytes, file.n, NULL), 0);
    streams_init(&s, 3 * MS, 1000 * MS, 1002 * MS);
    for (int i = 0; i < 2; i++)
        assert_int_equal(latent_decoder_new(&s.engines[i].decoder, m, NULL, NULL), 0);

    warm_streams(s.list, 2, 1018 * MS);
    assert_false(warm_is_due(s.list[0], 1018 * MS));
    assert_int_equal(warm_next_ns(s.list, 2, 1018 * MS), 1019 * MS);
    warm_streams(s.list, 2, 1019 * MS);
    assert_true(warm_next_ns(s.list, 2, 1019 * MS) == UINT64_MAX);
    s.streams[0].recv_ns = 1020 * MS;
    assert_int_equal(warm_next_ns(s.list, 2, 1020 * MS), 1037 * MS);

    for (int i = 0; i < 2; i++) latent_decoder_free(s.engines[i].decoder);
    latent_model_close(m);
    free(file.bytes);
}

/* Not before the message that it follows. */
static void test_at_most_a_bin(void **state)
{
    (void)state;
    struct streams s;
    streams_init(&s, 5000000000u, 1000 * MS, 0);
    assert_true(warm_is_due(s.list[0], 1000 * MS));
    assert_false(warm_is_due(s.list[0], 1020 * MS));
}

static void test_off(void **state)
{
    (void)state;
    struct streams s;
    streams_init(&s, 0, 1000 * MS, 1000 * MS);
    assert_false(warm_is_due(s.list[0], 1019 * MS));
    assert_true(warm_next_ns(s.list, 2, 1000 * MS) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_due),
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_at_most_a_bin),
        cmocka_unit_test(test_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

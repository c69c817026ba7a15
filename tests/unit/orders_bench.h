/* Two lines whose orders come through one struct orders, on a clock that counts. */
#ifndef ORDERS_BENCH_H
#define ORDERS_BENCH_H

#include <semaphore.h>
#include <stdatomic.h>

#include "feed/orders.h"
#include "model_maker.h"
#include "wire.h"

enum { N_LINES = 2, MAX_HEARD = 256, BIN_NS = 20000000 };

struct heard {
    enum line_event_kind kind[MAX_HEARD];
    uint64_t t_ns[MAX_HEARD];
    size_t n, n_removed; /* n: of the first MAX_HEARD */
    size_t n_of[LINE_N_EVENTS];
    enum line_event_kind last_safe;
};

struct bench {
    latent_model *model;
    struct latent_info info;
    latent_decoder *decoder[N_LINES], *spare;
    struct line_decoder *next; /* around the spare decoder */
    struct line *line[N_LINES];
    struct heard heard[N_LINES];
    struct orders *orders;
    struct asked {
        struct line_decoder *old;
        _Atomic int answer; /* enum promotion_answer */
        _Atomic uint64_t n_asked, n_done;
    } asked;
    uint64_t now_ns, seq[N_LINES];
    _Atomic unsigned n_wakes;
    sem_t work;
};

int bench_open(void **state);
int bench_close(void **state);
/* One message of one bin, and its step; orders are taken before both. */
void send_bin(struct bench *b, size_t i);
void send_marks(struct bench *b, size_t i, uint32_t marks);
enum line_state state_of(struct bench *b, size_t i);
/* The state of the order, and whether it has a time. */
void assert_order(const struct order *order, enum order_state expected);
/* The first entries that the tap heard. */
void assert_heard(const struct heard *h, size_t n, const enum line_event_kind *expected);
/* Of a tap whose ctx is a struct heard. */
void hear(void *ctx, const struct line_event *event);
void hear_removed(void *ctx);
/* Sleeps unless there is work, as a data loop does: a wake that is lost ends the test by its
 * time. */
void *run_data_thread(void *ctx);
void wait_done(const struct order *order);

#endif

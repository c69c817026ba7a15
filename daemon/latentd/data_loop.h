/* A thread with an event loop: it owns the sockets and the lines of its streams.
 *
 * After data_loop_start the streams, inputs and outputs belong to the thread; the control thread
 * may only read their atomic counters, post orders and call data_loop_stop. */
#ifndef LATENTD_DATA_LOOP_H
#define LATENTD_DATA_LOOP_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/thread.h"
#include "base/trail.h"
#include "feed/orders.h"
#include "latentd/input.h"
#include "latentd/output.h"

#define DATA_LOOP_TICK_NS UINT64_C(1000000000) /* it turns at least as often: NAME/info is due */
#define DATA_LOOP_MAX_NAME 16 /* with the zero: what the system keeps of a thread's name */

struct data_loop {
    char name[DATA_LOOP_MAX_NAME]; /* data-NAME */
    struct stream **streams;       /* [n_streams], its own list of them */
    struct input *inputs;          /* [n_inputs] */
    struct output *outputs;        /* [n_outputs] */
    size_t n_streams, n_inputs, n_outputs;
    struct thread_wish wish; /* of the thread; checked before data_loop_start */
    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t info_timer;
    int timer_fd;            /* absolute: frames that are due though no bin comes */
    uint64_t timer_armed_ns; /* UINT64_MAX: not */
    uv_poll_t timer;
    uv_prepare_t before_sleep; /* arms the timer, ends a loop at rest */
    uv_idle_t more;            /* active while there is something left to do */
    size_t turn;               /* of the inputs: whose step is next */
    pthread_t thread;
    sem_t is_running;
    struct orders *orders;
    _Atomic uint64_t n_turns; /* of the loop, by its thread */
    _Atomic bool has_ended;   /* by its thread, at its end */
    uint64_t n_turns_told;    /* when the watchdog was last told; the control thread's */
    struct trail spans;       /* for whom it worked when: struct why_span */
    uint64_t t_turn_ns;       /* the end of the last of them, or its wake */
    int thread_id;            /* as the system knows it, once it has started */
    bool loop_is_open, is_prepared, thread_is_started, is_stop_posted;
};

/* Open the sockets that the streams need, in context. streams are those of this loop; the list is
 * copied. On error a text; data_loop_close of *out is due in both cases. */
int data_loop_open(struct data_loop **out, const char *name, struct stream *const *streams,
                   size_t n_streams, void *context, struct latent_error *err);
/* What its thread watches is opened; data_loop_start does it where it was not. */
int data_loop_prepare(struct data_loop *l, struct latent_error *err);
/* Start the thread as its wish says and wait until it listens. */
int data_loop_start(struct data_loop *l, struct latent_error *err);
/* How often it has turned; from any thread. One that hangs in a step does not. */
uint64_t data_loop_turns(const struct data_loop *l);
/* Order it to lead each stream to SAFE, which takes as long as its ramp, and to end. */
void data_loop_post_stop(struct data_loop *l);
/* The same, unless it was ordered before, and wait for the end of its thread. */
void data_loop_stop(struct data_loop *l);
/* Has its thread nothing left to do? data_loop_stop does not wait then. */
bool data_loop_has_ended(const struct data_loop *l);
/* Stopped, if it was not. It is freed; NULL is allowed. is_waited_for: its endpoints can be bound
 * again when this returns. */
void data_loop_close(struct data_loop *l, bool is_waited_for);

#endif

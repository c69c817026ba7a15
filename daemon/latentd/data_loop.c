/* The data thread: readable sockets, frames that are due without input, orders of the
 * control thread, and once a second NAME/info. */
#include "latentd/data_loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "latentd/info.h"
#include "latentd/spin.h"
#include "latentd/stream.h"
#include "latentd/warm.h"
#include "why/explain.h"

#define INFO_PERIOD_MS (DATA_LOOP_TICK_NS / 1000000)
#define STEPS_IN_A_ROW 16

/* ---- in the thread ---- */

static void send_infos(uv_timer_t *timer)
{
    struct data_loop *l = timer->data;

    for (size_t i = 0; i < l->n_streams; i++) {
        struct stream *s = l->streams[i];
        info_send(s, s->in_line);
    }
}

/* Of an order that finds the thread asleep; else it was taken on the way. */
static void on_wake(uv_async_t *async)
{
    struct data_loop *l = async->data;

    orders_take(l->orders);
}

/* ---- turns: one step, then whatever is more urgent ---- */

static uint64_t tick_ns(const struct stream *s)
{
    return line_next_tick_ns(s->line, input_waits(s->input));
}

static uint64_t next_tick_ns(const struct data_loop *l)
{
    uint64_t next_ns = UINT64_MAX;

    for (size_t i = 0; i < l->n_streams; i++) {
        uint64_t stream_ns = tick_ns(l->streams[i]);
        if (stream_ns < next_ns) next_ns = stream_ns;
    }
    return next_ns;
}

/* Since the end of its last turn, or since it woke, it worked for this stream. */
static void note_span(struct data_loop *l, const struct stream *s)
{
    const uint64_t words[WHY_SPAN_WORDS] = {l->t_turn_ns, clock_now_ns(), s->place};

    trail_put(&l->spans, words);
    l->t_turn_ns = words[1];
}

static void tick_what_is_due(struct data_loop *l)
{
    for (size_t i = 0; i < l->n_streams; i++) {
        struct stream *s = l->streams[i];
        uint64_t now_ns;

        orders_take(l->orders);
        now_ns = clock_now_ns();
        if (tick_ns(s) > now_ns) continue;
        line_on_tick(s->line, now_ns, input_waits(s->input));
        note_span(l, s);
    }
}

/* The input after the one that had its turn, of those that have something to do. */
static struct input *next_input(struct data_loop *l)
{
    for (size_t i = 1; i <= l->n_inputs; i++) {
        size_t at = (l->turn + i) % l->n_inputs;

        if (!input_waits(&l->inputs[at])) continue;
        l->turn = at;
        return &l->inputs[at];
    }
    return NULL;
}

static void step_input(struct data_loop *l, struct input *in)
{
    const struct stream *s = input_step(in);

    if (s) note_span(l, s);
}

static void on_more(uv_idle_t *idle);

/* Step by step until nothing is left, orders before each; after some steps the loop looks at its
 * sockets and timers, too. */
static void serve(void *ctx)
{
    struct data_loop *l = ctx;
    struct input *in = NULL;

    l->t_turn_ns = clock_now_ns();
    for (unsigned n = 0; n < STEPS_IN_A_ROW; n++) {
        tick_what_is_due(l);
        in = next_input(l);
        if (!in) break;
        orders_take(l->orders);
        step_input(l, in);
    }
    if (in)
        uv_idle_start(&l->more, on_more);
    else
        uv_idle_stop(&l->more);
}

static void on_more(uv_idle_t *idle)
{
    serve(idle->data);
}

/* ---- sleep and its end ---- */

/* The next tick, busy polling or warming. */
static uint64_t next_due_ns(const struct data_loop *l)
{
    uint64_t now_ns = clock_now_ns(), next_ns = next_tick_ns(l);
    uint64_t spin_ns = spin_next_ns(l->streams, l->n_streams, now_ns);
    uint64_t warm_ns = warm_next_ns(l->streams, l->n_streams, now_ns);

    if (spin_ns < next_ns) next_ns = spin_ns;
    return warm_ns < next_ns ? warm_ns : next_ns;
}

/* A timer that is armed too early is left alone: it fires, finds
 * nothing due, and is armed for what is due then. So bins that come in time cost one
 * call in each missing-after, not one each. */
static void arm_timer(struct data_loop *l)
{
    const uint64_t second = 1000000000u;
    uint64_t next_ns = next_due_ns(l);
    struct itimerspec at = {
        .it_value = {.tv_sec = (time_t)(next_ns / second), .tv_nsec = (long)(next_ns % second)}};

    if (next_ns >= l->timer_armed_ns) return;
    if (timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &at, NULL) == 0)
        l->timer_armed_ns = next_ns;
}

/* ---- busy polling ---- */

static bool take_any(struct data_loop *l)
{
    for (size_t i = 0; i < l->n_inputs; i++) {
        if (!socket_is_readable(l->inputs[i].socket)) continue;
        input_look(&l->inputs[i]);
        serve(l);
        return true;
    }
    return false;
}

/* Until a bin came, a frame is due without one, the end is ordered, or no bin is expected any more.
 * What else the loop has to do waits for that, at most two windows; orders do not. */
static void spin(struct data_loop *l)
{
    uint64_t now_ns = clock_now_ns();

    while (spin_is_due(l->streams, l->n_streams, now_ns) && next_tick_ns(l) > now_ns) {
        orders_take(l->orders);
        if (orders_are_stopped(l->orders) || take_any(l)) return;
        warm_streams(l->streams, l->n_streams, now_ns);
        now_ns = clock_now_ns();
    }
}

static void close_in_thread(struct data_loop *l)
{
    for (size_t i = 0; i < l->n_inputs; i++) input_stop(&l->inputs[i]);
    uv_close((uv_handle_t *)&l->info_timer, NULL);
    uv_close((uv_handle_t *)&l->wake, NULL);
    uv_close((uv_handle_t *)&l->timer, NULL);
    uv_close((uv_handle_t *)&l->before_sleep, NULL);
    uv_close((uv_handle_t *)&l->more, NULL);
}

static void close_if_at_rest(struct data_loop *l)
{
    for (size_t i = 0; i < l->n_streams; i++)
        if (!line_is_at_rest(l->streams[i]->line)) return;
    close_in_thread(l);
}

static void on_sleep(uv_prepare_t *prepare)
{
    struct data_loop *l = prepare->data;
    uint64_t n = atomic_load_explicit(&l->n_turns, memory_order_relaxed);

    atomic_store_explicit(&l->n_turns, n + 1, memory_order_relaxed);
    if (orders_are_stopped(l->orders))
        close_if_at_rest(l);
    else if (!uv_is_active((uv_handle_t *)&l->more))
        spin(l);
    arm_timer(l);
}

/* A bin that waits in its socket is not missing: each input is looked at before its streams. */
static void on_timer(uv_poll_t *poll, int status, int events)
{
    struct data_loop *l = poll->data;
    uint64_t n_expired;

    (void)status;
    (void)events;
    if (read(l->timer_fd, &n_expired, sizeof n_expired) < 0) return;
    l->timer_armed_ns = UINT64_MAX;
    for (size_t i = 0; i < l->n_inputs; i++) input_look(&l->inputs[i]);
    serve(l);
    warm_streams(l->streams, l->n_streams, clock_now_ns());
}

static void *run(void *ctx)
{
    struct data_loop *l = ctx;

    thread_prepare();
    l->thread_id = (int)gettid();
    sem_post(&l->is_running);
    uv_run(&l->loop, UV_RUN_DEFAULT);
    atomic_store(&l->has_ended, true);
    return NULL;
}

/* ---- sockets, shared by the streams that name the same endpoint ---- */

static struct output *find_output(struct data_loop *l, const char *endpoint)
{
    for (size_t i = 0; i < l->n_outputs; i++)
        if (strcmp(l->outputs[i].endpoint, endpoint) == 0) return &l->outputs[i];
    return NULL;
}

static struct input *find_input(struct data_loop *l, const char *endpoint)
{
    for (size_t i = 0; i < l->n_inputs; i++)
        if (strcmp(l->inputs[i].endpoint, endpoint) == 0) return &l->inputs[i];
    return NULL;
}

static int give_output(struct data_loop *l, struct stream *s, struct latent_error *err)
{
    struct output *o = find_output(l, s->conf->values.output);
    int status;

    if (!o) {
        o = &l->outputs[l->n_outputs++];
        status = output_open(o, s, err);
        if (status) return status;
    }
    if (stream_attach(s, o, output_sink(o)) == 0) return 0;
    return error_text(err, LATENT_E_NOMEM, "out of memory");
}

static int give_input(struct data_loop *l, struct stream *s, void *context,
                      struct latent_error *err)
{
    struct input *in = find_input(l, s->conf->values.input);
    int status;

    if (!in) {
        in = &l->inputs[l->n_inputs++];
        status = input_open(in, context, s, err);
        if (status) return status;
    }
    if (input_add(in, s) == 0) return 0;
    return error_text(err, LATENT_E_NOMEM, "out of memory");
}

/* The text of a socket says the endpoint; this says whose it is. */
static int say_whose(struct latent_error *err, const struct stream *s, const char *what)
{
    char text[LATENT_ERROR_TEXT];

    snprintf(text, sizeof text, "%s", err->text);
    return error_text(err, err->status, "stream %s: %s: %.*s", s->conf->name, what,
                      LATENT_ERROR_TEXT - 100, text);
}

/* ---- life ---- */

static int open_loop(struct data_loop *l)
{
    int status = uv_loop_init(&l->loop);

    if (status) return status;
    l->loop_is_open = true;
    status = uv_async_init(&l->loop, &l->wake, on_wake);
    if (status) return status;
    l->wake.data = l;
    return 0;
}

static void wake(void *ctx)
{
    struct data_loop *l = ctx;

    uv_async_send(&l->wake);
}

static uint64_t read_clock(void *ctx)
{
    (void)ctx;
    return clock_now_ns();
}

static int open_orders(struct data_loop *l)
{
    struct line **lines = calloc(l->n_streams, sizeof *lines);

    if (!lines) return -1;
    for (size_t i = 0; i < l->n_streams; i++) lines[i] = l->streams[i]->line;
    l->orders = orders_new(lines, l->n_streams, (struct line_clock){.now_ns = read_clock},
                           (struct orders_wake){wake, l});
    free(lines);
    if (!l->orders) return -1;
    for (size_t i = 0; i < l->n_streams; i++) stream_give_orders(l->streams[i], l->orders, i);
    return 0;
}

static struct data_loop *loop_of(const char *name, struct stream *const *streams, size_t n_streams)
{
    struct data_loop *l = calloc(1, sizeof *l);

    if (!l) return NULL;
    *l = (struct data_loop){.streams = calloc(n_streams, sizeof(struct stream *)),
                            .n_streams = n_streams,
                            .inputs = calloc(n_streams, sizeof *l->inputs),
                            .outputs = calloc(n_streams, sizeof *l->outputs),
                            .timer_fd = -1,
                            .timer_armed_ns = UINT64_MAX,
                            .wish.cpu = THREAD_ANY_CPU};
    snprintf(l->name, sizeof l->name, "data-%s", name);
    sem_init(&l->is_running, 0, 0);
    if (l->streams) memcpy(l->streams, streams, n_streams * sizeof(struct stream *));
    return l;
}

int data_loop_open(struct data_loop **out, const char *name, struct stream *const *streams,
                   size_t n_streams, void *context, struct latent_error *err)
{
    struct data_loop *l = *out = loop_of(name, streams, n_streams);

    if (!l || !l->streams || !l->inputs || !l->outputs ||
        trail_open(&l->spans, WHY_SPANS, WHY_SPAN_WORDS))
        return error_text(err, LATENT_E_NOMEM, "out of memory");
    for (size_t i = 0; i < n_streams; i++) {
        if (give_output(l, streams[i], err)) return say_whose(err, streams[i], "output");
        if (give_input(l, streams[i], context, err)) return say_whose(err, streams[i], "input");
    }
    if (open_loop(l)) return error_text(err, LATENT_E_IO, "%s: no event loop", l->name);
    if (open_orders(l)) return error_text(err, LATENT_E_NOMEM, "out of memory");
    return 0;
}

static int start_timer(struct data_loop *l)
{
    int status;

    l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (l->timer_fd < 0) return uv_translate_sys_error(errno);
    status = uv_poll_init(&l->loop, &l->timer, l->timer_fd);
    if (status) return status;
    uv_prepare_init(&l->loop, &l->before_sleep);
    l->timer.data = l;
    uv_idle_init(&l->loop, &l->more);
    l->before_sleep.data = l;
    l->more.data = l;
    uv_prepare_start(&l->before_sleep, on_sleep);
    return uv_poll_start(&l->timer, UV_READABLE, on_timer);
}

static int start_handles(struct data_loop *l)
{
    int timer_status = start_timer(l);

    if (timer_status) return timer_status;
    uv_timer_init(&l->loop, &l->info_timer);
    l->info_timer.data = l;
    uv_timer_start(&l->info_timer, send_infos, 0, INFO_PERIOD_MS);
    for (size_t i = 0; i < l->n_inputs; i++) {
        int status = input_start(&l->inputs[i], &l->loop, serve, l);
        if (status) return status;
    }
    return uv_idle_start(&l->more, on_more); /* what came before would not be told */
}

int data_loop_prepare(struct data_loop *l, struct latent_error *err)
{
    int status = start_handles(l);

    if (status) return error_text(err, LATENT_E_IO, "%s: %s", l->name, uv_strerror(status));
    l->is_prepared = true;
    return 0;
}

int data_loop_start(struct data_loop *l, struct latent_error *err)
{
    int status;

    if (!l->is_prepared && data_loop_prepare(l, err)) return err->status;
    status = thread_start(&l->thread, l->name, &l->wish, run, l);
    if (status) return error_text(err, LATENT_E_IO, "%s: no thread: %s", l->name, strerror(status));
    l->thread_is_started = true;
    while (sem_wait(&l->is_running) && errno == EINTR) continue;
    return 0;
}

uint64_t data_loop_turns(const struct data_loop *l)
{
    return atomic_load_explicit(&l->n_turns, memory_order_relaxed);
}

bool data_loop_has_ended(const struct data_loop *l)
{
    return atomic_load(&l->has_ended);
}

void data_loop_post_stop(struct data_loop *l)
{
    if (l->thread_is_started && !l->is_stop_posted) orders_stop(l->orders);
    l->is_stop_posted = true;
}

void data_loop_stop(struct data_loop *l)
{
    if (!l->thread_is_started) return;
    data_loop_post_stop(l);
    pthread_join(l->thread, NULL);
    l->thread_is_started = false;
}

static void close_handle(uv_handle_t *handle, void *ctx)
{
    (void)ctx;
    if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

/* What the thread did not close, because it was never started, is closed here. */
static void close_loop(struct data_loop *l)
{
    if (!l->loop_is_open) return;
    uv_walk(&l->loop, close_handle, NULL);
    uv_run(&l->loop, UV_RUN_DEFAULT);
    uv_loop_close(&l->loop);
}

void data_loop_close(struct data_loop *l, bool is_waited_for)
{
    if (!l) return;
    data_loop_stop(l);
    close_loop(l);
    for (size_t i = 0; i < l->n_inputs; i++) input_close(&l->inputs[i], is_waited_for);
    for (size_t i = 0; i < l->n_outputs; i++) output_close(&l->outputs[i], is_waited_for);
    orders_free(l->orders);
    if (l->timer_fd >= 0) close(l->timer_fd);
    free(l->streams);
    free(l->inputs);
    free(l->outputs);
    trail_close(&l->spans);
    sem_destroy(&l->is_running);
    free(l);
}

/* Requests about the normalisation of a stream's input. */
#include <stdlib.h>
#include <string.h>

#include "latentd/request_inside.h"

/* The operations stand in the order of enum latent_normalise_act. */
static enum latent_normalise_act act_of(const Latent__V1__Request *request)
{
    return (enum latent_normalise_act)(request->operation -
                                       LATENT__V1__OPERATION__NORMALISE_FREEZE);
}

/* mean, sd [2, C] of what is to be loaded, the caller's to free; NULL: it is said why not. */
static double *numbers_given(const Latent__V1__Normalisation *given, const struct stream *s,
                             struct request *r)
{
    const char *name = s->conf->name;
    size_t n = s->info.n_channels;
    double *numbers = NULL;

    if (!given || given->n_mean != n || given->n_sd != n)
        request_say(r, CONTROL_REFUSED,
                    "%s: expected the mean and sd of its %zu channels, found %zu and %zu", name, n,
                    given ? given->n_mean : 0, given ? given->n_sd : 0);
    else if (given->bin_width_us != s->info.bin_width_us)
        request_say(r, CONTROL_REFUSED,
                    "%s: mean and sd of bins of %llu us, but its bins are %u us", name,
                    (unsigned long long)given->bin_width_us, s->info.bin_width_us);
    else if (latent_model_takes_normalisation(s->model, given->mean, given->sd, n))
        request_say(r, CONTROL_REFUSED,
                    "%s: a mean that is not finite, or an sd that is not or is too small", name);
    else if (!(numbers = malloc(2 * n * sizeof *numbers)))
        request_say(r, CONTROL_NO_MEMORY, "out of memory; nothing was ordered");
    if (!numbers) return NULL;
    memcpy(numbers, given->mean, n * sizeof *numbers);
    memcpy(numbers + n, given->sd, n * sizeof *numbers);
    return numbers;
}

void request_normalise(struct request_ground *g, const Latent__V1__Request *request,
                       struct stream *s, struct request *r)
{
    enum latent_normalise_act act = act_of(request);
    uint32_t kind = s->info.normalise;

    (void)g;
    if (kind != LATENT_NORMALISE_EWMA && kind != LATENT_NORMALISE_WINDOW_TRIALS) {
        request_say(r, CONTROL_REFUSED, "%s: its model file has no normalisation that learns",
                    s->conf->name);
        return;
    }
    if (act == LATENT_NORMALISE_LOAD) {
        r->numbers = numbers_given(request->normalisation, s, r);
        if (!r->numbers) return;
    }
    if (!request_order_alone(r)) return;
    if (request->dry_run)
        ordering_would_normalise(r->orderings, s, act);
    else
        ordering_normalise(r->orderings, s, act, r->numbers);
}

/* ---- what it is now ---- */

static void say_none(struct request *r, const struct stream *s)
{
    request_say(r, CONTROL_REFUSED, "%s: its model file has no normalisation", s->conf->name);
}

static void tell(struct request *r, const struct stream *s)
{
    const struct line_normalisation *told = s->told;
    Latent__V1__Normalisation *m = &r->normalisation;
    size_t n = s->info.n_channels;

    if (told->kind == LATENT_NORMALISE_NONE) {
        say_none(r, s);
        return;
    }
    r->numbers = malloc(2 * n * sizeof *r->numbers);
    if (!r->numbers) {
        request_say(r, CONTROL_NO_MEMORY, "out of memory for the normalisation");
        return;
    }
    latent__v1__normalisation__init(m);
    memcpy(r->numbers, told->mean, n * sizeof *r->numbers);
    memcpy(r->numbers + n, told->sd, n * sizeof *r->numbers);
    m->kind = (char *)(uintptr_t)latent_normalise_name(told->kind);
    m->decoder_id = told->decoder_id;
    m->bin_width_us = s->info.bin_width_us;
    m->version = told->now.version;
    m->frozen = told->now.frozen;
    m->n_mean = m->n_sd = n;
    m->mean = r->numbers;
    m->sd = r->numbers + n;
    r->reply.normalisation = m;
}

static bool look_told(struct request *r, uint64_t now_ns)
{
    (void)now_ns;
    if (order_look(&r->stream->telling, &r->reply.t_done_ns) == ORDER_OWED) return false;
    tell(r, r->stream);
    return true;
}

/* The stream's memory is written by the data thread, even when nobody waits for it any more. */
void request_tell_normalisation(struct request_ground *g, const Latent__V1__Request *request,
                                struct stream *s, struct request *r)
{
    const char *name = s->conf->name;
    uint64_t t_done_ns;

    (void)g;
    (void)request;
    r->stream = s;
    if (s->info.normalise == LATENT_NORMALISE_NONE)
        say_none(r, s);
    else if (order_look(&s->telling, &t_done_ns) == ORDER_OWED)
        request_say(r, CONTROL_REFUSED, "%s: somebody else is asking the same; try again", name);
    else if (s->telling = orders_tell_normalisation(s->orders, s->place, s->told),
             !s->telling.number)
        request_say(r, CONTROL_REFUSED, "%s is busy with other orders; try again", name);
    else
        r->look = look_told;
}

/* Requests about decoders beside a stream's: begun here, done by swap. */
#include "latentd/request_inside.h"

static struct swap_options swap_options_of(const Latent__V1__Request *request)
{
    return (struct swap_options){.forced = request->force,
                                 .dry_run = request->dry_run,
                                 .at_next_bin = request->at_next_bin,
                                 .promotes = request->operation == LATENT__V1__OPERATION__LOAD};
}

/* true: it is said, or can be waited for no longer. */
static bool say_task(struct request *r, const struct swap_task *task, uint64_t now_ns,
                     const char *late)
{
    if (task->number != r->task)
        request_say(r, CONTROL_REFUSED,
                    "%s: something else was asked for meanwhile; latentctl status",
                    r->stream->conf->name);
    else if (!task->is_owed)
        request_say(r, task->code, "%s", task->text);
    else if (now_ns - r->t_taken_ns >= SWAP_WAIT_NS)
        request_say(r, CONTROL_NOT_DONE, "NOT DONE yet: %s: %s", r->stream->conf->name, late);
    else
        return false;
    return true;
}

static bool look_load(struct request *r, uint64_t now_ns)
{
    return say_task(r, &r->stream->swap.load, now_ns,
                    "the file is still being opened and verified, and that goes on; latentctl "
                    "status tells");
}

static bool look_task(struct request *r, uint64_t now_ns)
{
    return say_task(r, &r->stream->swap.task, now_ns,
                    "it is ordered, and waits for its moment (the end of a trial, a bin that the "
                    "shadow has done); latentctl status tells");
}

void request_load(struct request_ground *g, const Latent__V1__Request *request, struct stream *s,
                  struct request *r)
{
    const struct swap_options options = swap_options_of(request);

    r->stream = s;
    swap_load(&s->swap, g->loop, request->path, &options);
    r->task = s->swap.load.number;
    r->look = look_load;
}

static void on_task(const Latent__V1__Request *request, struct stream *s, struct request *r,
                    bool (*begin)(struct swap *w, const struct swap_options *options))
{
    const struct swap_options options = swap_options_of(request);

    r->stream = s;
    begin(&s->swap, &options);
    r->task = s->swap.task.number;
    r->look = look_task;
}

void request_promote(struct request_ground *g, const Latent__V1__Request *request, struct stream *s,
                     struct request *r)
{
    (void)g;
    on_task(request, s, r, swap_promote);
}

void request_roll_back(struct request_ground *g, const Latent__V1__Request *request,
                       struct stream *s, struct request *r)
{
    (void)g;
    on_task(request, s, r, swap_roll_back);
}

void request_drop(struct request_ground *g, const Latent__V1__Request *request, struct stream *s,
                  struct request *r)
{
    (void)g;
    on_task(request, s, r, swap_drop);
}

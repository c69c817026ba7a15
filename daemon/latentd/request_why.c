/* Requests about late bins: answered when what was late by then is explained. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "latentd/request_inside.h"

#define WAIT_NS 1000000000u

/* Why there is nothing to say of this bin, in one line. */
static void say_nothing(struct request *r)
{
    const struct lateness_seen *seen = r->seen;
    const char *name = r->stream->conf->name;
    struct ledger_values v;
    bool is_whole = seen->n_late == seen->n; /* all that were late are kept */

    line_read(r->stream->line, &v);
    if (v.value[BINS_DECODED] == 0 || r->seq > v.value[STATE_LAST_SEQ])
        request_say(r, CONTROL_REFUSED,
                    "%s has not decoded bin %" PRIu64 " yet: its newest is %" PRIu64, name, r->seq,
                    v.value[STATE_LAST_SEQ]);
    else if (!is_whole && (seen->n == 0 || r->seq < seen->bins[0].bin.seq))
        request_say(r, CONTROL_REFUSED,
                    "%s: bin %" PRIu64 " is older than its last %zu late bins, which are all that "
                    "is kept here; latentctl why --record FILE %s %" PRIu64 " asks a record",
                    name, r->seq, seen->n, name, r->seq);
    else if (seen->n_lost > 0)
        request_say(r, CONTROL_REFUSED,
                    "%s: bin %" PRIu64 " is not among the explained ones; %" PRIu64
                    " late bins were too many at once to be explained",
                    name, r->seq, seen->n_lost);
    else
        request_say(r, CONTROL_REFUSED, "%s: bin %" PRIu64 " was not late, or did not come", name,
                    r->seq);
}

/* What is kept of it, as a message. false: out of memory. */
static bool take_bins(struct request *r, struct lateness *l)
{
    struct lateness_seen *seen = r->seen = calloc(1, sizeof *seen);

    if (!seen) return false;
    lateness_read(l, r->stream->number, seen);
    r->why = why_message_new(r->stream->conf->name, seen->bins, seen->n,
                             clock_wall_ns() - clock_now_ns());
    if (!r->why) return false;
    r->why->message.n_late = seen->n_late;
    r->why->message.n_lost = seen->n_lost;
    return true;
}

static void say_bins(struct request *r, struct lateness *l)
{
    if (!take_bins(r, l))
        request_say(r, CONTROL_NO_MEMORY, "out of memory for the late bins");
    else if (r->has_seq && !why_message_only(r->why, r->seq))
        say_nothing(r);
    else
        r->reply.why = &r->why->message;
}

static bool look_why(struct request *r, uint64_t now_ns)
{
    struct lateness *l = r->daemon->lateness;

    if (!l) {
        request_say(r, CONTROL_NOT_DONE, "NOT DONE: latentd is ending");
        return true;
    }
    if (r->stream->number == STREAM_LEFT) {
        request_say(r, CONTROL_NOT_DONE, "NOT DONE: [stream %s] is gone from the configuration",
                    r->stream->conf->name);
        return true;
    }
    if (!lateness_has_told(l, r->stream->number, r->n_late) && now_ns - r->t_taken_ns < WAIT_NS)
        return false;
    say_bins(r, l);
    return true;
}

void request_why(struct request_ground *g, const Latent__V1__Request *request, struct stream *s,
                 struct request *r)
{
    r->stream = s;
    r->daemon = g->daemon;
    r->n_late = line_n_late(s->line);
    r->has_seq = request->has_seq;
    r->seq = request->seq;
    r->look = look_why;
}

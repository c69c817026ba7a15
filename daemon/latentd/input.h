/* A SUB or PULL socket, taken message by message into the lines of the streams that share it.
 *
 * A SUB asks for the topics of its streams; until something has come for each of them it asks for
 * all others, too, so that a source with a wrong name is noticed. */
#ifndef LATENTD_INPUT_H
#define LATENTD_INPUT_H

#include <stdatomic.h>
#include <uv.h>

#include "latentd/refusals.h"
#include "net/socket.h"

struct stream;

#define INPUT_NAME_BYTES 64 /* of a topic that names no stream, as far as it is kept */

struct input {
    void *context, *socket;
    char endpoint[SOCKET_MAX_ENDPOINT]; /* as configured: what streams share it by */
    char bound[SOCKET_MAX_ENDPOINT];
    struct stream **streams;     /* [n_streams] */
    size_t n_streams, n_unheard; /* of them: nothing has come for so many yet */
    uv_poll_t readable;
    void (*on_input)(void *ctx); /* the loop is to serve */
    void *ctx;
    bool may_wait;          /* something may wait in the socket */
    bool is_guarded;        /* by keys: each message says whose it is */
    struct stream *current; /* of the newest message; the next one waits until this one is done */
    uint64_t t_wake_ns;     /* of the wake that found what is taken now */
    unsigned n_drained;     /* messages since */
    _Atomic uint64_t n_revoked;                          /* messages by keys that were taken away */
    _Atomic uint64_t n_unknown;                          /* messages whose topic names no stream */
    _Atomic uint64_t unknown_name[INPUT_NAME_BYTES / 8]; /* the newest such topic */

    /* The control thread's. */
    void *monitor;
    uint64_t n_disconnected; /* peers that are gone */
    uint64_t n_shaken;       /* peers that got through the handshake */
    uint64_t t_connected_ns; /* of the first of them; 0: none yet */
    struct refusal_said said[INPUT_REMARKS_MAX];
};

/* Open for its first stream; input_add every stream, the first too. */
int input_open(struct input *in, void *context, const struct stream *s, struct latent_error *err);
int input_add(struct input *in, struct stream *s); /* 0 or -1: out of memory */
/* Start and stop listening on the loop of the calling thread, or one that does not run yet.
 * on_input is called when there is something to do. */
int input_start(struct input *in, uv_loop_t *loop, void (*on_input)(void *ctx), void *ctx);
void input_stop(struct input *in);
/* In the thread of its loop: is there, as far as known, anything to do? */
bool input_waits(const struct input *in);
/* Something may have come. */
void input_look(struct input *in);
/* Take one message, or do one step of the decoder for the one that was taken last. Returns the
 * stream whose it was; NULL: there was none, or it was nobody's. */
const struct stream *input_step(struct input *in);
/* Control thread: what became of peers since the last call. libzmq drops the
 * connection of a peer that sends more than WIRE_MAX_BYTES, without a message to us:
 * it shows here and nowhere else. */
void input_watch(struct input *in);
/* Any thread: how many messages named no stream, the newest such topic as far as it is kept, and
 * a number that differs, as a rule, from that of another topic. */
uint64_t input_unknown(const struct input *in, char name[INPUT_NAME_BYTES], uint64_t *number);
void input_close(struct input *in, bool is_waited_for); /* as socket_close */

#endif

/* The control loop, in the main thread: signals, and requests of latentctl. */
#ifndef LATENTD_CONTROL_H
#define LATENTD_CONTROL_H

#include <uv.h>

#include "latentd/daemon.h"
#include "latentd/request.h"
#include "latentd/watchdog.h"
#include "net/socket.h"

struct owed;

#define CONTROL_N_SIGNALS 65 /* one more than the last */

struct control {
    struct daemon *daemon;
    struct request_ground ground;
    struct owed *owed;   /* answers that wait for an order or a file; NULL: none */
    uv_timer_t look;     /* for them; it runs while there are any */
    uv_timer_t swaps;    /* of decoders; it runs while there are any */
    uv_timer_t channels; /* whether they are bad */
    uv_timer_t leave;    /* whether streams that leave have ended */
    uv_loop_t loop;
    uv_signal_t signals[CONTROL_N_SIGNALS]; /* by number; those that end it are started */
    uv_poll_t readable;
    uv_timer_t lates; /* late bins go into the records */
    uv_timer_t watch; /* of the inputs' monitors, and for the watchdog */
    struct watchdog watchdog;
    void *context; /* ZeroMQ, apart from that of the data: nobody who asks can slow it
                      down */
    void *socket;
    struct zap zap;  /* of that context */
    bool is_guarded; /* who asks has shown a key; its client's name is on the request */
    char bound[SOCKET_MAX_ENDPOINT];
    bool loop_is_open;
};

/* 0, or negative and a text. control_close is due in both cases. */
int control_open(struct control *c, struct daemon *d, struct latent_error *err);
/* Serve until a signal ends it: any that can be caught but those of a crash. */
void control_run(struct control *c);
/* After the data threads have ended: answer what is owed, and wait for what is at work on a disk,
 * some seconds at most. false: the disk holds a thread of libuv's pool, and with it the end of the
 * process but by _exit; nothing of control or daemon may be freed. */
bool control_finish(struct control *c);
void control_close(struct control *c);

#endif

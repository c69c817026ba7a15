/* The ZAP handler of a ZeroMQ context: says who may connect to its CURVE sockets.
 *
 * Without one some builds of libzmq let everybody in (curve.c). It is therefore opened
 * before the first such socket and closed after the last; should it fail, its socket
 * stays, so that nobody gets an answer, and latentd ends. It is a thread of its own:
 * nobody who knocks takes time from a stream. */
#ifndef LATENTD_ZAP_H
#define LATENTD_ZAP_H

#include <pthread.h>

#include "latentd/access.h"

struct zap {
    struct access *access;
    void *socket;
    int stop_fd;
    pthread_t thread;
    bool is_running;
    uint64_t t_logged_ns; /* of the last refusal that was told; 0: none */
    uint64_t n_silent;    /* refusals since then */
};

/* 0, or negative and a text. zap_close is due in both cases. */
int zap_open(struct zap *z, void *context, struct access *access, struct latent_error *err);
/* Zeroed, or opened. */
void zap_close(struct zap *z);

#endif

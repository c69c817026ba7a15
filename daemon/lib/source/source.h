/* A source of bins: what an acquisition system is to latentd.
 *
 * Bins leave at true pace (bin n when its end has come, counted from the first, so that
 * nothing drifts) or as fast as they are taken. PUSH loses nothing: it waits for a
 * receiver. PUB drops what nobody takes. */
#ifndef SOURCE_SOURCE_H
#define SOURCE_SOURCE_H

#include <stdint.h>

#include "latent.h"

struct source_options {
    const char *program;  /* for messages on stderr */
    const char *stream;   /* letters, digits, - and _ */
    const char *endpoint; /* of ZeroMQ */
    const char *socket;   /* "push" or "pub" */
    const char *attach;   /* "connect" or "bind" */
    /* Files of the own secret key and of latentd's public one; both NULL: plaintext. */
    const char *key, *server_key;
    uint32_t n_channels, bin_width_us;
    uint64_t batch; /* bins per message, at least 1 */
    int full_speed;
    int after_subscriber; /* the first bin waits for a receiver */
    double stop_after_s;  /* since the first bin's begin; 0: no limit */
};

/* The rows of a command line for the keys; o: struct source_options *. */
#define SOURCE_KEY_ROWS(o)                                                      \
    {"key", "FILE", OPTION_TEXT, &(o)->key,                                     \
     "one's own secret key file: the bins go encrypted (latentctl keys)"},      \
    {                                                                           \
        "server-key", "FILE", OPTION_TEXT, &(o)->server_key,                    \
            "latentd's public key file: nobody else gets them; goes with --key" \
    }

struct source_status {
    uint64_t epoch, start_ns; /* wall clock; monotonic */
    uint64_t n_bins;          /* sent */
    uint64_t n_late;          /* sent more than a bin after their end */
    uint64_t worst_ns;        /* largest delay */
};

enum source_result { SOURCE_STOPPED = 1 }; /* by a signal or stop_after_s */

struct source;

int source_open(struct source **out, const struct source_options *options,
                struct latent_error *err);
/* Adds one bin of n_channels counts; sends when the batch is full. 0, SOURCE_STOPPED or
 * negative. */
int source_put(struct source *source, const float *counts, uint32_t marks,
               struct latent_error *err);
/* Sends a message that somebody else has packed, when its time on the monotonic clock
 * has come; not to be mixed with source_put. Likewise. */
int source_send(struct source *source, const void *payload, size_t n, uint64_t due_ns,
                struct latent_error *err);
/* Sends what is left of the batch. */
int source_flush(struct source *source, struct latent_error *err);
/* End of a bin on the source's clock. */
uint64_t source_bin_end_ns(const struct source *source, uint64_t seq);
const struct source_status *source_status(const struct source *source);
/* Waits up to 30 s (after a signal 0.5 s) until all was taken. NULL is allowed. */
void source_close(struct source *source);

/* Also for the truth socket: a name that topics can carry, and opening with clear
 * texts. Prints the endpoint that a bind to a wildcard got. */
int source_stream_check(const char *stream, struct latent_error *err);
int source_attach(void *socket, const char *program, const char *what, const char *endpoint,
                  int bind, struct latent_error *err);

#endif

/* A source of bins: what an acquisition system is to latentd.
 *
 * Bins leave at true pace (bin n when its end has come, counted from the first, so that nothing
 * drifts) or as fast as they are taken. PUSH loses nothing: it waits for a receiver. PUB drops what
 * nobody takes. */
#ifndef SOURCE_SOURCE_H
#define SOURCE_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "latent.h"

struct source_options {
    const char *program;  /* for messages on stderr */
    const char *stream;   /* letters, digits, - and _ */
    const char *endpoint; /* of ZeroMQ */
    const char *socket;   /* "push", "pub", or "auto": push, or pub where the receiver is a SUB */
    const char *attach;   /* "connect" or "bind" */
    const char *output;   /* of latentd, to ask what the stream takes; NULL: not asked */
    const char *input;    /* "counts" or "real": what the bins hold; NULL: not known */
    /* Files of the own secret key and of latentd's public one; both NULL: plaintext. */
    const char *key, *server_key;
    uint32_t n_channels, bin_width_us;
    uint64_t batch; /* bins per message, at least 1 */
    bool full_speed;
    bool after_subscriber; /* the first bin waits for a receiver */
    double stop_after_s;   /* since the first bin's begin; 0: no limit */
};

/* The rows of a command line that every source has; o: struct source_options *. */
#define SOURCE_ROWS(o)                                                                       \
    OPTION_TEXT("stream", "NAME", &(o)->stream, "send the bins as NAME/bins"),               \
        OPTION_TEXT("bins", "ENDPOINT", &(o)->endpoint, "where the bins go"),                \
        OPTION_CHOICE("socket", "KIND", &(o)->socket, source_sockets,                        \
                      "push (waits for a receiver), pub (does not), or auto:\n"              \
                      "what the receiver goes with"),                                        \
        OPTION_CHOICE("attach", "HOW", &(o)->attach, source_attachments, "connect or bind"), \
        OPTION_TEXT("output", "ENDPOINT", &(o)->output,                                      \
                    "latentd's output: asked first whether the stream takes\n"               \
                    "such bins, and at the end whether it took any"),                        \
        OPTION_TEXT("key", "FILE", &(o)->key,                                                \
                    "your secret key, made by latentctl keys: encrypts\n"                    \
                    "the bins; only with --attach connect"),                                 \
        OPTION_TEXT("server-key", "FILE", &(o)->server_key,                                  \
                    "latentd's public key: nobody else gets the bins;\n"                     \
                    "goes with --key"),                                                      \
        OPTION_WHOLE("batch", "N", &(o)->batch, 1, WIRE_MAX_BINS,                            \
                     "bins per message (default: 1)"),                                       \
        OPTION_SWITCH("full-speed", &(o)->full_speed,                                        \
                      "send as fast as the bins are taken, not at true pace"),               \
        OPTION_SWITCH("start-after-subscriber", &(o)->after_subscriber,                      \
                      "wait for a receiver before the first bin")

extern const char *const source_sockets[], *const source_attachments[];

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
/* Sends a message that somebody else has packed, when its time on the monotonic clock has come; not
 * to be mixed with source_put. epoch: of its bins. Likewise. */
int source_send(struct source *source, const void *payload, size_t n, uint64_t epoch,
                uint64_t due_ns, struct latent_error *err);
/* After the last bin: 0, or negative and a text: nobody took any, as far as it can be known. */
int source_check_taken(struct source *source, struct latent_error *err);
/* Sends what is left of the batch. */
int source_flush(struct source *source, struct latent_error *err);
/* End of a bin on the source's clock. */
uint64_t source_bin_end_ns(const struct source *source, uint64_t seq);
const struct source_status *source_status(const struct source *source);
/* Waits up to 30 s (after a signal 0.5 s) until all was taken. NULL is allowed. */
void source_close(struct source *source);

/* What can be told before anything is opened: the name of the stream, and options that do not go
 * together. 0, or negative and a text. */
int source_check(const struct source_options *options, struct latent_error *err);

#endif

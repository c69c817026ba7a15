/* C client of latentd: frames of one stream, drained to the newest, and a readout that comes to
 * rest by itself when it is no longer fresh.
 *
 * Not for a real-time thread: it allocates when an Info comes. One thread at a time. */
#ifndef LATENT_CLIENT_H
#define LATENT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct latent_client latent_client;

struct latent_client_counts {
    uint64_t received; /* frames */
    uint64_t lost;     /* frames the publisher sent and we did not get: holes in pub_seq */
    uint64_t restarts; /* times pub_seq started again */
    uint64_t refused;  /* messages that were no Frame or Info, or an Info not to be used */
};

/* Valid until the next call on the client. */
struct latent_client_readout {
    uint32_t n;
    const struct latent_readout *fields; /* [n] names, units, neutral values, limits */
    const float *values;                 /* [n] of the newest frame; at rest when reason is set */
    const char *reason;                  /* NULL: fresh. Otherwise why the values are at rest */
    const bool *holds; /* [n] at rest means: the value last given out, until then neutral;
                          false: neutral */
};

/* For an output that is encrypted (CURVE): texts of 40 letters, as key files hold them.
 * They are not kept. */
struct latent_client_keys {
    const char *server_public;           /* nobody else is listened to */
    const char *own_public, *own_secret; /* what latentd knows us by */
};

/* Connect to an endpoint such as "tcp://127.0.0.1:5571". On error *out is NULL and err
 * (may be NULL) says what was wrong. */
LATENT_API int latent_client_open(latent_client **out, const char *endpoint, const char *stream,
                                  struct latent_error *err);
/* The same to an encrypted output. Whether latentd lets us in shows in that frames come. */
LATENT_API int latent_client_open_encrypted(latent_client **out, const char *endpoint,
                                            const char *stream,
                                            const struct latent_client_keys *keys,
                                            struct latent_error *err);
/* Wait up to timeout_ms (-1: for ever) for a frame, take all that were published until then, give
 * the newest: 1, or 0 when there was none. It returns however fast a publisher pours: after the
 * first frame that is newer than the call's last wait. Its values are valid until the next call. */
LATENT_API int latent_client_poll(latent_client *c, int timeout_ms, struct wire_frame *out);
/* Readout of the newest frame polled, judged now: 1, or 0 when no Info came yet or the stream has
 * no readout. The values are at rest, neutral unless the readout holds its last, from valid_for_ns
 * after the frame's publication on; proto/README.md has the rules. */
LATENT_API int latent_client_readout(latent_client *c, struct latent_client_readout *out);
LATENT_API struct latent_client_counts latent_client_counts(const latent_client *c);
LATENT_API void latent_client_close(latent_client *c); /* NULL is allowed */

#ifdef __cplusplus
}
#endif
#endif

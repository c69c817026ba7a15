/* What the parts of request share. */
#ifndef LATENTD_REQUEST_INSIDE_H
#define LATENTD_REQUEST_INSIDE_H

#include "control/code.h"
#include "latent.pb-c.h"
#include "latentd/ordering.h"
#include "latentd/record_start.h"
#include "latentd/reload.h"
#include "latentd/request.h"
#include "latentd/status.h"
#include "why/message.h"

#define REQUEST_TEXT SWAP_TEXT

/* Is the answer there by now? If so, it has been said. */
typedef bool look_fn(struct request *r, uint64_t now_ns);

struct request {
    Latent__V1__Reply reply;
    struct status status;
    char text[REQUEST_TEXT];
    /* While the answer is owed; look is NULL when it is not. */
    look_fn *look;
    uint64_t t_taken_ns;
    struct stream *stream; /* whose record ends */
    struct record_start *start;
    uint64_t task; /* number of what the stream's swap does for it */
    struct reload *reload;
    struct lateness_seen *seen; /* of late bins, and the message of it */
    struct why_message *why;
    struct daemon *daemon; /* whose late bins are asked about: ... */
    uint64_t n_late;       /* ... so many of the stream */
    bool has_seq;          /* only the one of this number */
    uint64_t seq;
    Latent__V1__Normalisation normalisation;
    double *numbers;            /* its mean, sd [2, C] */
    struct ordering *orderings; /* [n_orderings] */
    size_t n_orderings;
    Latent__V1__StreamReply *stream_reply;    /* [n_orderings]: of an order to all streams ... */
    Latent__V1__StreamReply **stream_replies; /* ... each with its answer */
};

/* The answer. */
void request_say(struct request *r, enum control_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Does what is asked for, or begins it: then r->look is there. s: NULL where none is named. */
typedef void operation_fn(struct request_ground *g, const Latent__V1__Request *request,
                          struct stream *s, struct request *r);

/* Room for an order to one stream, which is looked at from now on; false: it is said that there is
 * none. */
bool request_order_alone(struct request *r);
/* The order of one stream, or (NULL) of all: then each is posted before any is looked at. */
void request_order(struct request_ground *g, const Latent__V1__Request *request,
                   struct stream *only, struct request *r, enum line_event_kind entry);

/* Of decoders beside a stream's (request_swap.c); the first is SHADOW, too. */
operation_fn request_load, request_promote, request_roll_back, request_drop;
/* Of late bins (request_why.c). */
operation_fn request_why;
/* Of the normalisation of a stream's input (request_normalise.c); the first is all acts. */
operation_fn request_normalise, request_tell_normalisation;

#endif

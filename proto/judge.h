/* What a consumer may act on: frames and infos go in with the time of their receipt, a
 * readout comes out for a time. No socket and no clock of its own; the Python client
 * has the same in judge.py, and both are held to tests/unit/judge_vectors.json. */
#ifndef LATENT_JUDGE_H
#define LATENT_JUDGE_H

#include "client.h"
#include "clocks.h"
#include "latent.pb-c.h"

/* A frame that asks to be believed for longer is refused: the longest that latentd can
 * be configured to say. */
#define JUDGE_MAX_VALID_FOR_NS UINT64_C(3600000000000)

/* An Info and what the readout of its frames means. message NULL: the slot is free. */
struct judge_info {
    Latent__V1__Info *message;
    struct latent_readout *fields; /* [message->n_readout], strings in message */
    bool *holds;                   /* [message->n_readout] */
    float *resting;                /* [message->n_readout] neutral, or the last value where held */
};

struct judge {
    uint64_t local_clock_id;
    struct clocks clocks;       /* of other machines */
    struct judge_info infos[2]; /* newest first; the other is for frames before a swap */
    bool has_frame;
    struct wire_frame frame;              /* the newest; its values are the caller's */
    int64_t t_receipt_ns, t_published_ns; /* of it, on our clock */
    bool clock_is_known, continues;       /* continues: not HELD, or since before its expiry */
    char reason[160];
};

/* Zeroed but for its clock's id (wire_clock_id). judge_close is due. */
void judge_open(struct judge *j, uint64_t local_clock_id);
void judge_close(struct judge *j);
/* 0, or -1: not an Info, or one with values that no device should get. */
int judge_on_info(struct judge *j, const void *payload, size_t n);
/* f->values stay the caller's, and must stay until the next frame. */
void judge_on_frame(struct judge *j, const struct wire_frame *f, int64_t t_receipt_ns);
/* Was the newest frame published after this time, as far as can be told? */
bool judge_is_after(const struct judge *j, int64_t t_ns);
/* As latent_client_readout, judged at now_ns. */
int judge_readout(struct judge *j, int64_t now_ns, struct latent_client_readout *out);

#endif

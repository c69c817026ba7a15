/* A decoder that runs beside a line, on a thread of its own and of lower priority, over the same
 * steps: a candidate that is compared with the line's frames, or the decoder that was in the line
 * before, kept warm.
 *
 * Whose decoder it is. The runner's thread touches it only while there is a step that it has not
 * done. When it has done the newest (shadow_is_level, asked by the data thread), it is the data
 * thread's until that counts the next step: there the two can be exchanged, without a lock. */
#ifndef SHADOW_SHADOW_H
#define SHADOW_SHADOW_H

#include "latent.h"
#include "line/histogram.h"
#include "line/line.h"
#include "shadow/agreement.h"
#include "shadow/recent.h"

#define SHADOW_MAX_READOUT 64 /* that are compared */

enum shadow_role {
    SHADOW_CANDIDATE,
    SHADOW_KEPT, /* it was in the line; what is there now is watched */
};

/* What is wrong with the decoder in the line while another is kept. */
enum shadow_trigger {
    SHADOW_NO_TRIGGER,
    SHADOW_MISSES, /* SHADOW_MISSES_MOST late bins among the newest SHADOW_MISSES_OF */
    SHADOW_LIMITS, /* a readout at its limit for a second */
};
#define SHADOW_MISSES_MOST 3
#define SHADOW_MISSES_OF 50

/* A decoder and what is to be known of it; both must outlive the shadow, or the exchange. */
struct shadow_decoder {
    latent_decoder *decoder;
    const struct latent_info *info;
    void *owner; /* the caller's, for the way back */
};

struct shadow_of {
    struct recent *recent;
    struct line_clock clock; /* for the times of steps */
};

/* Since the decoder took the role that it has. */
struct shadow_status {
    enum shadow_role role;
    bool is_priming;   /* it has not done yet what there was when it began */
    bool is_warm;      /* its last frame was past warm-up */
    bool is_exact;     /* it has seen all since it was in the line, or since a start or reset */
    uint64_t n_steps;  /* done, those that it was primed with not counted */
    uint64_t n_clean;  /* of them, to the last, without a loss or a bad output */
    uint64_t n_primed; /* with so many */
    uint64_t n_losses; /* times that it was too slow, and primed anew ... */
    uint64_t n_lost;   /* ... and the steps that it did not do for it */
    uint64_t n_bad;    /* outputs that were not finite */
    uint64_t behind;   /* steps that wait */
    enum shadow_trigger trigger;
    struct histogram_summary step;                          /* its own, ns */
    uint32_t n_readout;                                     /* of agreement */
    struct agreement_summary agreement[SHADOW_MAX_READOUT]; /* with the line's frames, over 10 s */
};

struct shadow;

/* A new decoder, which is primed first: from the oldest step that there is. 0 or LATENT_E_NOMEM. */
int shadow_new(struct shadow **out, const struct shadow_of *of, struct shadow_decoder decoder);
/* On a thread. 0 or an errno. */
int shadow_start(struct shadow *s);
/* What the thread does again and again: all steps that there are, at most 64. false: there was
 * none. Without a thread, the caller's. */
bool shadow_turn(struct shadow *s);
/* Its thread is to end after the step that it is in. */
void shadow_stop(struct shadow *s);
bool shadow_has_ended(const struct shadow *s);
/* Waits for the thread, if there is one that was not seen to end. The decoder that it has now stays
 * the caller's, and is returned. */
struct shadow_decoder shadow_free(struct shadow *s);
/* Any thread but the data thread. */
void shadow_read(struct shadow *s, struct shadow_status *out);

/* ---- the data thread, between two entries of the line ---- */

/* Has it done the newest step, and the others that it was to be primed with? */
bool shadow_is_level(const struct shadow *s);
/* Only when it is level: as in its status, for what it has now. */
bool shadow_is_exact(const struct shadow *s);
/* Only when it is level. What it had is returned: the line's from now on. It goes on with `other`,
 * which was the line's, in that role. */
struct shadow_decoder shadow_exchange(struct shadow *s, struct shadow_decoder other,
                                      enum shadow_role role);

#endif

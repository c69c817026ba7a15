/* An order of the operator to one stream, from its posting to what is said about it. */
#ifndef LATENTD_ORDERING_H
#define LATENTD_ORDERING_H

#include "control/code.h"
#include "latentd/held.h"
#include "latentd/stream.h"

#define ORDERING_TEXT 640
#define ORDERING_WORDS 400

struct ordering {
    struct stream *stream;
    struct held *held;
    enum line_event_kind entry;
    uint64_t t_taken_ns, t_seen_ns; /* by control; seen: carried out. 0: not yet */
    struct order order;
    uint64_t change;            /* of held; 0: none */
    char words[ORDERING_WORDS]; /* "NAME is ...", once it is done */

    /* The answer, once it is there. */
    enum control_code code;
    uint64_t t_posted_ns; /* the order was there by then; 0: nothing was ordered */
    uint64_t t_done_ns;   /* by the data thread; 0: it was not, or nothing was ordered */
    char text[ORDERING_TEXT];
};

/* entry: LINE_RESET, LINE_SAFE_ON or LINE_SAFE_OFF. */
void ordering_post(struct ordering *o, struct stream *s, struct held *held,
                   enum line_event_kind entry);
/* A mask, if it may be: else it has its answer already. bits [line_mask_bytes] becomes what is
 * ordered. */
void ordering_mask(struct ordering *o, struct stream *s, const uint8_t *bits);
/* Of a normalisation that learns. numbers: mean, sd [2, C]; of LOAD alone. */
void ordering_normalise(struct ordering *o, struct stream *s, enum latent_normalise_act act,
                        const double *numbers);
void ordering_would_normalise(struct ordering *o, struct stream *s, enum latent_normalise_act act);
/* What would be, for a dry run. */
void ordering_would(struct ordering *o, const struct stream *s, enum line_event_kind entry);
void ordering_would_mask(struct ordering *o, struct stream *s, const uint8_t *bits);
/* Is the answer there? If so, it has been said. */
bool ordering_look(struct ordering *o, uint64_t now_ns);

#endif

/* The line of a record, built once more from what the record says. */
#ifndef REPLAY_AGAIN_H
#define REPLAY_AGAIN_H

#include "conf/conf.h"
#include "latent.h"
#include "line/label.h"
#include "line/line.h"
#include "record/reading.h"

/* A model that was promoted, and what runs on it. */
struct again_decoder {
    latent_model *model; /* NULL: one that is open already */
    latent_decoder *decoder;
    struct line_decoder *seat;
};

struct again {
    struct conf conf;
    uint32_t contract; /* that the record follows; one that does not say follows 1 */
    latent_model *model;
    struct latent_info info;
    latent_decoder *decoder;
    struct line *line;
    struct line_decoder *first;     /* around that decoder */
    struct again_decoder *decoders; /* [n_decoders] promoted so far */
    size_t n_decoders;
};

/* model_path NULL: where the record says. The model must be the recorded one, by its hash. 0, or
 * negative and a text; again_close is due in both cases. */
int again_open(struct again *a, struct reading *r, const char *model_path, struct line_clock clock,
               struct line_sink sink, struct latent_error *err);
/* A decoder with this label, that is not in use: the model is opened where the label says, or is
 * one that is open already, and must be the one that was promoted, by its hash. NULL and a text. */
struct line_decoder *again_find(struct again *a, const struct label *label,
                                struct latent_error *err);
/* The state of a promoted decoder, as its entry says it. */
int again_promoted(struct again *a, const struct line_event *entry, struct line_decoder **out,
                   struct latent_error *err);
void again_close(struct again *a);

#endif

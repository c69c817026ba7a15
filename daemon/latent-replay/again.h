/* The line of a record, built once more from what the record says. */
#ifndef REPLAY_AGAIN_H
#define REPLAY_AGAIN_H

#include "conf/conf.h"
#include "latent.h"
#include "line/line.h"
#include "record/reading.h"

struct again {
    struct conf conf;
    uint32_t contract; /* that the record follows; one that does not say follows 1 */
    latent_model *model;
    struct latent_info info;
    latent_decoder *decoder;
    struct line *line;
};

/* model_path NULL: where the record says. The model must be the recorded one, by its hash. 0, or
 * negative and a text; again_close is due in both cases. */
int again_open(struct again *a, struct reading *r, const char *model_path, struct line_clock clock,
               struct line_sink sink, struct latent_error *err);
void again_close(struct again *a);

#endif

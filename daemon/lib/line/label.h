/* Which decoder it is, as bytes for a record: enough to find the model file again, to tell whether
 * it is still the same, and to make the decoder from it. */
#ifndef LINE_LABEL_H
#define LINE_LABEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "latent.h"

#define LABEL_MAX_WORD 64
#define LABEL_MAX_SESSION 68 /* one byte more than a name has, and a 0 */
#define LABEL_MAX_PATH 4096

struct label {
    uint64_t decoder_id;
    uint8_t sha256[32]; /* of the model file */
    uint32_t groups;    /* enum latent_group */
    char mode[LABEL_MAX_WORD], precision[LABEL_MAX_WORD];
    char session[LABEL_MAX_SESSION]; /* empty: the file has none */
    char path[LABEL_MAX_PATH];       /* from the root on, if it could be found */
};

/* Looks at the file system. */
void label_of(struct label *out, const latent_decoder *d, const struct latent_info *info);
size_t label_size(const struct label *label);
/* bytes: [label_size] */
void label_write(const struct label *label, unsigned char *bytes);
/* The label that n bytes begin with, and how many of them it is. false: it is none, or damaged. */
bool label_read(struct label *out, const void *bytes, size_t n, size_t *n_label);

#endif

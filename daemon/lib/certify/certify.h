/* Is this machine good for this configuration? Facts that are known to make threads late, and
 * measurements of the wake-up, of the models and of the whole way, with a verdict.
 *
 * It says how this machine kept time while it was looked at. It is no medical statement. */
#ifndef CERTIFY_CERTIFY_H
#define CERTIFY_CERTIFY_H

#include <stdbool.h>
#include <stdio.h>

#include "certify/findings.h"
#include "certify/system.h"
#include "latent.h"

struct certify_options {
    const char *config; /* file */
    const char *root;   /* of /proc and /sys; "" is this machine */
    double seconds;     /* of each measurement; 0: only facts */
    bool load;          /* programs of our own on the other cores meanwhile */
};

struct certify_stream {
    char name[40], arch[32], mode[64], precision[32], model_sha256[65];
    char session[68]; /* empty: the model has none */
    uint32_t n_channels, bin_width_us;
    uint64_t budget_ns;
};

struct certificate {
    struct certify_options options;
    struct fingerprint machine;
    struct findings findings;
    struct certify_stream *streams; /* [n_streams] */
    size_t n_streams;
    char date[32]; /* UTC */
    bool is_measured;
};

/* Looks and measures. certificate_free is due in both cases. 0, or negative and a text: it could
 * not be done, and there is no verdict. */
int certify(struct certificate *out, const struct certify_options *options,
            struct latent_error *err);
void certificate_free(struct certificate *c);
/* All measured series are ok, and something was measured. */
bool certificate_holds(const struct certificate *c);
/* The first group whose measurement failed; CERTIFY_N_GROUPS: none. */
enum certify_group certificate_failed(const struct certificate *c);

/* What a terminal shows: one line a group, then what is not ok, then the verdict. */
void certificate_print(const struct certificate *c, FILE *out);
void certificate_print_json(const struct certificate *c, FILE *out);
/* Everything, with histograms: as HTML with SVG where the name ends in .html or .htm, else as
 * Markdown. 0, or negative and a text. */
int certificate_write(const struct certificate *c, const char *path, struct latent_error *err);

#endif

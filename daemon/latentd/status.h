/* The daemon's state as a protobuf message. */
#ifndef LATENTD_STATUS_H
#define LATENTD_STATUS_H

#include "latent.pb-c.h"
#include "latentd/daemon.h"

struct stream_box;
struct input_box;

#define STATUS_N_KEYS (2 * ACCESS_N_DOORS) /* accepted and refused, each door */
#define STATUS_MAX_NOTES (2 * NOTES_MAX)   /* those of the start, and remarks on inputs */
#define STATUS_N_OUTPUTS 3                 /* of their peers */

/* A message with the memory that it points to; strings stay the daemon's. */
struct status {
    Latent__V1__Status message;
    struct stream_box *boxes;
    struct input_box *input_boxes;
    Latent__V1__StreamStatus **streams;
    Latent__V1__Counter **inputs;
    char *notes[STATUS_MAX_NOTES];
    Latent__V1__Counter key_counter[STATUS_N_KEYS];
    Latent__V1__Counter *keys[STATUS_N_KEYS];
    char key_name[STATUS_N_KEYS][32];
    Latent__V1__Counter output_counter[STATUS_N_OUTPUTS];
    Latent__V1__Counter *outputs[STATUS_N_OUTPUTS];
    size_t n_boxes;
};

/* Of one stream, with the configuration text of its model, or of all (only = NULL),
 * without. 0, or -1: out of memory; status_free is due in both cases. */
int status_build(struct status *st, struct daemon *d, struct stream *only);
/* Of one stream with its channels one by one, and without that text. Likewise. */
int status_build_channels(struct status *st, struct daemon *d, struct stream *s);
void status_free(struct status *st);

#endif

/* What certify measures itself, each for as long as it is asked to. */
#ifndef CERTIFY_MEASURE_H
#define CERTIFY_MEASURE_H

#include "base/thread.h"
#include "certify/findings.h"
#include "conf/conf.h"

/* A stream of the configuration with its model, opened for measuring. */
struct subject {
    const struct conf_stream_section *section; /* resolved */
    const latent_model *model;
    struct latent_info info;
    struct thread_wish wish; /* of its data loop, checked */
};

/* Limits of this process, and what may really be done. */
void limits_measure(const struct conf *c, const char *root, struct findings *f);
/* How long the disk below a folder takes to keep 4 KiB, 200 times, and for how many hours of
 * bytes_per_s it has room. */
void disk_measure(const char *folder, double bytes_per_s, struct findings *f);
/* A thread set up as the data loop that wakes each bin: how late is it? */
int wake_measure(const struct subject *s, double seconds, struct findings *f,
                 struct latent_error *err);
/* Steps of the stream's decoder at its pace with caches that others have used meanwhile; every
 * other half second they are warmed as warm-ms does. */
int steps_measure(const struct subject *s, double seconds, struct findings *f,
                  struct latent_error *err);
/* The program latentd itself on a copy of the configuration, own sources and one consumer: from the
 * end of a bin to its frame. */
int end_measure(const struct conf *c, const struct subject *subjects, double seconds,
                struct findings *f, struct latent_error *err);

#endif

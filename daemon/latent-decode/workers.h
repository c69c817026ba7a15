/* Decoding all trials of a recording on several threads. A trial begins with a reset, so the result
 * does not depend on how many there are, nor on who takes which trial. */
#ifndef DECODE_WORKERS_H
#define DECODE_WORKERS_H

#include "data/recording.h"
#include "latent-decode/compare.h"
#include "latent-decode/results.h"
#include "latent.h"

/* What is decoded; everything is shared by the threads and must outlive workers_run. */
struct workers_job {
    const latent_model *model;
    struct latent_options options; /* of each decoder */
    const char *against;           /* NULL, or a precision that decodes beside it, to compare */
    struct comparison *comparison; /* where to */
    struct reader *reader;
    struct results *results;
    size_t n_slab_bins; /* bins read and written at once; offline modes: the trial */
    size_t n_threads;   /* 1 or more; no more than trials are started */
};

/* Threads to use when nobody says: one for each processor that the system gives us. */
size_t workers_default(void);
/* Every trial, in any order. The first mistake by trial order ends it: a negative status and its
 * text. SIGINT and SIGTERM (command/stop.h) end it, too. */
int workers_run(const struct workers_job *job, struct latent_error *err);

#endif

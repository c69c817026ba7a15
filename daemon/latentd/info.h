/* NAME/info: what a consumer must know to read frames. */
#ifndef LATENTD_INFO_H
#define LATENTD_INFO_H

#include "latent.pb-c.h"
#include "latentd/stream.h"

/* A message with the memory that it points to; strings stay the stream's. */
struct info_message {
    Latent__V1__Info info;
    Latent__V1__ReadoutInfo *readout;
    Latent__V1__ReadoutInfo **pointers;
};

/* 0 or -1: out of memory. */
int info_build(struct info_message *m, const struct stream *s);
void info_free(struct info_message *m);
/* What it says of the source's clock, which info_build leaves out. */
void info_add_clock(Latent__V1__Info *m, const struct stream *s);
/* Packed, with room for the clock behind it, to be freed; NULL: out of memory. */
void *info_pack(const struct stream *s, size_t *n_bytes);
/* The engine's, with what the clock says now: as output_send. In the data thread. */
int info_send(const struct stream *s, const struct engine *e);

#endif

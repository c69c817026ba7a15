/* The link of a rate head: what makes expected counts per bin of its output. */
#ifndef LATENT_LINK_H
#define LATENT_LINK_H

#include <stddef.h>
#include <stdint.h>

#include "base/fields.h"

enum rate_link { LINK_EXP, LINK_SOFTPLUS, LINK_RELU, LINK_LINEAR };

/* Reads "lograte" (true: the head gives log-rates, link exp; optional where files have always been
 * of that kind) and "link" (optional: without it lograte false is relu). */
enum rate_link link_read(struct fields *c, bool has_lograte);
/* y [n] of the head -> expected counts. Returns LATENT_LIMITED where a linear one was below 0, and
 * is 0 now; else 0. */
uint32_t link_apply(enum rate_link link, float *y, size_t n);

#endif

/* Late bins for people and programs: a table, one bin in some lines, JSON. */
#ifndef LATENTCTL_WHY_H
#define LATENTCTL_WHY_H

#include <stdbool.h>
#include <stdio.h>

#include "latent.pb-c.h"

/* What a bin's time is counted from to what it is counted to, and by how much that is too much. */
uint64_t why_bin_whole_ns(const Latent__V1__LateBin *b);
/* One bin, in words. */
void why_print_bin(const char *stream, const Latent__V1__LateBin *b, FILE *out);
/* All of them, a line each, at most 80 columns. */
void why_print_table(const Latent__V1__Why *w, FILE *out);
void why_print_json(const Latent__V1__Why *w, FILE *out);

#endif

/* Channels and masks as text, for people: at most 80 columns. */
#ifndef LATENTCTL_CHANNEL_TABLE_H
#define LATENTCTL_CHANNEL_TABLE_H

#include <stdbool.h>
#include <stdio.h>

#include "latent.pb-c.h"

/* What is masked and what is bad, in short; nothing where nothing ever was. */
void channel_table_print_short(const Latent__V1__Masking *m, const char *stream, FILE *out);
/* The channels of the only stream: those that are masked or bad, or all. */
void channel_table_print(const Latent__V1__Status *status, bool all, FILE *out);

#endif

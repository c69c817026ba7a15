/* A status as text, for people. */
#ifndef LATENTCTL_TABLE_H
#define LATENTCTL_TABLE_H

#include <stdio.h>

#include "latent.pb-c.h"

void table_print(const Latent__V1__Status *status, FILE *out);
/* The model of the first stream: what it is, its outputs, its configuration. */
void table_print_model(const Latent__V1__Status *status, FILE *out);

#endif

/* A status as JSON, for programs. */
#ifndef LATENTCTL_JSON_H
#define LATENTCTL_JSON_H

#include <stdio.h>

#include "latent.pb-c.h"

void json_print(const Latent__V1__Status *status, FILE *out);

#endif

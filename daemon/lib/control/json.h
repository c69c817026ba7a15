/* A status as JSON, for programs. */
#ifndef CONTROL_JSON_H
#define CONTROL_JSON_H

#include <stdio.h>

#include "latent.pb-c.h"

void json_print(const Latent__V1__Status *status, FILE *out);

#endif

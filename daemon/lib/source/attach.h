/* Binding and connecting the sockets of a source. */
#ifndef SOURCE_ATTACH_H
#define SOURCE_ATTACH_H

#include "latent.h"

/* Prints the endpoint that a bind to a wildcard got. 0, or negative and a clear text. */
int source_attach(void *socket, const char *program, const char *what, const char *endpoint,
                  int bind, struct latent_error *err);

#endif

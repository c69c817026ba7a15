/* A record as an HDF5 file, for whoever analyses it elsewhere. Works without a daemon. */
#ifndef LATENTCTL_EXPORT_H
#define LATENTCTL_EXPORT_H

#include "latent.h"

/* Prints what was exported, and on stderr what the record lacks. 0, or negative and a text; out
 * then does not exist, or is as before. */
int export_record(const char *record, const char *out, struct latent_error *err);

#endif

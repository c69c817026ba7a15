/* Is all of a dataset there? HDF5 reads what is missing as the fill value, without a word. */
#ifndef DATA_H5STORED_H
#define DATA_H5STORED_H

#include <hdf5.h>

#include "latent.h"

/* Refuses a dataset that was never written, whose chunks are not all there, whose values lie in
 * other files that are missing or too short, or that is packed by a filter this library lacks.
 * where: the input's name for the texts; path: of its file, where other files are looked for. */
int h5stored_check(hid_t dataset, const char *where, const char *path, struct latent_error *err);

#endif

/* LZF, as h5py packs chunks with it: unpacking for the HDF5 library. */
#ifndef DATA_LZF_H
#define DATA_LZF_H

#include <stddef.h>

/* Unpacks n_in bytes into at most n_out. Returns how many came out; 0: damaged, or too little
 * room. */
size_t lzf_unpack(const unsigned char *in, size_t n_in, unsigned char *out, size_t n_out);
/* Makes the library's reads unpack filter 32000. Again is harmless. */
void lzf_register(void);

#endif

/* The HDF5 library as the tools want it. */
#ifndef DATA_H5_H
#define DATA_H5_H

/* Call before anything else of HDF5; again is harmless. */
void h5_start(void);

#endif

/* The HDF5 library as the tools want it. */
#ifndef TOOL_H5_H
#define TOOL_H5_H

/* Call before anything else of HDF5; again is harmless. */
void h5_start(void);

#endif

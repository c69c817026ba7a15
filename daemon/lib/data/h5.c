/* HDF5's manners at start and exit. */
#include "data/h5.h"

#include <hdf5.h>

void h5_start(void)
{
    static int started;
    if (started) return;
    started = 1;
    /* At exit the library would flush once more, and crashes where the disk is full. Every file is
     * closed by then. */
    H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* failures are told once, by us */
}

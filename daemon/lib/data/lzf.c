/* LZF: a control byte below 32 is followed by that many bytes + 1 as they are; any other holds in
 * its upper three bits a length - 2 (7: the next byte adds to it) and in its lower five, with the
 * byte that follows, a distance - 1 back into what has come out already. */
#include "data/lzf.h"

#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

#define LZF_FILTER 32000 /* its number at the HDF Group */
#define CHUNK_BYTES 2    /* which of its values is the size of a chunk */
#define MOST_BYTES (1u << 30)

size_t lzf_unpack(const unsigned char *in, size_t n_in, unsigned char *out, size_t n_out)
{
    const unsigned char *end = in + n_in;
    size_t n = 0;
    while (in < end) {
        size_t control = *in++;
        if (control < 32) {
            size_t length = control + 1;
            if ((size_t)(end - in) < length || n_out - n < length) return 0;
            memcpy(out + n, in, length);
            in += length;
            n += length;
            continue;
        }
        size_t length = control >> 5, distance = (control & 31) << 8;
        if (length == 7) {
            if (in == end) return 0;
            length += *in++;
        }
        length += 2;
        if (in == end) return 0;
        distance += *in++ + 1u;
        if (distance > n || n_out - n < length) return 0;
        for (size_t i = 0; i < length; i++, n++) out[n] = out[n - distance];
    }
    return n;
}

/* Only unpacks; HDF5 hands over the chunk and takes another buffer in its place. */
static size_t filter(unsigned flags, size_t n_values, const unsigned values[], size_t n_bytes,
                     size_t *buffer_size, void **buffer)
{
    size_t room = n_values > CHUNK_BYTES ? values[CHUNK_BYTES] : 0;
    if (!(flags & H5Z_FLAG_REVERSE) || room == 0 || room > MOST_BYTES) return 0;
    unsigned char *out = calloc(room, 1);
    size_t n = out ? lzf_unpack(*buffer, n_bytes, out, room) : 0;
    if (n == 0) {
        free(out);
        return 0;
    }
    free(*buffer);
    *buffer = out;
    *buffer_size = room;
    return n;
}

void lzf_register(void)
{
    static const H5Z_class2_t lzf = {H5Z_CLASS_T_VERS, LZF_FILTER, 0,    1,
                                     "lzf of h5py",    NULL,       NULL, filter};
    if (H5Zfilter_avail(LZF_FILTER) <= 0) H5Zregister(&lzf);
}

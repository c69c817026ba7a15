/* A decoder's state as bytes that may come from outside: little-endian values, one piece of the
 * state arena after the other, each checked before anything is believed.
 *
 *   "latsnap2", u32 format 3, u32 pieces, u64 decoder id, u64 bytes of what follows the hash,
 *   SHA-256 of it; per piece u32 kind (enum arena_kind), u64 n, n values
 *
 * Formats that are read but no longer written: 2, the same without the pieces of the input stage,
 * which are the last; 1, without them too, u64 decoder id, u64 bytes, SHA-256, then the arena as it
 * lay in memory. */
#ifndef LATENT_SNAPSHOT_H
#define LATENT_SNAPSHOT_H

#include "base/arena.h"

/* The state, carved with pieces. The first piece holds flags; the last of them says that the
 * decoder has failed: only then may floats not be finite. */
struct snapshot {
    uint64_t decoder_id;
    const struct arena *state;
    size_t n_old_pieces, n_old_bytes; /* of it, that formats before 3 have */
};
#define SNAPSHOT_WITH_INPUT 3

size_t snapshot_size(const struct snapshot *s);
/* out [snapshot_size] */
void snapshot_write(const struct snapshot *s, unsigned char *out);
/* Into the state. Returns the format that was read, whose pieces alone were written; 0: of another
 * decoder, damaged, or with a value that cannot be; the state is then as before. */
int snapshot_read(const struct snapshot *s, const unsigned char *bytes, size_t n);

#endif

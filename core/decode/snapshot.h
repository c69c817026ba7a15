/* A decoder's state as bytes that may come from outside: little-endian values, one piece of the
 * state arena after the other, each checked before anything is believed.
 *
 *   "latsnap2", u32 format 2, u32 pieces, u64 decoder id, u64 bytes of what follows the hash,
 *   SHA-256 of it; per piece u32 kind (enum arena_kind), u64 n, n values
 *
 * Format 1, which is read but no longer written, is u64 decoder id, u64 bytes, SHA-256, then the
 * arena as it lay in memory. */
#ifndef LATENT_SNAPSHOT_H
#define LATENT_SNAPSHOT_H

#include <stdbool.h>

#include "base/arena.h"

/* The state, carved with pieces. The first piece holds flags; the last of them says that the
 * decoder has failed: only then may floats not be finite. */
struct snapshot {
    uint64_t decoder_id;
    const struct arena *state;
};

size_t snapshot_size(const struct snapshot *s);
/* out [snapshot_size] */
void snapshot_write(const struct snapshot *s, unsigned char *out);
/* Into the state. false: of another decoder, damaged, or with a value that cannot be; the state is
 * then as before. */
bool snapshot_read(const struct snapshot *s, const unsigned char *bytes, size_t n);

#endif

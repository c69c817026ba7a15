/* The unpack arena as protobuf-c wants to see it; private to the wire. */
#ifndef LATENT_WIRE_ARENA_H
#define LATENT_WIRE_ARENA_H

#include <protobuf-c/protobuf-c.h>

#include "wire.h"

/* Resets the arena. Freeing is ignored: the next reset takes all back. */
ProtobufCAllocator wire_arena_allocator(struct wire_arena *arena);

#endif

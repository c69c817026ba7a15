/* The unpack arena as a protobuf-c allocator. */
#include "wire_arena.h"

#include <assert.h>

static void *arena_alloc(void *data, size_t n)
{
    struct wire_arena *arena = data;
    size_t start = (arena->used + 15) & ~(size_t)15;

    if (start > arena->size || n > arena->size - start) return NULL;
    arena->used = start + n;
    return arena->bytes + start;
}

static void arena_free(void *data, void *pointer)
{
    (void)data;
    (void)pointer;
}

ProtobufCAllocator wire_arena_allocator(struct wire_arena *arena)
{
    assert(((uintptr_t)arena->bytes & 15) == 0);
    arena->used = 0;
    return (ProtobufCAllocator){arena_alloc, arena_free, arena};
}

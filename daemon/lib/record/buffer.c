/* Doubles. */
#include "record/buffer.h"

#include <stdlib.h>
#include <string.h>

int buffer_add(struct buffer *b, const void *bytes, size_t n)
{
    if (n == 0) return 0;
    if (b->n + n > b->capacity) {
        size_t capacity = 2 * (b->n + n);
        unsigned char *grown = realloc(b->bytes, capacity);

        if (!grown) return -1;
        b->bytes = grown;
        b->capacity = capacity;
    }
    memcpy(b->bytes + b->n, bytes, n);
    b->n += n;
    return 0;
}

void buffer_free(struct buffer *b)
{
    free(b->bytes);
    *b = (struct buffer){0};
}

/* Bytes that grow. */
#ifndef RECORD_BUFFER_H
#define RECORD_BUFFER_H

#include <stddef.h>

struct buffer {
    unsigned char *bytes;
    size_t n, capacity;
};

int buffer_add(struct buffer *b, const void *bytes, size_t n); /* 0; -1: no memory */
void buffer_free(struct buffer *b);

#endif

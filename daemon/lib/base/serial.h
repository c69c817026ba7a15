/* Values one by one, little-endian, into a file's bytes or out of them. One function that visits
 * the fields of a struct in order serves to count, to write and to read them; what is read is
 * checked, since it may come from outside. */
#ifndef BASE_SERIAL_H
#define BASE_SERIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct serial {
    enum { SERIAL_COUNT, SERIAL_WRITE, SERIAL_READ } how;
    unsigned char *to;         /* SERIAL_WRITE: [n_bytes] */
    const unsigned char *from; /* SERIAL_READ: [n_bytes] */
    size_t n_bytes, at;        /* at: how far the fields visited reach */
    bool is_bad;               /* one was not there, or cannot be what it says; reading gave 0 */
};

void serial_u64(struct serial *f, uint64_t *value);
void serial_u32(struct serial *f, uint32_t *value);
/* At most `most`. */
void serial_u32_to(struct serial *f, uint32_t *value, uint32_t most);
void serial_byte_to(struct serial *f, uint8_t *value, uint8_t most);
void serial_bool(struct serial *f, bool *value);
/* Finite. */
void serial_floats(struct serial *f, float *values, size_t n);

/* FNV-1a: enough to tell a damaged copy, and cheap in a data thread. */
uint64_t serial_check(const unsigned char *bytes, size_t n);

#endif

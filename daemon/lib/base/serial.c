/* Past the end nothing is written, and read as 0. */
#include "base/serial.h"

#include <math.h>
#include <string.h>

#include "latent_bytes.h"

/* What the field holds after it was visited. */
static uint64_t visit(struct serial *f, uint64_t value, size_t width)
{
    size_t at = f->at;

    f->at += width;
    if (f->how == SERIAL_COUNT) return value;
    if (f->at > f->n_bytes) {
        f->is_bad = true;
        return f->how == SERIAL_READ ? 0 : value;
    }
    if (f->how == SERIAL_READ) return bytes_to_whole(f->from + at, width);
    bytes_from_whole(f->to + at, value, width);
    return value;
}

static uint64_t visit_to(struct serial *f, uint64_t value, size_t width, uint64_t most)
{
    value = visit(f, value, width);
    if (value <= most) return value;
    f->is_bad = true;
    return 0;
}

void serial_u64(struct serial *f, uint64_t *value)
{
    *value = visit(f, *value, 8);
}

void serial_u32(struct serial *f, uint32_t *value)
{
    *value = (uint32_t)visit(f, *value, 4);
}

void serial_u32_to(struct serial *f, uint32_t *value, uint32_t most)
{
    *value = (uint32_t)visit_to(f, *value, 4, most);
}

void serial_byte_to(struct serial *f, uint8_t *value, uint8_t most)
{
    *value = (uint8_t)visit_to(f, *value, 1, most);
}

void serial_bool(struct serial *f, bool *value)
{
    *value = visit_to(f, *value, 1, 1) != 0;
}

void serial_floats(struct serial *f, float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;

        memcpy(&bits, &values[i], sizeof bits);
        bits = (uint32_t)visit(f, bits, sizeof bits);
        memcpy(&values[i], &bits, sizeof bits);
        if (isfinite(values[i])) continue;
        f->is_bad = true;
        values[i] = 0.0f;
    }
}

uint64_t serial_check(const unsigned char *bytes, size_t n)
{
    uint64_t check = 14695981039346656037u;

    for (size_t i = 0; i < n; i++) check = (check ^ bytes[i]) * 1099511628211u;
    return check;
}

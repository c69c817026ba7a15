/* Bins <-> bytes: unpacking hostile input, and packing with the narrowest encoding. */
#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "latent.pb-c.h"
#include "wire_arena.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "counts are little-endian");

#define N_ENCODINGS 4
#define PAIR_BYTES 4
#define TAG_CLOCK_ID (8 << 3 | 1) /* Bins.clock_id, 64 bits */

/* ---- unpacking ---- */

enum wire_refusal wire_unpack_bins(struct wire_arena *arena, const void *payload, size_t n,
                                   struct wire_bins *out)
{
    ProtobufCAllocator allocator = wire_arena_allocator(arena);
    const Latent__V1__Bins *m;

    if (n == 0) return WIRE_REFUSED_LENGTH;
    m = latent__v1__bins__unpack(&allocator, n, payload);
    if (!m || m->n_bins == 0 || m->n_bins > WIRE_MAX_BINS) return WIRE_REFUSED_FORMAT;
    if ((unsigned)m->encoding >= N_ENCODINGS) return WIRE_REFUSED_FORMAT;
    out->epoch = m->epoch;
    out->seq = m->seq;
    out->t_source_ns = m->t_source_ns;
    out->bin_width_us = m->bin_width_us;
    out->n_channels = m->n_channels;
    out->encoding = (uint32_t)m->encoding;
    out->n_bins = m->n_bins;
    out->clock_id = m->clock_id;
    out->message = m;
    if (m->n_channels == 0 || m->n_channels > WIRE_MAX_CHANNELS) return WIRE_REFUSED_SHAPE;
    return WIRE_OK;
}

void wire_bin_at(const struct wire_bins *bins, size_t i, struct wire_bin *out)
{
    const Latent__V1__Bins *m = bins->message;
    const Latent__V1__Bin *bin;

    assert(i < bins->n_bins);
    bin = m->bins[i];
    out->counts = bin->counts.data;
    out->n_bytes = bin->counts.len;
    out->marks = bin->marks;
    out->event_id = bin->event_id;
}

typedef enum wire_refusal decode_fn(const struct wire_bin *bin, size_t n_channels, float *counts);

static enum wire_refusal decode_u8(const struct wire_bin *bin, size_t n_channels, float *counts)
{
    if (bin->n_bytes != n_channels) return WIRE_REFUSED_SHAPE;
    for (size_t c = 0; c < n_channels; c++) counts[c] = (float)bin->counts[c];
    return WIRE_OK;
}

static unsigned u16_at(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

static enum wire_refusal decode_u16(const struct wire_bin *bin, size_t n_channels, float *counts)
{
    if (bin->n_bytes != 2 * n_channels) return WIRE_REFUSED_SHAPE;
    for (size_t c = 0; c < n_channels; c++) counts[c] = (float)u16_at(bin->counts + 2 * c);
    return WIRE_OK;
}

static enum wire_refusal decode_pairs(const struct wire_bin *bin, size_t n_channels, float *counts)
{
    size_t n_pairs = bin->n_bytes / PAIR_BYTES;
    size_t lowest = 0; /* that the next channel may be */

    if (bin->n_bytes % PAIR_BYTES != 0 || n_pairs > n_channels) return WIRE_REFUSED_SHAPE;
    memset(counts, 0, n_channels * sizeof *counts);
    for (size_t i = 0; i < n_pairs; i++) {
        const uint8_t *pair = bin->counts + PAIR_BYTES * i;
        size_t channel = u16_at(pair);

        if (channel < lowest || channel >= n_channels) return WIRE_REFUSED_VALUE;
        counts[channel] = (float)u16_at(pair + 2);
        lowest = channel + 1;
    }
    return WIRE_OK;
}

static enum wire_refusal decode_f32(const struct wire_bin *bin, size_t n_channels, float *counts)
{
    if (bin->n_bytes != n_channels * sizeof *counts) return WIRE_REFUSED_SHAPE;
    memcpy(counts, bin->counts, bin->n_bytes);
    for (size_t c = 0; c < n_channels; c++)
        if (!isfinite(counts[c])) return WIRE_REFUSED_VALUE;
    return WIRE_OK;
}

enum wire_refusal wire_bin_counts(const struct wire_bins *bins, size_t i, float *counts)
{
    static decode_fn *const decode[N_ENCODINGS] = {
        [LATENT__V1__ENCODING__U8] = decode_u8,
        [LATENT__V1__ENCODING__U16] = decode_u16,
        [LATENT__V1__ENCODING__PAIRS] = decode_pairs,
        [LATENT__V1__ENCODING__F32] = decode_f32,
    };
    struct wire_bin bin;

    wire_bin_at(bins, i, &bin);
    return decode[bins->encoding](&bin, bins->n_channels, counts);
}

/* ---- without the claim ---- */

/* Bytes of the field at p, its tag included; 0: it is none, or goes beyond the end. */
static size_t field_bytes(const uint8_t *p, size_t n)
{
    static const size_t fixed[8] = {[1] = 8, [5] = 4};
    uint64_t length = 0;
    size_t at = 1;

    while (at < n && p[at - 1] & 128) at++; /* the tag */
    if (fixed[p[0] & 7]) return at + fixed[p[0] & 7] <= n ? at + fixed[p[0] & 7] : 0;
    if ((p[0] & 7) != 0 && (p[0] & 7) != 2) return 0;
    for (unsigned shift = 0; at < n && shift < 64; shift += 7) {
        length |= (uint64_t)(p[at] & 127) << shift;
        if (p[at++] & 128) continue;
        if ((p[0] & 7) == 0) return at;
        return length <= n - at ? at + (size_t)length : 0;
    }
    return 0;
}

size_t wire_drop_clock_id(const void *payload, size_t n, uint8_t *to)
{
    const uint8_t *from = payload;
    size_t n_to = 0, n_field;

    for (size_t at = 0; at < n; at += n_field) {
        n_field = field_bytes(from + at, n - at);
        if (n_field && from[at] == TAG_CLOCK_ID) continue;
        if (n_field == 0) n_field = n - at;
        memcpy(to + n_to, from + at, n_field);
        n_to += n_field;
    }
    return n_to;
}

/* ---- choosing the encoding ---- */

static size_t count_nonzero(const float *counts, size_t n)
{
    size_t n_nonzero = 0;

    for (size_t c = 0; c < n; c++) n_nonzero += counts[c] != 0.0f;
    return n_nonzero;
}

/* One encoding serves the whole message. On equal size the plainer one wins. */
static uint32_t encoding_narrowest(const float *counts, size_t n)
{
    float largest = 0.0f;
    size_t plain_bytes, pairs_bytes = PAIR_BYTES * count_nonzero(counts, n);

    for (size_t c = 0; c < n; c++) {
        /* The range first: converting a float outside of it is undefined. NaN fails it too. */
        if (!(counts[c] >= 0.0f && counts[c] <= 65535.0f)) return LATENT__V1__ENCODING__F32;
        if (counts[c] != (float)(unsigned)counts[c]) return LATENT__V1__ENCODING__F32;
        if (counts[c] > largest) largest = counts[c];
    }
    plain_bytes = largest <= 255.0f ? n : 2 * n;
    if (pairs_bytes < plain_bytes) return LATENT__V1__ENCODING__PAIRS;
    return largest <= 255.0f ? LATENT__V1__ENCODING__U8 : LATENT__V1__ENCODING__U16;
}

static size_t encoded_bytes(uint32_t encoding, const float *counts, size_t n_channels)
{
    static const size_t bytes_per_channel[N_ENCODINGS] = {
        [LATENT__V1__ENCODING__U8] = 1,
        [LATENT__V1__ENCODING__U16] = 2,
        [LATENT__V1__ENCODING__F32] = sizeof(float),
    };

    if (encoding == LATENT__V1__ENCODING__PAIRS)
        return PAIR_BYTES * count_nonzero(counts, n_channels);
    return bytes_per_channel[encoding] * n_channels;
}

static uint8_t *put_u16(uint8_t *p, unsigned value)
{
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
    return p + 2;
}

typedef uint8_t *encode_fn(uint8_t *p, const float *counts, size_t n_channels);

static uint8_t *encode_u8(uint8_t *p, const float *counts, size_t n_channels)
{
    for (size_t c = 0; c < n_channels; c++) *p++ = (uint8_t)counts[c];
    return p;
}

static uint8_t *encode_u16(uint8_t *p, const float *counts, size_t n_channels)
{
    for (size_t c = 0; c < n_channels; c++) p = put_u16(p, (unsigned)counts[c]);
    return p;
}

static uint8_t *encode_pairs(uint8_t *p, const float *counts, size_t n_channels)
{
    for (size_t c = 0; c < n_channels; c++) {
        if (counts[c] == 0.0f) continue;
        p = put_u16(p, (unsigned)c);
        p = put_u16(p, (unsigned)counts[c]);
    }
    return p;
}

static uint8_t *encode_f32(uint8_t *p, const float *counts, size_t n_channels)
{
    memcpy(p, counts, n_channels * sizeof *counts);
    return p + n_channels * sizeof *counts;
}

/* ---- packing ---- */

/* protobuf-c packs a Bin only from a struct that points at its encoded bytes. Written
 * by hand, the bytes go straight to their place and no scratch memory is needed. Tag =
 * field number << 3 | wire type. */
enum {
    TAG_BINS = 7 << 3 | 2,     /* Bins.bins, length-delimited */
    TAG_COUNTS = 1 << 3 | 2,   /* Bin.counts, length-delimited */
    TAG_MARKS = 2 << 3 | 5,    /* Bin.marks, 32 bits */
    TAG_EVENT_ID = 3 << 3 | 1, /* Bin.event_id, 64 bits */
};

static size_t varint_bytes(size_t value)
{
    size_t n = 1;

    for (; value >= 128; value >>= 7) n++;
    return n;
}

static uint8_t *put_varint(uint8_t *p, size_t value)
{
    for (; value >= 128; value >>= 7) *p++ = (uint8_t)(value | 128);
    *p++ = (uint8_t)value;
    return p;
}

static uint8_t *put_fixed(uint8_t *p, uint8_t tag, uint64_t value, size_t n_bytes)
{
    if (value == 0) return p; /* proto3: absent means 0 */
    *p++ = tag;
    for (size_t i = 0; i < n_bytes; i++) *p++ = (uint8_t)(value >> 8 * i);
    return p;
}

/* Length of the Bin message itself, given the length of its counts. */
static size_t bin_bytes(size_t n_counts_bytes, const struct wire_bin *bin)
{
    size_t n = bin->marks ? 5 : 0;

    n += bin->event_id ? 9 : 0;
    if (n_counts_bytes) n += 1 + varint_bytes(n_counts_bytes) + n_counts_bytes;
    return n;
}

/* Append one Bin at buf[used]; the new used, or 0 when it does not fit. */
static size_t put_bin(uint32_t encoding, const float *counts, size_t n_channels,
                      const struct wire_bin *bin, uint8_t *buf, size_t used, size_t cap)
{
    static encode_fn *const encode[N_ENCODINGS] = {
        [LATENT__V1__ENCODING__U8] = encode_u8,
        [LATENT__V1__ENCODING__U16] = encode_u16,
        [LATENT__V1__ENCODING__PAIRS] = encode_pairs,
        [LATENT__V1__ENCODING__F32] = encode_f32,
    };
    size_t n_counts_bytes = encoded_bytes(encoding, counts, n_channels);
    size_t n_bytes = bin_bytes(n_counts_bytes, bin);
    uint8_t *p = buf + used;

    if (1 + varint_bytes(n_bytes) + n_bytes > cap - used) return 0;
    *p++ = TAG_BINS;
    p = put_varint(p, n_bytes);
    if (n_counts_bytes) {
        *p++ = TAG_COUNTS;
        p = put_varint(p, n_counts_bytes);
        p = encode[encoding](p, counts, n_channels);
    }
    p = put_fixed(p, TAG_MARKS, bin->marks, 4);
    p = put_fixed(p, TAG_EVENT_ID, bin->event_id, 8);
    return (size_t)(p - buf);
}

/* Everything of Bins but its bins; the bytes written, or 0 when they do not fit. */
static size_t put_head(const struct wire_bins *head, uint32_t encoding, uint8_t *buf, size_t cap)
{
    Latent__V1__Bins m = LATENT__V1__BINS__INIT;

    m.epoch = head->epoch;
    m.seq = head->seq;
    m.t_source_ns = head->t_source_ns;
    m.clock_id = head->clock_id;
    m.bin_width_us = head->bin_width_us;
    m.n_channels = head->n_channels;
    m.encoding = (Latent__V1__Encoding)encoding;
    if (latent__v1__bins__get_packed_size(&m) > cap) return 0;
    return latent__v1__bins__pack(&m, buf);
}

size_t wire_bins_bound(size_t n_bins, size_t n_channels)
{
    const size_t head_bytes = 64, bin_overhead = 32;

    return head_bytes + n_bins * (bin_overhead + n_channels * sizeof(float));
}

size_t wire_pack_bins(const struct wire_bins *head, const float *counts, const uint32_t *marks,
                      const uint64_t *event_ids, uint8_t *buf, size_t cap)
{
    size_t n_channels = head->n_channels, used;
    uint32_t encoding;

    if (head->n_bins == 0 || head->n_bins > WIRE_MAX_BINS) return 0;
    if (n_channels == 0 || n_channels > WIRE_MAX_CHANNELS) return 0;
    encoding = encoding_narrowest(counts, head->n_bins * n_channels);
    used = put_head(head, encoding, buf, cap);
    for (size_t i = 0; i < head->n_bins && used > 0; i++) {
        const struct wire_bin bin = {.marks = marks ? marks[i] : 0,
                                     .event_id = event_ids ? event_ids[i] : 0};

        used = put_bin(encoding, counts + i * n_channels, n_channels, &bin, buf, used, cap);
    }
    return used;
}

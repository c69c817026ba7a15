/* What the tests of the wire share: memory, a head, a message made by protobuf-c. */
#ifndef LATENT_WIRE_FIXTURE_H
#define LATENT_WIRE_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "latent.pb-c.h"
#include "wire.h"

#define MAX_CHANNELS 256
#define MAX_COUNTS (8 * MAX_CHANNELS)
#define ARENA_BYTES (1 << 20)
#define GUARD 0xA5

static _Alignas(16) unsigned char arena_bytes[ARENA_BYTES];
static uint8_t packet[1 << 16];
static float counts[MAX_COUNTS];

static inline struct wire_arena arena_of(size_t n_payload)
{
    size_t size = WIRE_ARENA_BASE + 4 * n_payload;

    assert_true(size <= ARENA_BYTES);
    return (struct wire_arena){.bytes = arena_bytes, .size = size};
}

static inline struct wire_bins head_of(size_t n_bins, uint32_t n_channels)
{
    return (struct wire_bins){.epoch = 7,
                              .seq = 1000,
                              .t_source_ns = 123456789,
                              .bin_width_us = 20000,
                              .n_channels = n_channels,
                              .n_bins = n_bins};
}

static inline void fill(float value, size_t n)
{
    for (size_t i = 0; i < n; i++) counts[i] = value;
}

/* A message made by protobuf-c itself: the bytes that our packing must give too. */
static inline size_t pack_message(uint32_t n_channels, int encoding, size_t n_bins,
                                  const void *bytes, size_t n_bytes)
{
    Latent__V1__Bins m = LATENT__V1__BINS__INIT;
    Latent__V1__Bin bin = LATENT__V1__BIN__INIT;
    static Latent__V1__Bin *bins[WIRE_MAX_BINS + 1];

    bin.counts = (ProtobufCBinaryData){n_bytes, (uint8_t *)bytes};
    for (size_t i = 0; i < n_bins; i++) bins[i] = &bin;
    m.epoch = 7;
    m.seq = 1000;
    m.t_source_ns = 123456789;
    m.bin_width_us = 20000;
    m.n_channels = n_channels;
    m.encoding = (Latent__V1__Encoding)encoding;
    m.n_bins = n_bins;
    m.bins = bins;
    assert_true(latent__v1__bins__get_packed_size(&m) <= sizeof packet);
    return latent__v1__bins__pack(&m, packet);
}

#endif

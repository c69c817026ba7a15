/* Bytes <-> core structs: the only place that knows protobuf.
 *
 * Nothing here allocates from the heap: unpacking goes into a wire_arena, packing into the
 * caller's buffer. Input is hostile: lengths and shapes are checked before anything is believed. */
#ifndef LATENT_WIRE_H
#define LATENT_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "latent.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Why a message or bin was refused; the ledgers count each by name. */
enum wire_refusal {
    WIRE_OK = 0,
    WIRE_REFUSED_LENGTH,   /* empty, above the stream's bound, or not two parts */
    WIRE_REFUSED_FORMAT,   /* not Bins, 0 or too many bins, unknown encoding, arena exhausted */
    WIRE_REFUSED_SHAPE,    /* channel count, bin width or bytes of counts do not fit the model */
    WIRE_REFUSED_SEQUENCE, /* reserved for epoch, sequence, time */
    WIRE_REFUSED_VALUE,    /* non-finite, or channel index out of range or not ascending */
};
#define WIRE_N_REFUSALS 6
LATENT_API const char *wire_refusal_name(enum wire_refusal r); /* "length", "format", ... */

/* Bounds of one message. No part is longer than WIRE_MAX_BYTES; WIRE_MAX_BINS empty bins always fit
 * WIRE_ARENA_BASE; a channel's index in PAIRS is 16 bits. */
#define WIRE_MAX_BYTES (1u << 20)
#define WIRE_MAX_BINS 256
#define WIRE_MAX_CHANNELS 65536

/* A topic is the stream's name, "/", and the kind of message. */
#define WIRE_MAX_STREAM 32  /* letters of a stream's name */
#define WIRE_TOPIC_BYTES 64 /* enough for any topic, with its zero */

/* Memory for one unpacked message: WIRE_ARENA_BASE + 4 x payload. `bytes` is aligned to 16. */
#define WIRE_ARENA_BASE 65536
struct wire_arena {
    unsigned char *bytes;
    size_t size, used;
};

struct wire_bins {
    uint64_t epoch, seq, t_source_ns;
    uint32_t bin_width_us, n_channels;
    uint32_t encoding;
    size_t n_bins;
    const void *message; /* unpacked, in the arena */
    uint64_t clock_id;   /* whose CLOCK_MONOTONIC t_source_ns is (wire_clock_id); 0: of none */
};

struct wire_bin {
    const uint8_t *counts;
    size_t n_bytes;
    uint32_t marks;
    uint64_t event_id;
};

/* Unpack a Bins payload into the arena (which is reset first). Valid until the arena's next use.
 * LENGTH for an empty payload, SHAPE for no or more than WIRE_MAX_CHANNELS channels, with *out
 * filled; whether the channels and the bin width are the model's is for the caller to check before
 * wire_bin_counts. */
LATENT_API enum wire_refusal wire_unpack_bins(struct wire_arena *arena, const void *payload,
                                              size_t n, struct wire_bins *out);
LATENT_API void wire_bin_at(const struct wire_bins *bins, size_t i, struct wire_bin *out);
/* Bytes of bin i as float counts [bins->n_channels]: WIRE_REFUSED_SHAPE when the bytes
 * do not fit n_channels, WIRE_REFUSED_VALUE for non-finite floats or a channel index
 * out of range or not ascending (counts then hold nothing of use). */
LATENT_API enum wire_refusal wire_bin_counts(const struct wire_bins *bins, size_t i, float *counts);

/* A Bins payload without its clock_id, for who sends it at another time: its bytes go to `to` [n];
 * -> their number. What is no message is copied as it is. */
LATENT_API size_t wire_drop_clock_id(const void *payload, size_t n, uint8_t *to);

/* Pack counts [head->n_bins][head->n_channels] with the narrowest encoding that holds all of them
 * exactly; counts that are negative, not whole or above 65535 travel as F32. head->encoding and
 * ->message are not read. Returns the number of bytes, 0 when cap is too small (wire_bins_bound
 * tells) or n_bins or n_channels is 0 or above its bound. marks, event_ids may be NULL. */
LATENT_API size_t wire_bins_bound(size_t n_bins, size_t n_channels);
LATENT_API size_t wire_pack_bins(const struct wire_bins *head, const float *counts,
                                 const uint32_t *marks, const uint64_t *event_ids, uint8_t *buf,
                                 size_t cap);

struct wire_frame {
    uint64_t epoch, seq, pub_seq;
    uint64_t t_source_ns, t_recv_ns, t_publish_ns, clock_id;
    int64_t age_ns; /* end of the bin to t_publish_ns; nothing with LATENT_AGE_UNKNOWN */
    int64_t budget_left_ns;
    uint64_t valid_for_ns, decoder_id, event_id;
    uint32_t mask_version, normalise_version, marks;
    struct latent_frame values; /* flags, latents, rates, readout */
};

/* Bytes a frame of that many floats can take. */
LATENT_API size_t wire_frame_bound(size_t n_values);
/* Returns the number of bytes; 0: cap too small. */
LATENT_API size_t wire_pack_frame(const struct wire_frame *f, uint8_t *buf, size_t cap);
/* Unpack into the arena (which is reset first); values point into it. 0, or -1: not a
 * Frame, or the arena is exhausted. */
LATENT_API int wire_unpack_frame(struct wire_arena *arena, const void *payload, size_t n,
                                 struct wire_frame *out);

struct wire_truth {
    uint64_t epoch, seq, t_source_ns;
    uint32_t n_latents, n_rates, n_readout;
    const float *latents, *rates, *readout;
};
/* Needs at most wire_frame_bound(n_latents + n_rates + n_readout) bytes; 0: cap too small. */
LATENT_API size_t wire_pack_truth(const struct wire_truth *t, uint8_t *buf, size_t cap);

/* Frame.clock_id: first 8 bytes (big-endian) of SHA-256 over /proc/sys/kernel/random/boot_id
 * without white space. Equal ids: CLOCK_MONOTONIC times compare directly. 0 when unknown: equals
 * nobody's. Reads a file: call it once at start. */
LATENT_API uint64_t wire_clock_id(void);

#ifdef __cplusplus
}
#endif
#endif

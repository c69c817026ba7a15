/* liblatent: decode neural population activity, one bin at a time.
 *
 * Two handles. A latent_model is a verified model file: read-only, shareable between
 * threads, and it must outlive its decoders. A latent_decoder is one stream: state and
 * scratch in one block of memory, used by one thread at a time.
 *
 * Real-time rule. latent_decoder_step, latent_decoder_predict, latent_decoder_warm and
 * latent_decoder_reset do no malloc or free, take no lock, write no log, do no file or
 * terminal I/O, never wait, and make no system call. They may be called from a
 * SCHED_FIFO thread. Everything else may allocate and belongs to start-up.
 *
 * Time. Nothing here reads a clock: time arrives in the bin, so replay equals live.
 *
 * Errors. Functions that can fail return 0 or a negative enum latent_status. Misuse (a
 * NULL handle, a decoder used by two threads) asserts; bad input returns a code. Texts
 * in struct latent_error say what, where, expected, found, and what to do. */
#ifndef LATENT_H
#define LATENT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LATENT_API __attribute__((visibility("default")))

enum latent_status {
    LATENT_OK = 0,
    LATENT_E_NOMEM = -1,       /* out of memory */
    LATENT_E_IO = -2,          /* file missing, unreadable, or cut while being read */
    LATENT_E_FORMAT = -3,      /* not a safetensors file, or a damaged one */
    LATENT_E_CONFIG = -4,      /* latent.config: missing or wrong key, unknown value */
    LATENT_E_TENSOR = -5,      /* a tensor is missing, superfluous, or of the wrong type or shape */
    LATENT_E_SELFTEST = -6,    /* the known answer in the file was not reproduced */
    LATENT_E_UNSUPPORTED = -7, /* valid, but this build or this model cannot do it */
    LATENT_E_SHAPE = -8,       /* bin or buffer of the wrong size; state unchanged */
    LATENT_E_VALUE = -9,       /* non-finite input; state unchanged */
    LATENT_E_OUTPUT =
        -10, /* non-finite output; the decoder must be reset before it is used again */
    LATENT_E_SNAPSHOT = -11, /* snapshot of another decoder, or damaged */
};

#define LATENT_ERROR_TEXT 512

struct latent_error {
    int status; /* enum latent_status */
    char text[LATENT_ERROR_TEXT];
};

/* Marks of a bin (bit set), as on the wire. */
enum latent_mark {
    LATENT_MARK_TRIAL_START = 1u << 0, /* reset before this bin; it is position 0 */
    LATENT_MARK_TRIAL_END = 1u << 1,   /* the last bin of the trial */
    LATENT_MARK_RESET = 1u << 2,       /* reset before this bin */
};

/* Flags of a frame (bit set), as on the wire. core sets those marked (c), the daemon
 * the others. */
enum latent_flag {
    LATENT_WARMUP =
        1u << 0,          /* (c) window not yet filled: latents and rates valid, readout neutral */
    LATENT_GAP = 1u << 1, /* bins are missing before this one */
    LATENT_FILLED = 1u << 2,         /* this bin was not received */
    LATENT_PREDICTED = 1u << 3,      /* (c) computed without input */
    LATENT_LATE = 1u << 4,           /* over budget */
    LATENT_HELD = 1u << 5,           /* the last frame, repeated */
    LATENT_SAFE = 1u << 6,           /* readout neutral; latents and rates absent */
    LATENT_RESET = 1u << 7,          /* (c) state was reset before this bin */
    LATENT_SWAPPED = 1u << 8,        /* first frame of another decoder */
    LATENT_MASKED = 1u << 9,         /* some channels are masked */
    LATENT_INPUT_CLIPPED = 1u << 10, /* (c) counts beyond the model's range were clamped */
    LATENT_LIMITED = 1u << 11,       /* (c) a limit or slew limit of the readout applied */
    LATENT_OUTSIDE = 1u << 12, /* (c) outside a trial in a trial-aligned mode; readout neutral */
    LATENT_AGE_UNKNOWN = 1u << 13, /* the source clock is not mapped */
};
#define LATENT_N_FLAGS 14

/* Output groups (bit set). */
enum latent_group {
    LATENT_GROUP_LATENTS = 1u << 0,
    LATENT_GROUP_RATES = 1u << 1,
    LATENT_GROUP_READOUT = 1u << 2,
};

/* How latent_decoder_predict advances over a missing bin. */
enum latent_gap_policy {
    LATENT_GAP_PREDICT = 0, /* the architecture's own forecast (models/<name>/card.md says how) */
    LATENT_GAP_RESET = 1,   /* reset before the next bin: no bin is filled */
};

struct latent_options {
    const char *mode;      /* NULL: the file's first mode */
    const char *precision; /* NULL: the file's first precision */
    uint32_t groups;       /* enum latent_group; 0: all the model has */
    uint32_t on_gap;       /* enum latent_gap_policy */
};

struct latent_bin {
    uint64_t seq;         /* of this bin, consecutive */
    uint64_t t_source_ns; /* end of the bin, source clock */
    uint32_t marks;       /* enum latent_mark */
    uint32_t n_channels;
    const float *counts; /* [n_channels] spikes in this bin; read during the call only */
};

/* One decoded bin. Pointers are into the decoder, valid until its next call; 0 numbers
 * = absent. */
struct latent_frame {
    uint32_t flags; /* enum latent_flag */
    uint32_t n_latents, n_rates, n_readout;
    const float *latents; /* [n_latents] model units */
    const float *rates;   /* [n_rates] Hz */
    const float *readout; /* [n_readout] units of latent_info.readout */
};

struct latent_readout {
    const char *name, *unit;
    float neutral;  /* what a device gets when there is nothing to say */
    float min, max; /* always applied; -INFINITY, INFINITY: none */
    float slew;     /* largest change per second; INFINITY: none */
};

struct latent_mode {
    const char *name;
    uint32_t offline;  /* 1: whole trials only (latent_decoder_trial) */
    uint32_t aligned;  /* 1: positions count from trial_start; ends after trial_bins */
    const char *whole; /* offline mode with the same answer within rounding, or NULL */
};

/* Strings and arrays belong to the model. */
struct latent_info {
    const char *arch, *path, *licence, *source,
        *config;        /* config: the file's latent.config, JSON */
    uint8_t sha256[32]; /* of the whole file */
    uint32_t n_channels, bin_width_us;
    uint32_t n_latents, n_rates, n_readout;
    uint32_t trial_bins; /* longest trial; 0: no limit */
    uint32_t n_modes, n_precisions, n_tensors;
    const struct latent_mode *modes;      /* [n_modes], first = default */
    const char *const *precisions;        /* [n_precisions], first = default */
    const struct latent_readout *readout; /* [n_readout] */
    const char *const *channel_names;     /* [n_channels] or NULL */
    const float *channel_mean;            /* [n_channels] counts per bin in training, or NULL */
    size_t weight_bytes;
};

typedef struct latent_model latent_model;
typedef struct latent_decoder latent_decoder;

/* Read, verify and bind a model file: every offset, every tensor's name, type and
 * shape, finite weights, and the known answer of every mode. The file is read whole and
 * closed. On error *out is NULL. */
LATENT_API int latent_model_open(latent_model **out, const char *path, struct latent_error *err);
LATENT_API void latent_model_info(const latent_model *m, struct latent_info *out);
LATENT_API void latent_model_close(latent_model *m); /* NULL is allowed */

/* A stream on model m (which must outlive it). opt may be NULL. */
LATENT_API int latent_decoder_new(latent_decoder **out, const latent_model *m,
                                  const struct latent_options *opt, struct latent_error *err);
/* Decode one bin. LATENT_E_SHAPE and LATENT_E_VALUE leave the state as it was. */
LATENT_API int latent_decoder_step(latent_decoder *d, const struct latent_bin *in,
                                   struct latent_frame *out);
/* Advance one bin without input. */
LATENT_API int latent_decoder_predict(latent_decoder *d, struct latent_frame *out);
/* Read the weights and the state, one cache line after the other, so that a step that
 * follows soon finds them in the caches: between bins other programs push them out, and
 * a step then waits for memory. Takes about as long as the next step saves; changes
 * nothing. For the moment before a bin is expected, in the thread of the steps. */
LATENT_API void latent_decoder_warm(const latent_decoder *d);
/* Back to the state of a new decoder; the next frame carries LATENT_RESET. */
LATENT_API void latent_decoder_reset(latent_decoder *d);
/* Whole trials, offline modes only: n_bins rows of counts in, n_bins rows out. A NULL
 * output is not written. rates in Hz. Readouts are limited as in a stream, and neutral
 * until the lags of a readout stage are filled. May allocate inside BLAS on the first
 * call. */
LATENT_API int latent_decoder_trial(latent_decoder *d, const float *counts, size_t n_bins,
                                    float *latents, float *rates, float *readout);
/* Pointer-free snapshot of the state. size: bytes needed. load refuses another
 * decoder's. */
LATENT_API size_t latent_decoder_size(const latent_decoder *d);
LATENT_API int latent_decoder_save(const latent_decoder *d, void *buf, size_t n);
LATENT_API int latent_decoder_load(latent_decoder *d, const void *buf, size_t n);
/* First 8 bytes (big-endian) of SHA-256 over file hash, mode, precision and groups. */
LATENT_API uint64_t latent_decoder_id(const latent_decoder *d);
LATENT_API const struct latent_mode *latent_decoder_mode(const latent_decoder *d);
/* Memory of the decoder, for locking and pre-faulting. */
LATENT_API size_t latent_decoder_bytes(const latent_decoder *d);
LATENT_API void latent_decoder_free(latent_decoder *d); /* NULL is allowed */

LATENT_API const char *latent_strerror(int status);
LATENT_API const char *latent_version(void);
LATENT_API const char *latent_kernels(void); /* name of the instruction set in use */
/* Names of enum latent_flag, bit by bit: "WARMUP", ... NULL past the last. */
LATENT_API const char *latent_flag_name(unsigned bit);

#ifdef __cplusplus
}
#endif
#endif

/* liblatent: decode neural population activity, one bin at a time.
 *
 * Two handles. A latent_model is a verified model file: read-only, shareable between threads, and
 * it must outlive its decoders. A latent_decoder is one stream: state and scratch in memory of its
 * own, used by one thread at a time.
 *
 * Real-time rule. latent_decoder_step, latent_decoder_predict, latent_decoder_warm,
 * latent_decoder_mask and latent_decoder_reset do no malloc or free, take no lock, write no log, do
 * no file or terminal I/O, never wait, and make no system call. They may be called from a
 * SCHED_FIFO thread. So may functions that only tell (info, size, id, mode, names, masked). All
 * others belong to start-up: they may allocate, or take long.
 *
 * Time. Nothing here reads a clock: a bin lasts latent_info.bin_width_us, so replay equals live.
 *
 * Errors. Functions that can fail return 0 or a negative enum latent_status. Bad input returns a
 * status; a NULL handle is a mistake in the program and asserts. Texts in struct latent_error say
 * what, where, expected, found, and what to do; every err may be NULL. */
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
    LATENT_E_UNSUPPORTED = -7, /* valid, but this build, model or decoder cannot do it */
    LATENT_E_SHAPE = -8,       /* bin or buffer of the wrong size; state unchanged */
    LATENT_E_VALUE = -9,       /* input not of the model's kind; state unchanged */
    LATENT_E_OUTPUT = -10,     /* non-finite output; refused until latent_decoder_reset */
    LATENT_E_SNAPSHOT = -11,   /* snapshot of another decoder, or damaged; state unchanged */
};

#define LATENT_ERROR_TEXT 512

struct latent_error {
    int status; /* enum latent_status */
    char text[LATENT_ERROR_TEXT];
};

/* Marks of a bin (bit set), as on the wire. */
enum latent_mark {
    LATENT_MARK_TRIAL_START = 1u << 0, /* reset before this bin; it is position 0 */
    LATENT_MARK_TRIAL_END = 1u << 1, /* last bin of the trial: aligned modes are outside after it */
    LATENT_MARK_RESET = 1u << 2,     /* reset before this bin */
};

/* Flags of a frame (bit set), as on the wire. The library sets those marked (*), latentd the
 * others. */
enum latent_flag {
    LATENT_WARMUP = 1u << 0,    /* (*) window not full: latents, rates valid, readout neutral */
    LATENT_GAP = 1u << 1,       /* bins are missing before this one */
    LATENT_FILLED = 1u << 2,    /* this bin was not received */
    LATENT_PREDICTED = 1u << 3, /* (*) computed without input */
    LATENT_LATE = 1u << 4,      /* over budget */
    LATENT_HELD = 1u << 5,      /* the last frame, repeated */
    LATENT_SAFE = 1u << 6,      /* readout neutral; latents and rates absent */
    LATENT_RESET = 1u << 7,     /* (*) state was reset before this bin */
    LATENT_SWAPPED = 1u << 8,   /* first frame of another decoder */
    LATENT_MASKED = 1u << 9,    /* (*) some channels are masked */
    LATENT_INPUT_CLIPPED = 1u << 10, /* (*) counts beyond the model's range were clamped */
    LATENT_LIMITED = 1u << 11,       /* (*) a limit or slew limit of the readout applied, or an
                                        expected count below 0 is shown as 0 */
    LATENT_OUTSIDE = 1u << 12,       /* (*) outside a trial: readout neutral, the rest absent */
    LATENT_AGE_UNKNOWN = 1u << 13,   /* when the bin ended is not known (yet): no age */
    LATENT_NO_SIGNAL = 1u << 14,     /* bins come, but for too long with nothing in them */
    LATENT_BETWEEN = 1u << 15,       /* (*) the model gives nothing in this bin: readout as in the
                                        last that had one, the rest absent */
};
#define LATENT_N_FLAGS 16

/* Output groups (bit set). */
enum latent_group {
    LATENT_GROUP_LATENTS = 1u << 0,
    LATENT_GROUP_RATES = 1u << 1,
    LATENT_GROUP_READOUT = 1u << 2,
    LATENT_GROUP_LOGITS = 1u << 3, /* scores of labels: nothing limits them, nothing stands for them
                                      where there are none */
};

/* All 0: the file's defaults. */
struct latent_options {
    const char *mode;      /* NULL: the file's first mode */
    const char *precision; /* NULL: the file's first precision */
    uint32_t groups;       /* enum latent_group; 0: all the model has */
    uint32_t predicts;     /* 1: latent_decoder_predict will be called; the model must be able to */
    uint32_t any_finite;   /* 1: take any finite input: the caller has judged it, and fills gaps */
    const char *session;   /* one of the file's; NULL: its only one */
};

/* What the values of a bin may be: the model file says it (latent.config.input). */
enum latent_input {
    LATENT_INPUT_COUNTS = 0, /* whole numbers from 0 to 16777215: float32 tells all of them apart */
    LATENT_INPUT_REAL = 1,   /* any finite value */
};
LATENT_API const char *latent_input_name(uint32_t input); /* "counts", "real" */
/* The index of the first of n values that is not of this kind; n when all are. Real-time safe. */
LATENT_API size_t latent_input_check(uint32_t input, const float *values, size_t n);
struct latent_info;
/* One bin [n_channels] held within the model's range into out, which may be values: what the
 * decoder does with every bin, live and offline. Returns LATENT_INPUT_CLIPPED when anything was
 * changed, else 0. Real-time safe. */
LATENT_API uint32_t latent_input_clip(const struct latent_info *info, float *out,
                                      const float *values);

/* How the file normalises its input before the model gets it (latent.config.normalise). */
enum latent_normalise {
    LATENT_NORMALISE_NONE = 0,
    LATENT_NORMALISE_FIXED = 1,        /* by the file's mean and sd */
    LATENT_NORMALISE_EWMA = 2,         /* which follow each bin, slowly and within bounds */
    LATENT_NORMALISE_WINDOW_TRIALS = 3 /* which follow the newest trials, at their ends */
};
LATENT_API const char *latent_normalise_name(uint32_t kind); /* "", "fixed", "ewma", ... */

/* What an operator does to one that learns. */
enum latent_normalise_act {
    LATENT_NORMALISE_FREEZE = 0, /* nothing is learnt any more */
    LATENT_NORMALISE_THAW = 1,
    LATENT_NORMALISE_RESET = 2, /* the file's mean and sd, what was learnt forgotten */
    LATENT_NORMALISE_LOAD = 3   /* the caller's mean and sd in place of the file's */
};

struct latent_normalisation {
    uint32_t version;   /* goes up with every act and every trial that was learnt from */
    uint32_t frozen;    /* 1: nothing is learnt */
    uint32_t n_trials;  /* in the window */
    uint32_t n_bounded; /* channels whose mean or sd the bounds held back in the newest bin */
};

struct latent_bin {
    uint64_t seq;         /* consecutive; for the caller, not read here */
    uint64_t t_source_ns; /* end of the bin, source clock; for the caller, not read here */
    uint32_t marks;       /* enum latent_mark */
    uint32_t n_channels;
    const float *counts;  /* [n_channels] of the model's kind of input; read during the call only */
    uint32_t no_learning; /* 1: normalisation learns nothing from it: it did not come (a gap was
                             filled), or nobody vouches for it */
};

/* One decoded bin. Pointers are into the decoder, valid until its next call; 0 numbers = absent. */
struct latent_frame {
    uint32_t flags; /* enum latent_flag */
    uint32_t n_latents, n_rates, n_readout;
    const float *latents; /* [n_latents] model units */
    const float *rates;   /* [n_rates] Hz */
    const float *readout; /* [n_readout] units of latent_info.readout */
    uint32_t n_logits;    /* 0, too, in WARMUP, OUTSIDE and BETWEEN */
    const float *logits;  /* [n_logits] of latent_info.logit_labels */
};

struct latent_readout {
    const char *name, *unit;
    float neutral;  /* what a device gets when there is nothing to say */
    float min, max; /* always applied; -INFINITY, INFINITY: none */
    float slew;     /* largest change per second; INFINITY: none */
    uint32_t hold;  /* 1: at rest (SAFE, nothing fresh) the last value stays, instead of neutral */
};

/* What may follow `from` after dt_s seconds when y is asked for: y, held within the range, then
 * within slew x dt_s of from. The decoder limits its readout so, from bin to bin; whoever shows
 * readouts at other times limits them so again. */
LATENT_API float latent_readout_limit(const struct latent_readout *r, float y, float from,
                                      double dt_s);

struct latent_mode {
    const char *name;
    uint32_t offline;  /* 1: whole trials only (latent_decoder_trial) */
    uint32_t aligned;  /* 1: positions count from trial_start; ends after trial_bins */
    const char *whole; /* offline mode with the same answer within rounding, or NULL */
};

/* What a model file says of itself. Strings and arrays belong to the model. */
struct latent_info {
    const char *arch, *path, *licence, *source;
    const char *config; /* the file's latent.config, JSON */
    /* What the file was compared with when it was exported: "no", or how many rows of its author's
     * own outputs agreed; NULL: it does not say (exported by an earlier version). */
    const char *checked;
    uint8_t sha256[32]; /* of the whole file */
    uint32_t n_channels, bin_width_us;
    uint32_t n_latents, n_rates, n_readout; /* 0: the model has none */
    uint32_t trial_bins;                    /* longest trial; 0: no limit */
    uint32_t n_modes, n_precisions;
    uint32_t n_tensors;                   /* of weights, the known answer not counted */
    const struct latent_mode *modes;      /* [n_modes], first = default */
    const char *const *precisions;        /* [n_precisions], first = default */
    const struct latent_readout *readout; /* [n_readout] */
    const char *const *channel_names;     /* [n_channels] or NULL */
    const float *channel_mean;            /* [n_channels] counts per bin in training, or NULL */
    size_t weight_bytes;                  /* of those n_tensors, as they lie in the file */
    uint32_t input;                       /* enum latent_input */
    /* Longest runs in training, in bins, or LATENT_NOT_SAID: of bins without a single count; of
     * equal bins with some (input real: of equal bins, whatever is in them). */
    uint32_t longest_silence, longest_repeat;
    const float *channel_clip;     /* [n_channels] no more reaches the model; NULL: any does */
    const float *channel_clip_low; /* [n_channels] nor less; NULL, as for counts: any does */
    uint32_t normalise;            /* enum latent_normalise */
    /* Frames describe the bin delay_bins before theirs; from first_bin after a reset on, every
     * every_bins (1: each), they have values. */
    uint32_t delay_bins, every_bins, first_bin;
    const float *channel_variance;   /* [n_channels] of the counts per bin in training, or NULL */
    uint32_t n_logits;               /* 0: the model has none */
    const char *const *logit_labels; /* [n_logits] */
    /* Days or subjects that the file has weights of their own for; 0: it knows none. With several
     * a decoder must name one. */
    uint32_t n_sessions;
    const char *const *sessions; /* [n_sessions] */
};
#define LATENT_NOT_SAID UINT32_MAX

typedef struct latent_model latent_model;
typedef struct latent_decoder latent_decoder;

/* Read, verify and bind a model file: every offset, every tensor's name, type and shape, finite
 * weights, and the known answer of every mode in every precision. The file is read whole and
 * closed: changing it later changes nothing. On error *out is NULL. */
LATENT_API int latent_model_open(latent_model **out, const char *path, struct latent_error *err);
LATENT_API void latent_model_info(const latent_model *m, struct latent_info *out);
LATENT_API void latent_model_close(latent_model *m); /* NULL is allowed */

/* A stream on model m, which must outlive it. opt: NULL for the defaults; read during the call
 * only. LATENT_E_UNSUPPORTED: not a mode, precision, session or group of the file, several sessions
 * and none named, or it cannot predict. On error *out is NULL. */
LATENT_API int latent_decoder_new(latent_decoder **out, const latent_model *m,
                                  const struct latent_options *opt, struct latent_error *err);
/* Decode one bin; after an error no numbers are in *out. LATENT_E_SHAPE, LATENT_E_VALUE: the bin
 * was not taken, the state is as it was. LATENT_E_OUTPUT: the decoder needs a reset.
 * LATENT_E_UNSUPPORTED: the mode is offline. */
LATENT_API int latent_decoder_step(latent_decoder *d, const struct latent_bin *in,
                                   struct latent_frame *out);
/* Advance one bin without input, by the architecture's own forecast (models/<arch>/card.md).
 * LATENT_E_OUTPUT as above. LATENT_E_UNSUPPORTED: made without `predicts`, or offline. */
LATENT_API int latent_decoder_predict(latent_decoder *d, struct latent_frame *out);
/* Read the weights and the state, one cache line after the other, so that a step that follows soon
 * finds them in the caches: between bins other programs push them out, and a step then waits for
 * memory. Takes about as long as the next step saves; changes nothing. For the moment before a bin
 * is expected, in the thread of the steps. */
LATENT_API void latent_decoder_warm(const latent_decoder *d);
/* Back to the state of a new decoder; the next frame carries LATENT_RESET. Mask and
 * normalisation stay. */
LATENT_API void latent_decoder_reset(latent_decoder *d);
/* From the next bin on these channels are not believed: each reads as its training mean, whatever
 * comes in it, and frames carry LATENT_MASKED. This is the whole mask, not a change of it: bit c %
 * 8 of byte c / 8 is channel c, n_bytes (n_channels + 7) / 8, bits beyond the last channel 0.
 * version: the caller's number for it. The mask is part of the state that latent_decoder_save
 * keeps; a new decoder has none, version 0. A model that counts spikes by a table takes the nearest
 * whole number. A filter that weighs channels by their noise (kalman and its kin) still trusts a
 * mean as if it had been seen: its answer is then too sure, an approximation. LATENT_E_SHAPE;
 * LATENT_E_UNSUPPORTED: the file holds no training mean. The mask is then as it was. */
LATENT_API int latent_decoder_mask(latent_decoder *d, const uint8_t *bits, size_t n_bytes,
                                   uint32_t version);
/* Freeze, thaw, reset or load the normalisation that the file declares, before the next bin. act:
 * enum latent_normalise_act; mean, sd [n] for LOAD, n = n_channels. Its state is part of what
 * latent_decoder_save keeps; latent_decoder_reset does not touch it. LATENT_E_UNSUPPORTED: the file
 * has none that learns; LATENT_E_SHAPE; LATENT_E_VALUE: not finite, or no sd. It is then as it
 * was. Real-time safe. */
LATENT_API int latent_decoder_normalise(latent_decoder *d, uint32_t act, const double *mean,
                                        const double *sd, size_t n);
/* Would LOAD of these, mean and sd [n], be done by a decoder of this model? 0; as there;
 * LATENT_E_SHAPE: n is not n_channels. */
LATENT_API int latent_model_takes_normalisation(const latent_model *m, const double *mean,
                                                const double *sd, size_t n);
/* How it stands; mean, sd [n_channels] in use, NULL: not wanted (nor written where the file has no
 * normalisation). Real-time safe. */
LATENT_API void latent_decoder_normalisation(const latent_decoder *d,
                                             struct latent_normalisation *out, double *mean,
                                             double *sd);
/* How many channels are masked. bits [n_bytes], laid out as above: which; NULL: not wanted. */
LATENT_API uint32_t latent_decoder_masked(const latent_decoder *d, uint8_t *bits, size_t n_bytes);
LATENT_API uint32_t latent_decoder_mask_version(const latent_decoder *d);
/* A whole trial from a reset, offline modes only. counts [n_bins, n_channels]; latents [n_bins,
 * n_latents], rates [n_bins, n_rates] in Hz, readout [n_bins, n_readout], each the caller's, or
 * NULL: not wanted. Readouts are limited as in a stream, and neutral until the lags of a readout
 * stage are filled. LATENT_E_UNSUPPORTED: the mode is not offline. LATENT_E_SHAPE: no bins, or more
 * than trial_bins. Allocates. */
LATENT_API int latent_decoder_trial(latent_decoder *d, const float *counts, size_t n_bins,
                                    float *latents, float *rates, float *readout);
/* Pointer-free snapshot of the state, in latent_decoder_size bytes of the caller. save:
 * LATENT_E_SHAPE when n is less. load: LATENT_E_SNAPSHOT when n is less, or the bytes are damaged
 * or of a decoder with another id. */
LATENT_API size_t latent_decoder_size(const latent_decoder *d);
LATENT_API int latent_decoder_save(const latent_decoder *d, void *buf, size_t n);
LATENT_API int latent_decoder_load(latent_decoder *d, const void *buf, size_t n);
/* First 8 bytes (big-endian) of SHA-256 over file hash, mode, precision and groups, and the session
 * where the file has several. */
LATENT_API uint64_t latent_decoder_id(const latent_decoder *d);
LATENT_API const struct latent_mode *latent_decoder_mode(const latent_decoder *d);
/* One of the model's precisions; enum latent_group. */
LATENT_API const char *latent_decoder_precision(const latent_decoder *d);
LATENT_API uint32_t latent_decoder_groups(const latent_decoder *d);
/* One of the model's sessions; NULL: it has none. */
LATENT_API const char *latent_decoder_session(const latent_decoder *d);
LATENT_API void latent_decoder_free(latent_decoder *d); /* NULL is allowed */

/* Constant strings. */
LATENT_API const char *latent_strerror(int status);
LATENT_API const char *latent_version(void);
LATENT_API const char *latent_kernels(void); /* name of the instruction set in use */
/* Bytes of "struct NAME" of this header in the library that runs, 0 for a name that it does not
 * have: for bindings, which write the structs down again. */
LATENT_API size_t latent_struct_size(const char *name);
/* Names of enum latent_flag, bit by bit: "WARMUP", ... NULL past the last. */
LATENT_API const char *latent_flag_name(unsigned bit);

#ifdef __cplusplus
}
#endif
#endif

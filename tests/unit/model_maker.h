/* Small model files whose known answers were worked out by hand, and ways to damage
 * them. */
#ifndef MODEL_MAKER_H
#define MODEL_MAKER_H

#include "decode/model_file.h"
#include "tensor_file.h"

#define MAKER_MAX_TENSORS 32

/* A model file before it is put together. */
struct model_parts {
    const char *config;
    size_t n_tensors;
    struct file_tensor tensors[MAKER_MAX_TENSORS];
};

/* kalman "given", 3 channels, 2 states, readout of 2, 4 bins of known answer, exact in
 * binary. */
struct model_parts maker_kalman(void);
/* The same with other numbers: what it makes of the same bins differs. */
struct model_parts maker_kalman_other(void);
/* The same behind a normalisation that learns at the ends of trials, from mean 0 and sd 1. */
struct model_parts maker_kalman_normalised(void);
/* Its first state alone, with the same readouts: another model for the same line. */
struct model_parts maker_kalman_1(void);
/* gru with zero weights, 3 channels, hidden 2: latents 0, log-rates = rate.bias. */
struct model_parts maker_gru(void);
/* gru whose two latents are n = 1, 0 or -1 averaged with decay 1/2, behind it a stage
 * with the same decay and two lags. */
struct model_parts maker_stage(void);
/* ndt with zero weights, 2 channels, trials of 3 bins, modes A, C, trial: latents =
 * final norm's bias, log-rates = decoder's bias. */
struct model_parts maker_ndt(void);

struct file_tensor *maker_find(struct model_parts *parts, const char *name);
void maker_remove(struct model_parts *parts, const char *name);
void maker_add(struct model_parts *parts, struct file_tensor tensor);
struct file_bytes maker_file(const struct model_parts *parts);
/* Where a tensor's data lie in a sound file. */
unsigned char *maker_data(struct file_bytes file, const char *name, size_t *n_bytes);

/* Open, expect success, close; frees the file's bytes. */
void check_accepted(struct file_bytes file);
/* Open, expect this status and all words in the text; frees the file's bytes. */
void check_refused(struct file_bytes file, int status, const char *const *words);
/* The same for parts, and for a configuration with `from` replaced by `to`. */
void check_parts_refused(const struct model_parts *parts, int status, const char *const *words);
void check_config_refused(const struct model_parts *parts, const char *from, const char *to,
                          int status, const char *const *words);

#endif

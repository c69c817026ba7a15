/* The weights of an NDT, bound by name. */
#ifndef LATENT_NDT_WEIGHTS_H
#define LATENT_NDT_WEIGHTS_H

#include "layers/encoder.h"
#include "layers/link.h"
#include "models/model.h"

#define NDT_MAX_LAYERS 32

enum ndt_embed { EMBED_IDENTITY, EMBED_TABLE, EMBED_LINEAR };
enum ndt_final { FINAL_LAYER, FINAL_SCALE };
enum ndt_position { POSITION_LEARNT, POSITION_SINUSOIDAL };

struct ndt {
    size_t n_channels, n_rates;     /* C; N: those and the held-out neurons behind them */
    size_t width, n_layers, hidden; /* D, L, F */
    size_t embed_dim, max_count, trial_bins, window_bins;
    size_t future_zeros; /* P: bins of zeros behind the newest; 0: truncated */
    int embed, position, final, head_layers, position_offset;
    bool pre_norm;
    enum rate_link link;
    struct attention_band band;
    const float *table;     /* [max_count + 2, embed_dim] */
    struct linear embedder; /* [D, N] */
    const float *positions; /* [trial_bins, D] */
    struct norm final_norm;
    const float *final_scale; /* scalar */
    struct linear head[2];    /* D -> N, or D -> 16 -> N */
    struct encoder_layer layers[NDT_MAX_LAYERS];
};

/* The load of struct model_ops. */
void *ndt_load(struct weights *w, struct fields *c, struct model_dims *dims);
/* Position of token t, row [D]: as the sines and cosines of "sinusoidal" have it. */
void ndt_position_row(const struct ndt *m, float *row, uint64_t t);

#endif

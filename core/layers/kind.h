/* The kinds of layers that a stack (models/stack.c) is made of: one row each in kinds.c.
 * core/layers/README.md is the list that users read: keys, tensors and equations.
 *
 * Letters: W width of what comes out, X of what comes in. */
#ifndef LATENT_KIND_H
#define LATENT_KIND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fields.h"
#include "base/weights.h"
#include "kernels/panels.h"
#include "layers/blocks.h"

/* What flows along an edge: `width` numbers, an item every `stride` bins from bin `first` on (bins
 * count from 0 at a reset), which describes the bin `delay` before the one that it comes in. */
struct signal {
    size_t width;
    uint64_t delay, stride, first; /* bins */
};

#define SIGNAL_MAX_WIDTH 65536u
#define SIGNAL_MAX_BINS 100000u /* of delay, stride and first */
#define KIND_MAX_TAPS 4096u     /* items that one layer looks back, dilation counted */

/* Does an item come in bin t? */
static inline bool signal_is_due(const struct signal *s, uint64_t t)
{
    return t >= s->first && (t - s->first) % s->stride == 0;
}

/* How many bins after its last item bin t is, 1 .. stride - 1, or how many it would be if items had
 * come before the first; 0: one comes in it, or later than by a stride. */
static inline uint64_t signal_bins_past(const struct signal *s, uint64_t t)
{
    uint64_t left = t < s->first ? s->first - t : s->stride - (t - s->first) % s->stride;
    return left < s->stride ? s->stride - left : 0;
}

struct layer_kind;

/* What a load reads, and what it says of its output. */
struct kind_load {
    const struct layer_kind *kind;
    struct weights *w;
    struct fields *keys;         /* of the node; kind, name and inputs are read already */
    const char *name;            /* tensors are "<name>.<what>" */
    const struct signal *inputs; /* [n_inputs], alike but for their widths */
    size_t n_inputs;
    struct item_window
        window;         /* what the one input is, of kinds with ahead; n 0: none that strides */
    size_t n_sessions;  /* of the file */
    struct signal *out; /* as inputs[0] at first; load says what differs */
};

/* Functions of one number, in place; p: the parameter of kinds that have one. */
typedef void activation_fn(float *y, size_t n, float p);

struct layer_kind {
    const char *name;
    size_t n_least, n_most; /* inputs */
    /* Read keys and tensors. Returns the bound layer in l->w->arena: NULL in a counting run, or
     * with l->w->status or l->keys->status set. */
    void *(*load)(struct kind_load *l);
    /* Of layers with weights for each session: the layer as it is in one of them. */
    const void *(*of_session)(const void *layer, size_t session);
    /* Of layers with memory; runs over counting arenas first, as every init. */
    void *(*carve)(const void *layer, struct arena *state, struct arena *work);
    void (*reset)(const void *layer, void *memory);
    /* One item x[i] of each input; y [W] is wanted only when due. */
    void (*step)(const void *layer, void *memory, float *y, const float *const *x, bool due);
    /* Of layers that do a part of an item's work before it comes: all that is due after bin i
     * (1 .. stride - 1) of the stride before it; i 0: nothing is done yet. What is done lies in the
     * work memory, and follows from the state. */
    void (*ahead)(const void *layer, void *memory, uint64_t i, uint64_t stride);
    const struct item_ring *(*items)(const void *memory); /* of windows */
    /* Where load had a window: its items. */
    void (*bind)(void *memory, const struct item_ring *items);
    activation_fn *apply;  /* of activations */
    const char *parameter; /* their key, or NULL; its value lies within these bounds */
    double least, most;
    bool counts_spikes; /* of the bin itself it takes counts, never what the file normalised */
};

/* The row of that name, or NULL; all of them, NULL past the last. */
const struct layer_kind *kind_find(const char *name);
const struct layer_kind *kind_at(size_t i);

/* The node's key "width" as the output's width. */
size_t kind_width(struct kind_load *l);
/* Torch's tensors of layer k: weight_ih_lK [rows, X or hidden], weight_hh_lK [rows, hidden] and
 * their biases. */
void kind_recurrent(struct kind_load *l, struct panels *input, struct panels *recurrent, unsigned k,
                    size_t rows, size_t hidden);
/* The optional tensor "<name>.<what>" [n_layers, hidden]: a learnt initial state; NULL: zeros. */
const float *kind_initial(struct kind_load *l, const char *what, size_t n_layers, size_t hidden);
/* A state h of n_layers rows, stride apart, as it is before the first item. */
void kind_begin(float *h, size_t stride, const float *initial, size_t n_layers, size_t hidden);

#endif

/* A stack's list of nodes, bound: what each computes from which, and when. */
#ifndef LATENT_STACK_GRAPH_H
#define LATENT_STACK_GRAPH_H

#include "layers/kind.h"
#include "models/model.h"

#define STACK_MAX_NODES 256u
#define STACK_MAX_EDGES 1024u
#define STACK_MAX_SESSIONS 1000u

/* From a source to who reads it: the item that came `lag` items before its newest. */
struct stack_edge {
    size_t source; /* 0: the bin; i + 1: node i */
    size_t lag;
    struct signal from; /* of the source */
};

struct stack_node {
    const struct layer_kind *kind;
    void *layer;
    size_t first_edge, n_inputs;
    size_t window; /* the node before whose items it takes one by one: its number + 1; or 0 */
    struct signal in, out; /* in: of its inputs, aligned */
};

enum stack_group { STACK_LATENTS, STACK_RATES, STACK_READOUT, STACK_LOGITS, N_STACK_GROUPS };

struct stack {
    size_t n_channels;
    const float *channel_mean; /* [C] or NULL */
    size_t n_nodes, n_edges;
    const struct stack_node *nodes; /* [n_nodes], in the order in which they are computed */
    const struct stack_edge *edges; /* [n_edges] */
    struct stack_edge outputs[N_STACK_GROUPS]; /* from.width 0: the stack has no such group */
    struct signal out;                         /* of the outputs, aligned */
    activation_fn *link; /* makes rates of what their node gives; NULL: they are what it gives */
    const char *const *sessions; /* [n_sessions] */
    size_t n_sessions, session;  /* session: of the known answer */
    const char *counting;        /* a node that takes counts from the bin itself, or NULL */
};

/* Bind latent.config.hyper and the tensors; errors as of model_ops.load. Returns the bound stack
 * in w->arena, or NULL. */
struct stack *stack_graph_load(struct weights *w, struct fields *hyper, size_t n_channels,
                               const float *channel_mean);

#endif

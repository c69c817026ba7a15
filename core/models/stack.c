/* A network of one's own: any causal one made of the layers that core/layers/README.md lists.
 *
 * The file has a list of nodes, each of which reads the bin or nodes before it. A bin is one
 * straight pass over the list; a node is computed in the bins in which items of its inputs come.
 * Streaming: exact, one pass a bin.
 *
 * Time: a node that looks ahead, or is not padded, or strides, gives items later, from a first bin
 * on, or every so many bins (layers/kind.h: struct signal). Nodes that meet, and the outputs, wait
 * for the one of the longest delay, by rings. Before the first item of the outputs there are none
 * (WARMUP), and between two items none but the readout, which stays (BETWEEN).
 *
 * State: of each layer its own; rings of lag + 1 items. Multiply-adds per bin: those of its layers.
 * What can be made before an item comes is made in the bins before it (layers/blocks.h); it lies in
 * work, and is made anew when a state is loaded. predict: the training mean as input. */
#include <string.h>

#include "base/error.h"
#include "kernels/kernels.h"
#include "layers/window.h"
#include "models/model.h"
#include "models/stack_graph.h"

static const struct latent_mode stack_modes[] = {{.name = "causal"}, {0}};

/* The newest items of an edge's source, where it waits. */
struct edge_memory {
    struct window items; /* [lag + 1, width]; without rows where the lag is 0 */
    uint64_t *n_items;
};

struct node_memory {
    const void *layer; /* of the session */
    float *y;          /* [width] */
    void *memory;      /* of its kind */
};

struct stack_state {
    const struct stack *m;
    uint64_t *n_bins;          /* since the reset */
    float *readout;            /* [O] what the newest item said; where items do not come each bin */
    struct node_memory *nodes; /* [n_nodes] */
    struct edge_memory *edges; /* [n_edges] */
    struct edge_memory outputs[N_STACK_GROUPS];
};

static void *stack_load(struct weights *w, struct fields *hyper, struct model_dims *dims)
{
    struct stack *m = stack_graph_load(w, hyper, dims->n_channels, dims->channel_mean);
    if (!m) return NULL;
    dims->n_latents = m->outputs[STACK_LATENTS].from.width;
    dims->n_rates = m->outputs[STACK_RATES].from.width;
    dims->n_readout = m->outputs[STACK_READOUT].from.width;
    dims->n_logits = m->outputs[STACK_LOGITS].from.width;
    dims->delay_bins = m->out.delay;
    dims->every_bins = m->out.stride;
    dims->first_bin = m->out.first;
    dims->answers_rates = true;
    dims->sessions = m->sessions;
    dims->n_sessions = m->n_sessions;
    dims->session = m->session;
    return m;
}

static const char *stack_predict_check(const void *model)
{
    const struct stack *m = model;
    if (m->channel_mean) return NULL;
    return "a stack predicts from " MODEL_LACKS_MEAN;
}

static const char *stack_counts_check(const void *model)
{
    const struct stack *m = model;
    if (!m->counting) return NULL;
    return "its own first layer standardises them, or takes their root or logarithm; both would "
           "do it twice";
}

static struct edge_memory edge_carve(const struct stack_edge *e, struct arena *state)
{
    struct edge_memory memory = {0};
    if (!e->lag || !e->from.width) return memory;
    memory.n_items = arena_counts(state, 1);
    window_init(&memory.items, e->lag + 1, e->from.width, state);
    return memory;
}

static void *stack_init(const void *model, int mode, struct model_memory *mem)
{
    const struct stack *m = model;
    struct node_memory nodes[STACK_MAX_NODES];
    struct edge_memory edges[STACK_MAX_EDGES];
    struct stack_state s = {.m = m};
    (void)mode;
    s.n_bins = arena_counts(mem->state, 1);
    if (m->out.stride > 1 && m->outputs[STACK_READOUT].from.width)
        s.readout = arena_floats(mem->state, m->outputs[STACK_READOUT].from.width);
    for (size_t i = 0; i < m->n_nodes; i++) {
        const struct layer_kind *kind = m->nodes[i].kind;
        const void *layer = m->nodes[i].layer;
        nodes[i].layer = kind->of_session ? kind->of_session(layer, mem->session) : layer;
        nodes[i].y = arena_floats(mem->work, m->nodes[i].out.width);
        nodes[i].memory = kind->carve ? kind->carve(nodes[i].layer, mem->state, mem->work) : NULL;
    }
    for (size_t i = 0; i < m->n_nodes; i++) {
        size_t window = m->nodes[i].window;
        if (window && nodes[i].memory)
            m->nodes[i].kind->bind(nodes[i].memory,
                                   m->nodes[window - 1].kind->items(nodes[window - 1].memory));
    }
    for (size_t i = 0; i < m->n_edges; i++) edges[i] = edge_carve(&m->edges[i], mem->state);
    for (size_t k = 0; k < N_STACK_GROUPS; k++)
        s.outputs[k] = edge_carve(&m->outputs[k], mem->state);
    s.nodes = arena_copy(mem->work, nodes, m->n_nodes * sizeof *nodes);
    s.edges = arena_copy(mem->work, edges, m->n_edges * sizeof *edges);
    return arena_copy(mem->work, &s, sizeof s);
}

static void edge_reset(struct edge_memory *e)
{
    if (!e->n_items) return;
    *e->n_items = 0;
    memset(e->items.rows, 0, e->items.n_rows * e->items.width * sizeof *e->items.rows);
}

/* What is to be made after bin t, before the node's next item comes. */
static void node_work_ahead(const struct stack_state *s, size_t i, uint64_t t)
{
    const struct stack_node *node = &s->m->nodes[i];
    uint64_t past = signal_bins_past(&node->in, t);
    if (node->kind->ahead && past)
        node->kind->ahead(s->nodes[i].layer, s->nodes[i].memory, past, node->in.stride);
}

/* The work memory follows from the state. */
static void stack_loaded(void *state)
{
    const struct stack_state *s = state;
    for (size_t i = 0; i < s->m->n_nodes; i++) {
        const struct layer_kind *kind = s->m->nodes[i].kind;
        if (kind->ahead) kind->ahead(s->nodes[i].layer, s->nodes[i].memory, 0, 1);
        if (*s->n_bins) node_work_ahead(s, i, *s->n_bins - 1);
    }
}

static void stack_reset(void *state)
{
    struct stack_state *s = state;
    const struct stack *m = s->m;
    *s->n_bins = 0;
    for (size_t i = 0; i < m->n_nodes; i++) {
        const struct layer_kind *kind = m->nodes[i].kind;
        if (kind->reset) kind->reset(s->nodes[i].layer, s->nodes[i].memory);
        if (kind->ahead) kind->ahead(s->nodes[i].layer, s->nodes[i].memory, 0, 1);
    }
    for (size_t i = 0; i < m->n_edges; i++) edge_reset(&s->edges[i]);
    for (size_t k = 0; k < N_STACK_GROUPS; k++) edge_reset(&s->outputs[k]);
    if (s->readout)
        memset(s->readout, 0, m->outputs[STACK_READOUT].from.width * sizeof *s->readout);
}

/* What an edge gives in bin t, once its source is computed. */
static const float *edge_read(const struct stack_state *s, const struct stack_edge *e,
                              struct edge_memory *memory, const float *counts, uint64_t t)
{
    const float *newest = e->source ? s->nodes[e->source - 1].y : counts;
    if (!memory->n_items) return newest;
    if (signal_is_due(&e->from, t))
        memcpy(window_row(&memory->items, (*memory->n_items)++), newest,
               e->from.width * sizeof *newest);
    return window_row(&memory->items, *memory->n_items); /* the oldest: the newest is before it */
}

/* false: what it gives is not finite. Its state is not, then, or that of a node behind it: no later
 * item is to be believed, even where what follows makes a finite number of it. */
static bool node_step(struct stack_state *s, size_t i, const float *counts, uint64_t t)
{
    const struct stack_node *node = &s->m->nodes[i];
    const float *x[64];
    for (size_t k = 0; k < node->n_inputs; k++)
        x[k] = edge_read(s, &s->m->edges[node->first_edge + k], &s->edges[node->first_edge + k],
                         counts, t);
    if (!signal_is_due(&node->in, t)) {
        node_work_ahead(s, i, t);
        return true;
    }
    node->kind->step(s->nodes[i].layer, s->nodes[i].memory, s->nodes[i].y, x,
                     signal_is_due(&node->out, t));
    return kernels_get()->finite(s->nodes[i].y, node->out.width);
}

/* Between two items the readout is what it was, and there is nothing else. */
static void between_write(const struct stack_state *s, struct model_out *out)
{
    size_t n = s->m->outputs[STACK_READOUT].from.width;
    out->absent = true;
    if (n) memcpy(out->readout, s->readout, n * sizeof *out->readout);
}

static void outputs_write(struct stack_state *s, const float *counts, struct model_out *out,
                          uint64_t t)
{
    const struct stack *m = s->m;
    float *const to[N_STACK_GROUPS] = {out->latents, out->rates, out->readout, out->logits};
    bool due = signal_is_due(&m->out, t);
    for (size_t k = 0; k < N_STACK_GROUPS; k++) {
        if (!m->outputs[k].from.width) continue;
        const float *y = edge_read(s, &m->outputs[k], &s->outputs[k], counts, t);
        if (due) memcpy(to[k], y, m->outputs[k].from.width * sizeof *y);
    }
    if (due) {
        if (m->link) m->link(out->rates, m->outputs[STACK_RATES].from.width, 1.0f);
        if (s->readout)
            memcpy(s->readout, out->readout,
                   m->outputs[STACK_READOUT].from.width * sizeof *s->readout);
    } else if (t < m->out.first) {
        out->absent = true;
        out->flags |= LATENT_WARMUP;
    } else {
        out->flags |= LATENT_BETWEEN;
        between_write(s, out);
    }
}

static void stack_step(void *state, const float *counts, struct model_out *out)
{
    struct stack_state *s = state;
    uint64_t t = (*s->n_bins)++;
    for (size_t i = 0; i < s->m->n_nodes; i++) out->infinite |= !node_step(s, i, counts, t);
    outputs_write(s, counts, out, t);
}

static void stack_predict(void *state, struct model_out *out)
{
    struct stack_state *s = state;
    stack_step(s, s->m->channel_mean, out);
}

const struct model_ops stack_ops = {
    .name = "stack",
    .narrow = true,
    .modes = stack_modes,
    .load = stack_load,
    .init = stack_init,
    .reset = stack_reset,
    .loaded = stack_loaded,
    .step = stack_step,
    .predict = stack_predict,
    .predict_check = stack_predict_check,
    .counts_check = stack_counts_check,
};

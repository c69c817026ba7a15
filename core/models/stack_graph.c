/* Binding a stack: nodes in the order of the file, each of which reads those before it. */
#include "models/stack_graph.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "layers/kinds.h"

#define MAX_NAME 64u           /* bytes of a node's name, or a session's */
#define MAX_NUMBERS (1u << 20) /* of all nodes together, each bin */

/* What a load has so far: it may not write into the arena in a counting run. */
struct graph {
    struct weights *w;
    struct stack stack;
    const char *names[STACK_MAX_NODES];
    struct stack_node nodes[STACK_MAX_NODES];
    struct stack_edge edges[STACK_MAX_EDGES];
    const char *sessions[STACK_MAX_SESSIONS];
    size_t n_numbers;
};

/* Names are parts of tensors' names: a dot could make two of them one. */
static bool name_is_clean(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return n >= 1 && n <= MAX_NAME && !name[n] && strcmp(name, "input") != 0 &&
           strcmp(name, "selftest") != 0 && strcmp(name, "stage") != 0;
}

/* The number of a source, as an edge has it; fields are refused when there is none of the name. */
static size_t source_find(const struct graph *g, struct fields *c, const char *key,
                          const char *name)
{
    if (name && strcmp(name, "input") == 0) return 0;
    for (size_t i = 0; name && i < g->stack.n_nodes; i++)
        if (strcmp(g->names[i], name) == 0) return i + 1;
    fields_refuse(c, LATENT_E_CONFIG, key,
                  "expected \"input\" or a node that stands before it, found \"%.80s\"",
                  name ? name : "");
    return 0;
}

static struct signal source_signal(const struct graph *g, size_t source)
{
    if (source) return g->nodes[source - 1].out;
    return (struct signal){.width = g->stack.n_channels, .stride = 1};
}

/* All edges as of one signal: those of shorter delays wait for the longest. */
static struct signal edges_align(struct stack_edge *edges, size_t n, struct fields *c,
                                 const char *key)
{
    struct signal all = edges[0].from;
    uint64_t first = 0; /* the first bin that is described by all */
    for (size_t i = 0; i < n; i++) {
        const struct signal *s = &edges[i].from;
        assert(s->stride > 0);
        if (s->delay > all.delay) all.delay = s->delay;
        if (s->first - s->delay > first) first = s->first - s->delay;
    }
    for (size_t i = 0; i < n; i++) {
        const struct signal *s = &edges[i].from;
        assert(s->stride > 0);
        if (s->stride != all.stride || (first - (s->first - s->delay)) % s->stride)
            fields_refuse(c, LATENT_E_CONFIG, key,
                          "expected items of the same bins, found every %llu and every %llu bins, "
                          "or others of them",
                          (unsigned long long)all.stride, (unsigned long long)s->stride);
        edges[i].lag = (size_t)((all.delay - s->delay) / s->stride);
    }
    all.first = first + all.delay;
    return all;
}

/* The node's "inputs" as edges behind those there are. */
static void inputs_read(struct graph *g, struct stack_node *node, struct fields *c)
{
    assert(node->kind);
    json_t *list = fields_array(c, "inputs", node->kind->n_least, node->kind->n_most), *item;
    size_t n = json_array_size(list), i;
    if (g->stack.n_edges + n > STACK_MAX_EDGES)
        fields_refuse(c, LATENT_E_CONFIG, "inputs", "expected at most %u of all nodes together",
                      STACK_MAX_EDGES);
    if (c->status) return;
    node->first_edge = g->stack.n_edges;
    node->n_inputs = n;
    json_array_foreach(list, i, item)
    {
        struct stack_edge *e = &g->edges[g->stack.n_edges++];
        e->source = source_find(g, c, "inputs", json_string_value(item));
        e->from = source_signal(g, e->source);
        if (!e->source && node->kind->counts_spikes) g->stack.counting = node->kind->name;
    }
    if (!c->status) node->in = edges_align(&g->edges[node->first_edge], n, c, "inputs");
}

/* What a load says of its output must be within bounds before anything is sized by it. */
static void output_check(struct graph *g, const struct signal *out, struct fields *c)
{
    g->n_numbers += out->width;
    if (out->width > SIGNAL_MAX_WIDTH || g->n_numbers > MAX_NUMBERS)
        fields_refuse(c, LATENT_E_CONFIG, NULL,
                      "expected a width of at most %u, and %u of all nodes together, found %zu "
                      "and %zu",
                      SIGNAL_MAX_WIDTH, MAX_NUMBERS, out->width, g->n_numbers);
    else if (out->delay > SIGNAL_MAX_BINS || out->first > SIGNAL_MAX_BINS ||
             out->stride > SIGNAL_MAX_BINS)
        fields_refuse(c, LATENT_E_CONFIG, NULL,
                      "expected at most %u bins, found a delay of %llu, a first bin %llu, "
                      "a stride of %llu",
                      SIGNAL_MAX_BINS, (unsigned long long)out->delay,
                      (unsigned long long)out->first, (unsigned long long)out->stride);
}

/* Is the node's one input a window that strides? Its product then needs no whole window. */
static struct item_window window_of(const struct graph *g, struct stack_node *node)
{
    size_t source = g->edges[node->first_edge].source;
    if (!node->kind->bind || !source || !g->nodes[source - 1].kind->items)
        return (struct item_window){0};
    const struct stack_node *window = &g->nodes[source - 1];
    if (window->out.stride == window->in.stride) return (struct item_window){0};
    node->window = source;
    return (struct item_window){.n = window->out.width / window->in.width,
                                .stride = window->out.stride / window->in.stride};
}

static void layer_load(struct graph *g, struct stack_node *node, struct fields *c)
{
    struct signal inputs[64] = {{0}};
    for (size_t i = 0; i < node->n_inputs; i++) {
        inputs[i] = node->in;
        inputs[i].width = g->edges[node->first_edge + i].from.width;
    }
    node->out = inputs[0];
    struct kind_load load = {.kind = node->kind,
                             .w = g->w,
                             .keys = c,
                             .name = g->names[g->stack.n_nodes],
                             .inputs = inputs,
                             .window = window_of(g, node),
                             .n_inputs = node->n_inputs,
                             .n_sessions = g->stack.n_sessions,
                             .out = &node->out};
    node->layer = node->kind->load(&load);
    output_check(g, &node->out, c);
}

static void name_read(struct graph *g, struct fields *c)
{
    const char *name = fields_text(c, "name", MAX_NAME);
    if (!c->status && !name_is_clean(name))
        fields_refuse(c, LATENT_E_CONFIG, "name",
                      "expected letters, digits, \"_\" and \"-\", and none of \"input\", "
                      "\"selftest\", \"stage\", found \"%s\"",
                      name);
    for (size_t i = 0; !c->status && i < g->stack.n_nodes; i++)
        if (strcmp(g->names[i], name) == 0)
            fields_refuse(c, LATENT_E_CONFIG, "name", "expected each once, found \"%s\" twice",
                          name);
    g->names[g->stack.n_nodes] = name;
}

static void node_load(struct graph *g, json_t *object, struct fields *hyper)
{
    struct stack_node *node = &g->nodes[g->stack.n_nodes];
    char where[64];
    struct fields c;
    snprintf(where, sizeof where, "latent.config.hyper.nodes[%zu]", g->stack.n_nodes);
    fields_init(&c, object, where, hyper->err);
    if (!json_is_object(object)) fields_refuse(&c, LATENT_E_CONFIG, NULL, "expected an object");
    if (!c.status) {
        const char *kind = fields_text(&c, "kind", MAX_NAME);
        node->kind = kind_find(kind);
        if (!node->kind)
            fields_refuse(&c, LATENT_E_UNSUPPORTED, "kind",
                          "expected a layer that core/layers/README.md lists, found \"%s\"", kind);
    }
    if (!c.status) name_read(g, &c);
    if (!c.status) inputs_read(g, node, &c);
    if (!c.status) layer_load(g, node, &c);
    if (!c.status && !g->w->status) fields_finish(&c);
    g->stack.n_nodes++;
    hyper->status = c.status;
}

/* The optional list of sessions, and whose the known answer is: the first, or the one that is
 * named. */
static void sessions_read(struct graph *g, struct fields *hyper)
{
    if (!fields_has(hyper, "sessions")) return;
    json_t *list = fields_array(hyper, "sessions", 1, STACK_MAX_SESSIONS);
    fields_names(hyper, "sessions", list, MAX_NAME, g->sessions);
    if (hyper->status) return;
    g->stack.n_sessions = json_array_size(list);
    if (!fields_has(hyper, "session")) return;
    const char *chosen = fields_text(hyper, "session", MAX_NAME);
    size_t i = 0;
    while (!hyper->status && i < g->stack.n_sessions && strcmp(g->sessions[i], chosen) != 0) i++;
    if (i == g->stack.n_sessions)
        fields_refuse(hyper, LATENT_E_CONFIG, "session",
                      "expected one of \"sessions\", found \"%s\"", chosen);
    g->stack.session = i;
}

static void link_read(struct stack *s, struct fields *c)
{
    static const char *const words[] = {"linear", "exp", "softplus", "relu", NULL};
    static activation_fn *const links[] = {NULL, exp_apply, softplus_apply, relu_apply};
    s->link = links[fields_choice(c, "link", words)];
}

/* Which node each group is, all aligned. */
static void outputs_read(struct graph *g, struct fields *hyper)
{
    static const char *const keys[N_STACK_GROUPS] = {[STACK_LATENTS] = "latents",
                                                     [STACK_RATES] = "rates",
                                                     [STACK_READOUT] = "readout",
                                                     [STACK_LOGITS] = "logits"};
    struct stack_edge present[N_STACK_GROUPS];
    struct fields c;
    size_t n = 0;
    json_t *object = fields_object(hyper, "outputs");
    if (!object) return;
    fields_init(&c, object, "latent.config.hyper.outputs", hyper->err);
    for (size_t k = 0; k < N_STACK_GROUPS; k++) {
        if (!fields_has(&c, keys[k])) continue;
        const char *name = fields_text(&c, keys[k], MAX_NAME);
        present[n].source = c.status ? 0 : source_find(g, &c, keys[k], name);
        present[n].from = source_signal(g, present[n].source);
        n++;
    }
    if (fields_has(&c, "rates")) link_read(&g->stack, &c);
    if (!n) fields_refuse(&c, LATENT_E_CONFIG, NULL, "expected a node of some group, found none");
    if (!c.status) g->stack.out = edges_align(present, n, &c, NULL);
    n = 0;
    for (size_t k = 0; !c.status && k < N_STACK_GROUPS; k++)
        if (fields_has(&c, keys[k])) g->stack.outputs[k] = present[n++];
    hyper->status = fields_finish(&c);
}

struct stack *stack_graph_load(struct weights *w, struct fields *hyper, size_t n_channels,
                               const float *channel_mean)
{
    struct graph g = {.w = w};
    size_t i;
    json_t *list = fields_array(hyper, "nodes", 1, STACK_MAX_NODES), *object;
    g.stack.n_channels = n_channels;
    g.stack.channel_mean = channel_mean;
    sessions_read(&g, hyper);
    json_array_foreach(list, i, object)
    {
        if (!hyper->status && !w->status) node_load(&g, object, hyper);
    }
    if (!hyper->status && !w->status) outputs_read(&g, hyper);
    if (hyper->status || w->status) return NULL;
    g.stack.nodes = arena_copy(w->arena, g.nodes, g.stack.n_nodes * sizeof *g.nodes);
    g.stack.edges = arena_copy(w->arena, g.edges, g.stack.n_edges * sizeof *g.edges);
    g.stack.sessions = arena_copy(w->arena, g.sessions, g.stack.n_sessions * sizeof *g.sessions);
    return arena_copy(w->arena, &g.stack, sizeof g.stack);
}

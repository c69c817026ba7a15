/* MARBLE (Gosztolai et al. 2025): a network over the local flow field of neural states. The
 * published one embeds a set of points as a whole; for points that come one by one we freeze its
 * cloud (models/marble/card.md).
 *
 *   y         = W (x - mean), then `stages` exponential smoothings in a row give x
 *   point     = x_t-1 with vector v = x_t - x_t-1: its flow features (layers/flow.h)
 *   agnostic  = features as vectors w_i of the frame become tanh(w_i' sum_j O_j w_j)
 *               (embedding-agnostic: "inner_products")
 *   embedding = W1 relu(batch norm(W0 features + b0)) + b1, of length one if "emb_norm"
 *
 * Streaming: deterministic, Markov in the smoothed state; for a point of the cloud it equals the
 * offline embedding. WARMUP for warmup_bins, which the cloud leaves out too.
 * State: (stages + 1) D numbers.
 * Multiply-adds per bin: D C + n D for the search, about |neighbours| (S + S^2 + S^3) for
 * features, and the network's. float64, but for the network.
 * predict: the training mean as input. */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "layers/flow.h"
#include "layers/layers.h"
#include "models/model.h"

#define MAX_STAGES 8
#define MAX_POINTS 65536
#define BATCH_NORM_EPS 1e-5

static const struct latent_mode marble_modes[] = {{.name = "causal"}, {0}};

struct marble {
    size_t n_channels, n_vectors, n_features, n_hidden, n_latents, n_readout;
    size_t n_stages;
    uint64_t warmup_bins;
    double rho;
    bool inner_products, emb_norm;
    const double *projection; /* [D, C] */
    const double *origin;     /* -W mean [D] */
    struct flow_cloud cloud;
    const double *inner; /* O [n_vectors, S, S] */
    struct panels first; /* batch norm folded in */
    struct linear last, readout;
};

struct marble_state {
    const struct marble *m;
    uint64_t *n_bins;
    double *stages;     /* [n_stages, D] */
    double *before;     /* x_t-1 [D] */
    double *v;          /* [D] */
    double *features;   /* [flow_n_features] */
    double *mixed;      /* sum_j O_j w_j [S] */
    float *in, *hidden; /* [n_features], [n_hidden] */
    struct flow_work work;
};

/* ---- load ---- */

static void hyper_read(struct marble *m, struct fields *c, bool *gauges)
{
    static const char *const frames[] = {[false] = "axes", [true] = "gauges", NULL};
    m->rho = fields_number(c, "rho", 0.0, 0.999999);
    m->n_stages = (size_t)fields_int(c, "stages", 1, MAX_STAGES);
    m->warmup_bins = (uint64_t)fields_int(c, "warmup_bins", 0, 100000);
    m->cloud.k = (size_t)fields_int(c, "k", 2, 1024);
    m->cloud.delta = fields_number(c, "delta", 1e-6, 1e6);
    m->cloud.order = (size_t)fields_int(c, "order", 1, 2);
    m->cloud.diffusion_time = fields_number(c, "diffusion_time", 0.0, 1000.0);
    m->cloud.scale = fields_number(c, "scale", 1e-9, 1e9);
    m->cloud.same = fields_number(c, "same_point", 1e-12, 1e9);
    *gauges = fields_choice(c, "frame", frames);
    m->inner_products = fields_bool(c, "inner_products");
    m->emb_norm = fields_bool(c, "emb_norm");
}

static void projection_load(struct marble *m, struct weights *w)
{
    size_t d = m->cloud.n_dims, n = m->n_channels;
    double *origin = arena_doubles(w->arena, d);
    m->projection = weights_doubles(w, SHAPE(d, n), "projection.weight");
    const double *mean = weights_doubles(w, SHAPE(n), "projection.mean");
    m->origin = origin;
    for (size_t i = 0; origin && mean && i < d; i++)
        for (size_t k = 0; k < n; k++) origin[i] -= m->projection[i * n + k] * mean[k];
}

/* One matrix per vector of the features. */
static void inner_load(struct marble *m, struct weights *w)
{
    size_t s = m->cloud.n_directions;
    double *all = arena_doubles(w->arena, m->n_vectors * s * s);
    for (size_t j = 0; j < m->n_vectors; j++) {
        const double *one = weights_doubles(w, SHAPE(s, s), "inner_products.O_mat.%zu.weight", j);
        if (all && one) memcpy(all + j * s * s, one, s * s * sizeof *all);
    }
    m->inner = all;
}

/* Affine batch norm with its running statistics. */
struct batch_norm {
    const float *gain, *shift, *mean, *variance; /* [n] */
};

static void norm_load_running(struct batch_norm *b, struct weights *w, size_t n)
{
    b->gain = weights_floats(w, SHAPE(n), "enc.norms.0.module.weight");
    b->shift = weights_floats(w, SHAPE(n), "enc.norms.0.module.bias");
    b->mean = weights_floats(w, SHAPE(n), "enc.norms.0.module.running_mean");
    b->variance = weights_floats(w, SHAPE(n), "enc.norms.0.module.running_var");
    for (size_t i = 0; b->variance && i < n; i++) {
        if ((double)b->variance[i] >= 0.0) continue;
        w->status = error_set(w->err, LATENT_E_TENSOR,
                              "tensor \"enc.norms.0.module.running_var\": expected variances, "
                              "found %g at [%zu]",
                              (double)b->variance[i], i);
        b->variance = NULL;
    }
}

/* enc.lins.0 followed by enc.norms.0, as one affine map. */
static void first_load(struct marble *m, struct weights *w)
{
    size_t n = m->n_hidden, in = m->n_features;
    struct batch_norm b = {0};
    const float *weight = weights_matrix(w, n, in, "enc.lins.0.weight");
    const float *bias = weights_floats(w, SHAPE(n), "enc.lins.0.bias");
    norm_load_running(&b, w, n);
    float *rows = weights_raw(w, n * in), *sums = arena_floats(w->arena, n);
    bool bound = weight && bias && b.gain && b.shift && b.mean && b.variance;
    for (size_t i = 0; bound && rows && sums && i < n; i++) {
        double factor = (double)b.gain[i] / sqrt((double)b.variance[i] + BATCH_NORM_EPS);
        for (size_t k = 0; k < in; k++)
            rows[i * in + k] = (float)(factor * (double)weight[i * in + k]);
        sums[i] = (float)(factor * ((double)bias[i] - (double)b.mean[i]) + (double)b.shift[i]);
    }
    m->first = panels_pack(w->arena, n, in, rows, sums);
}

static void network_load(struct marble *m, struct weights *w)
{
    m->n_features = m->inner_products ? m->n_vectors : flow_n_features(&m->cloud);
    m->n_hidden = weights_axis(w, "enc.lins.0.weight", 0, 65536);
    m->n_latents = weights_axis(w, "enc.lins.1.weight", 0, 4096);
    if (m->inner_products) inner_load(m, w);
    first_load(m, w);
    linear_load(&m->last, w, m->n_latents, m->n_hidden, "enc.lins.1");
    if (!weights_has(w, "readout.weight")) return;
    m->n_readout = weights_axis(w, "readout.weight", 0, 4096);
    linear_load(&m->readout, w, m->n_readout, m->n_latents, "readout");
}

static void *marble_load(struct weights *w, struct fields *c, struct model_dims *dims)
{
    struct marble m = {.n_channels = dims->n_channels};
    struct flow_cloud *cloud = &m.cloud;
    bool gauges = false;
    hyper_read(&m, c, &gauges);
    cloud->n_points = weights_axis(w, "cloud.position", 0, MAX_POINTS);
    cloud->n_dims = weights_axis(w, "cloud.position", 1, FLOW_MAX_DIMS);
    cloud->n_directions = gauges ? weights_axis(w, "cloud.frame", 2, cloud->n_dims) : cloud->n_dims;
    if (c->status) return NULL;
    m.n_vectors = flow_n_features(cloud) / cloud->n_directions;
    flow_cloud_load(cloud, w, gauges);
    if (!w->status && cloud->n_points <= cloud->k)
        fields_refuse(c, LATENT_E_CONFIG, "k",
                      "expected fewer neighbours than the cloud has points (%zu), found %zu",
                      cloud->n_points, cloud->k);
    projection_load(&m, w);
    network_load(&m, w);
    dims->n_latents = m.n_latents;
    dims->n_readout = m.n_readout;
    return arena_copy(w->arena, &m, sizeof m);
}

/* ---- state ---- */

static void *marble_init(const void *model, int mode, struct model_memory *mem)
{
    const struct marble *m = model;
    struct marble_state s = {.m = m};
    size_t d = m->cloud.n_dims;
    (void)mode;
    s.n_bins = arena_counts(mem->state, 1);
    s.stages = arena_doubles(mem->state, m->n_stages * d);
    s.before = arena_doubles(mem->state, d);
    s.v = arena_doubles(mem->work, d);
    s.features = arena_doubles(mem->work, flow_n_features(&m->cloud));
    s.mixed = arena_doubles(mem->work, m->cloud.n_directions);
    s.in = arena_floats(mem->work, m->n_features);
    s.hidden = arena_floats(mem->work, m->n_hidden);
    flow_work_carve(&s.work, &m->cloud, mem->work);
    return arena_copy(mem->work, &s, sizeof s);
}

static void marble_reset(void *state)
{
    struct marble_state *s = state;
    size_t d = s->m->cloud.n_dims;
    *s->n_bins = 0;
    memset(s->stages, 0, s->m->n_stages * d * sizeof *s->stages);
    memset(s->before, 0, d * sizeof *s->before);
}

/* ---- one bin ---- */

/* The smoothed state moves; before and v tell from where and how far. counts NULL: the mean. */
static void state_smooth(struct marble_state *s, const float *counts)
{
    const struct marble *m = s->m;
    size_t d = m->cloud.n_dims, n = m->n_channels;
    double *last = s->stages + (m->n_stages - 1) * d;
    memcpy(s->before, last, d * sizeof *last);
    for (size_t i = 0; i < d; i++) {
        double y = counts ? m->origin[i] : 0.0;
        for (size_t k = 0; counts && k < n; k++) y += m->projection[i * n + k] * (double)counts[k];
        for (size_t stage = 0; stage < m->n_stages; stage++) {
            double *z = s->stages + stage * d + i; /* number i of this stage [D] */
            y = *z = m->rho * *z + (1.0 - m->rho) * y;
        }
        s->v[i] = y - s->before[i];
    }
}

/* in [n_vectors] = tanh(w_i' sum_j O_j w_j) */
static void inner_products_form(struct marble_state *s)
{
    const struct marble *m = s->m;
    size_t width = m->cloud.n_directions;
    memset(s->mixed, 0, width * sizeof *s->mixed);
    for (size_t j = 0; j < m->n_vectors; j++)
        for (size_t p = 0; p < width; p++)
            for (size_t q = 0; q < width; q++) /* [S] = sum over j of O_j [S, S] w_j [S] */
                s->mixed[p] += m->inner[(j * width + p) * width + q] * s->features[j * width + q];
    for (size_t j = 0; j < m->n_vectors; j++) {
        double sum = 0.0;
        for (size_t p = 0; p < width; p++) sum += s->features[j * width + p] * s->mixed[p];
        s->in[j] = (float)tanh(sum);
    }
}

static void network_forward(struct marble_state *s, float *embedding)
{
    const struct marble *m = s->m;
    kernels_get()->matvec(s->hidden, &m->first, s->in); /* batch norm is folded in */
    relu(s->hidden, m->n_hidden);
    linear_forward(&m->last, embedding, s->hidden); /* [L] = W1 hidden + b1 */
    if (!m->emb_norm) return;
    double size = 0.0;
    for (size_t i = 0; i < m->n_latents; i++) size += (double)embedding[i] * (double)embedding[i];
    for (size_t i = 0; i < m->n_latents; i++)
        embedding[i] = (float)((double)embedding[i] / fmax(sqrt(size), 1e-12));
}

static void marble_bin(struct marble_state *s, const float *counts, struct model_out *out)
{
    const struct marble *m = s->m;
    state_smooth(s, counts);
    flow_features(&m->cloud, &s->work, s->features, s->before, s->v);
    if (m->inner_products)
        inner_products_form(s);
    else
        for (size_t i = 0; i < m->n_features; i++) s->in[i] = (float)s->features[i];
    network_forward(s, out->latents);
    if (m->n_readout) linear_forward(&m->readout, out->readout, out->latents);
    if (++*s->n_bins <= m->warmup_bins) out->flags |= LATENT_WARMUP;
}

static void marble_step(void *state, const float *counts, struct model_out *out)
{
    marble_bin(state, counts, out);
}

static void marble_predict(void *state, struct model_out *out)
{
    marble_bin(state, NULL, out);
}

const struct model_ops marble_ops = {
    .name = "marble",
    .modes = marble_modes,
    .load = marble_load,
    .init = marble_init,
    .reset = marble_reset,
    .step = marble_step,
    .predict = marble_predict,
};

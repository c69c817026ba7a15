/* What recurrent models do bin by bin beside plain products: gates, and vector fields with few
 * dimensions. Part of kernels_body.h.
 *
 * Such steps wait for one another, so what counts is how long one takes from its input to its
 * output: sums go from registers into the functions that follow them, and the next vectors'
 * products run while a function's result is awaited. */
#ifndef LATENT_BODY_RECURRENT_H
#define LATENT_BODY_RECURRENT_H

/* Units of 16 outputs, of three gates each, whose sums fit into registers. */
#define GATE_BLOCKS (TILE_VECTORS / (3 * UNIT_VECTORS))

/* LANES outputs of a step: given W x + b of r, z, n (gate_stride apart), back U h + c of each. */
INLINE vec gru_vector(const float *given, size_t gate_stride, const vec back[3], vec h)
{
    vec r = vec_sigmoid(vec_load(given) + back[0]);
    vec z = vec_sigmoid(vec_load(given + gate_stride) + back[1]);
    vec n = vec_tanh(vec_load(given + 2 * gate_stride) + r * back[2]);
    return (1.0f - z) * n + z * h;
}

/* sums [n_blocks * UNIT_VECTORS][n_gates] of the rows of u, which are those of n_gates
 * gates one below the other, from unit `block` of each on: u x. */
INLINE void gates_sum(const int n_gates, const int n_blocks, vec *sums, const struct panels *u,
                      const float *x, size_t block)
{
    size_t n_in = u->cols, unit_stride = n_in * PANEL_UNIT;
    size_t gate_stride = u->rows / (size_t)n_gates / PANEL_UNIT * unit_stride; /* gate to gate */
    const float *column = (const float *)u->data + block * unit_stride; /* [n_in][16] of the unit */
    vec own[TILE_VECTORS]; /* of this function alone, so that they stay in registers */
    for (int s = 0; s < n_blocks * n_gates * UNIT_VECTORS; s++) own[s] = (vec){0};
    for (size_t c = 0; c < n_in; c++, column += PANEL_UNIT)
        for (int b = 0; b < n_blocks; b++)
            for (int v = 0; v < UNIT_VECTORS; v++)
                for (int g = 0; g < n_gates; g++)
                    own[(b * UNIT_VECTORS + v) * n_gates + g] +=
                        x[c] * vec_load(column + (size_t)b * unit_stride + (size_t)g * gate_stride +
                                        v * LANES);
    for (int s = 0; s < n_blocks * n_gates * UNIT_VECTORS; s++) sums[s] = own[s];
}

/* Outputs block * 16 .. (block + n_blocks) * 16 - 1 of a step in float32. */
INLINE void gru_blocks(const int n_blocks, float *next, const struct panels *u, const float *h,
                       const float *given, size_t block)
{
    vec sums[GATE_BLOCKS * 3 * UNIT_VECTORS];
    size_t n = u->rows / 3; /* outputs of a gate */
    gates_sum(3, n_blocks, sums, u, h, block);
    for (int i = 0; i < n_blocks * UNIT_VECTORS; i++) {
        size_t o = block * PANEL_UNIT + (size_t)i * LANES; /* first of LANES outputs */
        vec back[3];
        for (int g = 0; g < 3; g++)
            back[g] = sums[i * 3 + g] + vec_load(u->bias + (size_t)g * n + o);
        vec_store(next + o, gru_vector(given + o, n, back, vec_load(h + o)));
    }
}

/* Blocks from the first to the last, or the other way round. */
static void gru_fused(float *next, const struct panels *u, const float *h, const float *given,
                      bool backward)
{
    size_t n_blocks = u->rows / 3 / PANEL_UNIT;
    for (size_t done = 0, n; done < n_blocks; done += n) {
        n = done + GATE_BLOCKS <= n_blocks ? GATE_BLOCKS : 1;
        size_t block = backward ? n_blocks - done - n : done;
        if (n == 1)
            gru_blocks(1, next, u, h, given, block);
        else
            gru_blocks(GATE_BLOCKS, next, u, h, given, block);
    }
}

static void gru_step(float *next, const struct panels *u, const float *h, const float *given,
                     bool backward, float *scratch)
{
    if (u->precision == PRECISION_F32) {
        gru_fused(next, u, h, given, backward);
        return;
    }
    size_t n = u->rows / 3;
    matvec(scratch, u, h);
    for (size_t o = 0; o < n; o += LANES) {
        const float *sums = scratch + o;
        const vec back[3] = {vec_load(sums), vec_load(sums + n), vec_load(sums + 2 * n)};
        vec_store(next + o, gru_vector(given + o, n, back, vec_load(h + o)));
    }
}

struct clipped_task {
    const struct clipped_gates *w;
    float *h, *update, *kept; /* state, z, r h [n] each */
    const float *given;       /* [3 n]: z, r, n */
    size_t n;
};

INLINE vec clipped_blend(const struct clipped_task *t, size_t o, vec new)
{
    vec z = vec_load(t->update + o), h = vec_load(t->h + o);
    return vec_clamp((1.0f - z) * new + z *h, -t->w->most, t->w->most);
}

/* Both gates, and what the reset gate keeps of the state. */
INLINE void clipped_gates_run(const int n_blocks, const struct clipped_task *t, size_t block)
{
    vec sums[TILE_VECTORS];
    gates_sum(2, n_blocks, sums, &t->w->gates, t->h, block);
    for (int i = 0; i < n_blocks * UNIT_VECTORS; i++) {
        size_t o = block * PANEL_UNIT + (size_t)i * LANES;
        vec r = vec_sigmoid(vec_load(t->given + t->n + o) + sums[2 * i + 1]);
        vec_store(t->update + o, vec_sigmoid(vec_load(t->given + o) + sums[2 * i])); /* z */
        vec_store(t->kept + o, r * vec_load(t->h + o));                              /* r h */
    }
}

INLINE void clipped_reset_run(const int n_blocks, const struct clipped_task *t, size_t block)
{
    vec sums[TILE_VECTORS];
    gates_sum(1, n_blocks, sums, &t->w->reset, t->kept, block);
    for (int i = 0; i < n_blocks * UNIT_VECTORS; i++) {
        size_t o = block * PANEL_UNIT + (size_t)i * LANES;
        vec new = vec_tanh(vec_load(t->given + 2 * t->n + o) + sums[i]);
        vec_store(t->h + o, clipped_blend(t, o, new));
    }
}

#define CLIPPED_CASE(run, n_gates, n_blocks)                                           \
    case n_blocks:                                                                     \
        if ((n_gates) * (n_blocks)*UNIT_VECTORS <= TILE_VECTORS) run(n_blocks, t, at); \
        break;

/* All blocks, as many at a time as have room in registers, alike in number. */
#define CLIPPED_ALL(run, n_gates)                                                   \
    for (size_t at = 0, m; at < n_blocks; at += m) {                                \
        m = group_size(n_blocks - at, TILE_VECTORS / ((n_gates)*UNIT_VECTORS) < 6   \
                                          ? TILE_VECTORS / ((n_gates)*UNIT_VECTORS) \
                                          : 6);                                     \
        switch (m) {                                                                \
            CLIPPED_CASE(run, n_gates, 1)                                           \
            CLIPPED_CASE(run, n_gates, 2)                                           \
            CLIPPED_CASE(run, n_gates, 3)                                           \
            CLIPPED_CASE(run, n_gates, 4)                                           \
            CLIPPED_CASE(run, n_gates, 5)                                           \
            CLIPPED_CASE(run, n_gates, 6)                                           \
        }                                                                           \
    }

static void clipped_fused(const struct clipped_task *t)
{
    size_t n_blocks = t->n / PANEL_UNIT;
    CLIPPED_ALL(clipped_gates_run, 2)
    CLIPPED_ALL(clipped_reset_run, 1)
}

static void clipped_step(float *h, const struct clipped_gates *w, const float *given,
                         float *scratch)
{
    size_t n = w->reset.rows;
    const struct clipped_task t = {w, h, scratch, scratch + n, given, n};
    if (w->gates.precision == PRECISION_F32) {
        clipped_fused(&t);
        return;
    }
    float *new = scratch + 2 * n;
    memcpy(scratch, given, 3 * n * sizeof *given); /* W x + b of z, r, n */
    matvec_add(t.update, &w->gates, h);            /* z, r += U h */
    for (size_t o = 0; o < 2 * n; o += LANES) {
        vec gate = vec_sigmoid(vec_load(scratch + o));
        vec_store(scratch + o, o < n ? gate : gate * vec_load(h + o - n)); /* z, then r h */
    }
    matvec_add(new, &w->reset, t.kept); /* n += U (r h) */
    for (size_t o = 0; o < n; o += LANES)
        vec_store(h + o, clipped_blend(&t, o, vec_tanh(vec_load(new + o))));
}

enum field_hidden { FIELD_TANH, FIELD_RELU, FIELD_KEPT };

/* 16 hidden units from `at` on: computed from x and kept in `hidden`, or those kept. */
INLINE void field_unit(const enum field_hidden how, vec *a, const struct field *f, const float *x,
                       float *hidden, size_t at)
{
    const float *w = (const float *)f->first.data + at * f->first.cols;
    for (int v = 0; v < WIDE; v++)
        a[v] = vec_load((how == FIELD_KEPT ? hidden : f->first.bias) + at + v * LANES);
    if (how == FIELD_KEPT) return;
    for (size_t c = 0; c < f->first.cols; c++)
        for (int v = 0; v < WIDE; v++) a[v] += x[c] * vec_load(w + c * PANEL_UNIT + v * LANES);
    for (int v = 0; v < WIDE; v++) {
        a[v] = how == FIELD_TANH ? vec_tanh(a[v])
                                 : vec_select(a[v] < vec_set(0.0f), vec_set(0.0f), a[v]);
        vec_store(hidden + at + v * LANES, a[v]);
    }
}

/* Outputs first_out .. first_out + QUAD - 1. */
INLINE void field_outputs(const enum field_hidden how, float *y, const struct field *f,
                          const float *x, float *hidden, size_t first_out)
{
    size_t n = (f->first.rows + PANEL_UNIT - 1) / PANEL_UNIT * PANEL_UNIT; /* hidden */
    const float *w = f->second + first_out * n; /* QUAD rows of W2 [n_out, n] */
    vec sums[QUAD * WIDE], a[WIDE];
    for (int s = 0; s < QUAD * WIDE; s++) sums[s] = (vec){0};
    for (size_t at = 0; at < n; at += PANEL_UNIT) {
        field_unit(how, a, f, x, hidden, at);
        for (int o = 0; o < QUAD; o++)
            for (int v = 0; v < WIDE; v++)
                sums[o * WIDE + v] += a[v] * vec_load(w + (size_t)o * n + at + v * LANES);
    }
    quad total = {lanes_sum(sums), lanes_sum(sums + WIDE), lanes_sum(sums + 2 * WIDE),
                  lanes_sum(sums + 3 * WIDE)};
    quad_store(y + first_out, total + quad_load(f->second_bias + first_out));
}

static void field(float *y, const struct field *f, const float *x, float *hidden)
{
    if (f->relu)
        field_outputs(FIELD_RELU, y, f, x, hidden, 0);
    else
        field_outputs(FIELD_TANH, y, f, x, hidden, 0);
    for (size_t o = QUAD; o < f->n_out; o += QUAD) field_outputs(FIELD_KEPT, y, f, x, hidden, o);
}

static void move(float *y, const float *z, const float *slopes, size_t stride,
                 const float *coefficients, size_t n_slopes, size_t n)
{
    for (size_t i = 0; i < n; i += QUAD) {
        quad at = quad_load(z + i);
        for (size_t s = 0; s < n_slopes; s++)
            at += coefficients[s] * quad_load(slopes + s * stride + i);
        quad_store(y + i, at);
    }
}

#endif

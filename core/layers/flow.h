/* Local features of a flow field over a frozen cloud of points (MARBLE).
 *
 * Neighbours j of x, by the CkNN rule:
 *
 *   |x - x_j|^2 < delta^2 d_k(x) d_k(x_j)
 *
 * d_k is the distance to the k-th nearest point (of equal ones the lower index). Where fewer than
 * two are such: the k nearest. A cloud point nearer than `same` is x itself and left out.
 *
 * With P the random walk of weights 1 / distance, V diffused for a time tau by exp(-tau (I - P)),
 * and o_p(j) the features of order p of cloud point j:
 *
 *   g      = sum over i > 0 of tau^i / i! P^(i-1) V                  of the cloud
 *   o_0    = scale e^-tau (v + sum_j P_j g_j)
 *   F_q(j) = <x_j - x, t_q> / sum_j |<x_j - x, t_q>|                 each direction q of the frame
 *   o_p    = sum_j F_q(j) (o_p-1(j) - o_p-1(x))                      each q
 *
 * This is exact for a point of the cloud itself.
 *
 * Frames are the coordinate axes, or gauges: then x has the frame of its nearest point, vectors
 * live in frames, those of j are turned into that of x by the orthogonal factor of T_x' T_j, and
 * o_0 keeps its direction but takes the length of the diffused |V|.
 *
 * Features lie channel by channel, directions within.
 * Letters: n points, D dimensions, S directions of a frame (= length of vectors). */
#ifndef LATENT_FLOW_H
#define LATENT_FLOW_H

#include <stddef.h>
#include <stdint.h>

#include "base/weights.h"

#define FLOW_MAX_DIMS 16

struct flow_cloud {
    size_t n_points, n_dims, n_directions; /* n, D, S */
    size_t order, k;                       /* 1 or 2 */
    double delta, same, diffusion_time, scale;
    const double *position;      /* [n, D] */
    const double *reach;         /* d_k [n] */
    const double *series;        /* g [n, S] */
    const double *vector;        /* o_0 of the cloud [n, S] */
    const double *gradient;      /* o_1 of the cloud [n, S * S]; order 2 only */
    const double *frame;         /* T [n, D, S]; NULL: axes, S = D */
    const double *length_series; /* g of |V| [n]; with frames only */
};

struct flow_work {
    double *squares;      /* squared distances [n] */
    double *nearest;      /* the k smallest, ascending [k] */
    uint32_t *nearest_at; /* [k] */
    uint32_t *neighbours; /* [n] */
    double *walk;         /* P of the neighbours [n] */
    double *kernel;       /* F [n, S] */
    double *transport;    /* [n, S, S], with frames only */
    double *local;        /* v in the frame of x [S] */
    double *turned;       /* [S] */
};

/* Sizes, k, order, delta and the like first; takes cloud.* */
void flow_cloud_load(struct flow_cloud *f, struct weights *w, bool gauges);
void flow_work_carve(struct flow_work *work, const struct flow_cloud *f, struct arena *a);
/* S + S^2 (+ S^3 for order 2) */
size_t flow_n_features(const struct flow_cloud *f);
/* features of the point x [D] with the vector v [D] */
void flow_features(const struct flow_cloud *f, struct flow_work *work, double *features,
                   const double *x, const double *v);

#endif

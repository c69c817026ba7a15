"""The geometry of MARBLE in float64 numpy: graph, diffusion, derivatives, for a cloud and for new
points.

Shapes: n points, D dimensions, S directions of a frame (S = D on the axes), V [n, S] vectors.
Definitions:
  graph      CkNN: an edge where |x_i - x_j| / sqrt(d_k(i) d_k(j)) < delta, d_k the distance to
             the k-th nearest other point; fewer than two edges: the k nearest. Weights 1 /
             distance.
  diffusion  exp(-tau (I - P)), P the random walk of those weights. (The reference takes the
             spectrum of one triangle of I - P and scales it by n; this is what that stands for.)
  kernels    F_q(i, j) = <x_j - x_i, t_q>, each row divided by its sum of sizes
  features   o_p = sum_j F_q(i, j) (o_p-1(j) - o_p-1(i)): channel by channel, directions within
"""
import dataclasses

import numpy as np

SERIES_MOST, SERIES_END = 200, 1e-16
NO_TIE = 1 - 1e-9  # neighbours at the very edge of the rule are none


@dataclasses.dataclass
class Star:
    """One point and its neighbours: indices [m], walk [m] (sums to one), kernel [m, S], transport
    [m, S, S] into the point's frame, or None on the axes."""

    neighbours: np.ndarray
    walk: np.ndarray
    kernel: np.ndarray
    transport: np.ndarray


@dataclasses.dataclass
class Cloud:
    """Frozen points and what was computed on them; frame and length_series only with gauges."""

    position: np.ndarray
    reach: np.ndarray
    series: np.ndarray = None
    vector: np.ndarray = None
    gradient: np.ndarray = None
    frame: np.ndarray = None
    length_series: np.ndarray = None


def orthogonal_factor(a):
    """U V' of the singular value decomposition."""
    u, _, v = np.linalg.svd(a)
    return u @ v


def reaches(position, k):
    """d_k of every point of a cloud, not counting itself [n]."""
    distance = np.linalg.norm(position[:, None] - position[None], axis=-1)
    return np.sort(distance, 1)[:, k]


def star(cloud, x, hyper):
    """The star of a point x [D] over a cloud; a cloud point nearer than same_point is x itself."""
    distance = np.linalg.norm(cloud.position - x, axis=1)
    other = np.flatnonzero(distance >= hyper["same_point"])
    order = other[np.argsort(distance[other], kind="stable")][:hyper["k"]]
    own = distance[order[-1]]
    near = distance[other] ** 2 < NO_TIE * hyper["delta"] ** 2 * own * cloud.reach[other]
    chosen = other[near] if near.sum() >= 2 else order
    walk = 1 / distance[chosen]
    frame = cloud.frame[np.argmin(distance)] if cloud.frame is not None else np.eye(len(x))
    kernel = (cloud.position[chosen] - x) @ frame
    size = np.abs(kernel).sum(0)
    kernel = kernel / np.where(size > 0, size, 1)
    transport = None
    if cloud.frame is not None:
        transport = np.stack([orthogonal_factor(frame.T @ cloud.frame[j]) for j in chosen])
    return Star(chosen, walk / walk.sum(), kernel, transport)


def seen(one, field):
    """The neighbours' vectors [m, S, ...] in the frame of the star's point."""
    values = field[one.neighbours]
    return values if one.transport is None else np.einsum("mpq,mq...->mp...", one.transport, values)


def derivative(one, field, own):
    """field [n, S, ...], own [S, ...] -> [S, ..., S]: the last axis is the direction."""
    return np.einsum("mq,m...->...q", one.kernel, seen(one, field) - own)


def series_of(stars, field, tau):
    """sum_i>0 tau^i / i! P^(i-1) field, for a field [n, S] (or [n] of lengths, never turned)."""
    term, total = tau * field, np.zeros_like(field)
    for i in range(2, SERIES_MOST):
        total = total + term
        if np.abs(term).max() <= SERIES_END * np.abs(total).max():
            break
        term = tau / i * walk_once(stars, term)
    return total


def walk_once(stars, field):
    """P field."""
    if field.ndim == 1:
        return np.array([one.walk @ field[one.neighbours] for one in stars])
    return np.stack([one.walk @ seen(one, field) for one in stars])


def diffused(one, cloud, v, hyper):
    """o_0 [S] of a point with the vector v [S] in its frame."""
    fade = hyper["scale"] * np.exp(-hyper["diffusion_time"])
    y = v + one.walk @ seen(one, cloud.series)
    if cloud.frame is None:
        return fade * y
    length = np.linalg.norm(v) + one.walk @ cloud.length_series[one.neighbours]
    return fade * length * y / np.linalg.norm(y)


def point_features(cloud, x, v, hyper):
    """Features of a new point: x [D], v [D] -> [S + S^2 (+ S^3)]."""
    one = star(cloud, x, hyper)
    if cloud.frame is not None:
        nearest = np.argmin(np.linalg.norm(cloud.position - x, axis=1))
        v = cloud.frame[nearest].T @ v
    s = len(v)
    zero = diffused(one, cloud, v, hyper)
    first = derivative(one, cloud.vector, zero)
    orders = [zero, first]
    if hyper["order"] == 2:
        orders.append(derivative(one, cloud.gradient.reshape(-1, s, s), first))
    return np.concatenate([o.reshape(-1) for o in orders])


def gauges(stars, position, n_directions):
    """Local frames [n, D, S]: principal directions of each point's neighbourhood."""
    frames = []
    for x, one in zip(position, stars):
        u, _, _ = np.linalg.svd((position[one.neighbours] - x).T, full_matrices=True)
        frames.append(u[:, :n_directions])
    return np.stack(frames)


def freeze(position, velocity, hyper, n_directions=None):
    """The cloud of points [n, D] with vectors [n, D]: everything that a new point needs."""
    cloud = Cloud(position, reaches(position, hyper["k"]))
    if hyper["frame"] == "gauges":
        stars = [star(cloud, x, hyper) for x in position]
        cloud.frame = gauges(stars, position, n_directions)
    stars = [star(cloud, x, hyper) for x in position]
    vectors = velocity
    if cloud.frame is not None:
        vectors = np.einsum("nds,nd->ns", cloud.frame, velocity)
        cloud.length_series = series_of(stars, np.linalg.norm(vectors, axis=1),
                                        hyper["diffusion_time"])
    cloud.series = series_of(stars, vectors, hyper["diffusion_time"])
    cloud.vector = np.stack([diffused(one, cloud, v, hyper) for one, v in zip(stars, vectors)])
    cloud.gradient = np.stack([derivative(one, cloud.vector, own).reshape(-1)
                               for one, own in zip(stars, cloud.vector)])
    return cloud


def offline_features(position, velocity, hyper, n_directions=None):
    """Features of every point of a cloud as a whole, as training sees them: dense matrices, no
    stars of new points -> [n, features]. Axes only; what freeze() and point_features() must agree
    with."""
    n, s = position.shape
    distance = np.linalg.norm(position[:, None] - position[None], axis=-1)
    reach = np.sort(distance, 1)[:, hyper["k"]]
    edge = distance < hyper["delta"] * np.sqrt(NO_TIE * reach[:, None] * reach[None])
    np.fill_diagonal(edge, False)
    for i in np.flatnonzero(edge.sum(1) < 2):
        edge[i] = False
        edge[i, np.argsort(distance[i], kind="stable")[1:hyper["k"] + 1]] = True
    weight = np.where(edge, 1 / np.where(edge, distance, 1), 0)
    walk = weight / weight.sum(1, keepdims=True)
    v, term, tau = velocity.copy(), velocity, hyper["diffusion_time"]
    for i in range(1, SERIES_MOST):
        term = tau / i * walk @ term
        v = v + term
    v = hyper["scale"] * np.exp(-tau) * v
    orders = [v]
    for _ in range(hyper["order"]):
        field, following = orders[-1], []
        for q in range(s):
            kernel = edge * (position[None, :, q] - position[:, None, q])
            kernel = kernel / np.abs(kernel).sum(1, keepdims=True)
            following.append(kernel @ field - kernel.sum(1, keepdims=True) * field)
        orders.append(np.stack(following, -1).reshape(n, -1))
    return np.hstack(orders)

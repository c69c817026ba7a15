"""One animal as MARBLE sees it: its projection, its points, and how its axes lie to another's.

Shapes: K trials, T bins, C channels, D dimensions, n points. Nothing here looks at behaviour.
"""
import copy

import numpy as np

from latent_models.marble import animals, geometry, reference

DIMS = 3
TURNS, MATCHED, BEST, ROUNDS = 2000, 250, 12, 40


def project(trials, hyper, n_dims=DIMS):
    """Training trials [K, T, C] -> projection onto the principal axes of the smoothed counts, each
    of unit variance. Two animals with the same latents then differ by an orthogonal turn."""
    w = {"projection.mean": trials.mean((0, 1)), "projection.weight": np.eye(trials.shape[-1])}
    smooth = np.concatenate([reference.smooth(w, hyper, x)[hyper["warmup_bins"]:] for x in trials])
    size, axes = np.linalg.eigh(np.cov(smooth.T))
    size, axes = size[::-1][:n_dims], axes[:, ::-1][:, :n_dims]
    return {**w, "projection.weight": axes.T / np.sqrt(size)[:, None]}


def points(w, hyper, trials):
    """-> anchors [n, D], vectors [n, D] of all trials, those of the warm-up left out."""
    first, pairs = hyper["warmup_bins"], []
    for x in trials:
        anchors, vectors = reference.points(reference.smooth(w, hyper, x))
        pairs.append((anchors[first:], vectors[first:]))
    return tuple(np.concatenate(rows) for rows in zip(*pairs))


class Animal:
    """A simulated animal: data, projection, frozen cloud of the training trials, points by
    split."""

    def __init__(self, recipe, index, hyper):
        self.data, self.hyper = animals.animal(recipe, index), hyper
        self.look(project(self.part("counts", "train"), hyper))

    def look(self, w):
        """Through a projection: points and cloud follow from it."""
        self.w = w
        self.points = {k: points(w, self.hyper, self.part("counts", k)) for k in ("train", "test")}
        self.cloud = geometry.freeze(*self.points["train"], self.hyper)

    def turn(self, q):
        """Turn its axes by an orthogonal matrix [D, D]."""
        self.look({**self.w, "projection.weight": q @ self.w["projection.weight"]})

    def turned(self, q):
        """Another view of the same animal, its axes turned by q."""
        other = copy.copy(self)
        other.turn(q)
        return other

    def part(self, name, split):
        return self.data[name][self.data["split"][split]]

    def rows(self, name, split):
        """Bins past the warm-up as rows: counts, behaviour, or anything else of the data."""
        kept = self.part(name, split)[:, self.hyper["warmup_bins"]:]
        return kept.reshape(-1, kept.shape[-1])

    def features(self, split):
        """Flow features of its points, one by one, as a stream has them."""
        return np.stack([geometry.point_features(self.cloud, x, v, self.hyper)
                         for x, v in zip(*self.points[split])])


def flow_rows(cloud):
    """The smoothed flow: every point beside its diffused vector, of like size [n, 2, D]."""
    vector = cloud.vector / np.sqrt((cloud.vector ** 2).sum(1).mean())
    position = cloud.position / np.sqrt((cloud.position ** 2).sum(1).mean())
    return np.stack([position, vector], 1)


def nearest(rows, among):
    """-> indices of the nearest, mean squared distance."""
    a, b = rows.reshape(len(rows), -1), among.reshape(len(among), -1)
    square = (a ** 2).sum(1)[:, None] + (b ** 2).sum(1)[None] - 2 * a @ b.T
    return square.argmin(1), float(np.maximum(square.min(1), 0).mean())


def mismatch(one, other, q):
    """How far two flows lie apart, other turned by q: both ways, so that neither may hide in a
    part of the other."""
    turned = other @ q.T
    return nearest(turned, one)[1] + nearest(one, turned)[1]


def settle(one, other, q):
    """Iterated closest points from the turn q -> q."""
    for _ in range(ROUNDS):
        match = one[nearest(other @ q.T, one)[0]]
        u, _, v = np.linalg.svd(np.einsum("npd,npe->de", match, other))
        q = u @ v
    return q


def alignment(first, other, generator):
    """The orthogonal turn of other's axes that makes its flow lie nearest to first's: random turns,
    the best settled by closest points. Clouds in, q [D, D] out."""
    d = first.position.shape[1]
    one, two = (flow_rows(c)[generator.permutation(len(c.position))[:MATCHED]]
                for c in (first, other))
    turns = [np.linalg.qr(generator.standard_normal((d, d)))[0] for _ in range(TURNS)]
    turns = [q * generator.choice([-1, 1], d) for q in turns]
    turns = sorted(turns, key=lambda q: mismatch(one, two, q))[:BEST]
    one, two = (flow_rows(c)[generator.permutation(len(c.position))[:4 * MATCHED]]
                for c in (first, other))
    return min((settle(one, two, q) for q in turns), key=lambda q: mismatch(one, two, q))

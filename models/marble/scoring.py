"""Decoding across animals: decoders fitted on one, tested on another, in several spaces.

Shapes: n bins past the warm-up, L embedding, D dimensions, C channels, O behaviour.
"""
import dataclasses

import numpy as np

from latent_models.common.metrics import r2_summary
from latent_models.marble import animals, population, reference

SHIPPED = {"animals": (("animal_a", ("causal",)), ("animal_b", ("causal",)))}
NEAREST = 20


@dataclasses.dataclass
class Seen:
    """An animal, the embeddings [n, L] of its bins by split, and those of its axes before they
    were turned towards another's (None: they never were)."""

    animal: population.Animal
    z: dict
    z_plain: dict = None


def embeddings(animal, tensors):
    """By the reference, of its points by split."""
    return {split: reference.embed(tensors, animal.hyper, animal.features(split),
                                   animal.cloud.vector.shape[1]) for split in ("train", "test")}


def seen(name, index, decode):
    """A shipped file's animal: what the file's projection shows, embedded by decode(arch, name,
    counts, mode) -> (outputs, model), warm-up cut; its untouched axes by the reference."""
    recipe, z = animals.read_recipe(), {}
    data = animals.animal(recipe, index)
    for split, trials in data["split"].items():
        outputs, model = decode("marble", name, data["counts"][trials], "causal")
        kept = outputs["latents"][:, model.hyper["warmup_bins"]:]
        z[split] = kept.reshape(-1, kept.shape[-1]).astype(np.float64)
    animal = population.Animal(recipe, index, model.hyper)
    w = {k: np.asarray(v, np.float64) for k, v in model.weights.items()}
    plain = embeddings(animal, w) if index else None
    animal.look({k: w[k] for k in ("projection.mean", "projection.weight")})
    return Seen(animal, z, plain)


def with_one(x):
    return np.hstack([x, np.ones((len(x), 1))])


def fit_linear(x, y, ridge=1e-4):
    """Ridge regression of y [n, O] on x [n, L] -> [L + 1, O], the constant last."""
    d = with_one(x)
    return np.linalg.solve(d.T @ d + ridge * len(d) * np.eye(d.shape[1]), d.T @ y)


def linear(x, y, x_test):
    return with_one(x_test) @ fit_linear(x, y)


def nearest(x, y, x_test):
    """Mean of y over the nearest rows of x."""
    square = (x_test ** 2).sum(1)[:, None] + (x ** 2).sum(1)[None] - 2 * x_test @ x.T
    return y[np.argpartition(square, NEAREST, 1)[:, :NEAREST]].mean(1)


def agreement(one, other):
    """R2 of the other's test embeddings by the first one's at the same place of the hand; nothing
    is fitted between the two."""
    place = one.animal.rows("behaviour", "train")
    expected = nearest(place, one.z["train"], other.animal.rows("behaviour", "test"))
    return r2_summary(other.z["test"], expected)["weighted"]


def spaces(one, other):
    """name -> (rows of one's training bins, rows of other's test bins) of the same width."""
    a, b = one.animal, other.animal
    n = min(len(x.w["projection.mean"]) for x in (a, b))
    plain = [population.points(population.project(x.part("counts", "train"), x.hyper), x.hyper,
                               x.part("counts", split))[0]
             for x, split in ((a, "train"), (b, "test"))]
    before = [x.z if x.z_plain is None else x.z_plain for x in (one, other)]
    return {"marble": (one.z["train"], other.z["test"]),
            "marble, axes not turned": (before[0]["train"], before[1]["test"]), "PCA": plain,
            "PCA, axes turned the same": (a.points["train"][0], b.points["test"][0]),
            "channels": (channels(a, "train")[:, :n], channels(b, "test")[:, :n])}


def channels(animal, split):
    """Smoothed counts themselves [n, C]."""
    w = {"projection.mean": animal.w["projection.mean"],
         "projection.weight": np.eye(len(animal.w["projection.mean"]))}
    return population.points(w, animal.hyper, animal.part("counts", split))[0]


def compare(one, other):
    """-> (name, score) of every space and decoder, R2 of the behaviour, mean of its columns; then
    the agreement of the embeddings."""
    y, truth = one.animal.rows("behaviour", "train"), other.animal.rows("behaviour", "test")
    scores = [(f"{space}, {decode.__name__}", r2_summary(truth, decode(x, y, x_test))["mean"])
              for space, (x, x_test) in spaces(one, other).items() for decode in (nearest, linear)]
    return scores + [("agreement of the embeddings, nothing fitted", agreement(one, other))]


def pairs(seen):
    """-> (name, fitted on, tested on) of what is compared."""
    yield "the same animal", seen[0], seen[0]
    yield "first to second", seen[0], seen[1]
    yield "second to first", seen[1], seen[0]
    for i, other in enumerate(seen[2:]):
        yield f"first to stranger {i + 1}", seen[0], other


def table(two):
    """The card's rows for two animals."""
    one, other = two
    columns = [compare(one, one), compare(one, other), compare(other, one)]
    names = [name for name, _ in columns[0]]
    return ["| space, decoder | within A | A to B | B to A |", "|---|---|---|---|",
            *(f"| {name} | " + " | ".join(f"{column[i][1]:.3f}" for column in columns) + " |"
              for i, name in enumerate(names))]


def shipped_table(decode):
    """Decoders of one animal's embedding on another's."""
    return table([seen(f"animal_{name}", i, decode) for i, name in enumerate("ab")])


TABLES = {"animals": shipped_table}

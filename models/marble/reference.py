#!/usr/bin/python3
"""MARBLE as a stream, in float64 numpy: the answer key.

Shapes: T bins, C channels, D dimensions of the smoothed state, L embedding, O outputs. The point
of bin t is x_t-1 with the vector x_t - x_t-1, over the frozen cloud of the model file
(geometry.py).
"""

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common.reference_command import reference_main
from latent_models.common.refusal import Refusal, run_command
from latent_models.marble import geometry

BATCH_NORM_EPS = 1e-5
CLOUD = ("position", "reach", "series", "vector", "gradient", "frame", "length_series")


def smooth(w, hyper, counts, missing=()):
    """counts [T, C] -> smoothed states [T, D], from rest at the training mean; missing bins hold
    it."""
    y = (counts - w["projection.mean"]) @ w["projection.weight"].T
    y[list(missing)] = 0
    for _ in range(hyper["stages"]):
        z, rows = np.zeros(y.shape[1]), []
        for row in y:
            z = hyper["rho"] * z + (1 - hyper["rho"]) * row
            rows.append(z)
        y = np.array(rows)
    return y


def points(states):
    """states [T, D] -> anchors x_t-1 and vectors x_t - x_t-1, [T, D] each; x of bin -1 is 0."""
    before = np.vstack([np.zeros((1, states.shape[1])), states[:-1]])
    return before, states - before


def cloud_of(w):
    return geometry.Cloud(**{name: w[f"cloud.{name}"] for name in CLOUD if f"cloud.{name}" in w})


def embed(w, hyper, features, n_directions):
    """features [T, F] -> embedding [T, L]."""
    if hyper["inner_products"]:
        vectors = features.reshape(len(features), -1, n_directions)
        o = np.stack([w[f"inner_products.O_mat.{j}.weight"] for j in range(vectors.shape[1])])
        features = np.tanh(np.einsum("tip,jpq,tjq->ti", vectors, o, vectors))
    y = features @ w["enc.lins.0.weight"].T + w["enc.lins.0.bias"]
    norm = {k: w[f"enc.norms.0.module.{k}"]
            for k in ("weight", "bias", "running_mean", "running_var")}
    y = (y - norm["running_mean"]) / np.sqrt(norm["running_var"] + BATCH_NORM_EPS)
    y = np.maximum(y * norm["weight"] + norm["bias"], 0)
    z = y @ w["enc.lins.1.weight"].T + w["enc.lins.1.bias"]
    if hyper["emb_norm"]:
        z = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
    return z


def run(weights, config, counts, mode, missing=()):
    """counts [T, C], bins without counts -> dict of latents [T, L] and readout [T, O]."""
    if mode != "causal":
        raise Refusal(f"mode {mode} is unknown; a marble has causal")
    hyper = config["hyper"]
    w = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    cloud = cloud_of(w)
    pairs = zip(*points(smooth(w, hyper, np.asarray(counts, np.float64), missing)))
    features = np.stack([geometry.point_features(cloud, x, v, hyper) for x, v in pairs])
    latents = embed(w, hyper, features, cloud.vector.shape[1])
    readout = None
    if "readout.weight" in w:
        readout = latents @ w["readout.weight"].T + w["readout.bias"]
    return {"latents": latents, "lograte": None, "readout": readout}


if __name__ == "__main__":
    run_command(lambda: reference_main(run, __doc__))

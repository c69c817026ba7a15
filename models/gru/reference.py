#!/usr/bin/python3
"""A stacked GRU with rate and behaviour readouts in float64 numpy: the answer key for exporter,
tests and C.

Torch's convention: row blocks r, z, n; the reset gate applies after the recurrent product. Mode
causal: state zero at the start, latents = the top hidden state after the bin. Shapes: T bins, C
channels, H hidden.
"""

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common import links
from latent_models.common.reference_command import reference_main
from latent_models.common.refusal import Refusal, run_command


def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


def cell(weights, layer, x, h):
    """One step of one layer: input x, state h [H] -> new state [H]."""
    size = len(h)
    a = weights[f"gru.weight_ih_l{layer}"] @ x + weights[f"gru.bias_ih_l{layer}"]
    u = weights[f"gru.weight_hh_l{layer}"] @ h + weights[f"gru.bias_hh_l{layer}"]
    r = sigmoid(a[:size] + u[:size])
    z = sigmoid(a[size:2 * size] + u[size:2 * size])
    n = np.tanh(a[2 * size:] + r * u[2 * size:])
    return (1 - z) * n + z * h


def affine(weights, name, x):
    """x @ W.T + b, or None when the model has no such readout."""
    if name + ".weight" not in weights:
        return None
    return x @ weights[name + ".weight"].T + weights[name + ".bias"]


def run(weights, config, counts, mode):
    """counts [T, C] -> dict of latents [T, H], lograte [T, N] or None, readout [T, O] or None."""
    if mode != "causal":
        raise Refusal(f"mode {mode} is unknown; a gru has causal")
    weights = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    counts = np.asarray(counts, np.float64)
    hyper = config["hyper"]
    states, top = np.zeros((hyper["layers"], hyper["hidden"])), []
    for x in counts:
        for layer in range(hyper["layers"]):
            states[layer] = x = cell(weights, layer, x, states[layer])
        top.append(states[-1].copy())
    latents = np.array(top)
    drive = affine(weights, "rate", latents)
    return {"latents": latents,
            "lograte": None if drive is None else links.lograte(hyper, drive),
            "readout": affine(weights, "readout", latents)}


if __name__ == "__main__":
    run_command(lambda: reference_main(run, __doc__))

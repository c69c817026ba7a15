#!/usr/bin/python3
"""The brain-to-text GRU in float64 numpy, a whole trial at a time: the answer key for exporter,
tests and C. card.md has the equations.

Written from the definition, not from models/stack, whose layers a model file lists. Shapes: T bins,
C features, J taps, K bins in a window, U hidden, O classes.
"""
import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common.reference_command import reference_main
from latent_models.common.refusal import Refusal, run_command
from latent_models.stack.reference import bins_with_input


def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


def smoothed(taps, x):
    """[T, C] -> [T - J + 1, C]: of bins with all their neighbours alone."""
    return np.stack([np.convolve(column, taps, "valid") for column in x.T], 1)


def of_session(weights, hyper, x):
    """x . W + b of the session in use; the file has W transposed, below those of other sessions."""
    n = x.shape[1]
    rows = slice(hyper["sessions"].index(hyper["session"]) * n, None)
    a = x @ weights["session.weight"][rows][:n].T + weights["session.bias"][rows][:n]
    return a / (1 + np.abs(a))


def windows(z, n_bins, stride):
    """[K', n_bins C]: the newest bins side by side, the oldest first, each with its features."""
    return np.array([z[k:k + n_bins].ravel() for k in range(0, len(z) - n_bins + 1, stride)])


def gru(weights, n_layers, v):
    """[K', .] -> the top layer's states [K', U]; each layer begins with its h0."""
    for k in range(n_layers):
        given = v @ weights[f"gru.weight_ih_l{k}"].T + weights[f"gru.bias_ih_l{k}"]
        h, rows = weights["gru.h0"][k], []
        for row in given:
            a_r, a_u, a_n = np.split(row, 3)
            b_r, b_u, b_n = np.split(weights[f"gru.weight_hh_l{k}"] @ h
                                     + weights[f"gru.bias_hh_l{k}"], 3)
            r, u = sigmoid(a_r + b_r), sigmoid(a_u + b_u)
            h = (1 - u) * np.tanh(a_n + r * b_n) + u * h
            rows.append(h)
        v = np.array(rows)
    return v


def run(weights, config, counts, mode, missing=()):
    """counts [T, C] -> {"logits": [T, O], "absent": [T], the other groups None}; NaN in bins
    without a step."""
    if mode != "causal":
        raise Refusal(f"mode {mode} is unknown; a b2t has causal")
    w = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    nodes = {node["name"]: node for node in config["hyper"]["nodes"]}
    n_taps = len(w["smooth.weight"]) if "smooth" in nodes else 1
    window = nodes.get("window", {"items": 1, "stride": 1})
    n_bins, stride = window["items"], window["stride"]
    x = bins_with_input(config, np.asarray(counts, np.float64), missing)
    logits = np.full((len(x), len(w["logits.bias"])), np.nan)
    first = n_taps - 1 + n_bins - 1
    if len(x) > first:
        if n_taps > 1:
            x = smoothed(w["smooth.weight"], x)
        v = windows(of_session(w, config["hyper"], x), n_bins, stride)
        top = gru(w, nodes["gru"]["layers"], v)
        logits[first::stride] = top @ w["logits.weight"].T + w["logits.bias"]
    return {"latents": None, "rates": None, "lograte": None, "readout": None, "logits": logits,
            "absent": np.isnan(logits).all(-1)}


if __name__ == "__main__":
    run_command(lambda: reference_main(run, __doc__))

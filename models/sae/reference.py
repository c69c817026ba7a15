#!/usr/bin/python3
"""The sequential auto-encoders (node, gru, mlp decoders) in float64 numpy: the answer key.

Shapes: T bins, C channels, E encoder, D latents, N rates, W window_bins. Modes:
  window    bin t is the newest of the bins max(0, t-W+1)..t, all of them encoded.
  protocol  the first W bins as in window, from then on the decoder runs on by itself.
  trial     the first W bins encoded, bins 0..T-1 given; those from W on are forecasts.
A missing bin (see run) is the decoder's next step; in the window it counts as the rates the model
gave for it, or as the training mean where the model has no rate for each channel.
"""

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common import links
from latent_models.common.reference_command import reference_main
from latent_models.common.refusal import Refusal, run_command

# Tsitouras (2011), the method of order 5 without its error estimate.
TSIT5_A = ((), (0.161,), (-0.008480655492356989, 0.335480655492357),
           (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
           (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
           (5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401,
            -0.028269050394068383))
TSIT5_B = (0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081,
           2.324710524099774)


def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


def gru_cell(weight_ih, weight_hh, bias_ih, bias_hh, x, *, h):
    """Torch's cell: row blocks r, z, n; reset after the product. x, h: one vector each."""
    size = len(h)
    a, u = weight_ih @ x + bias_ih, weight_hh @ h + bias_hh
    r, z = sigmoid(a[:size] + u[:size]), sigmoid(a[size:2 * size] + u[size:2 * size])
    n = np.tanh(a[2 * size:] + r * u[2 * size:])
    return (1 - z) * n + z * h


def encoder_state(weights, counts):
    """counts [T, C] -> [2E]: forward state after the last bin, backward state after the first."""
    states = []
    for suffix, rows in (("_l0", counts), ("_l0_reverse", counts[::-1])):
        cell = [weights[f"encoder.{kind}{suffix}"] for kind in
                ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        h = np.zeros(cell[1].shape[1])
        for x in rows:
            h = gru_cell(*cell, x, h=h)
        states.append(h)
    return np.concatenate(states)


def initial_condition(weights, counts):
    """z at the first bin [D]."""
    return weights["ic_linear.weight"] @ encoder_state(weights, counts) + weights["ic_linear.bias"]


def perceptron(weights, prefix, x, activation):
    hidden = weights[prefix + ".0.weight"] @ x + weights[prefix + ".0.bias"]
    hidden = np.tanh(hidden) if activation == "tanh" else np.maximum(hidden, 0)
    return weights[prefix + ".2.weight"] @ hidden + weights[prefix + ".2.bias"]


def vector_field(weights, z):
    return perceptron(weights, "decoder.vf.vf.vf", z, "tanh")


def step_tsit5(field, z, dt):
    slopes = []
    for row in TSIT5_A:
        slopes.append(field(z + dt * sum((a * k for a, k in zip(row, slopes)), np.zeros_like(z))))
    return z + dt * sum(b * k for b, k in zip(TSIT5_B, slopes))


def step_rk4(field, z, dt):
    k1 = field(z)
    k2 = field(z + dt / 2 * k1)
    k3 = field(z + dt / 2 * k2)
    k4 = field(z + dt * k3)
    return z + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def decoder_step(weights, hyper, z):
    """z one bin further."""
    if hyper["decoder"] == "node":
        step = {"tsit5": step_tsit5, "rk4": step_rk4}[hyper["solver"]]
        for _ in range(hyper["substeps"]):
            z = step(lambda y: vector_field(weights, y), z, hyper["step"] / hyper["substeps"])
        return z
    if hyper["decoder"] == "gru":
        cell = [weights["decoder.cell." + kind] for kind in
                ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        return gru_cell(*cell, np.zeros(1), h=z)
    update = perceptron(weights, "decoder.cell.mlp", np.concatenate([np.zeros(1), z]),
                        hyper["activation"])
    return update if hyper["dt"] is None else z + hyper["dt"] * update


def trajectory(weights, hyper, counts, n_bins):
    """Encode counts [T, C]; z of the bins 0..n_bins-1 [n_bins, D], forecasts from T on."""
    z, rows = initial_condition(weights, counts), []
    for t in range(n_bins):
        if t or hyper["first_output"] == "step":
            z = decoder_step(weights, hyper, z)
        rows.append(z)
    return np.stack(rows)


def lograte(weights, z, hyper=None):
    return links.lograte(hyper, z @ weights["readout.weight"].T + weights["readout.bias"])


def expected_counts(weights, config, z):
    """What a missing bin counts as [C]; z None: there was no bin yet."""
    n_channels = config["n_channels"]
    if z is not None and len(weights["readout.weight"]) >= n_channels:
        return np.exp(lograte(weights, z, config["hyper"]))[:n_channels]
    if "channels" in config:
        return np.asarray(config["channels"]["mean"], np.float64)
    if z is None:
        return np.zeros(n_channels)
    raise Refusal("no rate for each channel and no training means: missing bins cannot be filled")


def stream(weights, config, counts, mode, missing):
    """Bin by bin -> z [T, D]."""
    hyper, z, rows = config["hyper"], None, []
    seen = np.zeros((0, counts.shape[1]))
    for t, x in enumerate(counts):
        collecting = mode == "window" or t < hyper["window_bins"]
        runs_on = z is not None and (t in missing or not collecting)
        if runs_on:
            z = decoder_step(weights, hyper, z)
        if collecting:
            x = expected_counts(weights, config, z) if t in missing else x
            seen = np.vstack([seen, x])[-hyper["window_bins"]:]
        if not runs_on:
            z = trajectory(weights, hyper, seen, len(seen))[-1]
        rows.append(z)
    return np.stack(rows)


def run(weights, config, counts, mode, missing=()):
    """counts [T, C] -> dict of latents [T, D] and lograte [T, N]. missing: bins that did not come
    (not in trial)."""
    if mode not in ("window", "protocol", "trial"):
        raise Refusal(f"mode {mode} is unknown; an sae has window, protocol and trial")
    weights = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    counts = np.asarray(counts, np.float64)
    if mode == "trial":
        window = counts[:config["hyper"]["window_bins"]]
        z = trajectory(weights, config["hyper"], window, len(counts))
    else:
        z = stream(weights, config, counts, mode, set(missing))
    return {"latents": z, "lograte": lograte(weights, z, config["hyper"]), "readout": None}


if __name__ == "__main__":
    run_command(lambda: reference_main(run, __doc__))

#!/usr/bin/python3
"""The low-rank RNN in float64 numpy: the answer key.

Shapes: T bins, N units, R rank, I inputs, M spike channels, O outputs. Forms:
  driven    channels are inputs u [T, I]; the full network h [N] is simulated, and the latents
            beside it
  filtered  channels are M counts, then I inputs; extended Kalman filter on kappa, Poisson counts
Both: h_0 = h0, whose first rates take no bias b; readouts are of the state after the bin's input.
"""

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common.reference_command import reference_main
from latent_models.common.refusal import Refusal, run_command

LOG_RATE_MAX = 20.0
PHI = {"tanh": np.tanh, "identity": lambda h: h}


def full_inputs(w):
    """wi with its gains, [I, N]; no input: [0, N]."""
    if "wi" not in w:
        return np.zeros((0, len(w["m"])))
    return w["si"][:, None] * w["wi"]


def simulate(w, alpha, inputs, noise=None):
    """The network of N units itself. inputs [T, I], noise [T, N] added to h -> h [T, N] after
    each input."""
    h, rows, n_units = w["h0"], [], len(w["m"])
    for t, u in enumerate(inputs):
        rate = np.tanh(h if t == 0 else h + w["b"])
        h = h + alpha * (-h + w["m"] @ (w["n"].T @ rate) / n_units + full_inputs(w).T @ u)
        if noise is not None:
            h = h + noise[t]
        rows.append(h)
    return np.array(rows)


def step(w, alpha, kappa, v, u, *, h):
    """Latents after one input; h [N] is the network's state before it, with or without b
    already."""
    flow = w["n"].T @ np.tanh(h) / len(w["m"])
    return (1 - alpha) * kappa + alpha * flow, (1 - alpha) * v + alpha * u


def units(w, alpha, kappa, v, t):
    """h [N] of the latents after t bins."""
    return w["m"] @ kappa + full_inputs(w).T @ v + (1 - alpha) ** t * w["h0"]


def latents_of(w, alpha, inputs):
    """The reduced recursion -> kappa [T, R], v [T, I]."""
    kappa, v = np.zeros(w["m"].shape[1]), np.zeros(inputs.shape[1])
    rows = []
    for t, u in enumerate(inputs):
        h = units(w, alpha, kappa, v, t) + (w["b"] if t else 0)
        kappa, v = step(w, alpha, kappa, v, u, h=h)
        rows.append(np.concatenate([kappa, v]))
    return np.array(rows)


def readout_of(w, hyper, h):
    """h [T, N] -> readout [T, O] or None."""
    phi = PHI[hyper["output_activation"]](h)
    if hyper["output"] == "none":
        return None
    if hyper["output"] == "units":
        return phi
    return phi @ (w["wo"] * w["so"]) / len(w["m"])


def observation(w, hyper, kappa, v, h):
    """-> (log-rates eta [M], d eta / d kappa [M, R])."""
    if hyper["observation"] == "linear":
        eta = w["observation.weight"] @ np.concatenate([kappa, v])
        slope = w["observation.weight"][:, :len(kappa)]
    else:
        gain, n_spikes = w["observation.gain"], len(w["observation.gain"])
        unit = np.tanh(h + w["b"])[:n_spikes]
        eta, slope = gain * unit, (gain * (1 - unit ** 2))[:, None] * w["m"][:n_spikes]
    return np.minimum(eta + w["observation.bias"], LOG_RATE_MAX), slope


def correct(w, hyper, predicted, covariance, v, *, t, counts):
    """Iterated extended Kalman correction -> (kappa, covariance)."""
    kappa = predicted
    for _ in range(hyper["iterations"]):
        eta, slope = observation(w, hyper, kappa, v, units(w, hyper["alpha"], kappa, v, t))
        rate = np.exp(eta)
        information = slope.T @ (rate[:, None] * slope)
        posterior = np.linalg.inv(np.linalg.inv(covariance) + information)
        push = slope.T @ (counts - rate + rate * (slope @ (kappa - predicted)))
        kappa = predicted + posterior @ push
    return kappa, posterior


def run_filtered(w, hyper, channels, missing=()):
    """channels [T, M + I], bins without input or correction -> latents [T, R + I], log-rates [T,
    M], h [T, N]."""
    n_spikes, alpha = len(w["observation.bias"]), hyper["alpha"]
    kappa, v = np.zeros(w["m"].shape[1]), np.zeros(channels.shape[1] - n_spikes)
    covariance, rows = w["filter.P0"], []
    for t, row in enumerate(channels):
        h = units(w, alpha, kappa, v, t) + (w["b"] if t else 0)
        steep = 1 - np.tanh(h) ** 2
        flow = alpha / len(h) * w["n"].T @ (steep[:, None] * w["m"])
        slope = (1 - alpha) * np.eye(len(kappa)) + flow
        kappa, v = step(w, alpha, kappa, v, row[n_spikes:], h=h)
        covariance = slope @ covariance @ slope.T + w["filter.Q"]
        if t not in missing:
            kappa, covariance = correct(w, hyper, kappa, covariance, v, t=t + 1,
                                        counts=row[:n_spikes])
        h = units(w, alpha, kappa, v, t + 1)
        rows.append((np.concatenate([kappa, v]), observation(w, hyper, kappa, v, h)[0], h))
    return tuple(np.array(column) for column in zip(*rows))


def run(weights, config, counts, mode, missing=()):
    """counts [T, C], bins without input -> dict of latents [T, R + I], lograte [T, M] (filtered),
    readout [T, O]."""
    if mode != "causal":
        raise Refusal(f"mode {mode} is unknown; a lowrank has causal")
    hyper = config["hyper"]
    w = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    counts = np.array(counts, np.float64)
    counts[list(missing)] = 0
    if hyper["form"] == "driven":
        h = simulate(w, hyper["alpha"], counts)
        return {"latents": latents_of(w, hyper["alpha"], counts), "lograte": None,
                "readout": readout_of(w, hyper, h)}
    latents, lograte, h = run_filtered(w, hyper, counts, missing)
    return {"latents": latents, "lograte": lograte, "readout": readout_of(w, hyper, h)}


if __name__ == "__main__":
    run_command(lambda: reference_main(run, __doc__))

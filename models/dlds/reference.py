#!/usr/bin/python3
"""The decomposed linear dynamical system in float64 numpy: the answer key.

Shapes: T bins, C channels, S states, M operators, O outputs, K trials side by side. Per bin, A
[S, M] = columns F_m x of the estimate before, alternately: x = (D' R^-1 D + lambda I)^-1 (D' R^-1
y + lambda A c), and c by FISTA on lambda/2 |x - A c|^2 + gamma |c|_1 + kappa/2 |c - c_before|^2,
warm-started at c_before.
"""

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common.reference_command import reference_main
from latent_models.common.refusal import Refusal, run_command

RATE_MIN = 1e-6  # counts per bin


def observed(hyper, counts):
    """Counts as the model observes them."""
    if hyper["observation"] == "anscombe":
        return 2 * np.sqrt(np.maximum(counts, 0) + 3 / 8)
    return counts


def expected_counts(hyper, y):
    """Expected count of a predicted observation, at least RATE_MIN."""
    y = np.maximum(y, 0)
    return np.maximum(y ** 2 / 4 - 3 / 8 if hyper["observation"] == "anscombe" else y, RATE_MIN)


def fista(a, x, c_before, hyper):
    """The sparse step: a [K, S, M], x [K, S] -> c [K, M]."""
    lam, gamma, kappa = hyper["lambda"], hyper["gamma"], hyper["kappa"]
    step = 1 / (lam * (a ** 2).sum((1, 2)) + kappa)[:, None]
    c, ahead, momentum = c_before, c_before, 1.0
    for _ in range(hyper["fista_steps"]):
        residual = np.einsum("ksm,km->ks", a, ahead) - x
        slope = lam * np.einsum("ksm,ks->km", a, residual) + kappa * (ahead - c_before)
        moved = ahead - step * slope
        shrunk = np.sign(moved) * np.maximum(np.abs(moved) - step * gamma, 0)
        following = (1 + np.sqrt(1 + 4 * momentum ** 2)) / 2
        ahead = shrunk + (momentum - 1) / following * (shrunk - c)
        c, momentum = shrunk, following
    return c


def filter_bin(w, hyper, x, c, y):
    """One observation y [K, C] of each of K trials -> (x [K, S], c [K, M])."""
    a = np.einsum("mij,kj->kim", w["F"], x)
    before, weighted = c, w["D"] / w["R"][:, None]
    normal = w["D"].T @ weighted + hyper["lambda"] * np.eye(x.shape[1])
    for _ in range(hyper["turns"]):
        push = (y - w["offset"]) @ weighted + hyper["lambda"] * np.einsum("kim,km->ki", a, c)
        x = np.linalg.solve(normal, push.T).T
        c = fista(a, x, before, hyper)
    return x, c


def forecast(w, x, c):
    """x [K, S] one bin on without a count: A c, never longer than x was."""
    after = np.einsum("km,mij,kj->ki", c, w["F"], x)
    before_size, size = (np.linalg.norm(a, axis=1, keepdims=True) for a in (x, after))
    return np.where(size > before_size, after * before_size / np.where(size > 0, size, 1), after)


def run_states(w, hyper, trials, missing=()):
    """trials [K, T, C], bins missing from all of them -> (x [K, T, S], c [K, T, M])."""
    x, c = (np.tile(w[name], (len(trials), 1)) for name in ("x0", "c0"))
    rows = []
    for t in range(trials.shape[1]):
        if t in missing:
            x = forecast(w, x, c)
        else:
            x, c = filter_bin(w, hyper, x, c, observed(hyper, trials[:, t]))
        rows.append((x, c))
    return tuple(np.stack(column, 1) for column in zip(*rows))


def run(weights, config, counts, mode, missing=()):
    """counts [T, C], bins without counts -> dict of latents [T, S + M], lograte [T, C], readout
    [T, O]."""
    if mode != "causal":
        raise Refusal(f"mode {mode} is unknown; a dlds has causal")
    hyper = config["hyper"]
    w = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    x, c = (a[0] for a in run_states(w, hyper, np.asarray(counts, np.float64)[None], missing))
    lograte = np.log(expected_counts(hyper, x @ w["D"].T + w["offset"]))
    readout = None
    if "readout.weight" in w:
        readout = x @ w["readout.weight"].T + w["readout.bias"]
    return {"latents": np.hstack([x, c]), "lograte": lograte, "readout": readout}


if __name__ == "__main__":
    run_command(lambda: reference_main(run, __doc__))

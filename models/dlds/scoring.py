"""Scores on the switching systems: segments and states recovered, beside one linear system.

Shapes: K trials, T bins, C channels, S states, M operators. Also the parts that the trainer and
the plain linear model share: principal axes, and dynamics fitted in short windows.
"""
import itertools

import numpy as np

from latent_models.common import baselines
from latent_models.common.metrics import r2_summary
from latent_models.dlds import switching
from latent_models.kalman import reference as kalman_reference

SHIPPED = {"switching": (("switching", ("causal",)),)}
WINDOW, SMOOTH_BINS = 20, 1.5
WINDOW_RIDGE = 0.05


def ridge(x, y, strength=1e-3):
    """W with y ~ x W'; x [n, a], y [n, b] -> [b, a]."""
    gram = x.T @ x
    penalty = strength * np.trace(gram) / len(gram) * np.eye(len(gram))
    return np.linalg.solve(gram + penalty, x.T @ y).T


def start_states(counts, n_states):
    """Smoothed counts on their principal axes -> states [K, T, S] of unit size, loading [C, S]."""
    smoothed = baselines.gaussian_smooth(counts, SMOOTH_BINS)
    mean, axes = baselines.principal_axes(smoothed)
    states = (smoothed - mean) @ axes[:, :n_states]
    size = states.std((0, 1))
    return states / size, axes[:, :n_states] * size


def window_dynamics(states):
    """Least-squares dynamics of every window of states [K, T, S] -> [n, S, S]."""
    out = []
    for trial in states:
        for first in range(0, len(trial) - WINDOW, WINDOW // 2):
            part = trial[first:first + WINDOW]
            out.append(ridge(part[:-1], part[1:], WINDOW_RIDGE))
    return np.stack(out)


def group(matrices, n, generator, n_starts=20):
    """k-means of matrices [n, S, S] -> centres [M, S, S], of the best of several starts."""
    flat, best = matrices.reshape(len(matrices), -1), None
    for _ in range(n_starts):
        centres = flat[generator.choice(len(flat), n, replace=False)]
        for _ in range(50):
            distance = ((flat[:, None] - centres[None]) ** 2).sum(-1)
            nearest = distance.argmin(1)
            centres = np.stack([flat[nearest == m].mean(0) if (nearest == m).any() else centres[m]
                                for m in range(n)])
        cost = distance.min(1).sum()
        best = (cost, centres) if best is None or cost < best[0] else best
    return best[1].reshape(n, *matrices.shape[1:])


def dominant(c):
    """The operator that carries most of c [.., M] -> index [..]."""
    return np.abs(c).argmax(-1)


def matched_accuracy(label, regime, n):
    """Share of bins right under the best naming of the n operators."""
    return max(float((np.array(names)[label] == regime).mean())
               for names in itertools.permutations(range(n)))


def state_r2(found, true):
    """R2 of the true states by a linear map of the found ones, mean of the states."""
    x, y = found.reshape(-1, found.shape[-1]), true.reshape(-1, true.shape[-1])
    return r2_summary(y, x @ ridge(x, y, 1e-9).T)["mean"]


def linear_states(data, n_states):
    """The states of one linear system (a Kalman filter fitted to the same start) on the test
    trials [K, T, S]."""
    trials = data["counts"][data["split"]["train"]]
    states, loading = start_states(trials, n_states)
    offset, flat = trials.mean((0, 1)), states.reshape(-1, n_states)
    before, after = states[:, :-1].reshape(-1, n_states), states[:, 1:].reshape(-1, n_states)
    a = ridge(before, after)
    noise = trials.reshape(len(flat), -1) - offset - flat @ loading.T
    w = {"A": a, "C": loading, "Q": np.cov((after - before @ a.T).T), "offset": offset,
         "R": noise.T @ noise / len(noise)}
    config = {"hyper": {"form": "steady"}}
    return np.stack([kalman_reference.run(w, config, x, "causal")["latents"]
                     for x in data["counts"][data["split"]["test"]]])


def window_labels(states, f):
    """What one linear system can say of regimes: the dynamics of the last window of its states
    [K, T, S], the nearest of the operators f [M, S, S] -> [K, T]."""
    labels = np.zeros(states.shape[:2], int)
    for k, trial in enumerate(states):
        for t in range(WINDOW, len(trial)):
            a = ridge(trial[t - WINDOW:t], trial[t - WINDOW + 1:t + 1], WINDOW_RIDGE)
            labels[k, t] = ((f - a) ** 2).sum((1, 2)).argmin()
    return labels


def rows(latents, n_states, data):
    """Latents [K, T, S + M] of the test trials -> (name, segments right or None, states R2 or
    None) of the model, of one linear system, and of knowing nothing."""
    test = data["split"]["test"]
    true, regime = data["states"][test], data["regime"][test]
    n = latents.shape[-1] - n_states
    linear = linear_states(data, n_states)
    centres = group(window_dynamics(linear), n, np.random.default_rng(0))
    label = dominant(latents[..., n_states:])
    return (("dlds/switching", matched_accuracy(label, regime, n),
             state_r2(latents[..., :n_states], true)),
            (f"one linear system, regimes from windows of {WINDOW} bins",
             matched_accuracy(window_labels(linear, centres), regime, n), state_r2(linear, true)),
            ("always the commonest regime",
             float(np.bincount(regime.reshape(-1)).max() / regime.size), None))


def shipped_table(decode):
    """Segments of the switching systems."""
    data = switching.simulate(switching.read_recipe())
    outputs, model = decode("dlds", "switching", data["counts"][data["split"]["test"]], "causal")
    table = ["| model | segments right | states R2 |", "|---|---|---|"]
    for name, right, r2 in rows(outputs["latents"], len(model.weights["x0"]), data):
        table.append(f"| {name} | {right:.3f} | {'-' if r2 is None else f'{r2:.3f}'} |")
    return table


TABLES = {"switching": shipped_table}

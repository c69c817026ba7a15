"""The random-dots task, and spikes of a network that performs it: numpy, seeded by the recipe.

Shapes: K trials, T bins, N units, R rank. The one input is coherence plus noise while the dots
are shown; the answer is its sign, given in the last bins. A model file takes it as two channels.
"""
import json
from pathlib import Path

import numpy as np

from latent_models.lowrank import reference

RECIPE = Path(__file__).with_name("rdm.json")


def read_recipe():
    return json.loads(RECIPE.read_text())


def n_bins(recipe):
    return sum(recipe[f"{part}_bins"] for part in ("fixation", "stimulus", "delay", "decision"))


def alpha_of(recipe):
    return recipe["bin_width_ms"] / recipe["time_constant_ms"]


def trials(recipe, n_trials, generator):
    """-> inputs [K, T, 1], answer [K] of -1 and 1."""
    coherence = generator.choice(recipe["coherences"], n_trials)
    u = np.zeros((n_trials, n_bins(recipe), 1))
    shown = slice(recipe["fixation_bins"], recipe["fixation_bins"] + recipe["stimulus_bins"])
    noise = generator.standard_normal((n_trials, recipe["stimulus_bins"]))
    u[:, shown, 0] = coherence[:, None] * recipe["coherence_scale"]
    u[:, shown, 0] += recipe["input_noise_sd"] * noise
    return u, np.sign(coherence)


def two_sided(u):
    """Signed inputs [.., 1] as evidence for and against [.., 2]: what a rig sends is never
    negative."""
    return np.maximum(np.concatenate([u, -u], -1), 0)


def with_two_sides(w):
    """The network w as it takes two-sided inputs."""
    return {**w, "wi": np.vstack([w["wi"], -w["wi"]]), "si": np.tile(w["si"], 2)}


def accuracy(readout, answer, recipe):
    """Share of trials whose mean readout [K, T] while deciding has the sign of the answer."""
    decided = readout[:, -recipe["decision_bins"]:].mean(1)
    return float((np.sign(decided) == answer).mean())


def observation(recipe, generator):
    """Log-rate = gain tanh(h) + bias of the first units -> (gain [M], bias [M])."""
    n = recipe["n_spiking_units"]
    gain = generator.uniform(*recipe["log_gain_range"], n) * generator.choice([-1, 1], n)
    return gain, recipe["log_rate_mean"] + recipe["log_rate_sd"] * generator.standard_normal(n)


def spikes(w, recipe, inputs, gain, bias, *, generator):
    """A network w that performs the task, its latents disturbed -> (counts [K, T, M], kappa
    [K, T, R])."""
    alpha, counts, kappas = alpha_of(recipe), [], []
    for u in inputs:
        jolts = recipe["latent_noise_sd"] * generator.standard_normal((len(u), w["m"].shape[1]))
        h = reference.simulate(w, alpha, u, jolts @ w["m"].T)
        rate = np.exp(gain * np.tanh(h[:, :len(gain)]) + bias)
        counts.append(generator.poisson(rate))
        kappas.append(kappa_of(w, alpha, u, h))
    return np.array(counts, np.float64), np.array(kappas)


def record(recipe, w, generator):
    """Trials of the network w as a rig sees them -> dict of inputs [K, T, 2] (two-sided), counts
    [K, T, M], channels [K, T, M + 2], kappa [K, T, R], answer [K], split: name -> trials."""
    sizes = recipe["trials"]
    u, answer = trials(recipe, sum(sizes.values()), generator)
    gain, bias = observation(recipe, np.random.default_rng(recipe["seed"] + 1))
    counts, kappa = spikes(w, recipe, u, gain, bias, generator=generator)
    edges = np.cumsum([0, *(sizes[k] for k in ("train", "valid", "test"))])
    split = {k: np.arange(a, b) for k, a, b in zip(("train", "valid", "test"), edges, edges[1:])}
    inputs = two_sided(u)
    return {"inputs": inputs, "counts": counts, "channels": np.concatenate([counts, inputs], -1),
            "kappa": kappa, "answer": answer, "split": split}


def kappa_of(w, alpha, inputs, h):
    """What is left of h [T, N] when the inputs' part is taken away, in the coordinates of m."""
    v, rows = np.zeros(inputs.shape[1]), []
    for u in inputs:
        v = (1 - alpha) * v + alpha * u
        rows.append(v)
    rest = h - np.array(rows) @ reference.full_inputs(w)
    return np.linalg.lstsq(w["m"], rest.T, rcond=None)[0].T

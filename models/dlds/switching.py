"""Switching linear systems seen through spikes: a numpy recipe, seeded by the recipe.

Shapes: K trials, T bins, S states (two planes), C channels, M regimes. In each regime both planes
turn by an angle of its own per bin; regimes follow each other in segments of random length.
"""
import json
from pathlib import Path

import numpy as np

RECIPE = Path(__file__).with_name("switching.json")


def read_recipe():
    return json.loads(RECIPE.read_text())


def rotation(angle):
    c, s = np.cos(2 * np.pi * angle), np.sin(2 * np.pi * angle)
    return np.array([[c, -s], [s, c]])


def operators(recipe, generator):
    """The regimes' matrices [M, S, S] in one random orthogonal basis, times the decay."""
    s = recipe["n_states"]
    basis = np.linalg.qr(generator.standard_normal((s, s)))[0]
    out = []
    for angles in recipe["turns_per_bin"]:
        block = np.zeros((s, s))
        for i, angle in enumerate(angles):
            block[2 * i:2 * i + 2, 2 * i:2 * i + 2] = rotation(angle)
        out.append(recipe["decay"] * basis @ block @ basis.T)
    return np.stack(out)


def regimes(recipe, generator):
    """The regime of every bin of a trial [T]; neighbours differ."""
    rows, last = [], -1
    while len(rows) < recipe["trial_bins"]:
        regime = int(generator.choice([m for m in range(recipe["n_regimes"]) if m != last]))
        low, high = recipe["segment_bins"]
        rows += [regime] * int(generator.integers(low, high + 1))
        last = regime
    return np.array(rows[:recipe["trial_bins"]])


def simulate(recipe):
    """-> dict of counts [K, T, C], states [K, T, S], regime [K, T], operators, loading, split."""
    generator = np.random.default_rng(recipe["seed"])
    f, s = operators(recipe, generator), recipe["n_states"]
    loading = recipe["loading_sd"] * generator.standard_normal((recipe["n_channels"], s))
    level = np.log(generator.uniform(*recipe["mean_counts_per_bin"], recipe["n_channels"]))
    counts, states, labels = [], [], []
    for _ in range(sum(recipe["trials"].values())):
        regime, rows = regimes(recipe, generator), []
        x = generator.standard_normal(s)
        for m in regime:
            x = f[m] @ x + recipe["state_noise_sd"] * generator.standard_normal(s)
            rows.append(x)
        states.append(rows)
        labels.append(regime)
        counts.append(generator.poisson(np.exp(np.array(rows) @ loading.T + level)))
    edges = np.cumsum([0] + [recipe["trials"][k] for k in ("train", "valid", "test")])
    split = {k: np.arange(a, b) for k, a, b in zip(("train", "valid", "test"), edges, edges[1:])}
    return {"counts": np.array(counts, np.float64), "states": np.array(states), "operators": f,
            "regime": np.array(labels), "loading": loading, "split": split}

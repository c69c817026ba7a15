"""Animals that reach alike with different neurons: a numpy recipe, seeded by the recipe.

Shapes: K trials, T bins, C channels. The hand goes round a closed course in space, out fast and
back slowly, over and over. The latent state, common to all animals, is the hand's position,
balanced to equal variance in all directions, and wanders a little round it; each animal has
neurons of its own, log-linear in the state, and trials of its own.
"""
import json
from pathlib import Path

import numpy as np

RECIPE = Path(__file__).with_name("animals.json")


def read_recipe():
    """The pinned recipe."""
    return json.loads(RECIPE.read_text())


def course(recipe, phase):
    """Where the hand is at a phase [..] -> [.., 3], mm."""
    shape = {k: np.array(v, float) for k, v in recipe["course_mm"].items()}
    angles = np.asarray(phase)[..., None] * np.arange(1, 4)
    return np.cos(angles) @ shape["cos"].T + np.sin(angles) @ shape["sin"].T


def tempo(recipe, phase):
    """Speed of the phase over its mean speed: fast on the way out, slow on the way back."""
    return 1 + recipe["speed_swing"] * np.cos(phase)


def balance(recipe):
    """-> (centre [3], matrix [3, 3]) that give the course zero mean and unit covariance over time:
    no axis is more principal than another, so that every animal's principal axes lie as chance
    has it."""
    phase = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
    points, weight = course(recipe, phase), 1 / tempo(recipe, phase)
    weight /= weight.sum()
    centre = weight @ points
    size, axes = np.linalg.eigh((points - centre).T @ (weight[:, None] * (points - centre)))
    return centre, axes / np.sqrt(size)


def movements(recipe, n_trials, generator):
    """-> latents [K, T, 3], phase [K, T]."""
    step = 2 * np.pi * recipe["reaches_per_s"] * recipe["bin_width_ms"] / 1000
    centre, matrix = balance(recipe)
    now, off = generator.uniform(0, 2 * np.pi, n_trials), np.zeros((n_trials, 3))
    kick = recipe["wander_sd"] * np.sqrt(1 - recipe["wander_decay"] ** 2)
    phases, latents = [], []
    for _ in range(recipe["trial_bins"]):
        jitter = recipe["tempo_jitter_sd"] * generator.standard_normal(n_trials)
        now = now + step * tempo(recipe, now) + jitter
        off = recipe["wander_decay"] * off + kick * generator.standard_normal((n_trials, 3))
        phases.append(now)
        latents.append((course(recipe, now) - centre) @ matrix + off)
    return np.stack(latents, 1), np.stack(phases, 1)


def animal(recipe, index):
    """-> dict of counts [K, T, C], behaviour [K, T, 3] (the hand, mm), split."""
    generator = np.random.default_rng([recipe["seed"], index])
    n_trials, sizes = sum(recipe["trials"].values()), recipe["n_channels"]
    n = sizes[index % len(sizes)]
    latents, phase = movements(recipe, n_trials, generator)
    depth = recipe["depth_sd"] * generator.standard_normal((n, 3))
    level = np.log(generator.uniform(*recipe["mean_rate_hz"], n) * recipe["bin_width_ms"] / 1000)
    train = recipe["trials"]["train"]
    return {"counts": generator.poisson(np.exp(level + latents @ depth.T)).astype(np.float64),
            "behaviour": course(recipe, phase),
            "split": {"train": np.arange(train), "test": np.arange(train, n_trials)}}

"""A simulated subject who moves a cursor: first with the arm, then through a decoder. numpy only.

Shapes: C channels, 2 dimensions. Rates follow the velocity (the arm's, or the one intended) and
the place of arm or cursor. Between arm and brain control the preferred directions turn and the
gains change, as they do in subjects. The intended velocity points from where the cursor was seen,
some bins ago, to the target.
"""
import json
from pathlib import Path

import numpy as np

RECIPE = Path(__file__).with_name("loop.json")


def read_recipe():
    return json.loads(RECIPE.read_text())


class Subject:
    """Tuning of C channels, and the draws of everything the subject does."""

    def __init__(self, recipe):
        self.recipe, self.dt = recipe, recipe["bin_width_ms"] / 1000
        self.generator = generator = np.random.default_rng(recipe["seed"])
        n = recipe["n_channels"]

        def tuning(depth, scale, angle):
            return (depth / scale)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
        angle = generator.uniform(0, 2 * np.pi, n)
        depth = generator.uniform(*recipe["velocity_depth_hz"], n)
        self.level = generator.uniform(*recipe["mean_rate_hz"], n)
        self.place = tuning(generator.uniform(*recipe["position_depth_hz"], n),
                            recipe["position_scale_mm"],
                            generator.uniform(0, 2 * np.pi, n))
        turned = angle + np.deg2rad(recipe["brain_turn_sd_degrees"]) * generator.standard_normal(n)
        gain = np.maximum(1 + recipe["brain_gain_sd"] * generator.standard_normal(n), 0)
        self.velocity = {"arm": tuning(depth, recipe["velocity_scale_mm_s"], angle),
                         "brain": tuning(depth * gain, recipe["velocity_scale_mm_s"], turned)}

    def counts(self, control, velocity, position):
        """One bin, or many: velocity and position [.., 2] -> counts [.., C]."""
        rate = self.level + velocity @ self.velocity[control].T + position @ self.place.T
        return self.generator.poisson(np.maximum(rate, 0) * self.dt).astype(np.float64)

    def target(self):
        n = self.recipe["n_targets"]
        angle = 2 * np.pi * self.generator.integers(n) / n
        return self.recipe["radius_mm"] * np.array([np.cos(angle), np.sin(angle)])

    def reach(self):
        """One straight arm reach from the centre, minimum jerk -> position, velocity [T, 2]."""
        low, high = self.recipe["arm_duration_ms"]
        seconds = self.generator.uniform(low, high) / 1000
        n = int(np.ceil((seconds + 0.2) / self.dt))
        s = np.clip(np.arange(n + 1) * self.dt / seconds, 0, 1)
        place = (10 * s ** 3 - 15 * s ** 4 + 6 * s ** 5)[:, None] * self.target()
        return place[1:], np.diff(place, axis=0) / self.dt

    def intent(self, seen, target):
        """The velocity wanted, from where the cursor was seen."""
        away = target - seen
        distance = np.linalg.norm(away)
        speed = min(self.recipe["intent_gain_per_s"] * distance, self.recipe["intent_top_mm_s"])
        noise = self.recipe["intent_noise_mm_s"] * self.generator.standard_normal(2)
        return speed * away / max(distance, 1e-9) + noise


def arm_session(subject):
    """-> counts [n, C], position [n, 2], velocity [n, 2], one trial after another, and trial
    lengths."""
    parts = [subject.reach() for _ in range(subject.recipe["trials"]["arm"])]
    position, velocity = (np.concatenate(rows) for rows in zip(*parts))
    return subject.counts("arm", velocity, position), position, velocity, [len(p) for p, _ in parts]


def closed_session(subject, decoder, n_trials, seed):
    """The subject through a decoder with reset(position) and step(counts) -> (position, velocity).
    -> dict of bins: counts, before (cursor when they came), velocity as decoded, target, on (cursor
    on target), trial; and of trials: seconds to the target (hold not counted), success. The same
    seed gives every decoder the same targets."""
    recipe, dt = subject.recipe, subject.dt
    subject.generator = np.random.default_rng(seed)
    targets = [subject.target() for _ in range(n_trials)]
    hold, last = (round(recipe[k] / recipe["bin_width_ms"]) for k in ("hold_ms", "timeout_ms"))
    delay = round(recipe["visual_delay_ms"] / recipe["bin_width_ms"])
    rows, seconds, success = [], [], []
    for trial, target in enumerate(targets):
        place, held = np.zeros(2), 0
        decoder.reset(place)
        trail = [place] * (delay + 1)
        for t in range(last):
            x = subject.counts("brain", subject.intent(trail[-1 - delay], target), place)
            before = place
            place, velocity = decoder.step(x)
            trail.append(place)
            on = np.linalg.norm(place - target) < recipe["target_radius_mm"]
            held = held + 1 if on else 0
            rows.append((x, before, velocity, target, on, trial))
            if held == hold:
                break
        success.append(held == hold)
        seconds.append((t + 1 - (hold if held == hold else 0)) * dt)
    names = ("counts", "before", "velocity", "target", "on", "trial")
    bins = {name: np.array(column) for name, column in zip(names, zip(*rows))}
    return {**bins, "seconds": np.array(seconds), "success": np.array(success)}

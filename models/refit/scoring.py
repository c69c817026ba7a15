"""Decoders of the simulated subject side by side: what the trainer and the tables share.

Every decoder has reset(position) and step(counts [C]) -> (position [2], velocity [2] per second).
"""
import numpy as np

from latent_models.common import registry
from latent_models.common.model_file import read_model
from latent_models.kalman.reference import steady_gain
from latent_models.kalman.train import least_squares, stable
from latent_models.refit import loop, reference

SHIPPED = {"loop": (("loop", ("causal",)),)}
RIDGE = 0.02  # on the observation noise's diagonal, of its mean
TRAIN_SEED, TEST_SEED = 1, 2


def observation_noise(residual):
    r = residual.T @ residual / len(residual)
    return r + RIDGE * np.trace(r) / len(r) * np.eye(len(r))


def dynamics(velocity, trial):
    """A and Q from velocities [n, 2] of bins that follow each other within a trial."""
    joined = np.flatnonzero(trial[1:] == trial[:-1])
    a, moved = least_squares(velocity[joined], velocity[joined + 1])
    return stable(a), moved.T @ moved / len(moved)


def fit_kalman(counts, velocity, trial):
    """A velocity Kalman filter -> tensors A, C, Q, R, offset."""
    a, q = dynamics(velocity, trial)
    offset = counts.mean(0)
    c, residual = least_squares(velocity, counts - offset)
    return {"A": a, "C": c, "Q": q, "R": observation_noise(residual), "offset": offset}


def intention(session):
    """ReFIT's first idea: the decoded speed turned towards the target, zero on it [n, 2]."""
    away = session["target"] - session["before"]
    speed = np.linalg.norm(session["velocity"], axis=1, keepdims=True)
    wanted = speed * away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)
    return np.where(session["on"][:, None], 0, wanted)


def fit_refit(session, recipe):
    """Both ideas: intended velocities, and the cursor's known place as a regressor -> tensors of
    the model file."""
    wanted, counts = intention(session), session["counts"]
    a, q = dynamics(wanted, session["trial"])
    design = np.hstack([wanted, session["before"], np.ones((len(wanted), 1))])
    w, residual = least_squares(design, counts)
    edge = np.full(2, float(recipe["workspace_mm"]))
    return {"A": a, "C.velocity": w[:, :2], "C.position": w[:, 2:4], "Q": q,
            "R": observation_noise(residual), "offset": w[:, 4], "p0": np.zeros(2),
            "position.min": -edge, "position.max": edge}


class KalmanCursor:
    """The Kalman filter's velocity, integrated inside the workspace."""

    def __init__(self, w, recipe):
        self.w, self.edge, self.dt = w, recipe["workspace_mm"], recipe["bin_width_ms"] / 1000
        self.gain, _ = steady_gain(w["A"], w["C"], w["Q"], w["R"])

    def reset(self, position):
        self.p, self.v = np.array(position, float), np.zeros(2)

    def step(self, counts):
        ahead = self.w["A"] @ self.v
        self.v = ahead + self.gain @ (counts - self.w["offset"] - self.w["C"] @ ahead)
        self.p = np.clip(self.p + self.dt * self.v, -self.edge, self.edge)
        return self.p, self.v


def sessions(recipe):
    """The two sessions that fits are made from -> (subject, Kalman filter of the arm reaches, bins
    of the closed loop through that filter)."""
    subject = loop.Subject(recipe)
    counts, _, velocity, lengths = loop.arm_session(subject)
    arm = fit_kalman(counts, velocity, np.repeat(np.arange(len(lengths)), lengths))
    closed = loop.closed_session(subject, KalmanCursor(arm, recipe), recipe["trials"]["closed"],
                                 TRAIN_SEED)
    return subject, arm, closed


def contest(recipe, weights, n_trials=None):
    """Fresh closed-loop sessions of every decoder, the same targets for all -> {name: session}.
    weights: the tensors of a refit file."""
    subject, arm, closed = sessions(recipe)
    again = fit_kalman(closed["counts"], closed["velocity"], closed["trial"])
    turned = fit_kalman(closed["counts"], intention(closed), closed["trial"])
    decoders = {"kalman, fitted to arm reaches": KalmanCursor(arm, recipe),
                "kalman, fitted to that closed loop": KalmanCursor(again, recipe),
                "kalman, fitted to intended velocities": KalmanCursor(turned, recipe),
                "refit": reference.Cursor(weights, recipe["bin_width_ms"] / 1000)}
    n_trials = n_trials or recipe["trials"]["test"]
    return {name: loop.closed_session(subject, decoder, n_trials, TEST_SEED)
            for name, decoder in decoders.items()}


def table(recipe, weights):
    """Rows of time to target; a trial that fails counts with the time it was given."""
    rows = ["| decoder | time to target, mean | median | targets reached |", "|---|---|---|---|"]
    for name, session in contest(recipe, weights).items():
        seconds = session["seconds"]
        rows.append(f"| {name} | {seconds.mean():.2f} s | {np.median(seconds):.2f} s "
                    f"| {100 * session['success'].mean():.1f} % |")
    return rows


def shipped_table(_decode):
    """Time to target in the simulated closed loop, which runs over the float64 reference."""
    weights = read_model(registry.MODELS / "refit" / "loop.safetensors").weights
    return table(loop.read_recipe(), weights)


TABLES = {"loop": shipped_table}

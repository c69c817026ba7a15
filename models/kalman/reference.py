#!/usr/bin/python3
"""The velocity Kalman filter in float64 numpy: the answer key for exporter, tests and C.

Forms: full (covariance updated every bin), steady (constant gain), given (s = M1 s + M2 u + m0).
Shapes: S states, M = C channels, O outputs, T bins.
"""

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common.reference_command import reference_main
from latent_models.common.refusal import Refusal, run_command

RICCATI_TOLERANCE = 1e-12
RICCATI_STEPS = 100000


def gain(predicted, c, r):
    """Textbook gain P C' (C P C' + R)^-1 of the predicted covariance [S, S] -> [S, M]."""
    innovation = c @ predicted @ c.T + r
    return np.linalg.solve(innovation, c @ predicted).T


def steady_gain(a, c, q, r):
    """Iterate the Riccati recursion until the gain stands still -> (K [S, M], P [S, S])."""
    predicted, last = q.copy(), None
    for _ in range(RICCATI_STEPS):
        k = gain(predicted, c, r)
        limit = RICCATI_TOLERANCE * max(1, np.abs(k).max())
        if last is not None and np.abs(k - last).max() <= limit:
            return k, predicted
        covariance = predicted - k @ c @ predicted
        predicted = a @ (covariance + covariance.T) / 2 @ a.T + q
        last = k
    raise Refusal(f"the Kalman gain does not settle in {RICCATI_STEPS} steps: "
                  f"is every state observed or damped?")


def run_given(w, counts, state):
    """s = M1 s + M2 u + m0."""
    rows = []
    for u in counts:
        state = w["M1"] @ state + w["M2"] @ u + w["m0"]
        rows.append(state)
    return rows


def run_steady(w, counts, state):
    """Predict, then correct with the constant gain."""
    k, _ = steady_gain(w["A"], w["C"], w["Q"], w["R"])
    rows = []
    for u in counts - w.get("offset", 0):
        state = w["A"] @ state
        state = state + k @ (u - w["C"] @ state)
        rows.append(state)
    return rows


def run_full(w, counts, state):
    """Predict and correct, the covariance carried along; P0 is that before bin 0."""
    a, c, q, r = w["A"], w["C"], w["Q"], w["R"]
    covariance, rows = w.get("P0", q), []
    for u in counts - w.get("offset", 0):
        state, predicted = a @ state, a @ covariance @ a.T + q
        k = gain(predicted, c, r)
        state = state + k @ (u - c @ state)
        covariance = predicted - k @ c @ predicted
        covariance = (covariance + covariance.T) / 2
        rows.append(state)
    return rows


FORMS = {"given": run_given, "steady": run_steady, "full": run_full}


def run(weights, config, counts, mode):
    """counts [T, C] -> dict of latents (the state) [T, S] and readout [T, O]."""
    if mode != "causal":
        raise Refusal(f"mode {mode} is unknown; a kalman has causal")
    w = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    form = config["hyper"]["form"]
    n_states = len(w["M1" if form == "given" else "A"])
    states = np.array(FORMS[form](w, np.asarray(counts, np.float64),
                                  w.get("x0", np.zeros(n_states))))
    readout = states
    if "readout.weight" in w:
        readout = states @ w["readout.weight"].T + w["readout.bias"]
    return {"latents": states, "lograte": None, "readout": readout}


if __name__ == "__main__":
    run_command(lambda: reference_main(run, __doc__))

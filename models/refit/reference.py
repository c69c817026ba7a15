#!/usr/bin/python3
"""The ReFIT Kalman filter in float64 numpy: the answer key.

Shapes: T bins, C channels, D dimensions of the cursor. The position is known, so it only leaves the
observation; the velocity is filtered with the steady gain.
"""

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common.reference_command import reference_main
from latent_models.common.refusal import Refusal, run_command
from latent_models.kalman.reference import steady_gain


class Cursor:
    """The decoder as a closed loop sees it: counts in, cursor out, one bin at a time."""

    def __init__(self, weights, bin_s):
        self.w = {name: np.asarray(array, np.float64) for name, array in weights.items()}
        self.bin_s = bin_s
        self.gain, _ = steady_gain(self.w["A"], self.w["C.velocity"], self.w["Q"], self.w["R"])
        self.reset(self.w["p0"])

    def reset(self, position):
        self.p, self.v = np.array(position, np.float64), np.zeros(len(position))

    def step(self, counts):
        """counts [C], or None -> (position [D], velocity [D])."""
        w, ahead = self.w, self.w["A"] @ self.v
        expected = w["offset"] + w["C.position"] @ self.p + w["C.velocity"] @ ahead
        self.v = ahead if counts is None else ahead + self.gain @ (counts - expected)
        self.p = np.clip(self.p + self.bin_s * self.v, w["position.min"], w["position.max"])
        return self.p, self.v


def run(weights, config, counts, mode, missing=()):
    """counts [T, C], bins without counts -> dict of latents and readout [T, 2 D]: position, then
    velocity per second."""
    if mode != "causal":
        raise Refusal(f"mode {mode} is unknown; a refit has causal")
    cursor = Cursor(weights, config["bin_width_us"] * 1e-6)
    given = [None if t in missing else x for t, x in enumerate(np.asarray(counts, np.float64))]
    rows = np.array([np.concatenate(cursor.step(x)) for x in given])
    return {"latents": rows, "lograte": None, "readout": rows}


if __name__ == "__main__":
    run_command(lambda: reference_main(run, __doc__))

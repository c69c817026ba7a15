#!/usr/bin/python3
"""The Wiener filter in float64 numpy: the answer key for exporter, tests and C.

y_t = sum over lag k of W[:, k] x_{t-k} + b; bins before the first count as zero. Shapes: T bins, C
channels, H lags, O outputs; lag 0 is the newest bin.
"""

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common.reference_command import reference_main
from latent_models.common.refusal import Refusal, run_command


def run(weights, config, counts, mode):
    """counts [T, C] -> dict with readout [T, O]."""
    if mode != "causal":
        raise Refusal(f"mode {mode} is unknown; a wiener has causal")
    weight = np.asarray(weights["weight"], np.float64)
    counts = np.asarray(counts, np.float64)
    n_bins = len(counts)
    out = np.tile(np.asarray(weights["bias"], np.float64), (n_bins, 1))
    for lag in range(min(config["hyper"]["lags"], n_bins)):
        out[lag:] += counts[:n_bins - lag] @ weight[:, lag].T
    return {"latents": None, "lograte": None, "readout": out}


if __name__ == "__main__":
    run_command(lambda: reference_main(run, __doc__))

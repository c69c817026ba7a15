"""The readout stage in float64 numpy: the answer key for models/readout/fit.py, tests and C.

s_t = sum over k of a^k x_{t-k} / sum over k of a^k, a = exp(-bin / tau), since the start;
z_t = scale (s_t - mean); y_t = bias + sum over lag k of W[:, k] z_{t-k}, where z before the start
is 0. Shapes: T bins, D inputs (latents, or rates in expected counts per bin), K lags, O outputs.
"""
import math

import numpy as np

from latent_models.common.normalise import Normaliser

INPUTS = ("latents", "rates")
TENSORS = ("stage.mean", "stage.scale", "stage.weight", "stage.bias")


def decay_of(tau_ms, bin_ms):
    return math.exp(-bin_ms / tau_ms) if tau_ms > 0 else 0.0


def smooth(rows, decay):
    """rows [T, ...] -> causal exponential average of the same shape; the first row is its own."""
    total, weight, out = np.zeros(rows.shape[1:]), 0.0, np.empty_like(rows)
    for t, x in enumerate(rows):
        total, weight = decay * total + x, decay * weight + 1
        out[t] = total / weight
    return out


def lagged(z, lags):
    """z [T, D] -> [T, lags, D], lag 0 the newest; zeros before the start."""
    out = np.zeros((len(z), lags, z.shape[1]))
    for lag in range(min(lags, len(z))):
        out[lag:, lag] = z[:len(z) - lag]
    return out


def apply(weights, config, answer):
    """answer of the architecture's reference -> readout [T, O]."""
    stage, bin_ms = config["stage"], config["bin_width_us"] / 1000
    mean, scale, weight, bias = (np.asarray(weights[n], np.float64) for n in TENSORS)
    rows = np.exp(answer["lograte"]) if stage["input"] == "rates" else answer["latents"]
    z = scale * (smooth(rows, decay_of(stage["tau_ms"], bin_ms)) - mean)
    return np.einsum("tkd,okd->to", lagged(z, stage["lags"]), weight) + bias


def clipped(config, counts):
    """counts [..., C] as they reach the model."""
    channels = config.get("channels", {})
    limits = [channels.get("clip_low"), channels.get("clip")]
    if limits == [None, None]:
        return counts
    return np.clip(counts, *(None if x is None else np.float32(x).astype(np.float64)
                             for x in limits))


def staged(run, normaliser=None):
    """The architecture's run(weights, config, counts, mode, ...) with what the file has around it:
    the range of its input and its normalisation before, the stage behind. normaliser: one that goes
    on from trial to trial; None: counts are of no trial, from a fresh start."""
    def run_staged(weights, config, counts, *arguments):
        own = {k: v for k, v in weights.items() if not k.startswith("stage.")}
        rows = clipped(config, counts)
        if normaliser or "normalise" in config:
            rows = (normaliser or Normaliser(config)).run(rows, counts, normaliser is not None)
        answer = run(own, config, rows, *arguments)
        if "stage" in config:
            answer = {**answer, "readout": apply(weights, config, answer)}
        return answer
    return run_staged

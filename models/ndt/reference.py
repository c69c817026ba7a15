#!/usr/bin/python3
"""The NDT in float64 numpy: the answer key for the exporter, the tests and the C code.

Shapes: T bins, C channels, D width, H heads, N rates. Modes:
  trial  whole trial: bins 0..T-1 at positions 0..T-1, every output final.
  A      trial-aligned, causal: bin t is the last row of the bins 0..t.
  B      trial-aligned with look-ahead: bin t is the last row of the bins 0..t, not yet revised.
  B-lag  the same, but the row shown is the one layers x context_forward bins back, which is final.
  C      sliding window of W rows: bin t is the last of the newest W bins, at rows 0..; the mask
         applies inside the window.
  D      causal, anchors half a trial apart: bin t is the last row of the bins anchor..t, the anchor
         being the older of the last two.
With future_zeros P > 0 so many bins of zeros stand behind the newest one, as far as the trial has
positions, keys like any other (in C inside the window, which then holds W - P bins); with 0 the
future is truncated. held_out: neurons behind the channels, always zero in the input, with a rate.
"""
import math

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common import links
from latent_models.common.reference_command import reference_main
from latent_models.common.refusal import Refusal, run_command


MODES = ("A", "B", "B-lag", "C", "D", "trial")


def layer_norm(x, weight, bias):
    """Biased variance over the last axis."""
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred ** 2).mean(-1, keepdims=True) + 1e-5) * weight + bias


def scale_norm(x, scale):
    return scale * x / np.maximum(np.sqrt((x ** 2).sum(-1, keepdims=True)), 1e-5)


def positions(weights, hyper, n_bins):
    """Rows 0..n_bins-1 [T, D]; beyond a learnt table there is none."""
    if hyper["position"] == "learnt":
        table = weights["pos_encoder.pos_embedding.weight"]
        if n_bins > len(table):
            raise Refusal(f"{n_bins} bins, but the model has positions for {len(table)}")
        return table[:n_bins]
    d = hyper["width"]
    p = np.arange(n_bins)[:, None] + (1.0 if hyper["position_offset"] else 0.0)
    omega = np.exp(-np.arange(0, d, 2) * math.log(10000.0) / d)
    rows = np.empty((n_bins, d))
    rows[:, 0::2], rows[:, 1::2] = np.sin(p * omega), np.cos(p * omega)
    return rows


def embed(weights, hyper, counts):
    """counts [T, C] -> [T, D] before scaling."""
    counts = np.pad(counts, ((0, 0), (0, hyper.get("held_out", 0))))
    if hyper["max_count"] > 0:
        counts = np.clip(counts, 0, hyper["max_count"])
    if hyper["embed"] == "table":
        return weights["embedder.0.weight"][counts.astype(int)].reshape(len(counts), -1)
    if hyper["embed"] == "linear":
        return counts @ weights["embedder.weight"].T + weights["embedder.bias"]
    return counts


def attention_mask(n_bins, forward, backward):
    """[T, T] of 0 and -inf, added to the logits; bin i (row) reads bin j (column)."""
    lead = np.arange(n_bins)[None, :] - np.arange(n_bins)[:, None]
    allowed = np.ones((n_bins, n_bins), bool)
    if forward >= 0:
        allowed &= lead <= forward
    if backward > 0:
        allowed &= lead >= -backward
    return np.where(allowed, 0.0, -np.inf)


def attend(weights, prefix, hyper, x, mask):
    """x [T, D] -> [T, D]."""
    d, heads = hyper["width"], hyper["heads"]
    qkv = x @ weights[prefix + "in_proj_weight"].T + weights[prefix + "in_proj_bias"]
    out, size = np.empty_like(x), d // heads
    for h in range(heads):
        q, k, v = (qkv[:, part * d + h * size:part * d + (h + 1) * size] for part in range(3))
        logits = q @ k.T / math.sqrt(size) + mask
        e = np.exp(logits - logits.max(1, keepdims=True))
        out[:, h * size:(h + 1) * size] = e / e.sum(1, keepdims=True) @ v
    return out @ weights[prefix + "out_proj.weight"].T + weights[prefix + "out_proj.bias"]


def feed_forward(weights, prefix, x):
    hidden = x @ weights[prefix + "linear1.weight"].T + weights[prefix + "linear1.bias"]
    hidden = np.maximum(hidden, 0)
    return hidden @ weights[prefix + "linear2.weight"].T + weights[prefix + "linear2.bias"]


def encoder_layer(weights, index, hyper, x, mask):
    """One layer, pre- or post-norm."""
    prefix = f"transformer_encoder.layers.{index}."

    def norm(k, y):
        return layer_norm(y, weights[f"{prefix}norm{k}.weight"], weights[f"{prefix}norm{k}.bias"])

    def attention(y):
        return attend(weights, prefix + "self_attn.", hyper, y, mask)

    if hyper["pre_norm"]:
        x = x + attention(norm(1, x))
        return x + feed_forward(weights, prefix, norm(2, x))
    x = norm(1, x + attention(x))
    return norm(2, x + feed_forward(weights, prefix, x))


def layer_outputs(weights, hyper, counts):
    """Output of every layer [L][T, D], before the final norm."""
    n_bins = len(counts)
    mask = attention_mask(n_bins, hyper["context_forward"], hyper["context_backward"])
    x = embed(weights, hyper, counts) * math.sqrt(hyper["width"])
    x = x + positions(weights, hyper, n_bins)
    outputs = []
    for index in range(hyper["layers"]):
        x = encoder_layer(weights, index, hyper, x, mask)
        outputs.append(x)
    return outputs


def final_norm(weights, hyper, x):
    if hyper["final_norm"] == "scale":
        return scale_norm(x, weights["transformer_encoder.norm.scale"])
    return layer_norm(x, weights["transformer_encoder.norm.weight"],
                      weights["transformer_encoder.norm.bias"])


def head(weights, hyper, latents):
    """latents [T, D] -> log expected counts per bin [T, N]."""
    y = latents @ weights["decoder.0.weight"].T + weights["decoder.0.bias"]
    if hyper["head_layers"] == 2:
        y = np.maximum(y, 0) @ weights["decoder.2.weight"].T + weights["decoder.2.bias"]
    return links.lograte(hyper, y)


def whole(weights, hyper, counts):
    """One full forward pass, its future as the file says -> (latents [T, D], lograte [T, N])."""
    n_bins = len(counts)
    n_zeros = min(hyper.get("future_zeros", 0), hyper["trial_bins"] - n_bins)
    if n_zeros > 0:
        counts = np.pad(counts, ((0, n_zeros), (0, 0)))
    outputs = layer_outputs(weights, hyper, counts)[-1][:n_bins]
    latents = final_norm(weights, hyper, outputs)
    return latents, head(weights, hyper, latents)


def is_endless(hyper):
    """Mode A goes on past the trial when positions are computed and its past is bounded."""
    return hyper["position"] == "sinusoidal" and hyper["context_backward"] > 0


def check_mode(hyper, mode):
    forward = hyper["context_forward"]
    if mode not in MODES:
        raise Refusal(f"mode {mode} is unknown; an ndt has {', '.join(MODES)}")
    if mode in ("A", "D") and forward != 0:
        raise Refusal(f"mode {mode} needs a causal model (context_forward 0)")
    if mode in ("B", "B-lag") and forward < 0:
        raise Refusal(f"mode {mode} needs a bounded look-ahead (context_forward 0 or more)")
    n_zeros = hyper.get("future_zeros", 0)
    if mode == "C" and n_zeros and n_zeros >= hyper["window_bins"]:
        raise Refusal("mode C needs a window_bins above future_zeros: it holds both")


def shown_rows(hyper, n_bins, mode):
    """Per bin t: (first bin, end, row) of the pass whose row is shown, in bins of the recording."""
    lag = hyper["layers"] * hyper["context_forward"]
    half = hyper["trial_bins"] // 2
    for t in range(n_bins):
        if mode == "B":
            yield 0, t + 1, t
        elif mode == "B-lag":
            yield 0, t + 1, max(0, t - lag)
        elif mode == "C":
            yield max(0, t + 1 - hyper["window_bins"] + hyper.get("future_zeros", 0)), t + 1, t
        else:  # D: the older of two anchors, half a trial apart
            yield max(0, t // half - 1) * half, t + 1, t


def run(weights, config, counts, mode):
    """counts [T, C] -> dict of latents [T', D] and lograte [T', N]; T' < T where the trial ends."""
    hyper = config["hyper"]
    weights = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    counts = np.asarray(counts, np.float64)
    check_mode(hyper, mode)
    if mode in ("B", "B-lag", "trial") or (mode == "A" and not is_endless(hyper)):
        counts = counts[:hyper["trial_bins"]]
    if mode in ("A", "trial"):
        # Row t of a causal model depends on the bins 0..t alone, so one pass gives every row of A.
        latents, lograte = whole(weights, hyper, counts)
        return {"latents": latents, "lograte": lograte, "readout": None}
    passes = [(row - first, whole(weights, hyper, counts[first:end]))
              for first, end, row in shown_rows(hyper, len(counts), mode)]
    return {"latents": np.stack([latents[row] for row, (latents, _) in passes]),
            "lograte": np.stack([lograte[row] for row, (_, lograte) in passes]), "readout": None}


if __name__ == "__main__":
    run_command(lambda: reference_main(run, __doc__))

#!/usr/bin/python3
"""Fit a Wiener filter: ridge regression of behaviour on the newest bins.

  models/wiener/train.py --recipe reach --out reach.safetensors
  models/wiener/train.py --in rec.h5:/counts --behaviour rec.h5:/velocity --bin-ms 20 \
      --out mine.safetensors

The ridge is chosen on the validation trials, then the filter is fitted on training and validation
trials.
"""
import time

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common import fitting
from latent_models.common.metrics import r2_summary
from latent_models.common.refusal import run_command, whole
from latent_models.wiener import reference

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1)


def lagged(counts, lags):
    """counts [T, C] -> design [T, lags * C + 1]; lag 0 first, zeros before the first bin, a one at
    the end."""
    n_bins, n_channels = counts.shape
    design = np.zeros((n_bins, lags, n_channels))
    for lag in range(min(lags, n_bins)):
        design[lag:, lag] = counts[:n_bins - lag]
    return np.hstack([design.reshape(n_bins, -1), np.ones((n_bins, 1))])


def products(recording, split, lags):
    """Sums over the trials of a split -> (X'X, X'y)."""
    index, xx, xy = recording.split[split], 0.0, 0.0
    for trial, use in zip(index, recording.used(index)):
        x = lagged(recording.counts[trial].astype(np.float64), lags)[use]
        xx, xy = xx + x.T @ x, xy + x.T @ recording.behaviour[trial][use]
    return xx, xy


def solve(xx, xy, ridge, lags):
    """Ridge relative to the mean power of the inputs; the constant is not penalised.
    -> tensors weight [O, lags, C], bias [O], float32."""
    penalty = np.full(len(xx), ridge * np.trace(xx[:-1, :-1]) / (len(xx) - 1))
    penalty[-1] = 0
    w = np.linalg.solve(xx + np.diag(penalty), xy)
    weight = w[:-1].T.reshape(xy.shape[1], lags, -1)
    return {"weight": weight.astype(np.float32), "bias": w[-1].astype(np.float32)}


def answers_of(tensors, lags, recording, split):
    """-> behaviour and readout [rows, O] of the bins to score in a split."""
    config = {"hyper": {"lags": lags}}
    answers = [reference.run(tensors, config, x, "causal")["readout"]
               for x in recording.part(split)]
    use = recording.used(recording.split[split])
    return recording.part(split, "behaviour")[use], np.stack(answers)[use]


def score(tensors, lags, recording, split):
    """Readout R2 on a split."""
    return r2_summary(*answers_of(tensors, lags, recording, split))["mean"]


def main():
    parser = fitting.fit_parser(__doc__)
    parser.add_argument("--lags", type=whole(1, 10000), default=20,
                        help="bins the filter sees, the newest included")
    args = parser.parse_args()
    recording, start = fitting.fit_recording(args), time.monotonic()
    xx, xy = products(recording, "train", args.lags)
    scores = {r: score(solve(xx, xy, r, args.lags), args.lags, recording, "valid") for r in RIDGES}
    ridge = max(scores, key=scores.get)
    more = products(recording, "valid", args.lags)
    tensors = solve(xx + more[0], xy + more[1], ridge, args.lags)
    truth, found = answers_of(tensors, args.lags, recording, "test")
    print(f"fitted in {time.monotonic() - start:.1f} s; ridge {ridge:g}; "
          f"readout R2 on held-out bins {r2_summary(truth, found)['mean']:.4f}")
    fitting.judge_readout(args, recording, truth, found)
    fitting.save_fit(args.out, tensors, {"lags": args.lags}, recording)


if __name__ == "__main__":
    run_command(main)

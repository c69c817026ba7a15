#!/usr/bin/python3
"""Fit a velocity Kalman filter by least squares.

  models/kalman/train.py --recipe reach --out reach.safetensors
  models/kalman/train.py --in rec.h5:/spikes --behaviour rec.h5:/hand_vel --bin-ms 1 \
      --out mine.safetensors

State: the behaviour less its training mean and, with --order 2, its change per bin. Counts are
observed less their training mean. Silent channels are harmless: the observation noise gets a ridge
on its diagonal.
"""
import time

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common import fitting
from latent_models.common.metrics import r2_summary
from latent_models.common.refusal import number, run_command
from latent_models.kalman import reference


def states_of(behaviour, mean, order):
    """behaviour [K, T, O] -> states [K, T, S]."""
    centred = behaviour - mean
    if order == 1:
        return centred
    change = np.diff(centred, axis=1, prepend=centred[:, :1])
    return np.concatenate([centred, change], -1)


def least_squares(x, y):
    """W with y ~ x W' -> (W [dims of y, dims of x], residuals)."""
    weight = np.linalg.lstsq(x, y, rcond=None)[0].T
    return weight, y - x @ weight.T


def stable(a):
    """A with every mode kept inside the unit circle, so that the steady gain exists."""
    radius = np.abs(np.linalg.eigvals(a)).max()
    return a if radius < 0.9999 else a * (0.9999 / radius)


def fit(counts, behaviour, use, order, ridge):
    """counts [K, T, C], behaviour [K, T, O], use [K, T] -> tensors of the model file, float64."""
    mean, offset = behaviour[use].mean(0), counts[use].mean(0)
    states = states_of(behaviour, mean, order)
    if order == 2:  # the change per bin needs the behaviour of the bin before, too
        use = use & np.concatenate([use[:, :1], use[:, :-1]], 1)
    n_states, n_dims = states.shape[-1], behaviour.shape[-1]
    pairs = use[:, :-1] & use[:, 1:]
    before, after = states[:, :-1][pairs], states[:, 1:][pairs]
    a, moved = least_squares(before, after)
    c, noise = least_squares(states[use], counts[use] - offset)
    r = noise.T @ noise / len(noise)
    r += np.eye(len(r)) * ridge * np.trace(r) / len(r)
    q = moved.T @ moved / len(moved)
    q += np.eye(n_states) * 1e-12 * np.trace(q) / n_states
    return {"A": stable(a), "C": c, "Q": q, "R": r, "offset": offset,
            "readout.weight": np.eye(n_dims, n_states), "readout.bias": mean}


def main():
    parser = fitting.fit_parser(__doc__)
    parser.add_argument("--order", type=int, choices=(1, 2), default=2)
    parser.add_argument("--ridge", type=number(above=0), default=0.02,
                        help="on the observation noise's diagonal; without one silent "
                             "channels have no noise at all")
    parser.add_argument("--form", choices=("steady", "full"), default="steady")
    args = parser.parse_args()
    recording, start = fitting.fit_recording(args), time.monotonic()
    index = recording.fitting
    tensors = fit(recording.counts[index].astype(np.float64),
                  recording.behaviour[index].astype(np.float64), recording.used(index),
                  args.order, args.ridge)
    config = {"hyper": {"form": "steady"}}
    answers = [reference.run(tensors, config, x, "causal")["readout"]
               for x in recording.part("test")]
    use = recording.used(recording.split["test"])
    truth, found = recording.part("test", "behaviour")[use], np.stack(answers)[use]
    print(f"fitted in {time.monotonic() - start:.1f} s; readout R2 on held-out bins "
          f"{r2_summary(truth, found)['mean']:.4f}")
    fitting.judge_readout(args, recording, truth, found)
    fitting.save_fit(args.out, tensors, {"form": args.form}, recording)


if __name__ == "__main__":
    run_command(main)

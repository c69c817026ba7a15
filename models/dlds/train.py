#!/usr/bin/python3
"""Fit a decomposed linear dynamical system to counts.

  models/dlds/train.py --out switching.safetensors                  (switching.json)
  models/dlds/train.py --in rec.h5:/counts --bin-ms 20 --states 6 --out mine.safetensors

1. start: smoothed counts on their principal axes; dynamics fitted in short windows, gathered into
   groups, one per operator.
2. in turns: the model's filter gives c; a smoother along the mixed dynamics gives x and its
   moments; operators, loading and noise follow from those by least squares.
3. lambda, gamma and kappa are chosen by how well the filter foresees the counts of the next bin on
   the validation trials.

The true regimes of switching.json are looked at for the scores alone. Of a recording with
--behaviour a linear readout of the states is fitted too.
"""
import itertools
import json
import time

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common import dataset, safetensors
from latent_models.common.fitting import judge_readout
from latent_models.common.metrics import r2_summary
from latent_models.common.files import output_name
from latent_models.common.model_file import command_line, readout_limits, training_channels
from latent_models.common.refusal import Parser, run_command, whole
from latent_models.dlds import reference, scoring, switching

START = 0.02, 0.3  # gamma and kappa over lambda, until they are chosen


def parse():
    parser = Parser(__doc__)
    parser.add_argument("--out", required=True, type=output_name, metavar="CHECKPOINT.safetensors",
                        help="what export.py reads")
    parser.add_argument("--states", type=whole(1, 256), default=4)
    parser.add_argument("--operators", type=whole(1, 64), default=3)
    parser.add_argument("--turns", type=whole(1), default=6, help="of step 2")
    parser.add_argument("--seed", type=whole(0), default=1)
    dataset.add_recording_options(parser)
    return parser.parse_args()


def read_data(args):
    """-> (recording, simulated data or None)."""
    if dataset.is_given(args):
        return dataset.read_recording(args), None
    recipe = switching.read_recipe()
    data = switching.simulate(recipe)
    return dataset.Recording(data["counts"], recipe["bin_width_ms"], split=data["split"],
                             source="models/dlds/switching.json"), data


def normalised(f):
    """Operators with a spectral norm of at most one."""
    return np.stack([m / max(1.0, np.linalg.norm(m, 2)) for m in f])


def smoother(w, mixed, noise, trials):
    """Moments of x along given dynamics mixed [K, T, S, S] -> (mean [K, T, S], covariance [K, T,
    S, S], lagged covariance of t+1 and t [K, T-1, S, S]). Gaussian observation with variances
    R."""
    pull = w["D"] / w["R"][:, None]
    information, (n_trials, n_bins), s = w["D"].T @ pull, trials.shape[:2], len(noise)
    mean, cov, forward = np.zeros((n_trials, s)), np.tile(np.eye(s), (n_trials, 1, 1)), []
    for t in range(n_bins):
        a = mixed[:, t]
        ahead, spread = np.einsum("kij,kj->ki", a, mean), a @ cov @ a.transpose(0, 2, 1) + noise
        cov = np.linalg.inv(np.linalg.inv(spread) + information)
        push = (trials[:, t] - w["offset"]) @ pull - ahead @ information
        mean = ahead + np.einsum("kij,kj->ki", cov, push)
        forward.append((ahead, spread, mean, cov))
    means, covs, lags = [mean], [cov], []
    for t in range(n_bins - 2, -1, -1):
        ahead, spread = forward[t + 1][:2]
        gain = forward[t][3] @ mixed[:, t + 1].transpose(0, 2, 1) @ np.linalg.inv(spread)
        turned = gain.transpose(0, 2, 1)
        lags.append(covs[-1] @ turned)
        means.append(forward[t][2] + np.einsum("kij,kj->ki", gain, means[-1] - ahead))
        covs.append(forward[t][3] + gain @ (covs[-1] - spread) @ turned)
    return tuple(np.stack(rows[::-1], 1) for rows in (means, covs, lags))


def refine(w, hyper, trials, noise):
    """One turn -> (tensors, noise)."""
    _, c = reference.run_states(w, hyper, trials)
    label, s = scoring.dominant(c), w["F"].shape[1]
    mean, cov, lag = smoother(w, w["F"][label], noise, trials)
    after, before, path = mean[:, 1:], mean[:, :-1], label[:, 1:]
    f, unexplained = [], np.einsum("kti,ktj->ij", after, after) + cov[:, 1:].sum((0, 1))
    for k in range(len(w["F"])):
        here = path == k
        cross = after[here].T @ before[here] + lag[here].sum(0)
        past = before[here].T @ before[here] + cov[:, :-1][here].sum(0)
        f.append(np.linalg.solve(past + 1e-3 * np.eye(s), cross.T).T)
        unexplained -= f[-1] @ cross.T
    noise = unexplained / path.size
    x, y = mean.reshape(-1, s), trials.reshape(-1, trials.shape[-1]) - w["offset"]
    d = np.linalg.solve(x.T @ x + cov.sum((0, 1)), x.T @ y).T
    residual = y - x @ d.T
    return ({**w, "F": normalised(f), "D": d, "R": (residual ** 2).mean(0) + 1e-3},
            (noise + noise.T) / 2 + 1e-6 * np.eye(s))


def foreseen(w, hyper, trials):
    """R2 of the next bin's counts by the filter's forecast, all channels as one."""
    x, c = reference.run_states(w, hyper, trials)
    mixed = np.einsum("ktm,mij,ktj->kti", c, w["F"], x)[:, :-1]
    return r2_summary(trials[:, 1:], mixed @ w["D"].T + w["offset"])["weighted"]


def hyper_of(scale, gamma, kappa):
    """gamma and kappa in units of lambda."""
    return {"observation": "counts", "lograte": False, "turns": 3, "fista_steps": 20,
            "lambda": scale, "gamma": gamma * scale, "kappa": kappa * scale}


def choose_hyper(w, trials, noise):
    """The best of a small grid on the validation trials; lambda is the inverse of the noise, or
    less."""
    precision = len(noise) / np.trace(noise)
    grid = itertools.product((0.03, 0.1, 0.3), (0.02, 0.1), (0.1, 0.3, 1.0))
    hypers = [hyper_of(a * precision, g, k) for a, g, k in grid]
    return max(hypers, key=lambda hyper: foreseen(w, hyper, trials))


def fit(args, trials, valid):
    """-> (tensors, hyper)."""
    generator = np.random.default_rng(args.seed)
    states, loading = scoring.start_states(trials, args.states)
    offset = trials.mean((0, 1))
    residual = trials - offset - states @ loading.T
    w = {"F": normalised(scoring.group(scoring.window_dynamics(states), args.operators, generator)),
         "D": loading, "R": (residual ** 2).mean((0, 1)) + 1e-3, "offset": offset,
         "x0": np.zeros(args.states), "c0": np.full(args.operators, 1 / args.operators)}
    noise, start = 0.1 * np.eye(args.states), time.monotonic()
    hyper = hyper_of(0.1 * args.states / np.trace(noise), *START)
    for turn in range(args.turns):
        w, noise = refine(w, hyper, trials, noise)
        hyper = hyper_of(0.1 * args.states / np.trace(noise), *START)
        print(f"turn {turn + 1}/{args.turns}  {time.monotonic() - start:4.0f} s gone  "
              f"counts foreseen R2 {foreseen(w, hyper, valid):.4f}", flush=True)
    hyper = choose_hyper(w, valid, noise)
    print("chosen: " + ", ".join(f"{k} {hyper[k]:.4g}" for k in ("lambda", "gamma", "kappa")))
    return w, hyper


def fit_readout(w, hyper, recording):
    """Ridge regression of the behaviour on the filtered states -> its tensors."""
    index = recording.split["train"]
    x = reference.run_states(w, hyper, recording.part("train"))[0][recording.used(index)]
    y = recording.behaviour_rows(index)
    weight = scoring.ridge(x - x.mean(0), y - y.mean(0))
    return {"readout.weight": weight, "readout.bias": y.mean(0) - weight @ x.mean(0)}


def print_scores(args, w, hyper, recording, data):
    """On the test trials: counts foreseen, behaviour, and where the truth is known the rest."""
    test = recording.part("test")
    print(f"test trials: counts foreseen R2 {foreseen(w, hyper, test):.4f}")
    x, c = reference.run_states(w, hyper, test)
    if "readout.weight" in w:
        found = x @ w["readout.weight"].T + w["readout.bias"]
        use = recording.used(recording.split["test"])
        truth, found = recording.part("test", "behaviour")[use], found[use]
        print(f"test trials: readout R2 {r2_summary(truth, found)['mean']:.4f}")
        judge_readout(args, recording, truth, found)
    if data is None:
        return
    for name, right, r2 in scoring.rows(np.concatenate([x, c], -1), x.shape[-1], data):
        print(f"{name}: segments right {right:.4f}" + (f", states R2 {r2:.4f}" if r2 else ""))


def main():
    args = parse()
    recording, data = read_data(args)
    trials = recording.part("train").astype(np.float64)
    w, hyper = fit(args, trials, recording.part("valid").astype(np.float64))
    facts = {"bin_width_us": round(recording.bin_ms * 1000), "hyper": hyper,
             "channels": training_channels(trials, recording.kind),
             "source": f"{command_line()}, data: {recording.source}"}
    if data is not None:
        facts["licence"] = "Apache-2.0"
    if recording.behaviour is not None:
        w = {**w, **fit_readout(w, hyper, recording)}
        facts["readout"] = readout_limits(recording, recording.split["train"])
    print_scores(args, w, hyper, recording, data)
    safetensors.write(args.out, w, {"latent": json.dumps(facts)})
    print(f"{args.out}: written")


if __name__ == "__main__":
    run_command(main)

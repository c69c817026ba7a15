#!/usr/bin/python3
"""Fit a readout stage: behaviour from the latents or rates that a model file publishes.

  models/readout/fit.py ndt.safetensors --in rec.h5:/counts --behaviour rec.h5:/velocity \\
      --bin-ms 20 --names vx,vy --unit mm/s --out ndt-velocity.safetensors
  models/readout/fit.py lfads.safetensors --recipe reach --from rates --out lfads-arm.safetensors

The model runs through latent-decode in the mode that the rig will use. On what it publishes stands
causal exponential smoothing, z-score, lags and ridge regression. Smoothing, lags and ridge are
chosen by blocked cross-validation on the bins for fitting; then the stage is fitted on all of them,
written, and scored through latent-decode on the held-out blocks. NEW is MODEL with the stage; a
stage that MODEL has is replaced.
"""
import copy
import dataclasses
import tempfile
import time

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common import dataset, registry, stage, stream
from latent_models.common.files import output_name
from latent_models.common.fitting import fit_recording, judge_readout
from latent_models.common.metrics import r2_per_column
from latent_models.common.model_file import command_line, read_model, readout_limits, write_model
from latent_models.common.refusal import Parser, Refusal, number, run_command, whole

TAUS_BINS = (0, 1, 2, 4, 8)
LAGS = (1, 3, 6, 10)
RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1)
N_FOLDS = 5
MAX_COLUMNS = 2000  # inputs x lags: more is slow to fit and seldom better
SOURCE_BYTES = 1000  # of latent.config.source


def number_list(text):
    """1,2.5 -> [1.0, 2.5]; none negative."""
    return [number(0)(word) for word in text.split(",")]


def lag_list(text):
    return sorted({whole(1, 1000)(word) for word in text.split(",")})


def parse():
    parser = Parser(__doc__)
    parser.add_argument("model", metavar="MODEL.safetensors")
    parser.add_argument("--out", required=True, type=output_name, metavar="NEW.safetensors")
    parser.add_argument("--mode", help="of MODEL, as the rig will run it (default: its first);\n"
                                       "a file holds one stage for all its modes")
    parser.add_argument("--from", dest="group", choices=stage.INPUTS, default="latents",
                        help="what behaviour is read from (default: latents)")
    parser.add_argument("--tau", type=number_list, metavar="MS,MS",
                        help="time constants of the smoothing to try, 0: none\n(default: "
                             f"{', '.join(map(str, TAUS_BINS))} bins)")
    parser.add_argument("--lags", type=lag_list, default=LAGS, metavar="N,N",
                        help=f"numbers of lags to try (default: {', '.join(map(str, LAGS))})")
    parser.add_argument("--trial-bins", type=whole(1, 65536), metavar="N",
                        help="cut the recording into trials of N bins, each decoded from a reset\n"
                             "(for offline modes, which take whole trials)")
    parser.add_argument("--recipe", choices=("reach",), help="fit on models/RECIPE.json")
    dataset.add_recording_options(parser)
    return parser.parse_args()


# What the model publishes

@dataclasses.dataclass
class Published:
    """rows [S, T, D] of latents or rates, behaviour [S, T, O], good [S, T] (decoded, past warm-up,
    to be used), piece [S, T] of the recording; S streams, each from a reset."""

    rows: np.ndarray
    behaviour: np.ndarray
    good: np.ndarray
    piece: np.ndarray


def as_streams(args, recording, array):
    """[K, T, ...] -> [S, T', ...]: the pieces of a continuous recording are one stream, unless they
    are cut into trials; what does not fill one is dropped."""
    size = args.trial_bins
    if size:
        n_trials = array.shape[1] // size
        return array[:, :n_trials * size].reshape(-1, size, *array.shape[2:])
    if not recording.continuous:
        return array
    return array.reshape(1, -1, *array.shape[2:])


def publish(args, recording):
    """The recording through latent-decode."""
    model, counts = args.model, as_streams(args, recording, recording.counts)
    outputs = stream.decode_stream(model, counts, args.mode, recording.bin_ms)
    rows = outputs[args.group]
    if rows is None:
        raise Refusal(f"{model}: has no {args.group} to read behaviour from; see --from")
    good = outputs["flags"] & (stream.FLAG_WARMUP | stream.FLAG_OUTSIDE) == 0
    if recording.use is not None:
        good &= as_streams(args, recording, recording.use)
    piece = np.broadcast_to(np.arange(len(recording.counts))[:, None], recording.counts.shape[:2])
    return Published(np.nan_to_num(rows.astype(np.float64)),
                     as_streams(args, recording, recording.behaviour).astype(np.float64), good,
                     as_streams(args, recording, piece))


# Fitting

@dataclasses.dataclass
class Moments:
    """Sums over rows of the design x (z-scored lags, then a one) and behaviour y."""

    xx: np.ndarray
    xy: np.ndarray
    yy: np.ndarray

    def __add__(self, other):
        return Moments(self.xx + other.xx, self.xy + other.xy, self.yy + other.yy)

    def __sub__(self, other):
        return Moments(self.xx - other.xx, self.xy - other.xy, self.yy - other.yy)

    def first(self, n_columns):
        """Of the first columns and the one alone."""
        keep = np.r_[:n_columns, -1]
        return Moments(self.xx[np.ix_(keep, keep)], self.xy[keep], self.yy)

    def errors(self, w):
        """Squared error of x w, per behaviour."""
        return self.yy - 2 * (w * self.xy).sum(0) + (w * (self.xx @ w)).sum(0)

    @property
    def n_rows(self):
        return self.xx[-1, -1]


def moments(z, published, rows, lags):
    """Over the given rows [S, T] of z [S, T, D]."""
    total = None
    for x, y, part in zip(z, published.behaviour, rows):
        if not part.any():
            continue
        design = stage.lagged(x, lags)[part].reshape(part.sum(), -1)
        design = np.hstack([design, np.ones((len(design), 1))])
        y = y[part]
        here = Moments(design.T @ design, design.T @ y, (y ** 2).sum(0))
        total = here if total is None else total + here
    return total


def solve(m, ridge):
    """Ridge per row and input; the constant is not penalised -> w [columns, O]."""
    penalty = np.full(len(m.xx), ridge * m.n_rows)
    penalty[-1] = 0
    return np.linalg.solve(m.xx + np.diag(penalty), m.xy)


def cross_validate(folds, n_columns, ridge):
    """Mean R2 over behaviours, each fold predicted from the others."""
    folds = [fold.first(n_columns) for fold in folds]
    whole = sum(folds[1:], folds[0])
    errors = sum(fold.errors(solve(whole - fold, ridge)) for fold in folds)
    mean = whole.xy[-1] / whole.n_rows
    return float((1 - errors / (whole.yy - whole.n_rows * mean ** 2)).mean())


def z_scored(rows, part, tau_ms, bin_ms):
    """Smoothed rows as z-scores of the given part -> (z, mean, scale)."""
    s = np.swapaxes(stage.smooth(np.swapaxes(rows, 0, 1), stage.decay_of(tau_ms, bin_ms)), 0, 1)
    mean, deviation = s[part].mean(0), s[part].std(0)
    scale = np.where(deviation > 1e-9, 1 / np.maximum(deviation, 1e-9), 0.0)
    return scale * (s - mean), mean, scale


def usable_lags(args, n_inputs):
    lags = [n for n in args.lags if n * n_inputs <= MAX_COLUMNS]
    if not lags:
        raise Refusal(f"--lags: {args.lags[0]} lags of {n_inputs} {args.group} are more than "
                      f"{MAX_COLUMNS} numbers: too many to fit")
    return lags


def rows_of(published, pieces, lags):
    """Rows [S, T] of the pieces, from where the lags are filled on."""
    rows = published.good & np.isin(published.piece, pieces)
    rows[:, :max(lags) - 1] = False
    return rows


def search(args, recording, published):
    """Every smoothing, number of lags and ridge -> (score, tau, lags, ridge) of the best."""
    n_inputs, best = published.rows.shape[-1], None
    lags, pieces = usable_lags(args, n_inputs), np.sort(recording.fitting)
    parts = [rows_of(published, fold, lags) for fold in np.array_split(pieces, N_FOLDS)]
    parts = [part for part in parts if part.any()]
    if len(parts) < 2:
        raise Refusal("too few bins to fit: the model is warming up, outside a trial, or --use "
                      "leaves nothing")
    taus = args.tau if args.tau is not None else [n * recording.bin_ms for n in TAUS_BINS]
    for tau in taus:
        z, _, _ = z_scored(published.rows, np.logical_or.reduce(parts), tau, recording.bin_ms)
        folds = [moments(z, published, part, max(lags)) for part in parts]
        scores = {(tau, n, r): cross_validate(folds, n * n_inputs, r) for n in lags for r in RIDGES}
        here = max(scores, key=scores.get)
        print(f"  tau {tau:g} ms: best {here[1]} lags, ridge {here[2]:g}: cross-validated R2 "
              f"{scores[here]:.4f}", flush=True)
        if best is None or scores[here] > best[0]:
            best = (scores[here], *here)
    return best


def fit_stage(recording, published, tau, lags, ridge):
    """On all bins for fitting -> tensors of the stage, float64."""
    part = rows_of(published, recording.fitting, [lags])
    z, mean, scale = z_scored(published.rows, part, tau, recording.bin_ms)
    w = solve(moments(z, published, part, lags), ridge)
    weight = w[:-1].T.reshape(w.shape[1], lags, -1)
    return dict(zip(stage.TENSORS, (mean, scale, weight, w[-1])))


# The model file

def without_stage(model):
    """A copy to put a stage into; a readout of the model's own is refused."""
    model = copy.deepcopy(model)
    if model.config.pop("stage", None) is not None:
        model.weights = {k: v for k, v in model.weights.items() if k not in stage.TENSORS}
        model.config["outputs"]["readout"] = []
        model.config["source"] = model.config["source"].split("; stage: ")[0]
    if model.config["outputs"]["readout"]:
        raise Refusal("the model has a readout of its own: a stage would be a second one")
    return model


def add_stage(model, description, tensors, readout, source):
    """The stage into the model, and its rows into the known answer."""
    model.config.update(stage=description)
    model.config["outputs"]["readout"] = readout
    model.config["source"] = f"{model.config['source']}; stage: {source}"[:SOURCE_BYTES]
    model.weights.update(tensors)
    run = stage.staged(registry.part(model.config["arch"], "reference").run)
    for mode in model.config["modes"]:
        group = "latents" if f"selftest.{mode}.latents" in model.selftest else "lograte"
        n_bins = len(model.selftest[f"selftest.{mode}.{group}"])
        counts = model.selftest["selftest.input"][:n_bins].astype(np.float64)
        answer = run(model.weights, model.config, counts, mode)["readout"]
        model.selftest[f"selftest.{mode}.readout"] = answer.astype(np.float32)


def held_out_bins(args, recording, published, model):
    """-> behaviour and readout [rows, O] of the held-out blocks, as latent-decode publishes it."""
    counts = as_streams(args, recording, recording.counts)
    with tempfile.TemporaryDirectory(prefix="latent-fit-") as folder:
        path = f"{folder}/new.safetensors"
        write_model(path, model)
        outputs = stream.decode_stream(path, counts, args.mode, recording.bin_ms)
    held_out = published.good & np.isin(published.piece, recording.split["test"])
    held_out &= outputs["flags"] & stream.FLAG_WARMUP == 0
    if not held_out.any():
        raise Refusal("no held-out bin can be scored: --use leaves none")
    return published.behaviour[held_out], outputs["readout"][held_out]


def main():
    args = parse()
    recording, start = fit_recording(args), time.monotonic()
    if args.trial_bins is not None and not 1 <= args.trial_bins <= recording.counts.shape[1]:
        raise Refusal(f"--trial-bins {args.trial_bins}: expected 1 to {recording.counts.shape[1]}, "
                      f"the bins of a trial or block")
    model = without_stage(read_model(args.model))
    args.mode = args.mode or model.config["modes"][0]
    published = publish(args, recording)
    print(f"{args.model}: mode {args.mode}, {published.rows.shape[-1]} {args.group}, "
          f"{published.good.sum()} bins to use")
    found, tau, lags, ridge = search(args, recording, published)
    tensors = fit_stage(recording, published, tau, lags, ridge)
    add_stage(model, {"input": args.group, "tau_ms": tau, "lags": lags}, tensors,
              readout_limits(recording, recording.fitting),
              f"{command_line()}, data: {recording.source}")
    truth, answer = held_out_bins(args, recording, published, model)
    judge_readout(args, recording, truth, answer)
    write_model(args.out, model)
    r2 = r2_per_column(truth, answer)
    each = ", ".join(f"{name} {value:.4f}" for name, value in zip(recording.names, r2))
    print(f"{args.out}: tau {tau:g} ms, {lags} lags, ridge {ridge:g}, fitted in "
          f"{time.monotonic() - start:.0f} s; cross-validated R2 {found:.4f}, on held-out blocks "
          f"{r2.mean():.4f} ({each})")


if __name__ == "__main__":
    run_command(main)

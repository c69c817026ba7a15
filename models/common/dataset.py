"""Data for fitting and checking: recordings, read by latent-decode as it decodes them, and the
simulator's sets."""
import dataclasses
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from latent_models.common.programs import ROOT, need_program
from latent_models.common.refusal import Refusal, milliseconds, number, whole

BIN_WIDTH_MS = (0.1, 10_000)


@dataclasses.dataclass
class Recording:
    """counts [K, T, C] spikes per bin, behaviour [K, T, O] or None, rates [K, T, N] expected counts
    per bin, latents [K, T, D] (both simulated only) and condition [K] or None, split: name ->
    trial indices.
    use [K, T] which bins to fit and score, or None for all (the others are decoded like any).
    continuous: the trials are pieces of one stream, which no reset separates. licence: of weights
    trained on it, where that is ours to say. kind: counts or real."""

    counts: np.ndarray
    bin_ms: float
    behaviour: np.ndarray = None
    names: list = dataclasses.field(default_factory=list)
    units: list = dataclasses.field(default_factory=list)
    rates: np.ndarray = None
    condition: np.ndarray = None
    latents: np.ndarray = None
    split: dict = dataclasses.field(default_factory=dict)
    source: str = ""
    use: np.ndarray = None
    continuous: bool = False
    licence: str = ""
    kind: str = "counts"

    def part(self, name, what="counts"):
        """One array for the trials of a split."""
        array = getattr(self, what)
        return None if array is None else array[self.split[name]]

    def used(self, index):
        """Which bins [K', T] of these trials to fit and score."""
        if self.use is None:
            return np.ones((len(index), self.counts.shape[1]), bool)
        return self.use[index]

    def behaviour_rows(self, index):
        """Behaviour [rows, O] of the bins to fit and score."""
        return self.behaviour[index][self.used(index)]

    @property
    def fitting(self):
        """Trials to fit on: train and valid."""
        return np.concatenate([self.split["train"], self.split["valid"]])


def text_list(values):
    return [v.decode() if isinstance(v, bytes) else str(v) for v in np.atleast_1d(values)]


def read_simulated(path):
    """A data set written by latent-sim."""
    import h5py
    with h5py.File(path) as f:
        attrs = f.attrs
        bin_ms = float(attrs["bin_width_ms"])
        behaviour = f["readout"][()] if "readout" in f else None
        return Recording(
            counts=f["counts"][()].astype(np.float32), bin_ms=bin_ms, behaviour=behaviour,
            names=text_list(attrs["readout_names"]) if behaviour is not None else [],
            units=text_list(attrs["readout_units"]) if behaviour is not None else [],
            rates=f["rates"][()].astype(np.float64) * bin_ms / 1000, latents=f["latents"][()],
            condition=f["condition"][()],
            split={k: np.asarray(f["split"][k]) for k in ("train", "valid", "test")},
            source=f"latent-sim, {Path(path).stem}", licence="Apache-2.0")


def simulate(recipe, cache=None):
    """Path of the data set of a recipe; made by latent-sim once and kept under build/data/."""
    recipe = Path(recipe)
    digest = hashlib.sha256(recipe.read_bytes()).hexdigest()[:12]
    path = Path(cache or ROOT / "build" / "data") / f"{recipe.stem}-{digest}.h5"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        command = [str(need_program("latent-sim")), "--recipe", str(recipe), "--out", str(part)]
        print("making the data set:", " ".join(command), flush=True)
        if subprocess.run(command).returncode != 0:
            raise Refusal(f"{command[0]} failed on {recipe}")
        part.rename(path)
    return path


def recipe_recording(name):
    """The data set of models/NAME.json."""
    return read_simulated(simulate(ROOT / "models" / f"{name}.json"))


# A user's own recording: latent-decode reads it, by the rules of daemon/lib/data/README.md

# Options of latent-decode --bins-only, passed on as they are: name, what argparse needs.
READER_OPTIONS = (
    ("--in", {"metavar": "FILE:/DATASET",
              "help": "counts [time, channels] or [trials, time, channels]"}),
    ("--ticks", {"metavar": "FILE:/DATASET", "nargs": "?", "const": True,
                 "help": "instead of --in: times of spikes in clock ticks (alone: --in has them)"}),
    ("--units", {"metavar": "/DATASET", "help": "unit of each spike"}),
    ("--good", {"metavar": "/DATASET", "help": "per unit: not 0 = use it"}),
    ("--bin-ms", {"type": milliseconds(*BIN_WIDTH_MS), "metavar": "MS",
                  "help": "bin width (with --in: where no attribute says it)"}),
    ("--clock-hz", {"type": number(above=0), "metavar": "HZ",
                    "help": "ticks per second (default: attribute clock_hz; 1: seconds)"}),
    ("--start", {"type": number(), "metavar": "SECONDS", "help": "on the recording's clock"}),
    ("--seconds", {"type": number(above=0), "metavar": "N",
                   "help": "how much from there (default: all)"}),
    ("--input", {"choices": ("counts", "real"), "dest": "kind",
                 "help": "real: any finite value, e.g. smoothed or normalised (default: counts)"}),
    ("--transpose", {"action": "store_true", "help": "the file has its axes reversed (MATLAB)"}),
    ("--as-stored", {"action": "store_true", "help": "it has not, whatever MATLAB's marks say"}),
    ("--behaviour", {"metavar": "FILE:/DATASET",
                     "help": "[time, dims] per bin, or per sample of --behaviour-times"}),
    ("--behaviour-times", {"metavar": "/DATASET", "help": "time of each sample of behaviour"}),
    ("--behaviour-clock-hz", {"type": number(above=0), "metavar": "HZ",
                              "help": "of those times (default: that of the spikes)"}),
    ("--behaviour-hz", {"type": number(above=0), "metavar": "HZ",
                        "help": "samples at this rate from the start, instead of times"}),
    ("--max-gap", {"type": number(above=0), "metavar": "MS",
                   "help": "longest time between two samples to bridge"}),
    ("--use", {"metavar": "FILE:/DATASET",
               "help": "per bin or sample of behaviour: 0 = neither fit nor score it"}),
    ("--split", {"metavar": "/GROUP", "help": "its train, valid and test are indices of trials\n"
                 "(default: the last fifth is test, the tenth before it valid)"}),
    ("--rates", {"metavar": "/DATASET",
                 "help": "true rates in Hz, to score [trials, time, channels]"}),
    ("--conditions", {"metavar": "/DATASET",
                      "help": "of each trial, where --rates has one row per condition"}))


def add_recording_options(parser):
    """Options that name a recording, binned or as spike ticks."""
    group = parser.add_argument_group("your own recording, as latent-decode reads it")
    for name, settings in READER_OPTIONS:
        if name == "--in":
            settings = {**settings, "dest": "input"}
        group.add_argument(name, **settings)
    group.add_argument("--behaviour-ticks", dest="behaviour_times", metavar="/DATASET",
                       help="the same as --behaviour-times")
    group.add_argument("--names", help="names of the behaviour's columns, e.g. vx,vy")
    group.add_argument("--unit", metavar="UNIT[,UNIT]",
                       help="physical unit of the behaviour, or one for each column")
    group.add_argument("--blocks", type=whole(10, 100000), metavar="N",
                       help="cut a continuous recording into N blocks and hold out every fifth "
                            "(default: hold out its last fifth)")
    group.add_argument("--force", action="store_true",
                       help="write a fit that explains nothing of the held-out behaviour, too")
    return group


def reader_words(args):
    """The options as latent-decode spells them. `--in SPIKES --ticks` means `--ticks SPIKES`."""
    values = {**vars(args), "in": args.input, "input": args.kind}
    if args.ticks is True:
        values.update({"in": None, "ticks": args.input})
    words = []
    for name, settings in READER_OPTIONS:
        value = values[name[2:].replace("-", "_")]
        if value is True and settings.get("action"):
            words.append(name)
        elif value not in (None, False):
            words += [f"{name}={value}"] if str(value).startswith("-") else [name, str(value)]
    return words


def read_bins(words):
    """What latent-decode --bins-only makes of these options, as a dict of arrays."""
    with tempfile.TemporaryDirectory(prefix="latent-bins-") as folder:
        out = Path(folder) / "bins.npz"
        command = [str(need_program("latent-decode")), "--bins-only", *words, "--out", str(out)]
        result = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if result.returncode != 0:
            text = result.stderr.strip().removeprefix("latent-decode: ")
            raise Refusal(text.replace("see latent-decode --help", "see --help")
                          or f"latent-decode ended with {result.returncode}")
        for line in result.stdout.splitlines():  # what was read, and what was left out of it
            print(line.removeprefix("latent-decode: ").removesuffix(f" -> {out}"))
        with np.load(out, allow_pickle=False) as arrays:
            return dict(arrays)


def read_counts(text, bin_ms, kind="counts", who="the model"):
    """Counts (or real values) FILE.h5:/dataset of bins of this width, float64 [..., channels].
    who: says the width, for texts."""
    kinds = ["--input", kind] if kind != "counts" else []
    try:
        bins = read_bins(["--in", text, "--bin-ms", f"{bin_ms:.10g}", *kinds])
    except Refusal as refusal:
        raise Refusal(str(refusal).replace("--bin-ms", who)) from refusal
    return bins["counts"].astype(np.float64)


def column_names(args, bins, n_dims):
    """-> names and units of the behaviour's columns: the options, else what the dataset says."""
    def column(key, option, text, default):
        values = [word.strip() for word in text.split(",")] if text else \
            text_list(bins.get(key, default))
        if len(values) == 1 and key == "units":
            values = values * n_dims
        if len(values) != n_dims:
            raise Refusal(f"{option if text else f'attribute {key}'} gives {len(values)} {key}, "
                          f"the behaviour has {n_dims} columns")
        return values

    return (column("names", "--names", args.names, [f"y{i}" for i in range(n_dims)]),
            column("units", "--unit", args.unit, ["a.u."] * n_dims))


def read_recording(args):
    """The recording that add_recording_options described, split for fitting and testing."""
    bins = read_bins(reader_words(args))
    counts, use, behaviour = bins["counts"], bins["use"], bins.get("behaviour")
    bin_ms = int(bins["bin_width_us"]) / 1000
    n_dims = 0 if behaviour is None else behaviour.shape[-1]
    names, units = column_names(args, bins, n_dims)
    if behaviour is not None:  # where it is not to be used it may be anything, also NaN
        behaviour = np.where(use[..., None], behaviour, 0.0)
    continuous = counts.ndim == 2
    if continuous:
        counts, behaviour, use = (None if array is None else cut(array, args.blocks or 10)
                                  for array in (counts, behaviour, use))
    split = split_spread(len(counts)) if args.blocks else split_end(len(counts))
    if args.split:
        split = {part: bins[f"split_{part}"] for part in ("train", "valid", "test")}
    source = args.input if isinstance(args.input, str) else args.ticks
    recording = Recording(
        counts, bin_ms, behaviour, names, units, split=split, use=None if use.all() else use,
        rates=true_rates(args, bins, counts, bin_ms), source=Path(source).name,
        continuous=continuous, kind=str(bins.get("input", "counts")))
    check_split(recording)
    return recording


def is_given(args):
    """Whether the options name a recording."""
    return bool(args.input or args.ticks)


def chosen_recording(args):
    """The set of --recipe, or the recording of --in or --ticks."""
    if bool(args.recipe) == is_given(args):
        raise Refusal("give either --recipe or --in (or --ticks)")
    return recipe_recording(args.recipe) if args.recipe else read_recording(args)


def own_trials(args, what):
    """The recording of --in in trials of --trial-bins, for models that learn from counts alone."""
    if args.behaviour:
        raise Refusal(f"--behaviour: {what} learns from counts alone; models/readout/fit.py reads "
                      f"behaviour from what it publishes")
    if not is_given(args):
        raise Refusal("give --in or --ticks, or the set of --recipe")
    recording = read_recording(args)
    need_counts(recording, what)
    return cut_trials(recording, args.trial_bins)


def check_split(recording):
    """Every part has trials that exist and, where behaviour is fitted, bins to fit."""
    for part in ("train", "valid", "test"):
        index = recording.split[part]
        if not len(index) or index.min() < 0 or index.max() >= len(recording.counts):
            raise Refusal(f"the {part} trials are {list(index[:5])} ...: expected at least one of "
                          f"0 to {len(recording.counts) - 1} (--split, --blocks)")
        if recording.behaviour is not None and recording.used(index).sum() < 2:
            raise Refusal(f"no bins of behaviour to use in the {part} trials: --use, or times of "
                          f"behaviour that cover other bins; --blocks N spreads the parts")


def true_rates(args, bins, counts, bin_ms):
    """--rates as expected counts per bin, one row per trial; or None."""
    if "rates" not in bins:
        return None
    rates, conditions = bins["rates"] * bin_ms / 1000, bins.get("conditions")
    if conditions is not None:
        if conditions.min(initial=0) < 0 or conditions.max(initial=0) >= len(rates):
            raise Refusal(f"--conditions {args.conditions}: goes from {conditions.min()} to "
                          f"{conditions.max()}, but --rates has {len(rates)} rows")
        rates = rates[conditions]
    if rates.shape != counts.shape:
        raise Refusal(f"--rates {args.rates}: shape {list(rates.shape)} does not go with counts "
                      f"{list(counts.shape)}: --conditions says which row is which trial's")
    return rates


def need_counts(recording, what):
    """Refuse values that are no counts, for a model with a likelihood of counts."""
    if recording.kind != "counts":
        raise Refusal(f"--input {recording.kind}: {what} learns from counts of spikes; kalman, "
                      f"wiener, dlds and, with --behaviour, gru take other values")


def cut(array, n_pieces):
    """[T, ...] -> [n_pieces, T // n_pieces, ...]; what is left over at the end is dropped."""
    size = len(array) // n_pieces if n_pieces > 0 else 0
    if size < 10:
        raise Refusal(f"a recording of {len(array)} bins is too short for {n_pieces} pieces")
    return array[:n_pieces * size].reshape(n_pieces, size, *array.shape[1:])


def split_end(n):
    """The last fifth of the pieces is test, the tenth before it valid."""
    n_test, n_valid = max(1, n // 5), max(1, n // 10)
    if n < 4:
        raise Refusal(f"{n} trials are too few to fit and to test")
    order = np.arange(n)
    return {"train": order[:n - n_test - n_valid],
            "valid": order[n - n_test - n_valid:n - n_test], "test": order[n - n_test:]}


def split_spread(n):
    """Every fifth piece is test, every tenth valid: the whole recording is in each split."""
    if n < 10:
        raise Refusal(f"--blocks {n}: at least 10")
    order = np.arange(n)
    test, valid = order % 5 == 2, order % 10 == 5
    return {"train": order[~test & ~valid], "valid": order[valid], "test": order[test]}


def cut_trials(recording, trial_bins):
    """A recording in long pieces becomes one in trials of trial_bins; the split goes along."""
    n_bins = recording.counts.shape[1]
    per_piece = n_bins // trial_bins
    if per_piece < 1:
        raise Refusal(f"trials of {n_bins} bins are shorter than --trial-bins {trial_bins}")
    recording.split = {name: (index[:, None] * per_piece + range(per_piece)).reshape(-1)
                       for name, index in recording.split.items()}
    for what in ("counts", "rates"):
        array = getattr(recording, what)
        if array is not None:
            array = array[:, :per_piece * trial_bins].reshape(-1, trial_bins, array.shape[-1])
            setattr(recording, what, array)
    return recording

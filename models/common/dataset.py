"""Data for fitting and checking: HDF5 at any path, spike ticks, and the simulator's sets."""
import dataclasses
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np

from latent_models.common.refusal import Refusal

ROOT = Path(__file__).resolve().parents[2]


def split_path(text):
    """FILE.h5:/dataset -> (FILE.h5, /dataset)."""
    path, colon, dataset = text.rpartition(":")
    if not colon:
        raise Refusal(f"{text}: expected FILE.h5:/dataset")
    return path, dataset


def open_dataset(f, path, dataset):
    """The dataset of an open file, or a text that lists what there is."""
    if dataset in f and hasattr(f[dataset], "shape"):
        return f[dataset]
    names = []
    f.visititems(lambda name, item: names.append("/" + name) if hasattr(item, "shape") else None)
    raise Refusal(f"{path}: no dataset {dataset}; it has {', '.join(names[:12])}")


def read_dataset(text):
    """FILE.h5:/dataset -> float64 array."""
    import h5py
    path, dataset = split_path(text)
    try:
        with h5py.File(path) as f:
            return np.asarray(open_dataset(f, path, dataset)[()], np.float64)
    except OSError as error:
        raise Refusal(f"{path}: {error}") from error


@dataclasses.dataclass
class Recording:
    """counts [K, T, C] spikes per bin, behaviour [K, T, O] or None, rates [K, T, N] expected counts
    per bin, latents [K, T, D] (both simulated only) and condition [K] or None, split: name ->
    trial indices.
    use [K, T] which bins to fit and score, or None for all (the others are decoded like any).
    continuous: the trials are pieces of one stream, which no reset separates. licence: of weights
    trained on it, where that is ours to say."""

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


def find_simulator():
    """latent-sim from LATENT_SIM, the release build, or PATH."""
    built = ROOT / "build" / "release" / "bin" / "latent-sim"
    candidates = [os.environ.get("LATENT_SIM"), str(built), shutil.which("latent-sim")]
    for candidate in filter(None, candidates):
        if os.access(candidate, os.X_OK):
            return candidate
    raise Refusal("latent-sim not found: build it (cmake --preset release && "
                  "cmake --build --preset release)"
                  " or set LATENT_SIM to its path")


def simulate(recipe, cache=None):
    """Path of the data set of a recipe; made by latent-sim once and kept under build/data/."""
    recipe = Path(recipe)
    digest = hashlib.sha256(recipe.read_bytes()).hexdigest()[:12]
    path = Path(cache or ROOT / "build" / "data") / f"{recipe.stem}-{digest}.h5"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        command = [find_simulator(), "--recipe", str(recipe), "--out", str(part)]
        print("making the data set:", " ".join(command), flush=True)
        if subprocess.run(command).returncode != 0:
            raise Refusal(f"{command[0]} failed on {recipe}")
        part.rename(path)
    return path


def recipe_recording(name):
    """The data set of models/NAME.json."""
    return read_simulated(simulate(ROOT / "models" / f"{name}.json"))


# A user's own recording

def add_recording_options(parser):
    """Options that name a recording, binned or as spike ticks."""
    group = parser.add_argument_group("your own recording")
    group.add_argument("--in", dest="input", metavar="FILE.h5:/dataset",
                       help="counts [time, channels] or [trials, time, channels]; with --ticks: "
                            "spike ticks")
    group.add_argument("--bin-ms", type=float,
                       help="bin width; without --ticks: that of the counts")
    group.add_argument("--split", metavar="/group",
                       help="its train, valid and test are indices of trials (same file;\n"
                       "default: the last fifth is test, the tenth before it valid)")
    group.add_argument("--rates", metavar="/dataset",
                       help="true rates in Hz, to score [trials, time, channels] (same file)")
    group.add_argument("--conditions", metavar="/dataset",
                       help="of each trial, where --rates has one row per condition (same file)")
    group.add_argument("--behaviour", metavar="FILE.h5:/dataset",
                       help="[time, dims] per bin (or per --behaviour-ticks sample)")
    group.add_argument("--names", help="names of the behaviour's columns, e.g. vx,vy")
    group.add_argument("--unit", default="a.u.", help="physical unit of the behaviour")
    group.add_argument("--ticks", action="store_true", help="--in holds one tick per spike")
    group.add_argument("--units", metavar="/dataset", help="unit of each spike (same file)")
    group.add_argument("--good", metavar="/dataset", help="per unit: non-zero = use it (same file)")
    group.add_argument("--behaviour-ticks", metavar="/dataset",
                       help="tick of each behaviour sample")
    group.add_argument("--clock-hz", type=float,
                       help="ticks per second (default: attribute clock_hz)")
    group.add_argument("--use", metavar="FILE.h5:/dataset",
                       help="per bin (or behaviour sample): 0 = neither fit nor score it")
    group.add_argument("--blocks", type=int, metavar="N",
                       help="cut a continuous recording into N blocks and hold out every fifth "
                            "(default: hold out its last fifth)")
    group.add_argument("--start", type=float, default=0.0, help="seconds on the recording's clock")
    group.add_argument("--seconds", type=float, help="how much from there (default: all)")
    return group


def read_recording(args):
    """The recording that add_recording_options described, split for fitting and testing."""
    if args.bin_ms is None or args.bin_ms <= 0:
        raise Refusal("--bin-ms is required with --in: the width of a bin in milliseconds")
    counts, behaviour, use = read_ticks(args) if args.ticks else read_binned(args)
    n_dims = 0 if behaviour is None else behaviour.shape[-1]
    names = args.names.split(",") if args.names else [f"y{i}" for i in range(n_dims)]
    if len(names) != n_dims:
        raise Refusal(f"--names gives {len(names)} names, the behaviour has {n_dims} columns")
    if behaviour is not None and not np.isfinite(behaviour).all():
        raise Refusal(f"{args.behaviour}: holds values that are not finite")
    continuous = counts.ndim == 2
    if continuous:
        counts, behaviour, use = (None if array is None else cut(array, args.blocks or 10)
                                  for array in (counts, behaviour, use))
    split = split_spread(len(counts)) if args.blocks else split_end(len(counts))
    split = read_split(args) if args.split else split
    return Recording(counts, args.bin_ms, behaviour, names, [args.unit] * n_dims, split=split,
                     rates=read_rates(args, counts), source=Path(args.input).name,
                     continuous=continuous, use=use)


def read_split(args):
    """--split of the file of --in: name -> indices of trials."""
    path, _ = split_path(args.input)
    return {name: read_dataset(f"{path}:{args.split}/{name}").astype(int)
            for name in ("train", "valid", "test")}


def read_rates(args, counts):
    """--rates of the file of --in as expected counts per bin, one row per trial; or None."""
    if not args.rates:
        return None
    path, _ = split_path(args.input)
    rates = read_dataset(f"{path}:{args.rates}") * args.bin_ms / 1000
    if args.conditions:
        rates = rates[read_dataset(f"{path}:{args.conditions}").astype(int)]
    if rates.shape != counts.shape:
        raise Refusal(f"{path}:{args.rates}: shape {list(rates.shape)} does not go with counts "
                      f"{list(counts.shape)}: --conditions says which row is which trial's")
    return rates


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


def read_binned(args):
    """-> counts [.., C], behaviour [.., O] and use [..] or None, cut to --start and --seconds."""
    counts = read_dataset(args.input).astype(np.float32)
    behaviour = read_dataset(args.behaviour) if args.behaviour else None
    use = read_dataset(args.use) != 0 if args.use else None
    if counts.ndim not in (2, 3):
        raise Refusal(f"{args.input}: {counts.ndim} axes; expected [time, channels] "
                      f"or [trials, time, channels]")
    if behaviour is not None and behaviour.shape[:-1] != counts.shape[:-1]:
        raise Refusal(f"{args.behaviour}: shape {list(behaviour.shape)} does not go with counts "
                      f"{list(counts.shape)}")
    if use is not None and use.shape != counts.shape[:-1]:
        raise Refusal(f"{args.use}: shape {list(use.shape)} does not go with counts "
                      f"{list(counts.shape)}")
    if counts.ndim == 2:
        first = int(args.start * 1000 / args.bin_ms)
        last = len(counts)
        if args.seconds is not None:
            last = first + int(args.seconds * 1000 / args.bin_ms)
        counts, behaviour, use = (None if array is None else array[first:last]
                                  for array in (counts, behaviour, use))
    return counts, behaviour, use


def read_ticks(args):
    """Bin k holds the spikes with start + k*bin <= t < start + (k+1)*bin; behaviour is interpolated
    linearly at the bin's end. Units that --good marks with 0 are left out."""
    import h5py
    path, spikes = split_path(args.input)
    if not args.units:
        raise Refusal("--ticks needs --units: the dataset with the unit of each spike")
    with h5py.File(path) as f:
        clock_hz = args.clock_hz or float(f.attrs.get("clock_hz", 0))
        if clock_hz <= 0:
            raise Refusal(f"{path}: no attribute clock_hz; give --clock-hz")
        ticks = open_dataset(f, path, spikes)[()].astype(np.int64)
        unit = open_dataset(f, path, args.units)[()].astype(np.int64)
        n_units = int(unit.max()) + 1
        good = open_dataset(f, path, args.good)[()] != 0 if args.good else np.ones(n_units, bool)
    start = int(round(args.start * clock_hz))
    stop = ticks.max() + 1 if args.seconds is None else start + int(round(args.seconds * clock_hz))
    bin_ticks = clock_hz * args.bin_ms / 1000
    n_bins = int((stop - start) / bin_ticks)
    keep = (ticks >= start) & (ticks < start + n_bins * bin_ticks) & good[unit]
    bins = ((ticks[keep] - start) / bin_ticks).astype(int)
    counts = np.zeros((n_bins, len(good)), np.float32)
    np.add.at(counts, (bins, unit[keep]), 1)
    ends = start + (np.arange(n_bins) + 1) * bin_ticks
    return counts[:, good], *read_tick_behaviour(args, ends)


def read_tick_behaviour(args, ends):
    """Behaviour at the given ticks [T, O] and which to use [T] (--use of both samples around), or
    None."""
    if not args.behaviour:
        return None, None
    if not args.behaviour_ticks:
        raise Refusal("--ticks with --behaviour needs --behaviour-ticks: the tick of each sample")
    path, _ = split_path(args.behaviour)
    ticks = read_dataset(f"{path}:{args.behaviour_ticks}")
    values = read_dataset(args.behaviour)
    use = read_dataset(args.use) != 0 if args.use else None
    for name, array in ((args.behaviour, values), (args.use, use)):
        if array is not None and len(array) != len(ticks):
            raise Refusal(f"{name}: {len(array)} samples, but {len(ticks)} ticks")
    used = None if use is None else np.interp(ends, ticks, use) == 1
    return np.stack([np.interp(ends, ticks, column) for column in values.T], -1), used

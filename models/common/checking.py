"""--check IN OUT: what a model file publishes, beside what its author's own program gave for the
same bins.

IN holds bins [time, channels] or [trials, time, channels], OUT latents, rates, readout or logits
with IN's leading axes. The file is run by the C core (latent-decode), without the limits of its
readout and of its channels, which the author's program has not. Row t of OUT is bin t; a frame that
describes an earlier bin is compared with that bin's row.
"""
import dataclasses
import itertools
import tempfile
from pathlib import Path

import numpy as np

from latent_models.common import links, model_file
from latent_models.common.files import open_input
from latent_models.common.refusal import Refusal
from latent_models.common.stream import (FLAG_BETWEEN, FLAG_OUTSIDE, FLAG_WARMUP, GROUPS,
                                         decode_stream)

TOLERANCE, ROWS_MIN = 1e-4, 50
ALIKE, SHIFTS_MAX = 1e-3, 20  # how near a likely cause comes, and the longest shift looked for
UNITS = ("per-bin", "hz", "log")
IN_NAMES = ("counts", "input", "inputs", "spikes", "x")
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def add_options(parser, modes):
    group = parser.add_argument_group("comparison with your own outputs, by the C core")
    group.add_argument("--check", nargs=2, metavar=("IN", "OUT"),
                       help="bins (FILE.h5:/dataset, FILE.npz or FILE.npz:name) and what your own "
                            "program gave for\nthem: npz or HDF5 with latents, rates, readout or "
                            "logits and the leading axes of IN. A difference\nabove 1e-4 x max(1, "
                            "|yours|), or fewer than 50 rows to compare: nothing is written")
    group.add_argument("--check-rates", choices=UNITS, default="per-bin",
                       help="unit of OUT's rates: expected counts per bin (default), Hz, or the "
                            "logarithm of the former")
    group.add_argument("--check-mode", choices=modes, metavar="MODE",
                       help="mode to compare in (default: trial where the file has it, else its "
                            "first)")


@dataclasses.dataclass
class Group:
    """One group of outputs: ours and theirs [K, T, n] in the unit of OUT, both of the same bins;
    rows [K, T]: which to compare."""

    name: str
    ours: np.ndarray
    theirs: np.ndarray
    rows: np.ndarray

    @property
    def n_compared(self):
        return int(self.rows.sum())

    def excess(self):
        """Differences in units of the tolerance, 0 where nothing is compared."""
        with np.errstate(invalid="ignore"):
            difference = np.where(self.ours == self.theirs, 0, np.abs(self.ours - self.theirs))
            share = difference / (TOLERANCE * np.maximum(1, np.abs(self.theirs)))
        return np.where(self.rows[..., None], np.where(np.isnan(share), np.inf, share), 0)

    def largest(self):
        with np.errstate(invalid="ignore"):
            return float(np.nanmax(np.abs(self.ours - self.theirs)[self.rows], initial=0))


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is compared. who: names it in a refusal; unit: of the rates, one of UNITS; against: what
    the file's line says of it."""

    who: str = "--check"
    unit: str = "per-bin"
    against: str = "the author's outputs"


# ---- reading

def read_arrays(text):
    """FILE or FILE:NAME, npz, npy or HDF5 -> (file, name -> array); of HDF5 the datasets at NAME or
    below it."""
    path, _, name = text.rpartition(":") if not Path(text).exists() else (text, "", "")
    path = path or text
    with open_input(path) as f:
        start = f.read(8)
    try:
        found = read_hdf5(path, name) if start == HDF5_SIGNATURE else read_numpy(path, name)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise Refusal(f"{text}: neither npz nor HDF5 that could be read: {error}") from error
    strange = [n for n, a in found.items() if a.dtype.kind not in "fiub"]
    if strange:
        raise Refusal(f"{path}: {strange[0]} has type {found[strange[0]].dtype}, expected numbers")
    return path, found


def read_numpy(path, name):
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return {"counts": loaded}
    with loaded:
        return {n: loaded[n] for n in loaded.files if n == name.strip("/") or not name}


def read_hdf5(path, name):
    import h5py
    from latent_models.common.checkpoint import whole_dataset
    found = {}
    with h5py.File(path) as f:
        place = f[name or "/"]
        if isinstance(place, h5py.Dataset):
            return {name.rsplit("/", 1)[-1]: whole_dataset(path, place)}
        for key, item in place.items():
            if isinstance(item, h5py.Dataset) and item.shape is not None:
                found[key] = whole_dataset(path, item)
    return found


def read_bins(text, n_channels):
    """IN -> bins [K, T, C] and their leading axes."""
    path, arrays = read_arrays(text)
    names = [n for n in IN_NAMES if n in arrays] or list(arrays)
    if len(names) != 1 and len(arrays) != 1:
        raise Refusal(f"--check {text}: which of {', '.join(sorted(arrays)) or 'nothing'} are the "
                      f"bins? Name it: {path}:/NAME")
    bins = arrays[names[0]].astype(np.float64)
    if bins.ndim not in (2, 3) or bins.shape[-1] != n_channels or not bins.size:
        raise Refusal(f"--check {text}: {names[0]} has shape {list(bins.shape)}, expected [time, "
                      f"{n_channels}] or [trials, time, {n_channels}]")
    return (bins if bins.ndim == 3 else bins[None]), bins.shape[:-1]


def read_outputs(text, lead):
    """OUT -> group -> array [K, T, n]."""
    path, arrays = read_arrays(text)
    found = {n: a.astype(np.float64) for n, a in arrays.items() if n in (*GROUPS, "logits")
             and n != "flags"}
    if not found:
        raise Refusal(f"--check {text}: expected latents, rates, readout or logits, found "
                      f"{', '.join(sorted(arrays)) or 'nothing'}")
    for name, array in found.items():
        if array.shape[:-1] != lead or array.ndim != len(lead) + 1:
            raise Refusal(f"--check {path}: {name} has shape {list(array.shape)}, expected IN's "
                          f"leading axes {list(lead)} and one more")
    return {n: a if a.ndim == 3 else a[None] for n, a in found.items()}


# ---- comparing

def bare(model):
    """The model without limits of its readout and of its channels."""
    config = dict(model.config)
    config["outputs"] = {**config["outputs"], "readout": [
        {**entry, "min": None, "max": None, "slew": None}
        for entry in config["outputs"]["readout"]]}
    if "channels" in config:
        config["channels"] = {k: v for k, v in config["channels"].items()
                              if k not in ("clip", "clip_low")}
    return dataclasses.replace(model, config=config)


def in_unit(per_bin, unit, bin_s):
    """Expected counts per bin in a unit of UNITS."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return per_bin / bin_s if unit == "hz" else np.log(per_bin) if unit == "log" else per_bin


def advanced(array, n_bins):
    """Row t + n_bins at row t, NaN where there is none (negative: the other way)."""
    moved, n_left = np.full(array.shape, np.nan), array.shape[1] - abs(n_bins)
    if n_left > 0 and n_bins >= 0:
        moved[:, :n_left] = array[:, n_bins:]
    elif n_left > 0:
        moved[:, -n_left:] = array[:, :n_left]
    return moved


def run_model(model, bins, mode, decode=decode_stream):
    """What the core publishes of bins [K, T, C], row t that of bin t, absent rows NaN. decode: as
    stream.decode_stream."""
    bin_ms = model.config["bin_width_us"] / 1000
    with tempfile.TemporaryDirectory(prefix="latent-check-") as folder:
        path = Path(folder) / "model.safetensors"
        model_file.write_model(path, bare(model))
        found = decode(path, bins, mode, bin_ms)
    delay = found.pop("delay_bins")
    if mode == "B-lag":  # of ndt: rows are shown once they are final
        delay = model.hyper["layers"] * model.hyper["context_forward"]
    absent = (found.pop("flags") & (FLAG_WARMUP | FLAG_OUTSIDE | FLAG_BETWEEN)) != 0
    groups = {}
    for name, array in found.items():
        if array is not None:
            array = np.where(absent[..., None], np.nan, array.astype(np.float64))
            groups[name] = advanced(array, delay)
    return groups


def compare(args, model):
    """--check -> the line that the file keeps; a Refusal where they differ."""
    bins, lead = read_bins(args.check[0], model.config["n_channels"])
    theirs = read_outputs(args.check[1], lead)
    modes = model.config["modes"]
    mode = args.check_mode or ("trial" if "trial" in modes else modes[0])
    if mode not in modes:
        raise Refusal(f"--check-mode {mode}: the file has {', '.join(modes)}")
    return compare_outputs(model, theirs, run_model(model, bins, mode), mode=mode,
                           asked=Asked(unit=args.check_rates), where=args.check[1])


def compare_outputs(model, theirs, ours, *, mode, asked, where=""):
    """Groups [K, T, n], row t that of bin t, NaN where there is none -> the line that the file
    keeps; a Refusal where they differ."""
    bin_s, groups = model.config["bin_width_us"] / 1e6, []
    for name, array in theirs.items():
        if name not in ours or ours[name].shape[-1] != array.shape[-1]:
            n = ours[name].shape[-1] if name in ours else "none"
            raise Refusal(f"{asked.who}{' ' * bool(where)}{where}: {array.shape[-1]} {name}, the "
                          f"model has {n}")
        found = ours[name]
        if name == "rates":
            found = in_unit(found, asked.unit, bin_s)
            if links.link_of(model) == "linear" and asked.unit != "log":
                array = np.maximum(array, 0)  # an expected count below 0 is published as 0
        rows = ~np.isnan(array).any(-1) & ~np.isnan(ours[name]).any(-1)
        groups.append(Group(name, found, array, rows))
    for group in groups:
        judge(asked, group, model, bin_s)
    n_rows, n = groups[0].rows.size, min(g.n_compared for g in groups)
    return (f"{n} rows of {', '.join(g.name for g in groups)} in mode {mode} against "
            f"{asked.against}, {n_rows - n} absent, largest difference "
            f"{max(g.largest() for g in groups):.2g}")


def judge(asked, group, model, bin_s):
    """Refuse too few rows, and a difference, with its place and its likely cause."""
    n_rows = group.rows.size
    if group.n_compared < ROWS_MIN:
        raise Refusal(f"{asked.who}: only {group.n_compared} of {n_rows} rows of {group.name} can "
                      f"be compared (the others are absent: warm-up, outside a trial, NaN), "
                      f"expected at least {ROWS_MIN}: give more bins")
    excess = group.excess()
    if excess.max() <= 1:
        return
    trial, t, column = np.unravel_index(np.flatnonzero(excess > 1)[0], excess.shape)
    n_bad = int((excess > 1).any(-1).sum())
    raise Refusal(f"{asked.who}: {group.name} differ in {n_bad} of {group.n_compared} rows, first "
                  f"in trial {trial}, bin {t}, column {column}: yours "
                  f"{group.theirs[trial, t, column]:.6g}, the file gives "
                  f"{group.ours[trial, t, column]:.6g}; {cause(asked, group, model, bin_s)}. "
                  f"Nothing is written")


# ---- likely causes

def alike(found, theirs, least=ROWS_MIN):
    """Whether one explains the other: where both are numbers they are near each other, and those
    are enough and most."""
    both = np.isfinite(found) & np.isfinite(theirs)
    with np.errstate(invalid="ignore"):
        near = np.abs(found - theirs) <= ALIKE * np.maximum(1e-2, np.abs(theirs))
    return both.sum() >= max(least, np.isfinite(theirs).sum() / 4) and near[both].mean() > 0.999


def cause(asked, group, model, bin_s):
    """A text: what would explain the difference."""
    theirs = np.where(group.rows[..., None], group.theirs, np.nan)
    ours = np.where(group.rows[..., None], group.ours, np.nan)
    if group.name == "rates":
        per_bin = {"hz": lambda r: r * bin_s, "log": np.exp, "per-bin": lambda r: r}[
            asked.unit](ours)
        text = rates_cause(asked, per_bin, theirs, links.link_of(model), bin_s)
        if text:
            return text
    for k in sorted(range(-SHIFTS_MAX, SHIFTS_MAX + 1), key=abs)[1:]:
        if alike(advanced(ours, k), theirs):
            return (f"they agree when yours are taken {abs(k)} bin{'s' * (abs(k) > 1)} "
                    f"{'later' if k < 0 else 'earlier'}: your row t is the file's bin t "
                    f"{'-' if k < 0 else '+'} {abs(k)}")
    starts = [alike(x[:1], y[:1], least=1) for x, y in zip(ours, theirs)]
    if len(ours) > 1 and alike(ours[:1], theirs[:1], least=1) and not any(starts[1:]):
        return ("the first trial agrees and later ones do not: your program carries its state from "
                "trial to trial, here each begins anew")
    return affine_cause(ours, theirs)


def rates_cause(asked, per_bin, theirs, link, bin_s):
    """Another unit, another link, or both."""
    with np.errstate(invalid="ignore"):
        drive = links.inverse(link, per_bin)
        rates = {other: links.apply(other, drive) for other in links.LINKS} | {link: per_bin}
    guesses = sorted(itertools.product(links.LINKS, UNITS), key=lambda guess: (
        (guess[0] != link) + (guess[1] != asked.unit), guess[0] != link))
    for other, unit in guesses[1:]:  # fewest differences first; none comes first of all
        if not alike(in_unit(rates[other], unit, bin_s), theirs):
            continue
        parts = [f"yours are rates of {other}, the file was told {link}: --link {other}"
                 ] if other != link else []
        if unit != asked.unit:
            what = {"hz": "Hz", "log": "logarithms", "per-bin": "counts per bin"}[unit]
            parts.append(f"yours are {what}, not {asked.unit}: --check-rates {unit}")
        return "; ".join(parts)
    return None


def affine_cause(ours, theirs):
    """Each column a multiple of the file's, with an offset."""
    fits = []
    for x, y in zip(np.moveaxis(ours, -1, 0), np.moveaxis(theirs, -1, 0)):
        both = np.isfinite(x) & np.isfinite(y)
        if both.sum() < ROWS_MIN or x[both].std() == 0:
            fits = []
            break
        slope, offset = np.polyfit(x[both], y[both], 1)
        if not alike(slope * x[both] + offset, y[both]):
            fits = []
            break
        fits.append((slope, offset))
    if not fits:
        return ("no usual cause explains it (another link, Hz, a shift of bins, state carried over "
                "trials, standardised outputs)")
    slope, offset = fits[0]
    return (f"each column of yours is a multiple of the file's with an offset (the first: "
            f"{slope:.6g} x + {offset:.6g}): standardised outputs, or another unit?")

"""A day's record as a recording for fitting: its decoded bins in their order, and behaviour beside
them."""
import subprocess
from pathlib import Path

import numpy as np

from latent_models.common.programs import need_program
from latent_models.common.refusal import Refusal

MAX_GAP_BINS = 10_000  # more between two bins of a source: another recording begins


def export(record, out):
    """latentctl export; what it says of a record that is not whole goes to the terminal."""
    result = subprocess.run([str(need_program("latentctl")), "export", str(record), str(out)],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if result.returncode != 0:
        raise Refusal(result.stderr.strip().removeprefix("latentctl: "))
    for line in result.stderr.splitlines():
        print(line.removeprefix("latentctl: "))


def decoded_rows(f):
    """Which rows of bins/ the stream's decoder had, in order. A number may have come twice, and
    been refused once: what was decoded came last before that."""
    outcomes, bins = f["outcomes"], f["bins"]
    codes = [word.decode() if isinstance(word, bytes) else word for word in outcomes.attrs["codes"]]
    is_decoded = outcomes["code"][()] == codes.index("bins decoded")
    entries, rows_of = bins["entry"][()], {}
    for row, key in enumerate(zip(bins["epoch"][()].tolist(), bins["seq"][()].tolist())):
        rows_of.setdefault(key, []).append(row)
    done = [outcomes[name][()][is_decoded].tolist() for name in ("entry", "epoch", "seq")]
    rows = [[row for row in rows_of.get((epoch, seq), ()) if entries[row] <= entry][-1:]
            for entry, epoch, seq in zip(*done)]
    return np.array([row for one in rows for row in one], np.int64)


def grid(epoch, seq):
    """Places [n] of the bins on one axis without holes in time but those of lost bins, and its
    length: sources that restart stand one behind the other."""
    place, at = np.zeros(len(seq), np.int64), 0
    starts = np.flatnonzero(np.r_[True, (np.diff(epoch) != 0) | (np.diff(seq) < 0) |
                                  (np.diff(seq) > MAX_GAP_BINS)])
    for start, end in zip(starts, np.r_[starts[1:], len(seq)]):
        place[start:end] = at + seq[start:end] - seq[start]
        at = place[end - 1] + 1
    return place, at


def read_record(record, folder):
    """-> dict: counts [T, C], seen [T] (the bin came), seq, t_ns [T] (of its end, by its source's
    clock; 0 where it did not come), bin_width_us; model_path, model_sha256 of its beginning, and
    n_promotions since."""
    import h5py
    path = Path(folder) / "record.h5"
    export(record, path)
    with h5py.File(path) as f:
        rows = decoded_rows(f)
        if not len(rows):
            raise Refusal(f"{record}: no bin in it was decoded")
        bins = {name: f["bins"][name][()][rows].astype(np.int64)
                for name in ("epoch", "seq", "t_source_ns")}
        counts, attrs = f["bins"]["counts"][()][rows], dict(f.attrs)
        n_promotions = len(f["promotions"]["entry"])
    place, n = grid(bins["epoch"], bins["seq"])
    day = {"counts": np.zeros((n, counts.shape[1]), np.float32), "seen": np.zeros(n, bool),
           "seq": np.full(n, -1), "t_ns": np.zeros(n, np.int64)}
    day["n_promotions"] = n_promotions
    day["counts"][place], day["seen"][place] = counts, True
    day["seq"][place], day["t_ns"][place] = bins["seq"], bins["t_source_ns"]
    for name in ("model_path", "model_sha256"):
        value = attrs.get(name, "")
        day[name] = value.decode() if isinstance(value, bytes) else str(value)
    day["bin_width_us"] = round(float(attrs["bin_width_ms"]) * 1000)
    return day


# Behaviour

def dataset(text, like=None):
    """FILE.h5:/DATASET, or /DATASET in the file of `like` -> array."""
    import h5py
    whole = text if ":/" in text else f"{like.rpartition(':/')[0]}:{text}"
    path, _, name = whole.rpartition(":/")
    try:
        with h5py.File(path) as f:
            return f[name][()]
    except (OSError, KeyError) as error:
        raise Refusal(f"{text}: {error}") from error


def by_number(rows, seq, day):
    """Rows of behaviour by the number of their bins -> (behaviour [T, O], known [T])."""
    order = np.argsort(seq, kind="stable")
    at = np.searchsorted(seq[order], day["seq"]).clip(0, len(seq) - 1)
    known = day["seen"] & (seq[order][at] == day["seq"])
    return rows[order][at], known


def by_time(rows, t_s, day, max_gap_s):
    """Rows of behaviour at times of the source's clock, interpolated at the ends of the bins."""
    good = np.isfinite(rows).all(1) & np.isfinite(t_s)
    rows, t_s = rows[good], t_s[good]
    if len(t_s) < 2 or (np.diff(t_s) <= 0).any():
        raise Refusal("--behaviour-times: expected at least two times, each after the one before")
    at = day["t_ns"] / 1e9
    after = np.searchsorted(t_s, at).clip(1, len(t_s) - 1)
    known = day["seen"] & (at >= t_s[0]) & (at <= t_s[-1])
    known &= t_s[after] - t_s[after - 1] <= max_gap_s
    return np.stack([np.interp(at, t_s, column) for column in rows.T], -1), known


def behaviour_of(args, day):
    """-> behaviour [T, O] and which of its rows are to be used."""
    rows = np.asarray(dataset(args.behaviour), np.float64)
    rows = rows.reshape(-1, rows.shape[-1]) if rows.ndim > 1 else rows.reshape(-1, 1)
    if args.behaviour_times:
        t_s = np.asarray(dataset(args.behaviour_times, args.behaviour), np.float64).ravel()
        check_length("--behaviour-times", t_s, rows)
        found, known = by_time(rows, t_s / args.behaviour_clock_hz, day, args.max_gap / 1000)
    else:
        seq = np.arange(len(rows))
        if args.behaviour_seq:
            seq = np.asarray(dataset(args.behaviour_seq, args.behaviour), np.int64).ravel()
        check_length("--behaviour-seq", seq, rows)
        found, known = by_number(rows, seq, day)
    known &= np.isfinite(found).all(1)
    return np.where(known[:, None], found, 0.0), known


def check_length(option, array, rows):
    if len(array) != len(rows):
        raise Refusal(f"{option}: {len(array)} of them, the behaviour has {len(rows)} rows")

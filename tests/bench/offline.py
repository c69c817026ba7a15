"""A whole recording through latent-decode, beside PyTorch on the same trials in memory."""
import os
import pathlib
import subprocess
import tempfile
import time

import h5py
import numpy as np

from rows import ROWS, prepare

HERE = pathlib.Path(__file__).resolve().parent
N_TRIALS, QUICK_TRIALS = 400, 40
PATHS = {"gru-sparse": ((), ), "m700-cached": ((), ("--fast", ))}  # row: options of latent-decode


def write_recording(path, row, model, n_trials, seed=7):
    counts = np.random.default_rng(seed).poisson(
        0.2, (n_trials, row.n_bins, model.config["n_channels"])).astype(np.uint8)
    with h5py.File(path, "w") as f:
        f["counts"] = counts
        f["counts"].attrs["bin_width_ms"] = model.config["bin_width_us"] / 1000


def decode(binaries, model_path, recording, out, mode, *, options, n_passes):
    """Least seconds of the whole program: start, reading, decoding, writing."""
    took = []
    for _ in range(n_passes):
        begin = time.perf_counter()
        subprocess.run([binaries / "latent-decode", "--model", model_path, "--mode", mode, "--in",
                        f"{recording}:/counts", "--out", out, *options], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        took.append(time.perf_counter() - begin)
    return min(took)


def peers(model_path, recording, out, n_passes):
    """{variant: least seconds of the computation alone}, on all processors."""
    done = subprocess.run(
        ["/usr/bin/python3", HERE / "peer_offline.py", "--model", model_path, "--counts", recording,
         "--out", out, "--threads", str(len(os.sched_getaffinity(0))), "--passes", str(n_passes)],
        check=True, capture_output=True, text=True)
    lines = (line.split(" ", 1) for line in done.stdout.splitlines())
    return {f"PyTorch, {name}": float(seconds) for seconds, name in lines}


def measure_row(row, binaries, quick):
    n_passes, n_trials = (2, QUICK_TRIALS) if quick else (5, N_TRIALS)
    with tempfile.TemporaryDirectory(prefix="latent-offline.") as folder:
        folder = pathlib.Path(folder)
        model, model_path, _ = prepare(row, folder)
        recording, out, theirs = folder / "in.h5", folder / "out.h5", folder / "rates.npy"
        write_recording(recording, row, model, n_trials)
        seconds = {}
        for options in PATHS[row.name]:
            name = " ".join(("latent-decode", *options))
            seconds[name] = decode(binaries, model_path, recording, out, row.mode, options=options,
                                   n_passes=n_passes)
        seconds.update(peers(model_path, recording, theirs, n_passes))
        with h5py.File(out) as f:
            ours = f["rates"][()] * model.config["bin_width_us"] * 1e-6
        difference = float(np.abs(ours / np.load(theirs) - 1).max())
    n_bins = n_trials * row.n_bins
    return {"n_bins": n_bins, "seconds": seconds, "largest_relative_difference": difference}


def print_row(row, result):
    print(f"  {row.name}: {result['n_bins']} bins; largest relative difference "
          f"{result['largest_relative_difference']:.1e}")
    ours = result["seconds"]["latent-decode"]
    for name, seconds in result["seconds"].items():
        print(f"    {name:<28}{seconds:>9.3f} s{1e6 * seconds / result['n_bins']:>9.2f} us a bin"
              f"{seconds / ours:>8.2f}", flush=True)


def measure(options, quick):
    """Everything, printed and as it goes into the JSON."""
    print("\noffline: latent-decode as a whole program; PyTorch without start, reading and writing "
          "(ratio to latent-decode)")
    report = {}
    for row in (row for row in ROWS if row.name in PATHS):
        report[row.name] = measure_row(row, options.bin, quick)
        print_row(row, report[row.name])
    return report

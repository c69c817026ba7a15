"""How the cost of a step grows: against channels, window or trial, and layers. latentd alone."""
import os
import pathlib
import tempfile

import numpy as np

import memory
import random_models
from rows import Row, poisson, prepare
from workers import Worker, latentd_command

CHANNELS = (96, 192, 384, 768, 1536, 3072, 6144, 12288, 16384)
N_BINS = 30


def ndt_make(**sizes):
    def make(path, generator):
        return random_models.ndt(path, generator, heads=2, hidden=128, **sizes)
    return make


def by_channels(n):
    """{model: (function that writes it, mode, bins of a trial)} for n channels."""
    return {
        "gru, 128 units": (lambda path, generator: random_models.gru(
            path, generator, n_channels=n, hidden=128), "causal", 0),
        "wiener, 10 bins": (lambda path, generator: random_models.wiener(
            path, generator, n_channels=n, lags=10), "causal", 0),
        "kalman, 5 states": (lambda path, generator: random_models.kalman_given(
            path, generator, n_channels=n, n_states=5), "causal", 0),
        "ndt, width 128, 4 layers": (ndt_make(n_channels=n, width=128, layers=4,
                                              trial_bins=N_BINS, modes=["A"]), "A", N_BINS),
    }


def by_window(n):
    return {mode: (ndt_make(n_channels=202, layers=4, trial_bins=n, modes=[mode]), mode,
                   n if mode == "A" else 0) for mode in ("A", "C")}


def by_layers(n):
    return {mode: (ndt_make(n_channels=202, layers=n, trial_bins=N_BINS, modes=[mode]), mode,
                   N_BINS if mode == "A" else 0) for mode in ("A", "C")}


SWEEPS = {
    "channels": ("every rate predicted, 0.2 counts a bin", CHANNELS, by_channels),
    "window": ("ndt, 202 channels, 4 layers; A: mean over a trial of so many bins, C: window",
               (16, 32, 64, 128, 256), by_window),
    "layers": (f"ndt, 202 channels, {N_BINS} bins", (1, 2, 4, 6, 8), by_layers),
}


def median_step_us(name, make, mode, trial, n_channels, *, binaries, n_rounds):
    """(median time of a step, microseconds, back to back after one pass to warm up; bytes of the
    weights)."""
    n_bins = max(N_BINS, trial)
    row = Row(name, "", make, mode, n_bins, trial, poisson(n_channels, n_bins), None)
    with tempfile.TemporaryDirectory(prefix="latent-bench.") as folder:
        model, model_path, counts_path = prepare(row, folder)
        command = latentd_command(pathlib.Path(binaries), row, model_path, counts_path)
        worker = Worker("latentd", "", command, max(os.sched_getaffinity(0)))
        worker.run(n_bins)
        times = np.array([worker.run(n_bins) for _ in range(n_rounds)])
        worker.close()
    return (float(np.median(times, axis=0).mean()) / 1e3,
            sum(array.nbytes for array in model.weights.values()))


def exponents(sizes, times):
    """Growth between neighbours: the time goes with this power of the size; 1 is linear."""
    return list(np.diff(np.log(times)) / np.diff(np.log(sizes)))


def growth(sizes, times, n_bytes, binaries):
    """Over the upper half of the sizes, where a step is more than its fixed costs: the exponent by
    least squares; time per channel at the end in multiples of that at the start; and the same
    multiple for reading all weights and nothing else, which grows when they outgrow a cache."""
    half = len(sizes) // 2
    exponent = np.polyfit(np.log(sizes[half:]), np.log(times[half:]), 1)[0]
    first_us, last_us = (memory.read_us(binaries, n_bytes[i]) for i in (half, -1))
    ratio = sizes[half] / sizes[-1]
    return {"from": sizes[half], "to": sizes[-1], "exponent": float(exponent),
            "per_channel": times[-1] / times[half] * ratio,
            "reading_per_channel": last_us / first_us * ratio,
            "from_bytes": n_bytes[half], "to_bytes": n_bytes[-1]}


def print_growth(name, steps, total):
    print(f"  {name}: exponent of each step {' '.join(f'{value:.2f}' for value in steps)}; from "
          f"{total['from']} to {total['to']} {total['exponent']:.2f}, time per channel x "
          f"{total['per_channel']:.2f}; of reading the weights ({total['from_bytes'] / 1e6:.1f} to "
          f"{total['to_bytes'] / 1e6:.1f} MB) x {total['reading_per_channel']:.2f}", flush=True)


def measure_sweep(what, binaries, n_rounds):
    """{"us": {model: [us for each size]}}, printed as a table."""
    about, sizes, models = SWEEPS[what]
    table, n_bytes = {}, {}
    print(f"\ncost of a step against {what} (us): {about}")
    print(f"  {what:<10}" + "".join(f"{name:>26}" for name in models(sizes[0])), flush=True)
    for size in sizes:
        n_channels = size if what == "channels" else 202
        row = []
        for name, (make, mode, trial) in models(size).items():
            took_us, size_bytes = median_step_us(what, make, mode, trial, n_channels,
                                                 binaries=binaries, n_rounds=n_rounds)
            row.append(took_us)
            table.setdefault(name, []).append(took_us)
            n_bytes.setdefault(name, []).append(size_bytes)
        print(f"  {size:<10}" + "".join(f"{value:>26.2f}" for value in row), flush=True)
    result = {"sizes": list(sizes), "us": table}
    if what == "channels":
        result["growth"] = measure_growth(sizes, table, n_bytes, binaries)
    return result


def measure_growth(sizes, table, n_bytes, binaries):
    """{model: growth}, printed: how far from linear, and whether the caches are why."""
    report = {}
    for name, times in table.items():
        report[name] = growth(sizes, times, n_bytes[name], binaries)
        print_growth(name, exponents(sizes, times), report[name])
    return report


def measure(options, quick):
    return {what: measure_sweep(what, options.bin, 3 if quick else 15) for what in SWEEPS}

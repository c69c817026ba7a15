"""latentd as a process: from its start to the known answer and to READY, and how much memory it
keeps resident."""
import dataclasses
import json
import pathlib
import subprocess
import tempfile
import time

import h5py
import numpy as np

import random_models
from latent_models.common.exporting import SELFTEST_BINS
from rows import ROWS, prepare

MB = 2**20
START_GOAL_MS = 150
SPARE_MB = 32  # resident beside twice the weights
SIZES = {"f32": 4, "bf16": 2, "int8": 1}  # bytes of a weight
PATHS = ("m700-cached", "m700-bf16", "m700-int8", "lfads", "gru-sparse")
TRIAL_BINS = 90


def m700(modes):
    """m700 as models/ndt/export.py writes it: as many bins of known answer, in each mode."""
    def make(path, generator):
        return random_models.ndt(path, generator, n_channels=202, layers=6, heads=2, hidden=128,
                                 trial_bins=TRIAL_BINS, modes=modes, answer_bins=SELFTEST_BINS)
    row = next(row for row in ROWS if row.name == "m700-cached")
    return dataclasses.replace(row, name=f"m700 {' '.join(modes)}", make=make)


def start_rows():
    return [m700(["A"]), m700(["A", "C", "trial"]), *(row for row in ROWS if row.name == "lfads")]


def write_config(folder, row, model_path):
    path = pathlib.Path(folder) / "latentd.conf"
    path.write_text(f"""[latentd]
control = ipc://{folder}/control
[stream wire]
model = {model_path}
mode = {row.mode}
input = ipc://{folder}/in
input-socket = pull
output = ipc://{folder}/out
# Bins come as fast as they are taken: nothing is late here.
missing-after-ms = 60000
lease-ms = 61000
publish-late = yes
safe-start = no
""")
    return path


# ---- start ----

def until_end(command):
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def until_ready(command):
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.DEVNULL) as process:
        line = process.stdout.readline()
        took = time.perf_counter() - begin
        process.terminate()
    if not line.startswith("READY"):
        raise SystemExit(f"latentd did not start: {line!r}")
    return took


def measure_start(row, binaries, n_rounds):
    """Medians, milliseconds: latentd --version (exec and linking alone), --check (until the model
    is verified and the decoder there), READY."""
    with tempfile.TemporaryDirectory(prefix="latent-start.") as folder:
        _, model_path, _ = prepare(row, folder)
        config = write_config(folder, row, model_path)
        program = str(binaries / "latentd")
        rounds = [(until_end([program, "--version"]), until_end([program, "--check", config]),
                   until_ready([program, config])) for _ in range(n_rounds)]
    exec_ms, checked_ms, ready_ms = np.median(rounds, axis=0) * 1e3
    return {"exec_ms": exec_ms, "checked_ms": checked_ms, "ready_ms": ready_ms}


def print_start(name, result):
    print(f"  {name:<16} program {result['exec_ms']:.1f}, known answer passed "
          f"{result['checked_ms']:.1f}, READY after the admission run {result['ready_ms']:.1f} ms: "
          f"{'met' if result['checked_ms'] <= START_GOAL_MS else 'NOT met'}", flush=True)


# ---- resident memory ----

def resident_mb(pid):
    """(now, largest so far), MB."""
    values = {}
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        values[name] = rest
    return tuple(int(values[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))


def write_recording(path, n_channels, n_trials):
    """Trials for latent-replay, each opening with a trial_start."""
    counts = np.random.default_rng(7).poisson(0.2, (n_trials, TRIAL_BINS, n_channels))
    with h5py.File(path, "w") as f:
        f["counts"] = counts.astype(np.uint8)


def replay(binaries, folder, recording, bin_ms):
    """Send the recording as fast as it is taken."""
    subprocess.run([binaries / "latent-replay", "--in", f"{recording}:/counts", "--bin-ms",
                    str(bin_ms), "--stream", "wire", "--bins", f"ipc://{folder}/in",
                    "--full-speed"], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def n_decoded(binaries, folder):
    """Bins decoded once no more come: latent-replay leaves behind what a slow model lets queue."""
    before, now = -1, 0
    while now > before:
        time.sleep(0.5)
        before, now = now, decoded_so_far(binaries, folder)
    return now


def decoded_so_far(binaries, folder):
    done = subprocess.run([binaries / "latentctl", "--control", f"ipc://{folder}/control",
                           "status", "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["streams"][0]["bins"]["decoded"]


def measure_resident(row, binaries, n_trials):
    """MB: weights at this precision, resident at READY and after n_trials trials, the peak."""
    with tempfile.TemporaryDirectory(prefix="latent-start.") as folder:
        model, model_path, _ = prepare(row, folder)
        recording = pathlib.Path(folder) / "recording.h5"
        write_recording(recording, model.config["n_channels"], n_trials)
        config = write_config(folder, row, model_path)
        with subprocess.Popen([binaries / "latentd", config], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.DEVNULL) as process:
            process.stdout.readline()
            ready_mb, _ = resident_mb(process.pid)
            replay(binaries, folder, recording, model.config["bin_width_us"] / 1000)
            n_bins = n_decoded(binaries, folder)
            after_mb, peak_mb = resident_mb(process.pid)
            process.terminate()
    n_weights = sum(array.size for array in model.weights.values())
    weights_mb = n_weights * SIZES[row.precision] / MB
    return {"weights_mb": weights_mb, "ready_mb": ready_mb, "after_mb": after_mb,
            "peak_mb": peak_mb, "n_bins": n_bins, "goal_mb": 2 * weights_mb + SPARE_MB}


def print_resident(name, result):
    print(f"  {name:<16} weights {result['weights_mb']:.1f}, at READY {result['ready_mb']:.1f}, "
          f"after {result['n_bins']} bins {result['after_mb']:.1f}, peak {result['peak_mb']:.1f}; "
          f"at most {result['goal_mb']:.1f}: "
          f"{'met' if result['after_mb'] <= result['goal_mb'] else 'NOT met'}", flush=True)


def measure(options, quick):
    """Everything, printed and as it goes into the JSON."""
    report = {"start": {}, "resident": {}}
    print(f"\nfrom the start of latentd (medians; {SELFTEST_BINS} bins of known answer a mode; "
          f"goal {START_GOAL_MS} ms until they have passed)")
    for row in start_rows():
        report["start"][row.name] = measure_start(row, options.bin, 3 if quick else 15)
        print_start(row.name, report["start"][row.name])
    print(f"\nresident memory of latentd, MB (at most twice the weights and {SPARE_MB})")
    n_trials = 20 if quick else 100
    for row in (row for row in ROWS if row.name in PATHS):
        report["resident"][row.name] = measure_resident(row, options.bin, n_trials)
        print_resident(row.name, report["resident"][row.name])
    return report

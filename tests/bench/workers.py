"""Worker processes: one implementation of one row each, started once, taking turns on one core."""
import os
import pathlib
import subprocess

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
# Eigen's widest alignment of RTNeural; its own limit forbids fixed sizes above 128 KB.
RTNEURAL_FLAGS = ("-DRTNEURAL_USE_EIGEN=1", "-DRTNEURAL_DEFAULT_ALIGNMENT=32",
                  "-DEIGEN_STACK_ALLOCATION_LIMIT=1048576")
RTNEURAL_WEIGHTS = ("gru.weight_ih_l0", "gru.weight_hh_l0", "gru.bias_ih_l0", "gru.bias_hh_l0",
                    "rate.weight", "rate.bias")


class Absent(Exception):
    """This implementation cannot be measured here; the text says why."""


def schedule(cpu, priority=0):
    """Put this process on one CPU, under SCHED_FIFO if a priority is given."""
    os.sched_setaffinity(0, {cpu})
    if priority:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))


class Worker:
    """A process that speaks the protocol of README.md. about: what it said of itself. priority:
    of SCHED_FIFO, 0: ordinary scheduling."""

    def __init__(self, kind, variant, command, cpu, priority=0):
        self.kind, self.variant = kind, variant
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=environment, preexec_fn=lambda: schedule(cpu, priority))
        self.about = self.answer("ready")

    def answer(self, word):
        """The rest of the next line, which must begin with word."""
        line = self.process.stdout.readline().strip()
        first, _, rest = line.partition(" ")
        if first == word:
            return rest
        self.close()
        raise Absent(rest if first == "absent" else f"the worker ended or answered '{line[:200]}'")

    def ask(self, command, word):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.answer(word)

    def run(self, n_steps, pace_ns=0, flush=False, warm_ns=0):
        """Nanoseconds of each of the next n_steps [n_steps]."""
        command = f"run {n_steps} {pace_ns} {flush:d}" + (f" {warm_ns}" if warm_ns else "")
        return np.array(self.ask(command, "times").split(), np.float64)

    def values(self):
        """Expected counts per bin (or readout) of the last step."""
        return np.array(self.ask("values", "values").split(), np.float64)

    def flush(self):
        """Bytes that flushing the caches evicts."""
        return int(self.ask("flush", "flushed"))

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=20)
        self.process.stdout.close()


def latentd_command(binaries, row, model_path, counts_path):
    return [binaries / "bench_step", "--model", model_path, "--mode", row.mode,
            "--bins", row.n_bins, "--trial", row.trial, "--counts", counts_path]


def pair_command(binaries, row, model_path, counts_path, cpus, *, n_rounds, n_messages):
    """Two lines on two processors, n_messages a turn."""
    return [binaries / "bench_pair", *latentd_command(binaries, row, model_path, counts_path)[1:],
            "--cpu-a", cpus[0], "--cpu-b", cpus[1], "--rounds", n_rounds, "--messages", n_messages]


def memory_command(binaries, n_bytes, n_streams):
    return [binaries / "bench_memory", "--bytes", int(n_bytes), "--streams", n_streams]


def ort_command(binaries, library, stem):
    return [binaries / "bench_ort", "--library", library, "--graph", f"{stem}.onnx",
            "--plan", f"{stem}.plan"]


def torch_command(row, style, model_path, counts_path):
    return ["/usr/bin/python3", HERE / "peer_torch.py", "--model", model_path,
            "--counts", counts_path, "--kind", row.torch, "--style", style]


def rtneural_command(headers, row, model, counts_path, folder):
    """Build RTNeural's layers in the sizes of this model, for this machine; headers: the folder
    that has RTNeural/ in it, or None."""
    if not headers:
        raise Absent("no headers given (LATENT_RTNEURAL=FOLDER)")
    program, weights = (pathlib.Path(folder) / f"rtneural{end}" for end in ("", ".weights"))
    sizes = {"N_CHANNELS": model.config["n_channels"], "HIDDEN": model.hyper["hidden"],
             "N_RATES": len(model.weights["rate.bias"])}
    build = ["g++", "-O3", "-march=native", "-DNDEBUG", *RTNEURAL_FLAGS,
             *(f"-D{name}={size}" for name, size in sizes.items()), f"-I{HERE}", f"-I{headers}",
             f"-I{headers}/modules/Eigen", "-I/usr/include/eigen3", HERE / "peer_rtneural.cpp",
             "-x", "c", HERE / "worker.c", "-x", "c", HERE / "flush.c", "-o", program]
    try:
        subprocess.run(build, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise Absent("its headers need g++") from error
    except subprocess.CalledProcessError as error:
        wrong = [line for line in error.stderr.splitlines() if "error" in line]
        raise Absent(f"g++ with the headers of {headers}: {' '.join(wrong[:1])}") from error
    np.concatenate([model.weights[name].ravel() for name in RTNEURAL_WEIGHTS]).tofile(weights)
    return [program, "--weights", weights, "--counts", counts_path, "--bins", row.n_bins]


def ort_stems(row, model, counts_path, folder):
    """Write each graph of the row; yields (variant, stem of its files)."""
    try:
        import graphs
        import graphs_lfads
    except ImportError as error:
        raise Absent(f"graphs cannot be written: {error} (Debian: python3-onnx)") from error
    for number, (builder, variant) in enumerate(row.onnx):
        stem = pathlib.Path(folder) / f"{row.name}.{number}"
        build = getattr(graphs, builder, None) or getattr(graphs_lfads, builder)
        build(str(stem), variant, model, str(counts_path), row.n_bins)
        yield variant, stem

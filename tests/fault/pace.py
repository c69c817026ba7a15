#!/usr/bin/python3
"""A stream at real pace, and why each bin that missed its budget did: histograms and reasons.

A recording of random counts is sent by latent-replay at true pace into a real latentd; a consumer
takes every frame. Nothing is asserted about times: what they are depends on the machine, which the
report names. The ledgers must balance and every bin must have come out."""
import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import h5py
import machine
import numpy as np

import chain
from chain import pb, rig
from rows_start import joined, parts_of

SAMPLE_S = 0.005
STEAL_TOLD_NS = 20_000_000  # the kernel counts it in ticks
QUANTILES = ((50, "p50"), (99, "p99"), (99.9, "p99.9"), (100, "max"))
HOG = "while True: pass"


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600, help="how long (default: 600)")
    parser.add_argument("--bin-ms", type=float, default=1, help="bin width (default: 1)")
    parser.add_argument("--budget-ms", default="auto", help="default: half a bin, at most 5")
    parser.add_argument("--model", type=pathlib.Path,
                        default=rig.SOURCE / "models/gru/reach.safetensors",
                        help="its bin width is changed to the one asked for")
    parser.add_argument("--hog", action="store_true", help="two busy processes per CPU beside it")
    parser.add_argument("--priority", default="none",
                        help="realtime-priority of latentd, 1 to 99, and of the source")
    return parser.parse_args()


def write_model(path, model, bin_us):
    header, tensors = parts_of(model.read_bytes())
    config = json.loads(header["__metadata__"]["latent.config"])
    config["bin_width_us"] = bin_us
    header["__metadata__"]["latent.config"] = json.dumps(config)
    path.write_bytes(joined(header, tensors))
    return config["n_channels"]


def write_recording(path, n_channels, bin_ms):
    counts = np.random.default_rng(1).poisson(0.02 * bin_ms, (20000, n_channels))
    with h5py.File(path, "w") as file:
        file["counts"] = counts.astype(np.uint8)
        file.attrs["bin_width_ms"] = bin_ms


class Waiting(threading.Thread):
    """Why the data thread did not run, sampled: (CLOCK_MONOTONIC, ns that it was ready and had no
    CPU, ms that the host gave our CPUs to others)."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        thread = next(task for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
                      if (task / "comm").read_text().strip() == "data-0")
        self.path = thread / "schedstat"
        self.samples = []
        self.ended = threading.Event()

    def run(self):
        while not self.ended.wait(SAMPLE_S):
            try:
                waited = int(self.path.read_text().split()[1])
            except OSError:
                return
            self.samples.append((time.monotonic_ns(), waited, stolen_ms()))

    def between(self, begin_ns, end_ns):
        """(ns without a CPU, ms stolen) in the samples around this time."""
        times = [sample[0] for sample in self.samples]
        first = max(np.searchsorted(times, begin_ns) - 1, 0)
        last = min(np.searchsorted(times, end_ns + STEAL_TOLD_NS), len(times) - 1)
        before, after = self.samples[first], self.samples[last]
        return after[1] - before[1], after[2] - before[2]


def stolen_ms():
    """Time that the host of this virtual machine gave to others, over all CPUs."""
    words = pathlib.Path("/proc/stat").read_text().split(maxsplit=9)
    return int(words[8]) * 1000 // os.sysconf("SC_CLK_TCK")


def receive(consumer, process):
    """Every frame until the source has ended and nothing comes any more."""
    frames = []
    while process.poll() is None or consumer.socket.poll(1000):
        if not consumer.socket.poll(100):
            continue
        topic, payload = consumer.socket.recv_multipart()
        if topic == b"arm/frame":
            f = pb.Frame.FromString(payload)
            frames.append((f.seq, f.t_source_ns, f.t_recv_ns, f.t_publish_ns, f.flags))
    return frames


def reason(i, frames, waiting, budget_ns):
    """Why frame i missed its budget."""
    _, _, t_recv, t_publish, _ = frames[i]
    before = sum(1 for other in frames[max(0, i - 1000):i] if other[2] == t_recv)
    if before:
        return "waited behind other bins of its wake"
    if not waiting.samples:
        return "not known: this kernel has no schedstat"
    without_cpu, stolen = waiting.between(t_recv, t_publish)
    if without_cpu >= t_publish - t_recv - budget_ns:
        return "the CPU was taken away: the thread was ready and waited for it"
    if stolen:
        return "the host of this virtual machine took the CPU (steal time)"
    return "not known: the machine stood still unseen, or the step was slow"


def print_quantiles(name, values_ns):
    if len(values_ns):
        numbers = (f"{label} {np.percentile(values_ns, q) / 1e3:10.1f}" for q, label in QUANTILES)
        print(f"  {name:26}", "  ".join(numbers), "us")


def print_histogram(values_ns):
    """Bins by powers of two of a microsecond."""
    powers = np.ceil(np.log2(np.maximum(values_ns, 1000) / 1000)).astype(int)
    for power, n in sorted(collections.Counter(powers.tolist()).items()):
        print(f"    up to {2**power:8d} us {n:9d}")


def report(options, frames, waiting, status):
    seqs, t_source, t_recv, t_publish, flags = (np.array(c) for c in zip(*frames))
    latency = t_publish - t_recv
    late = np.flatnonzero((flags & rig.LATE) != 0)
    print(f"{len(frames)} frames of {status['bins']['decoded']} bins decoded, "
          f"{status['sequence']['lost']} lost, {status['budget_misses']} over the budget, "
          f"load {os.getloadavg()[0]:.1f}")
    print_quantiles("end of bin to arrival", t_recv - t_source)
    print_quantiles("end of bin to publication", t_publish - t_source)
    print_quantiles("arrival to publication", latency)
    print_histogram(latency)
    for name, t in status["times_ns"].items():
        print(f"  latentd: {name:15} p50 {t['p50'] / 1e3:10.1f}  p99 {t['p99'] / 1e3:10.1f}  "
              f"p99.9 {t['p99.9'] / 1e3:8.1f}  worst {t.get('max', t.get('min')) / 1e3:8.1f} us")
    reasons = collections.Counter(reason(i, frames, waiting, status["budget_ns"])
                                  for i in late)
    for text, n in reasons.most_common():
        print(f"  missed: {n:7d}  {text}")
    return len(seqs) == status["bins"]["decoded"] == status["frames"]["published"]


def run(options, c):
    n_channels = write_model(c.folder / "model.safetensors", options.model,
                             round(options.bin_ms * 1000))
    write_recording(c.folder / "rec.h5", n_channels, options.bin_ms)
    c.rig.start()
    consumer = c.rig.consumer("arm")
    waiting = Waiting(c.rig.process.pid)
    waiting.start()
    if options.hog:
        for _ in range(2 * os.cpu_count()):
            c.own(chain.Child([sys.executable, "-c", HOG]))
    before = [] if options.priority == "none" else ["chrt", "-f", options.priority]
    replay = subprocess.Popen(
        [*before, rig.BIN / "latent-replay", "--in", f"{c.folder}/rec.h5:/counts",
         "--stream", "arm",
         "--bins", f"ipc://{c.folder}/in", "--loop", "--stop-after", str(options.seconds)])
    stolen = stolen_ms()
    frames = receive(consumer, replay)
    print(f"the host took {stolen_ms() - stolen} ms of CPU time")
    waiting.ended.set()
    status = c.rig.status()
    for note in status["notes"]:
        print("  note:", note)
    return report(options, frames, waiting, status["streams"]["arm"])


def main():
    options = parse()
    keys = {"budget_ms": options.budget_ms, **chain.STEADY}
    print(f"{machine.cpu_model()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; bins of "
          f"{options.bin_ms:g} ms for {options.seconds:g} s, {options.model.name}, "
          f"{'with' if options.hog else 'without'} CPU hog, realtime-priority {options.priority}",
          flush=True)
    with chain.Chain(stream=keys, realtime_priority=options.priority) as c:
        return 0 if run(options, c) else 1


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
"""The particle filter with its genuine weights, live: a real MC_Maze trial at true pace through
latentd gives what latent-decode gives, bit for bit, although every bin draws random numbers.

161 bins of 20 ms of the first 137 units; which units the weights were trained on is not published,
so this is about numbers, not about decoding. Latency and misses are reported, not judged.
"""
import itertools
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import h5py
import numpy as np

import latentd
from test_real_input import BIN, MAZE, SHARED, SOURCE, run

WEIGHTS = SHARED / "known_answers" / "lowrank_smc_mcmaze.h5"
BIN_MS, N_UNITS, N_PARTICLES = 20, 137, 100


def write_counts(path):
    """The trial's 1 ms samples summed to bins -> counts [T, C]."""
    with h5py.File(MAZE) as f:
        raw = f["spikes"][()]
    counts = raw[:len(raw) // BIN_MS * BIN_MS].reshape(-1, BIN_MS, raw.shape[1]).sum(1)
    with h5py.File(path, "w") as f:
        f["counts"] = counts[:, :N_UNITS].astype(np.uint8)
        f["counts"].attrs["bin_width_ms"] = float(BIN_MS)
    return counts[:, :N_UNITS]


class RealFilter(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="latent-real-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.model, self.source = self.folder / "smc.safetensors", self.folder / "maze.h5"
        self.counts = write_counts(self.source)
        run("/usr/bin/python3", SOURCE / "models" / "smc" / "export.py", WEIGHTS, self.model,
            "--particles", N_PARTICLES)
        self.control, self.out = (f"ipc://{self.folder}/{name}" for name in ("control", "out"))
        # Frames of bins only, however loaded the machine is: neither missing nor too old.
        (self.folder / "latentd.conf").write_text(
            f"[latentd]\ncontrol = {self.control}\n[stream maze]\nmodel = {self.model}\n"
            "on-missing = skip\nlease-ms = 3600000\npublish-late = yes\n"
            f"input-socket = pull\ninput = ipc://{self.folder}/in\noutput = {self.out}\n")
        self.start_daemon()

    def start_daemon(self):
        daemon = subprocess.Popen([BIN / "latentd", self.folder / "latentd.conf"],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(daemon.communicate, timeout=20)
        self.addCleanup(daemon.terminate)
        self.assertTrue(any("READY" in line for line in daemon.stdout), "latentd ended early")

    def replay(self):
        """The trial at true pace -> its frames."""
        with latentd.Subscriber(self.out, "maze") as subscriber:
            for _ in range(60):  # connected, once the stream's info comes
                subscriber.latest(timeout=0.5)
                if subscriber.info is not None:
                    break
            run(BIN / "latent-replay", "--in", f"{self.source}:/counts", "--stream", "maze",
                "--bins", f"ipc://{self.folder}/in")
            return list(itertools.islice(subscriber.frames(timeout=30.0), len(self.counts)))

    def test_live_equals_offline(self):
        frames = self.replay()
        self.assertEqual([f.seq for f in frames], list(range(len(self.counts))))
        offline = self.folder / "offline.h5"
        run(BIN / "latent-decode", "--model", self.model, "--in", f"{self.source}:/counts", "--out",
            offline)
        with h5py.File(offline) as f:
            for group in ("latents", "rates"):
                live = np.stack([getattr(frame, group) for frame in frames]).astype(np.float32)
                self.assertTrue(np.isfinite(live).all())
                self.assertEqual(live.tobytes(), f[group][()].astype(np.float32).tobytes(), group)
        warm = [bool(frame.flags & latentd.Flag.WARMUP) for frame in frames]
        self.assertEqual(warm, [True] * 17 + [False] * (len(frames) - 17))
        self.report()

    def report(self):
        text = run(BIN / "latentctl", "--control", self.control, "status", "--json")
        stream = json.loads(text)["streams"][0]
        self.assertTrue(all(stream["balanced"].values()), stream)
        times = stream["times_ns"]["latency"]
        print(f"smc, {N_PARTICLES} particles: latency p50 {times['p50'] / 1e3:.0f} us "
              f"p99 {times['p99'] / 1e3:.0f} us max {times['max'] / 1e3:.0f} us, budget misses "
              f"{stream['budget_misses']}", flush=True)


if __name__ == "__main__":
    if not MAZE.exists() or not WEIGHTS.exists():
        print(f"SKIP shared: {SHARED} has not the trial or the weights")
        sys.exit(77)
    unittest.main(verbosity=2)

#!/usr/bin/python3
"""Real recordings, live: fit a kalman and a gru to each, replay at true pace into latentd, and
compare with latent-decode on the same bins, bit for bit.

mc_maze_trial_1khz.h5: 182 units, 1 ms bins, looped for 60 s. hippocampus_wmaze.h5: 30 kHz spike
ticks of the good units from 115 to 175 s of the recording clock, 10 ms bins. Budget 1 ms. Latency
and misses are reported, not judged.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import h5py
import numpy as np

import latentd

SOURCE = pathlib.Path(os.environ["LATENT_SOURCE"])
BIN = pathlib.Path(os.environ["LATENT_BIN"])
SHARED = pathlib.Path(os.environ.get("LATENT_SHARED", SOURCE.parent / "shared"))
MAZE = SHARED / "data" / "mc_maze_trial_1khz.h5"
HIPPOCAMPUS = SHARED / "data" / "hippocampus_wmaze.h5"
SECONDS = int(os.environ.get("LATENT_REAL_SECONDS", "60"))

TICKS = ["--ticks", "--units", "/spike_unit", "--good", "/unit_good"]
RECORDINGS = {
    "maze": {
        "bin_ms": 1,
        "fit": ["--in", f"{MAZE}:/spikes", "--behaviour", f"{MAZE}:/hand_vel", "--bin-ms", "1",
                "--names", "vx,vy", "--unit", "mm/s"],
        "replay": ["--in", f"{MAZE}:/spikes", "--loop", "--seconds", str(SECONDS)],
        "n_bins": SECONDS * 1000,
    },
    "hippocampus": {
        "bin_ms": 10,
        "fit": ["--in", f"{HIPPOCAMPUS}:/spike_tick", *TICKS, "--behaviour",
                f"{HIPPOCAMPUS}:/position_xy", "--behaviour-ticks", "/position_tick",
                "--start", "115", "--seconds", "600", "--bin-ms", "10", "--names", "x,y",
                "--unit", "pixel"],
        "replay": ["--ticks", f"{HIPPOCAMPUS}:/spike_tick", "--units",
                   f"{HIPPOCAMPUS}:/spike_unit", "--good", f"{HIPPOCAMPUS}:/unit_good",
                   "--start", "115", "--seconds", str(SECONDS), "--bin-ms", "10"],
        "n_bins": SECONDS * 100,
    },
}
TRAINING = {"kalman": ["--order", "1"],
            "gru": ["--steps", "60", "--hidden", "48", "--window", "60"]}


def run(*command):
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if result.returncode:
        raise AssertionError(f"{' '.join(map(str, command))}\n{result.stdout}\n{result.stderr}")
    return result.stdout


def fit_model(folder, name, arch):
    """Train on the recording, export; -> model file."""
    checkpoint = folder / f"{name}-{arch}.{'pt' if arch == 'gru' else 'fit.safetensors'}"
    model = folder / f"{name}-{arch}.safetensors"
    run("/usr/bin/python3", SOURCE / "models" / arch / "train.py", *RECORDINGS[name]["fit"],
        *TRAINING[arch], "--force", "--out", checkpoint)  # decoded alike, however badly
    run("/usr/bin/python3", SOURCE / "models" / arch / "export.py", checkpoint, model)
    return model


class Collector(threading.Thread):
    """Every frame of one stream until the wanted number came or nothing comes any more."""

    def __init__(self, endpoint, stream, n_frames):
        super().__init__()
        self.subscriber = latentd.Subscriber(endpoint, stream, queue_frames=200000)
        self.n_frames = n_frames
        self.frames = []

    def run(self):
        for frame in self.subscriber.frames(timeout=30.0):
            self.frames.append(frame)
            if len(self.frames) == self.n_frames:
                return


class RealInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="latent-real-"))
        cls.streams = {}
        for name in RECORDINGS:
            for arch in TRAINING:
                cls.streams[f"{name}-{arch}"] = fit_model(cls.folder, name, arch)
        cls.control = f"ipc://{cls.folder}/control"
        text = f"[latentd]\ncontrol = {cls.control}\n"
        for stream, model in cls.streams.items():
            # Frames of bins only, however loaded the machine is: neither missing nor too old.
            text += (f"[stream {stream}]\nmodel = {model}\nbudget-ms = 1\ninput-socket = pull\n"
                     "on-missing = skip\nlease-ms = 3600000\npublish-late = yes\n"
                     "safe-start = no\nsafe-ramp-ms = none\n"
                     f"input = ipc://{cls.folder}/in-{stream}\noutput = ipc://{cls.folder}/out\n")
        (cls.folder / "latentd.conf").write_text(text)
        cls.daemon = subprocess.Popen([BIN / "latentd", cls.folder / "latentd.conf"],
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in cls.daemon.stdout:
            if "READY" in line:
                break
        threading.Thread(target=cls.daemon.stdout.read, daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.terminate()
        cls.daemon.wait(20)
        shutil.rmtree(cls.folder)

    def status(self):
        return json.loads(run(BIN / "latentctl", "--control", self.control, "status", "--json"))

    def replay_all(self):
        """All streams at once, at true pace; -> frames by stream."""
        collectors, replays = {}, []
        for stream in self.streams:
            recording = RECORDINGS[stream.split("-")[0]]
            collector = Collector(f"ipc://{self.folder}/out", stream, recording["n_bins"])
            collector.start()
            collectors[stream] = collector
        time.sleep(1.0)
        for stream in self.streams:
            recording = RECORDINGS[stream.split("-")[0]]
            replays.append(subprocess.Popen(
                [BIN / "latent-replay", *recording["replay"], "--stream", stream,
                 "--bins", f"ipc://{self.folder}/in-{stream}"], stderr=subprocess.PIPE, text=True))
        for replay in replays:
            text = replay.communicate()[1]
            self.assertEqual(replay.returncode, 0, text)
        for collector in collectors.values():
            collector.join()
        return collectors

    def decode_offline(self, stream):
        """latent-decode on the bins that were replayed; -> open HDF5 file."""
        name, out = stream.split("-")[0], self.folder / f"{stream}.h5"
        source = RECORDINGS[name]["replay"]
        if name == "maze":
            looped = self.folder / "looped.h5"
            with h5py.File(MAZE) as f, h5py.File(looped, "w") as g:
                n = RECORDINGS[name]["n_bins"]
                g["counts"] = np.resize(f["spikes"][()], (n, f["spikes"].shape[1]))
                g["counts"].attrs["bin_width_ms"] = 1.0
            source = ["--in", f"{looped}:/counts"]
        run(BIN / "latent-decode", "--model", self.streams[stream], *source, "--out", out)
        return h5py.File(out)

    def check_frames(self, stream, frames, offline):
        self.assertEqual([f.seq for f in frames], list(range(len(frames))), stream)
        groups = [g for g in ("latents", "rates", "readout") if g in offline]
        self.assertTrue(groups, stream)
        # Bins that came in a burst are LIMITED by the time that passed: latents and rates alone.
        whole = np.array([not f.flags & latentd.Flag.LIMITED for f in frames])
        self.assertTrue(whole.any(), stream)
        for group in groups:
            live = np.stack([getattr(f, group) for f in frames])
            rows = whole if group == "readout" else slice(None)
            expected = offline[group][()].astype(np.float32)
            self.assertEqual(live[rows].tobytes(), expected[rows].tobytes(),
                             f"{stream}: {group} differ between latentd and latent-decode")

    def test_live_equals_offline(self):
        collectors = self.replay_all()
        status = {s["name"]: s for s in self.status()["streams"]}
        for stream, collector in collectors.items():
            n_bins = RECORDINGS[stream.split("-")[0]]["n_bins"]
            self.assertEqual(len(collector.frames), n_bins, stream)
            self.assertEqual(collector.subscriber.lost, 0, stream)
            counters = status[stream]
            self.assertEqual(counters["bins"]["in"], n_bins)
            self.assertEqual(counters["bins"]["decoded"], n_bins)
            self.assertTrue(all(counters["balanced"].values()), counters)
            with self.decode_offline(stream) as offline:
                self.check_frames(stream, collector.frames, offline)
            times = counters["times_ns"]["latency"]
            print(f"{stream}: {n_bins} bins, latency p50 {times['p50'] / 1e3:.0f} us "
                  f"p99 {times['p99'] / 1e3:.0f} us p99.9 {times['p99.9'] / 1e3:.0f} us "
                  f"max {times['max'] / 1e3:.0f} us, misses of the 1 ms budget: "
                  f"{counters['budget_misses']}", flush=True)


if __name__ == "__main__":
    if not MAZE.exists() or not HIPPOCAMPUS.exists():
        print(f"SKIP shared: {MAZE.parent} has not the recordings")
        sys.exit(77)
    unittest.main(verbosity=2)

#!/usr/bin/python3
"""Logits, from a model file to a consumer: scores with labels, of this very bin or none. None in
WARMUP, BETWEEN, SAFE and HELD frames; the same live, offline, recorded, replayed and exported; and
what a stack says of its time (delay, every so many bins, the first) in Info."""
import importlib.util
import os
import subprocess
import threading
import types
import unittest

import h5py
import numpy as np

import daemon_rig as rig
import latentd
import record_rig as records
from latent_models.common import model_file
from latent_models.stack import reference
from latentd.frames import Frame, Info

BETWEEN = 1 << 15
C, ITEMS, STRIDE = 3, 3, 2
LABELS = ["AA", "B", "|"]
N_BINS = 14


def write_stack(path):
    """A window of three bins every second bin, a readout and logits of it -> Model."""
    g = np.random.default_rng(11)
    nodes = [{"kind": "window", "name": "w", "inputs": ["input"], "items": ITEMS, "stride": STRIDE},
             {"kind": "dense", "name": "v", "inputs": ["w"], "width": 1},
             {"kind": "dense", "name": "s", "inputs": ["w"], "width": len(LABELS)}]
    config = model_file.build_config(
        "stack", C, rig.BIN_US, ["causal"],
        {"nodes": nodes, "outputs": {"latents": "w", "readout": "v", "logits": "s"}},
        outputs=(C * ITEMS, 0, [model_file.readout_entry("v", "mm/s")], LABELS),
        licence="CC0-1.0", source="a test", checkpoint_sha256="0" * 64,
        channels=model_file.channel_table(np.ones(C), np.ones(C)))
    weights = {f"{name}.{what}": g.normal(size=shape).astype(np.float32)
               for name, n in (("v", 1), ("s", len(LABELS)))
               for what, shape in (("weight", (n, C * ITEMS)), ("bias", (n,)))}
    model = model_file.Model(config, weights)
    model_file.run_selftest(model, reference.run, 20)
    model_file.write_model(path, model)


class LogitsTest(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        self.model = self.rig.folder / "model.safetensors"
        write_stack(self.model)
        self.counts = np.random.default_rng(4).poisson(1, (N_BINS, C))

    def start(self, **keys):
        self.rig.configure({"arm": keys})
        self.rig.start()
        self.source, self.consumer = self.rig.source(), self.rig.consumer("arm")

    def send(self, first, end):
        for seq in range(first, end):
            self.source.send_multipart([b"arm/bins", rig.pack_bins(seq, self.counts[seq])])

    def frames(self, n):
        return [Frame.unpack(self.consumer.payload(), 0) for _ in range(n)]

    def offline(self):
        """latent-decode on the same bins -> {group: [T, .]}."""
        given, out = self.rig.folder / "counts.h5", self.rig.folder / "decoded.h5"
        with h5py.File(given, "w") as f:
            f["counts"] = self.counts
            f.attrs["bin_width_ms"] = rig.BIN_US / 1000
        subprocess.run([rig.BIN / "latent-decode", "--model", self.model, "--in",
                        f"{given}:/counts", "--out", out], check=True, capture_output=True)
        with h5py.File(out) as f:
            self.assertEqual(list(f["logits"].attrs["labels"]), LABELS)
            return {name: f[name][()] for name in f}

    def test_of_this_bin_or_none(self):
        """And what the others of the frame are then: a readout that stays, no latents."""
        self.start()
        self.send(0, N_BINS)
        offline = self.offline()
        for t, frame in enumerate(self.frames(N_BINS)):
            has_item = t >= ITEMS - 1 and (t - ITEMS + 1) % STRIDE == 0
            self.assertEqual(bool(frame.flags & rig.WARMUP), t < ITEMS - 1, t)
            self.assertEqual(bool(frame.flags & BETWEEN), t >= ITEMS - 1 and not has_item, t)
            self.assertEqual(frame.logits.size, len(LABELS) if has_item else 0, t)
            self.assertEqual(frame.latents.size, C * ITEMS if has_item else 0, t)
            self.assertTrue(np.array_equal(frame.readout, offline["readout"][t]), t)
            if has_item:
                self.assertTrue(np.array_equal(frame.logits, offline["logits"][t]), t)
            else:
                self.assertTrue(np.isnan(offline["logits"][t]).all(), t)

    def test_info(self):
        self.start()
        info = Info.unpack(self.consumer.info.SerializeToString())
        self.assertEqual(info.logits, LABELS)
        self.assertEqual((info.delay_bins, info.every_bins, info.first_bin), (0, 2, 2))
        status = self.rig.status()["streams"]["arm"]
        self.assertEqual((status["n_logits"], status["every_bins"]), (len(LABELS), 2))

    @unittest.skipIf(os.environ.get("LATENT_SANITIZE"), "Python cannot load a library so built")
    def test_in_python(self):
        """The binding says and gives the same."""
        offline = self.offline()
        with latentd.Decoder(self.model) as decoder:
            self.assertEqual(decoder.info.logits, tuple(LABELS))
            self.assertEqual((decoder.info.every_bins, decoder.info.first_bin), (2, 2))
            found = decoder.decode(self.counts).logits
            self.assertTrue(np.array_equal(found, offline["logits"], equal_nan=True))
            steps = [decoder.step(row).logits.size for row in self.counts]
            self.assertEqual(steps, [0, 0] + [len(LABELS), 0] * ((N_BINS - 2) // 2))

    def test_not_configured(self):
        """Then neither frames nor Info have any."""
        self.start(outputs="readout")
        self.assertEqual(list(self.consumer.info.logits), [])
        self.send(0, N_BINS)
        self.assertTrue(all(f.logits.size == 0 and f.readout.size == 1
                            for f in self.frames(N_BINS)))

    def test_none_in_safe(self):
        self.start()
        self.send(0, 3)
        self.assertEqual([f.logits.size for f in self.frames(3)], [0, 0, len(LABELS)])
        self.assertEqual(self.rig.ctl("safe", "arm", "on")[0], 0)
        self.send(3, 7)
        for frame in self.frames(4):
            self.assertTrue(frame.flags & rig.SAFE)
            self.assertEqual(frame.logits.size, 0)

    def test_none_in_held(self):
        """What stands for a bin that did not come has the readout of the last, never its logits."""
        self.start(on_missing="hold-frame", missing_after_ms=20)
        self.send(0, 3)
        seen = False  # a frame with logits, which HELD ones then repeat
        while True:
            frame = self.frames(1)[0]
            if frame.flags & rig.HELD:
                self.assertEqual(frame.logits.size, 0)
                self.assertEqual(frame.latents.size, C * ITEMS if seen else 0)
            if seen and frame.flags & rig.HELD:
                break
            seen = seen or frame.logits.size > 0

    def test_recorded(self):
        """Bit by bit in replay, and with their labels in the export."""
        path, out = self.rig.folder / "arm.record", self.rig.folder / "arm.h5"
        self.start()
        self.assertEqual(self.rig.ctl("record", "start", "arm", str(path))[0], 0)
        self.send(0, N_BINS)
        live = self.frames(N_BINS)
        self.assertEqual(self.rig.ctl("record", "stop", "arm")[0], 0)
        records.check_whole(path)
        subprocess.run([rig.BIN / "latentctl", "export", path, out], check=True)
        with h5py.File(out) as f:
            self.assertEqual(list(f["frames/logits"].attrs["labels"]), LABELS)
            for row, frame in zip(f["frames/logits"][()], live):
                self.assertTrue(np.isnan(row).all() if not frame.logits.size else
                                np.array_equal(row, frame.logits))


class ExampleTest(unittest.TestCase):
    """proto/examples/phonemes.py."""

    SCRIPT = rig.SOURCE / "proto" / "examples" / "phonemes.py"

    def taken(self, frames, labels=("BLANK", "AA", "B", "|")):
        """What Greedy makes of frames."""
        spec = importlib.util.spec_from_file_location("phonemes", self.SCRIPT)
        phonemes = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(phonemes)
        greedy = phonemes.Greedy(types.SimpleNamespace(logits=labels, every_bins=STRIDE))
        return [label for label in map(greedy.take, frames) if label]

    def test_greedy(self):
        """Repeats collapse before blanks are dropped; what is lost between two steps parts them."""
        def steps(*best):
            return [(STRIDE * k, c) for k, c in enumerate(best)]
        for given, expected in (
                (steps(0, 1, 1, 0, 2, 2, 3), ["AA", "B", "|"]),
                (steps(1, 0, 1), ["AA", "AA"]), (steps(0, 0), []), ([], []),
                ([(0, 1), (1, None), (2, 1)], ["AA"]),
                ([(0, 1), (4, 1), (6, 1)], ["AA", "AA"]), ([(0, 2), (0, 2)], ["B", "B"])):
            frames = [types.SimpleNamespace(epoch=1, seq=seq, logits=np.zeros(0) if best is None
                                            else np.eye(4)[best]) for seq, best in given]
            self.assertEqual(self.taken(frames), expected, given)

    def test_as_a_program(self):
        """What it prints of a stream is what the frames say."""
        the_rig = rig.Rig()
        self.addCleanup(the_rig.close)
        write_stack(the_rig.folder / "model.safetensors")
        the_rig.configure({"arm": {}})
        the_rig.start()
        source, consumer = the_rig.source(), the_rig.consumer("arm")
        endpoint = the_rig.status()["streams"]["arm"]["output"]
        program = subprocess.Popen([self.SCRIPT, endpoint, "arm"], stdout=subprocess.PIPE,
                                   text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        self.addCleanup(program.stdout.close)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        said, words, frames = threading.Event(), [], []

        def listen():
            for line in program.stdout:
                words.extend(line.split())
                if len(words) > 5:
                    said.set()

        threading.Thread(target=listen, daemon=True).start()
        rows = np.random.default_rng(6).poisson(1, (400, C))
        time_is_left = rig.deadline()
        while not said.is_set() and time_is_left():
            seq = len(frames)
            source.send_multipart([b"arm/bins", rig.pack_bins(seq, rows[seq % len(rows)])])
            frames.append(Frame.unpack(consumer.payload(), 0))
        self.assertTrue(said.is_set())
        expected, found = self.taken(frames, LABELS), words[1:6]  # the first may have begun before
        self.assertIn(found, [expected[k:k + 5] for k in range(len(expected))])


if __name__ == "__main__":
    unittest.main(verbosity=2)

#!/usr/bin/python3
"""Channels of a running latentd: masked by configuration and by control, told in frames and status,
recorded and the same again bit by bit; shown to people."""
import json
import pathlib
import time
import unittest

import numpy as np

import daemon_rig as rig
import latentd
import record_rig

LIBRARY = pathlib.Path(latentd.__file__).with_name("liblatent.so")
MASKED = 1 << 9
N_CHANNELS, BEFORE, AFTER = 8, 10, 10
MEAN = 1.0


class NormaliseTest(unittest.TestCase):
    """Mean and sd that follow the bins, by order and in the record."""

    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        self.entry = {"kind": "ewma", "tau_s": 0.5, "mean": [1.0] * N_CHANNELS,
                      "sd": [2.0] * N_CHANNELS}
        rig.write_model(self.rig.folder / "model.safetensors", N_CHANNELS, normalise=self.entry)

    def ctl(self, act, *file):
        code, out, err = self.rig.ctl("normalise", "arm", act, *file)
        self.assertEqual(code, 0, err)
        return out

    def test_frozen_thawed_reset(self):
        record = self.rig.folder / "a.record"
        self.rig.configure({"arm": {"record": record}})
        self.rig.start()
        source, consumer = self.rig.source(), self.rig.consumer("arm")
        key = rig.Normaliser({"normalise": self.entry, "bin_width_us": rig.BIN_US})
        rows, seq, given = np.random.default_rng(2).integers(0, 5, (40, N_CHANNELS)), 0, []
        for version, (act, words) in enumerate((
                (None, ""), ("freeze", "normalised by a mean and sd that stay"),
                ("thaw", "that follow its bins"), ("reset", "of its model file"))):
            if act:
                self.assertIn(words, self.ctl(act))
            if act == "reset":
                key.mean, key.sd = (x.copy() for x in key.start)
            for row in rows[10 * version:10 * version + 10]:
                source.send_multipart([b"arm/bins", rig.pack_bins(seq, [row])])
                seq += 1
                given.append(key.z(row.astype(float)).astype(np.float32))
                if act != "freeze":
                    key.follow(row.astype(float))
            frames = consumer.frames(10)
            self.assertEqual({f.normalise_version for f in frames}, {version})
            states, _ = rig.answer(given)
            for frame, state in zip(frames, states[-10:]):
                np.testing.assert_allclose(frame.latents, state, rtol=1e-5, atol=1e-6)
            self.assertEqual(self.rig.status()["streams"]["arm"]["normalise"],
                             "ewma, frozen" if act == "freeze" else "ewma")
        self.assertEqual(self.rig.stop(), 0)
        record_rig.check_whole(record)

    def send(self, source, consumer, seq, row):
        source.send_multipart([b"arm/bins", rig.pack_bins(seq, [row])])
        return consumer.frames(1)[0]

    def test_saved_and_loaded(self):
        """From one session into the next: exactly, and again bit by bit."""
        record, kept = self.rig.folder / "a.record", self.rig.folder / "kept.json"
        self.rig.configure({"arm": {"record": record}})
        self.rig.start()
        source, consumer = self.rig.source(), self.rig.consumer("arm")
        key = rig.Normaliser({"normalise": self.entry, "bin_width_us": rig.BIN_US})
        rows, given = np.random.default_rng(3).integers(0, 9, (12, N_CHANNELS)).astype(float), []
        for seq, row in enumerate(rows[:6]):
            frame = self.send(source, consumer, seq, row)
            given.append(key.z(row).astype(np.float32))
            key.follow(row)
        out = self.ctl("save", kept)
        self.assertIn(f"mean and sd of {N_CHANNELS} channels, version 0", out)
        file = json.loads(kept.read_text())
        np.testing.assert_allclose(file["mean"], key.mean, rtol=1e-12)
        np.testing.assert_allclose(file["sd"], key.sd, rtol=1e-12)
        self.assertEqual((file["stream"], file["kind"], file["bin_width_us"]),
                         ("arm", "ewma", rig.BIN_US))
        self.ctl("reset")
        self.assertIn("mean and sd that were loaded", self.ctl("load", kept))
        again = self.rig.folder / "again.json"
        self.ctl("save", again)
        other = json.loads(again.read_text())
        self.assertEqual((other["mean"], other["version"]), (file["mean"], 2))
        np.testing.assert_allclose(other["sd"], file["sd"], rtol=1e-15)
        for seq, row in enumerate(rows[6:], 6):
            frame = self.send(source, consumer, seq, row)
            self.assertEqual(frame.normalise_version, 2)
            given.append(key.z(row).astype(np.float32))
            key.follow(row)
        states, _ = rig.answer(given)
        np.testing.assert_allclose(frame.latents, states[-1], rtol=1e-5, atol=1e-6)
        self.assertEqual(self.rig.stop(), 0)
        record_rig.check_whole(record)

    def test_trials(self):
        """Learnt at the ends of trials alone, and the same again bit by bit."""
        record = self.rig.folder / "a.record"
        self.entry = {"kind": "window-trials", "window_trials": 3, "min_trials": 2, "outlier": 10,
                      "mean": [1.0] * N_CHANNELS, "sd": [2.0] * N_CHANNELS}
        rig.write_model(self.rig.folder / "model.safetensors", N_CHANNELS, normalise=self.entry)
        self.rig.configure({"arm": {"record": record}})
        self.rig.start()
        source, consumer = self.rig.source(), self.rig.consumer("arm")
        key = rig.Normaliser({"normalise": self.entry, "bin_width_us": rig.BIN_US})
        trials = np.random.default_rng(5).integers(0, 9, (6, 7, N_CHANNELS))
        trials[1, 3, 2] = 200  # beyond 10 sd
        for k, rows in enumerate(trials):
            for t, row in enumerate(rows):
                marks = (latentd.Mark.TRIAL_START * (t == 0)
                         | latentd.Mark.TRIAL_END * (t == len(rows) - 1))
                source.send_multipart([b"arm/bins", rig.pack_bins(k * len(rows) + t, [row],
                                                                  marks=marks)])
            states, _ = rig.answer(key.run(rows.astype(float), rows, True))
            for t, frame in enumerate(consumer.frames(len(rows))):
                self.assertEqual(frame.normalise_version, k + (t == len(rows) - 1))
                np.testing.assert_allclose(frame.latents, states[t], rtol=1e-5, atol=1e-6)
        self.assertEqual(self.rig.stop(), 0)
        record_rig.check_whole(record)

    def test_files_that_cannot_be(self):
        """Each is refused in one line, and nothing changes."""
        kept = self.rig.folder / "kept.json"
        self.rig.configure({"arm": {}})
        self.rig.start()
        self.ctl("save", kept)
        sound = json.loads(kept.read_text())

        def refused(words, *command):
            code, _, err = self.rig.ctl("normalise", "arm", *command)
            self.assertEqual(code, 1)
            self.assertIn(words, err)
            self.assertEqual(len(err.splitlines()), 1)

        refused("File exists; give another name", "save", kept)
        for words, change in (
                ("not a file that latentctl", {"what": "notes"}),
                ("its format is 2", {"format": 2}),
                ("must be lists of numbers", {"mean": "0"}),
                ("must be lists of numbers", {"sd": [1.0] * 7 + ["x"]}),
                ("must be lists of numbers", {"sd": []}),
                ("expected the mean and sd of its 8 channels, found 9 and 8", {"mean": [0.0] * 9}),
                ("its bins are", {"bin_width_us": 1}), ("its bins are", {"bin_width_us": None}),
                ("too small", {"sd": [-1.0] * 8})):
            other = self.rig.folder / "other.json"
            other.write_text(json.dumps({**sound, **change}))
            refused(words, "load", other)
        for text in ("", "{", "[]", json.dumps(sound)[:-40]):
            other.write_text(text)
            refused("other.json", "load", other)
        refused("absent.json", "load", self.rig.folder / "absent.json")
        again = self.rig.folder / "again.json"
        self.ctl("save", again)
        self.assertEqual({**json.loads(again.read_text()), "saved": 0}, {**sound, "saved": 0})

    @staticmethod
    def frame_of(consumer, seq):
        """That of this bin; SAFE makes others in between, where bins are slow."""
        while True:
            frame, = consumer.frames(1)
            if frame.seq == seq and frame.t_recv_ns:
                return frame

    def test_safe_and_gaps_teach_nothing(self):
        """Filled bins, and those in SAFE, leave mean and sd as they are."""
        self.rig.configure({"arm": {"on_gap": "zero", "safe_exit": 3}})
        self.rig.start()
        source, consumer = self.rig.source(), self.rig.consumer("arm")
        key = rig.Normaliser({"normalise": self.entry, "bin_width_us": rig.BIN_US})
        row = np.full(N_CHANNELS, 4.0)
        z = [key.z(row)] + [key.z(0 * row)] * 3
        key.follow(row)
        z[1:] = [key.z(0 * row)] * 3
        z += [key.z(row)]
        for seq in (0, 4):
            source.send_multipart([b"arm/bins", rig.pack_bins(seq, [row])])
        frames = consumer.frames(5)
        states, _ = rig.answer(z)
        for frame, state in zip(frames, states):
            np.testing.assert_allclose(frame.latents, state, rtol=1e-5, atol=1e-6)
        key.follow(row)
        self.assertEqual(self.rig.ctl("safe", "arm", "on")[0], 0)
        consumer.frames(1)
        for seq in range(5, 9):
            source.send_multipart([b"arm/bins", rig.pack_bins(seq, [2 * row])])
            z.append(key.z(2 * row))
        self.frame_of(consumer, 8)
        self.assertEqual(self.rig.ctl("safe", "arm", "off")[0], 0)
        for seq in range(9, 100):
            time.sleep(rig.BIN_US / 1e6)
            source.send_multipart([b"arm/bins", rig.pack_bins(seq, [2 * row])])
            z.append(key.z(2 * row))
            frame = self.frame_of(consumer, seq)
            if not frame.flags & rig.SAFE:
                break
        self.assertFalse(frame.flags & rig.SAFE)
        states, _ = rig.answer(z)
        np.testing.assert_allclose(frame.latents, states[-1], rtol=1e-5, atol=1e-6)

    def test_refused(self):
        rig.write_model(self.rig.folder / "model.safetensors", N_CHANNELS)
        self.rig.configure({"arm": {}})
        self.rig.start()
        code, _, err = self.rig.ctl("normalise", "arm", "freeze")
        self.assertEqual(code, 1)
        self.assertIn("has no normalisation that learns", err)
        code, _, err = self.rig.ctl("normalise", "arm", "save", self.rig.folder / "kept.json")
        self.assertEqual(code, 1)
        self.assertIn("has no normalisation", err)


class ChannelsTest(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        self.model = rig.write_model(self.rig.folder / "model.safetensors", N_CHANNELS)
        self.counts = np.random.default_rng(5).integers(0, 4, (3 * BEFORE, N_CHANNELS))

    def start(self, **keys):
        self.rig.configure({"arm": {"model": "model.safetensors", **keys}})
        self.rig.start()
        self.source, self.consumer = self.rig.source(), self.rig.consumer("arm")

    def send(self, first, n):
        """-> frames of bins first to first + n."""
        for seq in range(first, first + n):
            self.source.send_multipart([b"arm/bins", rig.pack_bins(seq, [self.counts[seq]])])
        return self.consumer.frames(n)

    def expect(self, frames, given, first):
        """Frames of what the model got: given [T, C] from the first bin on."""
        states, _ = rig.answer(given)
        for i, frame in enumerate(frames):
            np.testing.assert_allclose(frame.latents, states[first + i], rtol=1e-6)

    def ctl(self, *words, code=0):
        found, out, err = self.rig.ctl("channels", "arm", *words)
        self.assertEqual(found, code, err)
        return out if code == 0 else err

    def channels(self):
        return json.loads(self.ctl("--json"))["streams"][0]

    def test_masked_and_unmasked(self):
        record = self.rig.folder / "masks.record"
        self.start(record=record, max_masked=50)
        given = self.counts.astype(float)
        given[BEFORE:, [3, 6, 7]] = MEAN
        given[2 * BEFORE:, 3] = self.counts[2 * BEFORE:, 3]
        frames = self.send(0, BEFORE)
        self.assertEqual({(f.mask_version, f.flags & MASKED) for f in frames}, {(0, 0)})
        self.expect(frames, given, 0)
        self.assertIn("would be decoded without 1 of 8 channels: 1",
                      self.ctl("--mask", "1", "--dry-run"))
        self.assertIn("arm is decoded without 3 of 8 channels: 3,6-7",
                      self.ctl("--mask", "6-7,3"))
        frames = self.send(BEFORE, BEFORE)
        self.assertEqual({(f.mask_version, bool(f.flags & MASKED)) for f in frames}, {(1, True)})
        self.expect(frames, given, BEFORE)
        self.assertIn("2 of 8 channels: 6-7", self.ctl("--unmask", "3"))
        frames = self.send(2 * BEFORE, BEFORE)
        self.assertEqual({(f.mask_version, bool(f.flags & MASKED)) for f in frames}, {(2, True)})
        self.expect(frames, given, 2 * BEFORE)
        masking = self.rig.status()["streams"]["arm"]["masking"]
        self.assertEqual((masking["version"], masking["n_masked"], masking["masked"]),
                         (2, 2, "6-7"))
        self.assertEqual(self.rig.stop(), 0)
        record_rig.check_whole(record)
        rows = record_rig.sql(record, "SELECT what, hex(payload) FROM entries WHERE kind = "
                                      "(SELECT code FROM names WHERE name = 'mask')")
        self.assertEqual(rows, [["1", "C8"], ["2", "C0"]])

    @unittest.skipUnless(LIBRARY.exists(), "no liblatent.so that Python can load")
    def test_as_decoded_in_python(self):
        self.start(mask="0, 2-3", max_masked=50)
        with latentd.Decoder(self.model) as decoder:
            decoder.mask([0, 2, 3])
            self.assertEqual((decoder.masked, decoder.mask_version), ([0, 2, 3], 1))
            for frame, counts in zip(self.send(0, BEFORE), self.counts):
                step = decoder.step(counts)
                self.assertEqual(list(step.latents), list(frame.latents))
                self.assertTrue(step.flags & MASKED)

    def test_from_the_configuration(self):
        self.start(mask="0, 2-3", max_masked=50, record=self.rig.folder / "a.record")
        given = self.counts.astype(float)
        given[:, [0, 2, 3]] = MEAN
        frames = self.send(0, BEFORE)
        self.assertEqual({(f.mask_version, bool(f.flags & MASKED)) for f in frames}, {(1, True)})
        self.expect(frames, given, 0)
        self.assertEqual([c["number"] for c in self.channels()["channels"] if c["masked"]],
                         [0, 2, 3])
        self.assertEqual(self.rig.stop(), 0)
        record_rig.check_whole(self.rig.folder / "a.record")

    def test_too_many(self):
        self.start(safe_exit=3)
        self.send(0, BEFORE)
        self.assertIn("SAFE, since that is more than max-masked", self.ctl("--mask", "0-2"))
        self.assertEqual(self.consumer.frames(1)[0].flags & rig.SAFE, rig.SAFE)
        self.assertEqual(self.rig.status()["streams"]["arm"]["state"], "safe-masked")
        self.assertIn("MORE THAN max-masked", self.ctl())

    def test_refused(self):
        self.start()
        for words, text in ((("--mask", "8"), "channel 8: there are 0 to 7"),
                            (("--mask", "x"), "expected channels like 3,17,40-43, found 'x'"),
                            (("--unmask", "1-"), "expected channels like")):
            self.assertIn(text, self.ctl(*words, code=1))
        self.assertIn("--mask and --unmask go with channels",
                      self.rig.ctl("status", "--mask", "1")[2])
        self.assertEqual(self.channels()["masking"]["version"], 0)

    def test_without_means(self):
        rig.write_model(self.model, N_CHANNELS, has_means=False)
        self.start()
        self.assertIn("the model file holds none; export it again with --statistics",
                      self.ctl("--mask", "1", code=1))
        self.assertIn("none can be masked", self.ctl())
        self.rig.stop()
        self.rig.configure({"arm": {"mask": "1"}})
        code, _, err = self.rig.run_to_end("--check", self.rig.config)
        self.assertEqual(code, 2)
        self.assertIn("mask: a masked channel reads as its training mean", err)

    def test_refused_configuration(self):
        for mask, text in (("9", "channel 9: there are 0 to 7"), ("all", "found 'all'")):
            self.rig.configure({"arm": {"mask": mask}})
            code, _, err = self.rig.run_to_end("--check", self.rig.config)
            self.assertEqual(code, 2, err)
            self.assertIn(text, err)

    def test_table(self):
        """At most 80 columns, a line for each channel that is masked, or with --all for each."""
        self.start(mask="3")
        for words, numbers in (((), ["3"]), (("--all",), [str(c) for c in range(N_CHANNELS)])):
            lines = self.ctl(*words).splitlines()
            self.assertLessEqual(max(map(len, lines)), 80)
            rows = [line.split() for line in lines if line.split()[1:2] == [f"ch{line.split()[0]}"]]
            self.assertEqual([row[0] for row in rows], numbers)
            self.assertEqual([row[0] for row in rows if row[-2:] == ["masked:", "operator"]],
                             ["3"])


if __name__ == "__main__":
    unittest.main()

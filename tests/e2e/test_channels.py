#!/usr/bin/python3
"""Channels of a running latentd: masked by configuration and by control, told in frames and status,
recorded and the same again bit by bit; shown to people."""
import json
import pathlib
import unittest

import numpy as np

import daemon_rig as rig
import latentd
import record_rig

LIBRARY = pathlib.Path(latentd.__file__).with_name("liblatent.so")
MASKED = 1 << 9
N_CHANNELS, BEFORE, AFTER = 8, 10, 10
MEAN = 1.0


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
        """At most 80 columns, a line a channel."""
        self.start(mask="3")
        lines = self.ctl().splitlines()
        self.assertLessEqual(max(map(len, lines)), 80)
        rows = [line for line in lines if line.split()[:1] and line.split()[0].isdigit()]
        self.assertEqual(len(rows), N_CHANNELS)
        self.assertEqual([row.split()[0] for row in rows if "masked" in row], ["3"])


if __name__ == "__main__":
    unittest.main()

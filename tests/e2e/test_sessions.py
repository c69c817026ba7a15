#!/usr/bin/python3
"""A model file with weights of several days or subjects: the configuration names whose decode, and
everything that says which decoder it is says so. Another's weights would decode, and be wrong."""
import itertools
import os
import subprocess
import threading
import unittest

import h5py
import numpy as np

import daemon_rig as rig
import latentd
import record_rig as records
from latent_models.common import model_file
from latent_models.stack import reference
from latentd.frames import Frame, Info

C, W = 3, 2
DAYS = ["t15.2023.08.11", "day two", "last"]
N_BINS = 30
SWAPPED = 1 << 8


def write_sessions(path, names, seed=3):
    """One product, of each session its own."""
    g = np.random.default_rng(seed)
    config = model_file.build_config(
        "stack", C, rig.BIN_US, ["causal"],
        {"nodes": [{"kind": "session", "name": "day", "inputs": ["input"], "width": W}],
         "outputs": {"readout": "day"}, "sessions": names, "session": names[-1]},
        outputs=(0, 0, [model_file.readout_entry(v, "mm/s") for v in ("vx", "vy")]),
        licence="CC0-1.0", source="a test", checkpoint_sha256="0" * 64,
        channels=model_file.channel_table(np.ones(C), np.ones(C)))
    weights = {"day.weight": g.normal(size=(len(names) * W, C)).astype(np.float32),
               "day.bias": g.normal(size=len(names) * W).astype(np.float32)}
    model = model_file.Model(config, weights)
    model_file.run_selftest(model, reference.run, 20)
    model_file.write_model(path, model)
    return path


class SessionsTest(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        self.model = write_sessions(self.rig.folder / "model.safetensors", DAYS)
        self.counts = np.random.default_rng(4).poisson(1, (N_BINS, C))

    def checked(self, **keys):
        """latentd --check -> (exit code, stdout, stderr)."""
        self.rig.configure({"arm": keys})
        return self.rig.run_to_end("--check", str(self.rig.config))

    def start(self, **keys):
        self.rig.configure({"arm": keys})
        self.rig.start()
        self.source, self.consumer = self.rig.source(), self.rig.consumer("arm")
        self.numbers = itertools.count()

    def frames(self, first=0, n=N_BINS):
        for seq in range(first, first + n):
            self.source.send_multipart(
                [b"arm/bins", rig.pack_bins(seq, self.counts[seq % N_BINS])])
        return [Frame.unpack(self.consumer.payload(), 0) for _ in range(n)]

    def offline(self, *options):
        """latent-decode on the same bins -> (readout [T, W], its session)."""
        given, out = self.rig.folder / "counts.h5", self.rig.folder / "decoded.h5"
        with h5py.File(given, "w") as f:
            f["counts"] = self.counts
            f.attrs["bin_width_ms"] = rig.BIN_US / 1000
        subprocess.run([rig.BIN / "latent-decode", "--model", self.model, "--in",
                        f"{given}:/counts", "--out", out, *options], check=True,
                       capture_output=True)
        with h5py.File(out) as f:
            return f["readout"][()], f.attrs["session"]

    def test_one_is_named(self):
        for keys, text in (({}, "several; name one of: " + ", ".join(DAYS)),
                           ({"session": "day tow"}, "nearest: day two")):
            code, _, err = self.checked(**keys)
            self.assertEqual(code, 2, err)
            self.assertIn("session: the model file has", err)
            self.assertIn(text, err)
        code, out, err = self.checked(session=DAYS[1])
        self.assertEqual(code, 0, err)
        self.assertIn("session = day two\n", out)

    def test_the_only_one(self):
        """Needs no name, and is said; a file without has none."""
        write_sessions(self.model, DAYS[:1])
        for keys in ({}, {"session": DAYS[0]}):
            code, out, err = self.checked(**keys)
            self.assertEqual(code, 0, err)
            self.assertIn(f"session = {DAYS[0]}\n", out)
        rig.write_model(self.model)
        code, out, _ = self.checked()
        self.assertEqual(code, 0)
        self.assertIn("session = auto\n", out)
        code, _, err = self.checked(session="day two")
        self.assertEqual(code, 2)
        self.assertIn("the model file has no sessions, found 'day two'", err)

    def test_whose_weights_decode(self):
        """Live, offline and in every word about the decoder; recorded and replayed."""
        path, out = self.rig.folder / "arm.record", self.rig.folder / "arm.h5"
        self.start(session=DAYS[1], safe_start="no", record=path)
        offline, said = self.offline("--session", DAYS[1])
        frames = self.frames()
        self.assertEqual(said, DAYS[1])
        self.assertTrue(np.array_equal([f.readout for f in frames], offline))
        self.assertGreater(np.abs(offline - self.offline("--session", DAYS[2])[0]).max(), 0.1)
        info = Info.unpack(self.consumer.info.SerializeToString())
        self.assertEqual((info.session, info.sessions), (DAYS[1], DAYS))
        status = self.rig.status()["streams"]["arm"]
        self.assertEqual((status["session"], status["sessions"]), (DAYS[1], DAYS))
        shown = self.rig.ctl("model", "arm")[1]
        self.assertIn(", session day two;", shown)
        self.assertIn("day two (decodes)\n", shown)
        self.rig.stop()
        records.check_whole(path)
        self.assertEqual(records.sql(path, "SELECT value FROM meta WHERE key = 'session'"),
                         [[DAYS[1]]])
        self.assertEqual(records.sql(path, "SELECT DISTINCT session FROM decoders"), [[DAYS[1]]])
        subprocess.run([rig.BIN / "latentctl", "export", path, out], check=True)
        with h5py.File(out) as f:
            self.assertEqual(f.attrs["session"], DAYS[1])

    def test_it_stays_while_latentd_runs(self):
        """By reload it cannot change; another file must have it, or one alone."""
        self.start(session=DAYS[1], safe_start="no")
        self.frames(n=5)
        self.rig.configure({"arm": {"session": DAYS[0], "safe_start": "no"}})
        code, _, err = self.rig.ctl("reload")
        self.assertEqual(code, 1)
        self.assertIn("session of [stream arm] was day two, is t15.2023.08.11", err)
        other = write_sessions(self.rig.folder / "other.safetensors", ["a", "b"], seed=5)
        code, _, err = self.rig.ctl("shadow", "arm", str(other))
        self.assertEqual(code, 1)
        self.assertIn('"day two", the stream\'s, is none of them', err)

    def ask_to_promote(self, answers):
        """Again where it is refused: the shadow was behind, on a machine that is busy."""
        while len(answers) < 10 and not (answers and answers[-1][0] == 0):
            answers.append(self.rig.ctl("promote", "arm", "--force", "--at", "next-bin"))

    def promoted(self, path):
        """Bins, at about their rate, until the decoder of that file, forced there, has made one."""
        self.assertEqual(self.rig.ctl("shadow", "arm", str(path))[0], 0)
        answers, time_is_left, flags = [], rig.deadline(), 0
        asked = threading.Thread(target=self.ask_to_promote, args=(answers,))
        asked.start()
        while not flags & SWAPPED and time_is_left():
            flags = self.frames(next(self.numbers), 1)[0].flags
        asked.join()
        self.assertEqual((answers[-1][0], flags & SWAPPED), (0, SWAPPED), answers)

    def test_promoted(self):
        """The stream's session where the file has it, else its only one; replayed so."""
        path = self.rig.folder / "arm.record"
        self.start(session=DAYS[1], safe_start="no", record=path)
        for i, names in enumerate((["x", DAYS[1]], ["y"])):
            other = write_sessions(self.rig.folder / f"other{i}.safetensors", names, seed=6 + i)
            self.promoted(other)
            self.assertEqual(self.rig.status()["streams"]["arm"]["session"], names[-1])
            self.assertEqual(self.rig.ctl("drop", "arm")[0], 0)
        self.rig.stop()
        records.check_whole(path)
        self.assertEqual(records.sql(path, "SELECT session FROM decoders WHERE of = 'promotion'"),
                         [[DAYS[1]], ["y"]])

    @unittest.skipIf(os.environ.get("LATENT_SANITIZE"), "Python cannot load a library so built")
    def test_in_python(self):
        with self.assertRaisesRegex(latentd.Error, ", ".join(DAYS)):
            latentd.Decoder(self.model)
        ids = set()
        for day in DAYS:
            with latentd.Decoder(self.model, session=day) as decoder:
                self.assertEqual((decoder.session, decoder.info.sessions), (day, tuple(DAYS)))
                found = decoder.decode(self.counts).readout
                self.assertTrue(np.array_equal(found, self.offline("--session", day)[0]))
                ids.add(decoder.id)
                state = decoder.save()
        self.assertEqual(len(ids), len(DAYS))
        with latentd.Decoder(self.model, session=DAYS[0]) as decoder, \
                self.assertRaises(latentd.Error):
            decoder.load(state)


if __name__ == "__main__":
    unittest.main(verbosity=2)

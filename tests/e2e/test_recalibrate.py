#!/usr/bin/python3
"""models/recalibrate.py: from the record of a day whose tuning has changed to a candidate in
shadow; what is no better is not shadowed; what cannot be fitted is refused."""
import json
import subprocess
import unittest

import h5py
import numpy as np

import daemon_rig as rig
from latent_models.common.model_file import read_model

PYTHON = "/usr/bin/python3"
BIN_MS, N_CHANNELS = 20, 29  # of gru/lorenz, too
RECIPE = {
    "format": 1, "kind": "reach", "n_channels": N_CHANNELS, "bin_width_ms": BIN_MS,
    "trial_bins": 150,
    "movement": {"n_targets": 8, "radius_mm": 80, "random_target_fraction": 0.3,
                 "random_radius_mm": [40, 100], "duration_ms": [300, 600],
                 "hold_ms": [100, 300], "curvature_mm": 6},
    "tuning": {"mean_rate_hz": [5, 25], "lag_ms": [0, 150], "velocity_scale_mm_s": 250,
               "velocity_depth": [0.2, 0.9], "speed_depth": [-0.1, 0.4], "position_scale_mm": 80,
               "position_depth": [0, 0.4]},
    "rotation": {"n_planes": 1, "frequency_hz": [0.7, 2.5], "decay_ms": 300, "drive_ms": 150,
                 "drive": 2, "loading_sd": 0.2},
    "gain": {"sd": 0.08, "time_ms": 2000}}
MODELS = rig.SOURCE / "models"


def run(*words):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True,
                          timeout=20 * rig.WAIT_S)
    return done.returncode, done.stdout, done.stderr


def need(*words):
    code, out, err = run(*words)
    if code:
        raise AssertionError(f"{words}: {out}{err}")
    return out


class Case(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        self.folder = self.rig.folder

    def simulate(self, name, seed, n_trials):
        """A day: its data set; another seed is another tuning of the same neurons."""
        recipe = {**RECIPE, "seed": seed, "trials": {"train": n_trials, "valid": 1, "test": 1}}
        (self.folder / f"{name}.json").write_text(json.dumps(recipe))
        path = self.folder / f"{name}.h5"
        need(rig.BIN / "latent-sim", "--recipe", self.folder / f"{name}.json", "--out", path)
        return path

    def fit(self, data, arch, *options):
        checkpoint, model = (self.folder / f"{data.stem}-{arch}.{end}" for end in
                             ("checkpoint", "safetensors"))
        need(PYTHON, MODELS / arch / "train.py", "--in", f"{data}:/counts", "--behaviour",
             f"{data}:/readout", "--bin-ms", BIN_MS, "--names", "vx,vy", "--unit", "mm/s",
             *options, "--out", checkpoint)
        need(PYTHON, MODELS / arch / "export.py", checkpoint, model)
        return model

    def start(self, model, **keys):
        self.rig.configure({"arm": {"model": model, "record": self.folder / "day.record", **keys}})
        self.rig.start()

    def live(self, data, epoch=1):
        """That day, bin by bin, into the stream and its record."""
        source = self.rig.source()
        with h5py.File(data) as f:
            counts = f["counts"][()].reshape(-1, N_CHANNELS)
        before = self.rig.status()["streams"]["arm"]["bins"]["in"]
        for seq, row in enumerate(counts):
            source.send_multipart([b"arm/bins", rig.pack_bins(seq, row, epoch,
                                                              bin_width_us=BIN_MS * 1000)])
        self.rig.wait_for("arm", "bins", "in", before + len(counts))

    def stop_record(self):
        self.assertEqual(self.rig.ctl("record", "stop", "arm")[0], 0)
        return self.folder / "day.record"

    def recalibrate(self, *options):
        return run(PYTHON, MODELS / "recalibrate.py", self.folder / "day.record", "--out",
                   self.folder / "new.safetensors", "--control", self.rig.control, *options)

    def scores(self, out):
        """R2 of old and new as it said."""
        return [float(line.split()[2]) for line in out.splitlines()
                if line.startswith(("old: ", "new: "))]


class DayTest(Case):
    def one_day(self, arch, *options):
        """Yesterday's model, today's tuning: the new one is better, and takes over when told."""
        return self.today(self.fit(self.simulate("yesterday", 1, 30), arch, *options))

    def today(self, old, *options):
        today = self.simulate("today", 2, 30)
        self.start(old)
        self.live(today)
        self.stop_record()
        behaviour = ("--behaviour", f"{today}:/readout")
        code, out, err = self.recalibrate(*behaviour, "--least", "60", "--stream", "arm",
                                          *options)
        self.assertEqual((code, err), (0, ""), out)
        before, after = self.scores(out)
        self.assertGreater(after, 0.3)
        self.assertGreater(after, before + 0.2)
        new = read_model(self.folder / "new.safetensors")
        was = read_model(old)
        self.assertEqual(new.config["outputs"]["readout"], was.config["outputs"]["readout"])
        self.assertEqual(new.config["hyper"], was.config["hyper"])
        swap = self.rig.status()["streams"]["arm"]["swap"]
        self.assertEqual(swap["state"], "shadow")
        return today, behaviour

    def check_held_out(self, today, behaviour):
        """Whatever the held-out part holds, the fit is the same."""
        first = read_model(self.folder / "new.safetensors").weights
        with h5py.File(today, "a") as f:
            n = len(f["readout"])
            f["readout"][n - n // 5:] = f["readout"][n - n // 5:] * 0.5 + 100
        self.recalibrate(*behaviour, "--least", "60", "--force")
        for name, array in read_model(self.folder / "new.safetensors").weights.items():
            np.testing.assert_array_equal(array, first[name])

    def test_wiener_promoted(self):
        today, behaviour = self.one_day("wiener", "--lags", "8")
        self.check_held_out(today, behaviour)
        self.assertEqual(self.rig.ctl("drop", "arm")[0], 0)
        code, out, err = self.recalibrate(*behaviour, "--least", "60", "--stream", "arm", "--force",
                                          "--promote", "--wait", "0.5")
        self.assertEqual(code, 2, out)  # nobody sends, so it does not get warm
        self.assertIn("it stays in shadow", err)
        self.live(self.folder / "today.h5", epoch=2)
        self.assertEqual(self.rig.ctl("promote", "arm")[0], 0)

    def test_stage(self):
        """Of a model that knows nothing of behaviour the stage is fitted anew, and nothing else."""
        data, old = self.simulate("yesterday", 1, 30), self.folder / "staged.safetensors"
        need(PYTHON, MODELS / "readout" / "fit.py", MODELS / "gru" / "lorenz.safetensors", "--in",
             f"{data}:/counts", "--behaviour", f"{data}:/readout", "--bin-ms", BIN_MS, "--names",
             "vx,vy", "--unit", "mm/s", "--tau", "40", "--lags", "3", "--out", old)
        self.today(old)
        was, new = (read_model(path) for path in (old, self.folder / "new.safetensors"))
        self.assertEqual(new.config["stage"], was.config["stage"])
        for name in was.weights:
            is_same = np.array_equal(new.weights[name], was.weights[name])
            self.assertEqual(is_same, not name.startswith("stage."), name)

    def test_kalman(self):
        self.one_day("kalman")

    def test_gru(self):
        """Its trainer takes seconds here because it is told to do little."""
        little = ("--steps", "100", "--batch", "8", "--lr", "0.01", "--warm-up", "20", "--threads",
                  "1")
        old = self.fit(self.simulate("yesterday", 1, 30), "gru", "--hidden", "16", *little)
        self.today(old, "--train", " ".join(little))
        code, _, err = self.recalibrate("--behaviour", f"{self.folder}/today.h5:/readout",
                                        "--least", "60", "--train", "--hidden 8 --steps 1")
        self.assertEqual(code, 2)
        self.assertIn("hyper is", err)


class NoBetterTest(Case):
    def test_no_better(self):
        """Fitted to little of the same day as a model that knows much of it: says so, exit 1."""
        old = self.fit(self.simulate("today", 2, 120), "wiener", "--lags", "8")
        part = self.simulate("part", 2, 12)
        with h5py.File(self.folder / "today.h5") as f, h5py.File(part, "a") as g:
            for name in ("counts", "readout"):
                g[name][...] = f[name][60:60 + len(g[name])]
        self.start(old)
        self.live(part)
        self.stop_record()
        options = ("--behaviour", f"{part}:/readout", "--least", "20", "--stream", "arm")
        code, out, err = self.recalibrate(*options)
        self.assertEqual((code, err), (1, ""), out)
        before, after = self.scores(out)
        self.assertLessEqual(after, before)
        self.assertIn("no better", out)
        self.assertNotIn("swap", self.rig.status()["streams"]["arm"])
        code, out, _ = self.recalibrate(*options, "--force")
        self.assertEqual(code, 0, out)
        self.assertEqual(self.rig.status()["streams"]["arm"]["swap"]["state"], "shadow")


class RefusedTest(Case):
    def refused(self, *options):
        code, _, err = self.recalibrate(*options)
        self.assertEqual(code, 2)
        self.assertFalse((self.folder / "new.safetensors").exists())
        return err

    def test_refused(self):
        """Before anything is written."""
        today = self.simulate("today", 2, 6)
        old = self.fit(today, "wiener", "--lags", "4", "--force")
        self.start(old)
        self.live(today)
        self.stop_record()
        behaviour = ("--behaviour", f"{today}:/readout")
        self.assertIn("no behaviour to fit", self.refused())
        self.assertIn("24.0 s of decoded bins with behaviour, at least 120 s",
                      self.refused(*behaviour))
        self.assertIn("/times", self.refused(*behaviour, "--behaviour-times", "/times"))
        self.assertIn("1 columns, the readout of", self.refused(
            "--behaviour", f"{today}:/condition", "--least", "1"))
        self.assertIn("no such file", self.refused(*behaviour, "--model", "gone.safetensors"))
        for model, words in ((MODELS / "gru" / "reach.safetensors", "96 channels, the record has"),
                             (self.other(), "a kalman of form given")):
            self.assertIn(words, self.refused(*behaviour, "--least", "1", "--model", model))
        self.assertIn("Give --stream", self.refused(*behaviour, "--promote"))
        old.write_bytes(old.read_bytes() + b" ")
        self.assertIn("is not the file any more", self.refused(*behaviour))

    def other(self):
        return rig.write_model(self.folder / "given.safetensors", N_CHANNELS,
                               bin_us=BIN_MS * 1000)

    def test_times(self):
        """Behaviour by times of the source's clock, sampled otherwise than in bins, is the same
        behaviour; bins without it are not used."""
        today = self.simulate("today", 2, 30)
        old = self.fit(today, "wiener", "--lags", "4")
        self.start(old)
        self.live(today)
        record = self.stop_record()
        export = self.folder / "export.h5"
        need(rig.BIN / "latentctl", "export", record, export)
        with h5py.File(export) as f, h5py.File(today, "a") as g:
            t = f["bins"]["t_source_ns"][()] / 1e9
            y = g["readout"][()].reshape(-1, 2)
            g["dense"] = np.stack([np.interp(np.linspace(t[0], t[-1], 3 * len(t) - 2), t, x)
                                   for x in y.T], -1)
            g["times"] = np.linspace(t[0], t[-1], 3 * len(t) - 2)
        by_number = self.recalibrate("--behaviour", f"{today}:/readout", "--least", "60", "--force")
        by_time = self.recalibrate("--behaviour", f"{today}:/dense", "--behaviour-times", "/times",
                                   "--least", "60", "--force")
        self.assertEqual((by_number[0], by_time[0]), (0, 0), by_number + by_time)
        np.testing.assert_allclose(self.scores(by_time[1]), self.scores(by_number[1]), atol=2e-4)
        with h5py.File(today, "a") as g:
            g["dense"][: len(g["dense"]) // 2] = np.nan
        code, _, err = self.recalibrate("--behaviour", f"{today}:/dense", "--behaviour-times",
                                        "/times", "--least", "60")
        self.assertEqual(code, 2)
        self.assertRegex(err, r"4\d\.\d s of decoded bins with behaviour")


if __name__ == "__main__":
    unittest.main()

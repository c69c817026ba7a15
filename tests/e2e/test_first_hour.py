#!/usr/bin/python3
"""What somebody meets who has a network, a recording and no experience: what the exporter could
have known is no riddle at start; what a person means is done, or answered in one line."""
import os
import shutil
import subprocess
import unittest

import h5py
import numpy as np

from tool_case import BIN, MODELS, SOURCE, Case, random_counts, random_tensors, run

from latent_models.common import safetensors
from latent_models.common.model_file import read_model

N_CHANNELS, HIDDEN = 6, 7
# Tensors (name -> shape) of models that predict from the training mean alone, and their options.
NEED_MEANS = {
    "gru": ({"gru.weight_ih_l0": (3 * HIDDEN, N_CHANNELS), "gru.bias_ih_l0": (3 * HIDDEN, ),
             "gru.weight_hh_l0": (3 * HIDDEN, HIDDEN), "gru.bias_hh_l0": (3 * HIDDEN, ),
             "readout.weight": (2, HIDDEN), "readout.bias": (2, )}, ()),
    "wiener": ({"weight": (2, 3, N_CHANNELS), "bias": (2, )}, ()),
    "kalman": ({"M1": (2, 2), "M2": (2, N_CHANNELS), "m0": (2, )}, ("--form", "given"))}


class TrainingMean(Case):
    """A file without the training mean starts with the default configuration."""

    def export(self, arch, *options):
        """-> what the exporter says; the model file is arch.safetensors."""
        shapes, stated = NEED_MEANS[arch]
        source = self.folder / "weights.safetensors"
        safetensors.write(source, random_tensors(1, shapes), {})
        return self.run_ok("/usr/bin/python3", MODELS / arch / "export.py", source,
                           self.folder / f"{arch}.safetensors", "--bin-width", "20", *stated,
                           *options)

    def check(self, arch, *keys):
        """latentd --check of a stream of this model."""
        conf = self.folder / "latentd.conf"
        conf.write_text("\n".join([
            "[latentd]", f"control = ipc://{self.folder}/control", "[stream arm]",
            f"model = {arch}.safetensors", *keys]) + "\n")
        return run(BIN / "latentd", "--check", conf)

    def test_default_configuration(self):
        for arch in NEED_MEANS:
            with self.subTest(arch):
                self.assertIn("--statistics", self.export(arch))
                result = self.check(arch)
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertIn("\non-gap = reset\n", result.stdout)
                self.assertIn("note: stream arm: each gap resets it (on-gap = auto)",
                              result.stderr)
                self.assertIn("--statistics FILE.h5:/counts", result.stderr)

    def test_with_statistics(self):
        path = self.folder / "rec.h5"
        with h5py.File(path, "w") as f:
            f["counts"] = random_counts(1, 200, N_CHANNELS)
        for arch in NEED_MEANS:
            with self.subTest(arch):
                said = self.export(arch, "--statistics", f"{path}:/counts")
                self.assertIn("training mean: in the file", said)
                result = self.check(arch)
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                self.assertIn("\non-gap = predict\n", result.stdout)

    def test_asked_for_by_name(self):
        """The text names the key, what else it may be, and the exporter's option."""
        for arch in NEED_MEANS:
            self.export(arch)
            for key, others in (("on-gap = predict", "auto, zero, hold-input, reset"),
                                ("on-gap = mean", "auto, predict, zero, hold-input, reset"),
                                ("on-missing = predict", "hold-frame, safe, skip")):
                with self.subTest(arch, key=key):
                    result = self.check(arch, key)
                    self.assertEqual(result.returncode, 2)
                    line = result.stderr.splitlines()[-1]
                    self.assertIn(f": {key.split()[0]}: ", line)
                    self.assertIn("--statistics FILE.h5:/counts, or choose another of: " + others,
                                  line)
                    self.assertNotIn('{"', line)

    def test_statistics_of_another_width(self):
        path = self.folder / "rec.h5"
        with h5py.File(path, "w") as f:
            f["counts"] = np.ones((50, N_CHANNELS), np.uint8)
            f.attrs["bin_width_ms"] = 10.0
        shapes, _ = NEED_MEANS["wiener"]
        source = self.folder / "weights.safetensors"
        safetensors.write(source, random_tensors(1, shapes), {})
        result = run("/usr/bin/python3", MODELS / "wiener" / "export.py", source,
                     self.folder / "m.safetensors", "--bin-width", "20", "--statistics",
                     f"{path}:/counts")
        self.assertEqual(result.returncode, 2)
        self.assertIn("--bin-width says 20", result.stderr)
        self.assertNotIn("--bin-ms", result.stderr)


class OwnRecording(Case):
    """Every trainer of recordings trains on a file of one's own: no simulator, no pinned set."""

    def setUp(self):
        super().setUp()
        self.path = self.folder / "rec.h5"
        rng = np.random.default_rng(3)
        hand = np.cumsum(rng.normal(0, 0.2, (1200, 2)), 0)
        counts = rng.poisson(np.exp(0.3 * np.tanh(hand @ rng.normal(0, 1, (2, 8)))))
        with h5py.File(self.path, "w") as f:
            f["counts"], f["hand"] = counts.astype(np.uint8), hand
        # A tree without a build, its programs elsewhere, and of those only the reader.
        models = self.folder / "tree" / "models"
        shutil.copytree(MODELS, models, symlinks=True,
                        ignore=shutil.ignore_patterns("*.safetensors", "*.json", "__pycache__"))
        self.models = models
        (self.folder / "bin").mkdir()
        (self.folder / "bin" / "latent-decode").symlink_to(BIN / "latent-decode")

    def train(self, arch, *options):
        """-> path of what the trainer wrote."""
        out = self.folder / f"{arch}.fit"
        environment = {**os.environ, "PATH": "/usr/bin:/bin",
                       "LATENT_BIN": str(self.folder / "bin")}
        self.run_ok("/usr/bin/python3", self.models / arch / "train.py", "--in",
                    f"{self.path}:/counts", "--bin-ms", "10", "--out", out, *options,
                    env=environment)
        return out

    def test_counts_alone(self):
        quick = ("--steps", "2", "--batch", "2", "--threads", "1")
        for arch, options in (("ndt", quick), ("lfads", quick), ("sae", quick), ("gru", quick),
                              ("smc", quick), ("dlds", ("--turns", "1", "--states", "2"))):
            with self.subTest(arch):
                self.assertTrue(self.train(arch, *options).exists())

    def test_units_of_each_column(self):
        behaviour = ("--behaviour", f"{self.path}:/hand", "--force", "--names", "x, grip")
        for unit, units in (("mm", ["mm", "mm"]), ("mm,N", ["mm", "N"])):
            with self.subTest(unit):
                fit = self.train("kalman", *behaviour, "--unit", unit)
                model = self.folder / "m.safetensors"
                self.run_ok("/usr/bin/python3", MODELS / "kalman" / "export.py", fit, model)
                readout = read_model(model).config["outputs"]["readout"]
                self.assertEqual([r["name"] for r in readout], ["x", "grip"])
                self.assertEqual([r["unit"] for r in readout], units)


class Words(Case):
    """Options as people write them."""

    def export_gru(self, *options):
        source = self.folder / "weights.safetensors"
        safetensors.write(source, random_tensors(1, NEED_MEANS["gru"][0]), {})
        return run("/usr/bin/python3", MODELS / "gru" / "export.py", source,
                   self.folder / "m.safetensors", *options)

    def test_readout_units(self):
        for text, units in (("mm/s", ["mm/s", "mm/s"]), ("mm/s, N", ["mm/s", "N"])):
            result = self.export_gru("--bin-width", "10", "--readout-units", text)
            self.assertEqual(result.returncode, 0, result.stderr)
            readout = read_model(self.folder / "m.safetensors").config["outputs"]["readout"]
            self.assertEqual([r["unit"] for r in readout], units)
        result = self.export_gru("--bin-width", "10", "--readout-units", "a,b,c")
        self.assertEqual(result.returncode, 2)
        self.assertIn("3 values for a readout of 2", result.stderr)

    def test_width_in_seconds(self):
        for text, meant in (("0.02", "0.02 seconds are 20"), ("2e-2", "2e-2 seconds are 20"),
                            ("20000", "20000 microseconds are 20")):
            result = self.export_gru("--bin-width", text)
            self.assertEqual(result.returncode, 2)
            self.assertIn(f"expected milliseconds, 0.1 to 10000; {meant};", result.stderr)
            self.assertEqual(result.stderr.count("\n"), 1)

    def test_no_folder(self):
        """Before any work, in one line that says what to do."""
        path, out = self.folder / "rec.h5", self.folder / "no" / "out"
        with h5py.File(path, "w") as f:
            f["counts"] = random_counts(1, 50, N_CHANNELS)
        recording = ("--in", f"{path}:/counts", "--bin-ms", "20")
        self.export_gru("--bin-width", "20")
        for code, command in (
                (1, (BIN / "latent-decode", "--bins-only", *recording, "--out", out)),
                (1, (BIN / "latent-decode", "--model", self.folder / "m.safetensors", *recording,
                     "--out", out)),
                (1, (BIN / "latent-sim", "--recipe", MODELS / "reach.json", "--out", out)),
                (1, (BIN / "latentctl", "keys", out)),
                (2, (MODELS / "kalman" / "train.py", *recording, "--out", out)),
                (2, (MODELS / "ndt" / "train.py", *recording, "--out", out))):
            with self.subTest(command=str(command[0])):
                result = run(*command)
                self.assertEqual(result.returncode, code, result.stderr)
                self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
                self.assertRegex(result.stderr, "make it first|make its folder first")

    def test_missing_package(self):
        """Before a program begins, or where it is needed: one line that says what to install."""
        hdf5 = self.folder / "weights.h5"
        with h5py.File(hdf5, "w") as f:
            f["weights/a"] = np.zeros(3)
        for name, command in (
                ("numpy", ("gru", "train.py")), ("torch", ("gru", "train.py")),
                ("torch", ("ndt", "train.py")), ("numpy", ("kalman", "reference.py")),
                ("numpy", ("wiener", "export.py")), ("numpy", ("readout", "fit.py")),
                ("h5py", ("gru", "export.py", hdf5, self.folder / "m", "--bin-width", "10"))):
            with self.subTest(name, command=command[:2]):
                stub = self.folder / f"without-{name}"
                stub.mkdir(exist_ok=True)
                (stub / f"{name}.py").write_text(
                    f"raise ModuleNotFoundError('No module named {name}', name='{name}')\n")
                result = run("/usr/bin/python3", MODELS / command[0] / command[1], *command[2:],
                             env={**os.environ, "PYTHONPATH": str(stub)})
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
                self.assertIn(f"apt-get install python3-{name}", result.stderr)

    def test_reader_that_has_gone(self):
        """What | head leaves behind: no traceback, no text at all."""
        commands = [(BIN / name, "--help") for name in
                    ("latentd", "latentctl", "latent-sim", "latent-replay", "latent-decode")]
        commands += [(BIN / "latentd", "--help-config"), (BIN / "latentd", "--man"),
                     (SOURCE / "daemon" / "quickstart" / "live.py", "--help")]
        commands += [(MODELS / arch / part, "--help") for arch, part in
                     (("gru", "train.py"), ("kalman", "export.py"), ("ndt", "reference.py"),
                      ("readout", "fit.py"), (".", "precisions.py"), (".", "compare.py"))]
        buffered = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
        for command in commands:
            with self.subTest(command=str(command[0])):
                ear, mouth = os.pipe()
                os.close(ear)
                result = subprocess.run(command, stdout=mouth, stderr=subprocess.PIPE, text=True,
                                        timeout=300, env=buffered)
                os.close(mouth)
                self.assertEqual(result.stderr, "")
                self.assertIn(result.returncode, (-13, 141))


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
"""What somebody meets who has a network, a recording and no experience: what the exporter could
have known is no riddle at start; what a person means is done, or answered in one line."""
import unittest

import h5py
import numpy as np

from tool_case import BIN, MODELS, Case, random_counts, random_tensors, run

from latent_models.common import safetensors

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


if __name__ == "__main__":
    unittest.main()

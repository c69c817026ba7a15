#!/usr/bin/python3
"""Precisions: shipped models in bf16 and int8 against the float64 references with weights rounded
alike, and what latent-decode says a precision costs."""
import re
import subprocess

import h5py
import numpy as np

import golden

from latent_models.common import metrics, precision
from latent_models.common.model_file import read_model
from latent_models.common.reference_command import run_trials
from latent_models.gru import reference as gru
from latent_models.ndt import reference as ndt

FILES = {"ndt/lorenz_causal": (ndt.run, ("A", "C", "trial")), "gru/lorenz": (gru.run, ("causal", ))}
# Of the largest latent: float32 inputs, or inputs rounded to 1/32767 of the largest.
LIMITS = {"bf16": 5e-5, "int8": 1e-3}
N_TRIALS = 3


class Precision(golden.Case):
    def narrowed(self, name, *options):
        """A shipped file through models/precisions.py -> path."""
        out = self.folder / f"{name.replace('/', '_')}.safetensors"
        self.run_ok(golden.PYTHON, golden.MODELS / "precisions.py",
                    golden.MODELS / f"{name}.safetensors", out, *options)
        return out

    def counts(self, path):
        model = read_model(path)
        n_bins = model.hyper.get("trial_bins", 50)
        return golden.random_counts(3, N_TRIALS, n_bins, model.config["n_channels"], mean=0.5)

    def compared(self, path, *options):
        """latent-decode on random counts -> (exit code, output, results or None, counts)."""
        counts, out = self.counts(path), self.folder / "out.h5"
        with h5py.File(self.folder / "in.h5", "w") as f:
            f["counts"] = counts
            f.attrs["bin_width_ms"] = read_model(path).config["bin_width_us"] / 1000
        out.unlink(missing_ok=True)
        command = [golden.BIN / "latent-decode", "--model", path, "--in",
                   f"{self.folder}/in.h5:/counts", "--out", out, *options]
        result = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        rates = None
        if out.exists():
            with h5py.File(out) as f:
                rates = f["rates"][()] * read_model(path).config["bin_width_us"] * 1e-6
        return result.returncode, result.stdout + result.stderr, rates, counts

    def test_stored_rounded_equals_the_reference(self):
        for name, (run, modes) in FILES.items():
            for kind, limit in LIMITS.items():
                path = self.narrowed(name, "--quantize", kind)
                model, counts = read_model(path), self.counts(path)
                self.assertEqual(model.config["precisions"], [kind])
                if kind == "bf16":
                    model.weights = {key: precision.bf16_read(array)
                                     if precision.is_matrix(key, array) else array
                                     for key, array in model.weights.items()}
                for mode in modes:
                    expected = run_trials(run, model, counts.astype(np.float64), mode)["latents"]
                    found = self.decode(path, counts, mode)["latents"]
                    self.close(found, expected, limit * np.abs(expected).max(),
                               f"{name} {kind} {mode}")

    def test_rounded_at_load_equals_stored_rounded(self):
        for name, (_, modes) in FILES.items():
            path = self.narrowed(name, "--precisions", "bf16,f32")
            counts = self.counts(path)
            loaded = self.decode(path, counts, modes[0])["latents"]
            stored = self.decode(self.narrowed(name, "--quantize", "bf16"), counts, modes[0])
            np.testing.assert_array_equal(loaded, stored["latents"])

    def test_cost_is_that_of_the_rates(self):
        """bits/spike and R2 that latent-decode prints, recomputed from what it wrote."""
        path = self.narrowed("gru/lorenz", "--precisions", "f32,int8")
        code, text, found, counts = self.compared(path, "--precision", "int8", "--compare", "f32")
        self.assertEqual(code, 0, text)
        _, _, exact, _ = self.compared(path)
        bits = [metrics.bits_per_spike(counts, rates) for rates in (found, exact)]
        said = re.search(r"bits/spike (\S+) against (\S+): (\S+) lost", text).groups()
        np.testing.assert_allclose([float(s) for s in said], [*bits, bits[1] - bits[0]], atol=2e-5)
        r2 = metrics.r2_per_column(exact, found)
        said = re.search(r"rates +R2 median (\S+), least (\S+), of (\d+)", text).groups()
        self.assertEqual(int(said[2]), found.shape[-1])
        np.testing.assert_allclose(float(said[1]), r2.min(), atol=1e-5)
        self.assertLess(r2.min(), 1.0)

    def test_too_much_loss_writes_nothing(self):
        """Random matrices lose nothing that counts; a limit below any loss must refuse."""
        path = self.narrowed("ndt/lorenz_causal", "--precisions", "f32,int8")
        options = ("--mode", "A", "--precision", "int8", "--compare", "f32")
        code, text, rates, _ = self.compared(path, *options, "--max-loss", "1")
        self.assertEqual((code, rates is None), (0, False), text)
        losses = float(re.search(r"(\S+) lost", text).group(1))
        other = ("--mode", "A", "--precision", "f32", "--compare", "int8")
        worse = options if losses > 0 else other
        code, text, rates, _ = self.compared(path, *worse, "--max-loss", "1e-9")
        self.assertEqual((code, rates is None), (1, True), text)
        self.assertIn("more than --max-loss", text)

    def test_refusals(self):
        path = self.narrowed("gru/lorenz", "--precisions", "f32")
        for options, expected, words in (
                (("--precision", "bf16"), 1, ("bf16", "f32")),
                (("--compare", "int8"), 1, ("int8", "f32")),
                (("--max-loss", "1"), 2, ("--max-loss goes with --compare", ))):
            code, text, rates, _ = self.compared(path, *options)
            self.assertEqual((code, rates is None), (expected, True), text)
            for word in words:
                self.assertIn(word, text)
        for name, options in (("kalman/reach", ("--quantize", "bf16")),
                              ("gru/lorenz", ("--precisions", "f32,f16")),
                              ("gru/lorenz", ("--precisions", "f32,f32"))):
            out = self.folder / "refused.safetensors"
            result = subprocess.run(
                [golden.PYTHON, golden.MODELS / "precisions.py",
                 golden.MODELS / f"{name}.safetensors", out, *options], capture_output=True,
                text=True)
            self.assertEqual((result.returncode, out.exists()), (2, False), result.stderr)

    def test_rounding(self):
        """bf16: nearest, ties to even; int8: a scale for each row, zero rows stay zero."""
        bits = precision.bf16_bits(np.array([1.0, 1.00390625, 1.01171875], np.float32))
        np.testing.assert_array_equal(bits, [0x3f80, 0x3f80, 0x3f82])
        steps, scale = precision.int8_rows(np.array([[0, 0], [-2.54, 1.27]], np.float32))
        np.testing.assert_array_equal(steps, [[0, 0], [-127, 64]])
        np.testing.assert_allclose(scale, [0, 0.02], rtol=1e-6)


if __name__ == "__main__":
    golden.need_binaries("latent-decode")
    golden.main()

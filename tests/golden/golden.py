"""What the golden tests share: paths, exporters, latent-decode, and the ways to skip."""
import contextlib
import importlib
import io
import itertools
import math
import os
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
from pathlib import Path

import h5py
import numpy as np

from latent_models.common.model_file import read_model

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
SHARED = Path(os.environ.get("LATENT_SHARED", ROOT.parent / "shared"))
KNOWN = SHARED / "known_answers"
BIN = Path(os.environ.get("LATENT_BIN", ROOT / "build" / "release" / "bin"))
PYTHON = "/usr/bin/python3"
IS_SANITIZED = bool(os.environ.get("LATENT_SANITIZE"))
SKIPPED = 77
FLAG_WARMUP, FLAG_OUTSIDE, FLAG_INPUT_CLIPPED = 1 << 0, 1 << 12, 1 << 10
FLAG_LIMITED = 1 << 11


def need_shared():
    """End the test program as skipped when the checking data are not there."""
    if not KNOWN.is_dir():
        print(f"SKIP shared: {KNOWN} is absent")
        sys.exit(SKIPPED)


def need_binaries(*names):
    """A missing program is a failure: ctest runs after the build."""
    missing = [name for name in names if not os.access(BIN / name, os.X_OK)]
    if missing:
        sys.exit(f"{', '.join(missing)} not found in {BIN}; set LATENT_BIN to the folder of "
                 f"programs")


def thinned(grid, every):
    """A sanitizer looks at memory, not at answers: it takes every Nth row of a grid, a
    number without a common factor with the lengths of its axes, so that each of their values is
    still met."""
    return itertools.islice(grid, 0, None, every if IS_SANITIZED else 1)


class Case(unittest.TestCase):
    """A test with a folder of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="latent-golden-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def close(self, found, expected, limit, what):
        """Largest difference at most limit, and both of the same shape and finite."""
        found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
        self.assertEqual(found.shape, expected.shape, what)
        self.assertTrue(np.isfinite(found).all() and np.isfinite(expected).all(), what)
        worst = float(np.abs(found - expected).max())
        self.assertLessEqual(worst, limit, f"{what}: largest difference {worst:.3g}")
        return worst

    def run_ok(self, *command):
        """Run a command that must succeed -> its output."""
        result = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, f"{command}\n{result.stdout}{result.stderr}")
        return result.stdout

    def export(self, arch, source, *options, name="model"):
        """models/ARCH/export.py, inside this process because a test makes a hundred of them
        -> path of the model file."""
        out = self.folder / f"{name}.safetensors"
        exporter = importlib.import_module(f"latent_models.{arch}.export")
        words = [str(word) for word in ("export.py", source, out, *options)]
        with unittest.mock.patch.object(sys, "argv", words), \
                contextlib.redirect_stdout(io.StringIO()), \
                contextlib.redirect_stderr(io.StringIO()):
            exporter.main()
        return out

    def refused(self, arch, source, *options, text=()):
        """models/ARCH/export.py must say no: exit code 2, no file, a text with every word of
        text."""
        out = self.folder / "refused.safetensors"
        command = [PYTHON, MODELS / arch / "export.py", source, out, *options]
        result = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        self.assertEqual(result.returncode, 2, f"{command}\n{result.stdout}{result.stderr}")
        self.assertFalse(out.exists(), "a refused checkpoint left a model file behind")
        self.assertNotIn("Traceback", result.stderr)
        for word in text:
            self.assertIn(word, result.stderr)
        return result.stderr

    def decode(self, model, counts, mode=None, session=None):
        """latent-decode on counts [K, T, C] -> dict of arrays; rates in Hz."""
        file = read_model(model)
        bin_ms, session = file.config["bin_width_us"] / 1000, session or session_of(file)
        source, out = self.folder / "counts.h5", self.folder / "decoded.h5"
        with h5py.File(source, "w") as f:
            f["counts"] = counts
            f.attrs["bin_width_ms"] = bin_ms
        out.unlink(missing_ok=True)
        self.run_ok(BIN / "latent-decode", "--model", model, "--in", f"{source}:/counts", "--out",
                    out, *(["--mode", mode] if mode else []),
                    *(["--session", session] if session else []))
        with h5py.File(out) as f:
            arrays = {name: f[name][()] for name in f}
            self.assertEqual(float(f.attrs["bin_width_ms"]), bin_ms)
            arrays["bin_s"] = bin_ms / 1000
        return arrays


def session_of(model):
    """The session of its known answer, or None."""
    sessions = model.config["hyper"].get("sessions")
    return model.config["hyper"].get("session", sessions[0]) if sessions else None


def lograte(decoded):
    """Log expected counts per bin of what latent-decode wrote."""
    return np.log(decoded["rates"].astype(np.float64) * decoded["bin_s"])


def random_counts(seed, *shape, mean=0.6):
    return np.random.default_rng(seed).poisson(mean, shape).astype(np.uint8)


def random_tensors(seed, shapes, gain=1.0):
    """Weights of a sensible size for every name -> shape: fan-in scaled, norms near one."""
    generator = np.random.default_rng(seed)
    tensors = {}
    for name, shape in shapes.items():
        fan_in = shape[-1] if len(shape) > 1 else 4
        tensors[name] = (gain * generator.normal(size=shape) / math.sqrt(fan_in)).astype(np.float32)
        if "norm" in name and name.endswith("weight"):
            tensors[name] = tensors[name] * np.float32(0.2) + np.float32(1)
    return tensors


def main():
    unittest.main(verbosity=2)

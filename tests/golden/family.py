"""What the tests of the smaller architectures share: a checkpoint of random tensors through the
exporter, stepped against the reference with and without gaps, and refusals by the loader in C."""
import json
import subprocess

import numpy as np

import golden
import stepping

from latent_models.common import safetensors
from latent_models.common.model_file import read_model, write_model

GAPS = ((), (0, 1, 7), (5, 6, 7, 20))


class Family(stepping.Stepping):
    """arch: of the model; answer: its reference.run."""

    arch, answer, limit = "", None, 1e-5

    def checkpoint(self, tensors, hyper=None, name="checkpoint", **facts):
        """What a trainer of this project writes -> path."""
        path = self.folder / f"{name}.safetensors"
        facts = {"bin_width_us": 20000, "hyper": hyper or {}, "licence": "Apache-2.0", **facts}
        safetensors.write(path, {k: np.asarray(v, np.float64) for k, v in tensors.items()},
                          {"latent": json.dumps(facts)})
        return path

    def make(self, tensors, *options, hyper=None, name="model", **facts):
        return self.export(self.arch, self.checkpoint(tensors, hyper, **facts), *options, name=name)

    def check_gaps(self, path, counts, what, gaps=GAPS):
        """Every gap, and a snapshot halfway: as the reference says."""
        for missing in gaps:
            with self.subTest(what, missing=missing):
                self.compare_steps(path, self.answer, "causal", counts, missing, limit=self.limit,
                                   what=what)

    def check_replay(self, path, counts):
        """The same bins twice, and as a trial of several: the same bits."""
        one = self.steps(path, "causal", counts)["latents"]
        two = self.decode(path, np.stack([counts, counts]))["latents"]
        for trial in two:
            self.assertTrue(np.array_equal(trial.astype(np.float64), one))

    def refused_by_core(self, path, change, *words):
        """A model file altered after its export must not open; the text has every word."""
        model = read_model(path)
        change(model)
        bad = self.folder / "bad.safetensors"
        write_model(bad, model)
        command = [stepping.STEPS, bad, "causal", "/dev/null", self.folder / "none", 0]
        result = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        self.assertEqual(result.returncode, 1, words)
        for word in words:
            self.assertIn(word, result.stderr)

    def check_shipped(self, name):
        """A shipped file opens, is small and free -> (path, model)."""
        path = golden.MODELS / self.arch / f"{name}.safetensors"
        model = read_model(path)
        self.assertLess(path.stat().st_size, 2_000_000)
        self.assertEqual(model.config["licence"], "Apache-2.0")
        return path, model


def hyper(**values):
    """A change of hyper-parameters; None removes."""
    def change(model):
        for key, value in values.items():
            if value is None:
                model.hyper.pop(key)
            else:
                model.hyper[key] = value
    return change


def drop(name):
    return lambda model: model.weights.pop(name)


def put(name, change):
    """A tensor altered by a function of the array."""
    def alter(model):
        model.weights[name] = change(model.weights[name].copy())
    return alter


def main():
    golden.need_binaries("latent-decode", "golden_steps")
    golden.main()

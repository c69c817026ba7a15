#!/usr/bin/python3
"""The readout stage behind every kind of model: C against the float64 reference in every mode, over
gaps and a snapshot; and what models/readout/fit.py finds, writes and refuses."""
import importlib
import itertools
import subprocess

import h5py
import numpy as np

import golden
import stepping

from latent_models.common import stage
from latent_models.common.model_file import read_model, write_model
from latent_models.readout import fit
import test_decode
from test_decode import N_CHANNELS, TRIAL_BINS

LIMIT = 2e-5  # of the largest readout: latents within a few 1e-6, weights of both signs
BIN_MS = 10
NAMES = [{"name": n, "unit": "mm/s", "neutral": 0.0, "min": None, "max": None, "slew": None}
         for n in ("vx", "vy")]


def with_stage(path, seed, group, tau_ms, lags):
    """The model at path with a random stage on what it gives."""
    model = read_model(path)
    n_inputs = model.config["outputs"][group]
    g = np.random.default_rng(seed)
    tensors = dict(zip(stage.TENSORS, (g.normal(size=n_inputs), g.uniform(0.5, 2, n_inputs),
                                       g.normal(size=(2, lags, n_inputs)) * 20,
                                       g.normal(size=2) * 100)))
    fit.add_stage(model, {"input": group, "tau_ms": tau_ms, "lags": lags}, tensors, NAMES, "random")
    write_model(path, model)
    return model


class BehindNdt(test_decode.NdtMaking):
    def test_every_mode(self):
        grid = itertools.product(("causal", "ahead 1"), stage.INPUTS, ((0, 1), (25, 3)))
        for seed, (mask, group, (tau_ms, lags)) in enumerate(grid):
            path = self.make(seed, "linear", mask)
            model = with_stage(path, seed, group, tau_ms, lags)
            for mode in model.config["modes"]:
                with self.subTest(mask, group=group, lags=lags, mode=mode):
                    n_bins = TRIAL_BINS + 7 if mode in ("C", "D") else TRIAL_BINS
                    counts = golden.random_counts(seed, 2, n_bins, N_CHANNELS)
                    self.check_mode(path, model, counts, mode, lags)

    def check_mode(self, path, model, counts, mode, lags):
        run = stage.staged(importlib.import_module("latent_models.ndt.reference").run)
        decoded = self.decode(path, counts, mode)
        for trial, readout, flags in zip(counts, decoded["readout"], decoded["flags"]):
            expected = run(model.weights, model.config, trial.astype(np.float64), mode)["readout"]
            warm = flags & golden.FLAG_WARMUP != 0
            if mode == "trial":  # no flags: the rows without all their lags are neutral
                warm = np.arange(len(trial)) < lags - 1
            self.assertTrue(warm[:lags - 1].all() and not warm.all())
            self.assertTrue((readout[warm] == 0).all(), "neutral while warming up")
            self.close(readout[~warm], expected[~warm], LIMIT * np.abs(expected).max(), mode)


class BehindGru(test_decode.GruMaking, stepping.Stepping):
    def test_gaps_and_a_snapshot(self):
        for seed, (group, missing) in enumerate(itertools.product(
                stage.INPUTS, ((), (3, 4, 5, 11)))):
            path = self.make(seed, 1, 7, 0)
            model = with_stage(path, seed, group, 30, 4)
            counts = golden.random_counts(seed, 24, 7)
            found = self.steps(path, "causal", counts, missing, save_at=9)
            rows = np.exp(found["lograte"]) if group == "rates" else found["latents"]
            answer = {"lograte": np.log(rows), "latents": rows} if group == "rates" else \
                {"latents": rows}
            expected = stage.apply(model.weights, model.config, answer)
            self.close(found["readout"][3:], expected[3:], LIMIT * np.abs(expected).max(), group)
            whole = self.decode(path, counts[None])
            if not missing:
                self.assertTrue(np.array_equal(whole["readout"][0], np.float32(found["readout"])),
                                "offline, and live over a snapshot: the same bits")


class Fit(test_decode.GruMaking):
    """On a recording whose behaviour is a known function of the latents."""

    def recording(self, seed=0, n_bins=4000):
        """-> (model, file, truth): behaviour from smoothed, lagged latents, and a little noise; the
        second half of every hundred bins is not to be used, and spoilt."""
        path = self.make(1, 1, 7, 0, hidden=5)
        counts = golden.random_counts(seed, n_bins, 7)
        g = np.random.default_rng(seed)
        latents = self.decode(path, counts[None])["latents"][0].astype(np.float64)
        smoothed = stage.smooth(latents, stage.decay_of(40, 5))
        clean = stage.lagged(smoothed, 3).reshape(n_bins, -1) @ g.normal(size=(15, 2)) * 100
        use = np.arange(n_bins) % 100 < 50
        noisy = clean + g.normal(size=clean.shape) * clean.std(0) * 0.1
        file = self.folder / "recording.h5"
        with h5py.File(file, "w") as f:
            f["counts"], f["use"] = counts, use
            f["velocity"] = np.where(use[:, None], noisy, 1e4)
        return path, file, clean

    def fit(self, path, file, *options):
        out = self.folder / "fitted.safetensors"
        text = self.run_ok(golden.PYTHON, golden.MODELS / "readout" / "fit.py", path, "--in",
                           f"{file}:/counts", "--behaviour", f"{file}:/velocity", "--bin-ms", 5,
                           "--names", "vx,vy", "--unit", "mm/s", "--out", out, *options)
        return out, text

    def test_finds_what_is_there(self):
        path, file, clean = self.recording()
        for options in ((), ("--blocks", 20)):
            out, text = self.fit(path, file, "--use", f"{file}:/use", *options)
            model = read_model(out)
            self.assertEqual(model.config["stage"]["tau_ms"], 40, text)
            self.assertEqual([r["name"] for r in model.config["outputs"]["readout"]], ["vx", "vy"])
            with h5py.File(file) as f:
                found = self.decode(out, f["counts"][()][None])["readout"][0]
            warm = model.config["stage"]["lags"] - 1
            error = ((found - clean)[warm:] ** 2).sum(0) / ((clean - clean.mean(0)) ** 2).sum(0)
            self.assertLess(error.max(), 0.01, text)
            self.assertIn("on held-out blocks 0.9", text)

    def test_refit_replaces(self):
        path, file, _ = self.recording(n_bins=1000)
        once, _ = self.fit(path, file, "--tau", 0, "--lags", 1, "--force")
        self.assertEqual(read_model(once).config["stage"]["lags"], 1)
        first = self.folder / "first.safetensors"
        once.rename(first)
        twice, _ = self.fit(first, file, "--tau", 0, "--lags", 2, "--from", "rates",
                            "--force")
        model = read_model(twice)
        self.assertEqual(model.config["stage"], {"input": "rates", "tau_ms": 0, "lags": 2})
        self.assertEqual(model.config["source"].count("stage: "), 1)
        self.assertEqual(model.weights["stage.weight"].shape, (2, 2, 7))

    def test_refusals(self):
        own, out = self.folder / "own.safetensors", self.folder / "refused.safetensors"
        self.make(2, 1, 0, 2).rename(own)
        path, file, _ = self.recording(n_bins=300)
        usual = {"--in": f"{file}:/counts", "--behaviour": f"{file}:/velocity", "--bin-ms": "5",
                 "--out": str(out)}
        with h5py.File(file, "a") as f:
            f["none"], f["short"] = np.zeros(300), np.zeros(299)
        cases = ((own, {}, ("readout of its own",)), (path, {"--behaviour": None}, ("behaviour",)),
                 (path, {"--bin-ms": "10"}, ("10 ms", "5 ms")),
                 (path, {"--use": f"{file}:/none"}, ("no bin",)),
                 (path, {"--use": f"{file}:/short"}, ("299", "300")),
                 (path, {"--blocks": "60"}, ("300 bins", "60 pieces")),
                 (path, {"--lags": "500"}, ("500 lags of 5 latents", "2000")),
                 (path, {"--mode": "A"}, ("mode", "\"A\"")),
                 (file, {}, ("safetensors",)))
        for model, changes, words in cases:
            options = [x for pair in {**usual, **changes}.items() if pair[1] for x in pair]
            command = [golden.PYTHON, golden.MODELS / "readout" / "fit.py", model, *options]
            result = subprocess.run([str(c) for c in command], capture_output=True, text=True)
            with self.subTest(changes=changes, model=str(model.name)):
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertNotIn("Traceback", result.stderr)
                self.assertFalse(out.exists())
                for word in words:
                    self.assertIn(word, result.stderr)


if __name__ == "__main__":
    golden.need_binaries("latent-decode", "golden_steps")
    golden.main()

#!/usr/bin/python3
"""Normalisation that a model file declares: C against numpy, which keeps every bin and pools in two
passes; frozen, thawed, reset, loaded and through snapshots; what exporters write and refuse."""
import copy
import importlib
import pathlib
import subprocess
import unittest

import numpy as np

import golden
import latentd
from latentd import Decoder, Mark

from latent_models.common import normalise
from latent_models.common.model_file import read_model, run_selftest, write_model
from latent_models.common.reference_command import run_trials
from latent_models.common.refusal import Refusal

LIBRARY = pathlib.Path(latentd.__file__).with_name("liblatent.so")
MODELS = ("gru/reach", "kalman/reach", "wiener/reach", "marble/animal_a")
RULES = {"fixed": {"outlier": 3}, "ewma": {"tau_s": 0.4, "bound_sd": 0.5},
         "window-trials": {"window_trials": 4, "min_trials": 3, "outlier": 10}}
N_TRIALS, N_BINS = 7, 60


def declared(path, kind, seed, rules=None):
    """The model at path with this normalisation, its known answers computed anew."""
    model = read_model(path)
    n, g = model.config["n_channels"], np.random.default_rng(seed)
    model.config["normalise"] = {"kind": kind, "mean": list(g.uniform(0, 2, n)),
                                 "sd": list(g.uniform(0.5, 2, n)),
                                 **(RULES[kind] if rules is None else rules)}
    model.config.get("channels", {}).pop("clip", None)
    for entry in model.config["outputs"]["readout"]:  # their limits are not what is looked at
        entry.update({"min": None, "max": None, "slew": None})
    run = importlib.import_module(f"latent_models.{model.config['arch']}.reference").run
    run_selftest(model, run, 30)
    return model, run


class NormaliseTest(golden.Case):
    def make(self, name, kind, seed=1, rules=None):
        path = self.folder / f"{name.replace('/', '_')}-{kind}.safetensors"
        model, run = declared(golden.MODELS / f"{name}.safetensors", kind, seed, rules)
        write_model(path, model)
        return path, model, run

    def counts(self, model, seed=3):
        n_bins = min(N_BINS, model.hyper.get("trial_bins") or N_BINS)
        return np.random.default_rng(seed).poisson(
            1.0, (N_TRIALS, n_bins, model.config["n_channels"])).astype(np.float32)

    def test_as_numpy_has_it(self):
        """Whole recordings of trials through latent-decode, each kind, streaming and offline."""
        for name in MODELS:
            for kind in RULES:
                path, model, run = self.make(name, kind)
                counts = self.counts(model)
                for mode in model.config["modes"]:
                    with self.subTest(name, kind=kind, mode=mode):
                        expected = run_trials(run, model, counts.astype(np.float64), mode)
                        found = self.decode(path, counts, mode)
                        warm = found["flags"] & golden.FLAG_WARMUP != 0
                        group = "latents" if "latents" in found else "readout"
                        size = np.abs(expected[group]).max()
                        error = np.abs(found[group] - expected[group])[~warm]
                        self.assertLess(error.max(), 2e-5 * max(1, size))

    # ---- bin by bin, in this process

    def decoder(self, kind, rules=None):
        path, model, _ = self.make("wiener/reach", kind, rules=rules)
        decoder = Decoder(path)
        self.addCleanup(decoder.close)
        return decoder, model

    def pooled(self, model, trials):
        """By numpy alone: mean and sd of the newest trials, mixed with the start while few."""
        rules = model.config["normalise"]
        bins = np.concatenate(trials[-rules["window_trials"]:]).astype(np.float64)
        n, least = min(len(trials), rules["window_trials"]), rules["min_trials"]
        share = min(n, least) / least
        return [share * new + (1 - share) * np.array(old)
                for new, old in ((bins.mean(0), rules["mean"]), (bins.std(0), rules["sd"]))]

    @unittest.skipUnless(LIBRARY.exists(), "no liblatent.so that Python can load")
    def test_window_equals_numpy(self):
        """To 1e-9 after every trial, trials of any length, however far from 0 the values lie."""
        for offset in (0, 1000):
            decoder, model = self.decoder("window-trials")
            g, trials = np.random.default_rng(8), []
            for k in range(9):
                rows = g.poisson(2.0, (int(g.integers(1, 50)), model.config["n_channels"])) + offset
                before = decoder.normalisation
                for t, row in enumerate(rows):
                    self.assertEqual(decoder.normalisation.version, before.version)
                    decoder.step(row, (Mark.TRIAL_START if t == 0 else 0)
                                 | (Mark.TRIAL_END if t == len(rows) - 1 else 0))
                trials.append(rows)
                now = decoder.normalisation
                self.assertEqual((now.version, now.n_trials), (k + 1, min(k + 1, 4)))
                for found, expected in zip((now.mean, now.sd), self.pooled(model, trials)):
                    self.assertLess(np.abs(found - expected).max(), 1e-9)
                decoder.step(np.full(model.config["n_channels"], 5000))  # outside of a trial
                np.testing.assert_array_equal(decoder.normalisation.mean, now.mean)

    @unittest.skipUnless(LIBRARY.exists(), "no liblatent.so that Python can load")
    def test_ewma_and_orders(self):
        """Frozen it stays, thawed it goes on, reset and load put it back, masked channels stay;
        a snapshot holds all of it; a predicted bin and a reset teach nothing."""
        decoder, model = self.decoder("ewma")
        counts = self.counts(model).reshape(-1, model.config["n_channels"])
        key = normalise.Normaliser(model.config)
        for i, row in enumerate(counts[:60]):
            decoder.step(row)
            key.follow(row.astype(np.float64))
            np.testing.assert_allclose(decoder.normalisation.mean, key.mean, atol=1e-12)
            np.testing.assert_allclose(decoder.normalisation.sd, key.sd, atol=1e-12)
        decoder.normalise("freeze")
        decoder.step(counts[60])
        self.assertTrue(decoder.normalisation.frozen)
        np.testing.assert_allclose(decoder.normalisation.mean, key.mean, atol=1e-12)
        saved = decoder.save()
        decoder.normalise("thaw")
        decoder.mask([2])
        decoder.step(counts[61])
        key.follow(counts[61].astype(np.float64))
        found = decoder.normalisation
        self.assertNotEqual(found.mean[2], key.mean[2])
        np.testing.assert_allclose(np.delete(found.mean, 2), np.delete(key.mean, 2), atol=1e-12)
        decoder.reset()
        np.testing.assert_array_equal(decoder.normalisation.mean, found.mean)
        decoder.normalise("load", key.mean + 1, key.sd * 1.5)
        np.testing.assert_array_equal(decoder.normalisation.mean, key.mean + 1)
        decoder.normalise("reset")
        np.testing.assert_array_equal(decoder.normalisation.mean, model.config["normalise"]["mean"])
        self.assertEqual(decoder.normalisation.version, 4)
        decoder.load(saved)
        self.assertEqual((decoder.normalisation.version, decoder.normalisation.frozen), (1, True))
        for bad in ((None, None), (key.mean, key.sd * np.nan), (key.mean[1:], key.sd[1:]),
                    (key.mean, key.sd * 0 - 1)):
            with self.assertRaises(latentd.Error):
                decoder.normalise("load", *bad)

    @unittest.skipUnless(LIBRARY.exists(), "no liblatent.so that Python can load")
    def test_bounds(self):
        decoder, model = self.decoder("ewma")
        rules, n = model.config["normalise"], model.config["n_channels"]
        for _ in range(400):
            decoder.step(np.full(n, 200))
        found = decoder.normalisation
        np.testing.assert_allclose(found.mean, np.array(rules["mean"])
                                   + 0.5 * np.array(rules["sd"]), rtol=1e-12)
        np.testing.assert_allclose(found.sd, 3 * np.array(rules["sd"]), rtol=1e-12)
        self.assertEqual(found.n_bounded, n)

    def test_refused(self):
        """A declaration that is none, with the key and what was found; models that need counts."""
        path, model, _ = self.make("wiener/reach", "window-trials")
        for change, words in (({"kind": "median"}, "\"kind\""), ({"mean": [1]}, "\"mean\""),
                              ({"sd": [-1] * model.config["n_channels"]}, "\"sd\""),
                              ({"sd": [0] * model.config["n_channels"], "eps": 0}, "\"eps\""),
                              ({"tau_s": 3}, "tau_s"), ({"min_trials": 5}, "\"min_trials\""),
                              ({"window_trials": 0}, "\"window_trials\""),
                              ({"outlier": -1}, "\"outlier\"")):
            with self.subTest(str(change)[:40]):
                other = copy.deepcopy(model)
                other.config["normalise"].update(change)
                write_model(path, other)
                text = self.refusal(path)
                self.assertIn("latent.config.normalise", text)
                self.assertIn(words, text)
        model = read_model(golden.MODELS / "ndt" / "lorenz_causal.safetensors")
        n = model.config["n_channels"]
        model.config["normalise"] = {"kind": "fixed", "mean": [0.0] * n, "sd": [1.0] * n}
        write_model(path, model)
        self.assertRegex(self.refusal(path), "takes counts, not normalised|known answer")

    def refusal(self, path):
        done = subprocess.run([golden.BIN / "latent-decode", "--model", path, "--in", "none.h5:/c",
                               "--out", "none"], capture_output=True, text=True)
        self.assertNotEqual(done.returncode, 0)
        return done.stderr

    def test_option_of_exporters(self):
        channels = {"mean": [1.0, 2.0], "variance": [4.0, 0.25]}
        self.assertEqual(normalise.parse("ewma,tau_s=60", channels),
                         {"kind": "ewma", "mean": [1.0, 2.0], "sd": [2.0, 0.5], "tau_s": 60.0})
        self.assertEqual(normalise.parse("window-trials,min_trials=3", channels)["min_trials"], 3)
        for text in ("median", "ewma,tau_s", "ewma,tau_s=x", "fixed,tau_s=3", "fixed,"):
            with self.subTest(text), self.assertRaises(Refusal):
                normalise.parse(text, channels)
        with self.assertRaisesRegex(Refusal, "--statistics"):
            normalise.parse("fixed", None)


if __name__ == "__main__":
    golden.main()

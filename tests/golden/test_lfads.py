#!/usr/bin/python3
"""LFADS with random weights: every part of the architecture present and absent, every mode and gap
through C against reference.py; both importers; and what is refused."""
import itertools
import subprocess

import numpy as np
import torch

import golden
import stepping

from latent_models.common import safetensors
from latent_models.common.model_file import read_model
from latent_models.lfads import reference
from lfads_making import Making, N, SMALL
from latent_models.sae import export as sae_export

LIMIT = 1e-5
ALONE = {"ci_enc_dim": 0, "con_dim": 0, "co_dim": 0, "ci_lag": 0}  # no controller
CAUSAL = {"ci_bidirectional": False, "prefix_bins": 3}
VARIANTS = {
    "full": {}, "lag 0": {"ci_lag": 0}, "lag 2": {"ci_lag": 2}, "external": {"ext_input_dim": 2},
    "read-in": {"readin_dim": 3}, "gaussian": {"reconstruction": "gaussian"},
    "generator": {"latents": "generator"}, "controller": {"latents": "controller"},
    "inputs": {"latents": "inputs"}, "prefix": {"prefix_bins": 3},
    "prefix, lag beyond it": {"prefix_bins": 7, "ci_lag": 4}, "clipped": {"cell_clip": 0.2},
    "alone": ALONE, "alone, external": {**ALONE, "ext_input_dim": 3},
    "alone, prefix": {**ALONE, "prefix_bins": 4},
    "alone, prefix, external": {**ALONE, "prefix_bins": 4, "ext_input_dim": 2},
    "constant start": {"ic_enc_dim": 0},
    "alone, constant start": {**ALONE, "ic_enc_dim": 0, "ext_input_dim": 2},
    "causal": CAUSAL, "causal, lag 0": {**CAUSAL, "ci_lag": 0},
    "causal, lag 4, external, read-in": {**CAUSAL, "ci_lag": 4, "ext_input_dim": 1,
                                         "readin_dim": 4},
    "causal, constant start": {**CAUSAL, "prefix_bins": 0, "ic_enc_dim": 0},
    "causal, gaussian": {**CAUSAL, "reconstruction": "gaussian"},
}


class Random(Making):
    """Every part present and absent, every mode and gap."""

    def causal(self, hyper):
        return hyper["con_dim"] and not hyper["ci_bidirectional"]

    def check_flags(self, hyper, mode, flags):
        n = hyper["window_bins"] if mode == "window" else hyper["prefix_bins"]
        warm = flags & golden.FLAG_WARMUP != 0
        self.assertEqual(list(warm), [t + 1 < n for t in range(len(flags))], "WARMUP")
        ends = mode == "prefix" and not hyper["con_dim"]
        outside = flags & golden.FLAG_OUTSIDE != 0
        expected = [ends and t >= hyper["trial_bins"] for t in range(len(flags))]
        self.assertEqual(list(outside), expected, "OUTSIDE")

    def test_every_mode_and_gap(self):
        gaps = ((), (0, 1, 4), (2, 3, 8, 9, 10, 16, 19))
        for seed, (name, changes) in enumerate(VARIANTS.items()):
            model = self.small(seed, **changes)
            path = self.write(model)
            counts = golden.random_counts(seed, 20, model.config["n_channels"])
            for mode, missing in itertools.product(model.config["modes"][:-1], gaps):
                with self.subTest(name, mode=mode, missing=missing):
                    found, _ = self.compare_steps(path, reference.run, mode, counts, missing,
                                                  limit=LIMIT, what=name)
                    self.check_flags(model.hyper, mode, found["flags"])
            for n_bins in (1, 4, 9, 14):
                with self.subTest(name, mode="trial", n_bins=n_bins):
                    self.check_trial(model, path, counts[:n_bins])
            if self.causal(model.hyper):
                self.check_trial(model, path, counts)

    def check_trial(self, model, path, counts):
        expected = reference.run(model.weights, model.config, counts, "trial")
        found = self.decode(path, counts[None], "trial")
        if "rates" in found:
            found["lograte"] = golden.lograte(found)
        for group, array in expected.items():
            if array is not None:
                self.close(found[group][0], array, LIMIT * max(1, np.abs(array).max()), group)

    def test_fewer_rates_than_channels(self):
        """A missing bin then counts as the training mean."""
        for mode, changes in (("window", {}), ("prefix", CAUSAL)):
            model = self.small(3, n_rates=4, **changes)
            model.config["channels"] = {"mean": [0.25 * (i + 1) for i in range(N)]}
            counts = golden.random_counts(3, 20, N)
            path = self.write(model)
            self.compare_steps(path, reference.run, mode, counts, (0, 2, 11),
                               limit=LIMIT, what=mode)
        path = self.write(self.small(3, n_rates=4))
        command = [stepping.STEPS, path, "window", "/dev/null", self.folder / "none", "0"]
        result = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        self.assertIn("training mean", result.stderr)

    def test_prefix_is_the_trial(self):
        """One step per bin gives what the whole trial gives, once the prefix is complete."""
        for name in ("causal", "causal, lag 0", "causal, lag 4, external, read-in",
                     "causal, constant start", "alone, prefix", "alone, prefix, external"):
            with self.subTest(name):
                model = self.small(5, **VARIANTS[name])
                path, first = self.write(model), max(model.hyper["prefix_bins"] - 1, 0)
                counts = golden.random_counts(5, 14, model.config["n_channels"])
                trial = self.decode(path, counts[None], "trial")["latents"][0]
                prefix = self.steps(path, "prefix", counts)["latents"]
                self.close(prefix[first:], trial[first:], 1e-6, name)

    def test_prefix_is_the_window_until_it_slides(self):
        for name in ("causal", "causal, lag 0", "causal, constant start", "alone, prefix"):
            with self.subTest(name):
                path = self.write(self.small(6, **VARIANTS[name]))
                counts = golden.random_counts(6, 12, N + VARIANTS[name].get("ext_input_dim", 0))
                window, prefix = (self.steps(path, mode, counts)["latents"]
                                  for mode in ("window", "prefix"))
                self.close(prefix[:9], window[:9], 1e-6, name)
                self.assertGreater(np.abs(prefix[9:] - window[9:]).max(), 1e-4, "it slides")

    def test_forecast_over_a_gap_is_that_of_the_trial(self):
        """Missing bins after a full window: the same steps as rows past the window of a trial."""
        for name in ("full", "external", "alone", "read-in"):
            with self.subTest(name):
                model = self.small(7, **VARIANTS[name])
                path = self.write(model)
                counts = golden.random_counts(7, 14, model.config["n_channels"])
                trial = self.decode(path, counts[None], "trial")["latents"][0]
                window = self.steps(path, "window", counts, range(9, 14))["latents"]
                self.assertTrue(np.array_equal(window[8:], trial[8:]))


class Export(Making):
    """What the exporter takes and refuses."""

    stated = ("--bin-width", "20", "--window", "9", "--lag", "1", "--clip", "5",
              "--link", "exp")

    def save(self, tensors, **beside):
        path = self.folder / "checkpoint.ckpt"
        state = {k: torch.tensor(v) for k, v in tensors.items()}
        torch.save({"state_dict": state, **beside} if beside else state, path)
        return path

    def test_torch_checkpoint(self):
        """A Lightning file: sessions chosen, priors dropped, hyper-parameters read."""
        tensors = self.random_tensors(1, SMALL)
        expected = dict(tensors)
        for part in ("weight", "bias"):
            array = tensors.pop(f"readout.{part}")
            tensors.update({f"readout.0.{part}": array, f"readout.1.{part}": array + 1})
        tensors.update({"ic_prior.mean": np.zeros(5), "co_prior.logtaus": np.zeros(2)})
        said = {"encod_seq_len": 9, "recon_seq_len": 14, "ic_enc_seq_len": 0, "ci_lag": 1,
                "cell_clip": 5.0, "gen_dim": 11, "lr_init": 1e-3, "l2_gen_scale": 1.0}
        source = self.save(tensors, hyper_parameters=said)
        model = read_model(self.export("lfads", source, "--bin-width", "20", "--session", "0"))
        self.assertEqual(model.hyper, SMALL)
        self.assertEqual(model.config["modes"], ["window", "trial"])
        self.assertEqual(set(model.weights), set(expected))
        for name, array in expected.items():
            self.assertTrue(np.array_equal(model.weights[name], array), name)
        self.refused("lfads", source, "--bin-width", "20", text=("--session", "0, 1"))
        self.refused("lfads", source, "--bin-width", "20", "--session", "0", "--lag", "2",
                     text=("--lag 2", "says 1"))
        for change, word in (({"gen_dim": 12}, "gen_dim"), ({"alibi": 1}, "alibi")):
            source = self.save(tensors, hyper_parameters={**said, **change})
            self.refused("lfads", source, "--bin-width", "20", "--session", "0", text=(word,))

    def test_causal_first(self):
        source = self.save(self.random_tensors(2, {**SMALL, **CAUSAL}))
        model = read_model(self.export("lfads", source, *self.stated, "--prefix-bins", "3"))
        self.assertEqual(model.config["modes"], ["prefix", "window", "trial"])
        self.assertEqual(model.hyper, {**SMALL, **CAUSAL, "trial_bins": 9})

    def test_gaussian(self):
        source = self.save(self.random_tensors(2, {**SMALL, "reconstruction": "gaussian"}))
        names = ",".join(f"cell{i}" for i in range(N))
        options = ("--reconstruction", "gaussian", "--readout-names", names)
        model = read_model(self.export("lfads", source, *self.stated, *options))
        self.assertEqual(model.config["outputs"]["rates"], 0)
        self.assertEqual([r["name"] for r in model.config["outputs"]["readout"]], names.split(","))

    def test_refusals(self):
        cell = "decoder.rnn.cell."
        cases = (
            (lambda t: t.pop(cell + "gen_cell.bias_hh"), ("gen_cell.bias_hh", "missing")),
            (lambda t: t.update({"decoder.extra": np.zeros(2)}), ("decoder.extra", "no place")),
            (lambda t: t.update({cell + "fac_linear.weight": np.zeros((4, 12))}),
             ("fac_linear.weight", "shape")),
            (lambda t: t.update({"readout.bias": np.full(N, np.inf)}), ("readout.bias", "finite")),
            (lambda t: [t.pop(k) for k in list(t) if ".ci_enc" in k], ("encoder.ci_enc",)),
            (lambda t: [t.pop(k) for k in list(t) if ".ic_enc" in k or "ic_linear" in k],
             ("ic_prior.mean",)),
            (lambda t: t.pop("decoder.ic_to_g0.weight"), ("ic_to_g0", "not an LFADS")),
        )
        for change, words in cases:
            with self.subTest(words):
                tensors = self.random_tensors(3, SMALL)
                change(tensors)
                self.refused("lfads", self.save(tensors), *self.stated, text=words)
        source = self.save(self.random_tensors(3, SMALL))
        for options, words in ((self.stated[:4], ("--lag",)), (self.stated[:6], ("--clip",)),
                               (self.stated[:2], ("--window",)),
                               ((*self.stated, "--prefix-bins", "9"), ("prefix 9",)),
                               ((*self.stated, "--trial-bins", "8"), ("trial 8",)),
                               ((*self.stated, "--modes", "prefix"), ("mode prefix",))):
            with self.subTest(words):
                self.refused("lfads", source, *options, text=words)

    def test_causal_needs_a_prefix(self):
        source = self.save(self.random_tensors(2, {**SMALL, **CAUSAL}))
        self.refused("lfads", source, *self.stated, text=("--prefix-bins",))

    def keras(self, **changes):
        tensors = self.random_tensors(4, SMALL)
        for name in tensors:
            tensors[name] *= np.float32(not name.endswith("bias_hh"))  # there is none in Keras
        source = self.folder / "keras.safetensors"
        safetensors.write(source, {**self.keras_names(tensors), "model/logtaus": np.zeros(2),
                                   **changes}, {})
        return tensors, source

    def test_keras(self):
        tensors, source = self.keras()
        model = read_model(self.export("lfads", source, *self.stated))
        self.assertEqual(model.hyper, {**SMALL, "trial_bins": 9})
        self.assertEqual(set(model.weights), set(tensors))
        for name, array in tensors.items():
            self.assertTrue(np.array_equal(model.weights[name], array), name)

    def test_keras_refusals(self):
        cell = "model/decoder/rnn/cell/gen_gru_cell/"
        cases = (
            ({cell + "bias": np.zeros((2, 33), np.float32)}, ("reset_after",)),
            ({cell + "clip_value": np.float32(4)}, ("4.0, 5.0",)),
            ({"model/decoder/odd/kernel": np.zeros(3, np.float32)}, ("decoder/odd/kernel",)),
            ({"model/lowd_readin/kernel": np.zeros((3, 3), np.float32)}, ("read-in",)),
        )
        for change, words in cases:
            with self.subTest(words):
                self.refused("lfads", self.keras(**change)[1], *self.stated, text=words)
        _, source = self.keras()
        self.refused("lfads", source, *self.stated, "--prefix-bins", "5", text=("--prefix-bins",))
        self.refused("lfads", source, *self.stated[:6], "--clip", "4", text=("--clip 4", "5.0"))

    def test_other_architectures(self):
        sizes = {"encoder_size": 3, "latent_dim": 2, "n_channels": 4, "n_rates": 4, "hidden": 5,
                 "decoder": "node"}
        node = self.save(golden.random_tensors(1, sae_export.expected_shapes(sizes)))
        self.refused("lfads", node, *self.stated, text=("not an LFADS",))
        source = self.save(self.random_tensors(1, SMALL))
        self.refused("sae", source, "--window", "9", text=("not a sequential auto-encoder",))

    def test_whole_module(self):
        source = self.folder / "whole.ckpt"
        torch.save(torch.nn.Linear(1, 1), source)
        self.refused("lfads", source, *self.stated, text=("torch.nn.modules.linear.Linear",))


class Load(Making):
    """What the C loader refuses by name."""

    def test_refusals(self):
        cases = (
            ({"samples": 50}, "samples"), ({"ci_lag": 9}, "ci_lag"),
            ({"prefix_bins": 9}, "prefix_bins"),
            ({"reconstruction": "gamma"}, "gamma"), ({"con_dim": 0}, "ci_enc_dim"),
            ({"cell_clip": 0}, "cell_clip"), ({"dropout": 0.1}, "unknown key"),
            ({"ci_bidirectional": False}, "prefix_bins"), ({"trial_bins": 8}, "trial_bins"),
            ({"ext_input_dim": 1}, "shape"), ({"ic_enc_dim": 0}, "ic_prior.mean"),
            ({"cell_clip": 0.3}, "known answer"), ({"ci_lag": 2}, "known answer"),
            ({"window_bins": 8}, "known answer"),
        )
        for change, word in cases:
            with self.subTest(change):
                model = self.small(8)
                model.hyper.update(change)
                self.assertIn(word, self.fails(self.write(model)))

    def fails(self, path):
        """What golden_steps says of a model file it must not open."""
        command = [stepping.STEPS, path, "window", "/dev/null", self.folder / "none", 0]
        result = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        self.assertEqual(result.returncode, 1)
        return result.stderr

    def test_prefix_needs_a_model_that_runs_on(self):
        model = self.small(8)
        model.config["modes"].append("prefix")
        for group in ("latents", "lograte"):
            model.selftest[f"selftest.prefix.{group}"] = model.selftest[f"selftest.window.{group}"]
        self.assertIn("prefix", self.fails(self.write(model)))


if __name__ == "__main__":
    golden.need_binaries("latent-decode", "golden_steps")
    golden.main()

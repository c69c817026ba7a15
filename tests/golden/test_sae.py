#!/usr/bin/python3
"""Sequential auto-encoders with random weights: every decoder, convention, mode and gap through
exporter and C against reference.py, reference.py against PyTorch, and what is refused."""
import itertools
import json
import subprocess

import h5py
import numpy as np
import torch

import golden
import stepping

from latent_models.common import safetensors
from latent_models.common.model_file import read_model, write_model
from latent_models.sae import export, reference

LIMIT = 2e-5  # random models, a few steps: relative to the largest value
C, E, D, N, W, HIDDEN = 5, 6, 4, 5, 8, 9
SIZES = {"encoder_size": E, "latent_dim": D, "n_channels": C, "n_rates": N, "hidden": HIDDEN}
DECODERS = {
    "node": ("--window", W),
    "node rk4": ("--window", W, "--solver", "rk4", "--step", "0.2"),
    "node substeps": ("--window", W, "--substeps", "3", "--step", "0.4"),
    "node shown after a step": ("--window", W, "--first-output", "step"),
    "gru": ("--window", W),
    "gru shown at z0": ("--window", W, "--first-output", "z0"),
    "mlp": ("--window", W, "--activation", "relu", "--dt", "0.1"),
    "mlp tanh replaces": ("--window", W, "--activation", "tanh", "--dt", "none"),
}


class Small(stepping.Stepping):
    """Makes small random models."""

    def tensors(self, seed, decoder, **changes):
        kind = decoder.split()[0]
        shapes = export.expected_shapes({**SIZES, **changes, "decoder": kind})
        tensors = golden.random_tensors(seed, shapes)
        if kind == "mlp":  # the unused tensors of the class it derives from
            unused = export.cell_shapes(export.CELL, "", 1, changes.get("latent_dim", D))
            tensors.update(golden.random_tensors(seed, unused))
        return tensors

    def make(self, seed, decoder, **changes):
        source = self.folder / "tensors.safetensors"
        safetensors.write(source, self.tensors(seed, decoder, **changes), {})
        return self.export("sae", source, "--bin-width", "10", "--link", "exp",
                           *DECODERS[decoder])


class Random(Small):
    """Every decoder, convention, mode and gap."""

    def test_every_mode_and_gap(self):
        gaps = ((), (0, 1, 4), (3, W - 1, W, W + 1, 15))
        for seed, decoder in enumerate(DECODERS):
            path = self.make(seed, decoder)
            counts = golden.random_counts(seed, 20, C)
            for mode, missing in itertools.product(("window", "protocol"), gaps):
                with self.subTest(decoder, mode=mode, missing=missing):
                    found, _ = self.compare_steps(path, reference.run, mode, counts, missing,
                                                  limit=LIMIT, what=decoder)
                    warm = found["flags"] & golden.FLAG_WARMUP != 0
                    self.assertEqual(list(warm), [True] * (W - 1) + [False] * (21 - W))
            with self.subTest(decoder, mode="trial"):
                model = read_model(path)
                for n_bins in (1, 3, W, 20):
                    found = self.decode(path, counts[None, :n_bins], "trial")
                    expected = reference.run(model.weights, model.config, counts[:n_bins], "trial")
                    self.close(found["latents"][0], expected["latents"], LIMIT, decoder)
                    self.close(golden.lograte(found)[0], expected["lograte"], LIMIT, decoder)

    def test_sizes(self):
        """Widths around those of the kernels, more rates than channels, many latents."""
        for seed, changes in enumerate(({"latent_dim": 17}, {"latent_dim": 40, "hidden": 33},
                                        {"encoder_size": 1, "n_channels": 1, "n_rates": 70},
                                        {"encoder_size": 23, "latent_dim": 1})):
            for decoder in ("node", "gru", "mlp"):
                with self.subTest(decoder, **changes):
                    path = self.make(seed, decoder, **changes)
                    counts = golden.random_counts(seed, 12, changes.get("n_channels", C))
                    self.compare_steps(path, reference.run, "window", counts, (4, 9),
                                       limit=LIMIT, what=decoder)

    def test_modes_agree(self):
        """Offline equals live, to the last bit where the window is the trial."""
        for seed, decoder in enumerate(DECODERS):
            with self.subTest(decoder):
                path, counts = self.make(seed, decoder), golden.random_counts(seed, 14, C)
                trial = self.decode(path, counts[None], "trial")["latents"][0]
                window = self.steps(path, "window", counts[:W])["latents"]
                protocol = self.steps(path, "protocol", counts)["latents"]
                self.assertTrue(np.array_equal(trial[W - 1], window[-1]))
                self.assertTrue(np.array_equal(protocol[:W], window))
                self.assertTrue(np.array_equal(protocol[W - 1:], trial[W - 1:]))

    def test_forecast_over_a_gap_is_that_of_the_trial(self):
        path, counts = self.make(1, "node"), golden.random_counts(1, 14, C)
        trial = self.decode(path, counts[None], "trial")["latents"][0]
        window = self.steps(path, "window", counts, range(W, 14))["latents"]
        self.assertTrue(np.array_equal(window[W - 1:], trial[W - 1:]))


class Torch(golden.Case):
    """The reference's cells against PyTorch's own."""

    def arrays(self, prefix, module):
        return {prefix + k: v.detach().numpy() for k, v in module.double().state_dict().items()}

    def test_encoder(self):
        torch.manual_seed(1)
        module = torch.nn.GRU(C, E, batch_first=True, bidirectional=True).double()
        counts = golden.random_counts(1, 11, C).astype(np.float64)
        with torch.no_grad():
            _, h = module(torch.tensor(counts)[None])
        found = reference.encoder_state(self.arrays("encoder.", module), counts)
        self.close(found, h.reshape(-1).numpy(), 1e-12, "bidirectional GRU")

    def test_cell(self):
        torch.manual_seed(2)
        module = torch.nn.GRUCell(1, D).double()
        z = torch.randn(1, D, dtype=torch.float64)
        with torch.no_grad():
            expected = module(torch.zeros(1, 1, dtype=torch.float64), z)[0].numpy()
        weights = self.arrays("decoder.cell.", module)
        found = reference.decoder_step(weights, {"decoder": "gru"}, z[0].numpy())
        self.close(found, expected, 1e-12, "GRU cell")


class Export(Small):
    """What the exporter takes and refuses."""

    def save(self, content):
        path = self.folder / "checkpoint.ckpt"
        torch.save(content, path)
        return path

    def torch_tensors(self, seed, decoder):
        return {k: torch.tensor(v) for k, v in self.tensors(seed, decoder).items()}

    def test_lightning_checkpoint(self):
        """state_dict beside hyper-parameters: sizes are checked, training settings ignored."""
        said = {"input_size": C, "encoder_size": E, "latent_size": D, "vf_hidden_size": HIDDEN,
                "learning_rate": 0.01, "weight_decay": 0.0, "dropout": 0.05, "points_per_group": 5,
                "epochs_per_group": 10}
        state = self.torch_tensors(3, "node")
        source = self.save({"state_dict": state, "hyper_parameters": said})
        model = read_model(self.export("sae", source, "--bin-width", "10", "--window", W))
        self.assertEqual(model.hyper["step"], 1 / (W - 1))
        self.assertEqual((model.hyper["first_output"], model.hyper["solver"]), ("z0", "tsit5"))
        for change, word in (({"latent_size": 7}, "latent_size"), ({"vf_layers": 2}, "vf_layers")):
            source = self.save({"state_dict": state, "hyper_parameters": {**said, **change}})
            self.refused("sae", source, "--bin-width", "10", "--window", W, text=(word,))

    def refuse(self, seed, decoder, change, *options, text):
        tensors = self.tensors(seed, decoder)
        change(tensors)
        source = self.folder / "bad.safetensors"
        safetensors.write(source, tensors, {})
        self.refused("sae", source, "--bin-width", "10", "--link", "exp",
                     *(options or DECODERS[decoder]), text=text)

    def test_refusals(self):
        def put(name, array):
            return lambda tensors: tensors.__setitem__(name, np.asarray(array, np.float32))
        self.refuse(1, "node", lambda t: t.pop("encoder.bias_hh_l0_reverse"),
                    text=("encoder.bias_hh_l0_reverse", "missing"))
        self.refuse(1, "node", put("decoder.extra", np.zeros(3)),
                    text=("decoder.extra", "no place"))
        self.refuse(1, "gru", put("ic_linear.weight", np.zeros((D, E))),
                    text=("ic_linear.weight", "shape"))
        self.refuse(1, "node", put("readout.bias", np.full(N, np.nan)), text=("finite",))
        self.refuse(1, "node", lambda t: None, "--solver", "rk4", text=("--window",))
        self.refuse(1, "mlp", lambda t: None, "--window", W, "--dt", "0.1", text=("--activation",))
        self.refuse(1, "mlp", lambda t: None, "--window", W, "--activation", "relu", text=("--dt",))
        self.refuse(1, "mlp", lambda t: None, "--window", W, "--activation", "relu", "--dt", "x",
                    text=("--dt x",))
        self.refuse(1, "node", lambda t: None, "--window", "1", text=("--window 1",))
        self.refuse(1, "node", lambda t: None, "--window", W, "--modes", "A", text=("mode A",))

    def test_other_architectures(self):
        gru = {"gru.weight_ih_l0": np.zeros((9, 2), np.float32)}
        vanilla = self.tensors(1, "gru")
        vanilla[export.CELL + ".weight_hh"] = np.zeros((D, D), np.float32)
        for tensors, word in ((gru, "not a sequential"), (vanilla, "recurrent cells")):
            source = self.folder / "other.safetensors"
            safetensors.write(source, tensors, {})
            self.refused("sae", source, "--bin-width", "10", "--window", W, text=(word,))

    def test_contradictions(self):
        """What a file states and what an option says may not differ."""
        source, said = self.folder / "stated.h5", {
            "bins": W, "latent": D, "neurons": N, "solver": "tsit5, fixed step",
            "first_output": "z0"}
        with h5py.File(source, "w") as f:
            for name, array in self.tensors(1, "node").items():
                f[f"weights/{name}"] = array
            f.attrs["architecture"] = json.dumps(said)
        model = read_model(self.export("sae", source, "--bin-width", "10"))
        self.assertEqual(model.hyper["window_bins"], W)
        for option in (("--window", "60"), ("--solver", "rk4"), ("--first-output", "step")):
            self.refused("sae", source, "--bin-width", "10", *option, text=option)

    def test_foreign_class(self):
        source = self.save({"state_dict": {}, "x": torch.nn.Linear(1, 1)})
        self.refused("sae", source, "--window", W, "--bin-width", "10",
                     text=("torch.nn.modules.linear.Linear",))


class Load(Small):
    """What the C loader refuses by name."""

    def refused_by_core(self, decoder, change, words):
        model = read_model(self.make(5, decoder))
        change(model)
        path = self.folder / "bad.safetensors"
        write_model(path, model)
        text = self.fails(path)
        for word in words:
            self.assertIn(word, text)

    def fails(self, path):
        """What golden_steps says of a model file it must not open."""
        command = [stepping.STEPS, path, "window", "/dev/null", self.folder / "none", 0]
        result = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        self.assertEqual(result.returncode, 1)
        return result.stderr

    def test_refusals(self):
        def hyper(**values):
            return lambda model: model.config["hyper"].update(values)
        self.refused_by_core("gru", hyper(solver="tsit5"), ("solver", "unknown key"))
        self.refused_by_core("node", hyper(solver="euler"), ("solver", "euler"))
        self.refused_by_core("node", lambda m: m.hyper.pop("substeps"), ("substeps",))
        self.refused_by_core("node", hyper(step="fast"), ("step",))
        self.refused_by_core("mlp", hyper(activation="gelu"), ("activation", "gelu"))
        self.refused_by_core("node", hyper(decoder="gru"), ("decoder.cell.weight_ih",))
        self.refused_by_core("node", hyper(first_output="step"), ("known answer",))
        self.refused_by_core("node", hyper(latent_dim=D + 1), ("shape",))
        self.refused_by_core("node", lambda m: m.weights.pop("ic_linear.bias"), ("ic_linear.bias",))


if __name__ == "__main__":
    golden.need_binaries("latent-decode", "golden_steps")
    golden.main()

#!/usr/bin/python3
"""Checkpoints that are not what they should be, for every exporter: each tensor missing, misshapen,
of another type, empty or not finite, one tensor too many, another architecture's checkpoint, and
pickles with foreign classes. Each is refused with a text that names a tensor (or the class); no
model file appears."""
import importlib
import io
import json
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from unittest import mock

import numpy as np
import torch

import golden
import test_b2t
import test_decode
import test_marble
import test_sae

from latent_models.common import safetensors
from latent_models.common.model_file import read_model
from latent_models.common.refusal import Refusal
from lfads_making import Making, SMALL
from latent_models.ndt import export as ndt_export

N = 4
LISTS = tempfile.TemporaryDirectory(prefix="latent-golden-")
LFADS = ("--link", "exp", "--bin-width", "20", "--window", "9", "--lag", "1", "--clip", "5")
NDT = ("--link", "exp", "--bin-width", "10", "--heads", "2", "--norm", "pre",
       "--context-forward", "0", "--context-backward", "0", "--max-count", "4")
# Tensors that a checkpoint may do without: then the model has no such part.
OPTIONAL = {"kalman": {"x0", "offset"}, "dlds": {"x0", "c0", "offset"},
            "stack": {"conv.bias", "rnn.bias_ih_l0", "rnn.bias_hh_l0", "read.bias"},
            "b2t": {"out.bias"}}


def ndt(case, embed):
    sizes = {**test_decode.EMBEDS[embed], "layers": 2, "hidden": 6, "head_layers": 1,
             "final_norm": "layer", "position": "learnt"}
    return golden.random_tensors(1, ndt_export.expected_shapes(sizes, 9)), NDT


def gru(case):
    h = 3
    shapes = {"gru.weight_ih_l0": (3 * h, N), "gru.weight_hh_l0": (3 * h, h),
              "gru.bias_ih_l0": (3 * h,), "gru.bias_hh_l0": (3 * h,), "rate.weight": (N, h),
              "rate.bias": (N,)}
    return golden.random_tensors(2, shapes), ("--bin-width", "10", "--link", "exp")


def kalman(case):
    g = np.random.default_rng(3)
    return {"A": 0.5 * np.eye(2), "C": g.normal(size=(N, 2)), "Q": np.eye(2), "R": np.eye(N),
            "x0": np.zeros(2), "offset": np.zeros(N)}, ("--bin-width", "10", "--form", "steady")


def wiener(case):
    return golden.random_tensors(4, {"weight": (2, 3, N), "bias": (2,)}), ("--bin-width", "10")


def lfads(case):
    return case.random_tensors(5, SMALL), LFADS


def lfads_keras(case):
    tensors = case.random_tensors(5, SMALL)
    return {name: np.asarray(array) for name, array in case.keras_names(tensors).items()
            if not name.endswith("clip_value")}, LFADS


def sae(case, decoder):
    return test_sae.Small.tensors(case, 6, decoder), ("--bin-width", "10", "--link",
                                                      "exp", *test_sae.DECODERS[decoder])


def dlds(case):
    g = np.random.default_rng(7)
    return {"F": g.normal(size=(2, 3, 3)) * 0.3, "D": g.normal(size=(N, 3)), "R": np.ones(N),
            "x0": np.zeros(3), "c0": np.ones(2), "offset": np.ones(N)}, (
                "--bin-width", "10", "--observation", "counts", "--lambda", "1", "--gamma", "0.1",
                "--kappa", "1")


def smc(case):
    model = read_model(golden.MODELS / "smc" / "lorenz.safetensors")
    tensors = {name: array for name, array in model.weights.items()}
    return tensors, ("--bin-width", "20", "--activation", model.hyper["activation"], "--rate",
                     model.hyper["rate"], "--particles", "4")


def marble(case, **kind):
    return test_marble.tensors(9, **kind), (
        "--bin-width", "10", "--rho", "0.5", "--stages", "1", "--warmup-bins", "2", "--k", "6",
        "--diffusion-time", "1")


def stack(case):
    listed = Path(LISTS.name) / "list.json"
    listed.write_text(json.dumps({"outputs": {"readout": "read"}, "nodes": [
        {"kind": "conv1d", "name": "conv", "inputs": ["input"]},
        {"kind": "gru", "name": "rnn", "inputs": ["conv"]},
        {"kind": "dense", "name": "read", "inputs": ["rnn"]}]}))
    shapes = {"conv.weight": (5, N, 2), "rnn.weight_ih_l0": (9, 5), "rnn.weight_hh_l0": (9, 3),
              "rnn.bias_ih_l0": (9,), "rnn.bias_hh_l0": (9,), "read.weight": (2, 3),
              "read.bias": (2,), "conv.bias": (5,)}
    return golden.random_tensors(8, shapes), ("--bin-width", "10", "--list", listed)


def b2t(case):
    listed = Path(LISTS.name) / "args.yaml"
    listed.write_text(test_b2t.ARGS.format(**test_b2t.SIZES))
    return test_b2t.tensors_of(test_b2t.SIZES), ("--args", listed, "--labels", test_b2t.NAMES,
                                                 "--licence", "Apache-2.0")


SOUND = {
    "ndt, table": ("ndt", lambda case: ndt(case, "table")),
    "ndt, linear": ("ndt", lambda case: ndt(case, "linear")),
    "ndt, identity": ("ndt", lambda case: ndt(case, "identity")),
    "gru": ("gru", gru), "kalman": ("kalman", kalman), "wiener": ("wiener", wiener),
    "lfads": ("lfads", lfads), "lfads, Keras": ("lfads", lfads_keras),
    "sae, node": ("sae", lambda case: sae(case, "node")),
    "sae, gru": ("sae", lambda case: sae(case, "gru")),
    "dlds": ("dlds", dlds), "smc": ("smc", smc), "marble": ("marble", marble),
    "stack": ("stack", stack), "b2t": ("b2t", b2t),
    "marble, agnostic": ("marble", lambda case: marble(case, inner=True)),
}
# The refusal names a tensor (perhaps another whose shape it decides, or by its canonical name).
NAMES = r"tensors? \S+|no tensor|\w\.weight|F of|F has shape|ci_enc|ic_prior|external inputs|trial"
# Longer tables and trials, one external input more, and what has one value anyway are as good; so
# is a layer made without a bias, but not one of several alike.
TAKEN = {("pos_encoder.pos_embedding.weight", "a row more"), ("embedder.0.weight", "a row more"),
         ("model/decoder/rnn/cell/gen_gru_cell/kernel", "a row more"),
         ("transition.decay", "an axis more"), ("observation.Bias", "an axis more"),
         *((layer + ".bias", "missing") for layer in (
             "decoder.0", "embedder", "ic_linear", "logvar_conv", "mean_conv", "rate", "readin",
             "readout", "transformer_encoder.norm", "encoder.ic_linear", "decoder.ic_to_g0",
             "decoder.rnn.cell.co_linear"))}
WRONG = {
    "an axis more": lambda a: a[..., None],
    "a row more": lambda a: np.concatenate([a, a[:1]]) if a.ndim else np.stack([a, a]),
    "empty": lambda a: a[:0] if a.ndim else np.zeros(0, a.dtype),
    "whole numbers": lambda a: a.astype(np.int32),
    "no number": lambda a: np.full_like(a, np.nan),
}


class Refused(Making):
    """In this process: an exporter starts slower than it refuses."""

    def export_here(self, arch, source, options):
        """-> the text of the refusal, or None when a file was written."""
        out = self.folder / "out.safetensors"
        arguments = [f"models/{arch}/export.py", str(source), str(out), *map(str, options)]
        try:
            with mock.patch.object(sys, "argv", arguments), redirect_stdout(io.StringIO()):
                importlib.import_module(f"latent_models.{arch}.export").main()
        except Refusal as refusal:
            self.assertFalse(out.exists(), "a refused checkpoint left a model file behind")
            return str(refusal)
        out.unlink()
        return None

    def export_tensors(self, arch, tensors, options):
        source = self.folder / "tensors.safetensors"
        safetensors.write(source, tensors, {})
        return self.export_here(arch, source, options)

    def test_sound_ones_are_taken(self):
        for name, (arch, make) in SOUND.items():
            with self.subTest(name):
                self.assertIsNone(self.export_tensors(arch, *make(self)))

    def test_each_tensor(self):
        for name, (arch, make) in SOUND.items():
            tensors, options = make(self)
            for tensor, array in tensors.items():
                rest = {k: v for k, v in tensors.items() if k != tensor}
                changed = {how: {**rest, tensor: change(np.asarray(array))}
                           for how, change in WRONG.items()}
                if tensor not in OPTIONAL.get(arch, ()):
                    changed["missing"] = rest
                for how in {how for name, how in TAKEN if name == tensor}:
                    del changed[how]
                for how, altered in changed.items():
                    with self.subTest(name, tensor=tensor, how=how):
                        text = self.export_tensors(arch, altered, options)
                        self.assertIsNotNone(text, "taken")
                        self.assertRegex(text, NAMES)

    def test_one_too_many(self):
        for name, (arch, make) in SOUND.items():
            tensors, options = make(self)
            extra = "model/decoder/odd" if "Keras" in name else "odd.weight"
            with self.subTest(name):
                text = self.export_tensors(arch, {**tensors, extra: np.zeros((2, 2), np.float32)},
                                           options)
                self.assertIn(extra.removeprefix("model/"), text or "taken")

    def test_another_architecture(self):
        for name, (arch, make) in SOUND.items():
            tensors, _ = make(self)
            for other, (other_arch, other_make) in SOUND.items():
                if other_arch == arch:
                    continue
                with self.subTest(f"{name} given to {other_arch}"):
                    text = self.export_tensors(other_arch, tensors, other_make(self)[1])
                    self.assertTrue(text and len(text) > 20, text)

    def test_foreign_classes(self):
        source = self.folder / "foreign.pt"
        torch.save({"state_dict": {}, "model": torch.nn.Linear(1, 1)}, source)
        for name, (arch, make) in SOUND.items():
            with self.subTest(name):
                text = self.export_here(arch, source, make(self)[1])
                self.assertIn("torch.nn.modules.linear.Linear", text or "taken")


if __name__ == "__main__":
    golden.main()

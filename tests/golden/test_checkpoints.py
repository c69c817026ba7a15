#!/usr/bin/python3
"""Checkpoints as people save them, in every exporter: each way of saving that torch, its wrappers
and its habits know is read exactly, or refused in one line that says what to do."""
import collections
import importlib
import io
import json
import pathlib
import re
import sys
import zipfile
from contextlib import redirect_stdout
from unittest import mock

import h5py
import numpy as np
import torch

import golden
import test_refused

from latent_models.common import registry
from latent_models.common.model_file import read_model
from latent_models.common.refusal import Refusal

C, H, O = 5, 4, 2
WIDTH = ("--bin-width", "10")


class Settings:
    """A configuration class of the user's own."""

    def __init__(self):
        self.hidden, self.where = H, pathlib.PurePosixPath("/data")


class Decoder(torch.nn.Module):
    """The shape that models/gru wants, under any names."""

    def __init__(self, gru="gru", head="readout", bias=True, kind=torch.nn.GRU, **options):
        super().__init__()
        self.add_module(gru, kind(C, H, 2, bias=bias, **options))
        self.add_module(head, torch.nn.Linear(H * (2 if options else 1), O, bias=bias))


def state(**options):
    torch.manual_seed(3)
    return Decoder(**options).state_dict()


def prefixed(tensors, *words):
    return collections.OrderedDict((".".join([*words, k]), v) for k, v in tensors.items())


def optimizer_of(module):
    """An Adam with a step behind it and a scheduler that counts its milestones."""
    optimizer = torch.optim.Adam(module.parameters())
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 2, 5])
    sum(p.sum() for p in module.parameters()).backward()
    optimizer.step()
    return optimizer, scheduler


def strided(tensor):
    """The same values as a view of something larger."""
    wide = torch.zeros(*tensor.shape, 3)
    wide[..., 1] = tensor
    return wide[..., 1]


def ways():
    """(name, what torch.save gets, options, a word of what is said)."""
    plain, module = state(), Decoder()
    optimizer, scheduler = optimizer_of(Decoder())
    for key in ("state_dict", "model", "net", "module", "model_state", "model_state_dict", "ema"):
        yield f"under {key}", {key: plain}, (), f"{key} of the checkpoint"
    yield "within two", {"model": {"state_dict": plain}}, (), "model.state_dict"
    for words in (("module",), ("model",), ("_orig_mod",), ("net",), ("module", "_orig_mod"),
                  ("decoder", "core", "model")):
        yield f"below {words}", prefixed(plain, *words), (), words[-1]
    yield "compiled inside", {k.replace("gru.", "gru._orig_mod."): v for k, v in plain.items()}, \
        (), "parameters"
    yield "averaged", {"n_averaged": torch.tensor(4), **prefixed(plain, "module")}, (), "module."
    averaged = torch.optim.swa_utils.AveragedModel(module)
    averaged.module.load_state_dict(plain)
    yield "of swa_utils", averaged.state_dict(), (), "module."
    yield "parallel", {"net": prefixed(plain, "module")}, (), "net of the checkpoint"
    yield "beside a training", {
        "epoch": 7, "loss": torch.tensor(0.5), "model": plain, "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(), "scheduler_object": scheduler, "cfg": Settings(),
        "hidden": np.int64(H), "rng_state": torch.get_rng_state(), "callbacks": [Settings],
        "seen": {"a", "b"}, "counts": collections.Counter(a=2)}, (), "epoch"
    yield "beside its module", {"state_dict": plain, "network": module}, (), "network"
    yield "Lightning", {
        "epoch": 1, "pytorch-lightning_version": "2.0", "state_dict": prefixed(plain, "model"),
        "optimizer_states": [optimizer.state_dict()], "loops": {"fit": {"done": 3}},
        "hyper_parameters": {"lr": 1e-3, "cfg": Settings()}}, (), "prefix model."
    yield "flat beside numbers", {**plain, "epoch": 3, "optimizer": optimizer.state_dict()}, (), \
        "epoch"
    yield "parts as dicts", {part: {k[len(part) + 1:]: v for k, v in plain.items()
                                    if k.startswith(part)} for part in ("gru", "readout")}, (), \
        "parameters"
    yield "Parameters", {k: torch.nn.Parameter(v.clone()) for k, v in plain.items()}, (), "channels"
    yield "with gradients", dict(module_with(plain).named_parameters()), (), "channels"
    yield "views", {k: strided(v) for k, v in plain.items()}, (), "channels"
    yield "numpy", {k: v.numpy() for k, v in plain.items()}, (), "channels"
    yield "two of them", {"model": plain, "ema": state(head="readout")}, (), "ema"
    yield "--prefix of a nest", {"model": state(), "ema": plain}, ("--prefix", "ema"), "ema."
    yield "--prefix beside others", {**prefixed(plain, "model"), "loss.weight": torch.ones(2)}, \
        ("--prefix", "model"), "below model."
    yield "--rename", state(gru="rnn", head="fc"), ("--rename", "rnn=gru", "--rename",
                                                    "fc=readout"), "rnn as gru"
    yield "--rename below a prefix", prefixed(state(gru="rnn", head="fc"), "net", "body"), (
        "--rename", "rnn=gru", "--rename", "fc=readout"), "net.body."


def module_with(plain):
    module = Decoder()
    module.load_state_dict(plain)
    return module


class Here(golden.Case):
    """Exporters in this process: one starts slower than it exports."""

    def export_said(self, arch, source, *options):
        """-> (model or None, what was said or the refusal)."""
        out, said = self.folder / "out.safetensors", io.StringIO()
        out.unlink(missing_ok=True)
        arguments = [f"models/{arch}/export.py", str(source), str(out), *map(str, options)]
        try:
            with mock.patch.object(sys, "argv", arguments), redirect_stdout(said):
                importlib.import_module(f"latent_models.{arch}.export").main()
        except Refusal as refusal:
            self.assertFalse(out.exists(), "a refused checkpoint left a model file behind")
            return None, str(refusal)
        return read_model(out), said.getvalue()

    def saved(self, content, **options):
        path = self.folder / "in.pt"
        torch.save(content, path, **options)
        return path

    def no(self, source, *words, options=WIDTH, arch="gru"):
        """Refused, in a text with every word."""
        model, text = self.export_said(arch, source, *options)
        self.assertIsNone(model, "taken")
        for word in words:
            self.assertIn(word, text)
        return text

    def same(self, found, expected, what):
        self.assertEqual(set(found), set(expected), what)
        for name, array in expected.items():
            self.assertTrue(np.array_equal(found[name], np.asarray(array)), f"{what}: {name}")


def refit(_case):
    g = np.random.default_rng(4)
    return {"A": 0.9 * np.eye(O), "C.velocity": g.normal(size=(C, O)),
            "C.position": g.normal(size=(C, O)), "Q": np.eye(O), "R": np.eye(C),
            "offset": np.ones(C)}, (*WIDTH, "--workspace=-9,9")


def lowrank(_case):
    g = np.random.default_rng(5)
    return {"m": g.normal(size=(6, 2)), "n": g.normal(size=(6, 2)), "b": g.normal(size=6),
            "h0": np.zeros(6), "wi": g.normal(size=(2, 6)), "si": np.ones(2),
            "wo": g.normal(size=(6, 1)), "so": np.ones(1)}, (*WIDTH, "--alpha", "0.2")


MORE = {"refit": ("refit", refit), "lowrank": ("lowrank", lowrank)}


class Read(Here):
    def test_ways_to_save(self):
        expected = {k: v.numpy() for k, v in state().items()}
        for name, content, options, word in ways():
            for zipped in (True, False):
                with self.subTest(name, zip=zipped):
                    path = self.saved(content, _use_new_zipfile_serialization=zipped)
                    model, said = self.export_said("gru", path, *WIDTH, *options)
                    self.assertIsNotNone(model, said)
                    self.same(model.weights, expected, name)
                    self.assertIn(word, said)

    def test_types(self):
        """Each as its exact value in float32."""
        for kind in (torch.float16, torch.bfloat16, torch.float64):
            tensors = {k: v.to(kind) for k, v in state().items()}
            model, said = self.export_said("gru", self.saved(tensors), *WIDTH)
            self.assertIsNotNone(model, said)
            self.same(model.weights, {k: v.float().numpy() for k, v in tensors.items()}, str(kind))

    def test_without_biases(self):
        """bias=False is biases of zero, and said; a bias that only one of two layers lacks is
        missing."""
        plain = state(bias=False)
        model, said = self.export_said("gru", self.saved(plain), *WIDTH)
        self.assertIsNotNone(model, said)
        zeros = {f"gru.bias_{kind}_l{i}": np.zeros(3 * H) for kind in ("ih", "hh") for i in (0, 1)}
        self.same(model.weights, {**{k: v.numpy() for k, v in plain.items()}, **zeros,
                                  "readout.bias": np.zeros(O)}, "bias=False")
        self.assertIn("no bias", said)
        some = {k: v for k, v in state().items() if k != "gru.bias_hh_l1"}
        self.no(self.saved(some), "gru.bias_hh_l1 is missing")

    def test_interrupted_training(self):
        """Of this project's own trainers: its state to resume from holds a finished model, too."""
        facts = {"bin_width_us": 20000, "hyper": {}, "readout": []}
        kept = {"step": 3, "told": "{}", "model": state(head="other"), "optimizer": {},
                "random": torch.get_rng_state()}
        path = self.saved({**kept, "state_dict": state(), "latent": json.dumps(facts)})
        model, said = self.export_said("gru", path)
        self.assertIsNotNone(model, said)
        self.same(model.weights, {k: v.numpy() for k, v in state().items()}, "resumed")
        self.assertEqual(model.config["bin_width_us"], 20000)
        self.no(self.saved({**kept, "model": state()}), "interrupted training", "--resume")

    def test_every_exporter(self):
        """All at once, as the checkpoints of each architecture might be saved."""
        module = torch.nn.Linear(2, 2)
        optimizer, scheduler = optimizer_of(module)
        for name, (arch, make) in {**test_refused.SOUND, **MORE}.items():
            if "Keras" in name:
                continue
            with self.subTest(name):
                tensors, options = make(test_refused.Refused())
                tensors = {k: torch.as_tensor(np.asarray(v)) for k, v in tensors.items()}
                plain, said = self.export_said(arch, self.saved(tensors), *options)
                self.assertIsNotNone(plain, said)
                content = {"model": prefixed(tensors, "module", "_orig_mod"), "cfg": Settings(),
                           "optimizer": optimizer.state_dict(), "net": module,
                           "scheduler": scheduler.state_dict()}
                found, said = self.export_said(arch, self.saved(content), *options)
                self.assertIsNotNone(found, said)
                self.same(found.weights, plain.weights, name)
                old = next(k.split(".")[0] for k in tensors)
                other = {("other" + k[len(old):] if k.split(".")[0] == old else k): v
                         for k, v in tensors.items()}
                found, said = self.export_said(arch, self.saved(other), *options, "--rename",
                                               f"other={old}")
                self.assertIsNotNone(found, said)
                self.same(found.weights, plain.weights, name)


class Refuse(Here):
    def test_other_names(self):
        """Names found and wanted, and a line to copy that works."""
        path = self.saved(prefixed(state(gru="rnn", head="fc"), "model"))
        text = self.no(path, "rnn.weight_ih_l0", "fc.weight", "gru.weight_ih_l*",
                       "--rename rnn=gru", "--rename fc=readout")
        line = re.search(r"(--rename \S+=\S+ ?)+", text)[0].split()
        model, said = self.export_said("gru", path, *WIDTH, *line)
        self.assertIsNotNone(model, said)
        path = self.saved({**prefixed(state(), "core"), "loss.weight": torch.ones(2)})
        self.no(path, "--prefix core.")
        self.no(self.saved(state()), "--rename gro=gru: no tensor gro",
                options=(*WIDTH, "--rename", "gro=gru"))
        self.no(self.saved(state()), "readout.weight is there already",
                options=(*WIDTH, "--rename", "gru.weight_ih_l0=readout.weight"))
        self.no(self.saved(state()), "--prefix away", options=(*WIDTH, "--prefix", "away"))
        ndt, options = test_refused.ndt(None, "linear")
        moved = {k.replace("transformer_encoder", "encoder"): torch.tensor(v)
                 for k, v in ndt.items()}
        self.no(self.saved(moved), "--rename encoder=transformer_encoder", options=options,
                arch="ndt")

    def test_not_causal(self):
        self.no(self.saved(state(bidirectional=True)), "bidirectional", "not causal")

    def test_another_cell(self):
        self.no(self.saved(state(kind=torch.nn.LSTM)), "LSTM")

    def test_whole_modules(self):
        """Of torch's classes, of one's own, below a name: what it is, and what to do."""
        for zipped in (True, False):
            for content in (Decoder(), {"model": Decoder()}, {"net": torch.nn.Linear(2, 2)}):
                path = self.saved(content, _use_new_zipfile_serialization=zipped)
                self.no(path, "whole pickled object", "state_dict()")
        for content, words in (([state()], ("holds a list",)), ({}, ("empty",)),
                               ({"epoch": 3}, ("epoch is no tensor",))):
            self.no(self.saved(content), *words)

    def test_odd_tensors(self):
        plain = state()
        odd = {"quantised": torch.quantize_per_tensor(plain["readout.weight"], 0.1, 0,
                                                      torch.qint8),
               "sparse": plain["readout.weight"].to_sparse(),
               "complex": plain["readout.weight"] + 0j}
        for name, tensor in odd.items():
            with self.subTest(name):
                self.no(self.saved({**plain, "readout.weight": tensor}), name)

    def test_torchscript(self):
        path = self.folder / "in.pt"
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
        self.no(path, "TorchScript", "torch.jit.load")

    def test_other_files(self):
        """By their first bytes, and their last; some by name alone."""
        path, plain = self.folder / "in.npz", {k: v.numpy() for k, v in state().items()}
        np.savez(path, **plain)
        self.no(path, "npz", "torch.save")
        np.save(self.folder / "in.npy", plain["readout.weight"])
        self.no(self.folder / "in.npy", "numpy array")
        with zipfile.ZipFile(path, "w") as f:
            for name in ("config.json", "metadata.json", "model.weights.h5"):
                f.writestr(name, "{}")
        self.no(path, "Keras")
        with h5py.File(path, "w") as f:
            f.attrs["keras_version"] = "2.9.0"
            f["model_weights/gru/kernel:0"] = np.ones(3)
        self.no(path, "Keras", "/weights")
        with h5py.File(path, "w") as f:
            f["gru.weight_ih_l0"] = np.ones(3)
        self.no(path, "no group 'weights'")
        for name, data, words in (
                ("a.onnx", b"\x08\x08\x12\x07pytorch\x1a\x06" + b"1.13.1" * 9, ("ONNX",)),
                ("b.index", b"\x00\x00\x1b" + bytes(50) + bytes.fromhex("57fb808b247547db"),
                 ("TensorFlow", "load_checkpoint")),
                ("saved_model.pb", b"\x08\x01\x12\x05\x2a\x03" + bytes(40), ("TensorFlow graph",)),
                ("c.mat", b"MATLAB 5.0 MAT-file" + bytes(200), ("MATLAB",)),
                ("d.gz", b"\x1f\x8b\x08" + bytes(50), ("gzip",)),
                ("e.pkl", __import__("pickle").dumps(plain), ("plain pickle", "torch.save"))):
            with self.subTest(name):
                (self.folder / name).write_bytes(data)
                self.no(self.folder / name, *words)


class Told(Here):
    def test_names_are_on_the_card_and_in_help(self):
        """The names that each exporter wants, where a user looks."""
        for arch in registry.architectures():
            module = importlib.import_module(f"latent_models.{arch}.export")
            if not hasattr(module, "NAMES"):  # it takes networks of any names
                continue
            card, said = (golden.MODELS / arch / "card.md").read_text(), io.StringIO()
            with self.subTest(arch), mock.patch.object(sys, "argv", ["export.py", "--help"]):
                with redirect_stdout(said), self.assertRaises(SystemExit):
                    module.main()
                for name in module.NAMES.all:
                    self.assertIn(name, said.getvalue())
                    self.assertIn(f"`{name}`", card)


if __name__ == "__main__":
    golden.main()

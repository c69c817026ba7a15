#!/usr/bin/python3
"""The unpickler: both PyTorch formats give what torch gives, configurations become dicts, nothing
is ever run."""
import collections
import datetime
import functools
import importlib
import io
import os
import pathlib
import pickle
import shutil
import sys
import types
import zipfile

import numpy as np
import torch

import golden

from latent_models.common.refusal import Refusal
from latent_models.common.unpickle import read_checkpoint


class CfgNode(dict):
    """Pickles as yacs.config.CfgNode does: a dict whose state holds flags."""

    def __init__(self, **items):
        super().__init__(**items)
        self.__dict__["__immutable__"] = True


def install_yacs():
    """A module of the genuine name, so that torch.save writes the genuine reference."""
    yacs, config = types.ModuleType("yacs"), types.ModuleType("yacs.config")
    CfgNode.__module__, config.CfgNode, yacs.config = "yacs.config", CfgNode, config
    sys.modules.update({"yacs": yacs, "yacs.config": config})


class Trap:
    """Runs a command when unpickled by anything less careful."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


class Unpickle(golden.Case):
    def both_formats(self, content):
        """-> paths of content saved as zip and as legacy."""
        for name, is_zip in (("zip", True), ("legacy", False)):
            path = self.folder / f"{name}.pt"
            torch.save(content, path, _use_new_zipfile_serialization=is_zip)
            yield name, path

    def test_tensors(self):
        base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
        content = collections.OrderedDict(
            plain=base, transposed=base.t(), slice=base[1:3, ::2], scalar=torch.tensor(3.5),
            empty=base[:0], double=base.double() / 7, half=base.half(), brain=base.bfloat16() / 3,
            long=base.long(), flags=base > 5, parameter=torch.nn.Parameter(base.clone()))
        for name, path in self.both_formats(content):
            with self.subTest(name):
                found = read_checkpoint(str(path))
                self.assertEqual(list(found), list(content))
                for key, tensor in content.items():
                    expected = tensor.detach()
                    expected = expected.float() if key == "brain" else expected
                    self.assertEqual(found[key].shape, tuple(expected.shape), key)
                    self.assertTrue(np.array_equal(found[key], expected.numpy()), key)

    def test_tied_tensors_share_one_storage(self):
        shared = torch.randn(5)
        for name, path in self.both_formats({"a": shared, "b": shared[1:3]}):
            with self.subTest(name):
                found = read_checkpoint(str(path))
                self.assertTrue(np.array_equal(found["a"][1:3], found["b"]))

    def test_genuine_checkpoint(self):
        """The layout of neural-data-transformers: state_dict, optim_state, yacs config, numpy
        scalars."""
        install_yacs()
        model = torch.nn.Linear(3, 2)
        optimizer = torch.optim.Adam(model.parameters())
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        node = CfgNode(MODEL=CfgNode(NUM_HEADS=2, LOSS=CfgNode(TYPE="poisson")), SEED=7)
        content = {"state_dict": model.state_dict(), "optim_state": optimizer.state_dict(),
                   "config": node, "best_val": {"value": np.float64(1.5), "update": -1},
                   "max_spikes": np.int64(9), "extra_state": dict(update=np.zeros(3)),
                   "lr_scheduler": None, "seen": {1, 2}}
        for name, path in self.both_formats(content):
            with self.subTest(name):
                found = read_checkpoint(str(path))
                model_node = {"NUM_HEADS": 2, "LOSS": {"TYPE": "poisson"}}
                self.assertEqual(found["config"], {"MODEL": model_node,
                                                   "SEED": 7})
                self.assertIs(type(found["config"]["MODEL"]), dict)
                self.assertEqual(found["best_val"]["value"], 1.5)
                self.assertEqual(found["max_spikes"], 9)
                self.assertTrue(np.array_equal(found["extra_state"]["update"], np.zeros(3)))
                self.assertTrue(np.array_equal(found["state_dict"]["weight"],
                                               model.weight.detach().numpy()))

    def test_functions_are_named_and_never_run(self):
        mark = self.folder / "ran"
        traps = {"posix.system": Trap(os.system, f"touch {mark}"),
                 "builtins.eval": Trap(eval, f"open({str(mark)!r}, 'w')"),
                 "io.open": Trap(io.open, str(mark), "w"),
                 "shutil.rmtree": Trap(shutil.rmtree, str(mark)),
                 "importlib.import_module": Trap(importlib.import_module, "this")}
        for foreign, trap in traps.items():
            for name, path in self.both_formats({"state_dict": {"w": torch.ones(2)},
                                                 "extra": trap}):
                with self.subTest(f"{foreign} {name}"):
                    with self.assertRaises(Refusal) as caught:
                        read_checkpoint(str(path))
                    self.assertIn(foreign, str(caught.exception))
                    for arch in ("ndt", "gru", "kalman", "wiener"):
                        self.refused(arch, path, "--bin-width", "10", text=(foreign,))
                    self.assertFalse(mark.exists(), "the checkpoint ran code")

    def test_classes_of_packages_are_inert(self):
        """What lies beside the tensors keeps its items and does nothing; a function of a package is
        not called, whatever it is."""
        mark = self.folder / "ran"
        held = {"module": torch.nn.Linear(2, 2), "called": Trap(torch.save, 1, str(mark)),
                "opened": Trap(np.savetxt, str(mark), [1.0]), "steps": collections.Counter(a=2),
                "when": datetime.datetime(2026, 1, 2), "way": pathlib.PurePosixPath("/a/b"),
                "part": functools.partial(torch.nn.Linear, 3)}
        ring = {"inside": []}
        ring["inside"].append(ring)
        for name, path in self.both_formats({"state_dict": {"w": torch.ones(2)}, **held,
                                             "ring": ring}):
            with self.subTest(name):
                found = read_checkpoint(str(path))
                self.assertFalse(mark.exists(), "the checkpoint ran code")
                self.assertTrue(np.array_equal(found["state_dict"]["w"], np.ones(2)))
                self.assertEqual(found["steps"], {"a": 2})
                self.assertIs(found["ring"]["inside"][0], found["ring"])
                for key, origin in (("module", "torch.nn.modules.linear.Linear"),
                                    ("called", "torch.serialization.save"),
                                    ("when", "datetime.datetime"), ("part", "functools.partial")):
                    self.assertEqual(found[key].origin, origin)

    def test_bare_pickle_is_refused(self):
        """A .pt file that is a plain pickle with a payload, not made by torch.save."""
        mark = self.folder / "ran"
        path = self.folder / "bare.pt"
        path.write_bytes(pickle.dumps(Trap(os.system, f"touch {mark}")))
        with self.assertRaises(Refusal) as caught:
            read_checkpoint(str(path))
        self.assertIn("posix.system", str(caught.exception))
        self.assertFalse(mark.exists())

    def test_damaged_files(self):
        """Cut at every 97th byte, and one byte in every 53 changed: a Refusal or a plain dict,
        nothing else."""
        for name, path in self.both_formats({"a": torch.randn(30), "b": {"c": [1, 2.5, "text"]}}):
            data = path.read_bytes()
            broken = [data[:n] for n in range(0, len(data), 97)]
            for i in range(0, len(data), 53):
                broken.append(data[:i] + bytes([data[i] ^ 0x41]) + data[i + 1:])
            refused = 0
            for piece in broken:
                path.write_bytes(piece)
                try:
                    read_checkpoint(str(path))
                except Refusal:
                    refused += 1
            self.assertGreater(refused, len(broken) // 4, name)

    def rewritten(self, path, change):
        """The zip file with each entry's bytes changed, change(name, bytes), and a byteorder."""
        altered = self.folder / "altered.pt"
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(altered, "w") as new:
            for entry in old.namelist():
                new.writestr(entry, change(entry, old.read(entry)))
            root = old.namelist()[0].split("/")[0]
            new.writestr(f"{root}/byteorder", change("byteorder", b"little"))
        return altered

    def test_byte_order(self):
        """A checkpoint of a big-endian machine says so: the numbers are the same."""
        content = {"f": torch.randn(7), "d": torch.randn(3).double(), "l": torch.arange(5),
                   "b": torch.randn(4).bfloat16(), "u": torch.arange(6, dtype=torch.uint8)}
        path, sizes = self.folder / "little.pt", (4, 8, 8, 2, 1)
        torch.save(content, path)

        def change(name, data):
            if name == "byteorder":
                return b"big"
            place = name.rpartition("/data/")[2]
            if "/data/" not in name:
                return data
            return np.frombuffer(data, f"u{sizes[int(place)]}").byteswap().tobytes()
        found = read_checkpoint(str(self.rewritten(path, change)))
        for key, tensor in content.items():
            expected = tensor.float() if key == "b" else tensor
            self.assertTrue(np.array_equal(found[key], expected.numpy()), key)
            self.assertTrue(found[key].dtype.isnative, key)
        self.unmarked_byte_order(path, change)
        odd = self.rewritten(path, lambda name, data: b"middle" if name == "byteorder" else data)
        with self.assertRaisesRegex(Refusal, "byteorder is b'middle'"):
            read_checkpoint(str(odd))

    def unmarked_byte_order(self, path, change):
        """Without the entry (a torch before 2.1) numbers that make sense swapped only are refused;
        the legacy format says its order elsewhere."""
        altered = self.folder / "unmarked.pt"
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(altered, "w") as new:
            for entry in old.namelist():
                new.writestr(entry, change(entry, old.read(entry)))
        with self.assertRaisesRegex(Refusal, "other byte order"):
            read_checkpoint(str(altered))
        legacy = self.folder / "legacy.pt"
        torch.save({"w": torch.ones(2)}, legacy, _use_new_zipfile_serialization=False)
        said = b"little_endianq\x02\x88"  # True
        self.assertEqual(legacy.read_bytes().count(said), 1)
        legacy.write_bytes(legacy.read_bytes().replace(said, said[:-1] + b"\x89"))
        with self.assertRaisesRegex(Refusal, "big-endian"):
            read_checkpoint(str(legacy))

    def test_tensor_outside_its_storage(self):
        """A view that reaches past the end of its storage is refused, not read."""
        path = self.folder / "far.pt"
        torch.save({"w": torch.arange(8.0)}, path)
        altered = self.folder / "altered.pt"
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(altered, "w") as new:
            for entry in old.namelist():
                data = old.read(entry)
                if entry.endswith("data.pkl"):
                    # The shape (8,) is BININT1 8 TUPLE1; the storage's own 8 is not.
                    self.assertEqual(data.count(b"K\x08\x85"), 1)
                    data = data.replace(b"K\x08\x85", b"K\x09\x85")
                new.writestr(entry, data)
        with self.assertRaises(Refusal) as caught:
            read_checkpoint(str(altered))
        self.assertIn("storage of 8", str(caught.exception))


if __name__ == "__main__":
    golden.main()

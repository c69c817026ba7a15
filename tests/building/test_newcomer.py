#!/usr/bin/python3
"""A toy architecture and a toy control request, added to a copy of the tree as tests/README.md
says: the files that it names are touched, no other is, and both work."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ.get("LATENT_SOURCE", pathlib.Path(__file__).parents[2]))
WAIT_S = 60  # ends a test that would hang
# Without optimisation: the compiler is what this test waits for.
FAST = ("-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_FLAGS_DEBUG=-O0", "-DLATENT_WERROR=ON")
# The golden row gives a checkpoint; it goes through exporter, known answer, C and reference.
DECODE = """
import subprocess
import h5py
import numpy as np
import golden
import test_refused
from latent_models.common import safetensors
from latent_models.common.model_file import read_model
from latent_models.toy import reference

arch, make = test_refused.SOUND["toy"]
tensors, options = make(None)
safetensors.write("tensors.safetensors", tensors, {})
subprocess.run([golden.MODELS / arch / "export.py", "tensors.safetensors", "toy.safetensors",
                *options], check=True)
model = read_model("toy.safetensors")
counts = np.random.default_rng(3).poisson(1, (20, model.config["n_channels"]))
with h5py.File("in.h5", "w") as file:
    file["counts"] = counts.astype(np.uint8)
subprocess.run([golden.BIN / "latent-decode", "--model", "toy.safetensors", "--in", "in.h5:/counts",
                "--bin-ms", "10", "--out", "out.h5"], check=True)
with h5py.File("out.h5") as file:
    found, valid = file["readout"][()], file["flags"][()] & golden.FLAG_WARMUP == 0
expected = reference.run(model.weights, model.config, counts, "causal")["readout"]
np.testing.assert_allclose(found[valid], expected[valid], atol=1e-4)
print("decoded", valid.sum())
"""


def content(root):
    """{path: bytes} of the tree; links and what a build makes are left out."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*")
            if path.is_file() and not path.is_symlink()
            and not {"build", ".git", "__pycache__"} & set(path.relative_to(root).parts)}


def named(title):
    """The files and folders that tests/README.md names for an addition; NAME is toy."""
    text = (SOURCE / "tests/README.md").read_text()
    part = re.search(rf"^\*\*{title}\*\*.*?(?=^\*\*|^## )", text, re.MULTILINE | re.DOTALL).group()
    return {item.replace("NAME", "toy") for item in re.findall(r"^- `([^`]+)`", part, re.MULTILINE)}


class Tree:
    """A copy of the tree that remembers what it was."""

    def __init__(self, root):
        self.root = root
        shutil.copytree(SOURCE, root, symlinks=True,
                        ignore=shutil.ignore_patterns("build", ".git", "__pycache__"))
        self.before = content(root)

    def insert(self, path, before, text):
        """Insert text before the only match of a pattern."""
        old = (self.root / path).read_text()
        new, n = re.subn(before, lambda match: text + match.group(), old, flags=re.MULTILINE)
        if n != 1:
            raise AssertionError(f"{path}: {before!r} stands there {n} times, not once")
        (self.root / path).write_text(new)

    def write_as(self, path, like):
        """A file that is another one with the other name."""
        text = (self.root / like).read_text().replace("wiener", "toy")
        (self.root / path).write_text(text)
        shutil.copymode(self.root / like, self.root / path)

    def changed(self):
        """What differs since the last call."""
        now = content(self.root)
        found = {path for path in now | self.before if now.get(path) != self.before.get(path)}
        self.before = now
        return found

    def add_architecture(self):
        self.write_as("core/models/toy.c", "core/models/wiener.c")
        self.insert("core/models/registry.c", r"^    ROW\(wiener\)",
                    "    ROW(toy)               \\\n")
        self.insert("core/CMakeLists.txt", r"^    models/wiener\.c", "    models/toy.c\n")
        (self.root / "models/toy").mkdir()
        for part in ("export.py", "reference.py", "cost.py", "train.py", "card.md"):
            self.write_as(f"models/toy/{part}", f"models/wiener/{part}")
        scoring = self.root / "models/toy/scoring.py"
        scoring.write_text('"""Nothing is shipped."""\nSHIPPED = {}\n')
        (self.root / "models/toy/latent_models").symlink_to("..")
        self.insert("tests/golden/test_refused.py", r'^    "dlds": \("dlds", dlds\)',
                    '    "toy": ("toy", wiener),\n')

    def add_request(self):
        schema = (self.root / "proto/latent.proto").read_text()
        numbers = re.search(r"enum Operation \{(.*?)\}", schema, re.DOTALL).group(1)
        last = max(int(number) for number in re.findall(r"= (\d+);", numbers))
        self.insert("proto/latent.proto", r"^\}\n\nmessage Request \{",
                    f"  TOY = {last + 1};  // stream: says that it is one\n")
        self.insert("daemon/latentd/request.c", r"^/\* only_tells", (
            "static void on_toy(struct request_ground *g, const Latent__V1__Request *request, "
            "struct stream *s,\n                   struct request *r)\n{\n    (void)g;\n"
            "    (void)request;\n"
            "    request_say(r, CONTROL_DONE, \"%s is a toy\", s->conf->name);\n}\n\n"))
        self.insert("daemon/latentd/request.c", r"^    \[LATENT__V1__OPERATION__RESET\] =",
                    "    [LATENT__V1__OPERATION__TOY] = {on_toy, true, true},\n")
        self.insert("daemon/latentctl/main.c", r'^    \{"model STREAM"', (
            '    {"toy STREAM", LATENT__V1__OPERATION__TOY, {&given.stream}, "is it a toy?"},\n'))


class NewcomerTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.tree = Tree(self.folder / "tree")
        self.build = self.tree.root / "build/release"
        self.environment = {
            **os.environ, "LATENT_BIN": str(self.build / "bin"), "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"{self.build}/python:{self.tree.root}/tests/golden"}

    def run_here(self, *command):
        done = subprocess.run([str(word) for word in command], cwd=self.folder, text=True,
                              check=False, env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, 0, done.stdout[-3000:])
        return done.stdout

    def assert_as_named(self, title):
        """What was touched is what the text names: every file, and nothing outside its folders."""
        names, changed = named(title), self.tree.changed()
        self.assertGreater(len(names), 2)
        self.assertEqual(names, {next((name for name in names if name.endswith("/")
                                       and path.startswith(name)), path) for path in changed})

    def test_toys(self):
        self.tree.add_architecture()
        self.assert_as_named("An architecture")
        self.tree.add_request()
        self.assert_as_named("A control request")
        for lint in ("style", "layering"):
            self.run_here("/usr/bin/python3", self.tree.root / f"tests/lint/{lint}.py",
                          self.tree.root)
        self.run_here("cmake", "-G", "Ninja", "-S", self.tree.root, "-B", self.build, *FAST)
        self.run_here("ninja", "-C", self.build, "latentd", "latentctl", "latent-decode",
                      "python_client")
        self.assertIn("decoded 18", self.run_here("/usr/bin/python3", "-c", DECODE))
        self.answered()

    def answered(self):
        """The daemon decodes by the toy, and answers the request."""
        control = f"ipc://{self.folder}/control"
        (self.folder / "arm.conf").write_text(
            f"[latentd]\ncontrol = {control}\n[stream arm]\nmodel = toy.safetensors\n"
            "on-gap = reset\ninput = tcp://127.0.0.1:*\noutput = tcp://127.0.0.1:*\n")
        with subprocess.Popen([self.build / "bin/latentd", "arm.conf"], cwd=self.folder,
                              stdout=subprocess.PIPE, text=True) as daemon:
            self.addCleanup(daemon.kill)
            self.assertIn("READY", daemon.stdout.readline())
            ask = (self.build / "bin/latentctl", "--control", control)
            self.assertEqual(self.run_here(*ask, "toy", "arm"), "arm is a toy\n")
            self.assertIn("toy", self.run_here(*ask, "model", "arm"))
            daemon.terminate()
            self.assertEqual(daemon.wait(WAIT_S), 0)


if __name__ == "__main__":
    unittest.main()

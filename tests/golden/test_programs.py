#!/usr/bin/python3
"""Every program of models/ by its path alone: from another folder, with nothing on PYTHONPATH, and
what its folder must hold beside it."""
import os
import subprocess
import unittest
from concurrent.futures import ThreadPoolExecutor

import golden

from latent_models.common import registry

PARTS = ("export.py", "train.py", "reference.py")
SHARED_PROGRAMS = ("compare.py", "evaluate.py", "precisions.py", "readout/fit.py",
                   "recalibrate.py", "restate.py")
BARE = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}


class Programs(golden.Case):
    def help_of(self, *command):
        """What --help prints, from a folder of its own, in an empty environment."""
        result = subprocess.run([*map(str, command), "--help"], capture_output=True, text=True,
                                cwd=self.folder, env={**BARE, "PYTHONDONTWRITEBYTECODE": "1"})
        self.assertEqual(result.returncode, 0, f"{command}\n{result.stderr}")
        return result.stdout

    def paths(self):
        yield from (golden.MODELS / arch / part for arch in registry.architectures()
                    for part in PARTS
                    if part != "train.py" or registry.is_trained_here(arch))
        yield from (golden.MODELS / name for name in SHARED_PROGRAMS)

    def test_each_runs_by_its_path(self):
        """As a command, which its mode must allow."""
        paths = list(self.paths())
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for path, text in zip(paths, pool.map(self.help_of, paths)):
                self.assertIn("usage: " + path.name, text)

    def test_each_runs_by_the_interpreter_and_by_a_link(self):
        """As a script of python3, and through a link from somewhere else."""
        for path in (golden.MODELS / "gru" / "export.py", golden.MODELS / "compare.py"):
            link = self.folder / path.name
            link.symlink_to(path)
            self.assertIn("usage: ", self.help_of(golden.PYTHON, path))
            self.assertIn("usage: ", self.help_of(link))

    def test_a_folder_is_complete(self):
        """What common/registry.py says of a folder; shipped files are those it names."""
        self.assertGreater(len(registry.architectures()), 10)
        for arch in registry.architectures():
            with self.subTest(arch=arch):
                self.assertTrue(callable(registry.part(arch, "reference").run))
                self.assertTrue(callable(registry.part(arch, "cost").bin_cost))
                self.assertEqual(bool(registry.part(arch, "scoring").SHIPPED),
                                 registry.is_trained_here(arch))


if __name__ == "__main__":
    unittest.main(verbosity=2)

#!/usr/bin/python3
"""cmake --install after a build of some targets: installs what is there, tells what is not."""
import os
import pathlib
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ.get("LATENT_SOURCE", pathlib.Path(__file__).parents[2]))
WITHOUT_A_BUILD = ["etc/latentd/latentd.conf", "lib/systemd/system/latentd.service",
                   "share/latentd/latent.proto"]
PARTS = ["latent-decode", "latent-replay", "latent-sim", "latentctl", "latentd", "liblatent (",
         "liblatent-client (", "the Python client ("]


class PartTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = pathlib.Path(folder.name) / "build"
        self.prefix = pathlib.Path(folder.name) / "prefix"
        self.run_here("cmake", "--preset", "release", "-B", self.build,
                      "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_FLAGS_DEBUG=-O0")  # built sooner

    def run_here(self, *command):
        done = subprocess.run([str(word) for word in command], cwd=SOURCE, text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def install(self):
        """(files below the prefix, what was told to be absent)"""
        told = self.run_here("cmake", "--install", self.build, "--prefix", self.prefix)
        files = sorted(str(path.relative_to(self.prefix)) for path in self.prefix.rglob("*")
                       if path.is_file())
        return files, sorted(line.split(": ", 1)[1] for line in told.splitlines()
                             if line.startswith("-- Not built, so not installed: "))

    def test_what_is_there(self):
        files, absent = self.install()
        self.assertEqual(files, WITHOUT_A_BUILD)
        self.assertEqual(len(absent), len(PARTS))
        for told, part in zip(absent, PARTS, strict=True):
            self.assertEqual(told[:len(part)], part)

        self.run_here("ninja", "-C", self.build, "python_client")
        files, absent = self.install()
        self.assertEqual([file for file in files if file.endswith("/latentd/latent_pb2.py")] != [],
                         True)
        self.assertEqual(len(absent), len(PARTS) - 1)
        self.assertEqual([told for told in absent if "Python" in told], [])


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
"""A build without HDF5, SQLite and tests: latentd and latentctl, which say what they cannot do."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ.get("LATENT_SOURCE", pathlib.Path(__file__).parents[2]))
BUILD = pathlib.Path(os.environ.get("LATENT_BUILD", SOURCE / "build" / "release"))
OPTIONS = ("-DLATENT_HDF5=OFF", "-DLATENT_SQLITE=OFF", "-DBUILD_TESTING=OFF")
CORE = "core/CMakeFiles/latent.dir"


def run(*command):
    return subprocess.run([str(word) for word in command], cwd=SOURCE, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


class OptionsTest(unittest.TestCase):
    def setUp(self):
        # Beside the build folder: ninja's paths from there to the sources are the same.
        folder = tempfile.TemporaryDirectory(dir=BUILD.parent, prefix="options-")
        self.addCleanup(folder.cleanup)
        self.build = pathlib.Path(folder.name)
        self.take_core()

    def take_core(self):
        """The objects of core, which no option changes, and what ninja knows of them."""
        (self.build / "core").mkdir()
        cache = (BUILD / "CMakeCache.txt").read_text()
        (self.build / "CMakeCache.txt").write_text(cache.replace(str(BUILD), str(self.build)))
        for name in (".ninja_log", ".ninja_deps"):
            shutil.copy2(BUILD / name, self.build / name)
        shutil.copytree(BUILD / CORE, self.build / CORE)
        shutil.copy2(BUILD / "core/liblatent.a", self.build / "core/liblatent.a")

    def test_daemon_without(self):
        done = run("cmake", "-S", SOURCE, "-B", self.build, *OPTIONS)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("Without SQLite: ", done.stdout)
        self.assertIn("Without HDF5: ", done.stdout)
        done = run("ninja", "-C", self.build, "-k", "0")  # all there is
        self.assertEqual(done.returncode, 0, done.stdout[-2000:])
        built = sorted(path.name for path in (self.build / "bin").iterdir())
        self.assertEqual([name for name in built if not name.startswith("example")],
                         ["latentctl", "latentd"])
        for name in built:
            needed = run("readelf", "-d", self.build / "bin" / name).stdout
            self.assertEqual([word in needed for word in ("libsqlite", "libhdf5")], [False, False])
        self.refused()

    def refused(self):
        """The record key and the export are refused with what to do; all else is as always."""
        config = self.build / "arm.conf"
        text = ("[latentd]\ncontrol = ipc:///tmp/none\n[stream arm]\n"
                f"model = {SOURCE}/models/kalman/reach.safetensors\n")
        config.write_text(text)
        done = run(self.build / "bin/latentd", "--check", config)
        self.assertEqual(done.returncode, 0, done.stdout)
        config.write_text(text + "record = arm.record\n")
        done = run(self.build / "bin/latentd", "--check", config)
        self.assertEqual(done.returncode, 2)
        self.assertIn(":5: record: this latentd cannot write records", done.stdout)
        self.assertIn("LATENT_SQLITE=ON", done.stdout)
        done = run(self.build / "bin/latentctl", "export", "arm.record", "arm.h5")
        self.assertEqual(done.returncode, 1)
        self.assertIn("built without HDF5 or SQLite", done.stdout)


if __name__ == "__main__":
    unittest.main()

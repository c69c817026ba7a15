#!/usr/bin/python3
"""A second configuration, as daemon/quickstart.sh and tests/run.sh do it, changes no command."""
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ.get("LATENT_SOURCE", pathlib.Path(__file__).parents[2]))
# What goes into a command. The first configuration differs in lines that no command reads.
COMMANDS = re.compile(r"^  (?:COMMAND|DEFINES|FLAGS|INCLUDES|LINK_\w+) = .*", re.MULTILINE)
QUICKSTART = ("--preset", "release")
TESTS = ("--preset", "release", "-DLATENT_WERROR=OFF")


class TwiceTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = pathlib.Path(folder.name) / "build"

    def run_here(self, *command):
        done = subprocess.run([str(word) for word in command], cwd=SOURCE, text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def configure(self, arguments):
        """The commands of build.ninja after a configuration."""
        self.run_here("cmake", *arguments, "-B", self.build)
        return COMMANDS.findall((self.build / "build.ninja").read_text())

    def test_nothing_to_build(self):
        first = self.configure(QUICKSTART)
        self.assertGreater(len(first), 100)
        self.run_here("ninja", "-C", self.build, "latent-net")  # small, and sees libzmq's flags
        for arguments in (QUICKSTART, TESTS, QUICKSTART):
            again = self.configure(arguments)
            changed = [pair for pair in zip(first, again) if pair[0] != pair[1]]
            self.assertEqual((len(again), changed[:2]), (len(first), []))
            self.assertIn("no work to do", self.run_here("ninja", "-n", "-C", self.build,
                                                         "latent-net"))


if __name__ == "__main__":
    unittest.main()

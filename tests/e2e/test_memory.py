#!/usr/bin/python3
"""Out of memory at start: whichever allocation of the program's own is the first to fail, it ends
with exit code 1 and a line that says so; never by a signal."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import daemon_rig as rig

PRELOAD = pathlib.Path(sys.argv.pop(1))
MOST = 2000


def run(fail_at, program, *arguments):
    environment = dict(os.environ, LD_PRELOAD=str(PRELOAD), FAIL_AT=str(fail_at))
    return subprocess.run([rig.BIN / program, *arguments], capture_output=True, text=True,
                          timeout=60, check=False, env=environment)


class Memory(unittest.TestCase):
    def all_told(self, least, program, *arguments):
        """Let each allocation fail in turn, until there are no more; at least so many."""
        for fail_at in range(1, MOST):
            done = run(fail_at, program, *arguments)
            if done.returncode == 0:
                self.assertGreater(fail_at, least)
                return
            self.assertEqual((fail_at, done.returncode), (fail_at, 1), done.stderr)
            self.assertIn("memory", done.stderr, fail_at)
        self.fail("no end")

    def test_check(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            rig.write_model(folder / "m.safetensors")
            (folder / "latentd.conf").write_text(
                f"[latentd]\ncontrol = ipc://{folder}/control\n"
                f"[stream arm]\nmodel = m.safetensors\ninput = ipc://{folder}/in\n"
                f"output = ipc://{folder}/out\n[stream leg]\nmodel = m.safetensors\n"
                f"input = ipc://{folder}/in2\noutput = ipc://{folder}/out2\n")
            self.all_told(20, "latentd", "--check", folder / "latentd.conf")

    def test_mistakes(self):
        """The texts of a configuration's mistakes take memory too; then its exit code is 2."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "latentd.conf"
            path.write_text("[stream arm]\nmodell = x\n[stream arm]\n")
            codes = [run(n, "latentd", "--check", path).returncode for n in range(1, 40)]
            n_failed = codes.index(2)
            self.assertGreater(n_failed, 5)
            self.assertEqual(codes, [1] * n_failed + [2] * (39 - n_failed))


if __name__ == "__main__":
    unittest.main(verbosity=2)

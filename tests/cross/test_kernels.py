#!/usr/bin/python3
"""Kernels that this machine cannot run: NEON under an emulator, AVX-512 by the look of its code.

Usage: test_kernels.py LIBRARY (liblatent.a of this build)
"""
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORE, UNIT = HERE.parents[1] / "core", HERE.parent / "unit"
COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
SOURCES = [CORE / f"{name}.c" for name in (
    "base/arena", "base/precision", "kernels/kernels", "kernels/kernels_neon",
    "kernels/kernels_plain", "kernels/panels")]
OPTIONS = ["-std=gnu11", "-O2", "-fno-math-errno", "-D_GNU_SOURCE", "-Wall", "-Werror", "-static"]
SKIPPED = 77
# Table: what its code must hold, and what it must not.
WANTED = {"kernels_plain": (r"mulps", r"%[yz]mm"),
          "kernels_avx2": (r"vfmadd\w+ps .*%ymm.*", r"%zmm"),
          "kernels_avx512": (r"vpmaddwd .*%zmm", r"vpdpwssd"),
          "kernels_avx512vnni": (r"vpdpwssd .*%zmm", None)}


def missing_tools():
    return [tool for tool in (COMPILER, EMULATOR) if not shutil.which(tool)]


class Kernels(unittest.TestCase):
    library = None

    def output_under_the_emulator(self, test):
        with tempfile.TemporaryDirectory(prefix="latent-cross-") as folder:
            program = Path(folder) / test
            subprocess.run([COMPILER, *OPTIONS, f"-I{HERE}", f"-I{CORE}", f"-I{CORE}/include",
                            UNIT / f"{test}.c", *SOURCES, "-lm", "-o", program], check=True)
            result = subprocess.run([EMULATOR, program], capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout

    @unittest.skipIf(missing_tools(), "no cross compiler or emulator")
    def test_neon_under_the_emulator(self):
        """Every check of the unit tests, on the plain and the NEON table."""
        output = self.output_under_the_emulator("test_kernels")
        for table in ("plain", "neon"):
            self.assertRegex(output, rf"{table}: largest relative error")
        self.assertIn("OK test_nonzero", self.output_under_the_emulator("test_recurrent"))

    @unittest.skipIf(platform.machine() != "x86_64", "tables of x86-64")
    def test_tables_hold_their_own_instructions(self):
        code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", self.library], check=True,
                              capture_output=True, text=True).stdout
        parts = dict(re.findall(r"^(\w+)\.c\.o: +file format.*?\n(.*?)(?=^\S+\.o: |\Z)", code,
                                re.M | re.S))
        for table, (present, absent) in WANTED.items():
            with self.subTest(table=table):
                self.assertRegex(parts[table], present)
                if absent:
                    self.assertNotRegex(parts[table], absent)


if __name__ == "__main__":
    Kernels.library = sys.argv.pop(1)
    program = unittest.main(verbosity=2, exit=False)
    if not program.result.wasSuccessful():
        sys.exit(1)
    if missing_tools():
        print(f"SKIP host: {', '.join(missing_tools())} not installed (tests/packages.txt)")
        sys.exit(SKIPPED)

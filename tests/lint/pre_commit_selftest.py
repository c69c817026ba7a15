#!/usr/bin/python3
"""The pre-commit hook judges what is staged, by git itself: it refuses, and it lets pass."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ.get("LATENT_SOURCE", pathlib.Path(__file__).parents[2]))
TREE = ("core/base", "core/README.md", "tests/lint", "tests/README.md", "README.md",
        ".clang-format")
GOOD = "/* A file. */\nint one(void)\n{\n    return 1;\n}\n"
BAD_LAYOUT = GOOD.replace("    return", "  return")
BAD_STYLE = GOOD.replace("A file.", "A\tfile.")
BAD_LAYER = GOOD.replace("\nint", '\n#include "decode/decoder.h"\n\nint')


class HookTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        for name in TREE:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (SOURCE / name).is_dir() else shutil.copy2
            copy(SOURCE / name, self.root / name)
        self.git("init", "-q")
        # As tests/README.md says.
        (self.root / ".git/hooks/pre-commit").symlink_to("../../tests/lint/pre_commit.sh")
        self.git("add", "-A")
        self.assertEqual(self.commit(), 0, self.said)

    def git(self, *arguments):
        return subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=self.root,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            env={name: value for name, value in os.environ.items() if not name.startswith("GIT_")})

    def commit(self):
        done = self.git("commit", "-q", "-m", "base: a change")
        self.said = done.stdout
        return done.returncode

    def stage(self, text):
        (self.root / "core/base/one.c").write_text(text)
        self.git("add", "-A")

    def test_refuses_and_lets_pass(self):
        for text, why in ((BAD_LAYOUT, "clang-format -i mends it: core/base/one.c"),
                          (BAD_STYLE, "core/base/one.c:1: [tab]"),
                          (BAD_LAYER, "[core-outside]")):
            self.stage(text)
            self.assertNotEqual(self.commit(), 0)
            self.assertIn(why, self.said)
            self.assertIn("not committed", self.said)
        self.stage(GOOD)
        (self.root / "core/base/one.c").write_text(BAD_LAYOUT)  # lies there, is not staged
        self.assertEqual(self.commit(), 0, self.said)
        self.assertEqual(self.git("show", "HEAD:core/base/one.c").stdout, GOOD)


if __name__ == "__main__":
    if not shutil.which("git"):
        print("SKIP host: no git")
        sys.exit(77)
    unittest.main()

#!/usr/bin/python3
"""tests/summary.py must not call a failure anything else: ctest feeds it every kind of outcome."""
import pathlib
import subprocess
import tempfile
import unittest

SUMMARY = pathlib.Path(__file__).resolve().parents[1] / "summary.py"
TESTS = {
    "good": "echo fine",
    "bad": "exit 3",
    "crash": "kill -SEGV $$",
    "shared": "echo 'SKIP shared: no data'; exit 77",
    "host": "echo 'SKIP host: no priority'; exit 77",
    "silent": "exit 77",
    "odd": "echo 'SKIP mood: none'; exit 77",
    "part": "echo 'SKIP host: no second core'",
    "shared_part": "echo 'SKIP shared: no data'",
}
# What is expected of each with and without the shared folder.
WITHOUT = {"good": "ok", "bad": "fail", "crash": "fail", "shared": "skip", "host": "skip",
           "silent": "fail", "odd": "fail", "part": "ok", "shared_part": "ok"}
WITH = {**WITHOUT, "shared": "fail", "shared_part": "fail"}


def run_ctest(folder, commands):
    """Write release.xml, as tests/run.sh does, for shell commands by name."""
    lines = ["cmake_minimum_required(VERSION 3.25)", "project(tries NONE)", "enable_testing()"]
    for name, command in commands.items():
        lines.append(f'add_test(NAME {name} COMMAND sh -c [==[{command}]==])')
        lines.append(f"set_tests_properties({name} PROPERTIES SKIP_RETURN_CODE 77)")
    (folder / "CMakeLists.txt").write_text("\n".join(lines))
    build = folder / "build"
    subprocess.run(["cmake", "-G", "Ninja", "-S", folder, "-B", build], check=True,
                   stdout=subprocess.DEVNULL)
    # Tests fail here on purpose, so ctest does too.
    subprocess.run(["ctest", "--test-dir", build, "--output-junit", folder / "release.xml"],
                   check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def summarise(folder, shared):
    done = subprocess.run(["/usr/bin/python3", SUMMARY, "--results", folder, "--shared", shared],
                          stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stdout.splitlines()


def counts(wanted, extra=0):
    ok, fail, skip = (list(wanted.values()).count(word) for word in ("ok", "fail", "skip"))
    return f"{ok + extra} passed, {fail} failed, {skip} skipped"


class SummaryTest(unittest.TestCase):
    """The last line, the exit code, and each test in its section."""

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.shared = self.folder / "shared"

    def check(self, commands, wanted, extra=0):
        run_ctest(self.folder, commands)
        code, lines = summarise(self.folder, self.shared)
        self.assertEqual(lines[-1], counts(wanted, extra))
        self.assertEqual(code, 1 if "fail" in wanted.values() else 0)
        failed = lines[lines.index("Failed:"):] if "Failed:" in lines else []
        named = {line.split(": ")[1] for line in failed if line.startswith("  release: ")}
        self.assertEqual(named, {name for name, result in wanted.items() if result == "fail"})

    def test_without_shared(self):
        self.check(TESTS, WITHOUT)

    def test_with_shared(self):
        (self.shared / "known_answers").mkdir(parents=True)
        self.check(TESTS, WITH)

    def test_all_good(self):
        (self.folder / "steps.txt").write_text("release build ok\n")
        wanted = {"good": "ok", "host": "skip"}
        self.check({name: TESTS[name] for name in wanted}, wanted, extra=1)

    def test_failed_step(self):
        (self.folder / "steps.txt").write_text("asan build fail\n")
        code, lines = summarise(self.folder, self.shared)
        self.assertEqual((code, lines[-1]), (1, "0 passed, 1 failed, 0 skipped"))

    def test_nothing_run(self):
        code, lines = summarise(self.folder, self.shared)
        self.assertEqual((code, lines[-1]), (1, "0 passed, 1 failed, 0 skipped"))

    def test_damaged_report(self):
        (self.folder / "release.xml").write_text("<testsuite><testcase")
        code, lines = summarise(self.folder, self.shared)
        self.assertEqual((code, lines[-1]), (1, "0 passed, 1 failed, 0 skipped"))


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
"""The quickstart's rig and verdict: it decodes, ends cleanly however it is ended, and can fail."""
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import unittest

SOURCE = pathlib.Path(os.environ.get("LATENT_SOURCE", pathlib.Path(__file__).parents[2]))
BUILD = pathlib.Path(os.environ.get("LATENT_BUILD", SOURCE / "build" / "release"))
BIN = pathlib.Path(os.environ.get("LATENT_BIN", BUILD / "bin"))
WAIT_S = 120  # ends a test that would hang


class QuickstartTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def start(self, *arguments):
        """live.py with a temporary folder of its own to leave clean."""
        process = subprocess.Popen(
            ["/usr/bin/python3", SOURCE / "daemon/quickstart/live.py", "--bin", BIN, *arguments],
            env={**os.environ, "TMPDIR": str(self.folder), "PYTHONPATH": str(BUILD / "python"),
                 "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def children(self):
        """{pid: program} of what runs over the temporary folder."""
        found = {}
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = path.read_bytes().split(b"\0")
            except OSError:  # it ended while we looked
                continue
            if any(os.fsencode(self.folder) in argument for argument in command):
                found[int(path.parent.name)] = pathlib.Path(os.fsdecode(command[0])).name
        return found

    def assert_clean(self):
        end = time.monotonic() + WAIT_S
        while self.children() and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(self.children(), {})

    def read_until(self, process, text):
        """A line that holds text has come."""
        for line in process.stdout:
            if text in line:
                return
        self.fail(f"ended without {text!r}")

    def test_decodes(self):
        process = self.start("--seconds", "5", "--phonemes")
        said, _ = process.communicate(timeout=WAIT_S)
        self.assertEqual(process.returncode, 0, said)
        for text in ("ok: every bin decoded",
                     "bins in 250 = decoded 250", "bins in 500 = decoded 500",
                     "speech phoneme error 0.25"):
            self.assertIn(text, said)
        self.assertRegex(said, r"speech \(phoneme error 0\.\d+\): .*\b(AA|IY|S|T|M|N|K|Z)\b")
        # Frames are due without bins too, after the simulators have ended; on a machine that is too
        # slow some are too old to be sent.
        due = [int(n) for n in re.findall(r"frames due (\d+) = published \d+", said)]
        self.assertEqual([n >= at_least for n, at_least in zip(due, (250, 500, 250), strict=True)],
                         [True, True, True])
        self.assertNotIn("\x1b", said)  # no terminal, no control codes
        self.assert_clean()
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_interrupt_ends_all(self):
        for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process = self.start()
            self.read_until(process, "reach")
            process.send_signal(ending)
            said, _ = process.communicate(timeout=WAIT_S)
            self.assertEqual(process.returncode, 0, said)
            self.assertIn("ok: every bin decoded, ledgers balanced\n", said)
            self.assert_clean()
            self.assertEqual(list(self.folder.iterdir()), [])

    def test_no_orphans_after_kill(self):
        process = self.start()
        self.read_until(process, "reach")
        self.assertEqual(sorted(self.children().values()), ["latent-sim", "latent-sim", "latentd"])
        process.kill()
        self.assert_clean()

    def test_says_when_the_daemon_died(self):
        process = self.start("--seconds", "60")
        self.read_until(process, "reach")
        daemon = next(pid for pid, name in self.children().items() if name == "latentd")
        os.kill(daemon, signal.SIGKILL)
        said, _ = process.communicate(timeout=WAIT_S)
        self.assertEqual(process.returncode, 1, said)
        self.assertIn("latentd ended with -9", said)
        self.assert_clean()
        self.assertEqual(list(self.folder.iterdir()), [])


if __name__ == "__main__":
    unittest.main()

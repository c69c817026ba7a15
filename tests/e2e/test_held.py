#!/usr/bin/python3
"""The operator's SAFE outlasts every end of the daemon, until he lets go; one stream or all."""
import signal
import unittest

import numpy as np

import daemon_rig as rig

ENDS = (signal.SIGTERM, signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV)
BACKLOG = 200
SAFE_EXIT = 3


class HeldTest(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        rig.write_model(self.rig.folder / "model.safetensors")
        self.kept = self.rig.folder / "control.safe"

    def start(self, *names, **daemon_keys):
        self.rig.configure({name: {"safe_exit": SAFE_EXIT} for name in names}, **daemon_keys)
        self.rig.start()

    def state(self, name="arm"):
        return self.rig.status()["streams"][name]["state"]

    def order(self, *words):
        """A line each; where the disk keeps it, and how soon, is for others to check."""
        code, out, err = self.rig.ctl("safe", *words)
        self.assertEqual((code, err), (0, ""))
        for line in out.splitlines():
            self.assertIn(line.partition(" is ")[2].partition(";")[0].partition(",")[0],
                          ("", "SAFE", "no longer held in SAFE"))
        return [line.split()[0] for line in out.splitlines()]

    def wait_until_kept(self, *names, path=None):
        """The file has what was ordered; of no name: there is none."""
        time_is_left = rig.deadline()
        while time_is_left():
            streams = self.rig.status()["streams"]
            if all(streams[name]["held"] == f"kept in {path or self.kept}" for name in names) and (
                    names or not self.kept.exists()):
                return
        self.fail(f"not kept: {streams}")

    def feed(self, source, consumer, first, n):
        """n bins one after the other at no pace; -> their frames."""
        counts = np.arange(3 * n).reshape(n, 3) % 4
        frames = []
        for i in range(n):
            source.send_multipart([b"arm/bins", rig.pack_bins(first + i, counts[i])])
            frames += consumer.frames(1)
        return frames

    def check_neutral(self, frames):
        for frame in frames:
            self.assertTrue(frame.flags & rig.SAFE)
            np.testing.assert_array_equal(frame.readout, np.float32(rig.NEUTRAL))

    def test_every_end(self):
        """Bins wait when it comes back: they are decoded, and the readout stays neutral."""
        self.start("arm")
        source = self.rig.source()
        self.feed(source, self.rig.consumer("arm"), 0, 5)
        self.order("arm", "on")
        self.wait_until_kept("arm")
        first = 5
        for end in ENDS:
            self.rig.stop(end)
            for seq in range(first, first + BACKLOG):
                source.send_multipart([b"arm/bins", rig.pack_bins(seq, [[1, 2, 3]])])
            first += BACKLOG
            self.rig.start()
            self.rig.wait_for("arm", "bins", "decoded", BACKLOG)
            consumer = self.rig.consumer("arm")
            self.check_neutral(self.feed(source, consumer, first, 10))
            first += 10
            status = self.rig.status()["streams"]["arm"]
            self.assertEqual((status["state"], status["held"]),
                             ("safe-operator", f"kept in {self.kept}"))
            self.assertEqual(status["flags"]["SAFE"], status["frames"]["published"])
        self.check_let_go(source, consumer, first)

    def check_let_go(self, source, consumer, first):
        self.order("arm", "off")
        self.wait_until_kept()
        time_is_left = rig.deadline()
        while time_is_left():  # the rules of SAFE: so many good bins, over their own time
            first += 1
            if not self.feed(source, consumer, first - 1, 1)[0].flags & rig.SAFE:
                break
        self.assertEqual(self.state(), "running")
        self.rig.stop(signal.SIGKILL)
        self.rig.start()
        self.assertEqual(self.state(), "waiting")

    def test_what_cannot_be_read(self):
        for bytes_found in (b"", b"arm\n", b"\0" * 5000):
            self.kept.write_bytes(bytes_found)
            self.start("arm", "leg")
            self.assertEqual([self.state("arm"), self.state("leg")], ["safe-operator"] * 2)
            self.assertIn(f"{self.kept}: damaged", " ".join(self.rig.status()["notes"]))
            self.order("arm", "off")
            self.wait_until_kept("leg")
            self.rig.stop(signal.SIGKILL)
            self.rig.start()
            self.assertEqual([self.state("arm"), self.state("leg")], ["waiting", "safe-operator"])
            self.order("leg", "off")
            self.wait_until_kept()
            self.rig.stop()

    def test_what_cannot_be_kept(self):
        """Said in the answer, in the log and in the status; kept as soon as it can be."""
        folder = self.rig.folder / "later"
        self.start("arm", safe_file=folder / "x.safe")
        self.assertIn("cannot be kept", " ".join(self.rig.status()["notes"]))
        code, said, _ = self.rig.ctl("safe", "arm", "on")
        self.assertEqual(code, 0)
        self.assertIn("arm is SAFE, but that is NOT KEPT: after a restart it may be let go", said)
        time_is_left = rig.deadline()
        while time_is_left() and "x.safe: No such file" not in self.rig.log.read_text():
            pass
        self.assertIn(f"NOT KEPT: {folder}/x.safe: No such file", self.rig.log.read_text())
        self.assertEqual(self.state(), "safe-operator")
        self.assertIn("NOT KEPT: ", self.rig.status()["streams"]["arm"]["held"])
        self.assertIn("held      in SAFE by the operator; NOT KEPT", self.rig.ctl("status")[1])
        folder.mkdir()
        self.wait_until_kept("arm", path=folder / "x.safe")
        self.rig.stop(signal.SIGKILL)
        self.rig.start()
        self.assertEqual(self.state(), "safe-operator")

    def test_without_ipc(self):
        """Beside the configuration, where control has no place in the file system."""
        self.start("arm", control="tcp://127.0.0.1:*")
        self.rig.control = self.rig.endpoints["control"]
        self.order("arm", "on")
        self.wait_until_kept("arm", path=f"{self.rig.config}.safe")

    def test_all(self):
        names = ["arm", "leg", "hand"]
        self.start(*names)
        self.assertEqual(self.order("--all", "on", "--dry-run"), names)
        self.assertEqual([self.state(n) for n in names], ["waiting"] * 3)
        self.assertEqual(self.order("--all", "on"), names)
        self.assertEqual([self.state(n) for n in names], ["safe-operator"] * 3)
        self.wait_until_kept(*names)
        self.rig.stop(signal.SIGKILL)
        self.rig.start()
        self.assertEqual([self.state(n) for n in names], ["safe-operator"] * 3)
        self.assertEqual(self.order("--all", "off"), names)
        self.wait_until_kept()

    def test_all_and_mistakes(self):
        self.start("arm")
        alone = "--all goes with safe on and safe off"
        for words, said in ((("safe", "--all", "arm", "on"), alone),
                            (("reset", "--all", "arm"), alone),
                            (("safe", "on"), "STREAM or --all is missing")):
            code, _, err = self.rig.ctl(*words)
            self.assertEqual(code, 2)
            self.assertIn(said, err)


if __name__ == "__main__":
    unittest.main(verbosity=2)

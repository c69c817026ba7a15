#!/usr/bin/python3
"""What latentd refuses it says: expected and found, in log and status, once per source."""
import unittest

import zmq

import daemon_rig as rig

ROW = [1, 0, 2]


class RefusalsTest(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        rig.write_model(self.rig.folder / "model.safetensors")

    def start(self, **keys):
        self.rig.configure({"arm": keys})
        return self.rig.start()

    def said(self, text):
        """Lines of the log that hold text."""
        return [line for line in self.rig.log.read_text().splitlines() if text in line]

    def wait_for_log(self, text):
        time_is_left = rig.deadline()
        while time_is_left():
            if self.said(text):
                return self.said(text)
        raise AssertionError(f"the log does not say {text!r}:\n{self.rig.log.read_text()}")

    def send_wrong(self, what, payload, n=20):
        """n such messages -> the refusal of this kind in the status."""
        source = self.rig.source()
        for _ in range(n):
            source.send_multipart([b"arm/bins", payload])
        self.rig.wait_for("arm", "messages", "in", n)
        return self.rig.status()["streams"]["arm"]["refusals"][what]

    def check_said_once(self, text):
        self.assertEqual(len(self.wait_for_log(text)), 1)
        self.assertEqual(len(self.said("refused ")), 1)
        code, table, _ = self.rig.ctl("status")
        self.assertEqual(code, 0)
        self.assertEqual(table.count(text), 1)

    def test_check_warns_of_the_ramp(self):
        """Where SAFE may be faster than the slew; not of what holds, and not of what is slow."""
        slow = {"min": -50, "max": 100, "slew": 200}
        fast = {"min": -10, "max": 10, "slew": 200}
        too_fast = ["vx over up to 100 mm/s in 100 ms", "1000 per second", "slew is 200"]
        for first, ramp, words in ((slow, 100, too_fast), (fast, 100, []),
                                   (slow, 200, too_fast[2:]),
                                   ({**slow, "safe": "hold"}, 100, []),
                                   ({"slew": 200}, 100, ["vx has a slew", "no limits"]),
                                   (fast, "none", ["vx to 0 mm/s at once"])):
            rig.write_model(self.rig.folder / "model.safetensors", first=first)
            self.rig.configure({"arm": {"safe_ramp_ms": ramp}})
            code, out, err = self.rig.run_to_end("--check", self.rig.config)
            self.assertEqual((code, len(err.splitlines())), (0, bool(words)), err)
            self.assertIn("[stream arm]", out)
            for word in words:
                self.assertIn(word, err)

    def test_channels(self):
        self.start()
        found = self.send_wrong("channels", rig.pack_bins(0, [1] * 96))
        self.assertEqual((found["n"], found["found"], found["expected"]), (20, 96, 3))
        self.check_said_once("20 messages: bins of 96 channels; the model takes 3")
        self.assertEqual(self.rig.status()["streams"]["arm"]["messages"]["refused.shape"], 20)

    def test_bin_width(self):
        self.start()
        found = self.send_wrong("bin_width_us", rig.pack_bins(0, ROW, bin_width_us=10000))
        self.assertEqual((found["n"], found["found"], found["expected"]), (20, 10000, 20000))
        self.check_said_once("20 messages: bins of 10 ms; the model takes 20 ms")

    def test_length(self):
        self.start()
        found = self.send_wrong("bytes", bytes(100000))
        self.assertEqual((found["n"], found["found"]), (20, 100000))
        self.assertLess(found["expected"], 100000)
        self.check_said_once(f"100000 bytes; expected 1 to {found['expected']}")

    def test_more_of_the_same_is_counted_not_said(self):
        self.start()
        self.send_wrong("channels", rig.pack_bins(0, [1] * 96), n=5)
        self.wait_for_log("5 messages: bins of 96 channels")
        for _ in range(3):  # more than three rounds of the control loop
            self.send_wrong("channels", rig.pack_bins(0, [1] * 96))
            self.rig.ctl("status")
        time_is_left, start = rig.deadline(), self.rig.status()["uptime_ns"]
        while self.rig.status()["uptime_ns"] - start < 2 * 10**9 and time_is_left():
            pass
        self.assertEqual(len(self.said("refused ")), 1)

    def test_values_and_formats(self):
        self.start()
        self.send_wrong("format", b"\xff\xff garbage", n=1)
        source = self.rig.source()
        source.send_multipart(
            [b"arm/bins", rig.pack_bins(0, [float("nan"), 1, 1], encoding=rig.pb.F32)])
        source.send_multipart([b"arm/bins", rig.pack_bins(1, ROW), b"more"])
        self.wait_for_log("1 messages: the payload is no Bins message")
        self.wait_for_log("1 bins: counts that the model cannot take")
        self.wait_for_log("1 messages: not of two parts")
        status = self.rig.status()["streams"]["arm"]
        self.assertEqual({what: r["n"] for what, r in status["refusals"].items()},
                         {"parts": 1, "format": 1, "values": 1})

    def test_nothing_is_said_of_what_fits(self):
        self.start()
        source = self.rig.source()
        for seq in range(100):
            source.send_multipart([b"arm/bins", rig.pack_bins(seq, ROW)])
        self.rig.wait_for("arm", "bins", "decoded", 100)
        self.assertEqual(self.rig.status()["streams"]["arm"]["refusals"], {})
        self.assertEqual(self.said("refused "), [])

    def test_wrong_name(self):
        self.start()
        source = self.rig.source()
        for _ in range(7):
            source.send_multipart([b"ar\x1b[2Jm/bins", rig.pack_bins(0, ROW)])
        line, = self.wait_for_log('7 messages for no stream here, the last for "ar?[2Jm/bins"')
        self.assertIn("expected NAME/bins of: arm", line)
        self.assertEqual(sum('for "ar?[2Jm/bins"' in n for n in self.rig.status()["notes"]), 1)

    def test_wrong_name_on_a_sub(self):
        """The name never leaves the source: what latentd knows is that nobody sends for its own."""
        endpoints = self.start(input="tcp://127.0.0.1:*", input_socket="sub")
        source = self.rig.source(endpoints["arm.input"], zmq.XPUB)
        self.assertEqual(source.recv(), b"\1arm/bins")
        line, = self.wait_for_log("a source is connected, but nothing has come for arm")
        self.assertIn("under the topic arm/bins?", line)

    def check_kind(self, ours, theirs, text):
        endpoints = self.start(input="tcp://127.0.0.1:*", input_socket=ours)
        self.rig.source(endpoints["arm.input"], theirs)
        self.assertEqual(len(self.wait_for_log(text)), 1)

    def test_push_to_a_sub(self):
        self.check_kind("sub", zmq.PUSH, "expected PUB (latent-replay --socket pub)")

    def test_pub_to_a_pull(self):
        self.check_kind("pull", zmq.XPUB, "expected PUSH (latent-replay --socket push)")


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
"""What latentd refuses it says: expected and found, in log and status, once per source."""
import datetime
import struct
import subprocess
import unittest
import warnings

import h5py
import numpy as np
import zmq
from latentd import Publisher, Subscriber

import daemon_rig as rig

ROW = [1, 0, 2]
RESET = 4  # a mark: before this bin


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

    def test_log(self):
        """Each line says when, in UTC, and how bad; the journal is told the latter in its way."""
        wrong = rig.pack_bins(0, ROW + ROW)
        self.start()
        self.send_wrong("channels", wrong)
        line, = self.wait_for_log("refused ")
        when, what = line.split(" ", 1)
        when = datetime.datetime.strptime(when, "%Y-%m-%dT%H:%M:%S.%fZ")
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        self.assertLess(abs((now - when).total_seconds()), 60)
        self.assertTrue(what.startswith("latentd: warning: stream arm: refused "), what)
        self.rig.stop()
        self.assertRegex(self.said(": stopping")[-1], r"^\S+Z latentd: Terminated: stopping$")

        self.rig.log.write_text("")
        stands = self.rig.log.stat()
        self.rig.start(environment={"JOURNAL_STREAM": f"{stands.st_dev}:{stands.st_ino}"})
        self.send_wrong("channels", wrong)
        self.assertTrue(self.wait_for_log("refused ")[-1].startswith("<4>stream arm: refused "))
        self.rig.stop()
        self.assertEqual(self.said(": stopping"), ["<6>Terminated: stopping"])

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

    def subscribed(self, source):
        self.assertEqual({source.recv(), source.recv()}, {b"\1arm/bins", b"\1"})

    def test_nothing_on_a_sub(self):
        endpoints = self.start(input="tcp://127.0.0.1:*", input_socket="sub")
        source = self.rig.source(endpoints["arm.input"], zmq.XPUB)
        self.subscribed(source)
        line, = self.wait_for_log("a source is connected, but nothing has come for arm")
        self.assertIn("under the topic arm/bins?", line)

    def test_wrong_name_on_a_sub(self):
        """It asks for all names until something has come for each of its own, and no longer."""
        endpoints = self.start(input="tcp://127.0.0.1:*", input_socket="sub")
        source = self.rig.source(endpoints["arm.input"], zmq.XPUB)
        self.subscribed(source)
        for _ in range(7):
            source.send_multipart([b"leg/bins", rig.pack_bins(0, ROW)])
        line, = self.wait_for_log('7 messages for no stream here, the last for "leg/bins"')
        self.assertIn("expected NAME/bins of: arm", line)
        source.send_multipart([b"arm/bins", rig.pack_bins(0, ROW)])
        self.assertEqual(source.recv(), b"\0")
        source.send_multipart([b"leg/bins", rig.pack_bins(0, ROW)])
        source.send_multipart([b"arm/bins", rig.pack_bins(1, ROW)])
        self.rig.wait_for("arm", "bins", "decoded", 2)
        self.assertEqual(self.rig.status()["inputs"][f"{endpoints['arm.input']} unknown_topic"], 7)

    def check_kind(self, ours, theirs, text):
        endpoints = self.start(input="tcp://127.0.0.1:*", input_socket=ours)
        self.rig.source(endpoints["arm.input"], theirs)
        self.assertEqual(len(self.wait_for_log(text)), 1)

    def test_push_to_a_sub(self):
        self.check_kind("sub", zmq.PUSH, "expected PUB (latent-replay --socket pub)")

    def test_pub_to_a_pull(self):
        self.check_kind("pull", zmq.XPUB, "expected PUSH (latent-replay --socket push)")


class SenderTest(unittest.TestCase):
    """The sender learns it, too: from latentd's output."""

    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        rig.write_model(self.rig.folder / "model.safetensors")

    def start(self, **keys):
        self.rig.configure({"arm": {"input": f"ipc://{self.rig.folder}/in", **keys}})
        self.ends = self.rig.start()

    def recording(self, n_channels=3, bin_ms=20.0, values=1, kind=np.uint8):
        path = self.rig.folder / "rec.h5"
        with h5py.File(path, "w") as file:
            file["counts"] = np.full((50, n_channels), values, kind)
            file["counts"].attrs["bin_width_ms"] = bin_ms
        return f"{path}:/counts"

    def replay(self, *arguments, recording, stream="arm", output=None):
        output = output or self.ends["arm.output"]
        return subprocess.run(
            [rig.BIN / "latent-replay", "--in", recording, "--stream", stream, "--bins",
             f"ipc://{self.rig.folder}/in", "--full-speed", "--output", output, *arguments],
            capture_output=True, text=True, timeout=2 * rig.WAIT_S, check=False)

    def test_replay_is_told(self):
        """Before the first bin: width, channels, kind of values, name."""
        self.start(input_socket="pull")
        for text, stream, arguments, recording in (
                ("stream arm takes bins of 3 channels, these have 5", "arm", (), {"n_channels": 5}),
                ("stream arm takes bins of 20 ms, these have 50 ms", "arm", (), {"bin_ms": 50.0}),
                ("stream arm takes counts, these are real values", "arm", ("--input", "real"),
                 {"values": 0.5, "kind": np.float32}),
                ("no stream leg at ", "leg", (), {})):
            done = self.replay(*arguments, recording=self.recording(**recording), stream=stream)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(text, done.stderr)
        self.assertIn("; there: arm\n", done.stderr)
        status = self.rig.status()
        self.assertEqual(status["streams"]["arm"]["messages"]["in"], 0)
        self.assertEqual(status["inputs"][f"{self.ends['arm.input']} unknown_topic"], 0)

    def test_nothing_was_taken(self):
        """The stream had these bins already: a record sent twice."""
        self.start(input_socket="pull", record="arm.record")
        self.assertEqual(self.replay(recording=self.recording()).returncode, 0)
        self.rig.stop()
        for expected in (0, 1):
            if expected == 0:
                self.start(input_socket="pull", max_age_ms=60000)
            done = subprocess.run(
                [rig.BIN / "latent-replay", "--record", self.rig.folder / "arm.record", "--stream",
                 "arm", "--bins", f"ipc://{self.rig.folder}/in", "--output",
                 self.ends["arm.output"]], capture_output=True, text=True, timeout=2 * rig.WAIT_S,
                check=False)
            self.assertEqual(done.returncode, expected, done.stderr)
        self.assertIn("latentd took none of the bins of arm", done.stderr)

    def test_nobody_says(self):
        self.start(input_socket="pull")
        done = self.replay(recording=self.recording(), output="ipc:///tmp/latent-none")
        self.assertEqual(done.returncode, 0)
        self.assertIn("not checked whether latentd takes the bins", done.stderr)
        self.rig.wait_for("arm", "bins", "decoded", 50)

    def test_either_kind_of_socket(self):
        """By default latent-replay takes the one that goes with latentd's; else it says which."""
        for ours, wrong, right in (("sub", "push", "pub"), ("pull", "pub", "push")):
            self.start(input_socket=ours)
            done = self.replay(recording=self.recording())
            self.assertEqual(done.returncode, 0, done.stderr)
            self.rig.wait_for("arm", "bins", "decoded", 50)
            done = self.replay("--socket", wrong, "--stop-after", "3", recording=self.recording())
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertRegex(done.stderr, f"use --socket {right}, or input-socket = ")
            self.rig.stop()

    def test_publisher_is_told(self):
        self.start(input_socket="pull")
        there = {"kind": "push", "output": self.ends["arm.output"]}
        end = f"ipc://{self.rig.folder}/in"
        for text, arguments, more in (("bin_width_us", ("arm", 10000), {}),
                                      ("n_channels", ("arm", rig.BIN_US), {"n_channels": 5}),
                                      ("no stream 'leg'", ("leg", rig.BIN_US), {})):
            with self.assertRaisesRegex(ValueError, text):
                Publisher(end, *arguments, **there, **more)
        with Publisher(end, "arm", rig.BIN_US, **there) as source:
            with self.assertRaisesRegex(ValueError, "0.5.*expected a count"):
                source.publish([0, 1, 0.5])
            with self.assertRaisesRegex(ValueError, "5 channels; expected 3"):
                source.publish([0] * 5)
            source.publish(ROW)
            self.rig.wait_for("arm", "bins", "decoded", 1)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            Publisher(end, "arm", rig.BIN_US, kind="push", output="ipc:///tmp/latent-none").close()
        self.assertIn("not checked", str(said[0].message))

    def test_real_values_in_any_encoding(self):
        """A model of real values takes whole ones packed narrow, as the floats that they are."""
        rig.write_model(self.rig.folder / "model.safetensors", kind="real")
        self.start(input_socket="pull")
        source, consumer = self.rig.source(), self.rig.consumer("arm")
        self.assertEqual(consumer.info.input, "real")
        latents = []
        for seq, (encoding, data) in enumerate((
                (rig.pb.F32, struct.pack("<3f", 2, 0, 7)), (rig.pb.U8, bytes((2, 0, 7))),
                (rig.pb.U16, struct.pack("<3H", 2, 0, 7)),
                (rig.pb.PAIRS, struct.pack("<4H", 0, 2, 2, 7)))):
            message = rig.pb.Bins(epoch=1, seq=seq, t_source_ns=10**9 + seq * rig.BIN_US * 1000,
                                  bin_width_us=rig.BIN_US, n_channels=3, encoding=encoding)
            message.bins.add(counts=data, marks=RESET)
            source.send_multipart([b"arm/bins", message.SerializeToString()])
            self.rig.wait_for("arm", "bins", "decoded", seq + 1)
            latents += [list(frame.latents) for frame in consumer.frames(1)]
        self.assertEqual(latents[1:], latents[:1] * 3)

    def test_no_client_binds_over_a_file(self):
        path = self.rig.folder / "precious"
        path.write_text("data")
        link = self.rig.folder / "link"
        link.symlink_to(path)
        for name in (path, link):
            with self.assertRaisesRegex(OSError, "no socket stands there"):
                Publisher(f"ipc://{name}", "arm", rig.BIN_US, bind=True)
            with self.assertRaisesRegex(OSError, "no socket stands there"):
                Subscriber(f"ipc://{name}", "arm", bind=True)
        self.assertEqual((path.read_text(), link.is_symlink()), ("data", True))
        with Publisher(f"ipc://{self.rig.folder}/there", "arm", rig.BIN_US, bind=True):
            with self.assertRaisesRegex(OSError, "another program has it"):
                Subscriber(f"ipc://{self.rig.folder}/there", "arm", bind=True)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
"""Ages of frames: exact where the source says that its clock is this machine's, estimated where it
does not, named where it cannot be; in Info, status, log and record."""
import subprocess
import time
import unittest

import zmq
from latentd import Publisher, Subscriber, clock_id

import daemon_rig as rig
import record_rig as records

BIN_S = rig.BIN_US / 1e6
APART_NS = 10**15  # of a source's clock from ours
ROW = [1, 0, 2]


def bins(seq, t_source_ns, clock=0):
    message = rig.pb.Bins.FromString(rig.pack_bins(seq, ROW))
    message.t_source_ns, message.clock_id = t_source_ns, clock
    return message.SerializeToString()


class AgeTest(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        rig.write_model(self.rig.folder / "model.safetensors")

    def start(self, **keys):
        self.rig.configure({"arm": {"source_clock": "auto", **keys}})
        self.rig.start()
        return self.rig.consumer("arm")

    def status(self):
        return self.rig.status()["streams"]["arm"]

    def test_exact(self):
        """By the Python client's own stamps; as it is told, in whole nanoseconds."""
        self.start()
        with Subscriber(f"ipc://{self.rig.folder}/out", "arm") as stream, \
                Publisher(f"ipc://{self.rig.folder}/in", "arm", rig.BIN_US, kind="push") as source:
            while stream.info is None:
                stream.latest(timeout=1)
            self.assertEqual(stream.info.source_clock, "waiting")
            source.publish(ROW)
            source.publish(ROW, t_source_ns=time.monotonic_ns() - 10**6, clock_id=clock_id())
            frames = [next(iter(stream)) for _ in range(2)]
            for frame in frames:
                self.assertEqual(frame.age_ns, frame.t_publish_ns - frame.t_source_ns)
                self.assertEqual(frame.age, frame.age_ns / 1e9)
                self.assertGreater(frame.age_ns, 0)
            self.assertGreater(frames[1].age_ns, 10**6)
            source.publish(ROW, t_source_ns=0)
            self.assertIsNone(next(iter(stream)).age)
        status = self.status()
        self.assertEqual((status["flags"]["AGE_UNKNOWN"], status["source_clock"]["state"]),
                         (1, "unstamped"))

    def test_false_claim(self):
        """Wall time that is said to be CLOCK_MONOTONIC: named; decoded all the same."""
        consumer, source = self.start(), self.rig.source()
        for seq in range(3):
            source.send_multipart([b"arm/bins", bins(seq, time.time_ns(), clock_id())])
        for frame in consumer.frames(3):
            self.assertTrue(frame.flags & rig.AGE_UNKNOWN)
        status = self.status()
        self.assertEqual(status["refusals"]["clock"]["n"], 3)
        self.assertEqual(status["bins"]["decoded"], 3)
        self.assertEqual(status["source_clock"]["state"], "learning")
        text = status["refusals"]["clock"]["text"]
        self.assertIn("expected 0 to 10 s", text)
        self.assertIn(text, self.rig.ctl("status")[1])
        is_left = rig.deadline()
        while is_left() and "by this machine's clock" not in self.rig.log.read_text():
            pass
        self.assertIn("by this machine's clock", self.rig.log.read_text())

    def test_estimated(self):
        """Another clock: known after a while, and replayed bit by bit; the same bins sent at
        another time claim nothing."""
        record = self.rig.folder / "arm.record"
        consumer = self.start(record=record, min_delay_us=700)
        source = self.rig.source()
        frame, seq, is_left = None, 0, rig.deadline()
        while is_left() and (frame is None or frame.flags & rig.AGE_UNKNOWN):
            t_ns = time.monotonic_ns() + APART_NS
            source.send_multipart([b"arm/bins", bins(seq, t_ns, clock_id() ^ 1)])
            frame, seq = consumer.frames(1)[0], seq + 1
            time.sleep(BIN_S)
        self.assertFalse(frame.flags & rig.AGE_UNKNOWN)
        self.assertGreaterEqual(frame.age_ns, 700000)
        clock = self.status()["source_clock"]
        self.assertEqual((clock["state"], clock["min_delay_ns"]), ("estimated", 700000))
        self.assertAlmostEqual(clock["offset_ns"] / APART_NS, -1, 3)
        self.assertGreater(clock["age_uncertainty_ns"], 0)
        self.assertIn("which cannot be seen:\n            min-delay-us = 700\n",
                      self.rig.ctl("status")[1])
        is_left = rig.deadline()
        while is_left() and consumer.info.source_clock != "estimated":
            consumer.wait_for_info()
        self.assertGreater(consumer.info.age_uncertainty_ns, 0)
        self.assertEqual(self.rig.stop(), 0)
        code, out, err = records.verify(record)
        self.assertEqual((code, err), (0, ""))
        self.assertIn("identical, bit by bit", out)
        self.check_resent(record, seq)

    def check_resent(self, record, n):
        sink = self.rig.context.socket(zmq.PULL)
        self.rig.sockets.append(sink)
        endpoint = f"ipc://{self.rig.folder}/again"
        sink.bind(endpoint)
        with subprocess.Popen([rig.BIN / "latent-replay", "--record", record,
                               "--full-speed", "--stream", "arm", "--bins", endpoint],
                              stdout=subprocess.DEVNULL) as sender:
            for seq in range(n):
                self.assertTrue(sink.poll(rig.WAIT_S * 1000))
                message = rig.pb.Bins.FromString(sink.recv_multipart()[1])
                self.assertEqual((message.seq, message.clock_id), (seq, 0))
                self.assertNotEqual(message.t_source_ns, 0)
        self.assertEqual(sender.returncode, 0)

    def test_configuration(self):
        self.rig.configure({"arm": {"source_clock": "monotonic", "min_delay_us": 300}})
        code, out, _ = self.rig.run_to_end("--check", self.rig.config)
        self.assertEqual(code, 0)
        self.assertIn("source-clock = monotonic\n", out)
        self.assertIn("min-delay-us = 300\n", out)
        for key, value, text in (("source_clock", "ntp", "off, auto, monotonic"),
                                 ("min_delay_us", "1000001", "1000000")):
            self.rig.configure({"arm": {key: value}})
            code, _, err = self.rig.run_to_end("--check", self.rig.config)
            self.assertEqual(code, 2)
            self.assertIn(text, err)

    def test_off(self):
        consumer = self.start(source_clock="off")
        with Publisher(f"ipc://{self.rig.folder}/in", "arm", rig.BIN_US, kind="push") as source:
            source.publish(ROW)
            self.assertTrue(consumer.frames(1)[0].flags & rig.AGE_UNKNOWN)
        self.assertEqual(self.status()["source_clock"]["state"], "off")


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
"""Subscribers are input: what libzmq's own subscribers can ask for, with keys and without, while a
consumer must not miss a frame. Subscribers that speak ZMTP by hand are in tests/fault."""
import os
import pathlib
import subprocess
import sys
import threading
import unittest

import zmq

import curve_rig
import daemon_rig as rig

N_TOPICS = int(os.environ.get("LATENT_TOPICS", 20000))
N_LONG, LONG_BYTES = 40, 1000000
MOST_MEMORY = 600000000  # address space in which libzmq alone would be aborted by such topics
MOST_GROWTH_KIB = 65536
N_COMING = 100  # that come and leave
N_BINS = 50     # between one act and the next


# In a process of its own: libzmq's subscriber does not survive it each time.
LONG = f"""
import os, sys, zmq, zmq.auth
socket = zmq.Context().socket(zmq.SUB)
if sys.argv[2:]:
    socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(sys.argv[2])
    socket.curve_serverkey, _ = zmq.auth.load_certificate(sys.argv[3])
socket.connect(sys.argv[1])
for i in range({N_LONG}):
    socket.subscribe(b"%d" % i + os.urandom({LONG_BYTES}))
while True:
    socket.poll(10)
"""


def counts_of(made):
    """Every ledger and flag of the stream, and how many steps, waits and frames were timed."""
    status = made.status()["streams"]["arm"]
    del status["flags"]["LATE"]  # of the test's own pauses
    groups = ("messages", "bins", "frames", "flags", "sequence")
    return {**{group: status[group] for group in groups},
            **{name: times["n"] for name, times in status["times_ns"].items()}}


class PlainTest(unittest.TestCase):
    def setUp(self):
        self.rig = self.make_rig()
        self.addCleanup(self.rig.close)
        self.ends = self.start()
        self.source = self.rig.source(self.ends["arm.input"], keys=self.keys("rig"))
        self.consumer = self.rig.consumer("arm", self.ends["arm.output"], keys=self.keys("screen"))
        self.greedy = zmq.Context()  # a context of its own: its threads are busy
        self.addCleanup(self.greedy.term)
        self.seq = 0

    def make_rig(self):
        made = rig.Rig()
        rig.write_model(made.folder / "model.safetensors")
        return made

    def prefix(self):
        """Sanitizers take address space of their own."""
        if os.environ.get("LATENT_SANITIZE"):
            return ()
        return "prlimit", f"--as={MOST_MEMORY}"

    def start(self):
        self.rig.configure({"arm": {"input": "tcp://127.0.0.1:*", "output": "tcp://127.0.0.1:*"}})
        return self.rig.start(*self.prefix())

    def keys(self, _name):
        return None

    def subscriber(self):
        socket = self.greedy.socket(zmq.SUB)
        socket.linger = 0
        keys = self.keys("wall")
        if keys:
            rig.set_keys(socket, keys)
        socket.connect(self.ends["arm.output"])
        return socket

    def check_stream(self):
        """Every bin comes back, and no frame is missing."""
        for _ in range(N_BINS):
            self.source.send_multipart([b"arm/bins", rig.pack_bins(self.seq, [1, 2, 0])])
            frame = self.consumer.frames(1)[0]
            self.assertEqual((frame.seq, frame.pub_seq), (self.seq, self.seq))
            self.seq += 1

    def outputs(self):
        return self.rig.status()["outputs"]

    def wait_for(self, counter, fits):
        time_is_left = rig.deadline()
        while not fits(self.outputs()[counter]):
            self.assertTrue(time_is_left(), self.outputs())

    def check_nothing_lost(self):
        frames = self.rig.status()["streams"]["arm"]["frames"]
        self.assertEqual((frames["published"], frames["suppressed.send"]), (self.seq, 0))
        self.assertEqual(counts_of(self.rig), self.counts_without())

    def counts_without(self):
        """What the same bins count where nobody but the consumer subscribes."""
        quiet = rig.Rig()
        self.addCleanup(quiet.close)
        rig.write_model(quiet.folder / "model.safetensors")
        quiet.configure({"arm": {}})
        quiet.start()
        source, consumer = quiet.source(), quiet.consumer("arm")
        for seq in range(self.seq):
            source.send_multipart([b"arm/bins", rig.pack_bins(seq, [1, 2, 0])])
            consumer.frames(1)
        return counts_of(quiet)

    def resident_kib(self):
        for line in pathlib.Path(f"/proc/{self.rig.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
        raise AssertionError("no VmHWM")

    def test_topics_without_end(self):
        """libzmq comes back by itself with all its topics, and is cut off again."""
        greedy = self.subscriber()
        self.addCleanup(greedy.close)
        subscribing = threading.Thread(target=lambda: [
            greedy.subscribe(b"%d and so on and so forth" % i) for i in range(N_TOPICS)])
        subscribing.start()
        while subscribing.is_alive():
            self.check_stream()
        subscribing.join()
        # It subscribes anew when it is looked at.
        self.wait_for("peers.cut", lambda n: greedy.poll(10) >= 0 and n >= 3)
        self.check_stream()
        self.check_nothing_lost()
        self.assertLess(self.outputs()["topics.bytes"], 16384)

    def test_long_topics(self):
        """Cut off before they take the memory that there is."""
        before = self.resident_kib()
        greedy = subprocess.Popen([sys.executable, "-c", LONG, self.ends["arm.output"],
                                   *map(str, self.keys("wall") or ())])
        self.addCleanup(greedy.wait)
        self.addCleanup(greedy.kill)
        while self.outputs()["peers.cut"] < 3:
            self.check_stream()
        self.check_stream()
        self.check_nothing_lost()
        self.assertLess(self.outputs()["topics.bytes"], 16384)
        if self.prefix():
            self.assertLess(self.resident_kib() - before, MOST_GROWTH_KIB)

    def test_many_come_and_leave(self):
        there = []
        for i in range(N_COMING):
            there.append(self.subscriber())
            there[-1].subscribe(b"arm/frame")
            there[-1].subscribe(b"%d" % i)
        self.wait_for("peers", lambda n: n == 1 + N_COMING)
        self.check_stream()
        for socket in there:
            socket.close()
        self.wait_for("peers", lambda n: n == 1)
        self.check_stream()
        self.check_nothing_lost()
        self.assertEqual(self.outputs()["peers.cut"], 0)
        self.wait_for("topics.bytes", lambda n: n == len(b"arm/frame" + b"arm/info") + 2 * 16)


class CurveTest(PlainTest):
    """The greedy one has a key, with the least of roles."""

    def make_rig(self):
        return curve_rig.CurveRig()

    def start(self):
        return self.rig.start_encrypted(before=self.prefix())

    def keys(self, name):
        return self.rig.keys(name)


if __name__ == "__main__":
    unittest.main(verbosity=2)

#!/usr/bin/python3
"""The Python and C clients against a daemon played by this script, over real ipc sockets."""
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

import numpy as np
import zmq

from latentd import Flag, Mark, Subscriber, clock_id
from latentd import latent_pb2 as pb

SOURCE = pathlib.Path(os.environ.get("LATENT_SOURCE", pathlib.Path(__file__).parents[2]))
BUILD = pathlib.Path(os.environ.get("LATENT_BUILD", SOURCE / "build" / "release"))
BIN = pathlib.Path(os.environ.get("LATENT_BIN", BUILD / "bin"))

WAIT_S = 20  # ends a test that would hang
HOUR_NS = 3600 * 10**9
SECOND_NS = 10**9


class FakeDaemon:
    """Publishes frames and infos of stream `arm` as latentd does."""

    def __init__(self, endpoint):
        self.socket = zmq.Context.instance().socket(zmq.XPUB)  # tells when a client has subscribed
        self.socket.linger = 0
        self.socket.bind(endpoint)
        self.pub_seq = 0

    def wait_for_client(self):
        topics = set()
        while topics < {b"\1arm/frame", b"\1arm/info"}:
            assert self.socket.poll(WAIT_S * 1000), "no client subscribed"
            topics.add(self.socket.recv())

    def send(self, topic, *parts):
        self.socket.send_multipart([topic.encode(), *parts])

    def info(self, decoder_id=11, neutral=(0.0, 5.0)):
        message = pb.Info(stream="arm", decoder_id=decoder_id, arch="gru", bin_width_us=20000)
        for name, value in zip(("vx", "vy"), neutral):
            message.readout.add(name=name, unit="mm/s", neutral=value, min=-900, max=900, slew=1e4)
        self.send("arm/info", message.SerializeToString())

    def frame(self, readout=(1.5, -2.5), age_ns=0, valid_for_ns=HOUR_NS, clock=None, skip=0,
              **more):
        """A frame published age_ns ago, after `skip` frames that never arrive."""
        self.pub_seq += skip
        message = pb.Frame(
            pub_seq=self.pub_seq, readout=readout,
            clock_id=clock_id() if clock is None else clock, valid_for_ns=valid_for_ns,
            **{"decoder_id": 11, "t_publish_ns": time.monotonic_ns() - age_ns, **more})
        self.pub_seq += 1
        self.send("arm/frame", message.SerializeToString())


FLOOD = """
import sys, time, zmq
from latentd import clock_id, latent_pb2 as pb
socket = zmq.Context().socket(zmq.PUB)
socket.bind(sys.argv[1])
frame = pb.Frame(clock_id=int(sys.argv[2]), valid_for_ns=10**12, decoder_id=11, readout=[3, 4])
info = pb.Info(stream="arm", decoder_id=11)
for name in ("vx", "vy"):
    info.readout.add(name=name, unit="mm/s", neutral=0)
while True:
    socket.send_multipart([b"arm/info", info.SerializeToString()])
    for _ in range(1000):
        frame.pub_seq += 1
        frame.t_publish_ns = time.monotonic_ns()
        payload = frame.SerializeToString() if sys.argv[3] == "frames" else b"garbage"
        socket.send_multipart([b"arm/frame", payload])
"""


class FloodTest(unittest.TestCase):
    """A publisher that pours faster than a client reads: each call returns all the same."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.endpoint = f"ipc://{self.folder.name}/out"

    def pour(self, what, clock):
        flood = subprocess.Popen([sys.executable, "-c", FLOOD, self.endpoint, str(clock), what],
                                 env={**os.environ, "PYTHONPATH": str(BUILD / "python")})
        self.addCleanup(flood.wait)
        self.addCleanup(flood.kill)
        client = Subscriber(self.endpoint, "arm")
        self.addCleanup(client.close)
        end = time.monotonic() + WAIT_S
        while client.received + client.refused == 0 and time.monotonic() < end:
            client.latest(timeout=0.1)
        return client

    def test_frames(self):
        for clock, why in ((clock_id(), ""), (77, "not known yet")):  # valid_for is 1000 s
            self.endpoint = f"ipc://{self.folder.name}/out-{clock}"
            client = self.pour("frames", clock)
            seen = [client.latest(timeout=WAIT_S).pub_seq for _ in range(10)]
            self.assertEqual(seen, sorted(set(seen)))
            readout = self.readout(client)
            self.assertEqual(readout.stale, bool(why))
            self.assertIn(why, readout.reason)

    def readout(self, client):
        """Its first one: the info comes now and then, and may be dropped with the rest."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            readout = client.readout(timeout=0.1)
            if readout is not None:
                return readout
        raise AssertionError("no info came")

    def test_garbage(self):
        client = self.pour("garbage", clock_id())
        end = time.monotonic() + WAIT_S
        while client.refused <= 20 and time.monotonic() < end:
            self.assertIsNone(client.latest())
        self.assertGreater(client.refused, 20)

    def test_c_client(self):
        """Its polls return: the example prints on, and ends when it is asked to."""
        self.pour("frames", clock_id())
        cursor = subprocess.Popen([BIN / "example_cursor", self.endpoint, "arm"],
                                  stdout=subprocess.PIPE, text=True)
        self.addCleanup(cursor.stdout.close)
        self.addCleanup(cursor.kill)
        lines = [cursor.stdout.readline() for _ in range(100)]
        self.assertIn("vx 3.00", lines[-1])
        cursor.terminate()
        self.assertIn("frames", cursor.communicate(timeout=WAIT_S)[0].splitlines()[-1])
        self.assertEqual(cursor.returncode, 0)


class SubscriberTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        endpoint = f"ipc://{self.folder.name}/out"
        self.daemon = FakeDaemon(endpoint)
        self.addCleanup(self.daemon.socket.close)
        self.client = Subscriber(endpoint, "arm")
        self.addCleanup(self.client.close)
        self.daemon.wait_for_client()

    def take(self, n_frames):
        """Wait until n_frames in all have come."""
        end = time.monotonic() + WAIT_S
        while self.client.received < n_frames and time.monotonic() < end:
            self.client.latest(timeout=0.1)
        self.assertEqual(self.client.received, n_frames)

    def take_info(self):
        """Infos come in order with frames: one frame behind tells that the info is there."""
        self.daemon.info()
        self.daemon.frame()
        self.take(self.client.received + 1)

    def test_frame_fields(self):
        self.daemon.frame(
            epoch=2**63, seq=7, t_source_ns=8, t_recv_ns=9, flags=int(Flag.LATE | Flag.GAP),
            latents=[0.5, 1.5], rates=[30.0], marks=2, event_id=2**64 - 1, mask_version=3,
            budget_left_ns=-4)
        frame = self.client.latest(timeout=WAIT_S)
        self.assertEqual((frame.epoch, frame.seq, frame.t_source_ns, frame.t_recv_ns),
                         (2**63, 7, 8, 9))
        self.assertEqual(frame.flags, Flag.LATE | Flag.GAP)
        self.assertEqual([str(Flag(n)) for n in (int(frame.flags), 0, 1 << 14 | 1 << 30)],
                         ["GAP|LATE", "none", f"NO_SIGNAL|{1 << 30}"])
        self.assertEqual((frame.marks, frame.event_id), (Mark.TRIAL_END, 2**64 - 1))
        self.assertEqual((frame.mask_version, frame.budget_left_ns), (3, -4))
        np.testing.assert_array_equal(frame.latents, np.float32([0.5, 1.5]))
        np.testing.assert_array_equal(frame.rates, np.float32([30.0]))
        np.testing.assert_array_equal(frame.readout, np.float32([1.5, -2.5]))
        self.assertEqual(frame.latents.dtype, np.float32)

    def test_nothing_is_none(self):
        self.assertIsNone(self.client.latest(timeout=0.0))
        self.assertIsNone(self.client.readout())

    def test_loss_is_counted(self):
        self.daemon.frame(skip=40)  # what was sent before we came is not a loss
        self.daemon.frame()
        self.daemon.frame(skip=3)
        self.daemon.frame()
        self.daemon.frame(skip=1)
        self.take(5)
        self.assertEqual((self.client.lost, self.client.restarts), (4, 0))
        self.daemon.pub_seq = 0  # another daemon
        self.daemon.frame()
        self.daemon.frame()
        self.take(7)
        self.assertEqual((self.client.lost, self.client.restarts), (4, 1))

    def test_latest_drains(self):
        for wait_s in (0.05, 0.2, 0.8, 3.2):  # a busy machine may not have delivered the burst yet
            for _ in range(50):
                self.daemon.frame()
            time.sleep(wait_s)
            before = self.client.received
            frame = self.client.latest()
            if self.client.received == self.daemon.pub_seq and self.client.received - before >= 50:
                break
        self.assertGreaterEqual(self.client.received - before, 50)  # by one call
        self.assertEqual(frame.pub_seq, self.daemon.pub_seq - 1)
        self.assertIsNone(self.client.latest())
        self.assertEqual(self.client.lost, 0)

    def test_every_frame_for_a_logger(self):
        for k in range(30):
            self.daemon.frame(seq=k)
        frames = self.client.frames(timeout=WAIT_S)
        self.assertEqual([next(frames).seq for _ in range(30)], list(range(30)))
        self.assertEqual(list(self.client.frames(timeout=0.0)), [])

    def test_other_topics(self):
        other = pb.Frame(pub_seq=99, readout=[7, 7]).SerializeToString()
        for topic in ("arm2/frame", "arm/frame2", "arm/frames", "arm/infos"):
            self.daemon.send(topic, other)
        self.daemon.frame()
        self.take(1)
        self.assertEqual((self.client.lost, self.client.refused), (0, 0))
        self.assertIsNone(self.client.readout())

    def test_garbage_is_refused(self):
        self.take_info()
        self.daemon.send("arm/frame", b"\xff" * 40)
        self.daemon.send("arm/frame")
        self.daemon.send("arm/frame", b"", b"")
        self.daemon.send("arm/info", b"\x0a\xff")
        self.daemon.frame(readout=(3, 4))
        self.take(2)
        self.assertEqual(self.client.refused, 4)
        self.assertEqual(self.client.readout().as_dict(), {"vx": 3.0, "vy": 4.0})

    def test_fresh_readout(self):
        self.take_info()
        cursor = self.client.readout()
        self.assertEqual((cursor.stale, cursor.reason), (False, ""))
        self.assertEqual((cursor["vx"], cursor["vy"]), (1.5, -2.5))
        self.assertEqual((cursor.names, cursor.units), (["vx", "vy"], ["mm/s", "mm/s"]))
        with self.assertRaises(KeyError):
            cursor["vz"]

    def assert_neutral(self, reason):
        cursor = self.client.readout()
        self.assertTrue(cursor.stale)
        self.assertIn(reason, cursor.reason)
        self.assertEqual(cursor.as_dict(), {"vx": 0.0, "vy": 5.0})

    def test_neutral_after_expiry(self):
        self.take_info()
        self.daemon.frame(age_ns=10 * SECOND_NS, valid_for_ns=60 * 10**6)
        self.take(2)
        self.assert_neutral("expired: 100")  # 10 s old
        self.daemon.frame(valid_for_ns=0)
        self.take(3)
        self.assert_neutral("expired")
        self.daemon.frame(readout=(9, 9))
        self.take(4)
        self.assertEqual(self.client.readout().as_dict(), {"vx": 9.0, "vy": 9.0})

    def test_neutral_by_itself_when_the_daemon_dies(self):
        self.take_info()
        self.daemon.frame(valid_for_ns=2 * SECOND_NS)
        self.take(2)
        self.daemon.socket.close()
        end = time.monotonic() + WAIT_S
        while not self.client.readout(timeout=0.05).stale and time.monotonic() < end:
            pass
        self.assert_neutral("expired")

    def test_no_readout_without_info(self):
        self.daemon.frame()
        self.take(1)
        self.assertIsNone(self.client.readout())

    def test_no_readout_in_info(self):
        self.daemon.info(neutral=())
        self.daemon.frame(readout=())
        self.take(1)
        self.assertIsNone(self.client.readout())

    def test_info_before_any_frame(self):
        self.daemon.info()
        end = time.monotonic() + WAIT_S
        while self.client.info is None and time.monotonic() < end:
            self.client.latest(timeout=0.1)
        self.assert_neutral("no frame yet")

    def test_foreign_clock(self):
        """Another machine's: its first frames are no readout; test_judge.py has the rest."""
        self.take_info()
        for clock, offset in ((77, 10**15), (0, -time.monotonic_ns() // 2)):
            n_before = self.client.received
            self.daemon.frame(age_ns=-offset, clock=clock, valid_for_ns=60 * 10**6)
            self.take(n_before + 1)
            self.assert_neutral("not known yet")
            end = time.monotonic() + WAIT_S
            while self.client.readout().stale and time.monotonic() < end:
                self.daemon.frame(age_ns=-offset, clock=clock, valid_for_ns=SECOND_NS)
                self.client.latest(timeout=0.02)
            self.assertGreaterEqual(self.client.received - n_before, 10)
            self.assertEqual(self.client.readout().as_dict(), {"vx": 1.5, "vy": -2.5})
            n_before = self.client.received
            self.daemon.frame(age_ns=10 * SECOND_NS - offset, clock=clock, valid_for_ns=SECOND_NS)
            self.take(n_before + 1)
            self.assert_neutral("expired: 10")

    def test_held_and_kept(self):
        """A field that says hold keeps what was given out last; the info says so."""
        message = pb.Info(stream="arm", decoder_id=11)
        message.readout.add(name="x", unit="mm", neutral=0, hold=True)
        message.readout.add(name="vx", unit="mm/s", neutral=0)
        self.daemon.send("arm/info", message.SerializeToString())
        self.daemon.frame()
        self.take(1)
        self.assertEqual(self.client.readout().as_dict(), {"x": 1.5, "vx": -2.5})
        self.daemon.frame(valid_for_ns=0, readout=(7, 8))
        self.take(2)
        self.assertEqual(self.client.readout().as_dict(), {"x": 1.5, "vx": 0.0})
        self.assertEqual([f.hold for f in self.client.info.readout], [True, False])

    def test_unsound_info(self):
        self.daemon.info(neutral=(float("nan"), 0))
        self.daemon.frame()
        self.take(1)
        self.assertEqual((self.client.refused, self.client.info), (1, None))
        self.assertIsNone(self.client.readout())

    def test_unusable_frames(self):
        self.take_info()
        for reason, frame in (
                ("future", {"age_ns": -HOUR_NS}),
                ("carries 1 readout values", {"readout": [1]}),
                ("carries 0 readout values", {"readout": []}),
                ("not finite", {"readout": [float("nan"), 1]}),
                ("decoder changed", {"decoder_id": 12})):
            self.daemon.frame(**frame)
            self.take(self.client.received + 1)
            self.assert_neutral(reason)

    def test_swap(self):
        self.take_info()
        self.daemon.info(decoder_id=12, neutral=(-1.0, -1.0))
        self.daemon.frame(readout=(1, 2))  # of the old decoder, sent just before the swap
        self.take(2)
        self.assertEqual(self.client.readout().as_dict(), {"vx": 1.0, "vy": 2.0})
        self.daemon.frame(readout=(3, 4), decoder_id=12)
        self.take(3)
        self.assertEqual(self.client.readout().as_dict(), {"vx": 3.0, "vy": 4.0})
        self.daemon.frame(decoder_id=12, valid_for_ns=0)
        self.take(4)
        self.assertEqual(self.client.readout().as_dict(), {"vx": -1.0, "vy": -1.0})


class CClientTest(unittest.TestCase):
    """example_cursor, the C client: same rules, seen in what it prints."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        endpoint = f"ipc://{self.folder.name}/out"
        self.daemon = FakeDaemon(endpoint)
        self.addCleanup(self.daemon.socket.close)
        self.cursor = subprocess.Popen(
            [BIN / "example_cursor", endpoint, "arm"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.cursor.stdout.close)
        self.addCleanup(self.cursor.wait)
        self.addCleanup(self.cursor.kill)
        self.daemon.wait_for_client()

    def expect(self, *texts):
        """Read on until a line holds each of the texts."""
        seen = []
        end = time.monotonic() + WAIT_S
        for line in self.cursor.stdout:
            seen.append(line)
            if all(text in line for text in texts):
                return
            if time.monotonic() > end:
                break
        self.fail(f"{texts} not in {''.join(seen[-5:])!r}")

    def test_semantics(self):
        self.daemon.info()
        self.expect("vx 0.00 mm/s", "vy 5.00 mm/s", "no frame yet")
        self.daemon.frame()
        self.expect("vx 1.50 mm/s", "vy -2.50 mm/s  \n")
        self.daemon.frame(age_ns=10 * SECOND_NS, valid_for_ns=10**6)  # only the same clock_id knows
        self.expect("vx 0.00", "vy 5.00", "expired: 10")
        self.daemon.frame(readout=(7, 7), skip=5, clock=77, age_ns=-10**15)
        self.expect("vx 0.00", "vy 5.00", "not known yet")
        self.daemon.frame(valid_for_ns=HOUR_NS + 1)
        self.expect("vx 0.00", "at most 3600 s")
        self.daemon.frame(decoder_id=12)
        self.expect("vx 0.00", "decoder changed")
        self.daemon.frame(readout=[1])
        self.expect("vx 0.00", "another number of readout values")
        self.daemon.frame(readout=[1, float("inf")])
        self.expect("vx 0.00", "not finite")
        self.daemon.frame(age_ns=-HOUR_NS)
        self.expect("vx 0.00", "published in the future")
        for clock in (None, 99):  # times of a frame that is damaged, or lies
            for t_publish_ns in (0, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1):
                self.daemon.frame(t_publish_ns=t_publish_ns, clock=clock, valid_for_ns=0)
        self.expect("vx 0.00", "not known yet")
        self.daemon.frame(flags=int(Flag.HELD))
        self.expect("vx 0.00", "held")
        for topic in ("arm/frame2", "arm2/frame"):
            self.daemon.send(topic, pb.Frame(pub_seq=1000).SerializeToString())
        self.daemon.send("arm/frame", b"\xff" * 20)
        self.daemon.send("arm/frame")
        self.daemon.info(decoder_id=13, neutral=(-4.0, -4.0))
        self.daemon.frame(decoder_id=13, readout=(8, 8))
        self.expect("vx 8.00", "vy 8.00 mm/s  \n")
        self.cursor.terminate()
        self.expect("frames 20, lost 5")
        self.assertEqual(self.cursor.wait(WAIT_S), 0)


class ClockIdTest(unittest.TestCase):
    def test_hash_of_boot_id(self):
        boot_id = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        digest = hashlib.sha256(boot_id.encode()).digest()
        self.assertEqual(clock_id(), int.from_bytes(digest[:8], "big"))


if __name__ == "__main__":
    unittest.main()

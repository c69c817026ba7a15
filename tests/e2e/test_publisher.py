#!/usr/bin/python3
"""The Python source: what it puts on the wire, seen by a socket of this script's own."""
import tempfile
import types
import unittest

import numpy as np
import zmq

from latentd import Mark, Publisher, clock_id
from latentd import latent_pb2 as pb

WAIT_S = 20  # ends a test that would hang


class PublisherTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.endpoint = f"ipc://{self.folder.name}/in"
        self.sink = zmq.Context.instance().socket(zmq.PULL)
        self.addCleanup(self.sink.close)
        self.sink.bind(self.endpoint)

    def receive(self):
        self.assertTrue(self.sink.poll(WAIT_S * 1000))
        topic, payload = self.sink.recv_multipart()
        self.assertEqual(topic, b"arm/bins")
        return pb.Bins.FromString(payload)

    def test_message(self):
        with Publisher(self.endpoint, "arm", 20000, kind="push") as source:
            self.assertTrue(source.wait(WAIT_S))
            counts = np.arange(8).reshape(2, 4) % 7 + 1
            self.assertEqual(
                source.publish(counts, [Mark.TRIAL_START, 0], [5, 2**64 - 1], t_source_ns=33), 0)
            self.assertEqual(source.publish(counts[0]), 2)
            first, second = self.receive(), self.receive()
        self.assertEqual((first.seq, second.seq), (0, 2))
        self.assertEqual((first.n_channels, first.bin_width_us, first.t_source_ns), (4, 20000, 33))
        self.assertEqual([bytes(b.counts) for b in first.bins], [b"\1\2\3\4", b"\5\6\7\1"])
        self.assertEqual([b.marks for b in first.bins], [1, 0])
        self.assertEqual([b.event_id for b in first.bins], [5, 2**64 - 1])
        self.assertNotEqual(first.epoch, 0)
        self.assertEqual(first.epoch, second.epoch)
        self.assertNotEqual(second.t_source_ns, 0)
        self.assertEqual((first.clock_id, second.clock_id), (0, clock_id()))

    def test_narrowest_encoding(self):
        sparse, fractional = np.zeros(100), np.ones(100)
        sparse[[3, 99]] = 1, 65535
        fractional[5] = 0.5
        cases = (
            (np.ones(100), pb.U8, b"\1" * 100), (np.full(3, 255), pb.U8, b"\xff" * 3),
            (np.full(3, 256), pb.U16, b"\0\1" * 3), (sparse, pb.PAIRS, b"\3\0\1\0\x63\0\xff\xff"),
            (np.zeros(100), pb.PAIRS, b""), (fractional, pb.F32, np.float32(fractional).tobytes()),
            (np.full(2, -1), pb.F32, np.float32([-1, -1]).tobytes()),
            (np.full(2, 65536), pb.F32, np.float32([65536, 65536]).tobytes()),
            (np.array([1, 0, 0, 0, 0, 0, 0, 2], np.uint8), pb.U8, b"\1\0\0\0\0\0\0\2"))
        for counts, encoding, expected in cases:
            with Publisher(self.endpoint, "arm", 1000, kind="push") as source:
                source.publish(counts)
                message = self.receive()
            self.assertEqual(message.encoding, encoding)
            self.assertEqual(bytes(message.bins[0].counts), expected)

    def test_misuse(self):
        with self.assertRaisesRegex(ValueError, "'pull'"):
            Publisher(self.endpoint, "arm", 1000, kind="pull")
        with Publisher(self.endpoint, "arm", 1000, kind="push") as source:
            for bad in (np.ones((257, 2)), np.ones((2, 2, 2)), np.ones((1, 0))):
                with self.assertRaisesRegex(ValueError, "shape"):
                    source.publish(bad)
            with self.assertRaisesRegex(ValueError, "one per bin"):
                source.publish(np.ones((3, 2)), marks=[1])

    def test_what_latentd_would_not_take(self):
        """Raised before anything is sent: the good message behind it arrives, with the next seq."""
        many = np.random.default_rng(0).random((128, 4096), np.float32)  # 2 MiB
        holed, huge = np.ones((3, 4096)), np.ones((3, 4096))
        holed[2, 7], huge[1, 5] = np.nan, 1e39
        with Publisher(self.endpoint, "arm", 10000, kind="push") as source:
            source.publish(many[:2])
            for bad, text in ((many, r"at most 1048576: send 6\d bins"),
                              (np.ones((1, 5)), "5 channels"),
                              (holed, "bin 2, channel 7 is nan"), (huge, "bin 1, channel 5 is inf"),
                              (np.full((1, 4096), -np.inf), "-inf")):
                with self.assertRaisesRegex(ValueError, text):
                    source.publish(bad)
            self.assertEqual(source.publish(many[:60]), 2)
            self.assertEqual([self.receive().seq for _ in range(2)], [0, 2])
            self.assertEqual(self.sink.poll(0), 0)

    def test_what_it_is_told_of_the_stream(self):
        for width in (20000.0, np.float64(1000), 0, 99, 10_000_001, True, "20", None):
            with self.assertRaisesRegex(ValueError, "whole number of microseconds"):
                Publisher(self.endpoint, "arm", width)
        with Publisher(self.endpoint, "arm", np.int64(1000), kind="push", n_channels=3) as source:
            with self.assertRaisesRegex(ValueError, "4 channels; expected 3"):
                source.publish(np.ones(4))
        info = types.SimpleNamespace(stream="arm", bin_width_us=1000, n_channels=3)
        for stream, width, n, text in (("leg", 1000, 3, "stream is 'leg'"),
                                       ("arm", 2000, 3, "2000"),
                                       ("arm", 1000, 4, "n_channels is 4")):
            with self.assertRaisesRegex(ValueError, text):
                Publisher(self.endpoint, stream, width, n_channels=n, info=info)
        with Publisher(self.endpoint, "arm", 1000, kind="push", info=info) as source:
            with self.assertRaisesRegex(ValueError, "expected 3"):
                source.publish(np.ones(2))
            self.assertEqual(source.publish(np.ones(3)), 0)

    def test_publish_by_pub(self):
        with Publisher("ipc://" + self.folder.name + "/pub", "arm", 1000, bind=True) as source:
            self.assertFalse(source.wait(0.0))
            sink = zmq.Context.instance().socket(zmq.SUB)
            self.addCleanup(sink.close)
            sink.subscribe(b"arm/bins")
            sink.connect(source.endpoint)
            self.assertTrue(source.wait(WAIT_S))
            source.publish([1, 2, 3])
            self.assertTrue(sink.poll(WAIT_S * 1000))
            self.assertEqual(sink.recv_multipart()[0], b"arm/bins")


if __name__ == "__main__":
    unittest.main()

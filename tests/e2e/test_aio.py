#!/usr/bin/python3
"""The asyncio clients against a daemon played by this script, beside the blocking ones."""
import asyncio
import tempfile
import threading
import unittest

import numpy as np
import zmq

from latentd import Subscriber, aio
from latentd import latent_pb2 as pb

from test_client import WAIT_S, FakeDaemon

N_FRAMES = 5000


class Case(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.endpoint = f"ipc://{folder.name}/out"
        self.input = f"ipc://{folder.name}/in"

    def daemon(self):
        daemon = FakeDaemon(self.endpoint)
        daemon.socket.sndhwm = 0
        daemon.socket.xpub_verbose = 1  # tells of the second client, too
        self.addCleanup(daemon.socket.close)
        return daemon

    def client(self):
        client = aio.Subscriber(self.endpoint, "arm", queue_frames=0)
        self.addCleanup(client.close)
        return client


class SubscriberTest(Case):
    async def test_every_frame(self):
        """As the blocking client: each frame once, in turn; other tasks go on meanwhile."""
        daemon, client = self.daemon(), self.client()
        daemon.wait_for_client()
        blocking = Subscriber(self.endpoint, "arm", queue_frames=0)
        self.addCleanup(blocking.close)
        daemon.wait_for_client()
        both, turns = [], 0
        thread = threading.Thread(
            target=lambda: both.extend(frame.pub_seq for frame in blocking.frames(2.0)))
        thread.start()

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async def pour():
            for i in range(N_FRAMES):
                daemon.frame()
                if i % 500 == 0:
                    daemon.info()
                    await asyncio.sleep(0)

        counting, pouring = asyncio.create_task(count()), asyncio.create_task(pour())
        own = [frame.pub_seq async for frame in client.frames(2.0)]
        await pouring
        counting.cancel()
        await asyncio.to_thread(thread.join)
        self.assertEqual(own, list(range(N_FRAMES)))
        self.assertEqual(both, own)
        self.assertEqual((client.received, client.lost, client.refused), (N_FRAMES, 0, 0))
        self.assertGreater(turns, N_FRAMES // 1000)

    async def test_newest(self):
        """Drained to the newest; an Info on the way ends no wait; then nothing, until it comes."""
        daemon, client = self.daemon(), self.client()
        self.assertIsNone(await client.latest())
        self.assertIsNone(await client.latest(0.05))
        daemon.wait_for_client()
        waiting = asyncio.create_task(client.latest(WAIT_S))
        daemon.info()
        await asyncio.sleep(0.1)
        self.assertFalse(waiting.done())
        self.assertEqual(client.info.stream, "arm")
        for _ in range(3):
            daemon.frame()
        newest = await waiting
        while newest.pub_seq < 2:
            newest = await client.latest(WAIT_S)
        self.assertIsNone(await client.latest(0.05))

    async def test_readout(self):
        """Fresh, then at rest once it has expired."""
        daemon, client = self.daemon(), self.client()
        self.assertIsNone(await client.readout())
        daemon.wait_for_client()
        daemon.info(neutral=(0, 5))
        daemon.frame(readout=(1.5, -2.5))
        readout = await client.readout(WAIT_S)
        self.assertEqual((readout.stale, readout["vx"], readout["vy"]), (False, 1.5, -2.5))
        daemon.frame(readout=(2, 3), valid_for_ns=1)
        readout = await client.readout(WAIT_S)
        self.assertEqual((readout.stale, readout["vx"], readout["vy"]), (True, 0, 5))

    async def test_cancelled(self):
        """A wait that is given up leaves nothing behind."""
        daemon, client = self.daemon(), self.client()
        daemon.wait_for_client()
        for _ in range(3):
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(client.latest(None), 0.05)
        daemon.frame()
        self.assertEqual((await client.latest(WAIT_S)).pub_seq, 0)
        async with aio.Subscriber(self.endpoint, "arm") as other:
            self.assertEqual((other.received, other.stream), (0, "arm"))
        with self.assertRaises(AttributeError):
            other.nothing


class PublisherTest(Case):
    async def test_push(self):
        """Nothing is lost when nobody reads for a while, and other tasks go on."""
        source = aio.Publisher(self.input, "arm", 20000, kind="push")
        self.addCleanup(source.close)
        sending = asyncio.create_task(self.send(source, 3000))
        await asyncio.sleep(0.1)
        sink = zmq.Context.instance().socket(zmq.PULL)
        self.addCleanup(sink.close)
        sink.bind(self.input)
        seen = await asyncio.to_thread(self.take, sink, 3000)
        await sending
        self.assertEqual(seen, list(range(3000)))
        self.assertEqual((source.seq, source.n_channels), (3000, 4))

    async def test_pub(self):
        source = aio.Publisher(self.input, "arm", 20000)
        self.addCleanup(source.close)
        self.assertFalse(await source.wait(0.05))
        sink = zmq.Context.instance().socket(zmq.SUB)
        self.addCleanup(sink.close)
        sink.subscribe("arm/bins")
        sink.bind(self.input)
        # A SUB listens only while it runs.
        taking = asyncio.create_task(asyncio.to_thread(self.take, sink, 1))
        self.assertTrue(await source.wait(WAIT_S))
        await self.send(source, 1)
        self.assertEqual(await taking, [0])
        with self.assertRaises(ValueError):
            await source.publish(np.zeros(5))

    @staticmethod
    async def send(source, n):
        for i in range(n):
            assert await source.publish(np.full(4, i % 5)) == i

    @staticmethod
    def take(sink, n):
        seen = []
        while len(seen) < n:
            assert sink.poll(WAIT_S * 1000), f"only {len(seen)} came"
            seen.append(pb.Bins.FromString(sink.recv_multipart()[1]).seq)
        return seen


if __name__ == "__main__":
    unittest.main()

"""The clients for asyncio: what latentd.Subscriber and latentd.Publisher do, awaited.

One task at a time waits on a client. Works with every event loop that watches descriptors
(asyncio's own on Linux, uvloop)."""

import asyncio

import zmq

from . import publisher, subscriber

_FRAMES_IN_A_ROW = 100  # then other tasks have a turn


async def _ready(socket, events, timeout):
    """Wait until a socket has one of these events; False: not within timeout seconds (None: for
    ever).

    The descriptor of a ZeroMQ socket is edge-triggered and tells of either direction: what has
    happened is asked for after each edge, and before the first."""
    loop = asyncio.get_running_loop()
    end = None if timeout is None else loop.time() + timeout
    edge, descriptor = asyncio.Event(), socket.getsockopt(zmq.FD)
    loop.add_reader(descriptor, edge.set)
    try:
        while not socket.getsockopt(zmq.EVENTS) & events:
            try:
                await asyncio.wait_for(edge.wait(), None if end is None else end - loop.time())
            except asyncio.TimeoutError:
                return bool(socket.getsockopt(zmq.EVENTS) & events)
            edge.clear()
        return True
    finally:
        loop.remove_reader(descriptor)


class _Client:
    """Closes with `async with`."""

    def close(self):
        """Leave the stream; does not wait."""
        self._client.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        self.close()


class Subscriber(_Client):
    """Frames of one stream: latentd.Subscriber with latest(), readout() and frames() awaited.

    Its counts (received, lost, restarts, refused), endpoint, stream and info are read as there."""

    def __init__(self, *arguments, **options):
        """As of latentd.Subscriber."""
        self._client = subscriber.Subscriber(*arguments, **options)

    def __getattr__(self, name):
        if name in ("received", "lost", "restarts", "refused", "endpoint", "stream", "info"):
            return getattr(self._client, name)
        raise AttributeError(name)

    async def latest(self, timeout=0.0):
        """The newest frame not yet seen, after waiting up to timeout seconds (None: for ever)."""
        loop = asyncio.get_running_loop()
        end = None if timeout is None else loop.time() + timeout
        while True:
            left = None if end is None else max(0.0, end - loop.time())
            if not await _ready(self._client._socket, zmq.POLLIN, left):
                return None
            frame = self._client.latest()
            if frame is not None:
                return frame

    async def readout(self, timeout=0.0):
        """Readout of the newest frame, by name, judged when it is returned; waits as latest()."""
        await self.latest(timeout)
        return self._client.readout()

    async def frames(self, timeout=None):
        """Every frame in turn; ends when none comes for timeout seconds (None: never)."""
        loop, taken = asyncio.get_running_loop(), 0
        end = None if timeout is None else loop.time() + timeout
        while True:
            left = None if end is None else max(0.0, end - loop.time())
            if not await _ready(self._client._socket, zmq.POLLIN, left):
                return
            for frame in self._client.frames(0.0):
                yield frame
                taken += 1
                if taken % _FRAMES_IN_A_ROW == 0:
                    await asyncio.sleep(0)
                end = None if timeout is None else loop.time() + timeout

    def __aiter__(self):
        return self.frames()


class Publisher(_Client):
    """Sends bins of one stream: latentd.Publisher with wait() and publish() awaited."""

    def __init__(self, *arguments, **options):
        """As of latentd.Publisher."""
        self._client = publisher.Publisher(*arguments, **options)

    def __getattr__(self, name):
        if name in ("stream", "bin_width_us", "n_channels", "epoch", "seq", "endpoint"):
            return getattr(self._client, name)
        raise AttributeError(name)

    async def wait(self, timeout=None):
        """Wait (seconds; None: for ever) until someone has come to listen; False: nobody in
        time."""
        return await _ready(self._client._socket, self._client.listening, timeout)

    async def publish(self, *arguments, **options):
        """As of latentd.Publisher; on "push" other tasks run until there is room."""
        if self._client.kind == "push":
            await _ready(self._client._socket, zmq.POLLOUT, None)
        return self._client.publish(*arguments, **options)

"""A consumer of frames."""

import itertools
import time

import zmq
from google.protobuf.message import DecodeError

from .clock import clock_id
from .encoding import MAX_BYTES
from .endpoint import attach
from .frames import Frame, Info
from .judge import Judge
from .keys import curve_options

_MAX_SKIPPED = 1000  # messages that are no frames, taken in one go after the time is over
_MAX_DRAINED = 10000  # frames at once, whatever a publisher pours in


class Subscriber:
    """Frames of one stream.

    latest() and readout() drain to the newest frame, as a control loop wants; iterating gives
    every frame, as a logger wants. Either way `lost` counts the frames that never came (holes in
    pub_seq).
    """

    def __init__(self, endpoint, stream, bind=False, queue_frames=1000, context=None,
                 *, keys=None):
        """keys: for an encrypted output, (own secret key file, latentd's public key file)."""
        options = curve_options(keys, bind)
        self.stream = stream
        self.received = 0  # frames
        self.lost = 0      # frames the publisher sent and we did not get
        self.restarts = 0  # times pub_seq started again
        self.refused = 0   # messages that were no Frame or Info, or an Info not to be used
        self._judge = Judge(clock_id())
        self._handlers = {
            f"{stream}/frame".encode(): self._on_frame, f"{stream}/info".encode(): self._on_info}
        self._socket = (context or zmq.Context.instance()).socket(zmq.SUB)
        self._socket.linger = 0
        self._socket.rcvhwm = queue_frames
        self._socket.maxmsgsize = MAX_BYTES
        for topic in self._handlers:
            self._socket.subscribe(topic)
        for name, value in options.items():
            setattr(self._socket, name, value)
        try:
            self.endpoint = attach(self._socket, endpoint, bind)
        except (OSError, zmq.ZMQError):
            self._socket.close()
            raise

    def latest(self, timeout=0.0):
        """The newest frame not yet seen, after waiting up to timeout seconds (None: for ever).

        It returns however fast a publisher pours: with the first frame that was published after
        the wait.
        None when there is none: what readout() then says depends on how old the one before is.
        """
        newest = self._receive(timeout)
        start_ns = time.monotonic_ns()
        for _ in range(_MAX_DRAINED):
            if newest is None or self._judge.is_after(start_ns):
                break
            frame = self._receive(0.0)
            if frame is None:
                break
            newest = frame
        return newest

    def frames(self, timeout=None):
        """Every frame in turn; ends when none comes for timeout seconds (None: never)."""
        while (frame := self._receive(timeout)) is not None:
            yield frame

    def __iter__(self):
        return self.frames()

    def readout(self, timeout=0.0):
        """Readout of the newest frame, by name; takes waiting frames as latest() does.

        Its values are at rest, and stale is True, once the frame has expired (valid_for_ns after
        its publication) or cannot be used: neutral, or the last given out where the readout holds
        it. None: no Info yet, or the stream has no readout.
        """
        self.latest(timeout)
        return self._judge.readout(time.monotonic_ns())

    @property
    def info(self):
        """The newest Info; None until it came (once a second)."""
        return self._judge.info

    def close(self):
        """Leave the stream."""
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _receive(self, timeout):
        """The next frame; infos on the way are kept. None when none came within timeout seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        for taken in itertools.count():
            if taken >= _MAX_SKIPPED and end is not None and time.monotonic() >= end:
                return None
            left_ms = None if end is None else max(0, int((end - time.monotonic()) * 1000 + 0.999))
            if not self._socket.poll(left_ms):
                return None
            frame = self._dispatch(self._socket.recv_multipart())
            if frame is not None:
                return frame

    def _dispatch(self, parts):
        """Frame of a message, or None for anything else.

        Subscribing is by prefix: the topic is compared whole.
        """
        handler = self._handlers.get(parts[0])
        if handler is None:
            return None
        try:
            if len(parts) == 2:
                return handler(parts[1])
        except DecodeError:
            pass
        self.refused += 1
        return None

    def _on_info(self, payload):
        if not self._judge.on_info(Info.unpack(payload)):
            raise DecodeError("values that no device should get")

    def _on_frame(self, payload):
        frame = Frame.unpack(payload, time.monotonic_ns())
        if self._judge.newest is not None:
            self._count_lost(frame.pub_seq - self._judge.newest.pub_seq)
        self.received += 1
        self._judge.on_frame(frame)
        return frame

    def _count_lost(self, advance):
        """advance: of pub_seq since the frame before."""
        if advance > 0:
            self.lost += advance - 1
        else:
            self.restarts += 1

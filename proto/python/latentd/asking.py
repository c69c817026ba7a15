"""What latentd says of a stream, at its output."""

import time

import zmq
from google.protobuf.message import DecodeError

from .encoding import MAX_BYTES
from .endpoint import attach
from .frames import Info
from .keys import curve_options

_SUFFIX = b"/info"


def ask_info(output, stream, timeout, context=None, keys=None):
    """Info of the stream; None: nothing came within timeout seconds.

    ValueError: other streams are there, this one is not.
    """
    socket = (context or zmq.Context.instance()).socket(zmq.SUB)
    try:
        socket.linger = 0
        socket.maxmsgsize = MAX_BYTES
        socket.subscribe(b"")
        for name, value in curve_options(keys, False).items():
            setattr(socket, name, value)
        attach(socket, output, False)
        return _wait(socket, output, stream, time.monotonic() + timeout)
    finally:
        socket.close()


def _wait(socket, output, stream, end):
    others = set()
    while (left := end - time.monotonic()) > 0:
        if not socket.poll(int(left * 1000) + 1):
            continue
        topic, *parts = socket.recv_multipart()
        if topic == stream.encode() + _SUFFIX and len(parts) == 1:
            try:
                return Info.unpack(parts[0])
            except DecodeError:
                continue
        if topic.endswith(_SUFFIX):
            others.add(topic[:-len(_SUFFIX)].decode(errors="replace"))
    if others:
        raise ValueError(f"no stream {stream!r} at {output}; there: {', '.join(sorted(others))}")
    return None

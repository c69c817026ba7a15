"""A source of bins."""

import numbers
import time
import warnings

import numpy as np
import zmq

from . import latent_pb2 as pb
from .asking import ask_info
from .clock import clock_id as own_clock_id
from .encoding import MAX_MESSAGE_BYTES, as_bins, check_counts, encode
from .endpoint import attach
from .keys import curve_options

_LINGER_MS = 1000
_ASK_S = 2.0
_WIDTH_US = (100, 10_000_000)  # as a model file may state it


class Publisher:
    """Sends bins of one stream to latentd.

    kind "pub" never blocks and drops what nobody takes (a rig); "push" blocks until it is taken
    (replay). The daemon's input decides: its SUB wants "pub", its PULL wants "push".
    """

    def __init__(self, endpoint, stream, bin_width_us, bind=False, kind="pub", *, n_channels=None,
                 info=None, output=None, epoch=None, context=None, keys=None):
        """n_channels: of every message; default: those of the first one.

        info: what latentd says of the stream (Subscriber.info): width, channels and kind of values
        must be these.
        output: latentd's output endpoint, to ask it for info (up to 2 s); no answer is a warning.
        epoch: any number that differs from the last start of this source; default: time_ns().
        keys: for an encrypted input, (own secret key file, latentd's public key file).
        """
        _check_width(bin_width_us)
        if info is None and output is not None:
            info = ask_info(output, stream, _ASK_S, context, keys)
            if info is None:
                warnings.warn(f"nothing comes from {output}: not checked whether latentd takes the "
                              f"bins of {stream}", stacklevel=2)
        if info is not None:
            _check_info(info, stream, bin_width_us, n_channels)
            n_channels = info.n_channels
        kinds = {"pub": zmq.XPUB, "push": zmq.PUSH}  # XPUB: a PUB that knows of its subscribers
        if kind not in kinds:
            raise ValueError(f"kind is {kind!r}; expected one of {sorted(kinds)}")
        options = curve_options(keys, bind)
        self.stream = stream
        self.bin_width_us = int(bin_width_us)
        self.n_channels = n_channels
        self._takes_counts = getattr(info, "input", "") == "counts"
        self.epoch = time.time_ns() if epoch is None else epoch
        self.seq = 0  # of the next bin
        self._topic = f"{stream}/bins".encode()
        self._clock_id = own_clock_id()
        self.kind = kind
        self.listening = zmq.POLLIN if kind == "pub" else zmq.POLLOUT  # someone is there
        self._socket = (context or zmq.Context.instance()).socket(kinds[kind])
        self._socket.linger = _LINGER_MS
        for name, value in options.items():
            setattr(self._socket, name, value)
        try:
            self.endpoint = attach(self._socket, endpoint, bind)
        except (OSError, zmq.ZMQError):
            self._socket.close()
            raise

    def wait(self, timeout=None):
        """Wait (seconds; None: for ever) until someone has come to listen; False: nobody in time.

        Bins published before are lost on "pub" and kept on "push".
        """
        timeout_ms = None if timeout is None else int(timeout * 1000)
        return bool(self._socket.poll(timeout_ms, self.listening))

    def publish(self, counts, marks=None, event_ids=None, t_source_ns=None, clock_id=0):
        """Send consecutive bins as one message; returns the seq of the first.

        counts: [n_channels] or [n_bins, n_channels]; marks (Mark) and event_ids: [n_bins] or None;
        t_source_ns: end of the first bin on the source's clock; default: the last bin ends now, by
        time.monotonic_ns(), and the message says so.
        clock_id: of a t_source_ns that is time.monotonic_ns(), latentd.clock_id(): a latentd on the
        same machine then knows the age of the bin exactly, and does not estimate it.
        ValueError: latentd would not take this message; nothing is sent, the next one may be good.
        """
        bins = as_bins(counts)
        n_bins, n_channels = bins.shape
        if self.n_channels not in (None, n_channels):
            raise ValueError(f"counts have {n_channels} channels; expected {self.n_channels}, as "
                             f"the stream has")
        if self._takes_counts:
            check_counts(bins)
        if t_source_ns is None:
            t_source_ns = time.monotonic_ns() - (n_bins - 1) * self.bin_width_us * 1000
            clock_id = self._clock_id
        encoding, rows = encode(bins)
        message = pb.Bins(
            epoch=self.epoch, seq=self.seq, t_source_ns=t_source_ns, bin_width_us=self.bin_width_us,
            n_channels=n_channels, encoding=encoding, clock_id=clock_id)
        for row, mark, event_id in zip(rows, _per_bin(marks, n_bins), _per_bin(event_ids, n_bins)):
            message.bins.add(counts=row, marks=mark, event_id=event_id)
        payload = message.SerializeToString()
        if len(payload) > MAX_MESSAGE_BYTES:
            n_fitting = n_bins * MAX_MESSAGE_BYTES // len(payload)
            raise ValueError(f"a message of {n_bins} bins has {len(payload)} bytes; expected at "
                             f"most {MAX_MESSAGE_BYTES}: send {n_fitting} bins at a time")
        self._socket.send_multipart([self._topic, payload])
        self.n_channels = n_channels
        self.seq += n_bins
        return self.seq - n_bins

    def close(self):
        """Give what was sent a second to leave."""
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def _check_width(bin_width_us):
    whole = isinstance(bin_width_us, numbers.Integral) and not isinstance(bin_width_us, bool)
    if not whole or not _WIDTH_US[0] <= bin_width_us <= _WIDTH_US[1]:
        raise ValueError(f"bin_width_us is {bin_width_us!r}; expected a whole number of "
                         f"microseconds, {_WIDTH_US[0]} to {_WIDTH_US[1]}")


def _check_info(info, stream, bin_width_us, n_channels):
    """What is to be sent must be what the daemon's stream takes."""
    for what, ours, theirs in (("stream", stream, info.stream),
                               ("bin_width_us", bin_width_us, info.bin_width_us),
                               ("n_channels", n_channels or info.n_channels, info.n_channels)):
        if ours != theirs:
            raise ValueError(f"{what} is {ours!r}; latentd's stream has {theirs!r}")


def _per_bin(values, n_bins):
    """[n_bins] Python integers from None, one number, or a sequence."""
    if values is None:
        return [0] * n_bins
    values = [int(v) for v in np.atleast_1d(np.asarray(values, dtype=object))]
    if len(values) != n_bins:
        raise ValueError(f"{len(values)} values for {n_bins} bins; expected one per bin")
    return values

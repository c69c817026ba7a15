"""A source of bins."""

import time

import numpy as np
import zmq

from . import latent_pb2 as pb
from .encoding import as_bins, encode
from .keys import curve_options

_LINGER_MS = 1000


class Publisher:
    """Sends bins of one stream to latentd.

    kind "pub" never blocks and drops what nobody takes (a rig); "push" blocks until it is taken
    (replay). The daemon's input decides: its SUB wants "pub", its PULL wants "push".
    """

    def __init__(self, endpoint, stream, bin_width_us, bind=False, kind="pub", *, epoch=None,
                 context=None, keys=None):
        """epoch: any number that differs from the last start of this source; default: time_ns().

        keys: for an encrypted input, (own secret key file, latentd's public key file).
        """
        kinds = {"pub": zmq.XPUB, "push": zmq.PUSH}  # XPUB: a PUB that knows of its subscribers
        if kind not in kinds:
            raise ValueError(f"kind is {kind!r}; expected one of {sorted(kinds)}")
        options = curve_options(keys, bind)
        self.stream = stream
        self.bin_width_us = bin_width_us
        self.epoch = time.time_ns() if epoch is None else epoch
        self.seq = 0  # of the next bin
        self._topic = f"{stream}/bins".encode()
        self._kind = kind
        self._socket = (context or zmq.Context.instance()).socket(kinds[kind])
        self._socket.linger = _LINGER_MS
        for name, value in options.items():
            setattr(self._socket, name, value)
        (self._socket.bind if bind else self._socket.connect)(endpoint)
        self.endpoint = self._socket.last_endpoint.decode().rstrip("\0")

    def wait(self, timeout=None):
        """Wait (seconds; None: for ever) until someone has come to listen; False: nobody in time.

        Bins published before are lost on "pub" and kept on "push".
        """
        events = zmq.POLLIN if self._kind == "pub" else zmq.POLLOUT
        return bool(self._socket.poll(None if timeout is None else int(timeout * 1000), events))

    def publish(self, counts, marks=None, event_ids=None, t_source_ns=None):
        """Send consecutive bins as one message; returns the seq of the first.

        counts: [n_channels] or [n_bins, n_channels]; marks (Mark) and event_ids: [n_bins] or None;
        t_source_ns: end of the first bin on the source's clock; default: the last bin ends now.
        """
        bins = as_bins(counts)
        n_bins, n_channels = bins.shape
        if t_source_ns is None:
            t_source_ns = time.monotonic_ns() - (n_bins - 1) * self.bin_width_us * 1000
        encoding, rows = encode(bins)
        message = pb.Bins(
            epoch=self.epoch, seq=self.seq, t_source_ns=t_source_ns, bin_width_us=self.bin_width_us,
            n_channels=n_channels, encoding=encoding)
        for row, mark, event_id in zip(rows, _per_bin(marks, n_bins), _per_bin(event_ids, n_bins)):
            message.bins.add(counts=row, marks=mark, event_id=event_id)
        self._socket.send_multipart([self._topic, message.SerializeToString()])
        self.seq += n_bins
        return self.seq - n_bins

    def close(self):
        """Give what was sent a second to leave."""
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def _per_bin(values, n_bins):
    """[n_bins] Python integers from None, one number, or a sequence."""
    if values is None:
        return [0] * n_bins
    values = [int(v) for v in np.atleast_1d(np.asarray(values, dtype=object))]
    if len(values) != n_bins:
        raise ValueError(f"{len(values)} values for {n_bins} bins; expected one per bin")
    return values

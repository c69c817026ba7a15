#!/usr/bin/python3
"""A ZeroMQ proxy that does what a plan says: loses, repeats, delays and damages messages.

usage: proxy.py IN OUT SEED ACTIONS

IN is bound (PULL), OUT connected (PUSH). ACTIONS is a JSON file: {"number of the message": [[verb,
arguments ...], ...]}; all else passes. Verbs: drop; repeat K; echo D and hold D (again, or only,
after D more messages); stall K (K messages wait, then leave together); replace WHAT; insert WHAT;
shift NS (the source's clock, from here on); drift PPM (the same). WHAT: see DAMAGES.

Prints READY when it is bound."""
import json
import random
import struct
import sys

import zmq
from google.protobuf.message import DecodeError

from latentd import latent_pb2 as pb

from plan import clock_reads

NOT_A_MESSAGE = b"\xff"  # wire type 7 does not exist
TOO_LONG = 500_000       # above the stream's bound, below libzmq's
HOUR_NS = 3600 * 10**9


def edited(parts, edit):
    message = pb.Bins.FromString(parts[1])
    edit(message)
    return [parts[0], message.SerializeToString()]


def with_values(parts, values):
    """The bin as 32-bit floats with these values."""
    def edit(message):
        message.encoding = pb.F32
        message.bins[0].counts = struct.pack(f"<{len(values)}f", *values)
    return edited(parts, edit)


def garbage(parts, rng):
    return [parts[0], NOT_A_MESSAGE + rng.randbytes(rng.randint(0, 200))]


def is_message(payload):
    try:
        return len(pb.Bins.FromString(payload).bins) > 0
    except DecodeError:
        return False


def truncated(parts, rng):
    """Cut where what is left is no message."""
    payload = parts[1]
    lengths = [n for n in range(1, len(payload)) if not is_message(payload[:n])]
    return [parts[0], payload[:rng.choice(lengths)]]


def wider(parts, rng):
    """A message of another, whole shape."""
    n = rng.choice([1, 2, 4, 5, 100])

    def edit(message):
        message.n_channels = n
        message.encoding = pb.U8
        message.bins[0].counts = bytes(n)
    return edited(parts, edit)


def other_bin_width(parts, rng):
    def edit(message):
        message.bin_width_us = rng.choice([0, 1, 10000, 19999, 20001, 2**32 - 1])
    return edited(parts, edit)


def short(parts, rng):
    """One channel too few in the bin, though the message says the right number."""
    def edit(message):
        message.encoding = pb.U8
        message.bins[0].counts = bytes(rng.choice([0, 1, 2, 4]))
    return edited(parts, edit)


def other_number(parts, rng):
    """One bit of a counter too far up for the stream to get there."""
    def edit(message):
        message.seq ^= 1 << rng.randint(20, 63)
    return edited(parts, edit)


def other_time(parts, rng):
    """Hours or years off, both ways."""
    def edit(message):
        message.t_source_ns = rng.choice([message.t_source_ns + HOUR_NS * rng.randint(1, 10**5),
                                          2**62 + rng.getrandbits(61)])
    return edited(parts, edit)


def other_epoch(parts, rng):
    def edit(message):
        message.epoch = rng.choice([0, rng.randint(2, 2**64 - 1)])
    return edited(parts, edit)


DAMAGES = {
    "number": other_number,
    "time": other_time,
    "epoch": other_epoch,
    "garbage": garbage,
    "truncated": truncated,
    "width": wider,
    "bin width": other_bin_width,
    "long": lambda parts, rng: [parts[0], bytes(TOO_LONG)],
    "parts": lambda parts, rng: parts + [rng.randbytes(9)] * rng.randint(1, 3),
    "nan": lambda parts, rng: with_values(
        parts, [1.0, rng.choice([float("nan"), float("inf"), -float("inf")]), 1.0]),
    "short": short,
    "topic": lambda parts, rng: [rng.choice([b"leg/bins", b"arm/bin", b"arm/bins2", b"", b"\xff"]),
                                 parts[1]],
    "overflow": lambda parts, rng: with_values(parts, [3e38, 3e38, 0.0]),
}


CLOCK_VERBS = {"shift": "_shift_ns", "drift": "_ppm"}  # they hold on, from this message


class Proxy:
    """on_message decides what leaves, in which order; send(parts) takes it away."""

    def __init__(self, seed, actions, send):
        self._seed = seed
        self._actions = {int(n): planned for n, planned in actions.items()}
        self._send = send
        self._n = 0
        self._later = []      # (number of the message after which, parts)
        self._stalled = []    # parts that wait
        self._stall_end = 0
        self._shift_ns = 0
        self._ppm = 0

    def on_message(self, parts):
        n = self._n
        self._n += 1
        planned = self._actions.get(n, ())
        for verb, argument in (entry for entry in planned if entry[0] in CLOCK_VERBS):
            setattr(self, CLOCK_VERBS[verb], getattr(self, CLOCK_VERBS[verb]) + argument)
        out = [self._on_clock(parts)]
        for verb, *arguments in (entry for entry in planned if entry[0] not in CLOCK_VERBS):
            out = getattr(self, f"_do_{verb}")(n, out, *arguments)
        self._stalled += out
        if self._n >= self._stall_end:
            self._release()
        for when, message in [entry for entry in self._later if entry[0] == n]:
            self._later.remove((when, message))
            self._send(message)

    def _release(self):
        for message in self._stalled:
            self._send(message)
        self._stalled = []

    def _rng(self, n):
        return random.Random(f"{self._seed}/{n}")

    def _on_clock(self, parts):
        if not self._shift_ns and not self._ppm:
            return parts

        def edit(message):
            message.t_source_ns = clock_reads(message.t_source_ns, self._ppm, self._shift_ns)
        return edited(parts, edit)

    # ---- verbs: what shall leave -> what shall leave instead

    def _do_drop(self, n, out):
        return []

    def _do_repeat(self, n, out, k):
        return out * (1 + k)

    def _do_echo(self, n, out, d):
        self._later += [(n + d, message) for message in out]
        return out

    def _do_hold(self, n, out, d):
        self._later += [(n + d, message) for message in out]
        return []

    def _do_stall(self, n, out, k):
        self._stall_end = n + k
        return out

    def _do_replace(self, n, out, what):
        return [DAMAGES[what](message, self._rng(n)) for message in out]

    def _do_insert(self, n, out, what):
        return [DAMAGES[what](out[-1], self._rng(n))] + out


def main():
    bound, connected, seed, actions = sys.argv[1:]
    context = zmq.Context()
    incoming, outgoing = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    incoming.bind(bound)
    outgoing.connect(connected)
    with open(actions) as file:
        proxy = Proxy(int(seed), json.load(file), outgoing.send_multipart)
    print("READY", flush=True)
    while True:
        proxy.on_message(incoming.recv_multipart())


if __name__ == "__main__":
    main()

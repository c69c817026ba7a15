"""A real latentd over real sockets for the tests: tiny models, a daemon, sources, consumers.

The models are kalman files of the form "given", s = M1 s + M2 u + m0, readout = W s + b, small
enough that answer() can say what each frame must hold, in float64.
"""
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import tempfile
import time

import numpy as np
import zmq
import zmq.auth

from latent_models.common import model_file, safetensors
from latent_models.common.normalise import Normaliser
from latentd import latent_pb2 as pb

SOURCE = pathlib.Path(os.environ.get("LATENT_SOURCE", pathlib.Path(__file__).parents[2]))
BUILD = pathlib.Path(os.environ.get("LATENT_BUILD", SOURCE / "build" / "release"))
BIN = pathlib.Path(os.environ.get("LATENT_BIN", BUILD / "bin"))

WAIT_S = 30  # ends a test that would hang
BIN_US = 20000
WARMUP, GAP, FILLED, PREDICTED, LATE, HELD, SAFE, RESET = (1 << i for i in range(8))
INPUT_CLIPPED, LIMITED = 1 << 10, 1 << 11
AGE_UNKNOWN, NO_SIGNAL = 1 << 13, 1 << 14
NEUTRAL = (0.0, 0.5)
# On a loaded machine nothing may depend on the time: only the tests of deadlines set them. The
# times of pack_bins are nobody's clock.
PATIENT = {"budget_ms": 1000, "max_age_ms": 3600000, "on_missing": "skip", "lease_ms": 3600000,
           "missing_after_ms": 3600000, "safe_ramp_ms": "none", "safe_start": "no",
           "valid_for_ms": 80, "source_clock": "off"}

M1 = np.array([[0.5, 0.0], [0.25, 0.5]])
M0 = np.array([0.5, -1.0])
W = np.array([[2.0, 0.0], [0.0, -1.0]])
B = np.array([1.0, 0.0])


def gain(n_channels):
    """M2 [2, n_channels], whole multiples of 1/4."""
    return (np.arange(2 * n_channels).reshape(2, n_channels) % 5 - 2) / 4


def answer(counts):
    """States [T, 2] and readouts [T, 2] for counts [T, C] from a fresh start."""
    state, states = np.zeros(2), []
    for row in np.asarray(counts, float):
        state = M1 @ state + gain(len(row)) @ row + M0
        states.append(state)
    states = np.array(states)
    return states, states @ W.T + B


def statistics(n_channels, mean, variance):
    """The channels entry where all are alike."""
    entry = model_file.channel_table(np.full(n_channels, mean), np.full(n_channels, variance or 0))
    if variance is None:
        del entry["variance"]
    if (mean, variance) != (1, 1):  # of seconds of signal: 9 such bins are none
        entry.update(longest_silence=3, longest_repeat=3)
    return entry


def write_model(path, n_channels=3, has_means=True, kind="counts", *, clip=None, first=None,
                bin_us=BIN_US, bias=B, loud=1.0, normalise=None,
                training=None):
    """A model file whose known answer is answer(). kind: of its input, counts or real; clip: the
    most of each channel that reaches it; first: what more its first readout says; bias: of the
    readouts, instead of B; loud: what the input of the last channel is multiplied by;
    normalise: that entry of the configuration; training: mean and variance of each channel, instead
    of 1 and 1; variance None: the file has none."""
    config = model_file.build_config(
        "kalman", n_channels, bin_us, ["causal"], {"form": "given"},
        outputs=(2, 0, [{**model_file.readout_entry("vx", "mm/s", NEUTRAL[0]), **(first or {})},
                model_file.readout_entry("grip", "N", NEUTRAL[1])]),
        licence="CC0-1.0", source="a test", checkpoint_sha256="0" * 64,
        channels=statistics(n_channels, *(training or (1, 1))) if has_means else None)
    config["input"] = kind
    if clip:
        config["channels"]["clip"] = clip
    counts = np.arange(4 * n_channels).reshape(4, n_channels) % 3
    weights = gain(n_channels)
    if loud != 1.0:
        counts[:, -1] = 0
        weights[:, -1] = loud
    given = counts
    if normalise:
        config["normalise"] = normalise
        given = Normaliser(config).run(counts.astype(float), counts, False)
    states, readouts = answer(given)
    readouts = readouts - B + bias
    tensors = {"M1": M1, "M2": weights, "m0": M0, "readout.weight": W,
               "readout.bias": np.asarray(bias, float),
               "selftest.input": counts.astype(np.float32),
               "selftest.causal.latents": states.astype(np.float32),
               "selftest.causal.readout": readouts.astype(np.float32)}
    safetensors.write(path, tensors, {"latent.config": json.dumps(config)})
    return path


def pack_bins(seq, counts, epoch=1, bin_width_us=BIN_US, n_channels=None, *, encoding=pb.U8,
              marks=0):
    """A Bins payload: counts [n_bins, n_channels]."""
    rows = np.atleast_2d(np.asarray(counts))
    message = pb.Bins(epoch=epoch, seq=seq, t_source_ns=(10**9 + seq * bin_width_us * 1000) % 2**63,
                      bin_width_us=bin_width_us, n_channels=n_channels or rows.shape[1],
                      encoding=encoding)
    for i, row in enumerate(rows):
        data = (struct.pack(f"<{len(row)}f", *row) if encoding == pb.F32
                else bytes(int(c) for c in row))
        message.bins.add(counts=data, marks=marks, event_id=(1000 + seq + i) % 2**64)
    return message.SerializeToString()


def set_keys(socket, keys):
    """Make a socket a CURVE client. keys: (own secret key file, public key file of the server)."""
    socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(keys[0])
    socket.curve_serverkey, _ = zmq.auth.load_certificate(keys[1])


class Consumer:
    """Subscriber of one stream; made, it is sure to be heard: an info has come through it."""

    def __init__(self, context, stream, endpoint, keys=None):
        self.stream = stream
        self.info = None
        self.socket = context.socket(zmq.SUB)
        self.socket.rcvhwm = 0
        self.socket.linger = 0
        if keys:
            set_keys(self.socket, keys)
        self.socket.connect(endpoint)
        self.socket.subscribe(f"{stream}/frame")
        self.socket.subscribe(f"{stream}/info")
        self.wait_for_info()

    def wait_for_info(self):
        self.info = pb.Info.FromString(self._receive("info"))

    def frames(self, n):
        """The next n frames."""
        return [pb.Frame.FromString(self.payload()) for _ in range(n)]

    def payload(self):
        """The next frame as it came, byte for byte."""
        return self._receive("frame")

    def _receive(self, kind):
        """Payload of the next message of this kind; of infos that nobody waits for, none."""
        while self.socket.poll(WAIT_S * 1000):
            topic, payload = self.socket.recv_multipart()
            if topic.decode() == f"{self.stream}/{kind}":
                return payload
            if topic.decode() != f"{self.stream}/info":
                raise AssertionError(f"{self.stream}: unexpected {topic}")
        raise AssertionError(f"{self.stream}: no {kind} came")


class Rig:
    """A folder, a daemon in it, and sockets to it.

    close() ends all and checks that the daemon was well."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="latent-rig-"))
        self.control = f"ipc://{self.folder}/control"
        self.config = self.folder / "latentd.conf"
        self.log = self.folder / "latentd.log"
        self.context = zmq.Context()
        self.sockets = []
        self.process = None
        self.endpoints = {}

    def configure(self, streams, clients=None, **daemon_keys):
        """streams: name -> {key: value}. Input by PULL over ipc and one output, unless given.

        clients: name -> (public key file, roles)."""
        lines = ["[latentd]"]
        for key, value in {"control": self.control, **daemon_keys}.items():
            lines.append(f"{key.replace('_', '-')} = {value}")
        for name, (public_key, roles) in (clients or {}).items():
            lines += [f"[client {name}]", f"public-key = {public_key}", f"roles = {roles}"]
        for name, keys in streams.items():
            lines.append(f"[stream {name}]")
            defaults = {"model": "model.safetensors", "input": f"ipc://{self.folder}/in",
                        "input_socket": "pull", "output": f"ipc://{self.folder}/out",
                        **PATIENT}
            for key, value in {**defaults, **keys}.items():
                lines.append(f"{key.replace('_', '-')} = {value}")
        self.config.write_text("\n".join(lines) + "\n")

    def start(self, *before, environment=None):
        """Start the daemon, by the command `before` if given, and wait for its READY.

        -> endpoints by "control", "STREAM.input", "STREAM.output"."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*before, BIN / "latentd", self.config], stderr=log, stdout=subprocess.PIPE,
                text=True, env={**os.environ, **(environment or {})})
        line = self.process.stdout.readline()
        if not line.startswith("READY "):
            raise AssertionError(f"no READY: {line!r}\n{self.log.read_text()}")
        self.endpoints = dict(word.split("=", 1) for word in line.split()[1:])
        return self.endpoints

    def run_to_end(self, *arguments):
        """Run latentd until it ends by itself; -> (exit code, stdout, stderr)."""
        done = subprocess.run([BIN / "latentd", *arguments], capture_output=True, text=True,
                              timeout=WAIT_S)
        return done.returncode, done.stdout, done.stderr

    def pause(self):
        """SIGSTOP; returns when every thread of it stands. It goes on with resume()."""
        pause(self.process.pid)

    def resume(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def stop(self, number=signal.SIGTERM):
        """-> exit code."""
        self.process.send_signal(number)
        code = self.process.wait(WAIT_S)
        self.process.stdout.close()
        self.process = None
        return code

    def close(self):
        code = self.stop() if self.process else 0
        for socket in self.sockets:
            socket.close(linger=0)
        self.context.term()
        log = self.log.read_text() if self.log.exists() else ""
        shutil.rmtree(self.folder)
        if code:
            raise AssertionError(f"latentd ended with {code}\n{log}")

    # ---- sockets

    def source(self, endpoint=None, kind=zmq.PUSH, keys=None):
        socket = self.context.socket(kind)
        socket.linger = 1000
        if keys:
            set_keys(socket, keys)
        socket.connect(endpoint or f"ipc://{self.folder}/in")
        self.sockets.append(socket)
        return socket

    def consumer(self, stream, endpoint=None, keys=None):
        consumer = Consumer(self.context, stream, endpoint or f"ipc://{self.folder}/out", keys)
        self.sockets.append(consumer.socket)
        return consumer

    # ---- control

    def ctl(self, *arguments):
        """-> (exit code, stdout, stderr) of latentctl."""
        done = subprocess.run(
            [BIN / "latentctl", "--control", self.control, "--timeout", "10", *arguments],
            capture_output=True, text=True, timeout=WAIT_S)
        return done.returncode, done.stdout, done.stderr

    def status(self):
        """The parsed status, with "streams" by name; every ledger must balance."""
        code, out, err = self.ctl("status", "--json")
        if code:
            raise AssertionError(err)
        status = json.loads(out)
        status["streams"] = {s["name"]: s for s in status["streams"]}
        for name, stream in status["streams"].items():
            check_ledgers(name, stream)
        return status

    def wait_for(self, stream, group, counter, value):
        """The stream's status as soon as a counter has reached a value."""
        time_is_left = deadline()
        while time_is_left():
            status = self.status()["streams"][stream]
            if status[group][counter] >= value:
                return status
        raise AssertionError(f"{stream}: {group} {counter} stayed below {value}: {status}")


def pause(pid):
    """SIGSTOP of a child; returns when every thread of it stands. Until then they may go on."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


def deadline():
    """-> a function that waits a moment and says whether there is time left."""
    end = time.monotonic() + WAIT_S

    def time_is_left():
        time.sleep(0.02)
        return time.monotonic() < end
    return time_is_left


def check_ledgers(name, stream):
    """All three balance, by their own numbers and by the daemon's word."""
    for ledger, first in (("messages", "in"), ("bins", "in"), ("frames", "due")):
        counters = dict(stream[ledger])
        if counters.pop(first) != sum(counters.values()) or not stream["balanced"][ledger]:
            raise AssertionError(f"{name}: {ledger} do not balance: {stream[ledger]}")
    due = stream["bins"]["decoded"] + stream["sequence"]["filled"] + stream["sequence"]["missing"]
    if stream["frames"]["due"] != due:
        raise AssertionError(f"{name}: {stream['frames']['due']} frames due, {due} made")

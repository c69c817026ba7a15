"""What the tests of latent-sim, latent-replay and latent-decode share: folders and sockets of
their own, running a program, and reading what it sent or wrote."""
import itertools
import os
import pathlib
import resource
import signal
import subprocess
import tempfile
import time
import unittest

import h5py
import numpy as np
import zmq

from latentd import latent_pb2 as pb

SOURCE = pathlib.Path(os.environ["LATENT_SOURCE"])
BIN = pathlib.Path(os.environ["LATENT_BIN"])
MODELS = SOURCE / "models"
RECIPES = {kind: MODELS / f"{kind}.json" for kind in
           ("lorenz", "reach", "arneodo", "rossler", "lorenz_sae", "chaotic", "speech")}
WAIT_MS = 20000  # ends a test that hangs
TRIAL_START, TRIAL_END = 1, 2
WARMUP, RESET, OUTSIDE = 1 << 0, 1 << 7, 1 << 12


def run(*command, **options):
    """-> the finished process with its texts."""
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=300,
                          **options)


limits_file_sizes = unittest.skipIf(
    "thread" in os.environ.get("LATENT_SANITIZE", ""),
    "the thread sanitizer itself dies of a limit on file sizes")


def small_files(n_bytes):
    """For preexec_fn: a limit on file size fails writes as a full disk does."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))

    return limit


class Case(unittest.TestCase):
    """A test with a folder of its own, and sockets in it."""
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="latent-tools-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.context = zmq.Context()
        self.addCleanup(self.context.destroy, 0)
        self.names = itertools.count()

    def run_ok(self, *command, **options):
        result = run(*command, **options)
        self.assertEqual(result.returncode, 0, f"{command}\n{result.stdout}{result.stderr}")
        return result.stdout

    def refused(self, program, *arguments, text, **options):
        """The program must say no, in one line that contains text."""
        result = run(BIN / program, *arguments, **options)
        self.assertEqual(result.returncode, 1, f"{arguments}\n{result.stdout}{result.stderr}")
        line = result.stderr.strip().split("\n")[-1]
        self.assertTrue(line.startswith(f"{program}: "), result.stderr)
        self.assertIn(text, line)

    def all_refused(self, program, fixed, cases):
        """cases: [(text, more arguments)]."""
        for text, arguments in cases:
            with self.subTest(text):
                self.refused(program, *arguments, *fixed, text=text)

    def start(self, program, *arguments):
        """A program in the background; ended with the test."""
        process = subprocess.Popen([str(c) for c in (BIN / program, *arguments)],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def finish(self, process):
        """-> stdout of a program that must end by itself with 0."""
        out, err = process.communicate(timeout=WAIT_MS / 1000)
        self.assertEqual(process.returncode, 0, out + err)
        return out

    def endpoint(self):
        """A new one: a socket closes in the background and would take its path along."""
        return f"ipc://{self.folder}/{next(self.names)}"

    def socket(self, kind, endpoint, bind=True):
        socket = self.context.socket(kind)
        self.addCleanup(socket.close, 0)
        socket.rcvtimeo = WAIT_MS
        socket.rcvhwm = 0
        if kind == zmq.SUB:
            socket.subscribe(b"")
        (socket.bind if bind else socket.connect)(endpoint)
        return socket

    def recording(self, counts, bin_ms=20.0, name="recording"):
        """FILE:/counts of an array."""
        path = self.folder / f"{name}.h5"
        with h5py.File(path, "w") as f:
            f["counts"] = counts
            f["counts"].attrs["bin_width_ms"] = bin_ms
        return f"{path}:/counts"


def counts_of(message, i, n_channels):
    """Counts [n_channels] of bin i as float32, by the four encodings of latent.proto."""
    raw = message.bins[i].counts
    if message.encoding == pb.PAIRS:
        counts = np.zeros(n_channels, np.float32)
        pairs = np.frombuffer(raw, "<u2").reshape(-1, 2)
        counts[pairs[:, 0]] = pairs[:, 1]
        return counts
    kind = {pb.U8: "u1", pb.U16: "<u2", pb.F32: "<f4"}[message.encoding]
    return np.frombuffer(raw, kind).astype(np.float32)


class Received:
    """All bins of a stream, in the order of their coming."""
    def __init__(self, socket, n_bins, stream="s"):
        self.counts, self.marks, self.seq, self.t_source_ns, self.came_ns = [], [], [], [], []
        self.epochs, self.clock_ids, self.sizes = set(), set(), []
        while len(self.counts) < n_bins:
            topic, payload = socket.recv_multipart()
            assert topic == f"{stream}/bins".encode(), topic
            message = pb.Bins.FromString(payload)
            self.bin_width_us, self.n_channels = message.bin_width_us, message.n_channels
            self.epochs.add(message.epoch)
            self.clock_ids.add(message.clock_id)
            self.sizes.append(len(message.bins))
            for i, one in enumerate(message.bins):
                self.counts.append(counts_of(message, i, message.n_channels))
                self.marks.append(one.marks)
                self.seq.append(message.seq + i)
                self.t_source_ns.append(message.t_source_ns + i * message.bin_width_us * 1000)
                self.came_ns.append(time.clock_gettime_ns(time.CLOCK_MONOTONIC))
        self.counts = np.array(self.counts)

    def marked(self, mark):
        return [seq for seq, marks in zip(self.seq, self.marks) if marks & mark]


def random_counts(seed, *shape, mean=0.6):
    return np.random.default_rng(seed).poisson(mean, shape).astype(np.uint8)


def random_tensors(seed, shapes):
    generator = np.random.default_rng(seed)
    normal = {name: generator.normal(0, 0.3, shape) for name, shape in shapes.items()}
    return {name: array.astype(np.float32) for name, array in normal.items()}


def read_all(path):
    """{dataset: array}, {dataset: attributes}, attributes of the file."""
    arrays, attributes = {}, {}

    def on_object(name, item):
        if isinstance(item, h5py.Dataset):
            arrays[name], attributes[name] = item[()], dict(item.attrs)

    with h5py.File(path) as f:
        f.visititems(on_object)
        return arrays, attributes, dict(f.attrs)

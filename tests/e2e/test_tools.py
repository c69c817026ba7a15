#!/usr/bin/python3
"""latent-sim, latent-replay and latent-decode, started as a user starts them: what they write, what they send, and
what they say when something is wrong."""
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import h5py
import numpy as np
import zmq
from scipy.integrate import solve_ivp

from latentd import latent_pb2 as pb

SOURCE = pathlib.Path(os.environ["LATENT_SOURCE"])
BIN = pathlib.Path(os.environ["LATENT_BIN"])
MODELS = SOURCE / "models"
RECIPES = {kind: MODELS / f"{kind}.json" for kind in ("lorenz", "reach")}
WAIT_MS = 20000  # ends a test that hangs
TRIAL_START, TRIAL_END = 1, 2
WARMUP, RESET, OUTSIDE = 1 << 0, 1 << 7, 1 << 12

sys.path.insert(0, str(MODELS))
from common import safetensors  # noqa: E402
from gru import reference as gru_reference  # noqa: E402
from common.model_file import read_model  # noqa: E402


def run(*command, **options):
    """-> the finished process with its texts."""
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=300, **options)


class Case(unittest.TestCase):
    """A test with a folder of its own, and sockets in it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="latent-tools-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.context = zmq.Context()
        self.addCleanup(self.context.destroy, 0)

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

    def start(self, program, *arguments):
        """A program in the background; ended with the test."""
        process = subprocess.Popen([str(c) for c in (BIN / program, *arguments)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def finish(self, process):
        """-> stdout of a program that must end by itself with 0."""
        out, err = process.communicate(timeout=WAIT_MS / 1000)
        self.assertEqual(process.returncode, 0, out + err)
        return out

    def endpoint(self, name):
        return f"ipc://{self.folder}/{name}"

    def socket(self, kind, name, bind=True):
        socket = self.context.socket(kind)
        self.addCleanup(socket.close, 0)
        socket.rcvtimeo = WAIT_MS
        socket.rcvhwm = 0
        if kind == zmq.SUB:
            socket.subscribe(b"")
        (socket.bind if bind else socket.connect)(self.endpoint(name))
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
        self.epochs, self.sizes = set(), []
        while len(self.counts) < n_bins:
            topic, payload = socket.recv_multipart()
            assert topic == f"{stream}/bins".encode(), topic
            message = pb.Bins.FromString(payload)
            self.bin_width_us, self.n_channels = message.bin_width_us, message.n_channels
            self.epochs.add(message.epoch)
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
    return {name: generator.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def read_all(path):
    """{dataset: array}, {dataset: attributes}, attributes of the file."""
    arrays, attributes = {}, {}

    def on_object(name, item):
        if isinstance(item, h5py.Dataset):
            arrays[name], attributes[name] = item[()], dict(item.attrs)

    with h5py.File(path) as f:
        f.visititems(on_object)
        return arrays, attributes, dict(f.attrs)


class Dataset(Case):
    def make(self, kind):
        out = self.folder / f"{kind}.h5"
        self.run_ok(BIN / "latent-sim", "--recipe", RECIPES[kind], "--out", out)
        return read_all(out)

    def check_poisson(self, counts, expected):
        """Counts given their means: the index of dispersion is 1 within 5 standard errors."""
        expected = expected.astype(np.float64)
        index = ((counts - expected) ** 2 / expected).mean()
        spread = np.sqrt((2 + 1 / expected).mean() / counts.size)
        self.assertLess(abs(index - 1), 5 * spread)
        self.assertLess(abs(counts.sum() - expected.sum()), 5 * np.sqrt(expected.sum()))

    def check_split(self, arrays, sizes):
        parts = [arrays[f"split/{name}"] for name in ("train", "valid", "test")]
        self.assertEqual([len(p) for p in parts], sizes)
        self.assertTrue(all(p.dtype == np.uint32 for p in parts))
        self.assertEqual(sorted(np.concatenate(parts)), list(range(sum(sizes))))

    def test_lorenz(self):
        arrays, attributes, root = self.make("lorenz")
        self.assertEqual(arrays["counts"].shape, (1300, 50, 29))
        self.assertEqual(arrays["counts"].dtype, np.uint8)
        self.assertEqual(arrays["rates"].shape, (1300, 50, 29))
        self.assertEqual(arrays["latents"].shape, (1300, 50, 3))
        self.assertEqual(arrays["condition"].dtype, np.uint16)
        self.assertNotIn("readout", arrays)
        self.assertEqual(root["bin_width_ms"], 20.0)
        self.assertEqual(root["recipe"], RECIPES["lorenz"].read_text())
        self.assertEqual(attributes["rates"]["units"], "Hz")
        self.check_split(arrays, [910, 130, 260])
        self.check_poisson(arrays["counts"], arrays["rates"] * np.float32(0.02))
        self.assertAlmostEqual(float(arrays["rates"].mean() * 0.02), 0.49, places=4)

    def test_lorenz_conditions(self):
        """Every condition recurs in every part of the split, with the same rates."""
        arrays, _, _ = self.make("lorenz")
        for name, times in (("train", 14), ("valid", 2), ("test", 4)):
            conditions = arrays["condition"][arrays[f"split/{name}"]]
            self.assertTrue((np.bincount(conditions, minlength=65) == times).all())
        first = arrays["rates"][::20]
        self.assertTrue((arrays["rates"] == first[arrays["condition"]]).all())
        self.assertEqual(len(np.unique(first[:, 0, 0])), 65)

    def test_lorenz_follows_the_attractor(self):
        """From each trial's first state scipy arrives where the simulator does."""
        arrays, attributes, _ = self.make("lorenz")
        state = arrays["latents"][::20] * attributes["latents"]["scale"] + attributes["latents"]["mean"]
        times = 0.025 * np.arange(50)

        def slope(_, x):
            return [10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]]

        for trial in state:
            truth = solve_ivp(slope, (0, times[-1]), trial[0], t_eval=times, rtol=1e-10, atol=1e-10).y.T
            # float32 latents start a few 1e-6 off; nearby orbits part about e^(0.9 t), more at the saddle.
            self.assertLess(np.abs(trial - truth).max(), 1e-3)

    def test_reach(self):
        arrays, attributes, root = self.make("reach")
        self.assertEqual(arrays["counts"].shape, (400, 300, 96))
        self.assertEqual(arrays["readout"].shape, (400, 300, 2))
        self.assertEqual(arrays["position"].shape, (400, 300, 2))
        self.assertEqual(arrays["latents"].shape, (400, 300, 10))
        self.assertEqual(list(root["readout_names"]), ["vx", "vy"])
        self.assertEqual(list(root["readout_units"]), ["mm/s", "mm/s"])
        self.assertEqual(attributes["position"]["units"], "mm")
        self.assertEqual(root["bin_width_ms"], 10.0)
        self.check_split(arrays, [300, 20, 80])
        self.check_poisson(arrays["counts"], arrays["rates"] * np.float32(0.01))
        mean_hz = arrays["rates"].mean((0, 1))
        self.assertTrue(((mean_hz > 4.5) & (mean_hz < 27.5)).all(), mean_hz)

    def test_reach_moves(self):
        """Velocity is the slope of position; all trials rest at the centre at both ends."""
        arrays, _, _ = self.make("reach")
        position, velocity = arrays["position"].astype(float), arrays["readout"].astype(float)
        slope = (position[:, 2:] - position[:, :-2]) / 0.02
        self.assertLess(np.abs(slope - velocity[:, 1:-1]).max(), 0.02 * np.abs(velocity).max())
        self.assertEqual(np.abs(position[:, [0, -1]]).max(), 0)
        self.assertEqual(np.abs(velocity[:, [0, -1]]).max(), 0)
        self.assertGreater(np.abs(velocity).max(), 200)

    def test_disk_full(self):
        """A limit on file size fails writes as a full disk does: a clear text and nothing left behind."""
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

        self.refused("latent-sim", "--recipe", RECIPES["lorenz"], "--out", self.folder / "full.h5",
                     text="File too large", preexec_fn=limit)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_refusals(self):
        recipe, out = RECIPES["lorenz"], self.folder / "x.h5"
        broken = self.folder / "broken.json"
        broken.write_text(recipe.read_text().replace("n_channels", "n_chanels"))
        for arguments, text in (
                (("--out", out), "--recipe is needed"),
                (("--recipe", recipe), "either --out"),
                (("--recipe", recipe, "--out", out, "--stream", "s"), "either --out"),
                (("--recipe", recipe, "--stream", "s"), "--stream needs --bins"),
                (("--recipe", "/none.json", "--out", out), "/none.json: No such file"),
                (("--recipe", broken, "--out", out), 'unknown key "n_chanels"'),
                (("--recipe", recipe, "--out", self.folder / "none" / "x.h5"), "No such file"),
                (("--recipe", recipe, "--stream", "a b", "--bins", self.endpoint("b")), "letters, digits"),
                (("--recipe", recipe, "--stream", "s", "--bins", "nonsense"), "cannot connect to nonsense"),
                (("--recipe", recipe, "--stream", "s", "--bins", self.endpoint("b"), "--socket", "sub"),
                 "expected push or pub"),
                (("--recipe", recipe, "--stream", "s", "--bins", self.endpoint("b"), "--batch", "0"), "--batch"),
                (("--recipe", recipe, "--stream", "s", "--bins", self.endpoint("b"), "--seconds", "-1"),
                 "option --seconds: expected a number"),
                (("--colour", "red"), 'unknown option "--colour"'),
                (("--recipe", "--out"), "option --recipe: needs a value")):
            with self.subTest(text):
                self.refused("latent-sim", *arguments, text=text)
        self.assertFalse(out.exists())


class Live(Case):
    def stream(self, kind, n_bins, *options):
        pull = self.socket(zmq.PULL, "bins")
        process = self.start("latent-sim", "--recipe", RECIPES[kind], "--stream", "s", "--bins",
                             self.endpoint("bins"), "--socket", "push", "--bins-limit", n_bins, *options)
        received = Received(pull, n_bins)
        self.assertIn(f"s: {n_bins} bins", self.finish(process))
        pull.close()
        return received

    def test_lorenz(self):
        received = self.stream("lorenz", 150, "--full-speed")
        self.assertEqual(received.seq, list(range(150)))
        self.assertEqual((received.n_channels, received.bin_width_us), (29, 20000))
        self.assertEqual(len(received.epochs), 1)
        self.assertEqual(received.marked(TRIAL_START), [0, 50, 100])
        self.assertEqual(received.marked(TRIAL_END), [49, 99, 149])
        self.assertEqual(set(np.diff(received.t_source_ns)), {20000000})

    def test_same_seed_same_spikes(self):
        first, again = (self.stream("reach", 310, "--full-speed", "--seed", "4") for _ in range(2))
        other = self.stream("reach", 310, "--full-speed", "--seed", "5", "--batch", "7")
        self.assertTrue((first.counts == again.counts).all())
        self.assertFalse((first.counts == other.counts).all())
        self.assertEqual(first.marked(TRIAL_START), [0, 300])
        self.assertEqual(other.sizes, [7] * 44 + [2])

    def test_spikes_are_not_the_dataset_s(self):
        out = self.folder / "lorenz.h5"
        self.run_ok(BIN / "latent-sim", "--recipe", RECIPES["lorenz"], "--out", out)
        live = self.stream("lorenz", 1000, "--full-speed").counts.reshape(20, -1)
        with h5py.File(out) as f:
            counts = f["counts"][()].reshape(1300, -1)
        self.assertFalse((live[:, None] == counts[None]).all(-1).any())

    def test_truth(self):
        """The truth of every bin: same epoch, seq and time; the rates of one of the recipe's conditions."""
        out = self.folder / "lorenz.h5"
        self.run_ok(BIN / "latent-sim", "--recipe", RECIPES["lorenz"], "--out", out)
        with h5py.File(out) as f:
            rates, latents = f["rates"][::20], f["latents"][::20]
        truths = self.socket(zmq.SUB, "truth", bind=False)
        bins = self.socket(zmq.SUB, "bins")
        process = self.start("latent-sim", "--recipe", RECIPES["lorenz"], "--stream", "s", "--bins",
                             self.endpoint("bins"), "--truth", self.endpoint("truth"), "--bins-limit", 100,
                             "--start-after-subscriber")
        received = Received(bins, 100)
        self.finish(process)
        seen = []
        while truths.poll(500):
            topic, payload = truths.recv_multipart()
            self.assertEqual(topic, b"s/truth")
            truth = pb.Truth.FromString(payload)
            seen.append(truth.seq)
            self.assertEqual(truth.epoch, *received.epochs)
            self.assertEqual(truth.t_source_ns, received.t_source_ns[truth.seq])
            self.assertEqual(len(truth.readout), 0)
            at = np.flatnonzero((rates[:, truth.seq % 50] == np.float32(truth.rates)).all(-1))
            self.assertEqual(len(at), 1)
            self.assertTrue((latents[at[0], truth.seq % 50] == np.float32(truth.latents)).all())
        self.assertEqual(received.seq, list(range(100)), "PUB that waits for its subscriber loses nothing")
        self.assertEqual(seen, list(range(seen[0], 100)))
        self.assertGreaterEqual(len(seen), 50)

    def test_true_pace_is_never_early(self):
        """A bin leaves when its end has come; t_source_ns is the clock of this machine."""
        received = self.stream("lorenz", 40)
        self.assertTrue((np.array(received.came_ns) >= np.array(received.t_source_ns)).all())
        self.assertEqual(set(np.diff(received.t_source_ns)), {20000000})

    def test_signals(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number):
                pull = self.socket(zmq.PULL, "bins")
                process = self.start("latent-sim", "--recipe", RECIPES["reach"], "--stream", "s", "--bins",
                                     self.endpoint("bins"), "--socket", "push")
                Received(pull, 20)
                process.send_signal(number)
                self.assertRegex(self.finish(process), r"s: \d+ bins \(.*spikes.*late")
                pull.close()

    def test_busy_endpoint(self):
        socket = self.context.socket(zmq.PUB)
        self.addCleanup(socket.close, 0)
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        self.refused("latent-sim", "--recipe", RECIPES["reach"], "--stream", "s", "--bins",
                     self.endpoint("bins"), "--truth", f"tcp://127.0.0.1:{port}",
                     text=f"cannot bind to tcp://127.0.0.1:{port}: Address already in use")


class Replay(Case):
    def replay(self, n_bins, *arguments):
        """All that latent-replay sends, counting n_bins, and that it sends no more."""
        pull = self.socket(zmq.PULL, "bins")
        process = self.start("latent-replay", *arguments, "--stream", "s", "--bins", self.endpoint("bins"))
        received = Received(pull, n_bins)
        self.assertIn(f"s: {n_bins} bins sent", self.finish(process))
        self.assertEqual(pull.poll(200), 0, "more than announced")
        self.assertEqual(received.seq, list(range(n_bins)))
        self.assertEqual(len(received.epochs), 1)
        pull.close()
        return received

    def test_every_bin_bit_identical(self):
        generator = np.random.default_rng(3)
        arrays = {"few": random_counts(1, 900, 30, mean=0.02), "many": random_counts(2, 900, 30, mean=3),
                  "wide": generator.integers(0, 65536, (200, 9)).astype(np.uint16),
                  "real": generator.gamma(1.0, 1.0, (200, 9)).astype(np.float32),
                  "large": (1000000 * generator.integers(0, 2, (50, 3))).astype(np.int32)}
        for name, counts in arrays.items():
            with self.subTest(name):
                received = self.replay(len(counts), "--in", self.recording(counts), "--full-speed")
                self.assertEqual(received.counts.tobytes(), counts.astype(np.float32).tobytes())
                self.assertEqual(received.bin_width_us, 20000)
                self.assertEqual(received.marked(TRIAL_START), [0])

    def test_trials(self):
        counts = random_counts(1, 5, 40, 6)
        received = self.replay(200, "--in", self.recording(counts, 2.0), "--full-speed", "--batch", "9")
        self.assertTrue((received.counts.reshape(5, 40, 6) == counts).all())
        self.assertEqual(received.marked(TRIAL_START), [0, 40, 80, 120, 160])
        self.assertEqual(received.sizes, [9] * 22 + [2])
        self.assertEqual(received.bin_width_us, 2000)

    def test_a_receiver_that_comes_late_loses_nothing(self):
        counts = random_counts(1, 3000, 4)
        process = self.start("latent-replay", "--in", self.recording(counts), "--full-speed", "--stream", "s",
                             "--bins", self.endpoint("bins"))
        time.sleep(0.5)
        received = Received(self.socket(zmq.PULL, "bins"), 3000)
        self.assertIn("3000 bins sent", self.finish(process))
        self.assertTrue((received.counts == counts).all())

    def test_loop(self):
        source = self.recording(random_counts(1, 70, 5), 10.0)
        with h5py.File(source.split(":")[0]) as f:
            counts = f["counts"][()]
        plain = self.replay(200, "--in", source, "--full-speed", "--loop", "--seconds", "2")
        self.assertTrue((plain.counts == np.resize(counts, (200, 5))).all())
        self.assertEqual(plain.marked(TRIAL_START), [0])
        marked = self.replay(200, "--in", source, "--full-speed", "--loop", "--mark-loop", "--seconds", "2")
        self.assertEqual(marked.marked(TRIAL_START), [0, 70, 140])
        part = self.replay(30, "--in", source, "--full-speed", "--seconds", "0.3")
        self.assertTrue((part.counts == counts[:30]).all())

    def test_true_pace_is_never_early(self):
        received = self.replay(300, "--in", self.recording(random_counts(1, 300, 5), 1.0), "--batch", "3")
        ends = np.array(received.t_source_ns).reshape(-1, 3)[:, -1]
        self.assertTrue((np.array(received.came_ns).reshape(-1, 3)[:, 0] >= ends).all())
        self.assertEqual(set(np.diff(received.t_source_ns)), {1000000})

    def test_stop_after(self):
        """Without a receiver too, it ends when it was told to."""
        out = self.run_ok(BIN / "latent-replay", "--in", self.recording(random_counts(1, 9, 5)), "--stream", "s",
                          "--bins", self.endpoint("bins"), "--stop-after", "0.3")
        self.assertIn("0 bins sent", out)

    def test_pub(self):
        counts = random_counts(1, 100, 5)
        subscriber = self.socket(zmq.SUB, "bins", bind=False)
        process = self.start("latent-replay", "--in", self.recording(counts), "--full-speed", "--stream", "s",
                             "--bins", self.endpoint("bins"), "--socket", "pub", "--attach", "bind",
                             "--start-after-subscriber")
        received = Received(subscriber, 100)
        self.finish(process)
        self.assertTrue((received.counts == counts).all())

    def ticks(self, seed=1):
        """A recording of spikes in 30 kHz ticks, unsorted: options, and (tick, unit, good)."""
        generator = np.random.default_rng(seed)
        tick = generator.integers(0, 30000 * 4, 5000).astype(np.uint32)
        unit = generator.integers(0, 8, 5000).astype(np.uint8)
        good = np.array([1, 1, 0, 1, 1, 1, 0, 1], np.uint8)
        path = self.folder / "ticks.h5"
        with h5py.File(path, "w") as f:
            f.update({"tick": tick, "unit": unit, "good": good})
            f.attrs["clock_hz"] = 30000.0
        return ["--ticks", f"{path}:/tick", "--units", f"{path}:/unit"], path, tick, unit, good

    def binned(self, tick, unit, start, n_bins, width):
        """Counts [n_bins, 8]; start and width in ticks."""
        counts = np.zeros((n_bins, 8), np.float32)
        inside = (tick >= start) & (tick < start + n_bins * width)
        np.add.at(counts, ((tick[inside] - start) // width, unit[inside]), 1)
        return counts

    def test_ticks(self):
        options, path, tick, unit, good = self.ticks()
        counts = self.binned(tick, unit, 15000, 250, 300)
        part = ["--start", "0.5", "--seconds", "2.5", "--bin-ms", "10", "--full-speed"]
        received = self.replay(250, *options, *part)
        self.assertTrue((received.counts == counts).all())
        received = self.replay(250, *options, *part, "--good", f"{path}:/good")
        self.assertTrue((received.counts == counts[:, good > 0]).all())
        self.assertEqual(received.bin_width_us, 10000)

    def test_refusals(self):
        counts = random_counts(1, 5, 3)
        path = self.folder / "many.h5"
        with h5py.File(path, "w") as f:
            f["good"], f["line"], f["minus"] = counts, counts[:, 0], counts.astype(np.int8) - 5
            f["nan"], f["empty"] = np.full((2, 2), np.nan), np.zeros((0, 3))
            f["texts"] = [[b"a", b"b"]]
            f.attrs["bin_width_ms"] = 10.0
        cut = self.folder / "cut.h5"
        cut.write_bytes(path.read_bytes()[:1000])
        to = ("--stream", "s", "--bins", self.endpoint("bins"))
        for arguments, text in (
                (to, "either --in"),
                (("--in", f"{path}:/good"), "--stream and --bins are needed"),
                (("--in", f"{self.folder}/none.h5:/x", *to), "none.h5: No such file"),
                (("--in", path, *to), "expected FILE.h5:/path"),
                (("--in", f"{path}:/bad", *to), "no such dataset; the file has /empty, /good, /line"),
                (("--in", f"{cut}:/good", *to), "cut.h5"),
                (("--in", f"{RECIPES['reach']}:/x", *to), "not an HDF5 file"),
                (("--in", f"{path}:/line", *to), "found 1 dimensions"),
                (("--in", f"{path}:/texts", *to), "found texts"),
                (("--in", f"{path}:/minus", *to), "expected a count, 0 or more, found -"),
                (("--in", f"{path}:/nan", *to), "found nan"),
                (("--in", f"{path}:/empty", *to), "empty"),
                (("--in", f"{path}:/good", "--bin-ms", "5", *to), "says bins of 10 ms"),
                (("--ticks", f"{path}:/line", *to), "--ticks needs --units"),
                (("--in", f"{path}:/good", "--attach", "listen", *to), "expected connect or bind")):
            with self.subTest(text):
                self.refused("latent-replay", *arguments, text=text)


class Decode(Case):
    N_CHANNELS, HIDDEN = 6, 7

    def export(self, arch, tensors, *options):
        source, out = self.folder / f"{arch}-tensors.safetensors", self.folder / f"{arch}.safetensors"
        safetensors.write(source, tensors, {})
        self.run_ok("/usr/bin/python3", MODELS / arch / "export.py", source, out, "--bin-width", "20", *options)
        return out

    def gru(self):
        """A random GRU with rates and a readout of two."""
        c, h = self.N_CHANNELS, self.HIDDEN
        return self.export("gru", random_tensors(1, {
            "gru.weight_ih_l0": (3 * h, c), "gru.weight_hh_l0": (3 * h, h), "gru.bias_ih_l0": (3 * h,),
            "gru.bias_hh_l0": (3 * h,), "rate.weight": (c, h), "rate.bias": (c,), "readout.weight": (2, h),
            "readout.bias": (2,)}))

    def wiener(self):
        return self.export("wiener", random_tensors(2, {"weight": (2, 3, self.N_CHANNELS), "bias": (2,)}))

    def decode(self, model, *arguments, name="decoded"):
        out = self.folder / f"{name}.h5"
        self.run_ok(BIN / "latent-decode", "--model", model, *arguments, "--out", out)
        return read_all(out)

    def test_trials(self):
        model, counts = self.gru(), random_counts(1, 4, 30, self.N_CHANNELS)
        arrays, attributes, root = self.decode(model, "--in", self.recording(counts))
        self.assertEqual({name: a.shape for name, a in arrays.items()},
                         {"latents": (4, 30, 7), "rates": (4, 30, 6), "readout": (4, 30, 2), "flags": (4, 30)})
        self.assertEqual([arrays[n].dtype for n in ("latents", "rates", "readout", "flags")],
                         [np.float32] * 3 + [np.uint32])
        self.assertTrue(all(a["bin_width_ms"] == 20.0 for a in attributes.values()))
        self.assertEqual(attributes["rates"]["units"], "Hz")
        config = read_model(model).config
        self.assertEqual(list(attributes["readout"]["names"]), [r["name"] for r in config["outputs"]["readout"]])
        self.assertEqual(list(attributes["readout"]["units"]), [r["unit"] for r in config["outputs"]["readout"]])
        self.assertEqual(attributes["flags"]["bits"][7], "RESET")
        sha = self.run_ok("sha256sum", model).split()[0]
        self.assertEqual((root["model_sha256"], root["arch"], root["mode"], root["bin_width_ms"]),
                         (sha, "gru", "causal", 20.0))
        self.assertEqual([list(np.flatnonzero(row & RESET)) for row in arrays["flags"]], [[0]] * 4)

    def test_each_trial_starts_anew(self):
        """All trials at once, or each as a recording of its own: the same bits."""
        model, counts = self.gru(), random_counts(2, 3, 25, self.N_CHANNELS)
        together, _, _ = self.decode(model, "--in", self.recording(counts))
        for i in range(3):
            alone, _, _ = self.decode(model, "--in", self.recording(counts[i]))
            for name, array in alone.items():
                self.assertEqual(array.tobytes(), together[name][i].tobytes(), name)

    def test_long_recording(self):
        """Longer than what is read at once, against the float64 reference."""
        path, counts = self.gru(), random_counts(3, 2500, self.N_CHANNELS)
        arrays, _, _ = self.decode(path, "--in", self.recording(counts))
        model = read_model(path)
        answer = gru_reference.run(model.weights, model.config, counts, "causal")
        self.assertLess(np.abs(np.log(arrays["rates"] * 0.02) - answer["lograte"]).max(), 2e-5)
        self.assertLess(np.abs(arrays["latents"] - answer["latents"]).max(), 2e-5)

    def test_absent_groups(self):
        arrays, attributes, _ = self.decode(self.wiener(), "--in",
                                            self.recording(random_counts(1, 2, 10, self.N_CHANNELS)))
        self.assertEqual(sorted(arrays), ["flags", "readout"])
        self.assertEqual([bool(f & WARMUP) for f in arrays["flags"][0]], [True] * 2 + [False] * 8)

    def ndt(self, trial_bins=12):
        """A random causal NDT with learnt positions; modes A, C and trial."""
        d, c, hidden = 12, self.N_CHANNELS, 10
        layer = {"self_attn.in_proj_weight": (3 * d, d), "self_attn.in_proj_bias": (3 * d,),
                 "self_attn.out_proj.weight": (d, d), "self_attn.out_proj.bias": (d,), "linear1.weight": (hidden, d),
                 "linear1.bias": (hidden,), "linear2.weight": (d, hidden), "linear2.bias": (d,),
                 "norm1.weight": (d,), "norm1.bias": (d,), "norm2.weight": (d,), "norm2.bias": (d,)}
        shapes = {f"transformer_encoder.layers.0.{name}": shape for name, shape in layer.items()}
        shapes.update({"embedder.weight": (d, c), "embedder.bias": (d,), "decoder.0.weight": (c, d),
                       "decoder.0.bias": (c,), "transformer_encoder.norm.weight": (d,),
                       "transformer_encoder.norm.bias": (d,),
                       "pos_encoder.pos_embedding.weight": (trial_bins, d)})
        return self.export("ndt", random_tensors(3, shapes), "--heads", "2", "--norm", "pre", "--context-forward", "0",
                           "--context-backward", "0", "--max-count", "9")

    def test_modes(self):
        """After the last position nothing is known: OUTSIDE, and NaN. The offline mode refuses such trials."""
        model = self.ndt()
        longer, fitting = (random_counts(4, 2, n, self.N_CHANNELS) for n in (15, 12))
        arrays, _, root = self.decode(model, "--in", self.recording(longer), "--mode", "A")
        self.assertEqual(root["mode"], "A")
        outside = arrays["flags"] & OUTSIDE != 0
        self.assertEqual(outside.tolist(), [[False] * 12 + [True] * 3] * 2)
        for name in ("latents", "rates"):
            self.assertTrue((np.isnan(arrays[name]).all(-1) == outside).all(), name)
        offline, _, _ = self.decode(model, "--in", self.recording(longer[:, :12]), "--mode", "trial")
        self.assertLess(np.abs(np.log(offline["rates"] / arrays["rates"][:, :12])).max(), 4e-5)
        self.refused("latent-decode", "--model", model, "--in", self.recording(longer), "--mode", "trial", "--out",
                     self.folder / "no.h5", text="trials of 15 bins, mode trial")
        self.refused("latent-decode", "--model", model, "--in", self.recording(fitting), "--mode", "Z", "--out",
                     self.folder / "no.h5", text="Z")

    def test_ticks(self):
        """Spike times and the counts they make give the same bits."""
        generator, model = np.random.default_rng(6), self.gru()
        tick, unit = generator.integers(0, 60000, 900), generator.integers(0, self.N_CHANNELS, 900)
        path = self.folder / "ticks.h5"
        with h5py.File(path, "w") as f:
            f["tick"], f["unit"] = tick, unit
        counts = np.zeros((100, self.N_CHANNELS), np.uint8)
        np.add.at(counts, (tick // 600, unit), 1)
        by_tick, _, _ = self.decode(model, "--ticks", f"{path}:/tick", "--units", f"{path}:/unit", "--clock-hz",
                                    "30000", "--bin-ms", "20", "--seconds", "2", name="ticks-decoded")
        by_count, _, _ = self.decode(model, "--in", self.recording(counts))
        for name, array in by_count.items():
            self.assertEqual(array.tobytes(), by_tick[name].tobytes(), name)

    def test_output_is_whole_or_absent(self):
        """A failure leaves an older result as it was and no other file."""
        model, out = self.gru(), self.folder / "out.h5"
        source = self.recording(random_counts(1, 3000, self.N_CHANNELS))
        out.write_text("older")
        before = sorted(p.name for p in self.folder.iterdir())

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))

        self.refused("latent-decode", "--model", model, "--in", source, "--out", out, text="File too large",
                     preexec_fn=limit)
        self.assertEqual(out.read_text(), "older")
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), before)
        self.run_ok(BIN / "latent-decode", "--model", model, "--in", source, "--out", out)
        self.assertEqual(read_all(out)[0]["latents"].shape, (3000, self.HIDDEN))

    def test_refusals(self):
        model, out = self.gru(), self.folder / "no.h5"
        narrow, slow = random_counts(1, 9, 5), random_counts(1, 9, self.N_CHANNELS)
        narrow, slow = self.recording(narrow, name="narrow"), self.recording(slow, 10.0, name="slow")
        fine = self.recording(random_counts(1, 9, self.N_CHANNELS))
        for arguments, text in (
                (("--in", narrow), "--model and --out are needed"),
                (("--model", model, "--in", narrow, "--out", out), "has 5 channels, the model"),
                (("--model", model, "--in", slow, "--out", out), "bins of 10 ms, the model"),
                (("--model", "/none.safetensors", "--in", fine, "--out", out), "/none.safetensors"),
                (("--model", model, "--in", fine, "--out", self.folder / "none" / "x.h5"), "No such file"),
                (("--model", model, "--in", fine, "--out", out, "--seconds", "3"), "--seconds belongs to --ticks")):
            with self.subTest(text):
                self.refused("latent-decode", *arguments, text=text)
        self.assertFalse(out.exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)

"""latent-replay: every bin of a recording, bit for bit, in the right order and never early."""
import select
import time

import h5py
import numpy as np
import zmq
from latentd import clock_id

from tool_case import BIN, RECIPES, TRIAL_START, WAIT_MS, Case, Received, pb, random_counts


class Replay(Case):
    def replay(self, n_bins, *arguments):
        """All that latent-replay sends, counting n_bins, and that it sends no more."""
        bins = self.endpoint()
        pull = self.socket(zmq.PULL, bins)
        process = self.start("latent-replay", *arguments, "--stream", "s", "--bins", bins)
        received = Received(pull, n_bins)
        self.assertIn(f"s: {n_bins} bins sent", self.finish(process))
        self.assertEqual(pull.poll(200), 0, "more than announced")
        self.assertEqual(received.seq, list(range(n_bins)))
        self.assertEqual(len(received.epochs), 1)
        pull.close()
        return received

    def test_every_bin_bit_identical(self):
        generator = np.random.default_rng(3)
        arrays = {
            "few": random_counts(1, 900, 30, mean=0.02),
            "many": random_counts(2, 900, 30, mean=3),
            "wide": generator.integers(0, 65536, (200, 9)).astype(np.uint16),
            "real": generator.gamma(1.0, 1.0, (200, 9)).astype(np.float32),
            "large": (1000000 * generator.integers(0, 2, (50, 3))).astype(np.int32)
        }
        for name, counts in arrays.items():
            with self.subTest(name):
                kind = ["--input", "real"] if name in ("real", "large") else []
                received = self.replay(len(counts), "--in", self.recording(counts), "--full-speed",
                                       *kind)
                self.assertEqual(received.counts.tobytes(), counts.astype(np.float32).tobytes())
                self.assertEqual(received.bin_width_us, 20000)
                self.assertEqual(received.marked(TRIAL_START), [0])

    def test_trials(self):
        counts = random_counts(1, 5, 40, 6)
        received = self.replay(200, "--in", self.recording(counts, 2.0), "--full-speed",
                               "--batch", "9")
        self.assertTrue((received.counts.reshape(5, 40, 6) == counts).all())
        self.assertEqual(received.marked(TRIAL_START), [0, 40, 80, 120, 160])
        self.assertEqual(received.sizes, [9] * 22 + [2])
        self.assertEqual(received.bin_width_us, 2000)

    def test_a_receiver_that_comes_late_loses_nothing(self):
        counts, bins = random_counts(1, 3000, 4), self.endpoint()
        process = self.start("latent-replay", "--in", self.recording(counts), "--full-speed",
                             "--stream", "s", "--bins", bins)
        time.sleep(0.5)
        received = Received(self.socket(zmq.PULL, bins), 3000)
        self.assertIn("3000 bins sent", self.finish(process))
        self.assertTrue((received.counts == counts).all())

    def test_a_receiver_that_is_behind_loses_nothing(self):
        """It stands at its high-water mark when the last bin is sent, and takes its time; as long
        as frames come of it, the sender stays."""
        counts, bins, output = random_counts(1, 3000, 4), self.endpoint(), self.endpoint()
        pull = self.context.socket(zmq.PULL)
        self.addCleanup(pull.close, 0)
        pull.rcvhwm, pull.rcvtimeo = 10, WAIT_MS
        pull.bind(bins)
        frames = self.socket(zmq.PUB, output)
        process = self.start("latent-replay", "--in", self.recording(counts), "--full-speed",
                             "--stream", "s", "--bins", bins, "--output", output)
        seqs, is_sent = [], False
        while len(seqs) < 3000:
            seqs.append(pb.Bins.FromString(pull.recv_multipart()[1]).seq)
            frames.send_multipart([b"s/frame", b""])
            if not is_sent and select.select([process.stdout], [], [], 0)[0]:
                self.assertIn("3000 bins sent", process.stdout.readline())
                is_sent = len(seqs)
            if is_sent and len(seqs) % 50 == 0:
                time.sleep(0.05)
        self.assertTrue(0 < is_sent < 2900, "it was not behind")
        self.assertEqual(seqs, list(range(3000)))
        self.finish(process)

    def test_loop(self):
        source = self.recording(random_counts(1, 70, 5), 10.0)
        with h5py.File(source.split(":")[0]) as f:
            counts = f["counts"][()]
        plain = self.replay(200, "--in", source, "--full-speed", "--loop", "--seconds", "2")
        self.assertTrue((plain.counts == np.resize(counts, (200, 5))).all())
        self.assertEqual(plain.marked(TRIAL_START), [0])
        self.assertEqual(plain.clock_ids, {0})  # times of no clock
        marked = self.replay(200, "--in", source, "--full-speed", "--loop", "--mark-loop",
                             "--seconds", "2")
        self.assertEqual(marked.marked(TRIAL_START), [0, 70, 140])
        part = self.replay(30, "--in", source, "--full-speed", "--seconds", "0.3")
        self.assertTrue((part.counts == counts[:30]).all())

    def test_true_pace_is_never_early(self):
        received = self.replay(300, "--in", self.recording(random_counts(1, 300, 5), 1.0),
                               "--batch", "3")
        ends = np.array(received.t_source_ns).reshape(-1, 3)[:, -1]
        self.assertTrue((np.array(received.came_ns).reshape(-1, 3)[:, 0] >= ends).all())
        self.assertEqual(set(np.diff(received.t_source_ns)), {1000000})
        self.assertEqual(received.clock_ids, {clock_id()})

    def test_stop_after(self):
        """Without a receiver too, it ends when it was told to, and says that nothing was sent."""
        self.refused("latent-replay", "--in", self.recording(random_counts(1, 9, 5)), "--stream",
                     "s", "--bins", self.endpoint(), "--stop-after", "0.3",
                     text="nobody took the bins of s at ")

    def test_pub(self):
        counts, bins = random_counts(1, 100, 5), self.endpoint()
        subscriber = self.socket(zmq.SUB, bins, bind=False)
        process = self.start("latent-replay", "--in", self.recording(counts), "--full-speed",
                             "--stream", "s", "--bins", bins, "--socket", "pub",
                             "--attach", "bind", "--start-after-subscriber")
        received = Received(subscriber, 100)
        self.finish(process)
        self.assertTrue((received.counts == counts).all())

    def ticks(self, seed=1):
        """A recording of spikes in 30 kHz ticks: options, and (tick, unit, good)."""
        generator = np.random.default_rng(seed)
        tick = np.sort(generator.integers(0, 30000 * 4, 5000)).astype(np.uint32)
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
        self.all_refused("latent-replay", ("--stream", "s", "--bins", self.endpoint()), [
            ("none.h5: No such file", ("--in", f"{self.folder}/none.h5:/x")),
            ("expected FILE.h5:/path", ("--in", path)),
            ("no such dataset; the file has /empty, /good, /line", ("--in", f"{path}:/bad")),
            ("cut.h5", ("--in", f"{cut}:/good")),
            ("not an HDF5 file", ("--in", f"{RECIPES['reach']}:/x")),
            ("found 1 dimensions", ("--in", f"{path}:/line")),
            ("found texts", ("--in", f"{path}:/texts")),
            ("from 0 to 16777215, found -", ("--in", f"{path}:/minus")),
            ("found NaN", ("--in", f"{path}:/nan")),
            ("empty", ("--in", f"{path}:/empty")),
            ("says bins of 10 ms", ("--in", f"{path}:/good", "--bin-ms", "5")),
        ])

"""latent-sim: the data sets it writes, and the streams it sends with their truth."""
import signal

import h5py
import numpy as np
import zmq
from scipy.integrate import solve_ivp

from latentd import clock_id, latent_pb2 as pb

from tool_case import BIN, RECIPES, TRIAL_END, TRIAL_START, Case, Received, read_all, small_files


class Dataset(Case):
    def make(self, kind):
        out = self.folder / f"{kind}.h5"
        self.run_ok(BIN / "latent-sim", "--recipe", RECIPES[kind], "--out", out)
        return read_all(out)

    def check_poisson(self, counts, expected):
        """Counts given their means: the index of dispersion is 1 within 5 standard errors."""
        expected = expected.astype(np.float64)
        index = ((counts - expected)**2 / expected).mean()
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
        scale, mean = attributes["latents"]["scale"], attributes["latents"]["mean"]
        state = arrays["latents"][::20] * scale + mean
        times = 0.025 * np.arange(50)

        def slope(_, x):
            return [10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]]

        for trial in state:
            truth = solve_ivp(slope, (0, times[-1]), trial[0], t_eval=times, rtol=1e-10, atol=1e-10)
            # float32 latents start a few 1e-6 off; nearby orbits part by e^(0.9 t), more at the
            # saddle.
            self.assertLess(np.abs(trial - truth.y.T).max(), 1e-3)

    def test_segments(self):
        """2000 pieces of one orbit, each once; Roessler's bursts need wide counts."""
        for kind in ("arneodo", "rossler", "lorenz_sae"):
            with self.subTest(kind):
                arrays, attributes, _ = self.make(kind)
                self.assertEqual(arrays["counts"].shape, (2000, 70, 10))
                self.assertEqual(arrays["counts"].dtype, np.uint16)
                self.assertEqual(list(arrays["condition"]), list(range(2000)))
                self.check_split(arrays, [1280, 320, 400])
                self.check_poisson(arrays["counts"], arrays["rates"] * np.float32(0.01))
                self.assertEqual(attributes["latents"]["scale"].shape, (3,))
        self.assertGreater(self.make("rossler")[0]["counts"].max(), 255)

    def test_chaotic(self):
        arrays, _, _ = self.make("chaotic")
        self.assertEqual(arrays["counts"].shape, (1300, 100, 50))
        self.check_split(arrays, [910, 130, 260])
        self.check_poisson(arrays["counts"], arrays["rates"] * np.float32(0.01))
        self.assertTrue((arrays["rates"][::10] == arrays["rates"][9::10]).all())
        self.assertTrue((arrays["rates"] >= 0).all() and (arrays["rates"] <= 30).all())

    def test_speech(self):
        arrays, attributes, root = self.make("speech")
        self.assertEqual(arrays["counts"].shape, (800, 300, 48))
        self.assertEqual(arrays["latents"].shape, (800, 300, 10))
        self.assertNotIn("position", arrays)
        self.check_split(arrays, [700, 30, 70])
        self.check_poisson(arrays["counts"], arrays["rates"] * np.float32(0.02))
        said = arrays["readout"]
        self.assertEqual(set(np.unique(said)), set(range(1, 41)))
        self.assertTrue((said[:, [0, -1]] == 40).all())

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
        """A clear text and nothing left behind."""
        self.refused("latent-sim", "--recipe", RECIPES["lorenz"], "--out", self.folder / "full.h5",
                     text="File too large", preexec_fn=small_files(1 << 20))
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_refusals(self):
        recipe, out = ("--recipe", RECIPES["lorenz"]), self.folder / "x.h5"
        broken = self.folder / "broken.json"
        broken.write_text(RECIPES["lorenz"].read_text().replace("n_channels", "n_chanels"))
        self.all_refused("latent-sim", ("--out", out), [
            ("/none.json: No such file", ("--recipe", "/none.json")),
            ('unknown key "n_chanels"', ("--recipe", broken)),
        ])
        self.refused("latent-sim", *recipe, "--out", self.folder / "none" / "x.h5",
                     text="its folder does not exist; make it first")
        self.assertFalse(out.exists())

    def test_live_refusals(self):
        self.refused("latent-sim", "--recipe", RECIPES["lorenz"], "--stream", "s", "--bins",
                     "nonsense", text="cannot connect to nonsense")
        self.refused("latent-sim", "--recipe", RECIPES["lorenz"], "--stream", "s", "--bins",
                     self.endpoint(), "--noisy", "3-29",
                     text="--noisy: channel 29: there are 0 to 28")


class Live(Case):
    def stream(self, kind, n_bins, *options):
        bins = self.endpoint()
        pull = self.socket(zmq.PULL, bins)
        process = self.start("latent-sim", "--recipe", RECIPES[kind], "--stream", "s", "--bins",
                             bins, "--socket", "push", "--bins-limit", n_bins,
                             *options)
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

    def test_channels_that_break(self):
        """From bin 50 on, for 60 bins; whole before and after."""
        received = self.stream("lorenz", 200, "--full-speed", "--dead", "3,10-12", "--noisy", "7",
                               "--bad-from", "1", "--bad-for", "1.2")
        during, well = np.zeros(200, bool), np.ones(29, bool)
        during[50:110] = True
        well[[3, 7, 10, 11, 12]] = False
        self.assertEqual(received.counts[during][:, [3, 10, 11, 12]].sum(), 0)
        self.assertGreater(received.counts[during][:, 7].mean(), 18)
        self.assertTrue((received.counts[~during][:, ~well].sum(0) > 0).all())
        self.assertLess(received.counts[~during][:, 7].mean(), 2)
        self.assertLess(received.counts[:, well].mean(), 1)

    def test_spikes_are_not_the_dataset_s(self):
        out = self.folder / "lorenz.h5"
        self.run_ok(BIN / "latent-sim", "--recipe", RECIPES["lorenz"], "--out", out)
        live = self.stream("lorenz", 1000, "--full-speed").counts.reshape(20, -1)
        with h5py.File(out) as f:
            counts = f["counts"][()].reshape(1300, -1)
        self.assertFalse((live[:, None] == counts[None]).all(-1).any())

    def test_truth(self):
        """The truth of a bin: same epoch, seq and time; the rates of one of the conditions."""
        out = self.folder / "lorenz.h5"
        self.run_ok(BIN / "latent-sim", "--recipe", RECIPES["lorenz"], "--out", out)
        with h5py.File(out) as f:
            rates, latents = f["rates"][::20], f["latents"][::20]
        endpoints = self.endpoint(), self.endpoint()
        bins, truths = (self.socket(zmq.SUB, e, bind=i == 0) for i, e in enumerate(endpoints))
        process = self.start("latent-sim", "--recipe", RECIPES["lorenz"], "--stream", "s", "--bins",
                             endpoints[0], "--truth", endpoints[1], "--bins-limit", 100,
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
        # The bins waited for their subscriber; the truth waits for nobody, but has no holes.
        self.assertEqual(received.seq, list(range(100)))
        self.assertGreater(len(seen), 0)
        self.assertEqual(seen, list(range(seen[0], 100)))

    def test_true_pace_is_never_early(self):
        """A bin leaves when its end has come; t_source_ns is the clock of this machine."""
        received = self.stream("lorenz", 40)
        self.assertTrue((np.array(received.came_ns) >= np.array(received.t_source_ns)).all())
        self.assertEqual(set(np.diff(received.t_source_ns)), {20000000})
        self.assertEqual(received.clock_ids, {clock_id()})

    def test_signals(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number):
                bins = self.endpoint()
                pull = self.socket(zmq.PULL, bins)
                process = self.start("latent-sim", "--recipe", RECIPES["reach"], "--stream", "s",
                                     "--bins", bins, "--socket", "push")
                Received(pull, 20)
                process.send_signal(number)
                self.assertRegex(self.finish(process), r"s: \d+ bins \(.*spikes.*late")
                pull.close()

    def test_busy_endpoint(self):
        socket = self.context.socket(zmq.PUB)
        self.addCleanup(socket.close, 0)
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        self.refused("latent-sim",
                     "--recipe",
                     RECIPES["reach"],
                     "--stream",
                     "s",
                     "--bins",
                     self.endpoint(),
                     "--truth",
                     f"tcp://127.0.0.1:{port}",
                     text=f"cannot bind to tcp://127.0.0.1:{port}: Address already in use")

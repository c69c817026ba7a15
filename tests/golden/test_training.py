#!/usr/bin/python3
"""The trainers on recordings of one's own: binned or as ticks, with silent units; and resuming
exactly."""
import argparse
import subprocess
from unittest import mock

import h5py
import numpy as np
import torch

import golden

from latent_models.common import dataset, programs, training
from latent_models.common.baselines import causal_smooth, gaussian_smooth
from latent_models.common.metrics import bits_per_spike, r2_per_column, r2_summary
from latent_models.common.model_file import read_model
from latent_models.common.reference_command import run_trials
from latent_models.common.refusal import Parser, Refusal
from latent_models.gru import reference as gru
from latent_models.kalman import reference as kalman
from latent_models.lfads import reference as lfads
from latent_models.lfads.network import Lfads as LfadsNetwork
from latent_models.sae import reference as sae
from latent_models.sae.network import Sae as SaeNetwork
from latent_models.smc import reference as smc
from latent_models.wiener import reference as wiener

REFERENCES = {"gru": gru.run, "kalman": kalman.run, "smc": smc.run, "wiener": wiener.run}
N_UNITS, N_BINS, CLOCK_HZ, BIN_MS = 12, 4000, 30000, 10
SILENT = (3, 8)


def tuned_recording(seed=0):
    """A slow 2-D velocity and Poisson counts tuned to it -> (counts [T, C], velocity [T, 2])."""
    g = np.random.default_rng(seed)
    velocity = np.zeros((N_BINS, 2))
    for t in range(1, N_BINS):
        velocity[t] = 0.97 * velocity[t - 1] + 0.24 * g.normal(size=2)
    rate = 0.5 * np.exp(np.clip(velocity @ g.normal(size=(2, N_UNITS)) * 0.7, -3, 2))
    counts = g.poisson(rate)
    counts[:, SILENT] = 0
    return counts.astype(np.uint8), 100 * velocity


class OwnRecording(golden.Case):
    def setUp(self):
        super().setUp()
        self.counts, self.velocity = tuned_recording()
        self.path = self.folder / "recording.h5"
        with h5py.File(self.path, "w") as f:
            f["spikes"], f["hand_vel"] = self.counts, self.velocity
            self.write_ticks(f)

    def write_ticks(self, f):
        """The same spikes as ticks from second 2 on, one junk unit more, behaviour sampled at the
        bins' ends."""
        g = np.random.default_rng(1)
        bins, units = np.repeat(np.argwhere(self.counts), self.counts[self.counts > 0], axis=0).T
        ticks = 2 * CLOCK_HZ + bins * 300 + g.integers(0, 300, len(bins))
        junk = g.integers(0, (N_BINS + 500) * 300, 5000)
        ticks = np.concatenate([ticks, junk])
        units = np.concatenate([units, np.full(5000, N_UNITS)])
        order = np.argsort(ticks, kind="stable")
        f["tick"], f["unit"] = ticks[order].astype(np.uint32), units[order].astype(np.uint8)
        f["good"] = np.array([1] * N_UNITS + [0], np.uint8)
        f["pos_tick"] = (2 * CLOCK_HZ + (np.arange(N_BINS) + 1) * 300).astype(np.uint32)
        f["pos_xy"] = self.velocity
        f.attrs["clock_hz"] = float(CLOCK_HZ)

    def binned(self):
        return ("--in", f"{self.path}:/spikes", "--behaviour", f"{self.path}:/hand_vel", "--bin-ms",
                BIN_MS, "--names", "vx,vy", "--unit", "mm/s")

    def ticks(self):
        return ("--in", f"{self.path}:/tick", "--ticks", "--units", "/unit", "--good", "/good",
                "--behaviour", f"{self.path}:/pos_xy", "--behaviour-ticks", "/pos_tick", "--start",
                2, "--seconds", 40, "--bin-ms", BIN_MS, "--names", "vx,vy", "--unit", "mm/s")

    def read(self, *options):
        """The recording as a trainer reads it."""
        parser = Parser()
        dataset.add_recording_options(parser)
        return dataset.read_recording(parser.parse_args([str(x) for x in options]))

    def fit(self, arch, *options, counts=None):
        """train.py, export.py, and the R2 of the reference on the last fifth."""
        counts = self.counts if counts is None else counts
        suffix = "pt" if arch in ("gru", "smc") else "safetensors"
        checkpoint = self.folder / f"{arch}.{suffix}"
        self.run_ok(golden.PYTHON, golden.MODELS / arch / "train.py", "--out", checkpoint, *options)
        model = read_model(self.export(arch, checkpoint, name=arch))
        self.assertEqual([r["name"] for r in model.config["outputs"]["readout"]], ["vx", "vy"])
        self.assertEqual(model.config["bin_width_us"], 1000 * BIN_MS)
        answer = run_trials(REFERENCES[arch], model, counts.astype(float), "causal")["readout"]
        held_out = slice(N_BINS * 8 // 10, N_BINS)
        return r2_summary(self.velocity[held_out], answer[held_out])["mean"], model

    def test_kalman_and_wiener(self):
        for arch, options in (("kalman", ("--order", "1")), ("wiener", ("--lags", "15"))):
            for data in (self.binned(), self.ticks()):
                with self.subTest(arch=arch, ticks="--ticks" in data):
                    r2, model = self.fit(arch, *data, *options)
                    self.assertEqual(model.config["n_channels"], N_UNITS)
                    self.assertGreater(r2, 0.7)

    def test_gru(self):
        options = ("--steps", 120, "--hidden", 24, "--threads", 1, "--warm-up", 20, "--lr", "0.01")
        r2, model = self.fit("gru", *self.binned(), *options)
        self.assertGreater(r2, 0.6)
        self.assertEqual(model.config["outputs"]["rates"], N_UNITS)

    def test_smc(self):
        options = ("--steps", 100, "--latents", 2, "--hidden", 16, "--channels", 12, 8, "--batch",
                   8, "--window", 40, "--train-particles", 8, "--threads", 1, "--lr", "0.01")
        r2, model = self.fit("smc", *self.binned(), *options)
        self.assertGreater(r2, 0.6)
        self.assertEqual(model.config["outputs"]["rates"], N_UNITS)

    def test_bins_that_are_not_to_be_used(self):
        """Spoilt behaviour where --use is 0 changes nothing; --blocks holds out every fifth."""
        use = np.arange(N_BINS) % 200 < 120
        with h5py.File(self.path, "a") as f:
            f["use"] = use
            f["pos_xy"][...] = f["hand_vel"][...] = np.where(use[:, None], self.velocity, -1e5)
        for arch, options in (("kalman", ("--order", "1")), ("wiener", ("--lags", "15")),
                              ("gru", ("--steps", 120, "--hidden", 24, "--threads", 1,
                                       "--warm-up", 20, "--lr", "0.01"))):
            for data in (self.binned(), self.ticks()):
                with self.subTest(arch=arch, ticks="--ticks" in data):
                    r2, model = self.fit(arch, *data, "--use", f"{self.path}:/use", *options)
                    self.assertGreater(r2, 0.6)
                    self.assertGreater(model.config["outputs"]["readout"][0]["min"], -1e4)
        recording = self.read(*self.ticks(), "--use", f"{self.path}:/use", "--blocks", 20)
        self.assertEqual(list(recording.split["test"]), [2, 7, 12, 17])
        self.assertEqual(sorted(np.concatenate(list(recording.split.values()))), list(range(20)))
        self.assertTrue(np.array_equal(recording.used([0])[0], use[:200]))

    def test_ticks_are_the_counts(self):
        """Binning the ticks gives back the counts, the junk unit left out, and the behaviour at the
        bins' ends."""
        recording = self.read(*self.ticks())
        self.assertTrue(np.array_equal(recording.counts.reshape(N_BINS, -1), self.counts))
        self.close(recording.behaviour.reshape(N_BINS, -1), self.velocity, 1e-9, "behaviour")
        spelt = self.read("--ticks", f"{self.path}:/tick", *self.ticks()[3:])
        self.assertTrue(np.array_equal(spelt.counts, recording.counts), "--ticks FILE:/dataset")

    def trained(self, arch, *options):
        """train.py -> (exit code, standard error, whether it wrote)."""
        out = self.folder / "judged"
        out.unlink(missing_ok=True)
        command = [golden.PYTHON, golden.MODELS / arch / "train.py", *options, "--out", out]
        result = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        return result.returncode, result.stderr, out.exists()

    def test_a_fit_that_explains_nothing(self):
        """Behaviour of other bins: refused with the scores by name, written with --force. One
        dimension of noise beside one that is explained: a warning that names it."""
        with h5py.File(self.path, "a") as f:
            g = np.random.default_rng(9)
            f["other"] = np.cumsum(g.normal(size=self.velocity.shape), 0)
            f["half"] = np.stack([100 * self.velocity[:, 0], f["other"][:, 1]], -1)
        spikes, small = ("--in", f"{self.path}:/spikes", "--bin-ms", BIN_MS), \
            ("--steps", 20, "--hidden", 8, "--threads", 1)
        for arch, options in (("kalman", ()), ("wiener", ()), ("gru", small)):
            other = (*spikes, "--behaviour", f"{self.path}:/other", "--names", "vx,vy", *options)
            with self.subTest(arch):
                code, text, wrote = self.trained(arch, *other)
                self.assertEqual((code, wrote), (2, False), text)
                self.assertRegex(text, r"R2 -.*vx -?\d.*vy -?\d.*--force")
                code, text, wrote = self.trained(arch, *other, "--force")
                self.assertEqual((code, wrote), (0, True), text)
                self.assertIn("warning: nothing of the held-out behaviour", text)
        code, text, wrote = self.trained("kalman", *spikes, "--behaviour", f"{self.path}:/half",
                                         "--names", "vx,vy")
        self.assertEqual((code, wrote), (0, True), text)
        self.assertIn("warning: vy is not explained", text)
        self.assertNotIn("vx", text)

    def test_behaviour_that_is_absent(self):
        """NaN where --use is 0, for every order of the filter, and for the networks."""
        use = np.arange(N_BINS) % 200 < 150
        with h5py.File(self.path, "a") as f:
            f["use"], f["holed"] = use, np.where(use[:, None], self.velocity, np.nan)
        holed = ("--in", f"{self.path}:/spikes", "--bin-ms", BIN_MS, "--behaviour",
                 f"{self.path}:/holed", "--names", "vx,vy", "--use", f"{self.path}:/use")
        network = ("--steps", 120, "--hidden", 24, "--threads", 1, "--warm-up", 20, "--lr", "0.01")
        for arch, options in (("kalman", ("--order", 1)), ("kalman", ("--order", 2)),
                              ("wiener", ()), ("gru", network)):
            with self.subTest(arch, options=options):
                self.assertGreater(self.fit(arch, *holed, *options)[0], 0.6)

    def test_real_values(self):
        """z-scores: refused as counts, fitted as what they are; models of counts refuse them."""
        z = (self.counts - self.counts.mean(0)) / np.maximum(self.counts.std(0), 1e-6)
        with h5py.File(self.path, "a") as f:
            f["z"] = z.astype(np.float32)
        z_scores = ("--in", f"{self.path}:/z", "--bin-ms", BIN_MS, "--behaviour",
                    f"{self.path}:/hand_vel", "--names", "vx,vy")
        code, text, _ = self.trained("kalman", *z_scores)
        self.assertEqual(code, 2)
        self.assertIn("--input real", text)
        for arch in ("kalman", "wiener"):
            r2, model = self.fit(arch, *z_scores, "--input", "real", counts=z)
            self.assertGreater(r2, 0.6, arch)
            self.assertEqual(model.config["input"], "real")
            expected = run_trials(REFERENCES[arch], model, z, "causal")["readout"]
            found = self.decode(self.folder / f"{arch}.safetensors", z.astype(np.float32)[None])
            warm = slice(model.hyper.get("lags", 1), None)
            self.close(found["readout"][0][warm], np.clip(expected, *self.limits(model))[warm],
                       1e-3, arch)
        for arch in ("ndt", "lfads", "sae", "smc"):
            code, text, _ = self.trained(arch, *z_scores[:4], "--input", "real")
            self.assertEqual(code, 2, text)
            self.assertIn("learns from counts", text)
        code, text, _ = self.trained("ndt", *z_scores)
        self.assertIn("counts alone", text)

    def limits(self, model):
        """min and max [O] of the readout."""
        return [np.array([r[key] for r in model.config["outputs"]["readout"]])
                for key in ("min", "max")]

    def test_programs_that_are_not_there(self):
        with mock.patch.object(programs, "find_program", lambda name: None), \
                self.assertRaisesRegex(Refusal, "latent-decode not found: build it.*LATENT_BIN"):
            self.read(*self.binned())

    def test_refusals(self):
        trainer = golden.MODELS / "kalman" / "train.py"
        out = ("--out", self.folder / "x.safetensors")
        spikes = ("--in", f"{self.path}:/spikes")
        cases = {"--bin-ms": spikes, "--behaviour": (*spikes, "--bin-ms", 10),
                 "/absent": ("--in", f"{self.path}:/absent", "--bin-ms", 10),
                 "--units": ("--in", f"{self.path}:/tick", "--ticks", "--bin-ms", 10)}
        for word, options in cases.items():
            command = [golden.PYTHON, trainer, *out, *options]
            result = subprocess.run([str(c) for c in command], capture_output=True, text=True)
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn(word, result.stderr)


def rotations(n_trials, n_bins, seed=0):
    """Counts [K, T, C] of neurons that read a phase which turns by a tenth of a round a bin."""
    g = np.random.default_rng(seed)
    phase = 2 * np.pi * (g.random(n_trials)[:, None] + 0.1 * np.arange(n_bins))
    state = np.stack([np.cos(phase), np.sin(phase)], -1)
    return g.poisson(np.exp(0.2 + state @ g.normal(size=(2, 8)))).astype(np.uint8)


class Sequence(golden.Case):
    """The sequence auto-encoders: the trained networks are the references, and they learn."""

    SMALL = ("--bin-ms", 10, "--trial-bins", 20, "--batch", 32, "--threads", 1)

    def fit(self, arch, run, mode, *options):
        """A tiny model on rotations -> bits/spike of the reference on the last fifth, and on its
        last third alone."""
        counts = rotations(200, 20)
        path, checkpoint = self.folder / "rotations.h5", self.folder / f"{arch}.pt"
        with h5py.File(path, "w") as f:
            f["counts"] = counts
        self.run_ok(golden.PYTHON, golden.MODELS / arch / "train.py", "--in", f"{path}:/counts",
                    *self.SMALL, *options, "--out", checkpoint)
        model = read_model(self.export(arch, checkpoint, name=arch))
        rates = np.exp(run_trials(run, model, counts[160:].astype(float), mode)["lograte"])
        return bits_per_spike(counts[160:], rates), bits_per_spike(counts[160:, 13:], rates[:, 13:])

    def test_sae(self):
        """Right from the first bin to the last, which only the dynamics reach."""
        for decoder in ("node", "gru"):
            with self.subTest(decoder):
                scores = self.fit("sae", sae.run, "trial", "--decoder", decoder, "--hidden", 16,
                                  "--encoder-size", 16, "--steps", 250, "--lr", 0.02,
                                  "--first-bins", 4)
                self.assertGreater(min(scores), 0.3)

    def test_lfads(self):
        small = ("--encoder", 16, "--controller", 12, "--inputs", 1, "--initial", 8,
                 "--generator", 24, "--factors", 4, "--lr", 0.01)
        for mode, options in (("trial", ()), ("prefix", ("--causal",))):
            with self.subTest(mode):
                _, late = self.fit("lfads", lfads.run, mode, "--steps", 180, *small, *options)
                self.assertGreater(late, 0.2)

    def close_to_reference(self, network, run, hyper, tensors, mode):
        """Log-rates of a fresh network, in evaluation, against the reference's."""
        counts = rotations(3, hyper["window_bins"])
        weights = {name: t.numpy() for name, t in tensors.items()}
        config = {"hyper": hyper, "n_channels": counts.shape[2]}
        with torch.no_grad():
            found = network.eval()(torch.tensor(counts, dtype=torch.float32))[0].numpy()
        for trial, answer in zip(counts, found):
            self.close(answer, run(weights, config, trial, mode)["lograte"], 2e-5, "log-rates")

    def test_networks_are_the_references(self):
        torch.manual_seed(0)
        for decoder, first in (("node", "z0"), ("gru", "step")):
            hyper = {"window_bins": 12, "encoder_size": 5, "latent_dim": 3, "decoder": decoder,
                     "first_output": first, "hidden": 7, "solver": "rk4", "step": 0.1,
                     "substeps": 2}
            network = SaeNetwork(hyper, 8)
            self.close_to_reference(network, sae.run, hyper, network.state_dict(), "trial")
        for causal, lag in ((False, 1), (False, 2), (True, 0), (True, 1)):
            hyper = {"window_bins": 12, "trial_bins": 12, "prefix_bins": 0, "readin_dim": 0,
                     "ic_enc_dim": 0 if causal else 5, "ci_enc_dim": 5, "con_dim": 4, "co_dim": 2,
                     "ic_dim": 3, "gen_dim": 7, "fac_dim": 3, "ext_input_dim": 0, "samples": 0,
                     "ci_bidirectional": not causal, "ci_lag": lag, "cell_clip": 5.0,
                     "reconstruction": "poisson", "latents": "factors"}
            network = LfadsNetwork(hyper, 8)
            self.close_to_reference(network, lfads.run, hyper, network.tensors(), "trial")


class Resume(golden.Case):
    def test_stop_and_resume_is_exact(self):
        """Stopped after half and resumed gives the weights of the uninterrupted run, bit for
        bit."""
        path = self.folder / "recording.h5"
        with h5py.File(path, "w") as f:
            f["spikes"] = tuned_recording()[0][:1000]
        common = ("--in", f"{path}:/spikes", "--bin-ms", "10", "--trial-bins", "25", "--layers",
                  "1", "--width", "8", "--hidden", "8", "--steps", "24", "--batch", "8",
                  "--threads", "1")
        trainer = golden.MODELS / "ndt" / "train.py"
        whole, halves = self.folder / "whole.pt", self.folder / "halves.pt"
        self.run_ok(golden.PYTHON, trainer, *common, "--out", whole)
        self.run_ok(golden.PYTHON, trainer, *common, "--out", halves, "--stop-at", "12")
        self.assertFalse(halves.exists())
        self.export("ndt", f"{halves}.resume")
        self.run_ok(golden.PYTHON, trainer, *common, "--out", halves, "--resume")
        a, b = (torch.load(p)["state_dict"] for p in (whole, halves))
        for name, tensor in a.items():
            self.assertTrue(torch.equal(tensor, b[name]), name)
        self.export("ndt", halves)

    def test_an_interrupted_training_is_whole(self):
        """What lies there to be resumed is what would be written if it ended now: behaviour in its
        own units, facts and all."""
        path = self.folder / "recording.h5"
        counts, hand = tuned_recording()[:2]
        with h5py.File(path, "w") as f:
            f["spikes"], f["hand"] = counts[:600], hand[:600] * 100 + 7
        common = ("--in", f"{path}:/spikes", "--behaviour", f"{path}:/hand", "--bin-ms", "10",
                  "--hidden", "4", "--steps", "3", "--batch", "4", "--threads", "1", "--force")
        trainer, out = golden.MODELS / "gru" / "train.py", self.folder / "gru.pt"
        self.run_ok(golden.PYTHON, trainer, *common, "--out", out, "--stop-at", "3")
        found = torch.load(f"{out}.resume")
        self.run_ok(golden.PYTHON, trainer, *common, "--out", out)
        expected = torch.load(out)
        self.assertEqual(set(found["state_dict"]), set(expected["state_dict"]))
        for name, tensor in expected["state_dict"].items():
            self.assertTrue(torch.equal(tensor, found["state_dict"][name]), name)
        self.assertFalse(torch.equal(found["model"]["readout.weight"],
                                     found["state_dict"]["readout.weight"]))

    def test_resume_needs_the_same_options(self):
        args = argparse.Namespace(out=str(self.folder / "m.pt"), lr=1.0)
        model = torch.nn.Linear(2, 2)
        optimizer = torch.optim.AdamW(model.parameters())
        training.save_state(args, 5, 1.0, model=model, optimizer=optimizer, finished={})
        self.assertEqual(training.load_state(args, model, optimizer), (5, 1.0))
        args.lr = 2.0
        with self.assertRaises(Refusal) as caught:
            training.load_state(args, model, optimizer)
        self.assertIn("lr = 1.0", str(caught.exception))


class Scores(golden.Case):
    def test_r2(self):
        g = np.random.default_rng(0)
        truth = g.normal(size=(5, 40, 3)) * [1, 2, 5]
        self.close(r2_per_column(truth, truth), [1, 1, 1], 0, "perfect")
        mean = np.broadcast_to(truth.mean((0, 1)), truth.shape)
        self.close(r2_per_column(truth, mean), [0, 0, 0], 1e-12, "mean")
        noisy = truth + g.normal(size=truth.shape)
        summary, columns = r2_summary(truth, noisy), r2_per_column(truth, noisy)
        self.assertAlmostEqual(summary["median"], np.median(columns))
        share = truth.reshape(-1, 3).var(0)
        self.assertAlmostEqual(summary["weighted"], (columns * share).sum() / share.sum())

    def test_bits_per_spike(self):
        """The mean rate has none; the truth has the information of the rates, here by hand: 0.5 and
        1.5."""
        counts = np.array([[0.0], [1], [2], [1]])
        rates = np.array([[0.5], [0.5], [1.5], [1.5]])
        self.assertAlmostEqual(bits_per_spike(counts, np.ones((4, 1))), 0)
        by_hand = (np.log2(0.5) + 3 * np.log2(1.5)) / 4
        self.assertAlmostEqual(bits_per_spike(counts, rates), by_hand)

    def test_smoothing(self):
        counts = np.zeros((1, 61, 1))
        counts[0, 30] = 1
        wide = gaussian_smooth(counts, 2.0)[0, :, 0]
        self.assertAlmostEqual(wide[30] / wide[32], np.exp(0.5))
        causal = causal_smooth(counts, 3.0)[0, :, 0]
        self.assertTrue((causal[:30] == 0).all() and (causal[30:] > 0).all())
        self.close(causal_smooth(np.ones((1, 9, 1)), 3.0), np.ones((1, 9, 1)), 1e-12, "constant")


if __name__ == "__main__":
    golden.main()

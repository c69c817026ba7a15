#!/usr/bin/python3
"""latent-decode against reference.py for every variant and mode of every architecture, on random
small models."""
import itertools

import numpy as np

import golden

from latent_models.common import safetensors
from latent_models.common.model_file import read_model, run_selftest, write_model
from latent_models.common.reference_command import run_trials
from latent_models.gru import reference as gru
from latent_models.kalman import reference as kalman
from latent_models.ndt import export as ndt_export
from latent_models.ndt import reference as ndt
from latent_models.wiener import reference as wiener

LOGRATE_LIMIT = 2e-5
LATENT_LIMIT = 5e-5  # of values of order one, after up to three float32 layers
N_CHANNELS, TRIAL_BINS = 7, 12
EMBEDS = {"identity": dict(embed="identity", embed_dim=0, width=8, n_channels=8),
          "table": dict(embed="table", embed_dim=2, width=2 * N_CHANNELS, n_channels=N_CHANNELS,
                        table_rows=6),
          "linear": dict(embed="linear", embed_dim=0, width=12, n_channels=N_CHANNELS)}
MASKS = {"unlimited": (-1, -1), "causal": (0, 0), "causal band 3": (0, 3), "ahead 2 back 4": (2, 4),
         "ahead 1": (1, 0)}


class Decode(golden.Case):
    def compare(self, run, path, counts, mode, what):
        """Every group latent-decode writes against the reference, trial by trial, bin by bin."""
        model = read_model(path)
        expected = run_trials(run, model, counts.astype(np.float64), mode)
        decoded = self.decode(path, counts, mode)
        n_bins = len(next(iter(expected.values()))[0])
        for group, array in expected.items():
            found = golden.lograte(decoded) if group == "lograte" else decoded[group]
            valid = np.ones(found.shape[:2], bool)
            if group == "readout":  # neutral while the window fills: the flags must say so
                valid = decoded["flags"] & golden.FLAG_WARMUP == 0
            scale = max(1, np.abs(array).max())
            limit = LOGRATE_LIMIT if group == "lograte" else LATENT_LIMIT * scale
            self.assertTrue(valid[:, :n_bins].any(), what)
            part = valid[:, :n_bins]
            self.close(found[:, :n_bins][part], array[part], limit, f"{what}, mode {mode}, {group}")
        return decoded, n_bins


class NdtMaking(Decode):
    def make(self, seed, embed, mask, *, pre_norm=True, final_norm="layer", position="learnt",
             head_layers=1, offset=True, log=True, window=TRIAL_BINS, layers=2, future=0,
             held_out=0):
        """A random NDT through the exporter -> path."""
        sizes = {**EMBEDS[embed], "layers": layers, "hidden": 10, "head_layers": head_layers,
                 "final_norm": final_norm, "position": position}
        shapes = ndt_export.expected_shapes(sizes, TRIAL_BINS)
        tensors = golden.random_tensors(seed, shapes)
        if final_norm == "scale":
            tensors["transformer_encoder.norm.scale"] = np.float32(2.5)
        if not log:  # a ReLU head is compared by its logarithm, so keep its outputs off zero
            tensors[f"decoder.{2 * (head_layers - 1)}.bias"] += np.float32(6)
        if position == "sinusoidal":
            hyper = {"position": position, "width": sizes["width"], "position_offset": offset}
            rows = ndt.positions({}, hyper, TRIAL_BINS)
            tensors["pos_encoder.pe"] = rows[:, None].astype(np.float32)
        source = self.folder / "ndt-tensors.safetensors"
        safetensors.write(source, tensors, {})
        forward, backward = MASKS[mask]
        return self.export("ndt", source, "--bin-width", "10", "--heads", "2", "--norm",
                           "pre" if pre_norm else "post", "--context-forward", forward,
                           "--context-backward", backward, "--window", window, "--link",
                           "exp" if log else "relu", "--max-count", "4", "--held-out", held_out,
                           *(("--future", "zero", "--future-bins", future) if future else ()),
                           "--modes", ",".join(ndt_export.legal_modes(
                               {"context_forward": forward, "context_backward": backward,
                                "window_bins": window, "future_zeros": future})))


class Clipped(NdtMaking):
    def test_every_mode(self):
        """What the file lets through, bin by bin and in whole trials, and which bins had more."""
        counts = golden.random_counts(9, 3, TRIAL_BINS, N_CHANNELS, mean=2)
        clip = [1, 2, 3, 2, 1, 0, 4]
        counts[1, 5, 2] = 200
        counts[2, 1] = 0
        plain, clipped = self.make(5, "linear", "causal"), self.folder / "clipped.safetensors"
        model = read_model(plain)
        model.config["channels"] = {"clip": clip}
        run_selftest(model, ndt.run, 0, model.selftest["selftest.input"])
        write_model(clipped, model)
        self.assertIn("trial", model.config["modes"])
        for mode in model.config["modes"]:
            found, _ = self.compare(ndt.run, clipped, counts, mode, "clipped")
            expected = self.decode(plain, np.minimum(counts, clip).astype(np.uint8), mode)
            for group in ("latents", "rates"):
                self.assertTrue(np.array_equal(found[group], expected[group], equal_nan=True))
            told = found["flags"] & golden.FLAG_INPUT_CLIPPED != 0
            self.assertTrue(np.array_equal(told, (counts > clip).any(-1)), mode)
            self.assertFalse(told[2, 1])


class NdtDecode(NdtMaking):
    def check(self, seed, embed, mask, **options):
        path = self.make(seed, embed, mask, **options)
        what = f"ndt {embed}, {mask}, {options}"
        config = read_model(path).config
        n_channels = config["n_channels"]
        self.assertEqual(n_channels + options.get("held_out", 0), config["outputs"]["rates"])
        for mode in config["modes"]:
            n_bins = TRIAL_BINS + 7 if mode in ("C", "D") else TRIAL_BINS
            counts = golden.random_counts(seed, 2, n_bins, n_channels, mean=1.5)
            decoded, _ = self.compare(ndt.run, path, counts, mode, what)
            clipped = decoded["flags"] & golden.FLAG_INPUT_CLIPPED != 0
            if mode != "trial":
                self.assertTrue(np.array_equal(clipped, (counts > 4).any(-1)),
                                f"{what}: INPUT_CLIPPED")

    def test_every_variant(self):
        """Each value of each option, with every embedding and mask."""
        options = [{}, {"pre_norm": False}, {"final_norm": "scale"}, {"position": "sinusoidal"},
                   {"position": "sinusoidal", "offset": False}, {"head_layers": 2}, {"log": False},
                   {"held_out": 2},
                   {"pre_norm": False, "final_norm": "scale", "position": "sinusoidal",
                    "head_layers": 2}]
        grid = enumerate(itertools.product(EMBEDS, MASKS, options))
        for seed, (embed, mask, option) in golden.thinned(grid, 7):
            with self.subTest(embed=embed, mask=mask, **option):
                self.check(seed, embed, mask, **option)

    def test_window_shorter_than_the_trial(self):
        for mask in MASKS:
            with self.subTest(mask):
                self.check(7, "linear", mask, window=5, layers=3)

    def test_zeros_for_the_future(self):
        """Fewer than the look-ahead reaches, as many, more; up to the end of trial and window."""
        grid = enumerate(itertools.product(EMBEDS, ("unlimited", "ahead 2 back 4", "ahead 1"),
                                           (1, 2, 4, 11)))
        for seed, (embed, mask, future) in golden.thinned(grid, 5):
            with self.subTest(embed=embed, mask=mask, future=future):
                window = TRIAL_BINS if future > 4 else 7
                self.check(seed, embed, mask, future=future, window=window, held_out=seed % 3)

    def test_layer_by_layer(self):
        """The model cut after each layer, so that a failure names one."""
        for mask, layers in itertools.product(("causal band 3", "ahead 2 back 4"), (1, 2, 3, 4)):
            with self.subTest(mask, layers=layers):
                whole = self.make(3, "table", mask, layers=4)
                model = read_model(whole)
                model.hyper["layers"] = layers
                model.weights = {k: v for k, v in model.weights.items()
                                 if not k.startswith("transformer_encoder.layers.")
                                 or int(k.split(".")[2]) < layers}
                counts = model.selftest["selftest.input"]
                run_selftest(model, ndt.run, 0, counts)
                path = self.folder / "cut.safetensors"
                write_model(path, model)
                for mode in model.config["modes"]:
                    rows = golden.random_counts(layers, 2, TRIAL_BINS, N_CHANNELS)
                    self.compare(ndt.run, path, rows, mode, f"{layers} layers")

    def test_modes_agree(self):
        """D is the offline model on the bins since its anchor, B-lag the final rows of the offline
        model, both by latent-decode alone."""
        counts = golden.random_counts(4, 1, 2 * TRIAL_BINS + 5, N_CHANNELS)[0]
        path = self.make(4, "table", "causal", layers=3)
        shown, half = golden.lograte(self.decode(path, counts[None], "D"))[0], TRIAL_BINS // 2
        for t in range(len(counts)):
            anchor = max(0, t // half - 1) * half
            part = golden.lograte(self.decode(path, counts[None, anchor:t + 1], "trial"))[0]
            self.close(shown[t], part[-1], LOGRATE_LIMIT, f"D at bin {t}, anchor {anchor}")
        for future in (0, 2):
            path = self.make(5, "linear", "ahead 1", layers=3, future=future)
            trial = counts[None, :TRIAL_BINS]
            shown, final = (golden.lograte(self.decode(path, trial, mode))[0]
                            for mode in ("B-lag", "trial"))
            self.close(shown[3:], final[:-3], LOGRATE_LIMIT, "B-lag")

    def test_positions_end_with_the_trial(self):
        """Past the trial mode A is OUTSIDE, unless positions are computed and the past it reads is
        bounded."""
        counts = golden.random_counts(1, 1, TRIAL_BINS + 4, N_CHANNELS)
        for mask, position in (("causal", "learnt"), ("causal", "sinusoidal"),
                               ("causal band 3", "learnt")):
            decoded = self.decode(self.make(1, "linear", mask, position=position), counts, "A")
            outside = decoded["flags"][0] & golden.FLAG_OUTSIDE != 0
            self.assertEqual(list(outside), [False] * TRIAL_BINS + [True] * 4)
        path = self.make(1, "linear", "causal band 3", position="sinusoidal")
        decoded, n_bins = self.compare(ndt.run, path, counts, "A", "sinusoidal past the trial")
        self.assertEqual(n_bins, TRIAL_BINS + 4)
        self.assertFalse((decoded["flags"] & golden.FLAG_OUTSIDE).any())


class GruMaking(Decode):
    def make(self, seed, layers, n_rates, n_readout, hidden=9):
        shapes = {}
        for k in range(layers):
            inputs = N_CHANNELS if k == 0 else hidden
            shapes.update({f"gru.weight_ih_l{k}": (3 * hidden, inputs),
                           f"gru.bias_ih_l{k}": (3 * hidden,),
                           f"gru.weight_hh_l{k}": (3 * hidden, hidden),
                           f"gru.bias_hh_l{k}": (3 * hidden,)})
        for name, n in (("rate", n_rates), ("readout", n_readout)):
            if n:
                shapes.update({f"{name}.weight": (n, hidden), f"{name}.bias": (n,)})
        source = self.folder / "gru-tensors.safetensors"
        safetensors.write(source, golden.random_tensors(seed, shapes, gain=1.5), {})
        return self.export("gru", source, "--bin-width", "5", "--link", "exp")


class GruDecode(GruMaking):
    def test_layers_and_readouts(self):
        grid = itertools.product((1, 2, 3), ((N_CHANNELS, 0), (0, 2), (4, 3)))
        for seed, (layers, (n_rates, n_readout)) in enumerate(grid):
            with self.subTest(layers=layers, rates=n_rates, readout=n_readout):
                path = self.make(seed, layers, n_rates, n_readout)
                counts = golden.random_counts(seed, 3, 40, N_CHANNELS)
                self.compare(gru.run, path, counts, "causal", "gru")

    def test_silent_and_dense_input(self):
        path = self.make(11, 1, N_CHANNELS, 2)
        for mean in (0.0, 0.02, 20.0):
            counts = golden.random_counts(3, 2, 30, N_CHANNELS, mean=mean)
            self.compare(gru.run, path, counts, "causal", f"gru, mean count {mean}")


class KalmanDecode(Decode):
    def tensors(self, form, extras):
        g = np.random.default_rng(5)
        s, m = 4, N_CHANNELS
        if form == "given":
            tensors = {"M1": 0.3 * g.normal(size=(s, s)), "M2": g.normal(size=(s, m)),
                       "m0": g.normal(size=s)}
        else:
            q, r = g.normal(size=(s, s)), g.normal(size=(m, m))
            tensors = {"A": 0.95 * np.linalg.qr(g.normal(size=(s, s)))[0],
                       "C": g.normal(size=(m, s)), "Q": q @ q.T + np.eye(s),
                       "R": r @ r.T + np.eye(m)}
        if "offset" in extras:
            tensors["offset"] = g.normal(size=m)
        if "x0" in extras:
            tensors["x0"] = g.normal(size=s)
        if "P0" in extras:
            tensors["P0"] = 3 * np.eye(s)
        if "readout" in extras:
            tensors.update({"readout.weight": g.normal(size=(2, s)),
                            "readout.bias": g.normal(size=2)})
        return tensors

    def test_forms(self):
        grid = {"given": ((), ("x0", "readout")), "steady": ((), ("x0", "offset", "readout")),
                "full": ((), ("P0",), ("x0", "P0", "offset", "readout"))}
        for form, many in grid.items():
            for extras in many:
                with self.subTest(form=form, extras=extras):
                    source = self.folder / "kalman-tensors.safetensors"
                    safetensors.write(source, self.tensors(form, extras), {})
                    path = self.export("kalman", source, "--form", form, "--bin-width", "45")
                    counts = golden.random_counts(2, 2, 50, N_CHANNELS)
                    self.compare(kalman.run, path, counts, "causal", f"kalman {form} {extras}")


class WienerDecode(Decode):
    def test_lags(self):
        for lags in (1, 2, 9):
            with self.subTest(lags=lags):
                shapes = {"weight": (3, lags, N_CHANNELS), "bias": (3,)}
                source = self.folder / "wiener-tensors.safetensors"
                safetensors.write(source, golden.random_tensors(lags, shapes), {})
                path = self.export("wiener", source, "--bin-width", "20")
                counts = golden.random_counts(lags, 2, 30, N_CHANNELS)
                decoded, _ = self.compare(wiener.run, path, counts, "causal", f"wiener {lags}")
                warm = decoded["flags"] & golden.FLAG_WARMUP != 0
                self.assertTrue((warm == (np.arange(30) < lags - 1)).all(),
                                "WARMUP until the lags are filled")


if __name__ == "__main__":
    golden.need_binaries("latent-decode")
    golden.main()

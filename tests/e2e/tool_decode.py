"""latent-decode: shapes, attributes, resets, modes, and outputs that are whole or absent."""
import os
import pathlib

import h5py
import numpy as np

from tool_case import (BIN, MODELS, OUTSIDE, RESET, WARMUP, Case, random_counts, random_tensors,
                       limits_file_sizes, read_all, run, small_files)

from latent_models.common import safetensors
from latent_models.common.model_file import read_model
from latent_models.gru import reference as gru_reference


class Decode(Case):
    N_CHANNELS, HIDDEN = 6, 7

    def export(self, arch, shapes, *options):
        """A model file with random weights of these shapes."""
        source, out = self.folder / f"{arch}-weights.st", self.folder / f"{arch}.safetensors"
        safetensors.write(source, random_tensors(1, shapes), {})
        self.run_ok("/usr/bin/python3", MODELS / arch / "export.py", source, out, "--bin-width",
                    "20", *options)
        return out

    def gru(self):
        """A random GRU with rates and a readout of two."""
        c, h = self.N_CHANNELS, self.HIDDEN
        return self.export("gru", {
            "gru.weight_ih_l0": (3 * h, c), "gru.bias_ih_l0": (3 * h, ),
            "gru.weight_hh_l0": (3 * h, h), "gru.bias_hh_l0": (3 * h, ),
            "rate.weight": (c, h), "rate.bias": (c, ),
            "readout.weight": (2, h), "readout.bias": (2, ),
        }, "--link", "exp")

    def wiener(self):
        return self.export("wiener", {"weight": (2, 3, self.N_CHANNELS), "bias": (2, )})

    def decode(self, model, *arguments, name="decoded"):
        out = self.folder / f"{name}.h5"
        self.run_ok(BIN / "latent-decode", "--model", model, *arguments, "--out", out)
        return read_all(out)

    def test_trials(self):
        model, counts = self.gru(), random_counts(1, 4, 30, self.N_CHANNELS)
        arrays, attributes, root = self.decode(model, "--in", self.recording(counts))
        shapes = {name: array.shape for name, array in arrays.items()}
        self.assertEqual(shapes, {"latents": (4, 30, 7), "rates": (4, 30, 6),
                                  "readout": (4, 30, 2), "flags": (4, 30)})
        self.assertEqual([arrays[n].dtype for n in ("latents", "rates", "readout", "flags")],
                         [np.float32] * 3 + [np.uint32])
        self.assertTrue(all(a["bin_width_ms"] == 20.0 for a in attributes.values()))
        self.assertEqual(attributes["rates"]["units"], "Hz")
        config = read_model(model).config
        self.assertEqual(list(attributes["readout"]["names"]),
                         [r["name"] for r in config["outputs"]["readout"]])
        self.assertEqual(list(attributes["readout"]["units"]),
                         [r["unit"] for r in config["outputs"]["readout"]])
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
        arrays, attributes, _ = self.decode(
            self.wiener(), "--in", self.recording(random_counts(1, 2, 10, self.N_CHANNELS)))
        self.assertEqual(sorted(arrays), ["flags", "readout"])
        self.assertEqual([bool(f & WARMUP) for f in arrays["flags"][0]], [True] * 2 + [False] * 8)

    def ndt(self, trial_bins=12):
        """A random causal NDT with learnt positions; modes A, C and trial."""
        d, c, hidden = 12, self.N_CHANNELS, 10
        layer = {
            "self_attn.in_proj_weight": (3 * d, d), "self_attn.in_proj_bias": (3 * d, ),
            "self_attn.out_proj.weight": (d, d), "self_attn.out_proj.bias": (d, ),
            "linear1.weight": (hidden, d), "linear1.bias": (hidden, ),
            "linear2.weight": (d, hidden), "linear2.bias": (d, ),
            "norm1.weight": (d, ), "norm1.bias": (d, ),
            "norm2.weight": (d, ), "norm2.bias": (d, ),
        }
        shapes = {f"transformer_encoder.layers.0.{name}": shape for name, shape in layer.items()}
        shapes.update({
            "embedder.weight": (d, c), "embedder.bias": (d, ),
            "decoder.0.weight": (c, d), "decoder.0.bias": (c, ),
            "transformer_encoder.norm.weight": (d, ), "transformer_encoder.norm.bias": (d, ),
            "pos_encoder.pos_embedding.weight": (trial_bins, d),
        })
        return self.export("ndt", shapes, "--link", "exp", "--heads", "2", "--norm", "pre",
                           "--context-forward", "0", "--context-backward", "0", "--max-count", "9")

    def test_modes(self):
        """After the last position nothing is known: OUTSIDE, and NaN; the offline mode refuses."""
        model = self.ndt()
        longer = random_counts(4, 2, 15, self.N_CHANNELS)
        arrays, _, root = self.decode(model, "--in", self.recording(longer), "--mode", "A")
        self.assertEqual(root["mode"], "A")
        outside = arrays["flags"] & OUTSIDE != 0
        self.assertEqual(outside.tolist(), [[False] * 12 + [True] * 3] * 2)
        for name in ("latents", "rates"):
            self.assertTrue((np.isnan(arrays[name]).all(-1) == outside).all(), name)
        cut = self.recording(longer[:, :12])
        offline, _, _ = self.decode(model, "--in", cut, "--mode", "trial")
        self.assertLess(np.abs(np.log(offline["rates"] / arrays["rates"][:, :12])).max(), 4e-5)
        fixed = ("--model", model, "--out", self.folder / "no.h5")
        self.all_refused("latent-decode", fixed, [
            ('"Z"', ("--in", cut, "--mode", "Z")),
            ("trials of 15 bins, mode trial",
             ("--in", self.recording(longer, name="longer"), "--mode", "trial")),
        ])

    def test_threads(self):
        """Any number of threads gives the same bits; a refusal is that of the first trial."""
        model, counts = self.gru(), random_counts(5, 9, 40, self.N_CHANNELS)
        source = self.recording(counts)
        one, _, _ = self.decode(model, "--in", source, "--threads", "1")
        for n in (2, 5, 100):
            many, _, _ = self.decode(model, "--in", source, "--threads", str(n))
            for name, array in one.items():
                self.assertEqual(array.tobytes(), many[name].tobytes(), (n, name))
        wild = np.zeros((9, 40, self.N_CHANNELS), np.float32)
        wild[3:] = 3e38  # finite, but its sum is not
        source = self.recording(wild, name="wild")
        for n in (1, 4):
            self.refused("latent-decode", "--model", self.wiener(), "--in", source, "--threads",
                         str(n), "--out", self.folder / "no.h5", text="trial 3, bin")

    def test_fast(self):
        """Whole trials instead of bin by bin: the same within rounding; else it says so."""
        model, counts = self.ndt(), random_counts(6, 5, 12, self.N_CHANNELS)
        source = self.recording(counts)
        exact, _, _ = self.decode(model, "--in", source, "--mode", "A")
        fast, _, root = self.decode(model, "--in", source, "--mode", "A", "--fast")
        self.assertEqual(root["mode"], "trial")
        self.assertLess(np.abs(np.log(fast["rates"] / exact["rates"])).max(), 1e-5)
        done = run(BIN / "latent-decode", "--model", self.gru(), "--in", source, "--fast",
                   "--out", self.folder / "slow.h5")
        self.assertEqual(done.returncode, 0)
        self.assertIn("decoding bin by bin", done.stderr)

    def test_ticks(self):
        """Spike times and the counts they make give the same bits."""
        generator, model = np.random.default_rng(6), self.gru()
        tick = np.sort(generator.integers(0, 60000, 900))
        unit = generator.integers(0, self.N_CHANNELS, 900)
        path = self.folder / "ticks.h5"
        with h5py.File(path, "w") as f:
            f["tick"], f["unit"] = tick, unit
        counts = np.zeros((100, self.N_CHANNELS), np.uint8)
        np.add.at(counts, (tick // 600, unit), 1)
        by_tick, _, _ = self.decode(model, "--ticks", f"{path}:/tick", "--units", f"{path}:/unit",
                                    "--clock-hz", "30000", "--bin-ms", "20", "--seconds", "2",
                                    name="ticks-decoded")
        by_count, _, _ = self.decode(model, "--in", self.recording(counts))
        for name, array in by_count.items():
            self.assertEqual(array.tobytes(), by_tick[name].tobytes(), name)

    @limits_file_sizes
    def test_output_is_whole_or_absent(self):
        """A failure leaves an older result as it was and no other file."""
        model, out = self.gru(), self.folder / "out.h5"
        source = self.recording(random_counts(1, 3000, self.N_CHANNELS))
        out.write_text("older")
        before = sorted(p.name for p in self.folder.iterdir())
        self.refused("latent-decode", "--model", model, "--in", source, "--out", out,
                     text="File too large", preexec_fn=small_files(100000))
        self.assertEqual(out.read_text(), "older")
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), before)
        self.run_ok(BIN / "latent-decode", "--model", model, "--in", source, "--out", out)
        self.assertEqual(read_all(out)[0]["latents"].shape, (3000, self.HIDDEN))

    def test_refusals(self):
        model, out = ("--model", self.gru()), self.folder / "no.h5"
        fine = self.recording(random_counts(1, 9, self.N_CHANNELS))
        slow = self.recording(random_counts(1, 9, self.N_CHANNELS), 10.0, name="slow")
        narrow = self.recording(random_counts(1, 9, 5), name="narrow")
        self.all_refused("latent-decode", ("--out", out), [
            ("has 5 channels, the model", (*model, "--in", narrow)),
            ("bins of 10 ms, the model", (*model, "--in", slow)),
            ("/none.safetensors", ("--model", "/none.safetensors", "--in", fine)),
            ("nothing from 0 s on for 3 s", (*model, "--in", fine, "--seconds", "3")),
        ])
        self.refused("latent-decode", *model, "--in", fine, "--out",
                     self.folder / "none" / "x.h5", text="make it first")
        self.assertFalse(out.exists())

    def test_output_replaces_nothing_that_matters(self):
        """Neither its input, nor its model, nor anything that is no regular file."""
        model = self.gru()
        source = self.recording(random_counts(1, 9, self.N_CHANNELS))
        recording = pathlib.Path(str(source).rpartition(":")[0])
        device = self.folder / "device"
        os.mkfifo(device)
        for out, text in ((recording, "the input reads"), (model, "--model reads"),
                          (device, "a regular file")):
            before = os.stat(out)
            self.refused("latent-decode", "--model", model, "--in", source, "--out", out, text=text)
            self.assertEqual((os.stat(out).st_ino, os.stat(out).st_size),
                             (before.st_ino, before.st_size))

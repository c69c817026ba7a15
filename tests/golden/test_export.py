#!/usr/bin/python3
"""The exporters: what they read, and what they refuse by name (exit code 2, no file)."""
import json
import subprocess

import h5py
import numpy as np
import torch

import golden

from latent_models.common import safetensors
from latent_models.common.model_file import read_model
from latent_models.ndt.network import Ndt

HYPER = {"layers": 2, "heads": 2, "width": 10, "hidden": 6, "embed": "table", "embed_dim": 2,
         "max_count": 5, "pre_norm": True, "final_norm": "layer", "position": "learnt",
         "position_offset": True, "trial_bins": 9, "window_bins": 9, "context_forward": 0,
         "context_backward": 4, "head_layers": 1, "lograte": True}
NODE = {"NAME": "NeuralDataTransformer", "NUM_HEADS": 2, "NUM_LAYERS": 2, "EMBED_DIM": 2,
        "PRE_NORM": True, "CONTEXT_FORWARD": 0, "CONTEXT_BACKWARD": 4, "FULL_CONTEXT": False,
        "LOGRATE": True, "LEARNABLE_POSITION": True, "ACTIVATION": "relu", "DROPOUT": 0.1,
        "DECODER": {"LAYERS": 1}, "LOSS": {"TYPE": "poisson", "TOPK": 1.0},
        "POSITION": {"OFFSET": True}}
STATED = ("--heads", "2", "--norm", "pre", "--context-forward", "0", "--context-backward", "4",
          "--link", "exp")


class NdtExport(golden.Case):
    def setUp(self):
        super().setUp()
        torch.manual_seed(3)
        self.state = Ndt(HYPER, 5).state_dict()

    def save(self, content, name="checkpoint.pt"):
        torch.save(content, self.folder / name)
        return self.folder / name

    def genuine(self, state=None, **changes):
        """A checkpoint dict as the published training code saves it."""
        node = {**NODE, **changes}
        return self.save({"state_dict": state or self.state, "config": {"MODEL": node, "SEED": 1},
                          "max_spikes": 5, "num_neurons": 5, "trial_length": 9,
                          "best_val": {"value": 1.0}})

    def test_genuine_checkpoint(self):
        model = read_model(self.export("ndt", self.genuine(), "--bin-width", "5"))
        self.assertEqual(model.hyper, {**HYPER, "held_out": 0, "future_zeros": 0})
        self.assertEqual(model.config["bin_width_us"], 5000)
        self.assertEqual(model.config["modes"], ["A", "C", "trial"])
        for name, tensor in self.state.items():
            self.assertTrue(np.array_equal(model.weights[name], tensor.numpy()), name)

    def test_full_context_overrides_the_limits(self):
        model = read_model(self.export("ndt", self.genuine(FULL_CONTEXT=True), "--bin-width", "5"))
        self.assertEqual((model.hyper["context_forward"], model.hyper["context_backward"]),
                         (-1, -1))
        self.assertEqual(model.config["modes"], ["C", "trial"])

    def test_plain_state_dict_safetensors_and_hdf5_agree(self):
        plain = self.save(self.state)
        tensors = {k: v.numpy() for k, v in self.state.items()}
        safetensors.write(self.folder / "t.safetensors", tensors, {})
        with h5py.File(self.folder / "t.h5", "w") as f:
            for name, array in tensors.items():
                f["weights/" + name] = array
            f.attrs["architecture"] = json.dumps({**NODE, "MAX_SPIKES": 5, "TRIAL_LENGTH": 9})
            f.attrs["bin_width_ms"] = 5.0
        models = [read_model(self.export("ndt", plain, "--bin-width", "5", *STATED, name="a")),
                  read_model(self.export("ndt", self.folder / "t.safetensors", "--bin-width", "5",
                                         *STATED, name="b")),
                  read_model(self.export("ndt", self.folder / "t.h5", name="c"))]
        for model in models[1:]:
            self.assertEqual(model.hyper, models[0].hyper)
            self.assertEqual(model.config["bin_width_us"], 5000)
            for name, array in models[0].selftest.items():
                self.assertTrue(np.array_equal(model.selftest[name], array), name)

    def test_what_is_not_said_is_asked_for(self):
        plain = self.save(self.state)
        self.refused("ndt", plain, *STATED, text=("bin width", "--bin-width"))
        for i in range(0, len(STATED), 2):
            rest = STATED[:i] + STATED[i + 2:]
            self.refused("ndt", plain, "--bin-width", "5", *rest, text=(STATED[i],))

    def test_contradictions(self):
        path = self.genuine(CONTEXT_FORWARD=3)
        for mode in ("A", "D"):
            self.refused("ndt", path, "--bin-width", "5", "--modes", mode,
                         text=(f"mode {mode}", "causal"))
        path = self.genuine()
        self.refused("ndt", path, "--bin-width", "5", "--heads", "5", text=("--heads 5", "says 2"))
        self.refused("ndt", path, "--bin-width", "5", "--modes", "A,E", text=("mode E",))
        self.refused("ndt", path, "--bin-width", "5", "--window", "10", text=("--window 10",))

    def test_layout_of_nlb(self):
        """Held-out neurons, and zeros for the future."""
        path = self.genuine(CONTEXT_FORWARD=3)
        model = read_model(self.export("ndt", path, "--bin-width", "5", "--held-out", "2",
                                       "--future", "zero"))
        self.assertEqual((model.hyper["held_out"], model.hyper["future_zeros"]), (2, 6))
        self.assertEqual((model.config["n_channels"], model.config["outputs"]["rates"]), (3, 5))
        self.assertEqual(model.selftest["selftest.input"].shape[1], 3)
        path = self.genuine(FULL_CONTEXT=True)
        model = read_model(self.export("ndt", path, "--bin-width", "5", "--future", "zero",
                                       "--future-bins", "8"))
        self.assertEqual(model.hyper["future_zeros"], 8)
        full, ahead = {"FULL_CONTEXT": True}, {"CONTEXT_FORWARD": 3}
        cases = ((full, ("--future", "zero"), ("--future-bins", "without limit")),
                 (full, ("--future-bins", "3"), ("--future zero",)),
                 (full, ("--future", "zero", "--future-bins", "9"), ("1 to 8",)),
                 ({}, ("--future", "zero"), ("does not look ahead",)),
                 (ahead, ("--held-out", "5"), ("--held-out 5", "0 to 4")),
                 (ahead, ("--held-out", "-1"), ("--held-out -1",)),
                 (ahead, ("--future", "zero", "--window", "6", "--modes", "C"), ("window_bins",)))
        for changes, options, words in cases:
            with self.subTest(options):
                self.refused("ndt", self.genuine(**changes), "--bin-width", "5", *options,
                             text=words)

    def test_what_cannot_be_served(self):
        for changes, words in (({"ACTIVATION": "gelu"}, ("MODEL.ACTIVATION", "gelu")),
                               ({"LOSS": {"TYPE": "cel"}}, ("LOSS.TYPE", "cel")),
                               ({"CONTEXT_WRAP_INITIAL": True}, ("CONTEXT_WRAP_INITIAL",)),
                               ({"SPATIAL": 1}, ("MODEL.SPATIAL", "--ignore"))):
            with self.subTest(**changes):
                self.refused("ndt", self.genuine(**changes), "--bin-width", "5", text=words)
        self.export("ndt", self.genuine(SPATIAL=1), "--bin-width", "5", "--ignore", "SPATIAL")

    def test_tensors_missing_extra_misshapen(self):
        name = "transformer_encoder.layers.1.norm2.bias"
        without = {k: v for k, v in self.state.items() if k != name}
        self.refused("ndt", self.genuine(without), "--bin-width", "5", text=(name, "missing"))
        extra = {**self.state, "readin.weight": torch.zeros(2, 2)}
        self.refused("ndt", self.genuine(extra), "--bin-width", "5",
                     text=("readin.weight", "no place"))
        wrong = {**self.state, name: torch.zeros(11)}
        self.refused("ndt", self.genuine(wrong), "--bin-width", "5", text=(name, "[11]", "[10]"))
        whole = {**self.state, name: torch.zeros(10, dtype=torch.int64)}
        self.refused("ndt", self.genuine(whole), "--bin-width", "5", text=(name, "int64"))
        infinite = {**self.state, name: torch.full((10,), float("nan"))}
        self.refused("ndt", self.genuine(infinite), "--bin-width", "5", text=("finite",))

    def test_wrong_sinusoids(self):
        hyper = {**HYPER, "position": "sinusoidal"}
        state = Ndt(hyper, 5).state_dict()
        node = {"LEARNABLE_POSITION": False}
        model = read_model(self.export("ndt", self.genuine(state, **node), "--bin-width", "5"))
        self.assertEqual(model.hyper["position"], "sinusoidal")
        self.assertNotIn("pos_encoder.pe", model.weights)
        self.refused("ndt", self.genuine(state, POSITION={"OFFSET": False}, **node), "--bin-width",
                     "5", text=("pos_encoder.pe",))


class OtherExports(golden.Case):
    def tensors(self, arch):
        """A small valid set of tensors, and the options its exporter needs."""
        g = np.random.default_rng(0)
        return {
            "gru": ({"gru.weight_ih_l0": g.normal(size=(12, 5)),
                     "gru.weight_hh_l0": g.normal(size=(12, 4)),
                     "gru.bias_ih_l0": g.normal(size=12), "gru.bias_hh_l0": g.normal(size=12),
                     "rate.weight": g.normal(size=(5, 4)), "rate.bias": g.normal(size=5)},
                    ("--link", "exp")),
            "kalman": ({"A": 0.9 * np.eye(2), "C": g.normal(size=(5, 2)), "Q": np.eye(2),
                        "R": np.eye(5)},
                       ("--form", "steady")),
            "wiener": ({"weight": g.normal(size=(2, 3, 5)), "bias": g.normal(size=2)}, ()),
        }[arch]

    def write(self, tensors):
        path = self.folder / "in.safetensors"
        safetensors.write(path, tensors, {})
        return path

    def test_missing_extra_misshapen(self):
        broken = {"gru": "gru.bias_hh_l0", "kalman": "R", "wiener": "bias"}
        for arch, name in broken.items():
            with self.subTest(arch):
                tensors, options = self.tensors(arch)
                options = (*options, "--bin-width", "10")
                self.export(arch, self.write(tensors), *options)
                rest = {k: v for k, v in tensors.items() if k != name}
                self.refused(arch, self.write(rest), *options, text=(name, "missing"))
                self.refused(arch, self.write({**tensors, "stray": np.zeros(3)}), *options,
                             text=("stray",))
                self.refused(arch, self.write({**tensors, name: np.zeros((3, 3))}), *options,
                             text=(name, "[3, 3]"))
                self.refused(arch, self.write(tensors), *options[:-2], text=("--bin-width",))

    def test_another_architecture(self):
        for source in ("gru", "kalman", "wiener"):
            path = self.write(self.tensors(source)[0])
            for arch in {"ndt", "gru", "kalman", "wiener"} - {source}:
                with self.subTest(f"{source} as {arch}"):
                    options = self.tensors(arch)[1] if arch != "ndt" else ()
                    text = self.refused(arch, path, "--bin-width", "10", *options, text=("tensor",))
                    self.assertTrue("missing" in text or "not a" in text, text)

    def test_a_model_file_is_no_checkpoint(self):
        tensors, options = self.tensors("wiener")
        model = self.export("wiener", self.write(tensors), *options, "--bin-width", "10")
        self.refused("wiener", model, "--bin-width", "10", text=("model file already",))

    def test_kalman_matrices(self):
        tensors, options = self.tensors("kalman")
        options = (*options, "--bin-width", "10")
        silent = np.diag([1.0, 1, 1, 1, 0])
        self.refused("kalman", self.write({**tensors, "R": silent}), *options, text=("R", "silent"))
        crooked = np.array([[1.0, 0.5], [0, 1]])
        self.refused("kalman", self.write({**tensors, "Q": crooked}), *options,
                     text=("Q", "symmetric"))
        self.refused("kalman", self.write(tensors), "--bin-width", "10", text=("--form",))

    def test_kalman_mappings(self):
        tensors, options = self.tensors("kalman")
        with h5py.File(self.folder / "two.h5", "w") as f:
            for group, scale in (("first", 1.0), ("second", 2.0)):
                for name, array in tensors.items():
                    f[f"weights/{group}/{name}"] = array * (scale if name == "C" else 1)
                f[f"weights/{group}/unused"] = np.zeros(3)
            f.attrs["architecture"] = json.dumps({"bin_ms": 45})
        path = self.folder / "two.h5"
        self.refused("kalman", path, *options, text=("--mapping", "first", "second"))
        self.refused("kalman", path, *options, "--mapping", "third",
                     text=("third", "first, second"))
        model = read_model(self.export("kalman", path, *options, "--mapping", "second"))
        self.assertTrue(np.array_equal(model.weights["C"], 2 * tensors["C"]))
        self.assertEqual(model.config["bin_width_us"], 45000)
        self.refused("kalman", path, *options, "--mapping", "first", "--bin-width", "20",
                     text=("45",))

    def test_readout_description(self):
        tensors, _ = self.tensors("wiener")
        path = self.write(tensors)
        model = read_model(self.export("wiener", path, "--bin-width", "10", "--readout-names",
                                       "vx,vy", "--readout-units", "mm/s,mm/s",
                                       "--readout-min=-300,-200", "--readout-max", "300,200",
                                       "--readout-slew", "9,8"))
        self.assertEqual(model.config["outputs"]["readout"][1],
                         {"name": "vy", "unit": "mm/s", "neutral": 0.0, "min": -200.0, "max": 200.0,
                          "slew": 8.0})
        self.refused("wiener", path, "--bin-width", "10", "--readout-names", "vx",
                     text=("--readout-names",))
        model = read_model(self.export("wiener", path, "--bin-width", "10", "--readout-safe",
                                       "hold,neutral"))
        self.assertEqual([r["safe"] for r in model.config["outputs"]["readout"]],
                         ["hold", "neutral"])
        self.refused("wiener", path, "--bin-width", "10", "--readout-safe", "stay", text=("stay",))
        self.refused("wiener", path, "--bin-width", "10", "--readout-max", "1,x",
                     text=("--readout-max",))

    def test_channel_statistics(self):
        path = self.write(self.tensors("wiener")[0])
        counts = golden.random_counts(4, 3, 50, 5)
        with h5py.File(self.folder / "counts.h5", "w") as f:
            f["counts"], f["narrow"] = counts, counts[..., :3]
        model = read_model(self.export("wiener", path, "--bin-width", "10", "--statistics",
                                       f"{self.folder}/counts.h5:/counts"))
        self.close(model.config["channels"]["mean"], counts.mean((0, 1)), 1e-12, "mean")
        self.close(model.config["channels"]["variance"], counts.reshape(-1, 5).var(0), 1e-12,
                   "variance")
        flat = counts.reshape(-1, 5)
        self.close(model.config["channels"]["clip"],
                   np.maximum(2 * flat.max(0), flat.mean(0) + 10 * flat.std(0)), 1e-12, "clip")
        self.assertNotIn("clip_low", model.config["channels"])
        self.assertNotIn("channels", read_model(self.export("wiener", path, "--bin-width",
                                                            "10")).config)
        self.refused("wiener", path, "--bin-width", "10", "--statistics",
                     f"{self.folder}/counts.h5:/narrow", text=("3 channels", "5"))

    @staticmethod
    def runs(model):
        channels = model.config["channels"]
        return channels.get("longest_silence"), channels["longest_repeat"]

    def test_longest_runs(self):
        """Trials do not go on in the next; real input has no silence of its own."""
        path = self.write(self.tensors("wiener")[0])
        counts = 1 + np.arange(4 * 50 * 5).reshape(4, 50, 5) % 7
        counts[0, 45:], counts[1, :4], counts[2, 10:13] = 0, 0, 0
        counts[3, 20:26], counts[3, 30:37] = 3, 0
        with h5py.File(self.folder / "counts.h5", "w") as f:
            f["counts"], f["flat"] = counts, counts.reshape(-1, 5)
        for dataset, kind, expected in (("counts", (), (7, 6)), ("flat", (), (9, 6)),
                                        ("counts", ("--input", "real"), (None, 7))):
            model = read_model(self.export("wiener", path, "--bin-width", "10", *kind,
                                           "--statistics", f"{self.folder}/counts.h5:/{dataset}"))
            self.assertEqual(self.runs(model), expected)
        flat, channels = counts.reshape(-1, 5), model.config["channels"]
        mean, reach = flat.mean(0), 10 * flat.std(0)
        self.close(channels["clip"], mean + np.maximum(2 * (flat.max(0) - mean), reach), 1e-12,
                   "clip")
        self.close(channels["clip_low"], mean - np.maximum(2 * (mean - flat.min(0)), reach), 1e-12,
                   "clip_low")

    def restated(self, model, *arguments, code=0):
        """What models/restate.py makes of a file and recording.h5, or what it says."""
        out = self.folder / "restated.safetensors"
        done = subprocess.run([golden.PYTHON, golden.MODELS / "restate.py", model, out, "--in",
                               f"{self.folder}/recording.h5:/counts", "--bin-ms", "10", *arguments],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr if code else read_model(out)

    def test_restated(self):
        """A finished file says what a new one would, and computes what it did."""
        path = self.write(self.tensors("wiener")[0])
        counts = golden.random_counts(7, 5, 40, 5)
        hand = np.cumsum(np.random.default_rng(3).normal(size=(5, 40, 2)), 1)
        hand[4] += 1000  # held out: neither its range nor the way to it counts
        with h5py.File(self.folder / "recording.h5", "w") as f:
            f["counts"], f["hand"] = counts, hand
            f["split/train"], f["split/valid"], f["split/test"] = [0, 1, 2], [3], [4]
        model = self.export("wiener", path, "--bin-width", "10")
        before, arguments = read_model(model), ("--split", "/split", "--behaviour",
                                                f"{self.folder}/recording.h5:/hand")
        after = self.restated(model, *arguments)
        for name, array in before.weights.items():
            self.assertTrue(np.array_equal(array, after.weights[name]), name)
        channels, flat = after.config["channels"], counts[:3].reshape(-1, 5)
        self.close(channels["clip"], np.maximum(2 * flat.max(0), flat.mean(0) + 10 * flat.std(0)),
                   1e-9, "clip")
        steps = np.abs(np.diff(hand[:3], axis=1)).max((0, 1))
        readout = after.config["outputs"]["readout"]
        self.close([r["slew"] for r in readout], 2 * steps / 0.01, 0.005 * 2 * steps.max() / 0.01,
                   "slew")
        self.close([[r["min"], r["max"]] for r in readout],
                   1.5 * np.stack([hand[:3].min((0, 1)), hand[:3].max((0, 1))], -1), 0.1, "limits")
        again = self.decode(self.folder / "restated.safetensors", counts)
        self.assertTrue(np.array_equal(again["flags"] & golden.FLAG_INPUT_CLIPPED,
                                       np.zeros_like(again["flags"])))
        with h5py.File(self.folder / "recording.h5", "r+") as f:
            f["counts"][...] = counts + 3
        said = self.restated(self.folder / "restated.safetensors", *arguments, code=2)
        self.assertIn("was not trained on this recording: mean of channel", said)

    def test_shared_doubled_and_unowned_bytes(self):
        """The format forbids all three, and nobody could say which tensor was meant."""
        path = self.write(self.tensors("wiener")[0])
        data = path.read_bytes()
        n = int.from_bytes(data[:8], "little")
        header, body = json.loads(data[8:8 + n]), data[8 + n:]

        def put(text, more=b""):
            text = text.encode()
            path.write_bytes(len(text).to_bytes(8, "little") + text + body + more)
        shared = json.loads(json.dumps(header))
        shared["weight"]["data_offsets"] = [at + 4 for at in shared["weight"]["data_offsets"]]
        put(json.dumps(shared))
        self.refused("wiener", path, "--bin-width", "10", text=("tensor weight",))
        put(json.dumps(header)[:-1] + ', "bias": ' + json.dumps(header["bias"]) + "}")
        self.refused("wiener", path, "--bin-width", "10", text=("names bias twice",))
        put(json.dumps(header), bytes(64))
        self.refused("wiener", path, "--bin-width", "10", text=("leave bytes", "end of the file"))
        put(json.dumps(header))
        self.export("wiener", path, "--bin-width", "10")

    def test_statements_that_are_none(self):
        """A configuration that is no table says nothing; a number with a unit is refused."""
        tensors, _ = self.tensors("wiener")
        state, path = {k: torch.tensor(v) for k, v in tensors.items()}, self.folder / "c.pt"
        for extra in ({"config": "configs/wiener.yaml"}, {"config": ["a"]}, {"latent": "wiener v2"},
                      {"config": {"MODEL": "wiener"}}):
            torch.save({"state_dict": state, **extra}, path)
            self.export("wiener", path, "--bin-width", "10")
        torch.save({"state_dict": state, "bin_ms": "20 ms"}, path)
        self.refused("wiener", path, "--bin-width", "10", text=("bin_ms", "20 ms"))
        torch.save({"state_dict": state, "latent": "{1"}, path)
        self.refused("wiener", path, "--bin-width", "10", text=("latent", "damaged"))

    def test_data_that_is_elsewhere(self):
        """HDF5 would read zeros for what was never written, or lies in a file that has gone."""
        tensors, path = self.tensors("wiener")[0], self.folder / "parts.h5"

        def put(make):
            with h5py.File(path, "w", libver="latest") as f:
                f["weights/bias"] = tensors["bias"]
                make(f["weights"], tensors["weight"])
        def some_chunks(group, array):
            d = group.create_dataset("weight", array.shape, "f4", chunks=(1, *array.shape[1:]))
            d[:1] = array[:1]
        def virtual(group, array):
            layout = h5py.VirtualLayout(array.shape, "f4")
            layout[:] = h5py.VirtualSource("gone.h5", "weight", array.shape)
            group.create_virtual_dataset("weight", layout)
        def all_chunks(group, array):
            group.create_dataset("weight", data=array, chunks=(1, *array.shape[1:]))
        for make, text in ((some_chunks, "never written"), (virtual, "another file"),
                           (lambda group, a: group.create_dataset("weight", a.shape), "never")):
            put(make)
            self.refused("wiener", path, "--bin-width", "10", text=("/weights/weight", text))
        put(all_chunks)
        self.export("wiener", path, "--bin-width", "10")

    def test_files_that_never_end(self):
        for path in ("/dev/zero", self.folder):
            self.refused("wiener", path, "--bin-width", "10", text=("expected a file",))

    def test_input_kind(self):
        path = self.write(self.tensors("wiener")[0])
        model = read_model(self.export("wiener", path, "--bin-width", "10", "--input", "real"))
        self.assertEqual(model.config["input"], "real")
        self.assertLess(model.selftest["selftest.input"].min(), 0)
        self.assertNotIn("input", read_model(self.export("wiener", path, "--bin-width",
                                                         "10")).config)

    def test_garbage(self):
        for name, data in (("empty", b""), ("text", b"hello, world"),
                           ("png", b"\x89PNG\r\n\x1a\n" + b"x" * 99), ("length", b"\xff" * 200),
                           ("header", (40).to_bytes(8, "little") + b"{" * 40)):
            path = self.folder / name
            path.write_bytes(data)
            for arch in ("ndt", "gru", "kalman", "wiener"):
                with self.subTest(f"{name} {arch}"):
                    self.refused(arch, path, "--bin-width", "10", "--modes", "causal")
        self.refused("gru", self.folder / "absent.pt", "--bin-width", "10", text=("absent.pt",))


if __name__ == "__main__":
    golden.main()

#!/usr/bin/python3
"""Brain-to-text: the public trainer's checkpoints through exporter and core against its class's
logits, against torch in random small networks, and what must be noticed: another session, order of
classes, order within a window, initial state, a reset that is missing."""
import os
import shutil
import subprocess
import unittest

import h5py
import numpy as np

try:
    import torch
except ImportError:
    torch = None

import family
import golden
import latentd
import stepping

from latent_models.b2t import arguments, reference
from latent_models.common import formats, safetensors
from latent_models.common.model_file import channel_table, read_exact, read_model, write_model
from latent_models.common.refusal import Refusal
from latent_models.stack import reference as stack_reference

SMALL = golden.KNOWN / "b2t_small"
LIMIT, EXACT = 2e-5, 1e-9
FIRST, STRIDE = 21, 4  # 8 neighbours of 9 taps, 13 bins of a window of 14
TRAP = "/tmp/latent-b2t-was-here"
ARGS = """
model:
  n_input_features: {c}
  n_units: {u}
  n_layers: {n_layers} # a comment
  patch_size: {window}
  patch_stride: {stride}
  input_network:
    n_input_layers: 1
    input_layer_sizes:
    - {c}
dataset:
  n_classes: {o}
  neural_dim: {c}
  data_transforms:
    smooth_data: {smooth}
    smooth_kernel_std: {sd}
    smooth_kernel_size: 100
  sessions:
{sessions}
"""
SIZES = {"c": 5, "u": 7, "n_layers": 2, "window": 6, "stride": 3, "o": 6, "smooth": "true",
         "sd": 1.3, "sessions": "  - p.2026.01.02\n  - p.2026.03.01\n  - p.2026.02.03"}
NAMES = "BLANK,a,b,c,d,|"


def tensors_of(sizes, n_sessions=3, seed=7, **changes):
    """Random weights by the public names."""
    c, u, o = sizes["c"], sizes["u"], sizes["o"]
    shapes = {"h0": (1, 1, u), "out.weight": (o, u), "out.bias": (o,)}
    for k in range(n_sessions):
        shapes.update({f"day_weights.{k}": (c, c), f"day_biases.{k}": (1, c)})
    for k in range(sizes["n_layers"]):
        shapes.update({f"gru.weight_ih_l{k}": (3 * u, u if k else c * max(sizes["window"], 1)),
                       f"gru.weight_hh_l{k}": (3 * u, u), f"gru.bias_ih_l{k}": (3 * u,),
                       f"gru.bias_hh_l{k}": (3 * u,)})
    return {**golden.random_tensors(seed, shapes), **changes}


class B2t(stepping.Stepping):
    def arguments(self, text=None, **changes):
        path = self.folder / "args.yaml"
        path.write_text(ARGS.format(**{**SIZES, **changes}) if text is None else text)
        return path

    def source(self, tensors, name="in"):
        path = self.folder / f"{name}.st"
        safetensors.write(path, tensors, {})
        return path

    def make(self, tensors, *options, name="model", **changes):
        return self.export("b2t", self.source(tensors), "--args", self.arguments(**changes),
                           "--labels", NAMES, *options, name=name)

    def steps(self, path, mode, counts, missing=(), **options):
        """As ever; stepping predicts, for which a file must know a mean."""
        model = read_exact(path)
        model.config.setdefault("channels", channel_table(
            [0] * model.config["n_channels"], [1] * model.config["n_channels"]))
        stepped = self.folder / "stepped.safetensors"
        write_model(stepped, model)
        return super().steps(stepped, mode, counts, missing, **options)

    def differs(self, found, expected):
        """More than any rounding."""
        self.assertGreater(np.nanmax(np.abs(found - expected)), 100 * LIMIT)


@unittest.skipUnless(SMALL.is_dir(), f"SKIP shared: {SMALL} is absent")
class Known(B2t):
    """The class's own logits: trial k is of session k."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with h5py.File(SMALL / "expected.h5") as f:
            cls.features, cls.logits = f["input/features"][()], f["expected/logits"][()]
            cls.taps = f["expected/taps"][()]
        cls.sessions = arguments.Arguments(SMALL / "args.yaml").sessions

    def known(self, *sessions):
        path = self.kept / "-".join(["known", *sessions])
        if not path.exists():
            options = [word for name in sessions for word in ("--session", name)]
            shutil.copy(self.export("b2t", SMALL / "best_checkpoint", "--args",
                                    SMALL / "args.yaml", *options), path)
        return path

    def steps_of(self, rows):
        """Rows [T, O] -> those of the steps; there are no others."""
        present = ~np.isnan(rows).all(-1)
        self.assertEqual(list(np.flatnonzero(present)), list(range(FIRST, len(rows), STRIDE)))
        return rows[present]

    def test_taps(self):
        self.assertTrue(np.array_equal(arguments.smoothing_taps(2, 100).astype(np.float32),
                                       self.taps))

    def test_logits(self):
        """Offline, bin by bin with a snapshot halfway, and the reference: the class's."""
        for k, session in enumerate(self.sessions):
            path = self.known(session)
            model = read_model(path)
            answer = reference.run(model.weights, model.config, self.features[k], "causal")
            other = stack_reference.run(model.weights, model.config, self.features[k], "causal")
            self.close(self.steps_of(answer["logits"]), self.logits[k], 1e-6, "reference")
            self.close(self.steps_of(answer["logits"]), self.steps_of(other["logits"]), EXACT,
                       "the references")
            offline = self.decode(path, self.features[k:k + 1])["logits"][0]
            self.close(self.steps_of(offline), self.logits[k], LIMIT, session)
            live = self.steps(path, "causal", self.features[k])["logits"]
            self.assertTrue(np.array_equal(live, offline, equal_nan=True), session)

    def test_another_session_is_noticed(self):
        for k, session in enumerate(self.sessions):
            for other in range(len(self.sessions)):
                if other != k:
                    found = self.steps(self.known(session), "causal", self.features[other])
                    self.differs(self.steps_of(found["logits"]), self.logits[other])

    def test_a_missing_reset_is_noticed(self):
        """Trials of one file begin anew; the same bins in one trial go on."""
        path, x = self.known(), self.features[2]
        apart = self.decode(path, np.stack([x, x]))["logits"]
        for trial in apart:
            self.close(self.steps_of(trial), self.logits[2], LIMIT, "a trial anew")
        together = self.decode(path, np.concatenate([x, x])[None])["logits"][0]
        self.differs(together[len(x) + FIRST::STRIDE], self.logits[2])

    def test_another_window_is_noticed(self):
        """Features outer, bins inner, as a relative of this network has them."""
        model = read_model(self.known())
        weight = model.weights["gru.weight_ih_l0"]
        n = model.config["n_channels"]
        model.weights["gru.weight_ih_l0"] = weight.reshape(len(weight), n, -1) \
            .transpose(0, 2, 1).reshape(weight.shape)
        found = reference.run(model.weights, model.config, self.features[2], "causal")
        self.differs(self.steps_of(found["logits"]), self.logits[2])
        self.no_core(model)

    def test_other_states_are_noticed(self):
        """A learnt state for the first layer alone; session matrices as torch's Linear has them."""
        for name, change in (("gru.h0", lambda a: a * (np.arange(len(a)) == 0)[:, None]),
                             ("session.weight", np.transpose), ("smooth.weight", np.roll)):
            model = read_model(self.known())
            model.weights[name] = change(model.weights[name], *([1] if change is np.roll else []))
            found = reference.run(model.weights, model.config, self.features[2], "causal")
            self.differs(self.steps_of(found["logits"]), self.logits[2])
            self.no_core(model)

    def no_core(self, model):
        """The known answer in the file tells."""
        path = self.folder / "altered.safetensors"
        write_model(path, model)
        with self.assertRaisesRegex(AssertionError, "known answer|selftest"):
            self.steps(path, "causal", self.features[0])

    def test_order_of_classes(self):
        """Blank first, silence last; another order is another answer."""
        model = read_model(self.known())
        labels = model.config["outputs"]["logits"]
        self.assertEqual((len(labels), labels[0], labels[1], labels[15], labels[39], labels[40]),
                         (41, "BLANK", "AA", "G", "ZH", "|"))
        self.assertEqual(sorted(labels[1:40]), labels[1:40])
        found = self.steps_of(self.steps(self.known(), "causal", self.features[2])["logits"])
        for order in (np.roll(np.arange(41), 1), [0, 40, *range(1, 40)]):
            self.differs(found[:, order], self.logits[2])

    def test_file(self):
        config = read_model(self.known()).config
        self.assertEqual((config["arch"], config["input"], config["bin_width_us"]),
                         ("stack", "real", 20000))
        self.assertEqual(config["licence"], "not stated")
        self.assertEqual(config["hyper"]["session"], "t15.2023.08.15")


@unittest.skipUnless(torch, "SKIP: no python3-torch")
class Torch(B2t):
    """Random networks of other sizes, as torch's layers compute a trial."""

    def trial(self, tensors, sizes, taps, day, x):
        """-> logits [K', O], float64."""
        t = {name: torch.tensor(a, dtype=torch.float64) for name, a in tensors.items()}
        x = torch.tensor(x, dtype=torch.float64)
        if taps is not None:
            kernel = torch.tensor(taps)[None, None]
            x = torch.nn.functional.conv1d(x.T[:, None], kernel)[:, 0].T
        z = torch.nn.functional.softsign(x @ t[f"day_weights.{day}"] + t[f"day_biases.{day}"])
        if sizes["window"]:
            z = z.unfold(0, sizes["window"], sizes["stride"]).transpose(1, 2).flatten(1)
        u, n = sizes["u"], sizes["n_layers"]
        gru = torch.nn.GRU(z.shape[1], u, n, batch_first=True).double()
        gru.load_state_dict({k[4:]: a for k, a in t.items() if k.startswith("gru.")})
        with torch.no_grad():
            h, _ = gru(z[None], t["h0"].expand(n, 1, u).contiguous())
            return (h[0] @ t["out.weight"].T + t["out.bias"]).numpy()

    def test_random_networks(self):
        for seed, changes in enumerate(({}, {"window": 0}, {"smooth": "false"},
                                        {"sd": 0.2}, {"sd": 2, "window": 3, "stride": 5},
                                        {"n_layers": 1, "stride": 1, "u": 4})):
            sizes = {**SIZES, **changes}
            tensors = tensors_of(sizes, seed=seed)
            x = np.random.default_rng(seed).normal(size=(70, sizes["c"])).astype(np.float32)
            day, name = seed % 3, ("p.2026.01.02", "p.2026.03.01", "p.2026.02.03")[seed % 3]
            with self.subTest(changes, session=name):
                path = self.make(tensors, "--session", name, **changes)
                taps = arguments.Arguments(self.folder / "args.yaml").taps
                expected = self.trial(tensors, sizes, taps, day, x)
                model = read_model(path)
                answer = reference.run(model.weights, model.config, x, "causal")["logits"]
                found = self.steps(path, "causal", x)["logits"]
                for rows, limit in ((answer, 1e-6), (found, LIMIT)):
                    present = ~np.isnan(rows).all(-1)
                    self.assertEqual(present.sum(), len(expected))
                    self.close(rows[present], expected, limit, str(changes))

    def test_gaps(self):
        """A bin that did not come is the training mean."""
        tensors = tensors_of(SIZES)
        x = np.random.default_rng(1).normal(size=(60, 5)).astype(np.float32)
        with h5py.File(self.folder / "x.h5", "w") as f:
            f["x"] = x
        path = self.make(tensors, "--statistics", f"{self.folder}/x.h5:/x")
        model = read_model(path)
        for missing in family.GAPS:
            expected = reference.run(model.weights, model.config, x, "causal", missing)["logits"]
            found = self.steps(path, "causal", x, missing)["logits"]
            self.assertTrue((np.isnan(found) == np.isnan(expected)).all())
            self.assertLess(np.nanmax(np.abs(found - expected)), LIMIT)

    def test_as_it_is_saved(self):
        """torch.save with everything beside it, and each wrapper's prefix: one model file."""
        tensors, files = tensors_of(SIZES), []
        for k, prefix in enumerate(("", "_orig_mod.", "module.", "module._orig_mod.")):
            path = self.folder / f"best_checkpoint{k}"
            torch.save({"model_state_dict": {prefix + n: torch.tensor(a)
                                             for n, a in tensors.items()},
                        "optimizer_state_dict": {"state": {0: {"exp_avg": torch.zeros(3)}},
                                                 "param_groups": [{"lr": 0.005}]},
                        "scheduler_state_dict": {"last_epoch": 3}, "val_PER": 0.1,
                        "val_loss": 1.25}, path)
            files.append(read_model(self.export("b2t", path, "--args", self.arguments(),
                                                "--labels", NAMES, name=f"m{k}")))
        for other in files[1:]:
            self.assertEqual(files[0].hyper, other.hyper)
            for name, array in files[0].weights.items():
                self.assertTrue(np.array_equal(array, other.weights[name]), name)


class Normalised(B2t):
    """window-trials as the live systems have it, against numpy alone, which keeps every bin."""

    N_TRIALS, N_BINS, LEAST, MOST = 24, 24, 10, 20

    def setUp(self):
        super().setUp()
        self.g = np.random.default_rng(12)
        training = self.g.normal(3, 2, (300, SIZES["c"])).astype(np.float32)
        with h5py.File(self.folder / "x.h5", "w") as f:
            f["x"] = training
        self.start = [training.mean(0, dtype=np.float64), training.std(0, dtype=np.float64)]
        self.path = self.make(tensors_of(SIZES), "--statistics", f"{self.folder}/x.h5:/x",
                              "--normalise", "window-trials,outlier=10")

    def features(self):
        """Trials whose mean and sd wander, with artefacts far and near the limit of 10 sd."""
        drift = self.g.normal(0, 1, (self.N_TRIALS, 1, SIZES["c"])).cumsum(0)
        x = self.g.normal(3 + drift, 2 + 0.1 * np.abs(drift),
                          (self.N_TRIALS, self.N_BINS, SIZES["c"]))
        x[2, 5, 1], x[3, 7, 2], x[9, 20, 0] = 1e6, -1e4, 24
        return x.astype(np.float32)

    def pooled(self, before):
        """mean, sd after these trials."""
        if not before:
            return self.start
        bins, n = np.concatenate(before[-self.MOST:]).astype(np.float64), len(before)
        found = bins.mean(0), bins.std(0)
        if n >= self.LEAST:
            return found
        return [(n * new + (self.LEAST - n) * old) / self.LEAST
                for new, old in zip(found, self.start)]

    def z_of(self, x):
        out, n_outliers = [], 0
        for k, rows in enumerate(x):
            mean, deviation = self.pooled(list(x[:k]))
            z = (rows.astype(np.float64) - mean) / (deviation + 1e-8)
            n_outliers += (np.abs(z) > 10).sum()
            out.append(np.where(np.abs(z) > 10, 0, z))
        return out, n_outliers

    def test_logits(self):
        """Offline, trial by trial, and the same bits again."""
        x, model = self.features(), read_model(self.path)
        zs, n_outliers = self.z_of(x)
        self.assertGreaterEqual(n_outliers, 2)
        bare = {k: v for k, v in model.config.items() if k != "normalise"}
        found = self.decode(self.path, x)["logits"]
        for k, z in enumerate(zs):
            expected = reference.run(model.weights, bare, z, "causal")["logits"]
            present = ~np.isnan(expected).all(-1)
            self.close(found[k][present], expected[present], LIMIT, f"trial {k}")
        again = self.decode(self.path, x)["logits"]
        self.assertTrue(np.array_equal(found, again, equal_nan=True))

    @unittest.skipIf(golden.IS_SANITIZED, "Python cannot load a library so built")
    def test_learns_at_the_ends_of_trials(self):
        """To 1e-9 of what the values are, bin by bin; an artefact is a bin like others."""
        x = self.features()
        with latentd.Decoder(self.path) as decoder:
            for k, rows in enumerate(x):
                before = decoder.normalisation
                for expected, found in zip(self.pooled(list(x[:k])), (before.mean, before.sd)):
                    self.assertLess((np.abs(found - expected) / np.maximum(1, expected)).max(),
                                    1e-9, f"trial {k}")
                for t, row in enumerate(rows):
                    self.assertEqual(decoder.normalisation.version, k)
                    is_last = t == len(rows) - 1
                    decoder.step(row, (latentd.Mark.TRIAL_START if t == 0 else 0)
                                 | (latentd.Mark.TRIAL_END if is_last else 0))
                self.assertEqual(decoder.normalisation.version, k + 1)

    def test_file(self):
        """What would clip an outlier before it is one is not in the file."""
        config = read_model(self.path).config
        self.assertEqual(config["normalise"]["outlier"], 10)
        self.assertFalse({"clip", "clip_low"} & set(config["channels"]))
        clipped = self.make(tensors_of(SIZES), "--statistics", f"{self.folder}/x.h5:/x",
                            "--normalise", "window-trials")
        self.assertIn("clip", read_model(clipped).config["channels"])


class Around(B2t):
    def test_sessions(self):
        """The newest by its date, wherever it stands; several in one file, each by its name."""
        tensors = tensors_of(SIZES)
        for options, session, sessions in (
                ((), "p.2026.03.01", ["p.2026.03.01"]),
                (("--session", "p.2026.01.02"), "p.2026.01.02", ["p.2026.01.02"]),
                (("--session", "p.2026.02.03", "--session", "p.2026.01.02"), "p.2026.01.02",
                 ["p.2026.02.03", "p.2026.01.02"])):
            hyper = read_model(self.make(tensors, *options)).hyper
            self.assertEqual((hyper["session"], hyper["sessions"]), (session, sessions))
        undated = "  - alpha\n  - beta\n  - 7"
        self.assertEqual(read_model(self.make(tensors, sessions=undated)).hyper["session"], "7")
        x = np.random.default_rng(2).normal(size=(40, 5)).astype(np.float32)
        names = ("p.2026.02.03", "p.2026.01.02")
        alone = [self.steps(self.make(tensors, "--session", name), "causal", x)["logits"]
                 for name in names]
        beside = self.make(tensors, *(word for name in names for word in ("--session", name)))
        for name, logits in zip(names, alone):
            found = self.steps(beside, "causal", x, session=name)["logits"]
            self.assertTrue(np.array_equal(found, logits, equal_nan=True), name)

    def test_licence(self):
        """One warning where nobody says it, none where somebody does."""
        path, args = self.source(tensors_of(SIZES)), self.arguments()
        command = (golden.PYTHON, golden.MODELS / "b2t" / "export.py", path,
                   self.folder / "out.safetensors", "--args", args, "--labels", NAMES)
        for options, n_lines, licence in (((), 1, "not stated"), (("--licence", "CC0"), 0, "CC0")):
            done = subprocess.run([*map(str, command), *options], capture_output=True,
                                         text=True, check=True)
            self.assertEqual(len(done.stderr.splitlines()), n_lines, done.stderr)
            self.assertEqual(read_model(self.folder / "out.safetensors").config["licence"], licence)

    def test_precisions(self):
        """Rounded weights move no more than they should."""
        tensors = tensors_of(SIZES)
        x = np.random.default_rng(3).normal(size=(60, 5)).astype(np.float32)
        plain = self.steps(self.make(tensors), "causal", x)["logits"]
        for precision, limit in (("bf16", 0.02), ("int8", 0.05)):
            found = self.steps(self.make(tensors, "--quantize", precision), "causal", x)["logits"]
            self.assertLess(np.nanmax(np.abs(found - plain)), limit * np.nanmax(np.abs(plain)))


class Refused(B2t):
    def no(self, *words, tensors=None, text=None, source=None, options=("--labels", NAMES),
           **changes):
        """One line, exit code 2, nothing written."""
        source = source or self.source(tensors_of(SIZES) if tensors is None else tensors)
        with self.subTest(words=words):
            with self.assertRaises(Refusal) as caught:
                self.export("b2t", source, "--args", self.arguments(text, **changes), *options,
                            name="refused")
            self.assertFalse((self.folder / "refused.safetensors").exists())
            for word in words:
                self.assertIn(word, str(caught.exception))

    def test_arguments(self):
        self.no("no YAML", text="model: [1, 2")
        self.no("no YAML", text="a: !!python/object/apply:os.system ['touch " + TRAP + "']")
        self.no("no YAML", text="a: \x07")
        self.no("no YAML", text="[" * 5000)
        self.no("anchors", text="a: &a [x, x]\nb: [*a, *a]\n")
        self.no("sections model and dataset", text="- 1\n")
        self.no("more than", text="# " + "x" * (1 << 20))
        self.no("dataset.sessions", text="model: {}\ndataset: {}\n")
        self.no("no section model", text="model: 3\ndataset: {sessions: [a]}\n")
        self.no("model.patch_size", "whole number", window=1.5)
        self.no("model.patch_size", "single value", window="[14]")
        self.no("model.patch_stride", stride=0)
        self.no("model.patch_stride", stride="${x.y}")
        self.no("smooth_kernel_std", sd=0)
        self.no("smooth_kernel_std", "no tap", text=ARGS.replace("size: 100", "size: 1000").format(
            **{**SIZES, "sd": 100}))
        self.no("smooth_data", smooth="often")
        self.no("twice", sessions="  - a\n  - a\n  - b")
        self.no("list of their names", sessions="  - a\n  - [b]\n  - c")
        self.no("bytes", sessions="  - a\n  - " + "b" * 65 + "\n  - c")
        self.no("n_units 8", "have 7", text=ARGS.format(**{**SIZES, "u": 8}))
        self.no("n_layers 3", "have 2", text=ARGS.format(**{**SIZES, "n_layers": 3}))
        self.no("n_classes", text=ARGS.format(**{**SIZES, "o": 41}))
        self.no("day_weights.* of 3", "names 2", sessions="  - a\n  - b")
        self.no("gru.weight_ih_l0", "shape", window=7)
        self.assertFalse(os.path.exists(TRAP))

    def test_options(self):
        self.no("--session nobody", "p.2026.01.02", options=("--labels", NAMES, "--session",
                                                             "nobody"))
        self.no("41 labels", "6 classes", options=())
        self.no("each once", options=("--labels", "a,a,b,c,d,e"))
        self.no("mode trial", options=("--labels", NAMES, "--modes", "trial"))

    def test_checkpoints(self):
        """Damaged, of something else, of another size: what it is."""
        whole = tensors_of(SIZES)
        for name in whole:
            if not name.startswith("gru.bias") and name != "out.bias":
                left = {k: a for k, a in whole.items() if k != name}
                is_count = name == "gru.weight_hh_l1"  # then there is one layer
                self.no("n_layers 2" if is_count else name.split(".")[0], tensors=left)
            self.no(name, "finite", tensors={**whole, name: whole[name] * np.float32(np.nan)})
            self.no(name, tensors={**whole, name: whole[name][..., None]})
        self.no("bidirectional", tensors={**whole, "gru.weight_ih_l0_reverse": np.ones(
            (21, 30), np.float32)})
        self.no("no place", tensors={**whole, "head.weight": np.ones((2, 2), np.float32)})
        self.no("day_weights", tensors={"fc.weight": np.ones((2, 2), np.float32)})

    def test_damaged_bytes(self):
        """A checkpoint cut or changed anywhere is refused in one line, or read as it lies."""
        if not SMALL.is_dir():
            self.skipTest(f"SKIP shared: {SMALL} is absent")
        data, path = (SMALL / "best_checkpoint").read_bytes(), self.folder / "damaged"
        for n in (0, 1, 100, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:n])
            self.refused("b2t", path, "--args", SMALL / "args.yaml")

    def test_tensorflow(self):
        for name, data in (("ckpt-7.index", b"x" * 60 + formats.TABLE_END),
                           ("ckpt-7.data-00000-of-00001", bytes(range(1, 200))),
                           ("checkpoint", b'model_checkpoint_path: "ckpt-7"\n')):
            path = self.folder / name
            path.write_bytes(data)
            self.no("TensorFlow", "T12", source=path)


if __name__ == "__main__":
    golden.need_binaries("latent-decode", "golden_steps")
    golden.main()

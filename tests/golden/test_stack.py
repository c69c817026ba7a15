#!/usr/bin/python3
"""Stacks: random networks of every kind of layer against torch in float64, bin by bin, and
everything around them: delays, strides, gaps, snapshots, precisions, mutations, refusals.

LATENT_STACK_NETWORKS=1000 draws more networks, LATENT_STACK_SEED=N from another seed on."""
import collections
import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from unittest import mock

import h5py
import numpy as np
import torch

import family
import golden
import stack_making
import stepping

from latent_models.common.model_file import read_model
from latent_models.common.refusal import Refusal
from latent_models.stack import export, nodes, reference

N_NETWORKS = int(os.environ.get("LATENT_STACK_NETWORKS", 40))
FIRST_SEED = int(os.environ.get("LATENT_STACK_SEED", 20261130))
N_BINS = 90
LEAST_DRAWN = 3
EXACT, OWN, TIMES = 1e-10, 1e-6, 4  # of the reference; of the core, and of torch's own float32
FLAG_WARMUP, FLAG_BETWEEN, FLAG_LIMITED = golden.FLAG_WARMUP, 1 << 15, 1 << 11
MEAN = 0.8
GROUPS = ("latents", "rates", "readout", "logits")


def core_kinds():
    """The rows of core/layers/kinds.c."""
    text = (golden.ROOT / "core" / "layers" / "kinds.c").read_text()
    return set(re.findall(r'^    \{"(\w+)", ', text, re.MULTILINE))


def rows_of(item, delay, n_bins):
    """What torch gives, in the bins in which a stream shows it: item k describes bin start + k
    stride and comes `delay` later -> [T, W], NaN elsewhere."""
    out = np.full((n_bins, item.y.shape[1]), np.nan)
    bins = item.start + item.stride * np.arange(len(item.y)) + delay
    out[bins[bins < n_bins]] = item.y.double().numpy()[bins < n_bins]
    return out


class Stack(family.Family):
    arch, answer = "stack", staticmethod(reference.run)

    def model_of(self, content, tensors, *options, name="model", mean=True):
        """The exporter, in this process -> path of the model file."""
        facts = {"hyper": {}, "bin_width_us": 20000}
        if mean:
            n = content["n_channels"]
            facts["channels"] = {"names": [f"c{i}" for i in range(n)], "mean": [MEAN] * n,
                                 "variance": [MEAN] * n}
        source = self.checkpoint(tensors, name=name + "-in", **facts)
        listed, out = self.folder / f"{name}.json", self.folder / f"{name}.safetensors"
        listed.write_text(json.dumps(content))
        arguments = ["models/stack/export.py", str(source), str(out), "--list", str(listed),
                     *map(str, options)]
        with mock.patch.object(sys, "argv", arguments), redirect_stdout(io.StringIO()):
            export.main()
        return out

    def counts(self, drawing, seed=5, n_bins=N_BINS):
        return np.random.default_rng(seed).poisson(MEAN, (n_bins, drawing.n_channels))

    def compare(self, found, expected, limit, what):
        """Rows [T, W] that are alike, gaps included."""
        present = ~np.isnan(expected).all(-1)
        self.assertGreater(present.sum(), 3, what)
        self.assertTrue((np.isnan(found).all(-1) == ~present).all(), f"{what}: other bins")
        difference = np.abs(found[present] - expected[present])
        self.assertTrue((difference <= limit).all(), f"{what}: largest difference "
                                                     f"{difference.max():.3g}, limit {limit:.3g}")


class Compared(Stack):
    def check_core(self, path, trials, counts, timing, what):
        """The stream, with a snapshot halfway, against torch's float64; the rates as they are
        published."""
        wide, narrow = trials
        delay, absent = timing
        found = self.steps(path, "causal", counts)
        for group, item in wide.items():
            expected = rows_of(item, delay, len(counts))
            rounded = rows_of(narrow[group], delay, len(counts))
            own = np.nanmax(np.abs(rounded - expected))
            expected[absent] = np.nan
            if group == "rates":
                expected = np.maximum(expected, 0)
            if group == "readout":
                found[group][absent] = np.nan
            self.compare(found[group], expected,
                         OWN * max(1, np.nanmax(np.abs(expected))) + TIMES * own,
                         f"{what}, core, {group}")
        between = found["flags"] & FLAG_BETWEEN != 0
        warm = found["flags"] & FLAG_WARMUP != 0
        self.assertTrue(((between | warm) == absent).all(), what)
        self.assertFalse((between & warm).any(), what)


class Networks(Compared):
    def check_reference(self, drawing, trial, counts, what):
        """float64 numpy against torch's float64, with the weights as they were drawn -> delay."""
        built = nodes.Builder("in", "list", drawing.tensors, drawing.content())
        built.build(drawing.n_channels)
        config = {"hyper": {**drawing.content(), "nodes": built.nodes}}
        answer = reference.run(built.weights, config, counts, "causal")
        signals = reference.network(built.weights, config["hyper"], np.asarray(counts, float))
        delay = max(signals[drawing.outputs[g]].delay for g in GROUPS if g in drawing.outputs)
        for group, item in trial.items():
            expected = rows_of(item, delay, len(counts))
            expected[answer["absent"]] = np.nan  # outputs begin together
            found = answer[group].copy()
            found[answer["absent"]] = np.nan
            self.compare(found, expected, EXACT * max(1, np.nanmax(np.abs(expected))),
                         f"{what}, reference, {group}")
        return delay, answer["absent"]

    def check_one(self, seed, seen):
        drawing = stack_making.Drawing(seed, seen)
        what = f"seed {seed}: {', '.join(n['kind'] for n in drawing.nodes)}"
        counts = self.counts(drawing, seed)
        wide = stack_making.Twin(drawing, torch.float64).trial(counts)
        narrow = stack_making.Twin(drawing, torch.float32).trial(counts)
        timing = self.check_reference(drawing, wide, counts, what)
        path = self.model_of(drawing.content(), drawing.tensors)
        self.check_core(path, (wide, narrow), counts, timing, what)
        self.check_bits(path, counts, what)

    def check_bits(self, path, counts, what):
        """Moved to another decoder at any bin: the same bits."""
        first = self.steps(path, "causal", counts, save_at=0)
        for at in (1, 7, N_BINS - 2):
            again = self.steps(path, "causal", counts, save_at=at)
            for group in GROUPS:
                self.assertTrue(np.array_equal(first[group], again[group], equal_nan=True),
                                f"{what}, saved at {at}, {group}")

    def test_random_networks(self):
        seen = collections.Counter()
        print(f"seeds {FIRST_SEED} to {FIRST_SEED + N_NETWORKS - 1}")
        for seed in range(FIRST_SEED, FIRST_SEED + N_NETWORKS):
            with self.subTest(seed=seed):
                self.check_one(seed, seen)
        for kind in core_kinds() | {"batch_norm"}:
            self.assertGreaterEqual(seen[kind], LEAST_DRAWN, kind)

    def test_the_kinds_are_the_core_s(self):
        self.assertEqual(core_kinds() | {"batch_norm"}, set(nodes.KINDS))
        text = (golden.ROOT / "core" / "layers" / "README.md").read_text()
        listed = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", text,
                                                               re.MULTILINE))))
        self.assertEqual(core_kinds() - listed, set(), "not in core/layers/README.md")


def small(*listed, outputs=None, **more):
    """A list of nodes, each reading the one before."""
    built, before = [], "input"
    for i, node in enumerate(listed):
        built.append({"name": f"n{i}", "inputs": [before], **node})
        before = built[-1]["name"]
    return {"nodes": built, "outputs": outputs or {"readout": before}, "n_channels": 4, **more}


def normal(seed, **shapes):
    g = np.random.default_rng(seed)
    return {name.replace("__", "."): g.normal(size=shape).astype(np.float32) * 0.5
            for name, shape in shapes.items()}


GRU = normal(1, n0__weight_ih_l0=(24, 4), n0__weight_hh_l0=(24, 8), n0__bias_ih_l0=(24,),
             n0__bias_hh_l0=(24,))
CONV = normal(2, n0__weight=(8, 4, 5), n0__bias=(8,))


class Around(Stack):
    """One small network for each thing."""

    def bins(self, seed=3, n_bins=40):
        return np.random.default_rng(seed).poisson(MEAN, (n_bins, 4))

    def test_gaps(self):
        """A bin that did not come is the training mean; without one a gap resets."""
        path = self.model_of(small({"kind": "gru"}, {"kind": "tanh"}, {"kind": "softplus"},
                                   outputs={"latents": "n1", "rates": "n2", "link": "linear",
                                            "readout": "n0"}), GRU)
        model, counts = read_model(path), self.bins()
        for missing in family.GAPS:
            expected = reference.run(model.weights, model.config, counts, "causal", missing)
            found = self.steps(path, "causal", counts, missing)
            for group in GROUPS[:3]:
                self.compare(found[group], expected[group], 1e-5, f"{missing}, {group}")
        bare = self.model_of(small({"kind": "gru"}), GRU, mean=False)
        with self.assertRaisesRegex(AssertionError, "training mean"):
            self.steps(bare, "causal", counts)

    def test_trials_begin_anew(self):
        """No ring, no state, no learnt initial state goes on from one trial to the next."""
        layers = ({"kind": "conv1d", "look_ahead": 1}, {"kind": "ewma", "decay": 0.9},
                  {"kind": "gru"}, {"kind": "lstm"}, {"kind": "rnn"}, {"kind": "taps"},
                  {"kind": "window", "items": 3, "stride": 2})
        tensors = {**CONV, **normal(3, n2__weight_ih_l0=(12, 8), n2__weight_hh_l0=(12, 4),
                                    n2__h0=(1, 4), n3__weight_ih_l0=(16, 4),
                                    n3__weight_hh_l0=(16, 4), n3__h0=(1, 4), n3__c0=(1, 4),
                                    n4__weight_ih_l0=(4, 4), n4__weight_hh_l0=(4, 4),
                                    n5__weight=(3,))}
        path = self.model_of(small(*layers), tensors)
        counts = self.bins()
        decoded = self.decode(path, np.stack([counts, self.bins(9), counts]))["readout"]
        self.assertTrue(np.array_equal(decoded[0], decoded[2], equal_nan=True))
        self.assertFalse(np.array_equal(decoded[0], decoded[1], equal_nan=True))

    def test_a_stride_holds_the_readout(self):
        """Latents come every third bin, the readout stays between."""
        content = small({"kind": "conv1d", "stride": 3}, outputs={"readout": "n0",
                                                                  "latents": "n0"})
        found = self.steps(self.model_of(content, CONV), "causal", self.bins())
        absent = np.isnan(found["latents"]).all(-1)
        self.assertEqual(list(np.flatnonzero(~absent)), list(range(0, 40, 3)))
        self.assertTrue((found["flags"][absent] == FLAG_BETWEEN).all())
        for t in range(40):
            self.assertTrue((found["readout"][t] == found["latents"][t - t % 3]).all())

    def test_between_the_slew_runs_on(self):
        content = small({"kind": "conv1d", "stride": 4})
        path = self.model_of(content, {"n0.weight": np.full((1, 4, 1), 5, np.float32)},
                             "--readout-slew", "50")
        readout = self.steps(path, "causal", np.full((12, 4), 2))["readout"][:, 0]
        self.assertTrue(np.allclose(readout, np.minimum(40, 1 + np.arange(12))), readout)

    def test_logits(self):
        """Scores with labels, of bins that have some alone: none while it warms up, none between,
        no limits, no neutral."""
        content = small({"kind": "window", "items": 3, "stride": 2}, {"kind": "dense"},
                        outputs={"logits": "n1"}, labels=["a", "b"])
        path = self.model_of(content, normal(7, n1__weight=(2, 12)))
        counts = self.bins()
        found = self.steps(path, "causal", counts)
        absent = np.isnan(found["logits"]).all(-1)
        self.assertEqual(list(np.flatnonzero(~absent)), list(range(2, 40, 2)))
        self.assertEqual(list(np.flatnonzero(found["flags"] & FLAG_WARMUP)), [0, 1])
        model = read_model(path)
        expected = reference.run(model.weights, model.config, counts, "causal")["logits"]
        self.compare(found["logits"], expected, 1e-5, "logits")
        with h5py.File(self.decoded_file(path, counts)) as f:
            self.assertEqual(list(f["logits"].attrs["labels"]), ["a", "b"])
            self.assertTrue(np.array_equal(f["logits"][0].astype(float), found["logits"],
                                           equal_nan=True))

    def decoded_file(self, path, counts):
        self.decode(path, counts[None])
        return self.folder / "decoded.h5"

    def test_sessions(self):
        """One file, the weights of a decoder's own session, moved by snapshot within it alone."""
        content = small({"kind": "session"}, {"kind": "gru"}, outputs={"readout": "n1"},
                        sessions=["day 1", "day.2", "3"], session="day.2")
        path = self.model_of(content, {**normal(8, n0__weight=(3, 5, 4), n0__bias=(3, 5)),
                                       **normal(9, n1__weight_ih_l0=(12, 5),
                                                n1__weight_hh_l0=(12, 4))})
        model, counts, found = read_model(path), self.bins(), {}
        for session in content["sessions"]:
            model.config["hyper"]["session"] = session
            expected = reference.run(model.weights, model.config, counts, "causal")["readout"]
            found[session] = self.steps(path, "causal", counts, session=session)["readout"]
            self.compare(found[session], expected, 1e-5, session)
            decoded = self.decode(path, counts[None], session=session)["readout"][0]
            self.assertTrue(np.array_equal(decoded.astype(float), found[session]))
        self.assertGreater(np.abs(found["3"] - found["day 1"]).max(), 0.01)
        for name, text in (("", "several sessions"), ("4", '"4" is not among')):
            command = [stepping.STEPS, path, "causal", "/dev/null", self.folder / "none", 0,
                       *([name] if name else [])]
            result = subprocess.run([str(c) for c in command], capture_output=True, text=True)
            self.assertEqual(result.returncode, 1)
            self.assertIn(text, result.stderr)
            self.assertIn("day 1, day.2, 3", result.stderr)

    def test_sessions_of_a_file(self):
        """A damaged list is refused; without a name the known answer is of the first."""
        content = small({"kind": "session"}, sessions=["a", "b"], session="b")
        path = self.model_of(content, normal(8, n0__weight=(2, 5, 4)))

        def first(model):
            del model.hyper["session"]

        self.refused_by_core(path, first, "known answer")
        for keys, word in (({"session": "c"}, "session"), ({"sessions": ["b", "b"]}, "once"),
                           ({"sessions": ["a", ""]}, "item 1"), ({"sessions": []}, "sessions"),
                           ({"sessions": ["a", "b", "c"]}, "n0.weight"),
                           ({"sessions": ["b", "a" * 65]}, "item 1"),
                           ({"session": "a"}, "known answer")):
            self.refused_by_core(path, lambda m, keys=keys: m.hyper.update(keys), word)

    def test_labels(self):
        for labels in ([], ["a"], ["a", "a"], ["a", 3], ["a", "b\x1b"]):
            content = small({"kind": "dense"}, outputs={"logits": "n0"}, labels=labels)
            with self.subTest(labels), self.assertRaises(Refusal):
                self.model_of(content, normal(7, n0__weight=(2, 4)))

    def test_negative_rates_are_limited(self):
        """Of a linear link: shown as none, and said; the known answer has them as they are."""
        content = small({"kind": "dense"}, outputs={"rates": "n0", "link": "linear"})
        path = self.model_of(content, {"n0.weight": np.diag([1, -1, 1, 1]).astype(np.float32)})
        found = self.steps(path, "causal", self.bins())
        counts = self.bins()
        self.compare(found["rates"], np.where([1, 0, 1, 1], counts, 0.0), 1e-6, "rates")
        self.assertTrue(((found["flags"] & FLAG_LIMITED != 0) == (counts[:, 1] > 0)).all())
        self.assertLess(read_model(path).selftest["selftest.causal.rates"].min(), 0)

    def test_precisions(self):
        """Rounded at load and stored: within what the known answer allows."""
        layers = ({"kind": "gru"}, {"kind": "conv1d"}, {"kind": "conv1d", "groups": 4},
                  {"kind": "lstm"}, {"kind": "dense"})
        tensors = {**GRU, **normal(4, n1__weight=(8, 8, 3), n2__weight=(8, 2, 3),
                                   n3__weight_ih_l0=(32, 8), n3__weight_hh_l0=(32, 8),
                                   n3__h0=(1, 8), n4__weight=(2, 8))}
        whole = self.steps(self.model_of(small(*layers), tensors), "causal", self.bins())
        for options in (("--precisions", "bf16,int8"), ("--quantize", "bf16"),
                        ("--quantize", "int8")):
            path = self.model_of(small(*layers), tensors, *options)
            found = self.steps(path, "causal", self.bins())["readout"]
            worst = np.abs(found - whole["readout"]).max()
            self.assertGreater(worst, 0, options)
            self.assertLess(worst, 0.05, options)

    def test_mutations(self):
        """A file that was altered does not open: its known answer is that of the network."""
        path = self.model_of(small({"kind": "gru"}, {"kind": "gelu"}, {"kind": "softmax"}), GRU)
        rows = np.r_[8:16, 0:8, 16:24]

        def exchange(name, order):
            return family.put(name, lambda a: a[order])

        def node(i, **keys):
            return lambda model: model.hyper["nodes"][i].update(keys)

        self.refused_by_core(path, exchange("n0.weight_ih_l0", rows), "known answer")
        self.refused_by_core(path, exchange("n0.weight_hh_l0", rows), "known answer")
        self.refused_by_core(path, family.put("n0.weight_hh_l0", lambda a: a.reshape(
            3, 8, 8).transpose(0, 2, 1).reshape(24, 8)), "known answer")
        self.refused_by_core(path, node(0, reset="before"), "known answer")
        self.refused_by_core(path, node(0, gate="hard_sigmoid"), "known answer")
        self.refused_by_core(path, node(2, kind="sigmoid"), "known answer")
        path = self.model_of(small({"kind": "conv1d", "look_ahead": 2, "dilation": 2},
                                   {"kind": "ewma", "decay": 0.5}), CONV)
        for keys in ({"look_ahead": 1}, {"look_ahead": 3}, {"dilation": 1}, {"padding": "none"},
                     {"stride": 2}):
            self.refused_by_core(path, node(0, **keys), "known answer")
        self.refused_by_core(path, node(1, corrected=True), "known answer")
        self.refused_by_core(path, family.put("n0.weight", lambda a: a.reshape(
            8, 5, 4)[:, ::-1].reshape(8, 20)), "known answer")


class Wrong(Compared):
    """The comparison with torch finds what the known answer, of the same wrong list, would not."""

    def fails(self, content, tensors, changed, altered=None):
        drawing = mock.Mock(tensors=tensors, nodes=content["nodes"], outputs=content["outputs"])
        counts = np.random.default_rng(8).poisson(MEAN, (40, 4))
        trials = [stack_making.Twin(drawing, dtype).trial(counts)
                  for dtype in (torch.float64, torch.float32)]
        absent = np.zeros(40, bool)
        self.check_core(self.model_of(content, tensors), trials, counts, (0, absent), "as it is")
        path = self.model_of(changed, altered or tensors)
        with self.assertRaisesRegex(AssertionError, "other bins|largest difference"):
            self.check_core(path, trials, counts, (0, absent), "changed")

    def test_the_wrong_gelu(self):
        self.fails(*(small({"kind": "dense"}, {"kind": kind}) if kind else
                     {"n0.weight": np.eye(4, dtype=np.float32)}
                     for kind in ("gelu", None, "gelu_tanh")))

    def test_gates_exchanged(self):
        order = np.r_[8:16, 0:8, 16:24]
        content = small({"kind": "gru", "reset": "after", "gate": "sigmoid"})
        self.fails(content, GRU, content, {**GRU, "n0.weight_ih_l0": GRU["n0.weight_ih_l0"][order]})

    def test_a_delay_off_by_one(self):
        content = [small({"kind": "conv1d", "stride": 1, "dilation": 1, "groups": 1,
                          "padding": "zeros", "look_ahead": ahead}) for ahead in (0, 1)]
        self.fails(content[0], CONV, content[1])

    def test_the_wrong_axis(self):
        square = normal(6, n0__weight=(4, 4))
        content = small({"kind": "dense"})
        self.fails(content, square, content, {"n0.weight": square["n0.weight"].T})


class Refused(Stack):
    """What is wrong in a list, by the exporter; in a file, by the core."""

    def test_lists(self):
        dense = {"n0.weight": np.ones((2, 4), np.float32)}
        for content, words in (
                (small({"kind": "attention"}), "no layer of kind"),
                (small({"kind": "dense", "taps": 2}), "unknown key"),
                (small({"kind": "dense", "inputs": ["n0"]}), "nodes before"),
                (small({"kind": "dense", "name": "a.b"}), "name"),
                (small({"kind": "dense", "name": "input"}), "name"),
                (small({"kind": "dense"}, outputs={"rates": "n0"}), "link"),
                (small({"kind": "dense"}, outputs={"readout": "n9"}), "no node"),
                (small({"kind": "dense"}, outputs={"speed": "n0"}), "speed"),
                (small({"kind": "gru"}), "weight_ih_l"),
                (small({"kind": "dense"}, {"kind": "glu"}, {"kind": "glu"}), "even"),
                (small({"kind": "scale", "factor": "x"}), "number"),
                (small({"kind": "relu"}), "is of no node")):
            with self.subTest(words), self.assertRaisesRegex(Refusal, words):
                self.model_of(content, dense)

    def test_bidirectional(self):
        extra = {"n0.weight_hh_l0_reverse": np.zeros((24, 8), np.float32)}
        with self.assertRaisesRegex(Refusal, "bidirectional"):
            self.model_of(small({"kind": "gru"}), {**GRU, **extra})

    def test_files(self):
        path = self.model_of(small({"kind": "gru"}, {"kind": "window", "items": 2}), GRU)

        def node(i, **keys):
            return lambda model: model.hyper["nodes"][i].update(keys)

        def outputs(**keys):
            return lambda model: model.hyper.update(outputs=keys)

        def many(model):
            model.hyper["nodes"] *= 200

        self.refused_by_core(path, node(0, inputs=["n1"]), "stands before it", "n1")
        self.refused_by_core(path, node(0, inputs=["n0"]), "stands before it")
        self.refused_by_core(path, node(0, inputs=[]), "inputs", "1 items")
        self.refused_by_core(path, node(0, inputs=[3]), "stands before it")
        self.refused_by_core(path, node(0, kind="ndt"), "core/layers/README.md", "ndt")
        self.refused_by_core(path, node(0, width=9), "n0.weight_ih_l0", "shape")
        self.refused_by_core(path, node(0, width=10 ** 9), "width")
        self.refused_by_core(path, node(0, speed=1), "unknown key")
        self.refused_by_core(path, node(1, name="n0"), "each once")
        self.refused_by_core(path, node(1, name="n.0"), "letters")
        self.refused_by_core(path, node(1, stride=4096), "known answer")
        self.refused_by_core(path, outputs(readout="n7"), "stands before it")
        self.refused_by_core(path, outputs(), "expected a node")
        self.refused_by_core(path, outputs(rates="n0"), "link")
        self.refused_by_core(path, many, "1 to 256")

    def test_hostile_growth(self):
        """Widths that double from node to node, and delays that add up, end early."""
        doubling = [{"kind": "concat", "name": "a", "inputs": ["input", "input"]}]
        for i in range(40):
            doubling.append({"kind": "concat", "name": f"d{i}",
                             "inputs": [doubling[-1]["name"]] * 2})
        path = self.model_of(small({"kind": "dense"}), {"n0.weight": np.ones((2, 4), np.float32)})

        def grow(model):
            model.hyper["nodes"] = doubling
            model.weights.clear()

        def wait(model):
            model.hyper["nodes"] = [
                {"kind": "conv1d", "name": f"c{i}", "inputs": [f"c{i - 1}" if i else "input"],
                 "width": 1, "taps": 4096, "dilation": 1, "groups": 1, "stride": 64,
                 "look_ahead": 4000, "padding": "zeros"} for i in range(9)]
            model.weights.clear()
            model.weights.update({f"c{i}.weight": np.zeros((1, 4096 * (1 if i else 4)), np.float32)
                                  for i in range(9)})
            model.weights.update({f"c{i}.bias": np.zeros(1, np.float32) for i in range(9)})

        self.refused_by_core(path, grow, "width of at most 65536")
        self.refused_by_core(path, wait, "at most 100000 bins")

    def test_meetings(self):
        """What does not come in the same bins cannot be added."""
        content = {"n_channels": 4, "outputs": {"readout": "sum"}, "nodes": [
            {"kind": "window", "name": "slow", "inputs": ["input"], "items": 1, "stride": 2},
            {"kind": "add", "name": "sum", "inputs": ["slow", "input"]}]}
        with self.assertRaisesRegex(Refusal, "same bins"):
            self.model_of(content, {})

    def test_both_z_scores(self):
        """A first layer that standardises, in a file that normalises."""
        tensors = {"n0.mean": np.ones(4, np.float32), "n0.sd": np.ones(4, np.float32)}
        path = self.model_of(small({"kind": "standardise"}), tensors, "--normalise", "fixed")
        result = self.opened(path)
        self.assertIn("twice", result)

    def opened(self, path):
        command = [stepping.STEPS, path, "causal", "/dev/null", self.folder / "none", "0"]
        return subprocess.run([str(c) for c in command], capture_output=True, text=True).stderr


if __name__ == "__main__":
    family.main()

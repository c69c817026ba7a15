#!/usr/bin/python3
"""Windows that stride, whose products are made item by item in the bins before: the same values as
in one piece, and the same bits wherever a stream is moved to another decoder."""
import numpy as np

import family
import test_stack

from latent_models.common.model_file import read_model
from latent_models.stack import reference

N_BINS = 60
C, H = 5, 7  # neither fills whole units nor pairs


def cells(seed, n_in, n_layers=2):
    return test_stack.normal(seed, **{
        f"n1__{what}_l{k}": shape for k in range(n_layers)
        for what, shape in (("weight_ih", (3 * H, H if k else n_in)), ("weight_hh", (3 * H, H)),
                            ("bias_ih", (3 * H,)), ("bias_hh", (3 * H,)))} | {"n1__h0": (2, H)})


LAYERS = {
    "gru": ({"kind": "gru"}, lambda n: cells(1, n)),
    "gru of old": ({"kind": "gru", "reset": "before", "gate": "hard_sigmoid"},
                   lambda n: cells(2, n)),
    "dense": ({"kind": "dense"}, lambda n: {
        name: array / 4 for name, array in test_stack.normal(
            3, n1__weight=(H, n), n1__bias=(H,)).items()}),
}


class Spread(test_stack.Stack):
    def path_of(self, kind, items, stride, *options, conv=None):
        """A window of that shape before the layer, and a strided convolution before it if asked."""
        layer, tensors = LAYERS[kind]
        first = {"kind": "window", "items": items, "stride": stride}
        content = test_stack.small(first, layer, outputs={"logits": "n1"},
                                   labels=[f"l{i}" for i in range(H)])
        content["n_channels"], weights = C, tensors(items * C)
        if conv:
            content["nodes"].insert(0, {"kind": "conv1d", "name": "c", "inputs": ["input"],
                                        "stride": conv, "look_ahead": 1})
            content["nodes"][1]["inputs"] = ["c"]
            weights = {**weights, **test_stack.normal(4, c__weight=(C, C, 3), c__bias=(C,))}
        return self.model_of(content, weights, *options)

    def check(self, path, limit, what, moves=(1, 2, 3, 8, 9, 21, 22, 23, 24, 25, 26)):
        """Against the whole pass in float64, gaps, and streams that were moved."""
        counts = np.random.default_rng(9).poisson(0.8, (N_BINS, C))
        model, missing = read_model(path), (11, 12, 30)
        expected = reference.run(model.weights, model.config, counts, "causal", missing)["logits"]
        found = self.steps(path, "causal", counts, missing, save_at=0)["logits"]
        self.compare(found, expected, limit, what)
        for at in moves:
            moved = self.steps(path, "causal", counts, missing, save_at=at)["logits"]
            self.assertTrue(np.array_equal(found, moved, equal_nan=True), f"{what}, moved at {at}")

    def test_windows(self):
        for kind in LAYERS:
            for items, stride in ((14, 4), (3, 2), (2, 5), (5, 5), (1, 3)):
                with self.subTest(kind, items=items, stride=stride):
                    self.check(self.path_of(kind, items, stride), 1e-5, kind, (4, 23, 24))

    def test_every_moment(self):
        """Of a stride, and before the first window."""
        self.check(self.path_of("gru", 14, 4), 1e-5, "14 every 4", range(1, 34))
        self.check(self.path_of("gru", 6, 2, conv=3), 1e-5, "6 every 2 of every third",
                   range(1, 34))

    def test_precisions(self):
        for options in (("--precisions", "bf16"), ("--precisions", "int8")):
            self.check(self.path_of("gru", 14, 4, *options), 0.05, options)

    def test_stored_precisions_stay_exact(self):
        """A file that stores int8 has one scale for a row of the whole window."""
        for kind, limit in (("int8", 2e-3), ("bf16", 1e-2)):
            path = self.path_of("dense", 14, 4, "--quantize", kind)
            self.check(path, limit, kind, (23,))

    def test_trials_begin_anew(self):
        """Nothing that was made before a trial's start goes on into it."""
        path = self.path_of("gru", 14, 4)
        counts = np.random.default_rng(5).poisson(0.8, (3, 37, C))
        counts[2] = counts[0]
        decoded = self.decode(path, counts)["logits"]
        self.assertTrue(np.array_equal(decoded[0], decoded[2], equal_nan=True))


if __name__ == "__main__":
    family.main()

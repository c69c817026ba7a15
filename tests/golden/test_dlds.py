#!/usr/bin/python3
"""Decomposed linear dynamics: C against the float64 reference, both observations, gaps short and
long; what is refused; the trainer on a recording; the shipped model on its switching systems."""
import h5py
import numpy as np

import family
import golden
from family import drop, hyper, put

from latent_models.dlds import reference, scoring, switching

S, M, C = 4, 5, 30
WEIGHTS = {"lambda": 1.0, "gamma": 0.05, "kappa": 0.5}


def tensors(seed, observation, s=S, m=M, channels=C, *, readout=False):
    g = np.random.default_rng(seed)
    w = {"F": np.stack([0.98 * np.linalg.qr(g.normal(size=(s, s)))[0] for _ in range(m)]),
         "D": 0.3 * g.normal(size=(channels, s)), "R": g.uniform(0.2, 0.6, channels),
         "offset": g.uniform(0.2, 0.8, channels) + (observation == "anscombe")}
    if readout:
        w.update({"readout.weight": g.normal(size=(2, s)), "readout.bias": g.normal(size=2),
                  "x0": g.normal(size=s), "c0": g.uniform(size=m)})
    return w


class Dlds(family.Family):
    arch, answer = "dlds", staticmethod(reference.run)

    def build(self, seed=0, observation="counts", extra=None, **sizes):
        return self.make(tensors(seed, observation, **sizes),
                         hyper={**WEIGHTS, "observation": observation, **(extra or {})})

    def test_both_observations(self):
        cases = (("counts", {}, None), ("anscombe", {}, None), ("counts", {"readout": True}, None),
                 ("counts", {"s": 1, "m": 1}, None),
                 ("anscombe", {"s": 9, "m": 12, "channels": 70}, None),
                 ("counts", {}, {"turns": 1, "fista_steps": 1}), ("counts", {}, {"gamma": 5.0}))
        for seed, (observation, sizes, extra) in enumerate(cases):
            path = self.build(seed, observation, extra, **sizes)
            counts = golden.random_counts(seed, 60, sizes.get("channels", C))
            self.check_gaps(path, counts, f"{observation} {sizes} {extra}")
        self.check_replay(path, counts)

    def test_extremes(self):
        """Every count at zero, then at 255; the largest and smallest hyper-parameters."""
        for extra in ({"turns": 20, "fista_steps": 50}, {"turns": 1, "fista_steps": 1000},
                      {"lambda": 1e-9, "kappa": 1e-9}, {"lambda": 1e6, "kappa": 1e6}):
            path = self.build(2, extra=extra)
            counts = np.repeat([[0], [255], [0]], [3, 4, 2], 0) * np.ones((1, C))
            self.check_gaps(path, counts, str(extra), ((4, 5),))

    def test_a_long_silence_does_not_grow(self):
        """Operators that stretch, mixed: the forecast keeps the length it began with."""
        w = tensors(3, "counts")
        w["F"] *= 1.5
        path = self.make(w, hyper={**WEIGHTS, "observation": "counts"})
        counts, silence = golden.random_counts(3, 2020, C), range(20, 2020)
        _, expected = self.compare_steps(path, self.answer, "causal", counts, silence,
                                         limit=self.limit, what="silence")
        length = np.linalg.norm(expected["latents"][:, :S], axis=1)
        self.assertGreater(length[19], 0.1)
        self.assertTrue((np.diff(length[19:]) <= 1e-9).all())

    def test_fista_reaches_the_minimum(self):
        """Many steps: no direction improves the penalised form (the reference's own solver)."""
        g = np.random.default_rng(4)
        a, x, before = g.normal(size=(1, S, M)), g.normal(size=(1, S)), g.normal(size=(1, M))
        weights = {**WEIGHTS, "gamma": 0.3, "fista_steps": 3000}
        c = reference.fista(a, x, before, weights)

        def cost(c):
            return (0.5 * ((x - np.einsum("ksm,km->ks", a, c)) ** 2).sum() + 0.3 * np.abs(c).sum()
                    + 0.25 * ((c - before) ** 2).sum())
        for _ in range(200):
            self.assertGreaterEqual(cost(c + 1e-3 * g.normal(size=c.shape)), cost(c) - 1e-12)

    def test_exporter_refuses(self):
        said = {**WEIGHTS, "observation": "counts"}
        w = tensors(1, "counts")
        self.refused("dlds", self.checkpoint(w, WEIGHTS), text=["--observation"])
        for turns in (21, 0, 2.5, "3", float("nan")):
            self.refused("dlds", self.checkpoint(w, {**said, "turns": turns}),
                         text=["turns", "1 to 20"])
        self.refused("dlds", self.checkpoint({**w, "R": 0 * w["R"]}, said), text=["R", "variance"])
        self.refused("dlds", self.checkpoint({**w, "x": w["R"]}, said), text=["x", "no place"])
        self.refused("dlds", self.checkpoint({"D": w["D"]}, said), text=["F", "dlds"])
        self.refused("dlds", self.checkpoint({**w, "F": w["F"][:0]}, said), text=["F", "nothing"])
        self.refused("dlds", self.checkpoint({**w, "D": w["D"][:, :3]}, said), text=["D", "shape"])

    def test_core_refuses(self):
        path = self.build()
        self.refused_by_core(path, hyper(lograte=True), "lograte")
        self.refused_by_core(path, hyper(kappa=0.0), "kappa")
        self.refused_by_core(path, hyper(turns=4), "known answer")
        self.refused_by_core(path, hyper(solver="spgl1"), "solver", "unknown key")
        self.refused_by_core(path, hyper(gamma=None), "gamma", "missing")
        self.refused_by_core(path, drop("c0"), "c0", "missing")
        self.refused_by_core(path, put("R", lambda a: a * -1), "R", "positive")
        self.refused_by_core(path, put("F", lambda a: a[:, :3]), "F", "shape")


    def test_another_architecture(self):
        """A checkpoint and a model file of others; hyper-parameters of others in the file."""
        wiener = self.checkpoint({"weight": np.zeros((2, 3, C)), "bias": np.zeros(2)}, {"lags": 3})
        self.refused("dlds", wiener, text=["F", "not a dlds"])
        self.refused("dlds", golden.MODELS / "kalman" / "reach.safetensors",
                     text=["model file already"])
        path = self.build()

        def become_kalman(model):
            model.config["arch"], model.config["hyper"] = "kalman", {"form": "steady"}
        self.refused_by_core(path, become_kalman, "A", "missing")


class Train(family.Family):
    arch, answer = "dlds", staticmethod(reference.run)

    def test_recording_with_behaviour(self):
        """Counts of two rotations in turn, and the plane's position: fitted, exported, decoded."""
        recipe = {**switching.read_recipe(), "n_channels": 40, "trial_bins": 1500}
        data = switching.simulate({**recipe, "trials": {"train": 1, "valid": 0, "test": 0}})
        source, fit = self.folder / "recording.h5", self.folder / "fit.safetensors"
        with h5py.File(source, "w") as f:
            f["counts"], f["position"] = data["counts"][0], data["states"][0, :, :2]
        self.run_ok(golden.PYTHON, golden.MODELS / "dlds" / "train.py", "--in",
                    f"{source}:/counts", "--behaviour", f"{source}:/position", "--names", "px,py",
                    "--bin-ms", 20, "--turns", 2, "--out", fit)
        path = self.export("dlds", fit, "--licence", "test")
        self.check_gaps(path, data["counts"][0, :80], "fitted", ((), (3, 4)))
        found = self.decode(path, data["counts"][:, -300:].astype(np.uint8))["readout"][0]
        truth = data["states"][0, -300:, :2]
        self.assertGreater(1 - ((found - truth) ** 2).sum() / truth.var(0).sum() / len(truth), 0.3)


class Shipped(family.Family):
    arch = "dlds"

    def test_segments(self):
        """Test trials of the recipe: the card's figures less 0.02, and the linear model beaten."""
        path, model = self.check_shipped("switching")
        data, n_states = switching.simulate(switching.read_recipe()), len(model.weights["x0"])
        counts = data["counts"][data["split"]["test"]].astype(np.uint8)
        ours, linear, _ = scoring.rows(self.decode(path, counts)["latents"], n_states, data)
        self.assertGreaterEqual(ours[1], 0.90)
        self.assertGreaterEqual(ours[2], 0.86)
        self.assertGreater(ours[1], linear[1] + 0.05)
        self.assertGreater(ours[2], linear[2] + 0.05)


if __name__ == "__main__":
    family.main()

#!/usr/bin/python3
"""Low-rank RNNs: C against the float64 reference (which simulates all N units), every form; the
spike filter; what is refused; the shipped networks on fresh trials of their task."""
import numpy as np

import family
import golden
from family import drop, hyper, put

from latent_models.lowrank import reference, scoring, task

N, R, I, M, O = 130, 2, 3, 20, 2
ALPHA = {"alpha": 0.2}


def network(seed, n=N, rank=R, inputs=I, outputs=O):
    g = np.random.default_rng(seed)
    w = {"m": g.normal(size=(n, rank)), "n": 2 * g.normal(size=(n, rank)),
         "b": 0.2 * g.normal(size=n), "h0": 0.3 * g.normal(size=n),
         "wo": g.normal(size=(n, outputs)), "so": g.uniform(0.5, 2, outputs)}
    if inputs:
        w.update({"wi": g.normal(size=(inputs, n)), "si": g.uniform(0.5, 2, inputs)})
    return w


def filtered(seed, kind, spikes=M, **sizes):
    g, w = np.random.default_rng(seed + 100), network(seed, **sizes)
    rank = w["m"].shape[1]
    w.update({"filter.Q": 0.05 * np.eye(rank) + 0.01, "filter.P0": 0.5 * np.eye(rank),
              "observation.bias": 0.3 * g.normal(size=spikes) - 1})
    width = rank + len(w.get("wi", ()))
    shape = (spikes, width) if kind == "weight" else spikes
    return {**w, f"observation.{kind}": g.normal(size=shape)}


class Lowrank(family.Family):
    arch, answer = "lowrank", staticmethod(reference.run)

    def test_driven(self):
        for seed, (sizes, options) in enumerate((({}, ()), ({"rank": 1, "inputs": 1}, ()),
                                                 ({"n": 7, "rank": 5}, ("--readout", "none")),
                                                 ({"n": 64}, ("--readout", "units")),
                                                 ({"rank": 4},
                                                  ("--output-activation", "identity")))):
            path = self.make(network(seed, **sizes), *options, hyper=ALPHA)
            counts = golden.random_counts(seed, 60, sizes.get("inputs", I))
            self.check_gaps(path, counts, f"driven {sizes} {options}")

    def test_filtered(self):
        cases = (("gain", {}, ()), ("weight", {}, ("--iterations", "3")), ("gain", {"rank": 1}, ()),
                 ("weight", {"inputs": 0}, ()), ("gain", {"rank": 6}, ("--iterations", "2")))
        for seed, (kind, sizes, options) in enumerate(cases):
            path = self.make(filtered(seed, kind, **sizes), *options, hyper=ALPHA)
            counts = golden.random_counts(seed, 60, M + sizes.get("inputs", I))
            self.check_gaps(path, counts, f"filtered {kind} {sizes}")
        self.check_replay(path, counts)

    def test_reduction_is_exact(self):
        """The reference's own two ways to h: all units, and the latents alone."""
        w, u = network(9), np.random.default_rng(9).normal(size=(50, I))
        h, latents = reference.simulate(w, 0.2, u), reference.latents_of(w, 0.2, u)
        for t in range(50):
            formed = reference.units(w, 0.2, latents[t, :R], latents[t, R:], t + 1)
            self.close(formed, h[t], 1e-12, "h of the latents")

    def test_wo_of_a_lint_fit_is_recognised(self):
        w = {**network(3, n=20, outputs=20), "wo": 20 * np.eye(20), "so": np.ones(20)}
        path = self.make(w, hyper=ALPHA)
        self.assertEqual(golden.read_model(path).hyper["output"], "units")

    def test_exporter_refuses(self):
        self.refused("lowrank", self.checkpoint(network(1)), text=["--alpha"])
        self.refused("lowrank", self.checkpoint(network(1)), "--alpha", "1.5", text=["1.5"])
        full = {**network(1), "wrec": np.eye(N)}
        self.refused("lowrank", self.checkpoint(full, ALPHA), text=["full-rank"])
        lacking = {k: v for k, v in network(1).items() if k != "h0"}
        self.refused("lowrank", self.checkpoint(lacking, ALPHA), text=["h0", "missing"])
        smc = golden.read_model(golden.MODELS / "smc" / "lorenz.safetensors").weights
        self.refused("lowrank", self.checkpoint(smc, ALPHA), text=["not a low-rank RNN"])
        for change, words in (({"extra": np.ones(3)}, ["extra", "no place"]),
                              ({"b": np.zeros(N + 1)}, ["b", "shape"]),
                              ({"h0": np.full(N, np.nan)}, ["h0", "finite"]),
                              ({"m": np.zeros(N)}, ["m", "not a low-rank RNN"]),
                              ({"filter.Q": np.eye(R)}, ["filter.P0", "missing"])):
            self.refused("lowrank", self.checkpoint({**network(1), **change}, ALPHA), text=words)
        bad = {**filtered(1, "gain"), "filter.Q": -np.eye(R)}
        self.refused("lowrank", self.checkpoint(bad, ALPHA), text=["filter.Q", "covariance"])
        many = filtered(1, "gain", spikes=30, n=20)
        self.refused("lowrank", self.checkpoint(many, ALPHA), text=["30", "20 units"])

    def test_core_refuses(self):
        path = self.make(filtered(1, "gain"), hyper=ALPHA)
        self.refused_by_core(path, hyper(form="driven"), "3 inputs")
        self.refused_by_core(path, hyper(alpha=0.3), "known answer")
        self.refused_by_core(path, hyper(tau=1), "tau", "unknown key")
        self.refused_by_core(path, hyper(iterations=9), "iterations")
        self.refused_by_core(path, hyper(observation="linear"), "observation.weight")
        self.refused_by_core(path, drop("h0"), "h0", "missing")
        self.refused_by_core(path, put("filter.Q", lambda a: a[:1]), "filter.Q", "shape")

    def test_huge_counts_do_no_harm(self):
        """Counts that no neuron gives: every frame stays finite, and the filter comes back."""
        path = self.make(filtered(2, "weight"), hyper=ALPHA)
        counts = np.zeros((40, M + I), np.float32)
        counts[10:13, :M] = 60000
        found = self.steps(path, "causal", counts)
        self.assertTrue(np.isfinite(found["latents"]).all())
        self.assertTrue((found["lograte"] < 25).all())
        self.assertLess(np.abs(found["latents"][-1]).max(), 50)


class Shipped(family.Family):
    """The shipped networks on fresh trials of their task, through latent-decode: figures of the
    card, less a margin."""

    arch = "lowrank"

    def shipped(self):
        """-> (recipe, models by name, decode(name, channels))."""
        paths, models = {}, {}
        for name in ("rdm_teacher", "rdm_driven", "rdm_filtered"):
            paths[name], models[name] = self.check_shipped(name)

        def decode(name, channels):
            found = self.decode(paths[name], channels.astype(np.float32))
            return found["latents"].astype(np.float64), found["readout"].astype(np.float64)
        return task.read_recipe(), models, decode

    def test_lint_fit_and_its_task(self):
        recipe, models, decode = self.shipped()
        recorded = scoring.fresh(recipe, models["rdm_teacher"].weights)
        (true, _), (found, readout) = (decode(name, recorded["inputs"])
                                       for name in ("rdm_teacher", "rdm_driven"))
        r2 = scoring.trajectory_r2(models["rdm_driven"].weights, found,
                                   models["rdm_teacher"].weights, true)
        self.assertGreaterEqual(r2, 0.99)
        right = task.accuracy(readout[..., 0], recorded["answer"], recipe)
        self.assertGreaterEqual(right, 0.93)

    def test_filter_recovers_the_latents(self):
        """Spikes of the teacher, its latents disturbed: better than the inputs alone, than a Kalman
        filter and than smoothing, which were fitted to the true latents."""
        recipe, models, decode = self.shipped()
        recorded = scoring.fresh(recipe, models["rdm_teacher"].weights)
        rank = models["rdm_teacher"].weights["m"].shape[1]
        r2 = scoring.latent_r2(recorded, decode("rdm_filtered", recorded["channels"])[0], rank)
        driven = scoring.latent_r2(recorded, decode("rdm_driven", recorded["inputs"])[0], rank)
        self.assertGreaterEqual(r2, 0.9)
        for other in (driven, *scoring.baseline_scores(recorded).values()):
            self.assertGreater(r2, other + 0.01)

    def test_trainer(self):
        """A few steps end in three checkpoints that the exporter takes."""
        self.run_ok(golden.PYTHON, golden.MODELS / "lowrank" / "train.py", "--out", self.folder,
                    "--teacher-steps", "3", "--student-steps", "3", "--batch", "4")
        forms = [golden.read_model(self.export("lowrank", self.folder / f"{name}.safetensors",
                                               name=f"{name}_model")).hyper["form"]
                 for name in ("teacher", "driven", "filtered")]
        self.assertEqual(forms, ["driven", "driven", "filtered"])

    def test_truth_is_that_of_the_network(self):
        """kappa_of() takes apart what the disturbed network put together."""
        recipe, w = task.read_recipe(), {**network(4, n=40, rank=2, inputs=1), "b": np.zeros(40),
                                         "h0": np.zeros(40)}
        u, _ = task.trials(recipe, 2, np.random.default_rng(1))
        alpha = task.alpha_of(recipe)
        for trial in u:
            kappa = task.kappa_of(w, alpha, trial, reference.simulate(w, alpha, trial))
            self.close(kappa, reference.latents_of(w, alpha, trial)[:, :2], 1e-9, "kappa")


if __name__ == "__main__":
    family.main()

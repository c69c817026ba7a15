#!/usr/bin/python3
"""Stochastic low-rank RNNs with random weights: every activation, rate, proposal, gap and a
snapshot through exporter and C against reference.py; what is refused; the shipped file."""
import itertools

import numpy as np

import family
import golden
from family import drop, hyper, put

from latent_models.common.model_file import read_model
from latent_models.smc import draws, export, reference

C, N, S, M, K = 4, 6, 3, 10, 8
CONVS = {"initial_stack.1": (5, C, 4), "initial_stack.4": (3, 5, 2), "mean_conv": (S, 3, 2),
         "logvar_conv": (S, 3, 2)}


class Smc(family.Family):
    arch, answer, limit = "smc", staticmethod(reference.run), 2e-5

    def tensors(self, seed, readout=True):
        shapes = {"transition.m": (M, S), "transition.n": (S, M), "transition.h": (M,),
                  "R_z": (S,), "R_z_t0": (S,), "initial_state": (S,), "observation.B": (S, N),
                  "observation.Bias": (N,)}
        for name, shape in CONVS.items():
            shapes.update({name + ".weight": shape, name + ".bias": shape[:1]})
        if readout:
            shapes.update({"readout.weight": (2, S), "readout.bias": (2,)})
        tensors = golden.random_tensors(seed, shapes)
        return {**tensors, "transition.decay": np.array(-1.5), "R_z": tensors["R_z"] - 2,
                "observation.B": 0.4 * tensors["observation.B"],
                "transition.n": 0.3 * tensors["transition.n"]}  # a stable one

    def small(self, seed, *options, **hyper):
        hyper = {"activation": "clipped_relu", "rate": "softplus", **hyper}
        return self.make(self.tensors(seed), "--particles", K, *options, hyper=hyper)

    def certain(self, path, n_bins, missing=()):
        """Counts [T, C] with which rounding chooses no particle, whichever bins are missing."""
        model = read_model(path)
        for seed in range(200):
            counts = golden.random_counts(seed, n_bins, C, mean=1.0)
            stages = reference.run_stages(model.weights, model.config, counts.astype(np.float64),
                                          missing)
            if min(stage["margin"] for stage in stages) >= export.MARGIN:
                return counts
        raise AssertionError("no such counts")


class Random(Smc):
    def test_every_kind(self):
        kinds = itertools.product(("relu", "clipped_relu", "tanh"), ("softplus", "exp"),
                                  ("variational", "bootstrap"))
        for seed, (activation, rate, proposal) in enumerate(kinds):
            seen = ("--channels", C) if proposal == "bootstrap" else ()
            path = self.small(seed, "--proposal", proposal, "--seed", seed, *seen,
                              activation=activation, rate=rate)
            for missing in family.GAPS:
                with self.subTest(activation, rate=rate, proposal=proposal, missing=missing):
                    counts = self.certain(path, 24, missing)
                    found, _ = self.compare_steps(path, reference.run, "causal", counts, missing,
                                                  limit=self.limit, what=activation)
                    warm = found["flags"] & golden.FLAG_WARMUP != 0
                    n_warm = 5 if proposal == "variational" else 0
                    self.assertEqual(list(warm), [True] * n_warm + [False] * (24 - n_warm))

    def test_replay(self):
        path = self.small(3)
        self.check_replay(path, golden.random_counts(3, 40, C))

    def test_absurd_counts_pass(self):
        """Every channel at 255 and at 60000 for a while: finite, and back on its track after."""
        path, model = self.check_shipped("lorenz")
        mean = np.array(model.config["channels"]["mean"])
        calm = np.random.default_rng(2).poisson(mean, (160, len(mean)))
        for value in (255, 60000):
            storm = calm.copy()
            storm[40:60] = value
            found, quiet = (self.steps(path, "causal", x)["lograte"] for x in (storm, calm))
            self.assertTrue(np.isfinite(found).all())
            self.assertLess(np.abs(found[-40:] - quiet[-40:]).mean(), 0.3)

    def test_encoder_sees_its_window_only(self):
        w = reference.as_doubles(self.tensors(5))
        counts = golden.random_counts(5, 30, C).astype(np.float64)
        hyper = {"proposal": "variational"}
        mean, variance = reference.encode(w, counts)
        for t in (0, 4, 5, 29):
            one, two = reference.encode_bin(w, hyper, counts, t)
            self.close(one, mean[t], 1e-12, "mean")
            self.close(two, variance[t], 1e-12, "variance")


class Draws(golden.Case):
    def test_philox(self):
        """Known answers of Philox4x32-10 (Salmon et al. 2011)."""
        pi = ((0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344), (0xa4093822, 0x299f31d0),
              (0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1))
        zero = ((0,) * 4, (0, 0), (0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8))
        ones = ((0xffffffff,) * 4, (0xffffffff,) * 2,
                (0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd))
        for counter, key, words in (zero, ones, pi):
            self.assertEqual([int(x) for x in draws.philox(np.array(counter), key)], list(words))

    def test_distribution(self):
        z = np.concatenate([draws.normals(9, t, 1001) for t in range(200)])
        self.assertLess(abs(z.mean()), 0.01)
        self.assertLess(abs(z.std() - 1), 0.01)
        self.assertLess(abs((z ** 4).mean() - 3), 0.1)
        u = np.array([draws.uniform(9, t) for t in range(4000)])
        self.assertTrue((u >= 0).all() and (u < 1).all())
        self.assertLess(abs(u.mean() - 0.5), 0.02)
        self.assertFalse(np.array_equal(draws.normals(9, 2 ** 32, 8), draws.normals(9, 0, 8)))


class Refusals(Smc):
    def test_exporter(self):
        def refused(change, *options, text, said=None):
            tensors = self.tensors(1)
            change(tensors)
            source = self.checkpoint(tensors, said or {"activation": "relu", "rate": "exp"})
            self.refused("smc", source, *options, text=text)
        refused(lambda t: t.pop("transition.h"), text=("transition.h", "missing"))
        refused(lambda t: t.update(extra=np.zeros(3)), text=("extra", "no place"))
        refused(lambda t: t.update(R_z=np.zeros(S + 1)), text=("R_z", "shape"))
        refused(lambda t: t.update(R_z=np.full(S, np.nan)), text=("R_z", "finite"))
        refused(lambda t: t.pop("mean_conv.weight"), text=("mean_conv.weight", "missing"))
        refused(lambda t: None, "--rate", "softplus", text=("--rate softplus",))
        refused(lambda t: None, said={"activation": "relu"}, text=("--rate",))
        refused(lambda t: None, said={"activation": "sine", "rate": "exp"}, text=("sine",))
        refused(lambda t: None, "--particles", "5000", text=("1 to 4096",))
        refused(lambda t: None, "--seed", "-1", text=("--seed",))

    def test_core(self):
        path = self.small(2)
        for change, words in (
                (hyper(activation="gelu"), ("activation", "gelu")),
                (hyper(particles=0), ("particles",)), (hyper(particles=None), ("particles",)),
                (hyper(seed=0.5), ("seed",)), (hyper(noise=1), ("noise", "unknown key")),
                (hyper(proposal="bootstrap"), ("initial_stack",)),
                (drop("R_z_t0"), ("R_z_t0", "missing")),
                (drop("logvar_conv.bias"), ("logvar_conv.bias",)),
                (put("transition.n", lambda a: a[:, 1:]), ("transition.n", "shape")),
                (put("transition.m", lambda a: a[:, 1:]), ("shape",)),
                (put("observation.B", lambda a: a[:, :C - 1]), ("3 rates for 4 channels",)),
                (put("transition.decay", lambda a: a + 1), ("known answer",)),
                (hyper(seed=99), ("known answer",)), (hyper(arch="smc"), ("arch",))):
            with self.subTest(words=words):
                self.refused_by_core(path, change, *words)

    def test_other_architectures(self):
        for arch, name in (("gru", "lorenz"), ("kalman", "reach")):
            model = read_model(golden.MODELS / arch / f"{name}.safetensors")
            source = self.checkpoint(model.weights)
            self.refused("smc", source, "--activation", "relu", "--rate", "exp",
                         text=("transition.m", "not a low-rank RNN"))


if __name__ == "__main__":
    family.main()

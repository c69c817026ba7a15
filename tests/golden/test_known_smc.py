#!/usr/bin/python3
"""The stochastic low-rank RNN with the weights of smc_rnns: reference, exporter and C within the
stored tolerances, with the stored draws; and the real trial, live."""
import math

import h5py
import numpy as np

import golden

from latent_models.common.checkpoint import read as read_checkpoint
from latent_models.common.model_file import read_model
from latent_models.smc import export, reference

KNOWN = golden.KNOWN / "lowrank_smc_mcmaze.h5"
RAW = golden.SHARED / "data" / "mc_maze_trial_1khz.h5"
GIVEN = golden.BIN / "smc_given"
LIMIT = {"encoder": 1e-4, "transition": 1e-5, "rate": 1e-5, "latents": 1e-4, "log_weight": 1e-3}
SEEN, FILTERED = 137, 35


class Smc(golden.Case):
    def setUp(self):
        super().setUp()
        file = h5py.File(KNOWN)
        self.addCleanup(file.close)
        self.input, self.expected = file["input"], file["expected"]

    def model(self, *options, name="model"):
        return self.export("smc", KNOWN, *options, name=name)

    def filtered(self, trial, step):
        """The reference over one stored trial -> means [45, S], rates [45, N]; step sees every
        bin."""
        w, hyper = reference.as_doubles(self.weights), self.hyper
        counts, eps = (self.input[k][trial].astype(np.float64) for k in ("spikes", "eps"))
        z, latents, rates = None, [], []
        for t in range(len(counts)):
            if t < FILTERED:
                encoded = (self.expected["enc_mean"][trial, t],
                           reference.variance_of(self.expected["enc_logvar"][trial, t]))
                stage = reference.filter_bin(w, hyper, z, counts[t, :SEEN], encoded, eps=eps[t],
                                             u=self.input["uniform"][trial, t])
                step(t, stage, sum(math.lgamma(c + 1) for c in counts[t, :SEEN]))
                z = stage["particles"]
                rates.append(stage["rates"])
            else:
                z = reference.forecast_bin(w, hyper, z, eps[t])
                rates.append(reference.rates_of(w, hyper, z).mean(0))
            latents.append(z.mean(0))
        return np.array(latents), np.array(rates)

    def load(self):
        model = read_model(self.model("--particles", "16"))
        self.weights, self.hyper = model.weights, model.hyper


class Reference(Smc):
    def test_stages(self):
        self.load()
        w, z = reference.as_doubles(self.weights), self.input["z"][()].astype(np.float64)
        for trial in range(2):
            counts = self.input["spikes"][trial, :FILTERED, :SEEN].astype(np.float64)
            mean, variance = reference.encode(w, counts)
            self.close(mean, self.expected["enc_mean_zero_pad"][trial], 1e-9, "encoder mean")
            self.close(np.log(variance), self.expected["enc_logvar_zero_pad"][trial], 1e-9,
                       "variance")
        self.close(reference.transition(w, self.hyper, z), self.expected["transition_mean"], 1e-9,
                   "transition")
        self.close(reference.rates_of(w, self.hyper, z), self.expected["rate"], 1e-9, "rates")

    def test_filter(self):
        self.load()
        for trial in range(2):
            def step(t, stage, factorials, trial=trial):
                self.close(stage["log_weight"] - factorials,
                           self.expected["pf_log_weight"][trial, t], 1e-9, "log-weights")
                self.assertTrue(np.array_equal(stage["ancestors"],
                                               self.expected["pf_ancestor"][trial, t]))
            latents, rates = self.filtered(trial, step)
            self.close(latents, self.expected["pf_z_mean"][trial], 1e-9, "latents")
            self.close(rates, self.expected["pf_rate_mean"][trial], 1e-9, "rates")

    def test_tensors_arrive_unaltered(self):
        tensors = read_checkpoint(str(KNOWN)).tensors
        weights = read_model(self.model()).weights
        names = {name.split("/")[-1].replace("transition.AW", "transition.decay"): name
                 for name in tensors}
        self.assertEqual(set(names) - set(weights), {"R_x", "transition.hz", "logvar"})
        for name, array in weights.items():
            self.assertTrue(np.array_equal(array, tensors[names[name]].reshape(array.shape)), name)


class Core(Smc):
    def given(self, model, trial):
        """smc_given over a stored trial -> dict of [45, ...] arrays."""
        s, k, n = 36, 16, 182
        encoded = [np.vstack([self.expected[e][trial], np.zeros((10, s))])
                   for e in ("enc_mean", "enc_logvar")]
        uniform = np.append(self.input["uniform"][trial], np.zeros(10))
        rows = np.hstack([self.input["spikes"][trial, :, :SEEN], *encoded,
                          self.input["eps"][trial].reshape(45, -1), uniform[:, None]])
        source, out = self.folder / "in.f64", self.folder / "out.f64"
        np.concatenate([[FILTERED, 10], rows.reshape(-1)]).astype("<f8").tofile(source)
        self.run_ok(GIVEN, model, source, out)
        sizes = {"mean": s, "logvar": s, "prior": k * s, "log_weight": k, "ancestors": k,
                 "latents": s, "rates": n}
        columns = np.split(np.fromfile(out, "<f8").reshape(45, -1),
                           np.cumsum(list(sizes.values()))[:-1], 1)
        return dict(zip(sizes, columns))

    def test_given_draws(self):
        model = self.model("--particles", "16")
        for trial in range(2):
            found, e = self.given(model, trial), self.expected
            self.close(found["mean"][:FILTERED], e["enc_mean_zero_pad"][trial], LIMIT["encoder"],
                       "encoder")
            self.close(found["logvar"][:FILTERED], e["enc_logvar_zero_pad"][trial],
                       LIMIT["encoder"], "encoder")
            self.close(found["mean"][17:FILTERED], e["enc_mean"][trial, 17:], LIMIT["encoder"],
                       "reflect padding makes no difference from bin 17 on")
            self.assertTrue(np.array_equal(found["ancestors"][:FILTERED], e["pf_ancestor"][trial]))
            self.close(found["latents"], e["pf_z_mean"][trial], LIMIT["latents"], "latents")
            self.close(found["rates"], e["pf_rate_mean"][trial], LIMIT["rate"], "rates")
            counts = self.input["spikes"][trial, :FILTERED, :SEEN]
            factorials = np.array([[sum(math.lgamma(c + 1.0) for c in row)] for row in counts])
            self.close(found["log_weight"][:FILTERED] - factorials, e["pf_log_weight"][trial],
                       LIMIT["log_weight"], "log-weights")
        for i, t in enumerate(e["step/bin"]):
            self.close(found["prior"][t].reshape(16, 36), e["step/transition_mean"][i],
                       LIMIT["transition"], "transition")


class Live(Smc):
    """The model's own draws, through latent-decode."""

    def counts(self):
        """The real trial, 1 ms samples summed to 20 ms bins, the first 137 units: a numerical
        case."""
        with h5py.File(RAW) as f:
            raw = f["spikes"][()]
        return raw[:len(raw) // 20 * 20].reshape(-1, 20, raw.shape[1]).sum(1)[:, :SEEN]

    def test_real_trial(self):
        model, counts = self.model("--particles", "100"), self.counts()
        found = self.decode(model, counts[None])
        again = self.decode(model, np.stack([counts, counts]))
        self.assertEqual(found["latents"].shape, (1, 161, 36))
        self.assertTrue(np.isfinite(found["latents"]).all() and (found["rates"] > 0).all())
        for trial in range(2):
            self.assertTrue(np.array_equal(again["latents"][trial], found["latents"][0]), "replay")
        flags = found["flags"][0]
        self.assertTrue((flags[:17] & golden.FLAG_WARMUP).all()
                        and not (flags[17:] & golden.FLAG_WARMUP).any())

    def test_reference_with_its_own_draws(self):
        """While no tooth lies near a cumulative weight, C and reference choose the same
        particles."""
        for proposal in ("variational", "bootstrap"):
            options = ["--channels", str(SEEN)] if proposal == "bootstrap" else []
            path = self.model("--particles", "16", "--proposal", proposal, *options, name=proposal)
            model, counts = read_model(path), self.counts()[:60]
            stages = reference.run_stages(model.weights, model.config, counts.astype(np.float64))
            doubtful = [t for t, s in enumerate(stages) if s["margin"] < export.MARGIN]
            sure = min(doubtful, default=len(stages))
            self.assertGreater(sure, 10)
            found = self.decode(path, counts[None])
            expected = np.stack([stage["particles"].mean(0) for stage in stages])
            self.close(found["latents"][0, :sure], expected[:sure], 2e-4, proposal)

    def test_seed_is_part_of_the_model(self):
        counts = self.counts()[None, :30]
        one, two = (self.decode(self.model("--seed", s, name=f"s{s}"), counts)["latents"]
                    for s in "12")
        self.assertFalse(np.array_equal(one, two))


class Refusals(Smc):
    def test_options(self):
        self.refused("smc", KNOWN, "--activation", "tanh", text=["clipped_relu"])
        self.refused("smc", KNOWN, "--particles", "0", text=["1 to 4096"])
        self.refused("smc", golden.KNOWN / "kalman_monkeyJ.h5", "--bin-width", "45",
                     "--activation", "tanh", "--rate", "exp", text=["transition.m"])


if __name__ == "__main__":
    golden.need_shared()
    golden.need_binaries("latent-decode", "smc_given")
    golden.main()

#!/usr/bin/python3
"""LFADS and sequential auto-encoders with published weights: reference, exporter and C, every stage
within what the known answers state.

The reference: 1e-9. C: LFADS factors and log-rates 1e-5; auto-encoders log-rates 1e-4, latents 1e-4
relative. The published LFADS decoder without encoders is served through models made around it.
"""
import itertools

import h5py
import numpy as np

import golden
import stepping

from latent_models.common.checkpoint import read as read_checkpoint
from latent_models.common.model_file import read_model, write_model
from latent_models.lfads import export as lfads_export
from latent_models.lfads import reference as lfads
from lfads_making import Making, SMALL
from latent_models.sae import reference as sae

EXACT = 1e-9
LORENZ, DECODER = (golden.KNOWN / f"{name}.h5" for name in ("lfads_lorenz", "lfads_decoder_con"))
LFADS_LIMIT = 1e-5
ENCODERS = ("node_arneodo_d3", "node_lorenz_d3", "gru_sae_arneodo_d10")
NODES = ENCODERS[:2]
LOGRATE, RELATIVE = 1e-4, 1e-4


class LfadsKnown(Making):
    """The published Lorenz model (TensorFlow 2)."""

    def test_reference_stages(self):
        model = read_model(self.export_once("lfads", LORENZ))
        net = lfads.Network(model.weights, model.hyper)
        with h5py.File(LORENZ) as answer:
            e = {k: v[()] for k, v in answer["expected"].items()}
            for i, x in enumerate(answer["input/spikes"][()].astype(np.float64)):
                mean, variance = net.ic_posterior(x)
                g0, fac0 = net.start(x)[:2]
                states = net.decode(x, np.zeros((len(x), 0)))
                g, fac, con, u = (np.stack([state[k] for state in states]) for k in range(4))
                stages = {"ic_enc": net.ic_encoding(x), "ic_mean": mean, "g0": g0, "fac0": fac0,
                          "ic_std": np.sqrt(np.exp(variance) + 1e-4), "co_mean": u, "factors": fac,
                          "lograte": net.affine("readout", fac)}
                if i == 0:
                    stages.update(ci=net.encode(x), con=con, gen=g)
                self.assertTrue(i or set(stages) == set(e))
                for name, found in stages.items():
                    self.close(found, e[name][i], EXACT, name)

    def test_tensors_arrive_unaltered(self):
        tensors = read_checkpoint(str(LORENZ)).tensors
        weights = read_model(self.export_once("lfads", LORENZ)).weights
        cell = "decoder/rnn/cell/gen_gru_cell/"
        pairs = {"decoder.rnn.cell.gen_cell.weight_ih": tensors[f"model/{cell}kernel"].T,
                 "decoder.rnn.cell.gen_cell.weight_hh": tensors[f"model/{cell}recurrent_kernel"].T,
                 "decoder.rnn.cell.gen_cell.bias_ih": tensors[f"model/{cell}bias"],
                 "encoder.ci_enc_h0": tensors["model/encoder/ci_enc_h0"].transpose(1, 0, 2)}
        for name, array in pairs.items():
            self.assertTrue(np.array_equal(weights[name], array), name)
        values = sorted(v for a in weights.values() for v in a[a != 0].ravel())
        kept = [a for name, a in tensors.items() if not name.endswith("clip_value")]
        self.assertEqual(values, sorted(v for a in kept for v in a[a != 0].ravel()))

    def test_every_bin(self):
        with h5py.File(LORENZ) as answer:
            e, spikes = answer["expected"], answer["input/spikes"][()]
            decoded = self.decode(self.export_once("lfads", LORENZ), spikes, "trial")
            self.close(golden.lograte(decoded), e["lograte"], LFADS_LIMIT, "log-rates")
            self.close(decoded["latents"], e["factors"], LFADS_LIMIT, "factors")

    def test_inner_states(self):
        """The generator, the controller and its output, published as latents."""
        stages = (("generator", "gen"), ("controller", "con"), ("inputs", "co_mean"))
        with h5py.File(LORENZ) as answer:
            spikes = answer["input/spikes"][()]
            for latents, stage in stages:
                model = self.export_once("lfads", LORENZ, "--latents", latents)
                expected = answer["expected"][stage][()]
                found = self.decode(model, spikes[:len(expected)], "trial")["latents"]
                self.close(found, expected, LFADS_LIMIT, latents)

    def test_window_ends_on_the_trial(self):
        with h5py.File(LORENZ) as answer:
            model, e = self.export_once("lfads", LORENZ), answer["expected"]
            for i, spikes in enumerate(answer["input/spikes"][:2]):
                found = self.steps(model, "window", spikes)
                self.close(found["lograte"][-1], e["lograte"][i, -1], LFADS_LIMIT, "log-rates")
                self.close(found["latents"][-1], e["factors"][i, -1], LFADS_LIMIT, "factors")
                warm = found["flags"] & golden.FLAG_WARMUP != 0
                self.assertEqual(list(warm), [True] * 99 + [False], "WARMUP")


class LfadsDecoder(Making):
    """The published decoder (torch layout), whose encoders are not published."""

    def setUp(self):
        super().setUp()
        file = h5py.File(DECODER)
        self.addCleanup(file.close)
        self.input, self.expected = file["input"], file["expected"]
        self.weights = {k: v[()] for k, v in file["weights"].items()
                        if not lfads_export.PRIORS.match(k)}
        self.hyper = {**SMALL, "window_bins": 100, "trial_bins": 100, "ic_enc_dim": 0,
                      "ci_enc_dim": 64, "con_dim": 100, "co_dim": 3, "ic_dim": 64, "gen_dim": 100,
                      "fac_dim": 3, "ci_lag": 0}

    def steps_of(self, net, inputs):
        """States of the decoder after each pair of controller input and external input."""
        state, states = net.start(None), []
        for ci, external in inputs:
            state = net.step(state, ci, external)
            states.append(state)
        return states

    def test_reference_driven(self):
        e, driven = self.expected["driven"], self.input["driven"]
        hyper = {**self.hyper, "ext_input_dim": 3, "con_dim": 0, "co_dim": 0}
        for i in range(4):
            net = lfads.Network({**self.weights, "ic_prior.mean": driven["ic"][i]}, hyper)
            state = net.start(None)
            self.close(state[0], e["g0"][i], EXACT, "g0")
            self.close(state[1], e["fac0"][i], EXACT, "first factors")
            states = self.steps_of(net, [(None, u) for u in driven["u"][i]])
            factors = np.stack([s[1] for s in states])
            self.close(factors, e["factors"][i], EXACT, "factors")
            self.close(net.affine("readout", factors), e["lograte"][i], EXACT, "log-rates")
            if i == 0:
                self.close(np.stack([s[0] for s in states]), e["gen"][0], EXACT, "generator")

    def test_reference_controller(self):
        e, given = self.expected["controller"], self.input["controller"]
        for i in range(2):
            net = lfads.Network({**self.weights, "ic_prior.mean": given["ic"][i]}, self.hyper)
            states = self.steps_of(net, [(ci, np.zeros(0)) for ci in given["ci"][i]])
            g, factors, con, u = (np.stack([s[k] for s in states]) for k in range(4))
            self.close(con, e["con"][i], EXACT, "controller")
            self.close(u, e["u"][i], EXACT, "inputs")
            self.close(factors, e["factors"][i], EXACT, "factors")
            self.close(net.affine("readout", factors), e["lograte"][i], EXACT, "log-rates")
            if i == 1:
                self.close(g, e["gen"][0], EXACT, "generator")

    def serve(self, hyper, weights, n_spikes, rows):
        """Latents and log-rates, bin by bin, through C in every streaming mode the model has: the
        window never slides here, and what an encoder gives at a bin depends on that bin alone."""
        model = self.model_of(hyper, weights, n_spikes, 21)
        model.config["channels"] = {"mean": [0.0] * model.config["n_channels"]}
        path = self.write(model)
        frames = [self.steps(path, mode, rows) for mode in read_model(path).config["modes"][:-1]]
        for frame in frames:
            self.close(frame["latents"], frames[0]["latents"], 1e-6, "prefix is the window")
        return frames[0]["latents"], frames[0]["lograte"]

    def test_driven(self):
        """No controller: what drove the published one arrives as external input."""
        e, driven = self.expected["driven"], self.input["driven"]
        weights = {k: v for k, v in self.weights.items() if ".con_" not in k and ".co_" not in k}
        hyper = {**self.hyper, "con_dim": 0, "co_dim": 0, "ci_enc_dim": 0, "ext_input_dim": 3}
        for i in range(4):
            weights["ic_prior.mean"] = driven["ic"][i]
            factors, lograte = self.serve(hyper, weights, 0, driven["u"][i])
            self.close(factors, e["factors"][i], LFADS_LIMIT, "factors")
            self.close(lograte, e["lograte"][i], LFADS_LIMIT, "log-rates")
            if i == 0:
                hyper_inner = {**hyper, "latents": "generator"}
                found, _ = self.serve(hyper_inner, weights, 0, driven["u"][i])
                self.close(found, e["gen"][0], LFADS_LIMIT, "generator")

    def pass_through(self):
        """An encoder whose states are tanh of its input: the update gate shut, no recurrence.
        Channels 0-63 go forward, 64-127 backward."""
        tensors = {"encoder.ci_enc_h0": np.zeros((2, 1, 64), np.float32)}
        for k, direction in enumerate(("fwd", "bwd")):
            prefix = f"encoder.ci_enc.{direction}_gru.cell."
            weight, bias = np.zeros((192, 128), np.float32), np.zeros(192, np.float32)
            weight[128:, 64 * k:64 * (k + 1)] = np.eye(64)
            bias[:64] = -1e4
            tensors.update({prefix + "weight_ih": weight, prefix + "bias_ih": bias,
                            prefix + "weight_hh": np.zeros((192, 64), np.float32),
                            prefix + "bias_hh": np.zeros(192, np.float32)})
        return tensors

    def test_controller(self):
        e, given = self.expected["controller"], self.input["controller"]
        for i, (latents, stage) in itertools.product(range(2), (
                ("factors", "factors"), ("controller", "con"), ("inputs", "u"))):
            weights = {**self.weights, **self.pass_through(), "ic_prior.mean": given["ic"][i]}
            rows = np.arctanh(given["ci"][i].astype(np.float64))
            found, lograte = self.serve({**self.hyper, "latents": latents}, weights, 128, rows)
            self.close(found, e[stage][i], LFADS_LIMIT, stage)
            self.close(lograte, e["lograte"][i], LFADS_LIMIT, "log-rates")

    def test_not_served_by_the_exporter(self):
        self.refused("lfads", DECODER, "--bin-width", "20", text=("encoder.ci_enc",))


class AutoEncoders(stepping.Stepping):
    """The files of published weights."""

    def model(self, name, *options):
        return self.export_once("sae", golden.KNOWN / f"{name}.h5", "--bin-width", "10", *options)

    def test_reference_stages(self):
        for name in ENCODERS:
            with self.subTest(name), h5py.File(golden.KNOWN / f"{name}.h5") as answer:
                model, e = read_model(self.model(name)), answer["expected"]
                w = {k: v.astype(np.float64) for k, v in model.weights.items()}
                for i, counts in enumerate(answer["input/spikes"][()].astype(np.float64)):
                    z = sae.trajectory(w, model.hyper, counts, 105)
                    h = sae.encoder_state(w, counts)
                    self.close(h, e["encoder_state"][i], EXACT, "encoder state")
                    z0 = sae.initial_condition(w, counts)
                    self.close(z0, e["z0"][i], EXACT, "z0")
                    self.close(z[:70], e["z"][i], EXACT, "z")
                    self.close(sae.lograte(w, z[:70]), e["lograte"][i], EXACT, "log-rates")
                    if name in NODES:
                        self.node_stages(w, model.hyper, counts, e, i, z=z)

    def node_stages(self, w, hyper, counts, e, i, *, z):
        self.close(z[70:], e["z_forecast"][i], EXACT, "forecast")
        field = sae.vector_field(w, sae.initial_condition(w, counts))
        self.close(field, e["vector_field_z0"][i], EXACT, "vector field")
        rk4 = sae.trajectory(w, {**hyper, "solver": "rk4"}, counts, 70)
        self.close(rk4, e["z_rk4"][i], EXACT, "RK4")
        self.close(sae.lograte(w, rk4), e["lograte_rk4"][i], EXACT, "RK4 log-rates")

    def test_tensors_arrive_unaltered(self):
        for name in ENCODERS:
            with self.subTest(name):
                tensors = read_checkpoint(str(golden.KNOWN / f"{name}.h5")).tensors
                weights = read_model(self.model(name)).weights
                self.assertEqual(set(tensors), set(weights))
                for tensor, array in weights.items():
                    self.assertTrue(np.array_equal(array, tensors[tensor]), tensor)

    def test_trials(self):
        """Mode trial: all bins, and the forecast past the window."""
        for name in ENCODERS:
            with self.subTest(name), h5py.File(golden.KNOWN / f"{name}.h5") as answer:
                path, spikes, e = self.model(name), answer["input/spikes"][()], answer["expected"]
                future = golden.random_counts(1, len(spikes), 35, spikes.shape[2])
                decoded = self.decode(path, np.concatenate([spikes, future], 1), "trial")
                self.close(golden.lograte(decoded)[:, :70], e["lograte"], LOGRATE, "log-rates")
                scale = RELATIVE * np.abs(e["z"][()]).max()
                self.close(decoded["latents"][:, :70], e["z"], scale, "z")
                if name in NODES:
                    self.close(decoded["latents"][:, 70:], e["z_forecast"], scale, "forecast")

    def test_rk4(self):
        for name in NODES:
            with self.subTest(name), h5py.File(golden.KNOWN / f"{name}.h5") as answer:
                model = read_model(self.model(name))
                model.config["hyper"]["solver"] = "rk4"
                path = self.folder / "rk4.safetensors"
                write_model(path, self.answered(model))
                decoded = self.decode(path, answer["input/spikes"][()], "trial")
                self.close(golden.lograte(decoded), answer["expected/lograte_rk4"], LOGRATE, "RK4")

    def answered(self, model):
        """The model with the known answers of its changed hyper-parameters."""
        counts = model.selftest["selftest.input"].astype(np.float64)
        for mode in model.config["modes"]:
            answer = sae.run(model.weights, model.config, counts, mode)
            for group in ("latents", "lograte"):
                model.selftest[f"selftest.{mode}.{group}"] = answer[group].astype(np.float32)
        return model

    def test_stream_ends_on_the_trial(self):
        """window and protocol show the trial's last bin once they have seen all of it; protocol
        goes on as the published forecast does."""
        for name in ENCODERS:
            with self.subTest(name), h5py.File(golden.KNOWN / f"{name}.h5") as answer:
                path, e = self.model(name), answer["expected"]
                for i, counts in enumerate(answer["input/spikes"][:3]):
                    last = self.steps(path, "window", counts)
                    self.close(last["lograte"][-1], e["lograte"][i, -1], LOGRATE, "window")
                    warm = last["flags"] & golden.FLAG_WARMUP != 0
                    self.assertEqual(list(warm), [True] * 69 + [False], "WARMUP")
                    longer = np.vstack([counts, golden.random_counts(i, 35, counts.shape[1])])
                    found = self.steps(path, "protocol", longer)
                    self.close(found["lograte"][69], e["lograte"][i, -1], LOGRATE, "protocol")
                    if name in NODES:
                        scale = RELATIVE * np.abs(e["z"][()]).max()
                        self.close(found["latents"][70:], e["z_forecast"][i], scale, "forecast")


if __name__ == "__main__":
    golden.need_shared()
    golden.need_binaries("latent-decode", "golden_steps")
    golden.main()

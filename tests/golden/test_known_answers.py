#!/usr/bin/python3
"""Third-party models through exporter and latent-decode: NDT log-rates 2e-5, Kalman gains 1e-7 and
velocities 1e-6."""
import h5py
import numpy as np

import golden

from latent_models.common.model_file import read_model, write_model

NDT_LIMIT = 2e-5
MAPPINGS = ("intuitiveMapping", "perturbedMapping")


class NdtKnownAnswers(golden.Case):
    def check(self, name, causal):
        source = golden.KNOWN / f"{name}.h5"
        model = self.export("ndt", source, "--bin-width", "10")
        with h5py.File(source) as answer:
            spikes, expected = answer["input/spikes"][()], answer["expected/lograte"][()]
        for mode in ("trial", "A") if causal else ("trial",):
            found = golden.lograte(self.decode(model, spikes, mode))
            self.close(found, expected, NDT_LIMIT, f"{name}, mode {mode}, all bins")
        if not causal:
            found = golden.lograte(self.decode(self.look_ahead(source), spikes, "B-lag"))
            lag = read_model(model).hyper["layers"] * read_model(model).hyper["context_forward"]
            self.close(found[:, lag:], expected[:, :-lag], NDT_LIMIT, f"{name}, mode B-lag")
        found = golden.lograte(self.decode(model, spikes, "C"))
        self.close(found[:, -1], expected[:, -1], NDT_LIMIT, f"{name}, mode C, last bin")

    def look_ahead(self, source):
        return self.export("ndt", source, "--bin-width", "10", "--modes", "B-lag", name="lag")

    def test_causal_embed2(self):
        self.check("ndt_causal_embed2", causal=True)

    def test_causal_band8_identity(self):
        self.check("ndt_causal_band8_id", causal=True)

    def test_default_look_ahead(self):
        self.check("ndt_default_f4b8", causal=False)


class KalmanKnownAnswers(golden.Case):
    source = golden.KNOWN / "kalman_monkeyJ.h5"

    def test_gain(self):
        """The answer to a unit impulse in channel i is column i of the gain. Readout (i, s) has the
        bias -K[s, i], so that what is published is a difference, which float32 holds exactly
        enough."""
        for mapping in MAPPINGS:
            with self.subTest(mapping), h5py.File(self.source) as answer:
                expected = answer[f"expected/{mapping}/K"][()]  # [S, M]
                n_states, n_channels = expected.shape
                model = read_model(self.export("kalman", self.source, "--mapping", mapping,
                                               "--form", "steady"))
                model.weights["readout.weight"] = np.tile(np.eye(n_states), (n_channels, 1))
                model.weights["readout.bias"] = -expected.T.reshape(-1)
                entry = model.config["outputs"]["readout"][0]
                names = [f"k{i}" for i in range(n_states * n_channels)]
                model.config["outputs"]["readout"] = [{**entry, "name": name} for name in names]
                self.rerun_selftest(model)
                write_model(self.folder / "gain.safetensors", model)
                impulses = np.eye(n_channels, dtype=np.uint8)[:, None, :]  # [trial, 1 bin, channel]
                decoded = self.decode(self.folder / "gain.safetensors", impulses)["readout"][:, 0]
                found = decoded.reshape(n_channels, n_channels, n_states)
                difference = found[np.arange(n_channels), np.arange(n_channels)]
                self.close(difference, np.zeros_like(difference), 1e-7, "gain")

    def rerun_selftest(self, model):
        from latent_models.common.model_file import run_selftest
        from latent_models.kalman import reference
        run_selftest(model, reference.run, 40)

    def test_velocities(self):
        for mapping in MAPPINGS:
            model = self.export("kalman", self.source, "--mapping", mapping, "--form", "given")
            for when in ("beforeLearning", "afterLearning"):
                with self.subTest(f"{mapping} {when}"), h5py.File(self.source) as answer:
                    expected = answer[f"expected/{when}/{mapping}/velocity_filtered"][()]
                    found = self.decode(model, answer[f"input/{when}/spikes"][()])["readout"]
                    self.close(found, expected, 1e-6 * np.abs(expected).max(), "velocity")


if __name__ == "__main__":
    golden.need_shared()
    golden.need_binaries("latent-decode")
    golden.main()

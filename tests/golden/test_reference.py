#!/usr/bin/python3
"""The float64 references against the answers of third-party models: 1e-9 for NDT, the README's
figures for Kalman."""
import h5py
import numpy as np

import golden

from latent_models.common.checkpoint import read as read_checkpoint
from latent_models.common.model_file import read_model
from latent_models.kalman import reference as kalman
from latent_models.ndt import reference as ndt

NDT = ("ndt_causal_embed2", "ndt_causal_band8_id", "ndt_default_f4b8")
MAPPINGS = ("intuitiveMapping", "perturbedMapping")


class NdtReference(golden.Case):
    def test_every_layer_and_rate(self):
        for name in NDT:
            with self.subTest(name), h5py.File(golden.KNOWN / f"{name}.h5") as answer:
                path = self.export("ndt", golden.KNOWN / f"{name}.h5", "--bin-width", "10",
                                   name=name)
                model = read_model(path)
                weights = {k: v.astype(np.float64) for k, v in model.weights.items()}
                spikes = answer["input/spikes"][()].astype(np.float64)
                layers = ndt.layer_outputs(weights, model.hyper, spikes[0])
                self.close(layers[0][:20], answer["expected/hidden_1"][0], 1e-9, "first layer")
                self.close(layers[-1], answer["expected/layer_last"][0], 1e-9, "last layer")
                for trial, expected in zip(spikes, answer["expected/lograte"]):
                    found = ndt.run(model.weights, model.config, trial, "trial")["lograte"]
                    self.close(found, expected, 1e-9, "log-rates")

    def test_tensors_arrive_unaltered(self):
        for name in NDT:
            with self.subTest(name):
                path = golden.KNOWN / f"{name}.h5"
                tensors = read_checkpoint(str(path)).tensors
                weights = read_model(self.export("ndt", path, "--bin-width", "10",
                                                 name=name)).weights
                self.assertEqual(set(tensors) - set(weights), {"pos_encoder.pe"})
                for tensor, array in weights.items():
                    self.assertTrue(np.array_equal(array, tensors[tensor]), tensor)


class KalmanReference(golden.Case):
    source = golden.KNOWN / "kalman_monkeyJ.h5"

    def test_gain(self):
        for mapping in MAPPINGS:
            with self.subTest(mapping), h5py.File(self.source) as answer:
                weights = read_model(self.export("kalman", self.source, "--mapping", mapping,
                                                 "--form", "steady")).weights
                k, predicted = kalman.steady_gain(*(weights[n] for n in "ACQR"))
                expected = answer[f"expected/{mapping}"]
                self.close(k, expected["K"][()], 1e-9, "gain")
                self.close(k, answer[f"weights/{mapping}/K"][()], 1e-7, "gain as recorded")
                self.close(predicted, expected["P_pred"][()], 1e-7 * np.abs(predicted).max(),
                           "covariance")
                m1 = weights["A"] - k @ weights["C"] @ weights["A"]
                self.close(m1, expected["M1"][()], 1e-12, "M1")

    def test_velocities(self):
        for mapping in MAPPINGS:
            model = read_model(self.export("kalman", self.source, "--mapping", mapping, "--form",
                                           "given"))
            for when in ("beforeLearning", "afterLearning"):
                with self.subTest(f"{mapping} {when}"), h5py.File(self.source) as answer:
                    spikes = answer[f"input/{when}/spikes"][()]
                    expected = answer[f"expected/{when}/{mapping}/velocity_filtered"][()]
                    found = [kalman.run(model.weights, model.config, t, "causal")["readout"]
                             for t in spikes]
                    self.close(found, expected, 1e-11 * np.abs(expected).max(), "velocity")


if __name__ == "__main__":
    golden.need_shared()
    golden.main()

"""LFADS model files made from tensors, without a checkpoint."""
import itertools

import numpy as np

import golden
import stepping

from latent_models.common import natural
from latent_models.common.model_file import Model, build_config, run_selftest, write_model
from latent_models.lfads import export, reference

SMALL = {"window_bins": 9, "trial_bins": 14, "prefix_bins": 0, "readin_dim": 0, "ic_enc_dim": 8,
         "ci_enc_dim": 6, "con_dim": 7, "co_dim": 2, "ic_dim": 5, "gen_dim": 11, "fac_dim": 4,
         "ext_input_dim": 0, "ci_bidirectional": True, "ci_lag": 1, "cell_clip": 5.0,
         "reconstruction": "poisson", "latents": "factors", "samples": 0}
N = 6  # spiking channels
MEANS = ("mean", "logvar")  # rows of one layer in torch, two layers in Keras
WIDTH = {"factors": "fac_dim", "generator": "gen_dim", "controller": "con_dim", "inputs": "co_dim"}


class Making(stepping.Stepping):
    """Model files made from tensors, without a checkpoint."""

    def model_of(self, hyper, weights, n_spikes, n_rates):
        """Model with the answers of its modes."""
        net = reference.Network(weights, hyper)
        gaussian = hyper["reconstruction"] == "gaussian"
        entry = {"unit": "a.u.", "neutral": 0.0, "min": None, "max": None, "slew": None}
        means = [{"name": f"m{i}", **entry} for i in range(n_rates)] if gaussian else []
        modes = ("window", "prefix", "trial") if net.runs_on() else ("window", "trial")
        config = build_config("lfads", n_spikes + hyper["ext_input_dim"], 10000, modes, hyper,
                              outputs=(hyper[WIDTH[hyper["latents"]]], 0 if gaussian else n_rates,
                                       means),
                              licence="none", source="random", checkpoint_sha256="0" * 64)
        model = Model(config, weights)
        n_bins = min(hyper["window_bins"], 10) + 5
        run_selftest(model, reference.run, n_bins,
                     natural.natural_counts(model, reference.run, n_bins))
        return model

    def write(self, model, name="model"):
        path = self.folder / f"{name}.safetensors"
        write_model(path, model)
        return path

    def random_tensors(self, seed, hyper, n_rates=N):
        n_read = n_rates * (2 if hyper["reconstruction"] == "gaussian" else 1)
        sizes = {**hyper, "n_spikes": N, "n_input": hyper["readin_dim"] or N, "n_read": n_read}
        tensors = golden.random_tensors(seed, export.expected_shapes(sizes), gain=1.5)
        tensors["readout.weight"] *= np.float32(0.3)
        return tensors

    def small(self, seed, n_rates=N, **changes):
        """A small random model -> Model."""
        hyper = {**SMALL, **changes}
        return self.model_of(hyper, self.random_tensors(seed, hyper, n_rates), N, n_rates)

    def keras_names(self, tensors):
        """The same model as the TensorFlow 2 implementation stores it."""
        cell = "model/decoder/rnn/cell/"
        cells = {f"decoder.rnn.cell.{k}_cell": f"{cell}{k}_gru_cell" for k in ("gen", "con")}
        for k, (short, long) in itertools.product(("ic", "ci"), (("fwd", "forward"),
                                                                 ("bwd", "backward"))):
            keras = f"model/encoder/{k}_enc_bigru/{long}_layer/cell"
            cells[f"encoder.{k}_enc.{short}_gru.cell"] = keras
        out = {f"model/encoder/{k}_enc_h0": tensors[f"encoder.{k}_enc_h0"].transpose(1, 0, 2)
               for k in ("ic", "ci")}
        out[f"{cell}con_gru_cell/h0"] = tensors["decoder.con_h0"]
        out[f"{cell}fac_linear/kernel"] = tensors["decoder.rnn.cell.fac_linear.weight"].T
        for torch_name, keras in cells.items():
            out.update({f"{keras}/kernel": tensors[f"{torch_name}.weight_ih"].T,
                        f"{keras}/recurrent_kernel": tensors[f"{torch_name}.weight_hh"].T,
                        f"{keras}/bias": tensors[f"{torch_name}.bias_ih"],
                        f"{keras}/clip_value": np.float32(5)})
        linears = {"decoder.ic_to_g0": ["model/decoder/ic_to_g0"],
                   "readout": ["model/decoder/rate_linear"],
                   "encoder.ic_linear": [f"model/encoder/ic_{k}_linear" for k in MEANS],
                   "decoder.rnn.cell.co_linear": [f"{cell}co_{k}_linear" for k in MEANS]}
        for torch_name, keras in linears.items():
            for part, kind in (("weight", "kernel"), ("bias", "bias")):
                rows = np.split(tensors[f"{torch_name}.{part}"], len(keras))
                out.update({f"{name}/{kind}": array.T for name, array in zip(keras, rows)})
        return out

"""Models of published sizes with random weights, as model files with known answers.

Speed does not depend on what a network learnt. Shapes: C channels, D width, H hidden, N rates,
T bins of a trial, S states, O outputs."""
import importlib.util
import math
import pathlib
import sys

import numpy as np

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "models"))
from common import model_file  # noqa: E402

NOTHING = "0" * 64
LOG_MEAN = math.log(0.2)


def reference_run(arch):
    """run() of models/<arch>/reference.py: the float64 answer key."""
    path = SOURCE / "models" / arch / "reference.py"
    spec = importlib.util.spec_from_file_location(f"reference_{arch}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.run


def random(generator, *shape, scale=1.0):
    """float32 normals of variance scale^2 / fan-in."""
    values = generator.standard_normal(shape) * scale / math.sqrt(shape[-1])
    return values.astype(np.float32)


def finish(path, arch, n_channels, modes, hyper, outputs, weights, n_bins):
    """Write the model file with the reference's answers to n_bins bins; returns the model."""
    mean = np.full(n_channels, math.exp(LOG_MEAN))
    config = model_file.build_config(
        arch, n_channels, 10000, modes, hyper, outputs, licence="Apache-2.0",
        source="tests/bench: random weights", checkpoint_sha256=NOTHING,
        channels=model_file.channel_table(mean, mean))
    model = model_file.Model(config, weights)
    model_file.run_selftest(model, reference_run(arch), n_bins)
    model_file.write_model(path, model)
    return model


def ndt_layer(generator, prefix, d, hidden):
    def vector(n, mean=0.0):
        return (mean + 0.1 * generator.standard_normal(n)).astype(np.float32)
    return {
        prefix + "self_attn.in_proj_weight": random(generator, 3 * d, d),
        prefix + "self_attn.in_proj_bias": vector(3 * d),
        prefix + "self_attn.out_proj.weight": random(generator, d, d),
        prefix + "self_attn.out_proj.bias": vector(d),
        prefix + "linear1.weight": random(generator, hidden, d),
        prefix + "linear1.bias": vector(hidden),
        prefix + "linear2.weight": random(generator, d, hidden),
        prefix + "linear2.bias": vector(d),
        prefix + "norm1.weight": vector(d, 1.0), prefix + "norm1.bias": vector(d),
        prefix + "norm2.weight": vector(d, 1.0), prefix + "norm2.bias": vector(d),
    }


def ndt(path, generator, *, n_channels, layers, heads, hidden, trial_bins, modes):
    """The published configuration: identity embedding, pre-norm, learnt positions; causal."""
    d = n_channels
    weights = {
        "pos_encoder.pos_embedding.weight": random(generator, trial_bins, d, scale=math.sqrt(d)),
        "transformer_encoder.norm.weight": np.ones(d, np.float32),
        "transformer_encoder.norm.bias": np.zeros(d, np.float32),
        "decoder.0.weight": random(generator, d, d, scale=0.5),
        "decoder.0.bias": np.full(d, LOG_MEAN, np.float32),
    }
    for layer in range(layers):
        prefix = f"transformer_encoder.layers.{layer}."
        weights.update(ndt_layer(generator, prefix, d, hidden))
    hyper = {"layers": layers, "heads": heads, "width": d, "hidden": hidden, "embed": "identity",
             "embed_dim": 0, "max_count": 0, "pre_norm": True, "final_norm": "layer",
             "position": "learnt", "position_offset": False, "trial_bins": trial_bins,
             "window_bins": trial_bins, "context_forward": 0, "context_backward": 0,
             "head_layers": 1, "lograte": True}
    return finish(path, "ndt", n_channels, modes, hyper, (d, d, []), weights, n_bins=8)


def gru(path, generator, *, n_channels, hidden):
    weights = {
        "gru.weight_ih_l0": random(generator, 3 * hidden, n_channels),
        "gru.weight_hh_l0": random(generator, 3 * hidden, hidden),
        "gru.bias_ih_l0": random(generator, 3 * hidden),
        "gru.bias_hh_l0": random(generator, 3 * hidden),
        "rate.weight": random(generator, n_channels, hidden, scale=0.5),
        "rate.bias": np.full(n_channels, LOG_MEAN, np.float32),
    }
    hyper = {"layers": 1, "hidden": hidden, "lograte": True}
    outputs = (hidden, n_channels, [])
    return finish(path, "gru", n_channels, ["causal"], hyper, outputs, weights, n_bins=8)


def velocity_readout():
    return [model_file.readout_entry(name, "mm/s") for name in ("vx", "vy")]


def kalman(path, generator, *, n_channels, n_states):
    weights = {
        "A": 0.9 * np.eye(n_states),
        "C": generator.standard_normal((n_channels, n_states)) * 0.3,
        "Q": 0.1 * np.eye(n_states),
        "R": np.eye(n_channels),
        "readout.weight": generator.standard_normal((2, n_states)),
        "readout.bias": np.zeros(2),
    }
    outputs = (n_states, 0, velocity_readout())
    return finish(path, "kalman", n_channels, ["causal"], {"form": "steady"}, outputs, weights,
                  n_bins=8)


def wiener(path, generator, *, n_channels, lags):
    weights = {"weight": random(generator, 2, lags, n_channels, scale=0.3),
               "bias": np.zeros(2, np.float32)}
    outputs = (0, 0, velocity_readout())
    return finish(path, "wiener", n_channels, ["causal"], {"lags": lags}, outputs, weights,
                  n_bins=2 * lags)


def dlds(path, generator, *, n_channels, n_states, n_operators):
    operators = [0.98 * np.linalg.qr(generator.standard_normal((n_states, n_states)))[0]
                 for _ in range(n_operators)]
    weights = {
        "F": np.stack(operators),
        "D": 0.1 * generator.standard_normal((n_channels, n_states)),
        "R": np.full(n_channels, 0.2),
        "offset": np.full(n_channels, 0.2),
        "x0": np.zeros(n_states),
        "c0": np.full(n_operators, 1 / n_operators),
    }
    hyper = {"observation": "counts", "lograte": False, "turns": 3, "fista_steps": 20,
             "lambda": 5.0, "gamma": 0.1, "kappa": 1.0}
    outputs = (n_states + n_operators, n_channels, [])
    return finish(path, "dlds", n_channels, ["causal"], hyper, outputs, weights, n_bins=8)

"""Models of published sizes with random weights, as model files with known answers.

Speed does not depend on what a network learnt. Shapes: C channels, D width, H hidden, N rates,
T bins of a trial, S states, O outputs."""
import importlib
import math

import numpy as np

from latent_models.common import model_file
from latent_models.lfads import export as lfads_export
from latent_models.sae import export as sae_export
from latent_models.smc import export as smc_export

NOTHING = "0" * 64
LOG_MEAN = math.log(0.2)


def reference_run(arch):
    """run() of models/<arch>/reference.py: the float64 answer key."""
    return importlib.import_module(f"latent_models.{arch}.reference").run


def random(generator, *shape, scale=1.0):
    """float32 normals of variance scale^2 / fan-in."""
    values = generator.standard_normal(shape) * scale / math.sqrt(shape[-1])
    return values.astype(np.float32)


def finish(path, arch, n_channels, modes, hyper, *, outputs, weights, n_bins, counts=None):
    """Write the model file with the reference's answers to n_bins bins of Poisson counts, or to
    counts(config, weights) [T, C]; returns the model."""
    mean = np.full(n_channels, math.exp(LOG_MEAN))
    config = model_file.build_config(
        arch, n_channels, 10000, modes, hyper, outputs=outputs, licence="Apache-2.0",
        source="tests/bench: random weights", checkpoint_sha256=NOTHING,
        channels=model_file.channel_table(mean, mean))
    model = model_file.Model(config, weights)
    model_file.run_selftest(model, reference_run(arch), n_bins,
                            counts(config, weights) if counts else None)
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


def ndt(path, generator, *, n_channels, layers, heads, hidden, trial_bins, modes, width=None,
        back=0, answer_bins=8):
    """The published configuration: identity embedding, pre-norm, learnt positions; causal.
    With a width: a linear embedding of the channels into it. back: bins a query looks back, 0: to
    the first. answer_bins: of the known answer."""
    d = width or n_channels
    weights = {
        "pos_encoder.pos_embedding.weight": random(generator, trial_bins, d, scale=math.sqrt(d)),
        "transformer_encoder.norm.weight": np.ones(d, np.float32),
        "transformer_encoder.norm.bias": np.zeros(d, np.float32),
        "decoder.0.weight": random(generator, n_channels, d, scale=0.5),
        "decoder.0.bias": np.full(n_channels, LOG_MEAN, np.float32),
    }
    if width:
        weights["embedder.weight"] = random(generator, d, n_channels)
        weights["embedder.bias"] = np.zeros(d, np.float32)
    for layer in range(layers):
        prefix = f"transformer_encoder.layers.{layer}."
        weights.update(ndt_layer(generator, prefix, d, hidden))
    hyper = {"layers": layers, "heads": heads, "width": d, "hidden": hidden,
             "embed": "linear" if width else "identity", "embed_dim": 0, "max_count": 0,
             "pre_norm": True, "final_norm": "layer",
             "position": "learnt", "position_offset": False, "trial_bins": trial_bins,
             "window_bins": trial_bins, "context_forward": 0, "context_backward": back,
             "head_layers": 1, "lograte": True}
    return finish(path, "ndt", n_channels, modes, hyper,
                  outputs=(d, n_channels, []), weights=weights, n_bins=answer_bins)


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
    return finish(path, "gru", n_channels, ["causal"], hyper,
                  outputs=outputs, weights=weights, n_bins=8)


def sae(path, generator, *, decoder, n_channels, latents, window, encoder=64, hidden=128):
    """The published sizes: a node with RK4, one step per bin, or a GRU; mode window."""
    sizes = {"encoder_size": encoder, "latent_dim": latents, "n_channels": n_channels,
             "n_rates": n_channels, "decoder": decoder, "hidden": hidden}
    weights = {name: random(generator, *shape)
               for name, shape in sae_export.expected_shapes(sizes).items()}
    weights["readout.bias"] = np.full(n_channels, LOG_MEAN, np.float32)
    hyper = {"window_bins": window, "encoder_size": encoder, "latent_dim": latents,
             "decoder": decoder, "first_output": "step"}
    if decoder == "node":
        hyper.update(first_output="z0", hidden=hidden, solver="rk4", step=0.1, substeps=1)
    outputs = (latents, n_channels, [])
    return finish(path, "sae", n_channels, ["window"], hyper,
                  outputs=outputs, weights=weights, n_bins=window)


def lfads(path, generator, *, n_channels, n_rates, window, encoder=64, controller=64, inputs=4,
          generator_size=200, factors=100):
    """The published sizes of MC_Maze at 20 ms: both encoders, controller; mode window."""
    hyper = {"window_bins": window, "trial_bins": window, "prefix_bins": 0, "readin_dim": 0,
             "ic_enc_dim": encoder, "ci_enc_dim": encoder, "con_dim": controller,
             "co_dim": inputs, "ic_dim": encoder, "gen_dim": generator_size, "fac_dim": factors,
             "ext_input_dim": 0, "ci_bidirectional": True, "ci_lag": 1, "cell_clip": 5.0,
             "reconstruction": "poisson", "latents": "factors", "samples": 0}
    sizes = {**hyper, "n_spikes": n_channels, "n_input": n_channels, "n_read": n_rates}
    weights = {name: random(generator, *shape)
               for name, shape in lfads_export.expected_shapes(sizes).items()}
    weights["readout.bias"] = np.full(n_rates, LOG_MEAN, np.float32)
    return finish(path, "lfads", n_channels, ["window"], hyper,
                  outputs=(factors, n_rates, []), weights=weights, n_bins=8)


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
    return finish(path, "kalman", n_channels, ["causal"], {"form": "steady"},
                  outputs=outputs, weights=weights, n_bins=8)


def kalman_given(path, generator, *, n_channels, n_states):
    """The steady filter as a lab brings it: no covariances, so any number of channels."""
    weights = {
        "M1": 0.8 * np.eye(n_states),
        "M2": generator.standard_normal((n_states, n_channels)) * 0.01,
        "m0": np.zeros(n_states),
        "readout.weight": generator.standard_normal((2, n_states)),
        "readout.bias": np.zeros(2),
    }
    outputs = (n_states, 0, velocity_readout())
    return finish(path, "kalman", n_channels, ["causal"], {"form": "given"},
                  outputs=outputs, weights=weights, n_bins=8)


def wiener(path, generator, *, n_channels, lags):
    weights = {"weight": random(generator, 2, lags, n_channels, scale=0.3),
               "bias": np.zeros(2, np.float32)}
    outputs = (0, 0, velocity_readout())
    return finish(path, "wiener", n_channels, ["causal"], {"lags": lags},
                  outputs=outputs, weights=weights, n_bins=2 * lags)


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
    return finish(path, "dlds", n_channels, ["causal"], hyper,
                  outputs=outputs, weights=weights, n_bins=8)


def lowrank(path, generator, *, n_units, rank, n_inputs, n_spikes=0):
    """Driven by its inputs, or with n_spikes channels before them filtered; no bias, rest at 0."""
    weights = {
        "m": random(generator, n_units, rank, scale=math.sqrt(rank)),
        "n": random(generator, n_units, rank, scale=math.sqrt(rank)),
        "wi": random(generator, n_inputs, n_units, scale=math.sqrt(n_units)),
        "si": np.ones(n_inputs, np.float32), "b": np.zeros(n_units, np.float32),
        "h0": np.zeros(n_units, np.float32),
        "wo": random(generator, n_units, 2), "so": np.ones(2, np.float32),
    }
    hyper = {"form": "driven", "alpha": 0.2, "output": "linear", "output_activation": "tanh"}
    if n_spikes:
        weights.update({"filter.Q": 0.01 * np.eye(rank), "filter.P0": np.eye(rank),
                        "observation.gain": random(generator, n_spikes, scale=n_spikes ** 0.5),
                        "observation.bias": np.full(n_spikes, LOG_MEAN, np.float32)})
        hyper.update(form="filtered", observation="units", iterations=2)
    outputs = (rank + n_inputs, n_spikes, velocity_readout())
    return finish(path, "lowrank", n_spikes + n_inputs, ["causal"], hyper,
                  outputs=outputs, weights=weights, n_bins=8)


def refit(path, generator, *, n_channels):
    weights = {
        "A": 0.9 * np.eye(2), "Q": 50 * np.eye(2), "R": np.eye(n_channels),
        "C.velocity": 0.01 * generator.standard_normal((n_channels, 2)),
        "C.position": 0.005 * generator.standard_normal((n_channels, 2)),
        "offset": np.full(n_channels, 0.2), "p0": np.zeros(2),
        "position.min": np.full(2, -100.0), "position.max": np.full(2, 100.0),
    }
    readout = [model_file.readout_entry(name, "mm") for name in ("px", "py")]
    return finish(path, "refit", n_channels, ["causal"], {},
                  outputs=(4, 0, readout + velocity_readout()), weights=weights, n_bins=8)


def smc_convs(generator, n_channels, channels, kernels, n_latents):
    """The encoder: two convolutions and two heads."""
    layers = {"initial_stack.1": (channels[0], n_channels, kernels[0]),
              "initial_stack.4": (channels[1], channels[0], kernels[1]),
              "mean_conv": (n_latents, channels[1], kernels[2]),
              "logvar_conv": (n_latents, channels[1], kernels[2])}
    weights = {}
    for name, shape in layers.items():
        weights[name + ".weight"] = random(generator, *shape, scale=shape[1] ** -0.5)
        weights[name + ".bias"] = np.zeros(shape[0], np.float32)
    return weights


def smc(path, generator, *, n_channels, n_rates, n_latents, units, particles, channels=(128, 64),
        kernels=(14, 4, 2)):
    """A low-rank RNN under a variational particle filter."""
    weights = {
        "transition.m": random(generator, units, n_latents, scale=math.sqrt(n_latents)),
        "transition.n": random(generator, n_latents, units, scale=0.2 * units ** -0.5),
        "transition.h": np.abs(random(generator, units, scale=math.sqrt(units))),
        "transition.decay": np.full((), -2.0, np.float32),
        "R_z": np.full(n_latents, -3.0, np.float32),
        "R_z_t0": np.zeros(n_latents, np.float32),
        "initial_state": np.zeros(n_latents, np.float32),
        "observation.B": random(generator, n_latents, n_rates, scale=0.2),
        "observation.Bias": np.full(n_rates, LOG_MEAN, np.float32),
        **smc_convs(generator, n_channels, channels, kernels, n_latents)}
    hyper = {"particles": particles, "proposal": "variational", "seed": 1,
             "activation": "clipped_relu", "rate": "softplus"}
    return finish(path, "smc", n_channels, ["causal"], hyper,
                  outputs=(n_latents, n_rates, []), weights=weights, n_bins=0,
                  counts=smc_export.certain_counts)


def marble(path, generator, *, n_channels, n_points, n_dims):
    """The published sizes: order 2, 155 features, 100 hidden, 3 out; the cloud's fields are random
    too, which changes no step's work."""
    d, features = n_dims, n_dims + n_dims ** 2 + n_dims ** 3
    position = generator.standard_normal((n_points, d))
    reach = [np.partition(np.linalg.norm(position - x, axis=1), 30)[30] for x in position]
    norm = {"weight": np.ones(100), "bias": np.zeros(100), "running_mean": np.zeros(100),
            "running_var": np.ones(100)}
    weights = {
        "cloud.position": position, "cloud.reach": np.array(reach),
        "cloud.series": generator.standard_normal((n_points, d)),
        "cloud.vector": generator.standard_normal((n_points, d)),
        "cloud.gradient": generator.standard_normal((n_points, d * d)),
        "projection.weight": generator.standard_normal((d, n_channels)) / np.sqrt(n_channels),
        "projection.mean": np.full(n_channels, math.exp(LOG_MEAN)),
        "enc.lins.0.weight": random(generator, 100, features),
        "enc.lins.0.bias": np.zeros(100, np.float32),
        "enc.lins.1.weight": random(generator, 3, 100),
        "enc.lins.1.bias": np.zeros(3, np.float32),
        "readout.weight": random(generator, 2, 3), "readout.bias": np.zeros(2, np.float32),
        **{f"enc.norms.0.module.{k}": v.astype(np.float32) for k, v in norm.items()},
    }
    hyper = {"rho": 0.7, "stages": 2, "warmup_bins": 0, "k": 30, "delta": 1.0, "order": 2,
             "diffusion_time": 1.0, "scale": 1.0, "same_point": 1e-9, "frame": "axes",
             "inner_products": False, "emb_norm": False}
    return finish(path, "marble", n_channels, ["causal"], hyper,
                  outputs=(3, 0, velocity_readout()), weights=weights, n_bins=8)

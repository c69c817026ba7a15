#!/usr/bin/python3
"""The stochastic low-rank RNN and its particle filter in float64 numpy: the answer key.

Shapes: T bins, C channels (units 0..C-1 of N), N rates, S latents, M units of the RNN, K particles.
  transition   z' ~ N(a z + n phi(m z; h), exp(R_z)), a = exp(-exp(decay)); bin 0:
               N(initial_state, exp(R_z_t0))
  observation  x ~ Poisson(g(z B + Bias)), counts per bin
  encoder      causal convolutions with GELU, zeros before the first bin -> mean and log-variance
               of N(z)
  filter       variational: z drawn from the product of transition and encoder; bootstrap: from
               the transition
"""
import math

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common.reference_command import reference_main
from latent_models.common.refusal import Refusal, run_command
from latent_models.smc import draws

VARIANCE_RANGE = (1e-8, 100.0)
ENCODER_CONVS = ("initial_stack.1", "initial_stack.4")
HEADS = ("mean_conv", "logvar_conv")
erf = np.vectorize(math.erf)

ACTIVATIONS = {"relu": lambda x, h: np.maximum(x - h, 0),
               "clipped_relu": lambda x, h: np.maximum(x + h, 0) - np.maximum(x, 0),
               "tanh": lambda x, h: np.tanh(x - h)}
LOG_RATE_MAX = 40  # absurd counts must not end a filter in infinity
RATES = {"softplus": lambda y: np.logaddexp(0, y) + 1e-6,
         "exp": lambda y: np.exp(np.clip(y, -LOG_RATE_MAX, LOG_RATE_MAX))}


def gelu(x):
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def variance_of(logarithm):
    return np.clip(np.exp(logarithm), *VARIANCE_RANGE)


def convolve(weight, bias, x):
    """Causal: weight [out, in, k], x [T, in], zeros before the first bin -> [T, out]."""
    k = weight.shape[2]
    padded = np.concatenate([np.zeros((k - 1, x.shape[1])), x])
    return sum(padded[j:j + len(x)] @ weight[:, :, j].T for j in range(k)) + bias


def encode(w, counts):
    """counts [T, C] -> mean [T, S], variance [T, S]."""
    x = counts
    for name in ENCODER_CONVS:
        x = gelu(convolve(w[name + ".weight"], w[name + ".bias"], x))
    mean, logarithm = (convolve(w[name + ".weight"], w[name + ".bias"], x) for name in HEADS)
    return mean, variance_of(logarithm)


def encoder_bins(w):
    """How many bins the encoder sees; what it says of the last one does not depend on earlier
    ones."""
    return sum(w[name + ".weight"].shape[2] - 1 for name in (*ENCODER_CONVS, HEADS[0])) + 1


def transition(w, hyper, z):
    """z [K, S] -> mean of the next [K, S]."""
    decay = math.exp(-math.exp(float(w["transition.decay"].reshape(()))))
    unit = ACTIVATIONS[hyper["activation"]](z @ w["transition.m"].T, w["transition.h"])
    return decay * z + unit @ w["transition.n"].T


def rates_of(w, hyper, z):
    """z [K, S] -> expected counts per bin [K, N]."""
    return RATES[hyper["rate"]](z @ w["observation.B"] + w["observation.Bias"])


def propose(prior, prior_var, mean, variance):
    """Product of two diagonal Gaussians -> (mean [K, S], variance [S])."""
    precision = 1 / prior_var + 1 / variance
    return (prior / prior_var + mean / variance) / precision, 1 / precision


def log_weights(z, prior, prior_var, proposal, rates, *, counts):
    """log p(counts | z) + log N(z; prior) - log N(z; proposal), without the factorials of the
    counts -> [K]. proposal: (mean, variance), or None where it is the prior."""
    seen = rates[:, :len(counts)]
    logs = counts @ np.log(seen).T - seen.sum(1)
    if proposal is None:
        return logs
    mean, variance = proposal
    logs += 0.5 * ((z - mean) ** 2 / variance - (z - prior) ** 2 / prior_var).sum(1)
    return logs + 0.5 * np.log(variance / prior_var).sum()


def resample(log_weight, u):
    """Systematic: tooth k at (u + k) / K of the cumulative weights, divided by their last ->
    (ancestors [K], smallest distance of a tooth to a cumulative weight)."""
    cumulative = np.cumsum(np.exp(log_weight - log_weight.max()))
    cumulative /= cumulative[-1]
    teeth = (u + np.arange(len(log_weight))) / len(log_weight)
    margin = np.abs(cumulative[None, :-1] - teeth[:, None]).min() if len(teeth) > 1 else 1.0
    return np.minimum(np.searchsorted(cumulative, teeth), len(teeth) - 1), margin


def filter_bin(w, hyper, z, counts, encoded, *, eps, u):
    """One bin. z [K, S] or None at bin 0; encoded: (mean, variance) [S] or None (bootstrap)
    -> dict with the particles after resampling and every stage."""
    start = z is None
    prior = np.broadcast_to(w["initial_state"], eps.shape) if start else transition(w, hyper, z)
    prior_var = variance_of(w["R_z_t0" if start else "R_z"])
    proposal = None if encoded is None else propose(prior, prior_var, *encoded)
    mean, variance = (prior, prior_var) if proposal is None else proposal
    drawn = mean + np.sqrt(variance) * eps
    rates = rates_of(w, hyper, drawn)
    logs = log_weights(drawn, prior, prior_var, proposal, rates, counts=counts)
    ancestors, margin = resample(logs, u)
    return {"particles": drawn[ancestors], "rates": rates[ancestors].mean(0), "drawn": drawn,
            "log_weight": logs, "ancestors": ancestors, "margin": margin}


def forecast_bin(w, hyper, z, eps):
    """One bin without counts -> particles."""
    start = z is None
    mean = np.broadcast_to(w["initial_state"], eps.shape) if start else transition(w, hyper, z)
    return mean + np.sqrt(variance_of(w["R_z_t0" if start else "R_z"])) * eps


def as_doubles(weights):
    return {name: np.asarray(array, np.float64) for name, array in weights.items()}


def encode_bin(w, hyper, counts, t):
    """What the encoder says of bin t: (mean, variance), or None without an encoder."""
    if hyper["proposal"] == "bootstrap":
        return None
    mean, variance = encode(w, counts[max(0, t + 1 - encoder_bins(w)):t + 1])
    return mean[-1], variance[-1]


def step_bin(w, hyper, z, counts, t):
    """filter_bin() of bin t of counts [T, C] with the generator's draws."""
    shape = (hyper["particles"], len(w["initial_state"]))
    eps = draws.normals(hyper["seed"], t, shape[0] * shape[1]).reshape(shape)
    return filter_bin(w, hyper, z, counts[t], encode_bin(w, hyper, counts, t), eps=eps,
                      u=draws.uniform(hyper["seed"], t))


def run_stages(weights, config, counts, missing=()):
    """Every bin's filter_bin() with the generator's draws. A missing bin is forecast, and its
    mean rates go through the encoder as counts."""
    hyper, w, counts = config["hyper"], as_doubles(weights), counts.copy()
    z, stages = None, []
    for t in range(len(counts)):
        if t in missing:
            shape = (hyper["particles"], len(w["initial_state"]))
            eps = draws.normals(hyper["seed"], t, shape[0] * shape[1]).reshape(shape)
            z = forecast_bin(w, hyper, z, eps)
            stages.append({"particles": z, "rates": rates_of(w, hyper, z).mean(0), "margin": 1.0})
            counts[t] = stages[-1]["rates"][:counts.shape[1]]
            continue
        stages.append(step_bin(w, hyper, z, counts, t))
        z = stages[-1]["particles"]
    return stages


def run(weights, config, counts, mode, missing=()):
    """counts [T, C], bins without counts -> dict of latents [T, S], lograte [T, N] and, with a
    readout, readout [T, O]."""
    if mode != "causal":
        raise Refusal(f"mode {mode} is unknown; an smc has causal")
    stages = run_stages(weights, config, np.asarray(counts, np.float64), missing)
    latents = np.stack([stage["particles"].mean(0) for stage in stages])
    answer = {"latents": latents, "readout": None,
              "lograte": np.log(np.stack([stage["rates"] for stage in stages]))}
    if "readout.weight" in weights:
        w = as_doubles(weights)
        answer["readout"] = latents @ w["readout.weight"].T + w["readout.bias"]
    return answer


if __name__ == "__main__":
    run_command(lambda: reference_main(run, __doc__))

#!/usr/bin/python3
"""LFADS in float64 numpy: the answer key for exporter, tests and C. Posterior means, no sampling.

Shapes: T bins, C channels (the last X of them external inputs, the others N spikes), I and E
encoders, S controller, U its outputs, G generator, K factors, W window_bins, P prefix_bins. Modes:
  window  bin t is the newest of the bins max(0, t-W+1)..t, all of them encoded.
  prefix  the first P bins give the initial condition, from then on controller (forward only) and
          generator run on; before that, as if the bins so far were the prefix.
  trial   one whole trial. Bins from W on are forecasts, unless the model can run in mode prefix:
          then every bin is used as it comes.
A missing bin (see run) is one step of controller and generator without input from the encoder;
where the bin itself is needed later, in a window or a prefix or for the controller, it counts as
the counts the model expected, or as the training mean where it has no rate for each channel.
"""

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common import links
from latent_models.common.reference_command import reference_main
from latent_models.common.refusal import Refusal, run_command

CELL = "decoder.rnn.cell."


def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


def clipped_gru(weights, prefix, x, h, clip):
    """Row blocks z, r, n; reset before the product; the new state clipped. x, h: vectors."""
    size = len(h)
    w, u = weights[prefix + ".weight_ih"], weights[prefix + ".weight_hh"]
    given = w @ x + weights[prefix + ".bias_ih"] + weights[prefix + ".bias_hh"]
    z = sigmoid(given[:size] + u[:size] @ h)
    r = sigmoid(given[size:2 * size] + u[size:2 * size] @ h)
    n = np.tanh(given[2 * size:] + u[2 * size:] @ (r * h))
    return np.clip(z * h + (1 - z) * n, -clip, clip)


def run_cell(weights, prefix, rows, h, clip):
    """States after each of the rows [T, H]."""
    states = []
    for x in rows:
        h = clipped_gru(weights, prefix, x, h, clip)
        states.append(h)
    return np.array(states).reshape(len(rows), len(h))


class Network:
    """The layers of one model. x is always [T, C - X] spikes after the read-in."""

    def __init__(self, weights, hyper):
        self.w = {name: np.asarray(array, np.float64) for name, array in weights.items()}
        self.h = hyper
        self.clip = hyper["cell_clip"]
        self.has_controller = hyper["con_dim"] > 0
        fac = self.w[CELL + "fac_linear.weight"]
        self.fac = fac / np.maximum(np.sqrt((fac ** 2).sum(1, keepdims=True)), 1e-12)

    def affine(self, name, x):
        return x @ self.w[name + ".weight"].T + self.w[name + ".bias"]

    def split(self, counts):
        """counts [T, C] -> (x [T, N'], external inputs [T, X])."""
        n = counts.shape[1] - self.h["ext_input_dim"]
        x = counts[:, :n]
        return (self.affine("readin", x) if self.h["readin_dim"] else x), counts[:, n:]

    def ic_encoding(self, x):
        """[forward state after the last row; backward state after the first]."""
        h0 = self.w["encoder.ic_enc_h0"][:, 0]
        ahead = run_cell(self.w, "encoder.ic_enc.fwd_gru.cell", x, h0[0], self.clip)
        back = run_cell(self.w, "encoder.ic_enc.bwd_gru.cell", x[::-1], h0[1], self.clip)
        return np.concatenate([ahead[-1], back[-1]])

    def ic_posterior(self, x):
        """-> (mean, log-variance) of the initial condition."""
        y = self.affine("encoder.ic_linear", self.ic_encoding(x))
        return y[:self.h["ic_dim"]], y[self.h["ic_dim"]:]

    def ic_mean(self, x):
        if self.h["ic_enc_dim"] == 0:
            return self.w["ic_prior.mean"]
        return self.ic_posterior(x)[0]

    def start(self, x):
        """Decoder state before the first bin: (generator, factors, controller, its output)."""
        g = self.affine("decoder.ic_to_g0", self.ic_mean(x))
        con = self.w["decoder.con_h0"][0] if self.has_controller else np.zeros(0)
        return g, self.fac @ g, con, np.zeros(self.h["co_dim"])

    def ci(self, x):
        """Input of the controller from the encoder, rows of x [T, E or 2E]: the state `lag` bins
        before and, if bidirectional, the backward state `lag` bins after; zeros where none is."""
        size, lag, n = self.h["ci_enc_dim"], self.h["ci_lag"], len(x)
        h0 = self.w["encoder.ci_enc_h0"][:, 0]
        parts = [np.zeros((n, size)) for _ in h0]
        ahead = run_cell(self.w, "encoder.ci_enc.fwd_gru.cell", x, h0[0], self.clip)
        parts[0][lag:] = ahead[:max(n - lag, 0)]
        if self.h["ci_bidirectional"]:
            back = run_cell(self.w, "encoder.ci_enc.bwd_gru.cell", x[::-1], h0[1], self.clip)[::-1]
            parts[1][:max(n - lag, 0)] = back[lag:]
        return np.concatenate(parts, 1)

    def step(self, state, ci, ext):
        """One bin of controller and generator."""
        g, fac, con, u = state
        if self.has_controller:
            con = clipped_gru(self.w, CELL + "con_cell", np.concatenate([ci, fac]), con, self.clip)
            u = self.affine(CELL + "co_linear", con)[:self.h["co_dim"]]
        g = clipped_gru(self.w, CELL + "gen_cell", np.concatenate([u, ext]), g, self.clip)
        return g, self.fac @ g, con, u

    def free_step(self, state):
        """A bin without input."""
        n_ci = self.h["ci_enc_dim"] * (2 if self.h["ci_bidirectional"] else 1)
        return self.step(state, np.zeros(n_ci), np.zeros(self.h["ext_input_dim"]))

    def encode(self, x):
        """The controller's input for every row of x; zeros for the prefix."""
        if not self.has_controller:
            return np.zeros((len(x), 0))
        rows = self.ci(x[self.h["prefix_bins"]:])
        return np.concatenate([np.zeros((len(x) - len(rows), rows.shape[1])), rows])

    def decode(self, x, ext):
        """All states for the rows of x, from a fresh start: list of length T."""
        state = self.start(x[:self.h["prefix_bins"] or None])
        states = []
        for c, e in zip(self.encode(x), ext):
            state = self.step(state, c, e)
            states.append(state)
        return states

    def readout(self, state):
        """Log-rates or, of a Gaussian model, means."""
        y = self.affine("readout", state[1])
        return y if self.h["reconstruction"] == "poisson" else y[:len(y) // 2]

    def runs_on(self):
        """Can the model go on bin by bin after its prefix?"""
        causal = not (self.has_controller and self.h["ci_bidirectional"])
        return causal and (self.h["ic_enc_dim"] == 0 or self.h["prefix_bins"] > 0)


def expected_counts(net, config, state):
    """What a missing bin counts as [C]; external inputs are zero."""
    hyper, row = net.h, np.zeros(config["n_channels"])
    n = len(row) - hyper["ext_input_dim"]
    y = net.readout(state)
    if len(y) >= n:
        is_poisson = hyper["reconstruction"] == "poisson"
        row[:n] = (np.exp(links.lograte(hyper, y)) if is_poisson else y)[:n]
    elif "channels" in config:
        row[:n] = np.asarray(config["channels"]["mean"])[:n]
    else:
        raise Refusal("no rate for each channel and no training means: missing bins cannot be "
                      "filled")
    return row


def first_missing(net, config):
    """A missing first bin: the training mean, or zeros."""
    row = np.zeros(config["n_channels"])
    n = len(row) - net.h["ext_input_dim"]
    if "channels" in config:
        row[:n] = np.asarray(config["channels"]["mean"])[:n]
    return row


def run_window(net, config, counts, missing):
    """Bin by bin -> list of states."""
    state, rows, states = None, np.zeros((0, counts.shape[1])), []
    for t, row in enumerate(counts):
        gap = t in missing and t > 0
        if gap:
            state = net.free_step(state)
            row = expected_counts(net, config, state)
        elif t in missing:
            row = first_missing(net, config)
        rows = np.vstack([rows, row])[-net.h["window_bins"]:]
        if not gap:
            state = net.decode(*net.split(rows))[-1]
        states.append(state)
    return states


def run_prefix(net, config, counts, missing):
    """Bin by bin, the prefix as it grows -> list of states."""
    n_prefix, filled, states = net.h["prefix_bins"], counts.copy(), []
    if not net.has_controller:
        counts = counts[:net.h["trial_bins"]]
    for t in range(len(counts)):
        state, before = None, None if n_prefix else net.start(None)
        if states:
            before = states[-1]
        if t in missing and before is not None:
            state = net.free_step(before)
            filled[t] = expected_counts(net, config, state)
        elif t in missing:
            filled[t] = first_missing(net, config)
        x, ext = net.split(filled[:t + 1])
        if t + 1 == n_prefix or (t < n_prefix and state is None):
            state = net.decode(x, ext)[-1]
        elif state is None:
            ci = net.ci(x[n_prefix:])[-1] if net.has_controller else np.zeros(0)
            state = net.step(before, ci, ext[-1])
        states.append(state)
    return states


def run_trial(net, counts):
    """A whole trial -> list of states."""
    if not (net.runs_on() and net.has_controller):
        counts = counts[:net.h["trial_bins"]]
    x, ext = net.split(counts if net.runs_on() else counts[:net.h["window_bins"]])
    states = net.decode(x, ext)
    while len(states) < len(counts):
        states.append(net.free_step(states[-1]))
    return states


def run(weights, config, counts, mode, missing=()):
    """counts [T, C] -> dict of latents, lograte or None, readout or None. missing: bins that did
    not come (not in trial)."""
    net, missing = Network(weights, config["hyper"]), set(missing)
    counts = np.asarray(counts, np.float64)
    if mode == "prefix" and not net.runs_on():
        raise Refusal("mode prefix needs an initial condition from a prefix (or a constant one) "
                      "and no controller, or one that looks back only")
    if mode == "trial":
        states = run_trial(net, counts)
    elif mode in ("window", "prefix"):
        states = {"window": run_window, "prefix": run_prefix}[mode](net, config, counts, missing)
    else:
        raise Refusal(f"mode {mode} is unknown; lfads has window, prefix and trial")
    part = ("generator", "factors", "controller", "inputs").index(config["hyper"]["latents"])
    y = np.stack([net.readout(state) for state in states])
    poisson = config["hyper"]["reconstruction"] == "poisson"
    y = links.lograte(config["hyper"], y) if poisson else y
    return {"latents": np.stack([state[part] for state in states]),
            "lograte": y if poisson else None, "readout": None if poisson else y}


if __name__ == "__main__":
    run_command(lambda: reference_main(run, __doc__))

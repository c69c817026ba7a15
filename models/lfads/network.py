"""LFADS in PyTorch, written for training speed: the cells of all encoders run side by side."""
import torch
from torch import nn
from torch.nn.functional import linear, normalize

CELL = "decoder.rnn.cell."
CLIP = 5.0
LEAST_VARIANCE = 1e-4  # of the initial condition's posterior


class Cells(nn.Module):
    """P clipped GRU cells of one size, side by side. Row blocks z, r, n; the reset before the
    product. The update gate starts biased towards keeping the state."""

    def __init__(self, n_cells, n_in, size):
        super().__init__()
        self.size = size
        self.weight_ih = nn.Parameter(torch.randn(n_cells, 3 * size, n_in) / max(n_in, 1) ** 0.5)
        self.weight_hh = nn.Parameter(torch.randn(n_cells, 3 * size, size) / size ** 0.5)
        self.bias = nn.Parameter(torch.zeros(n_cells, 1, 3 * size))
        with torch.no_grad():
            self.bias[:, :, :size] = 1.0

    def given(self, x):
        """What the inputs x [P, R, N] contribute, [P, R, 3H]."""
        return torch.baddbmm(self.bias, x, self.weight_ih.transpose(1, 2))

    def recurrent(self):
        """Weights for step(): of the gates, of the candidate."""
        gates, candidate = self.weight_hh.split([2 * self.size, self.size], 1)
        return gates.transpose(1, 2), candidate.transpose(1, 2)

    def step(self, given, h, recurrent):
        """given [P, B, 3H], h [P, B, H] -> the next h."""
        for_gates, for_candidate = given.split([2 * self.size, self.size], 2)
        z, r = torch.sigmoid(torch.baddbmm(for_gates, h, recurrent[0])).chunk(2, 2)
        n = torch.tanh(torch.baddbmm(for_candidate, r * h, recurrent[1]))
        return torch.lerp(n, h, z).clamp(-CLIP, CLIP)

    def tensors(self, names):
        """Published names -> tensors, names one per cell."""
        out = {}
        for i, name in enumerate(names):
            out.update({name + ".weight_ih": self.weight_ih[i], name + ".bias_ih": self.bias[i, 0],
                        name + ".weight_hh": self.weight_hh[i],
                        name + ".bias_hh": torch.zeros_like(self.bias[i, 0])})
        return out


class Lfads(nn.Module):
    """counts [B, T, C] -> log expected counts and the divergence from the priors. Causal: a
    controller that looks back only and a learnt, constant initial condition."""

    def __init__(self, hyper, n_channels):
        super().__init__()
        self.hyper, h = hyper, hyper
        self.causal = not h["ci_bidirectional"]
        size, n_directions = h["ci_enc_dim"], 1 if self.causal else 2
        self.encoders = Cells(1 if self.causal else 4, n_channels, size)
        self.h0 = nn.Parameter(torch.zeros(self.encoders.weight_hh.shape[0], 1, size))
        if self.causal:
            self.ic_mean = nn.Parameter(0.1 * torch.randn(h["ic_dim"]))
        else:
            self.ic_linear = nn.Linear(2 * size, 2 * h["ic_dim"])
        self.ic_to_g0 = nn.Linear(h["ic_dim"], h["gen_dim"])
        self.con_h0 = nn.Parameter(torch.zeros(1, h["con_dim"]))
        self.controller = Cells(1, n_directions * size + h["fac_dim"], h["con_dim"])
        self.co_linear = nn.Linear(h["con_dim"], 2 * h["co_dim"])
        self.generator = Cells(1, h["co_dim"], h["gen_dim"])
        self.factors = nn.Parameter(torch.randn(h["fac_dim"], h["gen_dim"]))
        self.readout = nn.Linear(h["fac_dim"], n_channels)
        self.prior = nn.Parameter(torch.full((h["co_dim"],), -2.3))  # log-variance of inputs

    def encode(self, x):
        """x [T, B, C] -> states of the encoders [P, T, B, E], each in its own time's order."""
        n_cells, (n_bins, n_trials, n_channels) = len(self.h0), x.shape
        rows = torch.stack([x, x.flip(0)] * 2)[:n_cells].reshape(n_cells, -1, n_channels)
        given = self.encoders.given(rows).view(n_cells, n_bins, n_trials, -1).transpose(0, 1)
        recurrent, states = self.encoders.recurrent(), []
        h = self.h0.expand(-1, n_trials, -1)
        for row in given.contiguous().unbind(0):
            h = self.encoders.step(row, h, recurrent)
            states.append(h)
        return torch.stack(states, 1)

    def controller_input(self, states):
        """[T, B, E or 2E]: the forward state of `lag` bins before, the backward one of as many
        after, zeros where there is none."""
        lag = self.hyper["ci_lag"]
        ahead = states[0] if self.causal else states[2]
        none = torch.zeros_like(ahead[:lag])
        ahead = torch.cat([none, ahead[:len(ahead) - lag]])
        if self.causal:
            return ahead
        return torch.cat([ahead, torch.cat([states[3].flip(0)[lag:], none])], 2)

    def start(self, states, n_trials):
        """-> initial condition [B, D0], divergence of its posterior from the prior per trial."""
        if self.causal:
            return self.ic_mean.expand(n_trials, -1), 0.0
        ends = torch.cat([states[0, -1], states[1, -1]], 1)
        mean, log_variance = self.ic_linear(ends).chunk(2, 1)
        variance = torch.exp(log_variance) + LEAST_VARIANCE
        return self.sampled(mean, variance), divergence(mean, variance, mean.new_tensor(0.1))

    def sampled(self, mean, variance):
        """A draw in training, the mean otherwise."""
        return mean + variance.sqrt() * torch.randn_like(mean) if self.training else mean

    def decode(self, ci, g):
        """Controller and generator, bin by bin -> (factors [T, B, K], divergence per trial)."""
        con = self.con_h0.expand(g.shape[0], -1)[None]
        w_factors, n_ci = normalize(self.factors), ci.shape[2]
        of_ci, of_factors = self.controller.weight_ih[0].split([n_ci, self.hyper["fac_dim"]], 1)
        from_ci = linear(ci, of_ci, self.controller.bias[0, 0])
        for_controller, for_generator = self.controller.recurrent(), self.generator.recurrent()
        prior = torch.exp(self.prior)
        fac, g, rows, total = linear(g, w_factors), g[None], [], 0.0
        for given in from_ci.unbind(0):
            con = self.controller.step((given + linear(fac, of_factors))[None], con, for_controller)
            mean, log_variance = self.co_linear(con[0]).chunk(2, 1)
            variance = torch.exp(log_variance)
            u = self.sampled(mean, variance)
            if self.training:
                total = total + divergence(mean, variance, prior)
            g = self.generator.step(self.generator.given(u[None]), g, for_generator)
            fac = linear(g[0], w_factors)
            rows.append(fac)
        return torch.stack(rows), total

    def forward(self, counts):
        """-> (log expected counts [B, T, C], divergence [B])."""
        x = counts.transpose(0, 1)
        states = self.encode(x)
        ic, total = self.start(states, x.shape[1])
        factors, of_inputs = self.decode(self.controller_input(states), self.ic_to_g0(ic))
        return self.readout(factors).transpose(0, 1), total + of_inputs

    def tensors(self):
        """All tensors under their published names."""
        directions = ("fwd",) if self.causal else ("fwd", "bwd")
        kinds = ("ci",) if self.causal else ("ic", "ci")
        names = [f"encoder.{kind}_enc.{d}_gru.cell" for kind in kinds for d in directions]
        n = len(directions)
        out = {**self.encoders.tensors(names), **self.controller.tensors([CELL + "con_cell"]),
               **self.generator.tensors([CELL + "gen_cell"]),
               "encoder.ci_enc_h0": self.h0[-n:], "decoder.con_h0": self.con_h0,
               CELL + "fac_linear.weight": self.factors}
        linears = {"decoder.ic_to_g0": self.ic_to_g0, CELL + "co_linear": self.co_linear,
                   "readout": self.readout}
        if self.causal:
            out["ic_prior.mean"] = self.ic_mean
        else:
            out["encoder.ic_enc_h0"] = self.h0[:2]
            linears["encoder.ic_linear"] = self.ic_linear
        for name, layer in linears.items():
            out.update({name + ".weight": layer.weight, name + ".bias": layer.bias})
        return {name: tensor.detach().clone() for name, tensor in out.items()}


def divergence(mean, variance, prior):
    """Kullback-Leibler, of independent Gaussians from those of mean 0 and variance prior; summed
    over the last axis."""
    ratio = variance / prior
    return 0.5 * (ratio + mean ** 2 / prior - 1 - torch.log(ratio)).sum(-1)

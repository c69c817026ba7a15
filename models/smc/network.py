"""A stochastic low-rank RNN, its encoder and its particle filter in PyTorch; tensor names of the
model file. Shapes: B trials, K particles, T bins, C channels = N rates, S latents, M units."""
import math

import torch
from torch import nn
from torch.nn import functional as F

ACTIVATIONS = {"relu": lambda x, h: F.relu(x - h),
               "clipped_relu": lambda x, h: F.relu(x + h) - F.relu(x),
               "tanh": lambda x, h: torch.tanh(x - h)}
RATES = {"softplus": lambda y: F.softplus(y) + 1e-6, "exp": torch.exp}
VARIANCE_RANGE = (1e-8, 100.0)


class Transition(nn.Module):
    """z -> a z + n phi(m z; h)."""

    def __init__(self, n_latents, n_units, activation):
        super().__init__()
        self.m = nn.Parameter(torch.randn(n_units, n_latents))
        self.n = nn.Parameter(0.5 * torch.randn(n_latents, n_units) / n_units)
        self.h = nn.Parameter(torch.randn(n_units) if activation == "tanh" else
                              torch.rand(n_units) * 2)
        self.decay = nn.Parameter(torch.tensor(math.log(-math.log(0.9))))
        self.activation = ACTIVATIONS[activation]

    def forward(self, z):
        units = self.activation(z @ self.m.T, self.h)
        return torch.exp(-torch.exp(self.decay)) * z + units @ self.n.T


class Observation(nn.Module):
    """z -> expected counts per bin."""

    def __init__(self, n_latents, log_mean, rate):
        super().__init__()
        self.B = nn.Parameter(torch.randn(n_latents, len(log_mean)) / math.sqrt(n_latents))
        bias = log_mean if rate == "exp" else torch.log(torch.expm1(torch.exp(log_mean)))
        self.Bias = nn.Parameter(bias.clone())
        self.rate = RATES[rate]

    def forward(self, z):
        return self.rate(z @ self.B + self.Bias)


class Smc(nn.Module):
    """log_mean [C]: log of the training mean counts; kernels: taps of the three convolutions."""

    def __init__(self, log_mean, *, latents, units, channels, kernels, activation, rate):
        super().__init__()
        self.transition = Transition(latents, units, activation)
        self.observation = Observation(latents, log_mean, rate)
        self.R_z = nn.Parameter(torch.full((latents,), math.log(0.05)))
        self.R_z_t0 = nn.Parameter(torch.zeros(latents))
        self.initial_state = nn.Parameter(torch.zeros(latents))
        first, second, last = kernels
        self.initial_stack = nn.Sequential(
            nn.ConstantPad1d((first - 1, 0), 0.0), nn.Conv1d(len(log_mean), channels[0], first),
            nn.GELU(), nn.ConstantPad1d((second - 1, 0), 0.0),
            nn.Conv1d(channels[0], channels[1], second), nn.GELU())
        self.pad = nn.ConstantPad1d((last - 1, 0), 0.0)
        self.mean_conv = nn.Conv1d(channels[1], latents, last)
        self.logvar_conv = nn.Conv1d(channels[1], latents, last)

    def encode(self, counts):
        """counts [B, T, C] -> mean, variance [B, T, S]."""
        x = self.pad(self.initial_stack(counts.transpose(1, 2)))
        variance = torch.exp(self.logvar_conv(x)).clamp(*VARIANCE_RANGE)
        return self.mean_conv(x).transpose(1, 2), variance.transpose(1, 2)

    def prior(self, z, n_trials, n_particles):
        """-> mean [B, K, S] and variance [S] of the next z; z None: of the first."""
        start = z is None
        mean = self.initial_state.expand(n_trials, n_particles, -1) if start else self.transition(z)
        logarithm = self.R_z_t0 if start else self.R_z
        return mean, torch.exp(logarithm).clamp(*VARIANCE_RANGE)

    def filter(self, seen, counts, n_particles):
        """The variational particle filter. seen [B, T, C] goes to the encoder, counts [B, T, C]
        are scored -> (log-likelihood per bin [B, T] without factorials, latents [B, T, S],
        rates [B, T, N]): means over the resampled particles."""
        means, variances = self.encode(seen)
        z, likelihood, latents, rates = None, [], [], []
        for t in range(counts.shape[1]):
            prior, noise = self.prior(z, len(counts), n_particles)
            encoded, spread = means[:, None, t], variances[:, None, t]
            variance = 1 / (1 / noise + 1 / spread)
            centre = variance * (prior / noise + encoded / spread)
            eps = torch.randn_like(prior)
            z = centre + variance.sqrt() * eps
            rate = self.observation(z)
            weight = (counts[:, None, t] * rate.log() - rate).sum(-1)
            weight = weight + 0.5 * (torch.log(variance / noise) + eps ** 2
                                     - (z - prior) ** 2 / noise).sum(-1)
            likelihood.append(torch.logsumexp(weight, 1) - math.log(n_particles))
            chosen = systematic(weight.detach())[:, :, None]
            z = z.gather(1, chosen.expand_as(z))
            latents.append(z.mean(1))
            rates.append(rate.gather(1, chosen.expand_as(rate)).mean(1))
        return tuple(torch.stack(x, 1) for x in (likelihood, latents, rates))


def systematic(log_weight):
    """log_weight [B, K] -> ancestors [B, K]."""
    n_trials, n = log_weight.shape
    cumulative = torch.softmax(log_weight.double(), 1).cumsum(1)
    teeth = (torch.rand(n_trials, 1) + torch.arange(n)) / n
    return torch.searchsorted(cumulative, teeth.double()).clamp(max=n - 1)

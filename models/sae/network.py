"""The sequential auto-encoder in PyTorch; tensor names of the model file."""
import torch
from torch import nn
from torch.nn.functional import linear


class Nested(nn.Module):
    """A module as the only child vf, as the published code nests it."""

    def __init__(self, child):
        super().__init__()
        self.vf = child


class NodeDecoder(nn.Module):
    """dz/ds = W2 tanh(W1 z + b1) + b2, by steps of the classical Runge-Kutta method."""

    def __init__(self, latent, hidden, step, substeps):
        super().__init__()
        field = nn.Sequential(nn.Linear(latent, hidden), nn.Tanh(), nn.Linear(hidden, latent))
        self.vf = Nested(Nested(field))
        self.substeps, self.step = substeps, step / substeps

    def trajectory(self, z, n_bins):
        """z of bin 0 [B, D] -> list of n_bins states; the first is z itself."""
        first, _, second = self.vf.vf.vf
        h, states = self.step, [z]

        def slope(x):
            hidden = torch.tanh(linear(x, first.weight, first.bias))
            return linear(hidden, second.weight, second.bias)

        for i in range((n_bins - 1) * self.substeps):
            k1 = slope(z)
            k2 = slope(torch.add(z, k1, alpha=h / 2))
            k3 = slope(torch.add(z, k2, alpha=h / 2))
            k4 = slope(torch.add(z, k3, alpha=h))
            z = torch.add(z, torch.add(k1 + k4, k2 + k3, alpha=2), alpha=h / 6)
            if (i + 1) % self.substeps == 0:
                states.append(z)
        return states


class GruDecoder(nn.Module):
    """Torch's cell with a constant zero input; the first output is one step after z0."""

    def __init__(self, latent):
        super().__init__()
        self.cell = nn.GRUCell(1, latent)

    def trajectory(self, z, n_bins):
        """z0 [B, D] -> list of n_bins states."""
        nothing, states = z.new_zeros(len(z), 1), []
        while len(states) < n_bins:
            z = self.cell(nothing, z)
            states.append(z)
        return states


class Sae(nn.Module):
    """counts [B, T, C] -> (log expected counts [B, n, C], latents [B, n, D]) of the first n bins,
    all T where n_bins is None."""

    def __init__(self, hyper, n_channels):
        super().__init__()
        latent, size = hyper["latent_dim"], hyper["encoder_size"]
        self.encoder = nn.GRU(n_channels, size, batch_first=True, bidirectional=True)
        self.ic_linear = nn.Linear(2 * size, latent)
        self.decoder = GruDecoder(latent) if hyper["decoder"] == "gru" else \
            NodeDecoder(latent, hyper["hidden"], hyper["step"], hyper["substeps"])
        self.readout = nn.Linear(latent, n_channels)

    def forward(self, counts, n_bins=None):
        _, (ahead, back) = self.encoder(counts)
        z = self.ic_linear(torch.cat([ahead, back], 1))
        latents = torch.stack(self.decoder.trajectory(z, n_bins or counts.shape[1]), 1)
        return self.readout(latents), latents

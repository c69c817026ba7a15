"""A GRU over counts with a rate and a behaviour readout; tensor names of the model file."""
from torch import nn


class GruDecoder(nn.Module):
    """counts [B, T, C] -> (log expected counts [B, T, N] or None, behaviour [B, T, O] or None)."""

    def __init__(self, n_channels, hidden, layers=1, n_rates=0, n_readout=0):
        super().__init__()
        self.gru = nn.GRU(n_channels, hidden, layers, batch_first=True)
        self.rate = nn.Linear(hidden, n_rates) if n_rates else None
        self.readout = nn.Linear(hidden, n_readout) if n_readout else None

    def forward(self, counts):
        latents, _ = self.gru(counts)
        return (self.rate(latents) if self.rate is not None else None,
                self.readout(latents) if self.readout is not None else None)


def fold_scale(state_dict, mean, scale):
    """A readout trained on (y - mean) / scale becomes one of y. mean, scale: tensors [O]."""
    folded = dict(state_dict)
    folded["readout.weight"] = state_dict["readout.weight"] * scale[:, None]
    folded["readout.bias"] = state_dict["readout.bias"] * scale + mean
    return folded

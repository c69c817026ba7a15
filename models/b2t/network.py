"""The brain-to-text GRU in torch, with the tensor names of its public trainer."""
import torch
from torch import nn
from torch.nn import functional


class BrainToText(nn.Module):
    """z-scored features [B, T, C] of one session -> logits [B, K', O]; as streamed, no padding.
    sizes: n_features, n_units, n_layers, n_classes; window, stride: in bins; taps: float64 [J]."""

    def __init__(self, sizes, window, stride, taps, *, n_sessions=1, dropout=0.0):
        super().__init__()
        c, u = sizes["n_features"], sizes["n_units"]
        self.window, self.stride = window, stride
        self.register_buffer("taps", torch.tensor(taps, dtype=torch.float32), persistent=False)
        self.day_weights = nn.ParameterList([torch.eye(c) for _ in range(n_sessions)])
        self.day_biases = nn.ParameterList([torch.zeros(1, c) for _ in range(n_sessions)])
        self.gru = nn.GRU(window * c, u, sizes["n_layers"], batch_first=True,
                          dropout=dropout if sizes["n_layers"] > 1 else 0.0)
        self.out = nn.Linear(u, sizes["n_classes"])
        self.h0 = nn.Parameter(torch.zeros(1, 1, u))
        self.dropout = nn.Dropout(dropout)
        for name, array in self.gru.named_parameters():
            if "weight_hh" in name:
                nn.init.orthogonal_(array)

    def forward(self, x, session=0):
        n_trials, _, c = x.shape
        kernel = self.taps.expand(c, 1, -1)
        x = functional.conv1d(x.transpose(1, 2), kernel, groups=c).transpose(1, 2)
        z = functional.softsign(x @ self.day_weights[session] + self.day_biases[session])
        z = self.dropout(z).unfold(1, self.window, self.stride).transpose(2, 3).flatten(2)
        start = self.h0.expand(self.gru.num_layers, n_trials, -1).contiguous()
        return self.out(self.gru(z, start)[0])

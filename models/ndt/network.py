"""The NDT as a PyTorch module, with the tensor names of the published state dict.

Shapes: B trials, T bins, C channels, D width, H heads, F hidden (feed-forward).
"""
import math

import torch
from torch import nn
from torch.nn import functional


class Attention(nn.Module):
    """Multi-head self-attention whose parameters carry torch's own names."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x, mask):
        """x [B, T, D], mask [T, T] added to the logits -> [B, T, D]."""
        b, t, d = x.shape
        qkv = functional.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = qkv.view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        logits = q @ k.transpose(-1, -2) / math.sqrt(d // self.heads) + mask
        y = torch.softmax(logits, -1) @ v
        return self.out_proj(y.transpose(1, 2).reshape(b, t, d))


class Layer(nn.Module):
    """One encoder layer, pre- or post-norm."""

    def __init__(self, width, heads, hidden, pre_norm, dropout):
        super().__init__()
        self.pre_norm = pre_norm
        self.self_attn = Attention(width, heads)
        self.linear1 = nn.Linear(width, hidden)
        self.linear2 = nn.Linear(hidden, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def feed_forward(self, x):
        return self.linear2(self.dropout(torch.relu(self.linear1(x))))

    def forward(self, x, mask):
        if self.pre_norm:
            x = x + self.dropout(self.self_attn(self.norm1(x), mask))
            return x + self.dropout(self.feed_forward(self.norm2(x)))
        x = self.norm1(x + self.dropout(self.self_attn(x, mask)))
        return self.norm2(x + self.dropout(self.feed_forward(x)))


class ScaleNorm(nn.Module):
    """scale * x / max(|x|, 1e-5), one learnt scalar."""

    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(math.sqrt(width)))

    def forward(self, x):
        return self.scale * x / x.norm(dim=-1, keepdim=True).clamp(min=1e-5)


class Encoder(nn.Module):
    """The layer stack and its final norm."""

    def __init__(self, hyper, dropout):
        super().__init__()
        self.layers = nn.ModuleList(
            Layer(hyper["width"], hyper["heads"], hyper["hidden"], hyper["pre_norm"], dropout)
            for _ in range(hyper["layers"]))
        kinds = {"layer": nn.LayerNorm, "scale": ScaleNorm}
        self.norm = kinds[hyper["final_norm"]](hyper["width"])

    def forward(self, x, mask):
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm(x)


class LearntPosition(nn.Module):
    """A table with one row per bin of the trial."""

    def __init__(self, n_bins, width):
        super().__init__()
        self.pos_embedding = nn.Embedding(n_bins, width)
        nn.init.normal_(self.pos_embedding.weight, std=0.5)

    def forward(self, n_bins):
        return self.pos_embedding.weight[:n_bins]


class SinusoidalPosition(nn.Module):
    """The fixed table; row t is position t, or t + 1 with an offset."""

    def __init__(self, n_bins, width, offset):
        super().__init__()
        p = torch.arange(n_bins, dtype=torch.float64)[:, None] + (1 if offset else 0)
        omega = torch.exp(-math.log(10000) / width * torch.arange(0, width, 2, dtype=torch.float64))
        table = torch.stack((torch.sin(p * omega), torch.cos(p * omega)), -1).view(n_bins, width)
        self.register_buffer("pe", table[:, None].to(torch.get_default_dtype()))

    def forward(self, n_bins):
        return self.pe[:n_bins, 0]


def attention_mask(n_bins, forward, backward):
    """[T, T] of 0 and -inf: bin i reads bin j iff i - backward <= j <= i + forward.

    forward < 0: no forward limit; backward <= 0: no backward limit.
    """
    i, j = torch.arange(n_bins)[:, None], torch.arange(n_bins)[None, :]
    bad = torch.zeros(n_bins, n_bins, dtype=torch.bool)
    if forward >= 0:
        bad |= j > i + forward
    if backward > 0:
        bad |= j < i - backward
    return torch.zeros(n_bins, n_bins).masked_fill(bad, -math.inf)


class Ndt(nn.Module):
    """counts [B, T, C] -> log expected counts per bin [B, T, N]. hyper as in the model file."""

    def __init__(self, hyper, n_channels, n_rates=None, dropout=0.0):
        super().__init__()
        self.hyper = hyper
        width, n_bins = hyper["width"], hyper["trial_bins"]
        n_rates = n_channels if n_rates is None else n_rates
        if hyper["embed"] == "table":
            self.embedder = nn.Sequential(
                nn.Embedding(hyper["max_count"] + 2, hyper["embed_dim"]), nn.Flatten(2))
        if hyper["embed"] == "linear":
            self.embedder = nn.Linear(n_channels, width)
        if hyper["position"] == "learnt":
            self.pos_encoder = LearntPosition(n_bins, width)
        else:
            self.pos_encoder = SinusoidalPosition(n_bins, width, hyper["position_offset"])
        self.transformer_encoder = Encoder(hyper, dropout)
        self.decoder = nn.Sequential(nn.Linear(width, n_rates)) if hyper["head_layers"] == 1 else \
            nn.Sequential(nn.Linear(width, 16), nn.ReLU(), nn.Linear(16, n_rates))
        self.dropout = nn.Dropout(dropout)

    def embed(self, counts):
        """counts [B, T, C] -> [B, T, D]."""
        if self.hyper["max_count"] > 0:
            counts = counts.clamp(max=self.hyper["max_count"])
        if self.hyper["embed"] == "identity":
            return counts
        return self.embedder(counts.long() if self.hyper["embed"] == "table" else counts)

    def latents(self, counts):
        """counts [B, T, C] -> output of the final norm [B, T, D]."""
        n_bins = counts.shape[1]
        mask = attention_mask(n_bins, self.hyper["context_forward"],
                              self.hyper["context_backward"]).to(self.decoder[0].weight.dtype)
        x = self.embed(counts) * math.sqrt(self.hyper["width"]) + self.pos_encoder(n_bins)
        return self.transformer_encoder(self.dropout(x), mask)

    def forward(self, counts):
        y = self.decoder(self.latents(counts))
        return y if self.hyper["lograte"] else torch.log(torch.relu(y).clamp(min=1e-20))

"""Networks as people write their forward, for test_own.py: each beside the words it needs."""
import torch
from torch import nn
from torch.nn import functional as F

C, O = 12, 2


class ZScoredGru(nn.Module):
    """Buffers, an MLP head, (y, h) taken apart."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.rand(C) + 0.5)
        self.register_buffer("sd", torch.rand(C) + 0.5)
        self.gru = nn.GRU(C, 16, num_layers=2, batch_first=True, dropout=0.3)
        self.head = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, O))

    def forward(self, x):
        y, h = self.gru((x - self.mean) / (self.sd + 1e-6))
        return self.head(y)


class Lstm(nn.Module):
    """An initial state made in forward, time first, both states taken apart and returned."""

    def __init__(self):
        super().__init__()
        self.lstm, self.fc = nn.LSTM(C, 10), nn.Linear(10, O, bias=False)

    def forward(self, x):
        h0 = torch.zeros(1, x.size(1), 10, dtype=x.dtype, device=x.device)
        y, (h, c) = self.lstm(x, (h0, torch.zeros_like(h0)))
        return self.fc(torch.tanh(y)), (h, c)


class LearntState(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(C, 8, nonlinearity="relu", batch_first=True)
        self.h0, self.fc = nn.Parameter(torch.rand(1, 1, 8)), nn.Linear(8, O)

    def forward(self, x, h=None):
        if h is None:
            h = self.h0.expand(-1, x.shape[0], -1).contiguous()
        return self.fc(self.rnn(x, h)[0])


class Chomp(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.n = n

    def forward(self, x):
        return x[:, :, :-self.n].contiguous()


class Block(nn.Module):
    """Of the usual TCN: weight norm, padding on both sides, what is too much cut, a residual."""

    def __init__(self, n_in, n_out, dilation):
        super().__init__()
        pad = 2 * dilation
        self.net = nn.Sequential(
            nn.utils.weight_norm(nn.Conv1d(n_in, n_out, 3, padding=pad, dilation=dilation)),
            Chomp(pad), nn.ReLU(), nn.Dropout(0.2),
            nn.utils.weight_norm(nn.Conv1d(n_out, n_out, 3, padding=pad, dilation=dilation)),
            Chomp(pad), nn.ReLU())
        self.down = nn.Conv1d(n_in, n_out, 1) if n_in != n_out else None

    def forward(self, x):
        out = self.net(x)
        return F.relu(out + (x if self.down is None else self.down(x)))


class Tcn(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(C, 8, 1), Block(8, 8, 2)])
        self.out = nn.Linear(8, O)

    def forward(self, x):
        x = x.transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.out(x.permute(0, 2, 1))


class LookAhead(nn.Module):
    """padding="same" twice: three bins to come."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv1d(C, 8, 5, padding="same")
        self.b = nn.Conv1d(8, 8, 3, padding=1, groups=2)
        self.out = nn.Conv1d(8, O, 1)

    def forward(self, x):
        return self.out(F.gelu(self.b(torch.tanh(self.a(x)))))


class Causal(nn.Conv1d):
    """A subclass that pads by itself."""

    def forward(self, x):
        return super().forward(F.pad(x, ((self.kernel_size[0] - 1) * self.dilation[0], 0)))


class Wave(nn.Module):
    """Gated, with skips that are summed."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(C, 8)
        self.gates = nn.ModuleList(Causal(8, 16, 2, dilation=d) for d in (1, 2, 4))
        self.skips = nn.ModuleList(nn.Conv1d(8, 6, 1) for _ in range(3))
        self.out = nn.Conv1d(6, O, 1)

    def forward(self, x):
        x = self.first(x).swapaxes(1, 2)
        total = 0
        for gate, skip in zip(self.gates, self.skips):
            a, b = gate(x).chunk(2, dim=1)
            y = torch.tanh(a) * torch.sigmoid(b)
            total, x = total + skip(y), x + y
        return self.out(total).mT


class Valid(nn.Module):
    """No padding; the skip is cut."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv1d(C, C, 4), nn.Conv1d(C, O, 3)

    def forward(self, x):
        x = x.permute(0, 2, 1)
        y = torch.relu(self.a(x)) + x[..., 3:]
        return self.b(y).permute(0, 2, 1)


class Strided(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.gru = nn.Conv1d(C, 8, 4, stride=3), nn.GRU(8, 6, batch_first=True)
        self.out = nn.Linear(6, O)

    def forward(self, x):
        return self.out(self.gru(self.a(x.transpose(-1, -2)).transpose(-1, -2))[0])


class Flat(nn.Module):
    """All bins of all trials in one axis, and back."""

    def __init__(self):
        super().__init__()
        self.inside, self.norm = nn.Linear(C, 16), nn.BatchNorm1d(16)
        self.rnn, self.out = nn.GRU(16, 8, batch_first=True), nn.Linear(8, O)
        with torch.no_grad():
            self.norm.running_mean.normal_()
            self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        n, t, c = x.shape
        y = F.elu(self.norm(self.inside(x.reshape(n * t, c))))
        y, _ = self.rnn(y.view(n, t, -1))
        return self.out(y.flatten(0, 1)).view(n, t, 2)


class Mlp(nn.Module):
    """Of single bins, batch norm of them."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.BatchNorm1d(C), nn.Linear(C, 16), nn.SELU(), nn.LayerNorm(16),
                                 nn.Linear(16, O))

    def forward(self, x):
        return self.net(x)


class Functional(nn.Module):
    """Parameters of its own, matrices by hand, every kind of arithmetic."""

    def __init__(self):
        super().__init__()
        self.w, self.b = nn.Parameter(torch.randn(C, 8) / 4), nn.Parameter(torch.randn(8))
        self.u, self.gain = nn.Parameter(torch.randn(O, 8) / 3), nn.Parameter(torch.rand(()))

    def forward(self, counts):
        x = torch.sqrt(counts) * 2 - 0.5
        h = torch.nn.functional.layer_norm(x @ self.w + self.b, (8,))
        h = -h.clamp(-1, 1) + self.gain * h ** 2 - F.silu(h) / 3
        return F.linear(1 - h, self.u)


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.glu = nn.Linear(C, 8), nn.Linear(C, 8), nn.GLU(-1)
        self.one, self.out = nn.Linear(C, 1), nn.Linear(4 + 8, O)

    def forward(self, x):
        x = torch.log1p(x)
        h = torch.sigmoid(self.a(x)) * torch.tanh(self.b(x))
        z = torch.cat([self.glu(h), self.one(x).sigmoid() * h], dim=-1)
        return self.out(nn.functional.dropout(z, 0.5, self.training))


class Residual(nn.Module):
    """Nested, residual, activations by name."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(C, 8)
        self.body = nn.ModuleDict({f"b{k}": nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8), act)
                                   for k, act in enumerate((nn.GELU("tanh"), nn.LeakyReLU(0.2),
                                                            nn.PReLU(), nn.Softsign(), nn.Mish(),
                                                            nn.Hardswish(), nn.CELU(2.0),
                                                            nn.Softplus(2.0), nn.ReLU6()))})
        self.out = nn.Linear(8, O)

    def forward(self, x):
        x = self.stem(x)
        for block in self.body.values():
            x = x + block(x)
        return self.out(F.normalize(x, dim=-1) + F.softmax(x, dim=2))


class RmsNorm(nn.Module):
    """By hand, as a module of one's own: multiplied, divided by, over a mean of channels."""

    def __init__(self, n):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(n) + 0.5)

    def forward(self, x):
        scaled = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)
        y = scaled * self.weight
        return y / torch.sqrt((y * y).mean(dim=-1, keepdim=True) + 1e-6)


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.one = nn.Linear(C, 8), RmsNorm(8), nn.Linear(8, 1)
        self.out = nn.Linear(8, O)

    def forward(self, x):
        y = self.norm(torch.addmm(self.first.bias, x.flatten(0, 1), self.first.weight.T))
        y = y.view(*x.shape[:2], -1)
        gate = self.one(y).squeeze(-1).unsqueeze(-1).sigmoid() + y.sum(-1, keepdim=True)
        return self.out(y - gate)


class OneNumber(nn.Module):
    """A squeezed axis."""

    def __init__(self):
        super().__init__()
        self.gru, self.out = nn.GRU(C, 8, batch_first=True), nn.Linear(8, 1)

    def forward(self, x):
        return self.out(self.gru(x)[0]).squeeze(-1)


class Before(nn.Module):
    """The bins before, without this one: zeros in front, the last one cut."""

    def __init__(self):
        super().__init__()
        self.gru, self.out = nn.GRU(C, 8, batch_first=True), nn.Linear(8, O)

    def forward(self, x):
        x = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)
        return self.out(self.gru(x)[0])


class Padded(nn.Module):
    """The same with F.pad; a convolution with zeros in front of activations."""

    def __init__(self):
        super().__init__()
        self.inside, self.pad = nn.Linear(C, 8), nn.ConstantPad1d((3, 0), 0.0)
        self.conv, self.pool, self.out = nn.Conv1d(8, 8, 4), nn.AvgPool1d(3, 1), nn.Linear(8, O)

    def forward(self, x):
        x = F.pad(x, (0, 0, 1, 0))[:, :-1, :]
        y = self.conv(self.pad(self.inside(x).transpose(1, 2)))
        return self.out(self.pool(F.pad(y, (2, 0))).transpose(1, 2)[:, :, :])


class Branches(nn.Module):
    """Two branches of different delay, some channels each."""

    def __init__(self):
        super().__init__()
        self.fast, self.slow = nn.Linear(5, 4), nn.Conv1d(C - 5, 4, 7, padding=3)
        self.out = nn.Linear(8, O)

    def forward(self, x):
        slow = self.slow(x[..., 5:].transpose(1, 2)).transpose(1, 2)
        return self.out(torch.cat((self.fast(x[:, :, :5]), slow), -1).abs())


class Spectral(nn.Module):
    """Parametrizations; one trial without an axis of trials."""

    def __init__(self):
        super().__init__()
        self.inside = nn.utils.parametrizations.orthogonal(nn.Linear(C, 8))
        self.gru = nn.GRU(8, 6)
        self.out = nn.utils.spectral_norm(nn.Linear(6, O))

    def forward(self, x):
        assert x.dim() == 2, "one trial"
        return self.out(self.gru(self.inside(x))[0])


class Typed(nn.Module):
    """Its own idea of the type, kept states beside the output."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Linear(C, 8)
        self.cells = nn.ModuleList([nn.GRU(8, 8, batch_first=True) for _ in range(2)])
        self.out = nn.Linear(8, O)

    def forward(self, x):
        x, states = self.scale(x.to(self.scale.weight.dtype)), []
        for cell in self.cells:
            out, state = cell(x)
            states.append(state)
            x = x + out
        return self.out(x), states


WAYS = (ZScoredGru, Lstm, LearntState, Tcn, LookAhead, Wave, Valid, Strided, Flat, Mlp, Functional,
        Gated, Residual, Normed, OneNumber, Before, Padded, Branches, Spectral, Typed)


# What each takes and gives: layout of its input, first bin, stride, delay of its rows.
PLAIN = ("NTC", 0, 1, 0)
TIMED = {Lstm: ("TNC", 0, 1, 0), LookAhead: ("NCT", 0, 1, 3), Valid: ("NTC", 5, 1, 0),
         Strided: ("NTC", 3, 3, 0), Mlp: ("TC", 0, 1, 0), Branches: ("NTC", 0, 1, 3),
         Spectral: ("TC", 0, 1, 0)}


# ---- what is refused: forward, words of the refusal ----

class Of(nn.Module):
    """Some layers, and a forward of (self, x)."""

    def __init__(self, forward, **layers):
        super().__init__()
        self.layers, self.function = nn.ModuleDict(layers), forward

    def forward(self, x):
        return self.function(self.layers, x)


def counts_alone(m, x):
    if x.sum() > 0:
        return m["out"](x)
    return m["out"](2 * x)


def loop(m, x):
    h, rows = torch.zeros(x.size(0), 8).to(x), []
    for t in range(x.size(1)):
        h = m["cell"](x[:, t], h)
        rows.append(h)
    return m["out"](torch.stack(rows, 1))


def attention(m, x):
    q = m["q"](x)
    return m["out"](torch.softmax(q @ q.transpose(1, 2), -1) @ q)


def line():
    return nn.Linear(C, O)


REFUSED = {
    "bidirectional": (lambda: Of(lambda m, x: m["out"](m["gru"](x)[0]), out=nn.Linear(16, O),
                                 gru=nn.GRU(C, 8, batch_first=True, bidirectional=True)),
                      ("GRU layers.gru", "bidirectional: not causal", "own_networks.py, line")),
    "attention": (lambda: Of(lambda m, x: m["out"](m["a"](x, x, x)[0]), out=line(),
                             a=nn.MultiheadAttention(C, 2, batch_first=True)),
                  ("MultiheadAttention", "every bin at once", "models/ndt")),
    "transformer": (lambda: Of(lambda m, x: m["t"](x), t=nn.TransformerEncoderLayer(C, 2)),
                    ("TransformerEncoderLayer", "models/ndt")),
    "attention by hand": (lambda: Of(attention, q=nn.Linear(C, 8), out=nn.Linear(8, O)),
                          ("matmul", "attention", "line")),
    "a decision": (lambda: Of(counts_alone, out=line()),
                   ("sum (own_networks.py, line", "if x.sum() > 0")),
    "a loop of cells": (lambda: Of(loop, cell=nn.GRUCell(C, 8), out=nn.Linear(8, O)),
                        ("takes one of the axis of time", "m[\"cell\"]")),
    "reflected": (lambda: Of(lambda m, x: m["c"](x), c=nn.Conv1d(C, O, 3, padding=1,
                                                                 padding_mode="reflect")),
                  ("padding_mode reflect", "bins to come")),
    "both sides": (lambda: Of(lambda m, x: m["c"](x), c=nn.Conv1d(C, O, 5, padding=4)),
                   ("zeros on both sides", "F.pad(x, (n, 0))")),
    "ones in front": (lambda: Of(lambda m, x: m["c"](F.pad(x, (2, 0), value=1.0)),
                                 c=nn.Conv1d(C, O, 3)), ("pads with 1", "zeros")),
    "the last bin": (lambda: Of(lambda m, x: m["out"](m["gru"](x)[0][:, -1]),
                                gru=nn.GRU(C, 8, batch_first=True), out=nn.Linear(8, O)),
                     ("getitem", "[:, -1]", "a row of every bin")),
    "the last state": (lambda: Of(lambda m, x: m["out"](m["gru"](x)[1][0]),
                                  gru=nn.GRU(C, 8, batch_first=True), out=nn.Linear(8, O)),
                       ("last state", "a whole trial", "first output")),
    "mean over time": (lambda: Of(lambda m, x: m["out"](x - x.mean(1, keepdim=True)), out=line()),
                       ("mean", "not causal", "x.mean(1")),
    "flipped": (lambda: Of(lambda m, x: m["out"](x.flip(1)), out=line()), ("flip", "not causal")),
    "softmax over time": (lambda: Of(lambda m, x: m["out"](x.softmax(1)), out=line()),
                          ("softmax", "the axis of time", "channels")),
    "a mean of the batch": (lambda: Of(lambda m, x: m["n"](x.transpose(1, 2)), n=nn.BatchNorm1d(
        C, track_running_stats=False)), ("BatchNorm1d", "track_running_stats")),
    "instance norm": (lambda: Of(lambda m, x: m["n"](x.transpose(1, 2)), n=nn.InstanceNorm1d(C)),
                      ("InstanceNorm1d", "bins of a trial")),
    "always dropped": (lambda: Of(lambda m, x: F.dropout(m["out"](x)), out=line()),
                       ("dropout", "training=self.training")),
    "positions": (lambda: Of(lambda m, x: m["out"](x + torch.arange(x.size(1))[:, None]),
                             out=line()), ("add", "changes over time")),
    "a whole trial": (lambda: Of(lambda m, x: m["out"](x.flatten(1)), out=nn.Linear(499 * C, O)),
                      ("flatten", "joins", "Conv1d")),
    "quotient": (lambda: Of(lambda m, x: m["out"](x / (1 + x.exp())), out=line()),
                 ("truediv", "divides by what comes from the bins")),
    "unknown layer": (lambda: Of(lambda m, x: m["out"](m["s"](x)), out=line(),
                                 s=nn.Hardshrink()), ("Hardshrink", "core/layers/README.md")),
    "log softmax": (lambda: nn.Sequential(nn.Linear(C, O), nn.LogSoftmax(-1)),
                    ("LogSoftmax 1", "the scores before it")),
    "rows exchanged": (lambda: Of(lambda m, x: m["out"](x).reshape(-1, O).view(
        x.size(1), x.size(0), O), out=line()), ("view", "trials and time")),
    "where": (lambda: Of(lambda m, x: m["out"](torch.where(x > 1, x, 0 * x)), out=line()),
              ("gt", "depends on the values")),
    "an assignment": (lambda: Of(assigned, out=line()), ("assignment", "torch.cat")),
    "an error of its own": (lambda: Of(lambda m, x: m["nowhere"](x), out=line()),
                            ("forward raises KeyError", "own_networks.py", "nowhere")),
    "other widths": (lambda: Of(lambda m, x: m["out"](x), out=nn.Linear(C + 1, O)),
                     ("Linear layers.out", "RuntimeError")),
    "two tensors": (lambda: Of(lambda m, x: (m["out"](x), m["out"](x)), out=line()),
                    ("returns 2 tensors", "a dict")),
    "three numbers": (lambda: nn.Linear(C, 3), ("gives 3 numbers", "2 are named")),
    "not finite": (lambda: nan(nn.Linear(C, O)), ("not finite",)),
    "a class": (lambda: Mlp, ("a class", "instance")),
    "a state dict": (lambda: Mlp().state_dict(), ("a state dict", "load_state_dict")),
    "TorchScript": (lambda: torch.jit.script(nn.Linear(C, O)), ("TorchScript",)),
    "an ONNX file": (lambda: "net.onnx", ("ONNX",)),
    "a number": (lambda: 3, ("int", "torch.nn.Module")),
}


def assigned(m, x):
    x[:, 0] = 0
    return m["out"](x)


def nan(module):
    with torch.no_grad():
        module.weight[0, 0] = float("nan")
    return module

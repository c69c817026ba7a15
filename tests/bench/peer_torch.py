#!/usr/bin/python3
"""Benchmark worker: the same models as a PyTorch user would write them for one bin at a time.

Speaks the protocol of tests/bench/README.md. One thread, inference mode, buffers made beforehand;
`eager` calls the module, `jit` the scripted and frozen one."""
import argparse
import math
import sys
import time
from typing import List

import numpy as np

from masks import banded_mask

from latent_models.common import model_file

try:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as F
except ImportError as error:
    print(f"absent PyTorch cannot be imported: {error}", flush=True)
    sys.exit(1)


class Layer(nn.Module):
    """One pre-norm encoder layer over its own cache of keys and values [H, T, E]."""

    def __init__(self, weights, prefix, heads):
        super().__init__()
        self.heads = heads
        names = ("self_attn.in_proj_weight", "self_attn.in_proj_bias", "self_attn.out_proj.weight",
                 "self_attn.out_proj.bias", "linear1.weight", "linear1.bias", "linear2.weight",
                 "linear2.bias", "norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias")
        (self.w_in, self.b_in, self.w_out, self.b_out, self.w1, self.b1, self.w2, self.b2,
         self.g1, self.e1, self.g2, self.e2) = (
             nn.Parameter(torch.from_numpy(weights[prefix + name])) for name in names)
        self.width = self.w_out.shape[0]
        self.size = self.width // heads

    def project(self, x: Tensor):
        """x [T, D] -> q, k, v, each [H, T, E]."""
        x = F.layer_norm(x, [self.width], self.g1, self.e1)
        qkv = F.linear(x, self.w_in, self.b_in).view(-1, 3, self.heads, self.size)
        q, k, v = qkv.permute(1, 2, 0, 3).unbind(0)
        return q / math.sqrt(self.size), k, v

    def finish(self, h: Tensor, attended: Tensor):
        merged = attended.transpose(0, 1).reshape(-1, self.width)
        h = h + F.linear(merged, self.w_out, self.b_out)
        y = F.layer_norm(h, [self.width], self.g2, self.e2)
        return h + F.linear(torch.relu(F.linear(y, self.w1, self.b1)), self.w2, self.b2)

    def step(self, h: Tensor, keys: Tensor, values: Tensor, t: int):
        """h [1, D]; writes row t of the caches."""
        q, k, v = self.project(h)
        keys[:, t] = k[:, 0]
        values[:, t] = v[:, 0]
        weights = torch.softmax(q @ keys[:, :t + 1].transpose(1, 2), -1)
        return self.finish(h, weights @ values[:, :t + 1])

    def forward(self, h: Tensor, mask: Tensor):
        q, k, v = self.project(h)
        return self.finish(h, torch.softmax(q @ k.transpose(1, 2) + mask, -1) @ v)


class Ndt(nn.Module):
    """The model with its caches. step: one bin of mode A; forward: a whole window."""

    def __init__(self, model):
        super().__init__()
        weights, hyper = model.weights, model.hyper
        n_bins, d, heads = hyper["trial_bins"], hyper["width"], hyper["heads"]
        self.layers = nn.ModuleList(
            Layer(weights, f"transformer_encoder.layers.{i}.", heads)
            for i in range(hyper["layers"]))
        names = ("pos_encoder.pos_embedding.weight", "transformer_encoder.norm.weight",
                 "transformer_encoder.norm.bias", "decoder.0.weight", "decoder.0.bias")
        self.positions, self.g, self.e, self.w, self.b = (
            nn.Parameter(torch.from_numpy(weights[name])) for name in names)
        self.width, self.scale = d, math.sqrt(d)
        self.mask = torch.from_numpy(banded_mask(model, n_bins))
        self.cache = torch.zeros(2, hyper["layers"], heads, n_bins, d // heads)

    def head(self, h: Tensor):
        latents = F.layer_norm(h, [self.width], self.g, self.e)
        return torch.exp(F.linear(latents, self.w, self.b))

    @torch.jit.export
    def step(self, x: Tensor, cache: Tensor, t: int):
        """x [1, D] counts of bin t -> rates [1, N] per bin."""
        h = x * self.scale + self.positions[t:t + 1]
        for i, layer in enumerate(self.layers):
            h = layer.step(h, cache[0, i], cache[1, i], t)
        return self.head(h)

    def forward(self, x: Tensor):
        """x [T, D] -> rates [T, N]."""
        h = x * self.scale + self.positions
        for layer in self.layers:
            h = layer(h, self.mask)
        return self.head(h)


class Gru(nn.Module):
    """nn.GRUCell and a linear rate readout."""

    def __init__(self, model):
        super().__init__()
        weights = {name: torch.from_numpy(array) for name, array in model.weights.items()}
        hidden, n_channels = model.hyper["hidden"], model.config["n_channels"]
        self.cell = nn.GRUCell(n_channels, hidden)
        self.rate = nn.Linear(hidden, len(weights["rate.bias"]))
        self.cell.load_state_dict({name: weights[f"gru.{name}_l0"] for name in (
            "weight_ih", "weight_hh", "bias_ih", "bias_hh")})
        self.rate.load_state_dict({name: weights[f"rate.{name}"] for name in ("weight", "bias")})

    def forward(self, x: Tensor, h: Tensor):
        h = self.cell(x, h)
        return torch.exp(self.rate(h)), h


class LowRank(nn.Module):
    """A driven low-rank RNN of N units and its readout."""

    def __init__(self, model):
        super().__init__()
        weights = {name: torch.from_numpy(array) for name, array in model.weights.items()}
        self.alpha, n_units = model.hyper["alpha"], len(weights["b"])
        self.m, self.n = nn.Parameter(weights["m"] / n_units), nn.Parameter(weights["n"])
        self.wi = nn.Parameter(weights["si"][:, None] * weights["wi"])
        self.wo = nn.Parameter(weights["wo"] * weights["so"] / n_units)
        self.b = nn.Parameter(weights["b"])

    def forward(self, u: Tensor, h: Tensor):
        flow = torch.tanh(h + self.b) @ self.n @ self.m.t() + u @ self.wi
        h = h + self.alpha * (flow - h)
        return torch.tanh(h) @ self.wo, h


def linear(weights, name):
    """nn.Linear with the tensors of this name."""
    layer = nn.Linear(weights[name + ".weight"].shape[1], len(weights[name + ".bias"]))
    layer.load_state_dict({part: weights[f"{name}.{part}"] for part in ("weight", "bias")})
    return layer


class Encoder(nn.Module):
    """A bidirectional nn.GRU over the window and the affine map to z."""

    def __init__(self, model, weights):
        super().__init__()
        self.gru = nn.GRU(model.config["n_channels"], model.hyper["encoder_size"],
                          bidirectional=True)
        self.gru.load_state_dict({name[len("encoder."):]: array for name, array
                                  in weights.items() if name.startswith("encoder.")})
        self.start = linear(weights, "ic_linear")

    def forward(self, x: Tensor):
        """x [T, C] -> z [1, D] at the window's first bin."""
        _, h = self.gru(x.unsqueeze(1))
        return self.start(h.reshape(1, -1))


class SaeGru(nn.Module):
    """The encoder, then nn.GRUCell alone, one step per bin."""

    def __init__(self, model):
        super().__init__()
        weights = {name: torch.from_numpy(array) for name, array in model.weights.items()}
        self.encoder, self.readout = Encoder(model, weights), linear(weights, "readout")
        self.cell = nn.GRUCell(1, model.hyper["latent_dim"])
        self.cell.load_state_dict({name: weights[f"decoder.cell.{name}"] for name in (
            "weight_ih", "weight_hh", "bias_ih", "bias_hh")})
        self.n_steps, self.silence = model.hyper["window_bins"], torch.zeros(1, 1)

    def forward(self, x: Tensor):
        z = self.encoder(x)
        for _ in range(self.n_steps):
            z = self.cell(self.silence, z)
        return torch.exp(self.readout(z))


class SaeNode(nn.Module):
    """The encoder, then a vector field, one Runge-Kutta step of order 4 per bin."""

    def __init__(self, model):
        super().__init__()
        weights = {name: torch.from_numpy(array) for name, array in model.weights.items()}
        self.encoder, self.readout = Encoder(model, weights), linear(weights, "readout")
        self.first, self.second = (linear(weights, f"decoder.vf.vf.vf.{i}") for i in (0, 2))
        self.n_steps, self.dt = model.hyper["window_bins"] - 1, float(model.hyper["step"])

    def field(self, z: Tensor):
        return self.second(torch.tanh(self.first(z)))

    def forward(self, x: Tensor):
        z = self.encoder(x)
        for _ in range(self.n_steps):
            k1 = self.field(z)
            k2 = self.field(z + self.dt / 2 * k1)
            k3 = self.field(z + self.dt / 2 * k2)
            k4 = self.field(z + self.dt * k3)
            z = z + self.dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return torch.exp(self.readout(z))


class ClippedGru(nn.Module):
    """LFADS' cell: z, r, n; reset before the product; the state clipped."""

    def __init__(self, weights, prefix, clip):
        super().__init__()
        self.w, self.u = (nn.Parameter(weights[f"{prefix}.weight_{kind}"]) for kind in ("ih", "hh"))
        self.b = nn.Parameter(weights[prefix + ".bias_ih"] + weights[prefix + ".bias_hh"])
        self.size, self.clip = self.u.shape[1], float(clip)

    def forward(self, given: Tensor, h: Tensor):
        """given [1, 3H]: the input's products with the biases."""
        size = self.size
        gates = torch.sigmoid(given[:, :2 * size] + F.linear(h, self.u[:2 * size]))
        z, r = gates.chunk(2, 1)
        n = torch.tanh(given[:, 2 * size:] + F.linear(r * h, self.u[2 * size:]))
        return (z * h + (1 - z) * n).clamp(-self.clip, self.clip)

    def run(self, rows: Tensor, h: Tensor):
        """States [T, H] after each of the rows."""
        given = F.linear(rows, self.w, self.b)
        states: List[Tensor] = []
        for t in range(rows.shape[0]):
            h = self.forward(given[t:t + 1], h)
            states.append(h)
        return torch.cat(states)


class Lfads(nn.Module):
    """Both encoders, controller and generator over a window; rates of the newest bin."""

    def __init__(self, model):
        super().__init__()
        w = {name: torch.from_numpy(array) for name, array in model.weights.items()}
        clip, cell = model.hyper["cell_clip"], "decoder.rnn.cell."
        sides = [(kind, side) for kind in ("ic", "ci") for side in ("fwd", "bwd")]
        self.ic_ahead, self.ic_back, self.ci_ahead, self.ci_back = (
            ClippedGru(w, f"encoder.{kind}_enc.{side}_gru.cell", clip) for kind, side in sides)
        self.ic_h0, self.ci_h0 = (nn.Parameter(w[f"encoder.{kind}_enc_h0"])
                                  for kind in ("ic", "ci"))
        self.con_h0 = nn.Parameter(w["decoder.con_h0"])
        self.controller, self.generator = (ClippedGru(w, f"{cell}{kind}_cell", clip)
                                           for kind in ("con", "gen"))
        self.posterior, self.start, self.output, self.readout = (linear(w, name) for name in (
            "encoder.ic_linear", "decoder.ic_to_g0", cell + "co_linear", "readout"))
        self.fac = nn.Parameter(F.normalize(w[cell + "fac_linear.weight"]))
        self.n_mean, self.n_out = model.hyper["ic_dim"], model.hyper["co_dim"]
        self.nothing = torch.zeros(1, model.hyper["ci_enc_dim"])

    def encode(self, x: Tensor):
        """-> (generator's first state [1, G], input of the controller [T, 2E])."""
        back = x.flip(0)
        ends = torch.cat([self.ic_ahead.run(x, self.ic_h0[0])[-1:],
                          self.ic_back.run(back, self.ic_h0[1])[-1:]], 1)
        ahead = self.ci_ahead.run(x, self.ci_h0[0])[:-1]
        after = self.ci_back.run(back, self.ci_h0[1]).flip(0)[1:]
        rows = torch.cat([torch.cat([self.nothing, ahead]), torch.cat([after, self.nothing])], 1)
        return self.start(self.posterior(ends)[:, :self.n_mean]), rows

    def forward(self, x: Tensor):
        g, rows = self.encode(x)
        fac, con = F.linear(g, self.fac), self.con_h0
        for t in range(x.shape[0]):
            inputs = torch.cat([rows[t:t + 1], fac], 1)
            con = self.controller(F.linear(inputs, self.controller.w, self.controller.b), con)
            u = self.output(con)[:, :self.n_out]
            g = self.generator(F.linear(u, self.generator.w, self.generator.b), g)
            fac = F.linear(g, self.fac)
        return torch.exp(self.readout(fac))


def compiled(module, style, methods=()):
    if style == "eager":
        return module
    return torch.jit.freeze(torch.jit.script(module), preserved_attrs=list(methods))


def cached_step(model, rows, style):
    """-> step(i), which returns the rates [1, N] of bin i."""
    ndt = Ndt(model).eval()
    cache, n_bins = ndt.cache, model.hyper["trial_bins"]
    run = compiled(ndt, style, ("step",)).step
    inputs = list(rows.split(1))
    return lambda i: run(inputs[i % n_bins], cache, i % n_bins)


def window_step(model, rows, style, module=Ndt):
    n_bins = model.hyper["window_bins"]
    run = compiled(module(model).eval(), style)
    doubled = torch.cat([rows, rows])
    windows = [doubled[t + 1:t + 1 + n_bins] for t in range(len(rows))]
    return lambda i: run(windows[i % len(windows)])


def gru_step(model, rows, style):
    run = compiled(Gru(model).eval(), style)
    inputs, state = list(rows.split(1)), [torch.zeros(1, model.hyper["hidden"])]

    def step(i):
        rates, state[0] = run(inputs[i % len(inputs)], state[0])
        return rates
    return step


def sae_step(module):
    return lambda model, rows, style: window_step(model, rows, style, module)


def lowrank_step(model, rows, style):
    run = compiled(LowRank(model).eval(), style)
    inputs, state = list(rows.split(1)), [torch.from_numpy(model.weights["h0"])[None]]

    def step(i):
        readout, state[0] = run(inputs[i % len(inputs)], state[0])
        return readout
    return step


KINDS = {"cached": cached_step, "window": window_step, "gru": gru_step, "lowrank": lowrank_step,
         "sae_node": sae_step(SaeNode), "sae_gru": sae_step(SaeGru),
         "lfads": sae_step(Lfads)}


FLUSH_BYTES = 64 << 20


def run_steps(step, start, n, pace_ns, flush):
    """Time n steps from bin start on; returns nanoseconds of each and the last rates.

    flush: other memory than theirs is written before each."""
    took, rates = np.empty(n, np.int64), None
    other = np.zeros(FLUSH_BYTES if flush else 0, np.uint8)
    due = time.monotonic_ns()
    for k in range(n):
        due += pace_ns
        if pace_ns:
            time.sleep(max(0, due - time.monotonic_ns()) * 1e-9)
        other += 1
        begin = time.monotonic_ns()
        rates = step(start + k)
        took[k] = time.monotonic_ns() - begin
    return took, rates


def serve(step):
    """Obey commands until stdin ends."""
    done, rates = 0, None
    for line in sys.stdin:
        words = line.split()
        if words[0] == "run":
            took, rates = run_steps(step, done, *map(int, words[1:4]))
            done += len(took)
            print("times", *took.tolist(), flush=True)
        elif words[0] == "values":
            print("values", *(f"{value:.9g}" for value in rates.flatten().tolist()), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="model file")
    parser.add_argument("--counts", required=True, help="float32 counts [bins, channels], raw")
    parser.add_argument("--kind", required=True, choices=sorted(KINDS))
    parser.add_argument("--style", required=True, choices=("eager", "jit"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = model_file.read_model(args.model)
    counts = np.fromfile(args.counts, np.float32).reshape(-1, model.config["n_channels"])
    with torch.inference_mode():
        step = KINDS[args.kind](model, torch.from_numpy(counts), args.style)
        print(f"ready PyTorch {torch.__version__}, {args.style}, one thread", flush=True)
        serve(step)


if __name__ == "__main__":
    main()

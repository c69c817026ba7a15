"""ONNX graphs of the benchmark's models, and the plans by which bench_ort.c feeds them.

Several ways to write a graph are given where they differ in speed; the benchmark measures all and
compares against the fastest. Shapes: C channels, D width, H heads, E = D/H, N rates, T bins."""
import math
import pathlib

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from masks import banded_mask

OPSET = 17


class Graph:
    """Collects nodes and weights; methods return the name of their output."""

    def __init__(self):
        self.nodes, self.weights, self.inputs, self.outputs, self.plan = [], [], [], [], []

    def weight(self, array):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def sizes(self, *numbers):
        return self.weight(np.array(numbers, np.int64))

    def op(self, kind, inputs, outputs=1, domain="", **attributes):
        """outputs: how many, or their names. Returns one name, or a list of several."""
        names = outputs
        if isinstance(outputs, int):
            names = [f"n{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, domain=domain, **attributes))
        return names[0] if len(names) == 1 else names

    def linear(self, x, weight, bias):
        """x W' + b with W transposed beforehand."""
        return self.op("Gemm", [x, self.weight(weight.T), self.weight(bias)])

    def norm(self, x, weights, prefix):
        names = [self.weight(weights[prefix + part]) for part in (".weight", ".bias")]
        return self.op("LayerNormalization", [x] + names, axis=-1, epsilon=1e-5)

    def buffer(self, name, n_floats, file=""):
        self.plan.append(f"buffer {name} {n_floats} {file}".rstrip())

    def port(self, kind, name, buffer, offset, stride, *dims):
        """An input or output: its tensor in phase t lies at offset + stride t of the buffer."""
        ports = self.inputs if kind == "in" else self.outputs
        shape = [dim if isinstance(dim, int) else f"{name}_{dim[0]}" for dim in dims]
        ports.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        words = " ".join(str(dim) for dim in dims)
        self.plan.append(f"{kind} {name} {buffer} {offset} {stride} {words}")

    def result(self, name, *dims):
        self.buffer(name, math.prod(dims))
        self.port("out", name, name, 0, 0, *dims)
        self.plan.append(f"result {name} {dims[-1]}")

    def save(self, stem, n_phases):
        graph = helper.make_graph(self.nodes, "bench", self.inputs, self.outputs, self.weights)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets)
        model.ir_version = 8
        pathlib.Path(f"{stem}.onnx").write_bytes(model.SerializeToString())
        lines = [f"phases {n_phases}"] + self.plan
        pathlib.Path(f"{stem}.plan").write_text("\n".join(lines) + "\n")


def layer_prefix(layer):
    return f"transformer_encoder.layers.{layer}."


def scaled_projection(weights, prefix, d, heads):
    """in_proj with the factor 1/sqrt(E) moved into the query rows."""
    weight = weights[prefix + "self_attn.in_proj_weight"].copy()
    bias = weights[prefix + "self_attn.in_proj_bias"].copy()
    factor = np.float32(1 / math.sqrt(d // heads))
    weight[:d] *= factor
    bias[:d] *= factor
    return weight, bias


def residual_tail(g, h, attended, weights, prefix):
    """Output projection, feed-forward, both residuals."""
    h = g.op("Add", [h, g.linear(attended, weights[prefix + "self_attn.out_proj.weight"],
                                 weights[prefix + "self_attn.out_proj.bias"])])
    y = g.norm(h, weights, prefix + "norm2")
    y = g.linear(y, weights[prefix + "linear1.weight"], weights[prefix + "linear1.bias"])
    y = g.op("Relu", [y])
    y = g.linear(y, weights[prefix + "linear2.weight"], weights[prefix + "linear2.bias"])
    return g.op("Add", [h, y])


def ndt_head(g, h, weights, n_rows):
    latents = g.norm(h, weights, "transformer_encoder.norm")
    rates = g.linear(latents, weights["decoder.0.weight"], weights["decoder.0.bias"])
    n_rates = len(weights["decoder.0.bias"])
    g.op("Exp", [rates], ["rates"])
    g.result("rates", n_rows, n_rates)


def attend_rows(g, layer, qkv, d, heads, *, trial_bins):
    """Per head a [T, E] cache whose first t rows are the input; the new row is written behind
    them in place, so nothing is copied."""
    size = d // heads
    names = [f"{part}{layer}_{h}" for part in ("q", "newk", "newv") for h in range(heads)]
    g.op("Split", [qkv, g.sizes(*[size] * 3 * heads)], names, axis=1)
    attended = []
    for h in range(heads):
        start = (layer * heads + h) * trial_bins * size
        for part in "kv":
            name = f"{part}{layer}_{h}"
            g.port("in", name, part, start, 0, "t", size)
            g.port("out", "new" + name, part, start, size, 1, size)
        q, k, v = f"q{layer}_{h}", f"k{layer}_{h}", f"v{layer}_{h}"
        past = g.op("Gemm", [q, k], transB=1)
        now = g.op("Gemm", [q, "new" + k], transB=1)
        p = g.op("Softmax", [g.op("Concat", [past, now], axis=1)], axis=1)
        attended.append(g.op("MatMul", [p, g.op("Concat", [v, "new" + v], axis=0)]))
    return g.op("Concat", attended, axis=1)


def cache_ports(g, layer, d, heads, trial_bins):
    """The cache as a pair of buffers that alternate: [1, H, t, E] in, [1, H, t+1, E] out."""
    start, size = layer * trial_bins * d, d // heads
    for part in "kv":
        g.port("in", f"{part}{layer}", f"{part}a/{part}b", start, 0, 1, heads, "t", size)
        g.port("out", f"new{part}{layer}", f"{part}b/{part}a", start, 0, 1, heads, "t+1", size)


def attend_concat(g, layer, qkv, d, heads, *, trial_bins):
    """Concatenate the cache with the new row; all heads in one product."""
    cache_ports(g, layer, d, heads, trial_bins)
    parts = g.op("Reshape", [qkv, g.sizes(3, heads, 1, d // heads)])
    q, k, v = g.op("Split", [parts], 3, axis=0)
    keys = g.op("Concat", [f"k{layer}", k], [f"newk{layer}"], axis=2)
    values = g.op("Concat", [f"v{layer}", v], [f"newv{layer}"], axis=2)
    logits = g.op("MatMul", [q, g.op("Transpose", [keys], perm=[0, 1, 3, 2])])
    attended = g.op("MatMul", [g.op("Softmax", [logits], axis=-1), values])
    return g.op("Reshape", [attended, g.sizes(1, d)])


def attend_fused(g, layer, qkv, d, heads, *, trial_bins):
    """ONNX Runtime's own fused MultiHeadAttention with a cache (the query is scaled already)."""
    cache_ports(g, layer, d, heads, trial_bins)
    rows = g.op("Reshape", [qkv, g.sizes(1, 1, 3 * d)])
    q, k, v = g.op("Split", [rows, g.sizes(d, d, d)], 3, axis=2)
    outputs = [f"attended{layer}", f"newk{layer}", f"newv{layer}"]
    g.op("MultiHeadAttention", [q, k, v, "", "", "", f"k{layer}", f"v{layer}"], outputs,
         domain="com.microsoft", num_heads=heads, scale=1.0)
    return g.op("Reshape", [outputs[0], g.sizes(1, d)])


CACHED = {"in-place cache": (attend_rows, ("k", "v")),
          "concatenated cache": (attend_concat, ("ka", "kb", "va", "vb")),
          "MultiHeadAttention": (attend_fused, ("ka", "kb", "va", "vb"))}


def ndt_cached(stem, variant, model, counts_file, n_phases):
    """One step of mode A: bin t at position t attends to the cached rows 0..t-1 and itself."""
    weights, hyper = model.weights, model.hyper
    d, heads, layers = hyper["width"], hyper["heads"], hyper["layers"]
    attend, caches = CACHED[variant]
    positions = weights["pos_encoder.pos_embedding.weight"]
    positions.tofile(f"{stem}.positions")
    g = Graph()
    g.buffer("counts", n_phases * d, counts_file)
    g.buffer("positions", positions.size, f"{stem}.positions")
    for name in caches:
        g.buffer(name, layers * n_phases * d)
    g.port("in", "counts", "counts", 0, d, 1, d)
    g.port("in", "positions", "positions", 0, d, 1, d)
    scaled = g.op("Mul", ["counts", g.weight(np.float32(math.sqrt(d)))])
    h = g.op("Add", [scaled, "positions"])
    for layer in range(layers):
        prefix = layer_prefix(layer)
        x = g.norm(h, weights, prefix + "norm1")
        qkv = g.linear(x, *scaled_projection(weights, prefix, d, heads))
        attended = attend(g, layer, qkv, d, heads, trial_bins=n_phases)
        h = residual_tail(g, h, attended, weights, prefix)
    ndt_head(g, h, weights, 1)
    g.save(stem, n_phases)


def head_rows(g, x, n_rows, heads, size):
    """[rows, D] -> [H, rows, E]."""
    return g.op("Transpose", [g.op("Reshape", [x, g.sizes(n_rows, heads, size)])], perm=[1, 0, 2])


def window_layer(g, h, model, layer, n_queries):
    """One layer over a window; the last one may answer for its last rows only."""
    weights, hyper = model.weights, model.hyper
    d, heads, n_bins = hyper["width"], hyper["heads"], hyper["window_bins"]
    prefix, size = layer_prefix(layer), d // heads
    weight, bias = scaled_projection(weights, prefix, d, heads)
    x = last = g.norm(h, weights, prefix + "norm1")
    if n_queries < n_bins:
        rows = [g.sizes(n_bins - n_queries), g.sizes(n_bins)]
        last, h = (g.op("Slice", [name] + rows) for name in (x, h))
    q = head_rows(g, g.linear(last, weight[:d], bias[:d]), n_queries, heads, size)
    k = head_rows(g, g.linear(x, weight[d:2 * d], bias[d:2 * d]), n_bins, heads, size)
    v = head_rows(g, g.linear(x, weight[2 * d:], bias[2 * d:]), n_bins, heads, size)
    logits = g.op("MatMul", [q, g.op("Transpose", [k], perm=[0, 2, 1])])
    mask = banded_mask(model, n_bins)[n_bins - n_queries:]
    if mask.any():
        logits = g.op("Add", [logits, g.weight(mask)])
    attended = g.op("MatMul", [g.op("Softmax", [logits], axis=-1), v])
    merged = g.op("Transpose", [attended], perm=[1, 0, 2])
    merged = g.op("Reshape", [merged, g.sizes(n_queries, d)])
    return residual_tail(g, h, merged, weights, prefix)


WINDOWS = ("all rows", "last row only")


def ndt_window(stem, variant, model, counts_file, n_phases):
    """Mode C: the whole window every bin. The counts lie twice in memory: a window is one slice."""
    weights, hyper = model.weights, model.hyper
    d, n_bins = hyper["width"], hyper["window_bins"]
    doubled = f"{stem}.doubled"
    np.tile(np.fromfile(counts_file, np.float32), 2).tofile(doubled)
    g = Graph()
    g.buffer("counts", 2 * n_phases * d, doubled)
    g.port("in", "counts", "counts", d, d, n_bins, d)
    scaled = g.op("Mul", ["counts", g.weight(np.float32(math.sqrt(d)))])
    h = g.op("Add", [scaled, g.weight(weights["pos_encoder.pos_embedding.weight"])])
    for layer in range(hyper["layers"]):
        is_last = variant == "last row only" and layer == hyper["layers"] - 1
        h = window_layer(g, h, model, layer, 1 if is_last else n_bins)
    ndt_head(g, h, weights, 1 if variant == "last row only" else n_bins)
    g.save(stem, n_phases)


def gru_operator(g, weights, hidden, n_channels):
    """The GRU operator on a sequence of one bin (its blocks are z, r, n)."""
    def reorder(name):
        r, z, n = np.split(weights[name], 3)
        return np.concatenate([z, r, n])
    biases = np.concatenate([reorder("gru.bias_ih_l0"), reorder("gru.bias_hh_l0")])
    x = g.op("Reshape", ["counts", g.sizes(1, 1, n_channels)])
    h = g.op("Reshape", ["h", g.sizes(1, 1, hidden)])
    inputs = [x, g.weight(reorder("gru.weight_ih_l0")[None]),
              g.weight(reorder("gru.weight_hh_l0")[None]), g.weight(biases[None]), "", h]
    g.op("GRU", inputs, ["", "last"], hidden_size=hidden, linear_before_reset=1)
    return g.op("Reshape", ["last", g.sizes(1, hidden)], ["newh"])


def gru_products(g, weights, hidden, _n_channels):
    """The cell written out: two products and elementwise operations; r and z together."""
    parts = g.sizes(2 * hidden, hidden)
    a = g.linear("counts", weights["gru.weight_ih_l0"], weights["gru.bias_ih_l0"])
    u = g.linear("h", weights["gru.weight_hh_l0"], weights["gru.bias_hh_l0"])
    a_gates, a_new = g.op("Split", [a, parts], 2, axis=1)
    u_gates, u_new = g.op("Split", [u, parts], 2, axis=1)
    gates = g.op("Sigmoid", [g.op("Add", [a_gates, u_gates])])
    r, z = g.op("Split", [gates, g.sizes(hidden, hidden)], 2, axis=1)
    n = g.op("Tanh", [g.op("Add", [a_new, g.op("Mul", [r, u_new])])])
    return g.op("Add", [n, g.op("Mul", [z, g.op("Sub", ["h", n])])], ["newh"])


GRUS = {"GRU operator": gru_operator, "products": gru_products}


def gru_step(stem, variant, model, counts_file, n_phases):
    """One bin of a GRU with rates; the state alternates between two buffers (n_phases is even)."""
    weights, hidden = model.weights, model.hyper["hidden"]
    n_channels, n_rates = model.config["n_channels"], len(weights["rate.bias"])
    g = Graph()
    g.buffer("counts", n_phases * n_channels, counts_file)
    g.buffer("ha", hidden)
    g.buffer("hb", hidden)
    g.port("in", "counts", "counts", 0, n_channels, 1, n_channels)
    g.port("in", "h", "ha/hb", 0, 0, 1, hidden)
    h = GRUS[variant](g, weights, hidden, n_channels)
    g.port("out", "newh", "hb/ha", 0, 0, 1, hidden)
    g.op("Exp", [g.linear(h, weights["rate.weight"], weights["rate.bias"])], ["rates"])
    g.result("rates", 1, n_rates)
    g.save(stem, n_phases)


def onnx_gates(array):
    """Row blocks r, z, n as z, r, n."""
    r, z, n = np.split(array, 3)
    return np.concatenate([z, r, n])


def gru_weights(g, weights, prefix, suffixes):
    """The three weight inputs of a GRU operator with so many directions."""
    def stack(*kinds):
        return g.weight(np.stack([np.concatenate([onnx_gates(weights[prefix + kind + suffix])
                                                  for kind in kinds]) for suffix in suffixes]))
    return [stack("weight_ih"), stack("weight_hh"), stack("bias_ih", "bias_hh")]


def decode_gru(g, z, weights, hyper):
    """z [1, D] after one step of the cell per bin, by a GRU operator over silence."""
    d, n_bins = hyper["latent_dim"], hyper["window_bins"]
    silence = g.weight(np.zeros((n_bins, 1, 1), np.float32))
    inputs = [silence, *gru_weights(g, weights, "decoder.cell.", ("",)), "",
              g.op("Reshape", [z, g.sizes(1, 1, d)])]
    g.op("GRU", inputs, ["", "end"], hidden_size=d, linear_before_reset=1)
    return g.op("Reshape", ["end", g.sizes(1, d)])


def decode_node(g, z, weights, hyper):
    """z [1, D] after a step of RK4 per bin but the first, written out."""
    dt, prefix = hyper["step"], "decoder.vf.vf.vf."
    w1, b1, w2, b2 = (g.weight(weights[prefix + name].T)
                      for name in ("0.weight", "0.bias", "2.weight", "2.bias"))
    half, full, sixth, two = (g.weight(np.float32(x)) for x in (dt / 2, dt, dt / 6, 2))

    def field(z):
        return g.op("Gemm", [g.op("Tanh", [g.op("Gemm", [z, w1, b1])]), w2, b2])

    def move(z, by, k):
        return g.op("Add", [z, g.op("Mul", [by, k])])

    for _ in range(hyper["window_bins"] - 1):
        k1 = field(z)
        k2 = field(move(z, half, k1))
        k3 = field(move(z, half, k2))
        k4 = field(move(z, full, k3))
        inner = g.op("Mul", [two, g.op("Add", [k2, k3])])
        z = move(z, sixth, g.op("Add", [g.op("Add", [k1, k4]), inner]))
    return z


SAE_DECODERS = {"gru": decode_gru, "node": decode_node}


def sae_window(stem, _variant, model, counts_file, n_phases):
    """A sequential auto-encoder: the whole window every bin, as ndt_window feeds it."""
    weights, hyper = model.weights, model.hyper
    c, n_bins, e = model.config["n_channels"], hyper["window_bins"], hyper["encoder_size"]
    doubled = f"{stem}.doubled"
    np.tile(np.fromfile(counts_file, np.float32), 2).tofile(doubled)
    g = Graph()
    g.buffer("counts", 2 * n_phases * c, doubled)
    g.port("in", "counts", "counts", c, c, n_bins, c)
    x = g.op("Reshape", ["counts", g.sizes(n_bins, 1, c)])
    inputs = [x, *gru_weights(g, weights, "encoder.", ("_l0", "_l0_reverse"))]
    g.op("GRU", inputs, ["", "ends"], hidden_size=e, linear_before_reset=1,
         direction="bidirectional")
    z = g.linear(g.op("Reshape", ["ends", g.sizes(1, 2 * e)]), weights["ic_linear.weight"],
                 weights["ic_linear.bias"])
    z = SAE_DECODERS[hyper["decoder"]](g, z, weights, hyper)
    g.op("Exp", [g.linear(z, weights["readout.weight"], weights["readout.bias"])], ["rates"])
    g.result("rates", 1, c)
    g.save(stem, n_phases)

"""The ONNX graph of LFADS with its controller: the whole window every bin, the newest answered.

Encoders are GRU operators (the same cell: reset before the product); controller and generator are
written out bin by bin, since each needs the other's last output. Shapes: C channels, E encoder,
H size of a cell, K factors, T bins of the window."""
import numpy as np

from graphs import Graph

CELL = "decoder.rnn.cell."


def columns(g, x, first, end):
    return g.op("Slice", [x, g.sizes(first), g.sizes(end), g.sizes(1)])


class ClippedGru:
    """LFADS' cell with its weights in the graph once. Row blocks z, r, n."""

    def __init__(self, g, weights, prefix, size, clip):
        recurrent = weights[prefix + ".weight_hh"]
        self.g, self.size = g, size
        self.gates = g.weight(recurrent[:2 * size].T)
        self.candidate = g.weight(recurrent[2 * size:].T)
        self.clip = [g.weight(np.float32(limit)) for limit in (-clip, clip)]
        self.bias = weights[prefix + ".bias_ih"] + weights[prefix + ".bias_hh"]

    def step(self, given, h):
        """given [1, 3H]: the input's products with the biases. -> h [1, H]"""
        g, size = self.g, self.size
        gates = g.op("Add", [columns(g, given, 0, 2 * size), g.op("MatMul", [h, self.gates])])
        z, r = g.op("Split", [g.op("Sigmoid", [gates]), g.sizes(size, size)], 2, axis=1)
        reset = g.op("MatMul", [g.op("Mul", [r, h]), self.candidate])
        n = g.op("Tanh", [g.op("Add", [columns(g, given, 2 * size, 3 * size), reset])])
        h = g.op("Add", [n, g.op("Mul", [z, g.op("Sub", [h, n])])])
        return g.op("Clip", [h, *self.clip])


def encoder(g, x, weights, kind, size):
    """-> (states [T, 2, 1, H], ends [1, 2H]) in both directions. The states stay below the clip,
    which only the generator can meet."""
    cells = [f"encoder.{kind}_enc.{side}_gru.cell." for side in ("fwd", "bwd")]

    def stack(*parts):
        return g.weight(np.stack([np.concatenate([weights[cell + part] for part in parts])
                                  for cell in cells]))
    inputs = [x, stack("weight_ih"), stack("weight_hh"), stack("bias_ih", "bias_hh"), "",
              g.weight(weights[f"encoder.{kind}_enc_h0"])]
    states, ends = g.op("GRU", inputs, 2, hidden_size=size, linear_before_reset=0,
                        direction="bidirectional")
    return states, g.op("Reshape", [ends, g.sizes(1, 2 * size)])


def controller_rows(g, states, size, n_bins):
    """[T, 2E]: the forward state of the bin before, the backward state of the bin after."""
    rows = g.op("Reshape", [states, g.sizes(n_bins, 2 * size)])
    nothing = g.weight(np.zeros((1, size), np.float32))
    ahead = g.op("Slice", [rows, g.sizes(0, 0), g.sizes(n_bins - 1, size), g.sizes(0, 1)])
    back = g.op("Slice", [rows, g.sizes(1, size), g.sizes(n_bins, 2 * size), g.sizes(0, 1)])
    return g.op("Concat", [g.op("Concat", [nothing, ahead], axis=0),
                           g.op("Concat", [back, nothing], axis=0)], axis=1)


def factors(g, h, rows, w, hyper):
    """Factors [1, K] after controller and generator have run over rows [T, 2E]; h [1, H] is the
    generator's first state."""
    n_bins, n_ci, clip = hyper["window_bins"], 2 * hyper["ci_enc_dim"], hyper["cell_clip"]
    con_in, n_out = w[CELL + "con_cell.weight_ih"], hyper["co_dim"]
    controller = ClippedGru(g, w, CELL + "con_cell", hyper["con_dim"], clip)
    generator = ClippedGru(g, w, CELL + "gen_cell", hyper["gen_dim"], clip)
    from_fac = g.weight(con_in[:, n_ci:].T)
    output = [g.weight(w[CELL + "co_linear.weight"][:n_out].T),
              g.weight(w[CELL + "co_linear.bias"][:n_out])]
    to_generator = [g.weight(w[CELL + "gen_cell.weight_ih"].T), g.weight(generator.bias)]
    raw = w[CELL + "fac_linear.weight"]
    to_fac = g.weight((raw / np.linalg.norm(raw, axis=1, keepdims=True)).T)
    given = g.op("Split", [g.linear(rows, con_in[:, :n_ci], controller.bias),
                           g.sizes(*[1] * n_bins)], n_bins, axis=0)
    con, fac = g.weight(w["decoder.con_h0"]), g.op("MatMul", [h, to_fac])
    for t in range(n_bins):
        con = controller.step(g.op("Add", [given[t], g.op("MatMul", [fac, from_fac])]), con)
        inputs = g.op("Gemm", [con, *output])
        h = generator.step(g.op("Gemm", [inputs, *to_generator]), h)
        fac = g.op("MatMul", [h, to_fac])
    return fac


def lfads_window(stem, _variant, model, counts_file, n_phases):
    w, hyper = model.weights, model.hyper
    c, n_bins = model.config["n_channels"], hyper["window_bins"]
    doubled = f"{stem}.doubled"
    np.tile(np.fromfile(counts_file, np.float32), 2).tofile(doubled)
    g = Graph()
    g.buffer("counts", 2 * n_phases * c, doubled)
    g.port("in", "counts", "counts", c, c, n_bins, c)
    x = g.op("Reshape", ["counts", g.sizes(n_bins, 1, c)])
    _, ends = encoder(g, x, w, "ic", hyper["ic_enc_dim"])
    states, _ = encoder(g, x, w, "ci", hyper["ci_enc_dim"])
    n_mean = hyper["ic_dim"]  # the rows after it are the log-variance
    mean = g.linear(ends, w["encoder.ic_linear.weight"][:n_mean],
                    w["encoder.ic_linear.bias"][:n_mean])
    h = g.linear(mean, w["decoder.ic_to_g0.weight"], w["decoder.ic_to_g0.bias"])
    fac = factors(g, h, controller_rows(g, states, hyper["ci_enc_dim"], n_bins), w, hyper)
    g.op("Exp", [g.linear(fac, w["readout.weight"], w["readout.bias"])], ["rates"])
    g.result("rates", 1, len(w["readout.bias"]))
    g.save(stem, n_phases)

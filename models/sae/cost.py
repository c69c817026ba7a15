"""State, multiply-adds and weight bytes of one bin, from the shapes in a model file."""
from latent_models.common.cost import FLOAT


def bin_cost(hyper, weights, mode, n_channels):
    """Dense input. The window anew: both encoder cells over it, then the decoder to its end;
    protocol past the window is one decoder step."""
    window, e, d = hyper["window_bins"], hyper["encoder_size"], hyper["latent_dim"]
    decoder = sum(a.size for n, a in weights.items() if n.startswith("decoder.") and a.ndim == 2)
    evaluations = {"rk4": 4, "tsit5": 6}[hyper["solver"]] * hyper["substeps"] \
        if hyper["decoder"] == "node" else 1
    step = decoder * evaluations
    readout = weights["readout.weight"].size
    n_read = sum(a.size for a in weights.values())
    if mode == "protocol":
        n_decoder = sum(a.size for n, a in weights.items() if n.startswith(("decoder", "readout")))
        return d * FLOAT, step + readout, n_decoder * FLOAT
    macs = 6 * e * (n_channels + window * e) + 2 * e * d + window * step + readout
    return (6 * window * e + d) * FLOAT, macs, n_read * FLOAT

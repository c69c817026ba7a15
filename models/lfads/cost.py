"""State, multiply-adds and weight bytes of one bin, from the shapes in a model file."""
from latent_models.common.cost import FLOAT


def bin_cost(hyper, weights, mode, n_channels):
    """Dense input. The window anew: all encoder cells over it, then controller and generator;
    prefix past its prefix is one step of each cell that is left."""
    window = hyper["window_bins"]
    size = {kind: sum(a.size for n, a in weights.items()
                      if n.startswith(kind) and n.endswith("weight_hh"))
            for kind in ("encoder", "encoder.ci")}
    given = {kind: sum(a.size for n, a in weights.items()
                       if n.startswith(kind) and n.endswith("weight_ih"))
             for kind in ("encoder", "encoder.ci")}
    step = sum(a.size for n, a in weights.items()
               if n.startswith("decoder.rnn") and a.ndim == 2)
    start, readout = weights["decoder.ic_to_g0.weight"].size, weights["readout.weight"].size
    state = hyper["gen_dim"] + hyper["con_dim"] + hyper["fac_dim"]
    n_read = sum(a.size for a in weights.values())
    if mode == "prefix":
        macs = given["encoder.ci"] + size["encoder.ci"] + step + readout
        return (state + hyper["ci_enc_dim"]) * FLOAT, macs, n_read * FLOAT
    rows = sum(a.shape[0] for n, a in weights.items()
               if n.startswith("encoder") and n.endswith("weight_hh"))
    macs = given["encoder"] + window * (size["encoder"] + step) + start + readout
    return (rows * window + state) * FLOAT, macs, n_read * FLOAT

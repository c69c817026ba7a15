"""State, multiply-adds and weight bytes of one bin, from the shapes in a model file."""
from latent_models.common.cost import FLOAT


def bin_cost(hyper, weights, mode, _n_channels):
    """A: one token and the cached past, at the last bin of a trial. C: the window anew."""
    d, layers, f = hyper["width"], hyper["layers"], hyper["hidden"]
    reach = hyper["trial_bins"] if mode == "A" else hyper["window_bins"]
    back = min(hyper["context_backward"] + 1, reach) if hyper["context_backward"] > 0 else reach
    embed = weights["embedder.weight"].size if hyper["embed"] == "linear" else 0
    head = sum(a.size for n, a in weights.items() if n.startswith("decoder.") and a.ndim == 2)
    token = 4 * d * d + 2 * d * f
    used = sum(a.size for n, a in weights.items() if not n.startswith("pos_encoder"))
    if mode == "A":
        return (2 * layers * back * d * FLOAT, embed + layers * (token + 2 * back * d) + head,
                (used + d) * FLOAT)
    # All but the last layer in full; there keys and values of every row, and one query.
    rows = reach
    macs = rows * embed + (layers - 1) * rows * (token + 2 * back * d) + head
    macs += rows * 2 * d * d + token - 2 * d * d + 2 * back * d
    return rows * d * FLOAT, macs, (used + rows * d) * FLOAT

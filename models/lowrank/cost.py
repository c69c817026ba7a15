"""State, multiply-adds and weight bytes of one bin, from the shapes in a model file."""
from latent_models.common.cost import DOUBLE


def bin_cost(hyper, weights, _mode, n_channels):
    """h of the latents (once more to show it), the flow back, the readout; the filter forms h in
    every pass as well, and takes the slope of flow and log-rates."""
    (n, r), inputs = weights["m"].shape, len(weights.get("wi", ()))
    readout = weights["wo"].size if hyper["output"] == "linear" else 0
    macs, state = 2 * n * (r + inputs + 1) + n * r + readout, r + inputs + 2
    if hyper["form"] == "filtered":
        spikes, passes = n_channels - inputs, hyper["iterations"]
        width = r + inputs if hyper["observation"] == "linear" else r
        macs += n * r * r + (passes + 1) * (n * (r + inputs + 1) + spikes * width)
        macs += passes * spikes * (r * r + 2 * r)
        state += r * r
    return state * DOUBLE, macs, sum(a.nbytes for a in weights.values())

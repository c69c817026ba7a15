"""State, multiply-adds and weight bytes of one bin, from the shapes in a model file."""
from latent_models.common.cost import DOUBLE


def bin_cost(hyper, weights, _mode, n_channels):
    """Steady and given: two matrix-vector products; full adds the covariance."""
    s = len(weights["M1" if hyper["form"] == "given" else "A"])
    readout = weights["readout.weight"].size if "readout.weight" in weights else 0
    macs, state = s * s + s * n_channels + readout, s
    if hyper["form"] == "full":
        macs += 4 * s ** 3 + s * s * n_channels
        state += s * s
    return state * DOUBLE, macs, macs * DOUBLE

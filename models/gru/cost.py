"""State, multiply-adds and weight bytes of one bin, from the shapes in a model file."""
from latent_models.common.cost import FLOAT


def bin_cost(hyper, weights, _mode, n_channels):
    """Dense input; silent channels cost nothing."""
    macs = sum(a.size for a in weights.values() if a.ndim == 2)
    state = hyper["layers"] * hyper["hidden"] + n_channels
    return state * FLOAT, macs, sum(a.size for a in weights.values()) * FLOAT

"""State, multiply-adds and weight bytes of one bin, from the shapes in a model file."""
from latent_models.common.cost import DOUBLE, FLOAT


def bin_cost(hyper, weights, _mode, n_channels):
    """One product of the window."""
    macs = weights["weight"].size
    return hyper["lags"] * n_channels * FLOAT + DOUBLE, macs, macs * FLOAT

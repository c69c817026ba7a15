"""State, multiply-adds and weight bytes of one bin, from the shapes in a model file."""
from latent_models.common.cost import DOUBLE


def bin_cost(_hyper, weights, _mode, n_channels):
    """Gain on the counts, two products of the cursor's dimensions."""
    d = len(weights["A"])
    macs = d * n_channels + 2 * d * d
    return 2 * d * DOUBLE, macs, macs * DOUBLE

"""State, multiply-adds and weight bytes of one bin, from the shapes in a model file."""
from latent_models.common.cost import DOUBLE, FLOAT


def bin_cost(hyper, weights, _mode, n_channels):
    """Encoder taps, then two products of the transition and the observation for every particle."""
    (units, s), n_rates = weights["transition.m"].shape, weights["observation.B"].shape[1]
    convs = [a for a in weights.values() if a.ndim == 3]
    particles = hyper["particles"]
    macs = sum(a.size for a in convs) + particles * (2 * s * units + s * n_rates)
    windows = sum(a.shape[1] * a.shape[2] for a in convs[:3])  # the heads share the last one
    return ((particles * s + windows) * FLOAT + DOUBLE, macs,
            sum(a.size for a in weights.values()) * FLOAT)

"""State, multiply-adds and weight bytes of one bin, from the shapes in a model file."""
from latent_models.common.cost import DOUBLE, FLOAT


def bin_cost(hyper, weights, _mode, n_channels):
    """Observation and rates, the operators on the state, and the turns of x and c."""
    m, s, _ = weights["F"].shape
    turn = s * s + m * s * (1 + 2 * hyper["fista_steps"])
    readout = weights["readout.weight"].size if "readout.weight" in weights else 0
    macs = 2 * s * n_channels + m * s * s + hyper["turns"] * turn + readout
    used = 2 * s * n_channels + 2 * n_channels + m * s * s + s * s
    return (s + m) * DOUBLE, macs, used * DOUBLE + readout * FLOAT

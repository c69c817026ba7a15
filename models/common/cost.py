"""What one bin costs, from the shapes in a model file: models/ARCH/cost.py, and the readout
stage."""
from latent_models.common import registry

FLOAT, DOUBLE = 4, 8


def stage_cost(weights):
    """The readout stage, where there is one."""
    if "stage.weight" not in weights:
        return 0, 0, 0
    n_readout, lags, n_inputs = weights["stage.weight"].shape
    macs = n_readout * lags * n_inputs
    return ((lags + 1) * n_inputs + 2) * DOUBLE, macs, (macs + 2 * n_inputs + n_readout) * DOUBLE


def stream_cost(model, mode):
    """-> (bytes of state, multiply-adds, bytes of weights read), per bin."""
    own = {k: v for k, v in model.weights.items() if not k.startswith("stage.")}
    bin_cost = registry.part(model.config["arch"], "cost").bin_cost
    cost = bin_cost(model.hyper, own, mode, model.config["n_channels"])
    return tuple(a + b for a, b in zip(cost, stage_cost(model.weights)))

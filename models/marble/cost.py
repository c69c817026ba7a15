"""State, multiply-adds and weight bytes of one bin, from the shapes in a model file."""
from latent_models.common.cost import DOUBLE, FLOAT


def bin_cost(hyper, weights, _mode, n_channels):
    """Projection, search through the cloud, features over the neighbours, network. Neighbours: k in
    the reach of the k-th, delta times that reach in every direction."""
    (n, d), (hidden, features) = (weights[k].shape for k in ("cloud.position", "enc.lins.0.weight"))
    s = weights["cloud.vector"].shape[1]
    vectors = 1 + s + (s * s if hyper["order"] == 2 else 0)
    near = min(n, round(hyper["k"] * hyper["delta"] ** d))
    turns = s * s if "cloud.frame" in weights else 1
    network = hidden * (features + len(weights["enc.lins.1.bias"]))
    network += weights["readout.weight"].size if "readout.weight" in weights else 0
    network += (s * s + s) * vectors if hyper["inner_products"] else 0
    macs = d * n_channels + n * d + near * vectors * s * turns + network
    used = (d * n_channels + n * (d + 1) + near * vectors * s) * DOUBLE + network * FLOAT
    return (hyper["stages"] + 1) * d * DOUBLE + DOUBLE, macs, used

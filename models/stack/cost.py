"""State, multiply-adds and weight bytes of one bin, from the shapes in a model file."""
import math

from latent_models.common.cost import DOUBLE, FLOAT

GATES = {"gru": 1, "lstm": 2, "rnn": 1}  # states of a cell


def memory_items(node):
    """Items of its input that a layer keeps."""
    if node["kind"] == "conv1d":
        return (node["taps"] - 1) * node["dilation"] + 1
    return {"window": node.get("items", 0), "taps": node.get("taps", 0)}.get(node["kind"], 0)


def bin_cost(hyper, weights, _mode, n_channels):
    """Matrices and vectors once each; rings of delays and what strides save are left out."""
    widths, state = {"input": n_channels}, 0
    for node in hyper["nodes"]:
        n_in = [widths[name] for name in node["inputs"]]
        widths[node["name"]] = width_of(node, n_in)
        state += memory_items(node) * n_in[0] * FLOAT
        state += GATES.get(node["kind"], 0) * node.get("layers", 0) * node.get("width", 0) * FLOAT
        state += {"ewma": n_in[0], "ssm": 2 * node.get("states", 0) * n_in[0]}.get(
            node["kind"], 0) * DOUBLE
    used = {name: math.prod(array.shape) for name, array in weights.items()}
    return state, sum(used.values()), sum(used.values()) * FLOAT


def width_of(node, n_in):
    if node["kind"] == "concat":
        return sum(n_in)
    if node["kind"] == "window":
        return node["items"] * n_in[0]
    if node["kind"] == "glu":
        return n_in[0] // 2
    return node.get("width", n_in[0])

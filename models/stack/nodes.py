"""From torch's tensors and the user's list to the nodes and tensors of a model file.

Widths and the number of layers are read from the tensors, keys that torch has a default for may be
left out, and tensors are laid out as the kind wants them (core/layers/README.md).
"""
import re

import numpy as np

from latent_models.common.naming import Names
from latent_models.common.refusal import Refusal
from latent_models.stack import layers

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
RESERVED = ("input", "selftest", "stage")
CELLS = {"gru": 3, "lstm": 4, "rnn": 1}
# kind -> {key: default}; None: there is none. "width" and "layers" come from the tensors.
KEYS = {
    "gru": {"reset": "after", "gate": "sigmoid"}, "rnn": {"function": "tanh"},
    "conv1d": {"dilation": 1, "groups": 1, "stride": 1, "look_ahead": 0, "padding": "zeros"},
    "window": {"items": None, "stride": 1}, "taps": {"look_ahead": 0},
    "ewma": {"decay": None, "corrected": False}, "crop": {"items": None},
    "layer_norm": {"eps": 1e-5}, "rms_norm": {"eps": 1e-6}, "l2_norm": {"eps": 1e-12},
    "batch_norm": {"eps": 1e-5},
    "leaky_relu": {"slope": 0.01}, "elu": {"alpha": 1.0}, "softplus": {"beta": 1.0},
    "hard_sigmoid": {"slope": 1 / 6}, "scale": {"factor": None},
}
KINDS = (*layers.ITEMS, *layers.TIMED, *layers.COMBINE, "batch_norm")
OWN_KEYS = {"kind", "name", "inputs", "from"}
TEXTS = {"reset": ("after", "before"), "gate": ("sigmoid", "hard_sigmoid"),
         "function": ("tanh", "relu"), "padding": ("zeros", "none")}
# kind -> tensors it must have, and may have, as torch names them; * is any number.
_CELLS = (("weight_ih_l*", "weight_hh_l*"), ("bias_ih_l*", "bias_hh_l*", "h0", "c0"))
_MATRIX, _SCALES = (("weight",), ("bias",)), ((), ("weight", "bias"))
TENSOR_NAMES = {
    "dense": _MATRIX, "session": _MATRIX, "conv1d": _MATRIX, "gru": _CELLS, "lstm": _CELLS,
    "rnn": _CELLS, "layer_norm": _SCALES, "rms_norm": _SCALES, "affine": _SCALES,
    "batch_norm": (("running_mean", "running_var"), ("weight", "bias")),
    "standardise": (("mean", "sd"), ()), "prelu": (("weight",), ()), "taps": (("weight",), ()),
    "ssm": (("a", "b", "c"), ("d",)),
}
ANY = Names((), tuple("NODE." + what for what in dict.fromkeys(
    what for kinds in TENSOR_NAMES.values() for names in kinds for what in names)))


def names_of(path, content):
    """The tensors that the list's nodes want."""
    wanted = ([], [])
    for given in content["nodes"]:
        if not isinstance(given, dict) or not isinstance(given.get("name"), str) or \
                not isinstance(given.get("from", ""), str) or \
                not isinstance(given.get("kind"), str):
            raise Refusal(f"{path}: node {str(given)[:80]}: expected texts for \"kind\", "
                          f"\"name\" and \"from\"")
        for names, kinds in zip(wanted, TENSOR_NAMES.get(given["kind"], ((), ()))):
            names += [f"{given.get('from', given['name'])}.{what}" for what in kinds]
    return Names(tuple(wanted[0]), tuple(wanted[1]))


class Builder:
    """nodes: as latent.config.hyper has them; weights: "<node>.<what>" -> array; widths: by
    node."""

    def __init__(self, path, list_path, tensors, content):
        self.path, self.list_path, self.content = path, list_path, content
        self.tensors, self.taken = tensors, set()
        self.nodes, self.weights, self.widths = [], {}, {}

    def refuse(self, node, text):
        raise Refusal(f"{self.list_path}: node {node.get('name')!r:.60}: {text}")

    # ---- tensors ----

    def find(self, node, what):
        """Torch's tensor of the node, or None."""
        name = f"{node.get('from', node['name'])}.{what}"
        if name not in self.tensors:
            return None
        self.taken.add(name)
        array = np.asarray(self.tensors[name])
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise Refusal(f"{self.path}: tensor {name}: expected finite floats, found "
                          f"{array.dtype}")
        return array.astype(np.float64)

    def need(self, node, what, n_dims):
        array = self.find(node, what)
        if array is None:
            raise Refusal(
                f"{self.path}: no tensor {node.get('from', node['name'])}.{what}, which "
                f"{self.list_path} wants for its node {node['name']} ({node['kind']}); it has "
                f"{', '.join(sorted(self.tensors)[:6]) or 'none'}, ... (\"from\" in the list says "
                f"another name)")
        if array.ndim != n_dims or not array.size:
            raise Refusal(f"{self.path}: tensor {what} of node {node['name']}: shape "
                          f"{list(array.shape)}, expected {n_dims} axes")
        return array

    def put(self, node, what, array, shape):
        """Into the file, with exactly this shape."""
        if tuple(array.shape) != tuple(shape):
            raise Refusal(f"{self.path}: tensor {what} of node {node['name']}: shape "
                          f"{list(array.shape)}, expected {list(shape)}")
        self.weights[f"{node['name']}.{what}"] = array

    def put_or(self, node, what, n, default):
        """A vector that torch may leave out: bias=False, no affine."""
        array = self.find(node, what)
        self.put(node, what, np.full(n, float(default)) if array is None else array, (n,))

    # ---- the kinds that have tensors ----

    def dense(self, node, n_in):
        weight = self.need(node, "weight", 2)
        node["width"] = len(weight)
        self.put(node, "weight", weight, (len(weight), n_in))
        self.put_or(node, "bias", len(weight), 0)

    def session(self, node, n_in):
        """Torch's [sessions, W, X], one below the other."""
        n = len(self.content.get("sessions", ()))
        weight, bias = self.need(node, "weight", 3), self.find(node, "bias")
        width = node["width"] = weight.shape[1]
        bias = np.zeros((n, width)) if bias is None else bias
        if len(weight) != n or bias.size != n * width:
            self.refuse(node, f"weights of {len(weight)} sessions, but the list names {n}")
        self.put(node, "weight", weight.reshape(-1, weight.shape[2]), (n * width, n_in))
        self.put(node, "bias", bias.reshape(-1), (n * width,))

    def cells(self, node, n_in):
        gates = CELLS[node["kind"]]
        width = self.need(node, "weight_hh_l0", 2).shape[1]
        prefix = node.get("from", node["name"])
        node["width"] = width
        node["layers"] = n = sum(name.startswith(f"{prefix}.weight_hh_l") for name in self.tensors)
        for k in range(n):
            rows = gates * width
            self.put(node, f"weight_ih_l{k}", self.need(node, f"weight_ih_l{k}", 2),
                     (rows, width if k else n_in))
            self.put(node, f"weight_hh_l{k}", self.need(node, f"weight_hh_l{k}", 2), (rows, width))
            self.put_or(node, f"bias_ih_l{k}", rows, 0)
            self.put_or(node, f"bias_hh_l{k}", rows, 0)
        for what in ("h0", "c0") if node["kind"] == "lstm" else ("h0",):
            state = self.find(node, what)
            if state is not None:
                self.put(node, what, state.reshape(-1, width), (n, width))

    def conv1d(self, node, n_in):
        """Torch's [W, X / groups, taps] as [W, taps X / groups], oldest first."""
        weight = self.need(node, "weight", 3)
        node["width"], _, node["taps"] = weight.shape
        if n_in != weight.shape[1] * node["groups"]:
            self.refuse(node, f"tensor weight: shape {list(weight.shape)} in {node['groups']} "
                              f"groups does not fit {n_in} inputs")
        laid = weight.transpose(0, 2, 1).reshape(len(weight), -1)
        self.put(node, "weight", laid, laid.shape)
        self.put_or(node, "bias", len(weight), 0)

    def batch_norm(self, node, n_in):
        """Folded into weight and bias."""
        scale = 1 / np.sqrt(self.need(node, "running_var", 1) + node.pop("eps"))
        mean = self.need(node, "running_mean", 1)
        weight, bias = self.find(node, "weight"), self.find(node, "bias")
        weight = scale if weight is None else weight * scale
        bias = -mean * weight if bias is None else bias - mean * weight
        node["kind"] = "affine"
        self.put(node, "weight", weight, (n_in,))
        self.put(node, "bias", bias, (n_in,))

    def standardise(self, node, n_in):
        """mean and sd, as trainers keep them."""
        deviation = self.need(node, "sd", 1)
        if not (deviation > 0).all():
            self.refuse(node, "tensor sd: expected nothing that is 0 or below")
        self.put(node, "factor", 1 / deviation, (n_in,))
        self.put(node, "mean", self.need(node, "mean", 1), (n_in,))

    def prelu(self, node, n_in):
        weight = self.need(node, "weight", 1)
        self.put(node, "slope", np.broadcast_to(weight, n_in) if len(weight) == 1 else weight,
                 (n_in,))

    def taps_kind(self, node, n_in):
        weight = self.need(node, "weight", 1)
        node["taps"] = len(weight)
        self.put(node, "weight", weight, weight.shape)

    def norm(self, node, n_in):
        self.put_or(node, "weight", n_in, 1)
        if node["kind"] == "layer_norm":
            self.put_or(node, "bias", n_in, 0)

    def affine(self, node, n_in):
        self.put_or(node, "weight", n_in, 1)
        self.put_or(node, "bias", n_in, 0)

    def ssm(self, node, n_in):
        a = self.need(node, "a", 3)
        node["states"] = a.shape[1]
        for what in "abc":
            self.put(node, what, self.need(node, what, 3), (n_in, a.shape[1], 2))
        self.put_or(node, "d", n_in, 0)

    TENSORS = {"dense": dense, "session": session, "gru": cells, "lstm": cells, "rnn": cells,
               "conv1d": conv1d, "batch_norm": batch_norm, "standardise": standardise,
               "prelu": prelu, "taps": taps_kind, "layer_norm": norm, "rms_norm": norm,
               "affine": affine, "ssm": ssm}

    # ---- the list ----

    def check_keys(self, given, node):
        """Keys of the kind, with torch's defaults."""
        defaults = KEYS.get(node["kind"], {})
        for key, value in given.items():
            if key in OWN_KEYS or key in ("width", "layers"):
                continue
            if key not in defaults:
                self.refuse(node, f"unknown key {key!r:.40}; a {node['kind']} has "
                                  f"{', '.join(defaults) or 'none of its own'}")
            if key in TEXTS and value not in TEXTS[key]:
                self.refuse(node, f"{key} {value!r:.40}: expected one of {', '.join(TEXTS[key])}")
            if key not in TEXTS and (isinstance(value, bool) != (key == "corrected") or
                                     not isinstance(value, (int, float))):
                self.refuse(node, f"{key} {value!r:.40}: expected a number")
        for key, default in defaults.items():
            node[key] = given.get(key, default)
            if node[key] is None:
                self.refuse(node, f"a {node['kind']} wants the key {key}")

    def check_node(self, given):
        """-> the node with its keys, inputs known."""
        if not isinstance(given, dict) or not isinstance(given.get("name"), str) or \
                not NAME.match(given["name"]) or given["name"] in (*RESERVED, *self.widths):
            raise Refusal(f"{self.list_path}: node {str(given)[:80]}: expected a \"name\" of its "
                          f"own, of letters, digits, _ and -")
        if given.get("kind") not in KINDS:
            self.refuse(given, f"there is no layer of kind {given.get('kind')!r:.40}; there are "
                               f"{', '.join(sorted(KINDS))}")
        inputs = given.get("inputs")
        is_many = given["kind"] in layers.COMBINE
        if not isinstance(inputs, list) or not (len(inputs) > 1 if is_many else len(inputs) == 1) \
                or not all(isinstance(name, str) and name in self.widths for name in inputs):
            self.refuse(given, f"inputs {str(inputs)[:80]}: expected "
                               f"{'two or more names' if is_many else 'one name'} of nodes before "
                               f"it, or input")
        node = {"kind": given["kind"], "name": given["name"], "inputs": inputs}
        if "from" in given:
            node["from"] = str(given["from"])
        self.check_keys(given, node)
        return node

    def width_after(self, node, n_in):
        if node["kind"] in ("add", "multiply") and len(set(n_in)) > 1:
            self.refuse(node, f"inputs of widths {', '.join(map(str, n_in))}: expected one")
        if node["kind"] == "glu" and n_in[0] % 2:
            self.refuse(node, f"an input of width {n_in[0]}: expected an even one")
        return {"concat": sum(n_in), "window": n_in[0] * node.get("items", 0),
                "glu": n_in[0] // 2}.get(node["kind"], node.get("width", n_in[0]))

    def n_channels(self):
        """What the tensors of a layer that reads the bin say."""
        for given in self.content["nodes"]:
            if not isinstance(given, dict) or given.get("inputs") != ["input"]:
                continue
            prefix = given.get("from", given.get("name"))
            for what, axis in (("weight_ih_l0", 1), ("weight", 1), ("mean", 0),
                               ("running_mean", 0), ("weight", 0)):
                array = self.tensors.get(f"{prefix}.{what}")
                if array is not None and array.ndim > axis and given.get("kind") != "taps":
                    groups = given.get("groups", 1) if given.get("kind") == "conv1d" else 1
                    is_session = given.get("kind") == "session"
                    return array.shape[2 if is_session and array.ndim > 2 else axis] * groups
        raise Refusal(f"{self.list_path}: no tensor tells how wide the bin is; give --channels C")

    def build(self, n_channels):
        self.widths["input"] = n_channels or self.n_channels()
        for given in self.content["nodes"]:
            node = self.check_node(given)
            n_in = [self.widths[name] for name in node["inputs"]]
            if node["kind"] in self.TENSORS:
                self.TENSORS[node["kind"]](self, node, n_in[0])
            self.widths[node["name"]] = self.width_after(node, n_in)
            node.pop("from", None)
            self.nodes.append(node)
        left = sorted(set(self.tensors) - self.taken)
        if left:
            raise Refusal(f"{self.path}: tensor {left[0]} is of no node of {self.list_path} "
                          f"({len(left)} such in all): {', '.join(left[:6])}")

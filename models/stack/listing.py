"""A list of nodes and their tensors, as an exporter's LIST.json and checkpoint have them, made node
by node."""
import dataclasses
import re

import numpy as np

from latent_models.common.refusal import Refusal

NAME_MAX = 48
OUTPUTS = ("exp", "softplus", "relu")  # a last node that is a link of rates


@dataclasses.dataclass(frozen=True)
class Items:
    """What flows along an edge. name: of the node; row 0 describes bin start, rows come every
    stride bins; before them stand pad zeros, which a convolution takes, and behind them pad_end."""

    name: str
    width: int
    start: int = 0
    stride: int = 1
    pad: int = 0
    pad_end: int = 0


class Listing:
    """nodes: in the order of the list; tensors: "NODE.WHAT" -> float64, as torch lays them out."""

    def __init__(self, n_channels):
        self.nodes, self.tensors, self.taken = [], {}, {"input", "selftest", "stage"}
        self.input = Items("input", n_channels)

    def own_name(self, hint):
        base = re.sub(r"[^A-Za-z0-9_-]", "_", hint)[:NAME_MAX] or "n"
        name, k = base, 1
        while name in self.taken:
            name, k = f"{base}-{k}", k + 1
        self.taken.add(name)
        return name

    def add(self, kind, inputs, hint, width=None, tensors=None, **keys):
        """A node of these Items -> its Items, of the first one's time."""
        name = self.own_name(hint)
        self.nodes.append({"kind": kind, "name": name, "inputs": [x.name for x in inputs], **keys})
        for what, array in (tensors or {}).items():
            if array is not None:
                self.tensors[f"{name}.{what}"] = np.asarray(array, np.float64)
        return dataclasses.replace(inputs[0], name=name, width=width or inputs[0].width)

    def node(self, name):
        return next((node for node in self.nodes if node["name"] == name), None)

    # ---- time ----

    def settled(self, x):
        """With the zeros before its first row as a delay."""
        if not x.pad:
            return dataclasses.replace(x, pad_end=0)
        late = self.add("taps", [x], "delay", tensors={"weight": np.eye(x.pad + 1)[x.pad]})
        return dataclasses.replace(late, pad=0, pad_end=0)

    def cropped(self, x, n_rows):
        """Without its first rows."""
        if not n_rows:
            return x
        x = self.settled(x)
        return dataclasses.replace(self.add("crop", [x], "crop", items=n_rows),
                                   start=x.start + n_rows * x.stride)

    def together(self, inputs):
        """The same, row by row: those whose row 0 describes an earlier bin wait."""
        inputs = [self.settled(x) for x in inputs]
        start, stride = max(x.start for x in inputs), inputs[0].stride
        if any(x.stride != stride or (start - x.start) % stride for x in inputs):
            return None
        out = []
        for x in inputs:
            n_late = (start - x.start) // stride
            out.append(self.cropped(dataclasses.replace(x, pad=n_late), n_late) if n_late else x)
        return out

    # ---- numbers ----

    def dense(self, x, weight, bias=None, hint="dense"):
        x = self.settled(x)
        return self.add("dense", [x], hint, len(weight), {"weight": weight, "bias": bias})

    def selected(self, x, index, hint="select"):
        """Some of the numbers of each row, in this order."""
        if list(index) == list(range(x.width)):
            return x
        return self.dense(x, np.eye(x.width)[list(index)], hint=hint)

    def widened(self, x, width):
        """One number, width times."""
        return x if x.width == width else self.dense(x, np.ones((width, 1)), hint="spread")

    def constant(self, like, values):
        """The same numbers in every row."""
        return self.dense(like, np.zeros((len(values), like.width)), values, "constant")

    def affine(self, x, weight, bias, hint="affine"):
        """weight x + bias, each a number or [W]. What is subtracted and then divided by is one
        layer: a z-score."""
        x = self.settled(x)
        weight, bias = (np.broadcast_to(np.asarray(v, np.float64), x.width) for v in (weight, bias))
        before = self.node(x.name)
        if (weight == 1).all() and before is None:
            return self.add("standardise", [x], hint, tensors={"mean": -bias,
                                                               "sd": np.ones(x.width)})
        if before and before["kind"] == "standardise" and (bias == 0).all() and \
                (weight > 0).all():
            mean, sd = (self.tensors[f"{x.name}.{what}"] for what in ("mean", "sd"))
            return self.add("standardise", [dataclasses.replace(x, name=before["inputs"][0])],
                            hint, tensors={"mean": mean, "sd": sd / weight})
        if (bias == 0).all() and (weight == weight[0]).all():
            return self.add("scale", [x], hint, factor=float(weight[0]))
        return self.add("affine", [x], hint, tensors={"weight": weight, "bias": bias})

    def function(self, kind, x, hint=None, **keys):
        return self.add(kind, [self.settled(x)], hint or kind, **keys)

    def combined(self, kind, inputs, hint=None):
        """add, multiply or concat of Items; None where their rows never come together."""
        inputs = self.together(inputs)
        if inputs is None:
            return None
        if kind != "concat":
            width = max(x.width for x in inputs)
            inputs = [self.widened(x, width) for x in inputs]
        total = sum(x.width for x in inputs) if kind == "concat" else inputs[0].width
        return self.add(kind, inputs, hint or kind, total)

    # ---- the end ----

    def without_link(self, x):
        """-> (Items, link): a last exp, softplus or relu is a link of rates; None: another."""
        node = self.node(x.name)
        if not node or node["kind"] not in OUTPUTS or node.get("beta", 1.0) != 1.0:
            return x, None
        return dataclasses.replace(x, name=node["inputs"][0]), node["kind"]

    def content(self, outputs, **more):
        """LIST.json, of what the outputs need."""
        needed = {value for key, value in outputs.items() if key != "link"}
        for node in reversed(self.nodes):
            if node["name"] in needed:
                needed.update(node["inputs"])
        nodes = [node for node in self.nodes if node["name"] in needed]
        if any(node["kind"] == "rsqrt" for node in nodes):
            raise Refusal("rsqrt: no layer of a stack but in x * rsqrt(mean(x ** 2) + eps)")
        kept = {node["name"] for node in nodes}
        self.tensors = {name: array for name, array in self.tensors.items()
                        if name.rsplit(".", 1)[0] in kept}
        return {"nodes": nodes, "outputs": outputs, "n_channels": self.input.width, **more}

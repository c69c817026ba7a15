"""Functions of single numbers, and over the numbers of a bin, as nodes of a stack: name ->
function of a tracing.Call. What is no kind of layer is built of those that are."""
import numpy as np
import torch

from latent_models.stack import modules
from latent_models.stack.modules import array, settled
from latent_models.stack.tracing import Value

COUNTS_ONLY = ("log1p",)  # of negative numbers the layer says 0
SELU = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717  # torch's scale, alpha


def plain(kind, **keys):
    def function(call):
        x, items = settled(call)
        if kind in COUNTS_ONLY and not is_positive(call, x.items):
            raise call.no("of what may be below 0; expected it of counts")
        return call.value(call.listing.function(kind, items, call.hint, **keys), x.roles)
    return function


def is_positive(call, items):
    node = call.listing.node(items.name)
    return call.tracer.is_counts if node is None else node["kind"] in (
        "relu", "exp", "sigmoid", "softplus", "softmax", "sqrt", "hard_sigmoid")


def with_key(kind, key, place, name, default):
    def function(call):
        x, items = settled(call)
        value = float(call.get(place, name, default))
        return call.value(call.listing.function(kind, items, call.hint, **{key: value}), x.roles)
    return function


def gelu(call):
    approximate = call.kwargs.get("approximate", "none")
    return plain("gelu_tanh" if approximate == "tanh" else "gelu")(call)


def softplus(call):
    if call.get(2, "threshold", 20) != 20:
        raise call.no("threshold: expected torch's 20")
    return with_key("softplus", "beta", 1, "beta", 1.0)(call)


def over_channels(kind, default=None, **keys):
    """A function over the axis dim, which is that of channels."""
    def function(call):
        x, items = settled(call)
        dim = call.get(1, "dim", default)
        if dim is None:
            raise call.no("without dim: torch guesses it; say dim=-1")
        call.of_channels(x, dim)
        return call.value(call.listing.add(kind, [items], call.hint,
                                           items.width // (2 if kind == "glu" else 1), **keys),
                          x.roles)
    return function


def normalised(call):
    x, items = settled(call)
    if call.get(1, "p", 2.0) != 2:
        raise call.no("expected p=2")
    call.of_channels(x, call.get(2, "dim", 1))
    return call.value(call.listing.function("l2_norm", items, call.hint,
                                            eps=float(call.get(3, "eps", 1e-12))), x.roles)


def prelu(call):
    x, items = settled(call)
    weight = call.get(1, "weight")
    if weight.numel() > 1:
        call.of_channels(x, 1)
    return call.value(call.listing.add("prelu", [items], call.hint,
                                       tensors={"weight": array(weight).reshape(-1)}), x.roles)


def clamped(call, low, high):
    """low + relu(x - low) - relu(x - high), exactly."""
    x, items = settled(call)
    out, listing = items, call.listing
    if low is not None:
        moved = listing.add("affine", [items], "low", tensors={
            "weight": np.ones(items.width), "bias": np.full(items.width, -float(low))})
        out = listing.affine(listing.function("relu", moved if low else items), 1.0, float(low)) \
            if low else listing.function("relu", items)
    if high is not None:  # high - relu(high - x), of what low has left
        below = listing.add("affine", [out], "high", tensors={
            "weight": np.full(items.width, -1.0), "bias": np.full(items.width, float(high))})
        out = listing.add("affine", [listing.function("relu", below)], call.hint, tensors={
            "weight": np.full(items.width, -1.0), "bias": np.full(items.width, float(high))})
    return call.value(out, x.roles)


def clamp(call):
    low, high = call.get(1, "min"), call.get(2, "max")
    if any(isinstance(v, (torch.Tensor, Value)) for v in (low, high)):
        raise call.no("by tensors; expected numbers")
    return clamped(call, low, high)


def hardtanh(call):
    return clamped(call, call.get(1, "min_val", -1.0), call.get(2, "max_val", 1.0))


def built(make):
    """A function of other layers: make(listing, items, call) -> Items."""
    def function(call):
        x, items = settled(call)
        return call.value(make(call.listing, items, call), x.roles)
    return function


def mish(listing, x, _call):
    inner = listing.function("tanh", listing.function("softplus", x, beta=1.0))
    return listing.combined("multiply", [x, inner], "mish")


def hardswish(listing, x, _call):
    return listing.combined("multiply", [x, listing.function("hard_sigmoid", x)], "hardswish")


def selu(listing, x, _call):
    return listing.affine(listing.function("elu", x, alpha=SELU[1]), SELU[0], 0.0, "selu")


def celu(listing, x, call):
    alpha = float(call.get(1, "alpha", 1.0))
    inner = listing.affine(x, 1 / alpha, 0.0) if alpha != 1 else x
    return listing.affine(listing.function("elu", inner, alpha=1.0), alpha, 0.0, "celu")


def negated(listing, x):
    return listing.affine(x, -1.0, 0.0, "negative")


def logsigmoid(listing, x, _call):
    return negated(listing, listing.function("softplus", negated(listing, x), beta=1.0))


def tanhshrink(listing, x, _call):
    return listing.combined("add", [x, negated(listing, listing.function("tanh", x))])


def absolute(listing, x, _call):
    return listing.combined("add", [listing.function("relu", x),
                                    listing.function("relu", negated(listing, x))], "abs")


def expm1(listing, x, _call):
    return listing.affine(listing.function("exp", x), 1.0, -1.0, "expm1")


def log_softmax(call):
    raise call.no("no layer of a stack; return the scores before it, which have the same largest "
                  "one")


def dropout(call):
    if call.get(2, "training", True):
        raise call.no("drops units when live, too: its training is True by default; give "
                      "training=self.training")
    return modules.same(call)


ACTIVATIONS = {
    **{name: plain(name) for name in ("relu", "silu", "softsign", "tanh", "sigmoid", "exp", "sqrt",
                                      "log1p")},
    "hardsigmoid": plain("hard_sigmoid"), "gelu": gelu, "softplus": softplus,
    "leaky_relu": with_key("leaky_relu", "slope", 1, "negative_slope", 0.01),
    "elu": with_key("elu", "alpha", 1, "alpha", 1.0), "softmax": over_channels("softmax"),
    "glu": over_channels("glu", -1), "normalize": normalised, "prelu": prelu, "clamp": clamp,
    "clip": clamp, "clamp_min": lambda call: clamped(call, call.get(1, "min"), None),
    "clamp_max": lambda call: clamped(call, None, call.get(1, "max")), "hardtanh": hardtanh,
    "relu6": lambda call: clamped(call, 0.0, 6.0), "mish": built(mish),
    "hardswish": built(hardswish), "selu": built(selu), "celu": built(celu),
    "logsigmoid": built(logsigmoid), "tanhshrink": built(tanhshrink), "abs": built(absolute),
    "expm1": built(expm1), "log_softmax": log_softmax, "dropout": dropout, "alpha_dropout": dropout,
    "feature_dropout": dropout, "dropout1d": dropout,
}

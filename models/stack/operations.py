"""Functions and methods of tensors as nodes of a stack: name -> function of a tracing.Call. torch's
function, the operator and the method of a name mean the same."""
import dataclasses

import numpy as np
import torch

from latent_models.stack import modules
from latent_models.stack.activations import ACTIVATIONS, plain
from latent_models.stack.modules import array, settled
from latent_models.stack.tracing import Value, role_name


# ---- constants ----

def of_channels(call, x, constant):
    """A number or tensor that stands beside the bins -> [C] or a number: it may not change over
    trials or time."""
    if not isinstance(constant, torch.Tensor):
        return float(constant)
    rest = constant
    for axis in range(constant.ndim):
        name = x.roles[len(x.roles) - constant.ndim + axis] if constant.ndim <= len(x.roles) \
            else "1"
        if name == "C" or constant.shape[axis] == 1:
            continue
        first = constant.narrow(axis, 0, 1)
        if not (constant == first).all():
            raise call.no(f"a tensor that changes over {role_name(name)}; a stream has the same "
                          f"layers in every bin")
    for axis in range(constant.ndim):
        name = x.roles[len(x.roles) - constant.ndim + axis] if constant.ndim <= len(x.roles) \
            else "1"
        if name != "C":
            rest = rest.narrow(axis, 0, 1)
    values = array(rest).reshape(-1)
    return float(values[0]) if len(values) == 1 else values


def grown(call, x, constant):
    """x, as wide as a constant beside it."""
    width = call.result.shape[x.axis("C")] if x.axis("C") is not None else x.items.width
    if call.result.ndim != len(x.roles):
        raise call.no(f"a tensor of {constant.ndim} axes beside one of {len(x.roles)}; expected no "
                      f"more axes")
    return call.listing.widened(call.listing.settled(x.items), width)


def with_constant(make):
    """make(call, items, constant, is_first) -> Items."""
    def function(call, x, constant, is_first):
        items = grown(call, x, constant) if isinstance(constant, torch.Tensor) else \
            call.listing.settled(x.items)
        return call.value(make(call, items, of_channels(call, x, constant), is_first), x.roles)
    return function


# ---- sums and products ----

def pair(call):
    """-> (value, other, is the constant first)."""
    a, b = call.get(0, "input"), call.get(1, "other")
    return (a, b, False) if isinstance(a, Value) else (b, a, True)


def both(call, kind, a, b, sign=1.0):
    """add or multiply of two values of the same rows."""
    x, y = a.items, b.items
    if sign != 1:
        y = call.listing.affine(y, sign, 0.0, "negative")
    if len(a.roles) != len(b.roles) or any(r != s and "1" not in (r, s)
                                           for r, s in zip(a.roles, b.roles)):
        raise call.no(f"of axes {', '.join(map(role_name, a.roles))} and "
                      f"{', '.join(map(role_name, b.roles))}; expected the same")
    roles = [s if r == "1" else r for r, s in zip(a.roles, b.roles)]
    out = call.listing.combined(kind, [x, y], call.hint)
    if out is None:
        raise call.no("of rows that come in different bins (strides)")
    return call.value(out, roles)


def added(sign):
    def function(call):
        x, other, is_first = pair(call)
        alpha = call.kwargs.get("alpha", 1)
        if alpha != 1:
            raise call.no("alpha: expected 1; write the product")
        if isinstance(other, Value):
            return both(call, "add", x, other, sign)
        return SUM[sign](call, x, other, is_first)
    return function


def reversed_difference(call):
    """other - input."""
    a, b = call.args[:2]
    return added(-1.0)(dataclasses.replace(call, args=(b, a)))


SUM = {1.0: with_constant(lambda call, x, c, _: call.listing.affine(x, 1.0, c, call.hint)),
       -1.0: with_constant(lambda call, x, c, is_first: call.listing.affine(x, -1.0, c, call.hint)
                           if is_first else call.listing.affine(x, 1.0, -c, call.hint))}
TIMES = with_constant(lambda call, x, c, _: call.listing.affine(x, c, 0.0, call.hint))


def times(call):
    x, other, is_first = pair(call)
    if isinstance(x, Value) and isinstance(other, Value):
        norm = scaled_by_rms(call, x, other, "rsqrt") or scaled_by_rms(call, other, x, "rsqrt")
        if norm:
            return norm
    return both(call, "multiply", x, other) if isinstance(other, Value) else \
        TIMES(call, x, other, is_first)


def divided(call):
    x, other, is_first = pair(call)
    if isinstance(x, Value) and isinstance(other, Value):
        norm = scaled_by_rms(call, x, other, "sqrt")
        if norm:
            return norm
    if isinstance(other, Value) or is_first:
        raise call.no("divides by what comes from the bins: no layer of a stack does; F.normalize "
                      "and LayerNorm are there")
    if call.kwargs.get("rounding_mode"):
        raise call.no("rounds: no layer of a stack does")
    inverse = 1 / other.double() if isinstance(other, torch.Tensor) else 1 / other
    return TIMES(call, x, inverse, is_first)


def scaled_by_rms(call, x, root, kind):
    """x by the root of its mean square, by hand: an rms_norm; None: it is something else."""
    listing = call.listing
    last = listing.node(root.items.name)
    if not last or last["kind"] != kind:
        return None
    moved = listing.node(last["inputs"][0])
    is_moved = moved and moved["kind"] == "affine" and (
        listing.tensors[f"{moved['name']}.weight"] == 1).all()
    mean = listing.node(moved["inputs"][0]) if is_moved else moved
    square = listing.node(mean["inputs"][0]) if mean and mean["kind"] == "dense" else None
    if not square or square["kind"] != "multiply" or set(square["inputs"]) != {x.items.name} or \
            not (listing.tensors[f"{mean['name']}.weight"] == 1 / x.items.width).all():
        return None
    eps = float(listing.tensors[f"{moved['name']}.bias"][0]) if is_moved else 0.0
    return call.value(listing.add("rms_norm", [x.items], "rms_norm", eps=eps), x.roles)


def root_of_mean(call):
    """1 / sqrt: a node that no file has, until a product makes an rms_norm of it."""
    x, items = settled(call)
    return call.value(call.listing.function("rsqrt", items), x.roles)


def negative(call):
    x, items = settled(call)
    return call.value(call.listing.affine(items, -1.0, 0.0, call.hint), x.roles)


def power(call):
    x, exponent = call.first(), call.get(1, "exponent")
    if exponent == 2:
        return both(call, "multiply", x, x)
    if exponent == 0.5:
        return plain("sqrt")(call)
    raise call.no(f"to the power of {exponent}; expected 2 or 0.5")


def product(call):
    """input @ weight, or weight @ input over [..., channels, time]."""
    x, other, is_first = pair(call)
    if isinstance(other, Value):
        raise call.no("of two values that both come from the bins (attention?): no layer of a "
                      "stack does; models/ndt exports transformers")
    if other.ndim != 2:
        raise call.no(f"a matrix of {other.ndim} axes; expected 2")
    items, weight = call.listing.settled(x.items), array(other)
    call.of_channels(x, -2 if is_first else -1)
    return call.value(call.listing.dense(items, weight if is_first else weight.T, hint=call.hint),
                      x.roles)


def linear(call):
    return modules.dense_of(call, call.get(1, "weight"), call.get(2, "bias"))


def added_product(call):
    """addmm: bias + input @ weight."""
    x, weight = call.get(1, "mat1"), call.get(2, "mat2")
    if not isinstance(x, Value) or isinstance(weight, Value) or call.kwargs:
        raise call.no("expected addmm(bias, bins, weight)")
    return modules.dense_of(dataclasses.replace(call, args=(x,), kwargs={}), weight.T,
                            call.get(0, "input"))


def joined(call):
    """cat over channels; over time only zeros before the bins."""
    parts, dim = call.get(0, "tensors"), call.get(1, "dim", 0)
    values = [p for p in parts if isinstance(p, Value)]
    x = values[0]
    axis = range(len(x.roles))[dim]
    if x.roles[axis] == "T" and len(parts) == 2 and len(values) == 1 and parts[1] is x and \
            not parts[0].any():
        sizes = (0, 0) * (len(x.roles) - 1 - axis) + (parts[0].shape[axis], 0)
        return modules.padded(call, x, sizes, 0)
    if x.roles[axis] != "C" and not (x.axis("C") is None and x.roles[axis] == "1"):
        raise call.no(f"joins over {role_name(x.roles[axis])}; expected channels (dim "
                      f"{x.axis('C')})")
    inputs = []
    for part in parts:
        if isinstance(part, Value):
            inputs.append(part.items)
            continue
        values = of_channels(call, x, part)
        inputs.append(call.listing.constant(call.listing.settled(x.items), np.atleast_1d(
            np.broadcast_to(values, part.shape[axis]))))
    out = call.listing.combined("concat", inputs, call.hint)
    if out is None:
        raise call.no("of rows that come in different bins (strides)")
    roles = ["C" if k == axis else r for k, r in enumerate(x.roles)]
    return call.value(out, roles)


# ---- axes ----

def moved(call):
    """transpose, permute, T: the axes by what torch did to a tensor of their numbers."""
    x = call.first()
    order = torch.empty([k + 2 for k in range(len(x.roles))])
    out = call.target(order, *call.args[1:], **call.kwargs)
    roles = [x.roles[n - 2] for n in out.shape]
    return call.value(x.items, roles)


def reshaped(call):
    return modules.reshaped(call, call.first())


def parts(call):
    """chunk, split, tensor_split, unbind: of the channels."""
    x = call.first()
    place = 1 if call.what == "unbind" else 2
    dim = call.get(place, "dim", 0)
    axis = range(len(x.roles))[dim]
    if x.roles[axis] != "C":
        raise call.no(f"takes apart the axis of {role_name(x.roles[axis])}; a stream has one bin "
                      f"at a time")
    listing, items, at, out = call.listing, call.listing.settled(x.items), 0, []
    for part in call.result:
        n = 1 if call.what == "unbind" else part.shape[axis]
        roles = x.roles[:axis] + x.roles[axis + 1:] if call.what == "unbind" else x.roles
        out.append(call.value(listing.selected(items, range(at, at + n), call.hint), roles, part))
        at += n
    return tuple(out)


def item(call):
    """x[...]: rows from one on, channels, new axes."""
    x, index = call.first(), call.args[1]
    index = index if isinstance(index, tuple) else (index,)
    n_axes = sum(part is not None and part is not Ellipsis for part in index)
    if any(part is Ellipsis for part in index):
        at = next(k for k, part in enumerate(index) if part is Ellipsis)
        index = index[:at] + (slice(None),) * (len(x.roles) - n_axes) + index[at + 1:]
    index += (slice(None),) * (len(x.roles) - sum(part is not None for part in index))
    items, roles, axis = x.items, [], 0
    for part in index:
        if part is None:
            roles.append("1")
            continue
        items, kept = indexed(call, x, items, part, axis)
        roles += kept
        axis += 1
    return call.value(items, roles)


def indexed(call, x, items, part, axis):
    """One axis -> Items, the roles that are left of it."""
    name, size = x.roles[axis], x.tensor.shape[axis]
    if isinstance(part, slice) and part.indices(size) == (0, size, 1):
        return items, [name]
    if name == "C":
        chosen = torch.arange(size)[part]
        return call.listing.selected(call.listing.settled(items), chosen.reshape(-1).tolist(),
                                     call.hint), ["C"] if chosen.ndim else []
    if name == "1" and not isinstance(part, slice):
        return items, []
    if name == "T" and isinstance(part, slice):
        return rows_from(call, items, part, size), ["T"]
    if name == "N":
        raise call.no("takes one trial: return them all")
    raise call.no(f"takes one of the axis of {role_name(name)}; a stream gives a row of every bin: "
                  f"return them all (a loop over bins: use a layer of torch.nn)")


def rows_from(call, items, part, size):
    """x[:, a:b:c]; what is cut at the end does not exist in a stream."""
    start, stop, step = part.indices(size)
    if part.start is not None and part.start < 0:
        raise call.no("the last bins of a trial: a stream does not know its end; return every bin")
    pad_end = max(0, items.pad_end - (size - stop)) if step == 1 else 0
    skipped = min(start, items.pad)
    items = dataclasses.replace(items, pad=items.pad - skipped)
    items = dataclasses.replace(call.listing.cropped(items, start - skipped), pad_end=pad_end)
    if step > 1:
        items = call.listing.add("window", [call.listing.settled(items)], "every", items=1,
                                 stride=step)
        items = dataclasses.replace(items, stride=items.stride * step)
    return items


def narrow(call):
    dim, start, length = (call.get(k + 1, n) for k, n in enumerate(("dim", "start", "length")))
    x = call.first()
    axis = range(len(x.roles))[dim]
    index = (slice(None),) * axis + (slice(start, start + length),)
    return item(dataclasses.replace(call, args=(x, index), kwargs={}))


def unfolded(call):
    """x.unfold(time, n, step): a window, whose bins flatten() puts side by side."""
    raise call.no("several bins side by side: Conv1d has the same weights as a Linear over them "
                  "([outputs, channels, bins])")


# ---- functions that are layers, too ----

def conv1d(call):
    weight = call.get(1, "weight")
    stride, padding, dilation = (call.get(k, n, d) for k, n, d in (
        (3, "stride", 1), (4, "padding", 0), (5, "dilation", 1)))
    stride, dilation = modules.one(stride), modules.one(dilation)
    span = (weight.shape[2] - 1) * dilation + 1
    return modules.convolved(call, call.first(), modules.Kernel(
        array(weight), array(call.get(2, "bias")), stride, dilation, call.get(6, "groups", 1),
        *modules.padding_of(call, padding, span)))


def pad(call):
    if call.get(2, "mode", "constant") != "constant":
        raise call.no(f"mode {call.get(2, 'mode')}: takes bins to come; expected zeros")
    return modules.padded(call, call.first(), call.get(1, "pad"), call.get(3, "value", 0) or 0)


def layer_norm(call):
    return modules.layer_norm_of(call, call.get(1, "normalized_shape"), call.get(2, "weight"),
                                 call.get(3, "bias"), call.get(4, "eps", 1e-5))


def batch_norm(call):
    if call.get(5, "training", False):
        raise call.no("training=True takes its mean from the batch, live there is none")
    return modules.batch_norm_of(call, {
        "running_mean": call.get(1, "running_mean"), "running_var": call.get(2, "running_var"),
        "weight": call.get(3, "weight"), "bias": call.get(4, "bias")}, call.get(7, "eps", 1e-5))


def mean_or_sum(call):
    """Over the numbers of a bin; over trials or time it is refused."""
    x, dim = call.first(), call.get(1, "dim")
    dim = dim[0] if isinstance(dim, (tuple, list)) and len(dim) == 1 else dim
    if not isinstance(dim, int) or x.roles[dim] != "C":
        return over_axis(call)
    items, axis = call.listing.settled(x.items), range(len(x.roles))[dim]
    share = 1 / items.width if call.what == "mean" else 1.0
    roles = [r for k, r in enumerate(x.roles) if k != axis or call.get(2, "keepdim", False)]
    return call.value(call.listing.dense(items, np.full((1, items.width), share), hint=call.hint),
                      roles)


def over_axis(call):
    raise call.no("over trials or time: not causal (AvgPool1d is); expected mean or sum over "
                  "channels (dim=-1)")


def refused(why):
    def function(call):
        raise call.no(why)
    return function


NOT_CAUSAL = refused("takes bins to come: not causal")
OPERATIONS = {
    "add": added(1.0), "iadd": added(1.0), "radd": added(1.0), "sub": added(-1.0),
    "subtract": added(-1.0), "isub": added(-1.0), "rsub": reversed_difference,
    "mul": times, "multiply": times, "imul": times, "rmul": times, "div": divided,
    "truediv": divided, "divide": divided, "true_divide": divided, "itruediv": divided,
    "rtruediv": refused("divides by what comes from the bins: no layer of a stack does"),
    "neg": negative, "negative": negative, "pow": power, "square": lambda call: both(
        call, "multiply", call.first(), call.first()),
    "matmul": product, "mm": product, "rmatmul": product, "linear": linear,
    "addmm": added_product, "cat": joined, "concat": joined, "concatenate": joined,
    **ACTIVATIONS,
    **{name: moved for name in ("transpose", "permute", "swapaxes", "swapdims", "movedim",
                                "moveaxis", "t", "T", "mT")},
    **{name: reshaped for name in ("view", "reshape", "flatten", "unflatten", "squeeze",
                                   "unsqueeze", "view_as", "reshape_as")},
    **{name: modules.same for name in ("contiguous", "clone", "detach", "float", "double", "to",
                                       "type", "type_as", "requires_grad_", "cpu", "identity")},
    **{name: parts for name in ("chunk", "split", "tensor_split", "unbind")},
    "getitem": item, "narrow": narrow, "unfold": unfolded, "conv1d": conv1d, "pad": pad,
    "constant_pad_nd": pad, "layer_norm": layer_norm, "batch_norm": batch_norm,
    "mean": mean_or_sum, "sum": mean_or_sum, "rsqrt": root_of_mean,
    **{name: over_axis for name in ("var", "std", "norm", "amax", "amin", "prod", "logsumexp")},
    "flip": NOT_CAUSAL, "roll": NOT_CAUSAL, "cumsum": refused("adds up a whole trial without end"),
    "bmm": refused("of two values that both come from the bins (attention?): no layer of a stack "
                   "does; models/ndt exports transformers"),
    "scaled_dot_product_attention": refused("looks at every bin at once; models/ndt exports "
                                            "transformers"),
    "einsum": refused("write it as Linear, matmul or a product"),
    "instance_norm": refused("takes its mean over the bins of a trial, those to come included"),
    "group_norm": refused("takes its mean over the bins of a trial, those to come included"),
    **{name: refused("depends on the values; a stack has the same layers in every bin")
       for name in ("where", "gt", "lt", "ge", "le", "eq", "ne", "item", "any", "all", "nonzero",
                    "masked_fill", "argmax", "sort", "topk", "max", "min", "maximum", "minimum")},
    "log": refused("no layer of a stack; log1p of counts is one, and rates say their link"),
    "conv_transpose1d": refused("gives more rows than bins"),
}

"""torch's layers as nodes of a stack: class -> function of a tracing.Call."""
import dataclasses

import numpy as np
import torch
from torch import nn

from latent_models.stack.tracing import TRIALS, State, role_name


def array(tensor):
    return None if tensor is None else tensor.detach().double().numpy()


def settled(call):
    """The first argument and its items, without zeros before them."""
    x = call.first()
    return x, call.listing.settled(x.items)


def same(call):
    x = call.first()
    return call.value(x.items, x.roles)


def dense_of(call, weight, bias):
    x, items = settled(call)
    call.of_channels(x, -1)
    return call.value(call.listing.dense(items, array(weight), array(bias), call.hint), x.roles)


def linear(call):
    return dense_of(call, call.target.weight, call.target.bias)


# ---- recurrent ----

def initial_state(call, given):
    """[layers, W] of a tensor [layers, trials, W] whose trials are all alike, or None."""
    if given is None:
        return None
    if not isinstance(given, torch.Tensor):
        raise call.no("its initial state comes from the bins; expected zeros or a parameter")
    rows = given if given.ndim == 2 else given[:, 0]
    if given.ndim == 3 and not (given == given[:, :1]).all():
        raise call.no("its initial state differs from trial to trial; expected one for all")
    return array(rows) if rows.any() else None


def recurrent(call):
    module, x = call.target, call.first()
    kind = module.mode.split("_")[0].lower()  # RNN_TANH, GRU, LSTM
    if module.bidirectional:
        raise call.no("bidirectional: not causal, a stream has no bins to come; train it with "
                      "bidirectional=False")
    if getattr(module, "proj_size", 0):
        raise call.no("proj_size: no layer of a stack; a Linear behind it does the same")
    wanted = "TC" if len(x.roles) == 2 else "NTC" if module.batch_first else "TNC"
    if "".join(x.roles) != wanted:
        raise call.other_layout(f"gets axes of {', '.join(map(role_name, x.roles))}, takes "
                                f"{', '.join(map(role_name, wanted))}: set batch_first, or "
                                f"transpose before it")
    given = call.get(1, "hx")
    given = given if isinstance(given, (tuple, list)) else (given,)
    tensors = {name: array(p) for name, p in module.named_parameters()}
    tensors.update((name, initial_state(call, state)) for name, state in zip(("h0", "c0"), given))
    keys = {"function": module.nonlinearity} if kind == "rnn" else {}
    items = call.listing.add(kind, [call.listing.settled(x.items)], call.hint, module.hidden_size,
                             tensors, **keys)
    state = State(f"the last state of {call.what}")
    return call.value(items, x.roles, call.result[0]), (state, state) if kind == "lstm" else state


# ---- convolution ----

@dataclasses.dataclass
class Kernel:
    weight: object
    bias: object
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    before: int = 0  # zeros it adds itself
    behind: int = 0


def convolved(call, x, kernel):
    """A convolution over time: row j of the output takes rows j stride - zeros on."""
    if len(x.roles) < 2 or x.roles[-2:] != ("C", "T"):
        raise call.other_layout(f"slides over the axis of {role_name(x.roles[-1])}, not of time: "
                                f"expected [trials, channels, time] (transpose(1, 2) before it)")
    listing, items = call.listing, x.items
    span = (kernel.weight.shape[2] - 1) * kernel.dilation + 1
    before, behind = items.pad + kernel.before, items.pad_end + kernel.behind
    if before > span - 1:
        items = listing.settled(dataclasses.replace(items, pad=before - (span - 1)))
        before = span - 1
    items = dataclasses.replace(items, pad=0, pad_end=0)
    is_valid = before == 0 and behind == 0 and span > 1
    ahead = 0 if is_valid else span - 1 - before
    out = listing.add("conv1d", [items], call.hint, len(kernel.weight),
                      {"weight": kernel.weight, "bias": kernel.bias}, stride=kernel.stride,
                      dilation=kernel.dilation, groups=kernel.groups, look_ahead=ahead,
                      padding="none" if is_valid else "zeros")
    if ahead:
        call.tracer.notes.append(f"{call.what}: looks {ahead} rows ahead, its values come later by "
                                 f"as many")
    start = items.start + (span - 1) * items.stride if is_valid else items.start
    return call.value(dataclasses.replace(out, start=start, stride=items.stride * kernel.stride),
                      x.roles)


def padding_of(call, given, span):
    """-> zeros before, behind."""
    if given == "same":
        return (span - 1) // 2, span - 1 - (span - 1) // 2
    n = 0 if given == "valid" else one(given)
    return n, n


def one(number):
    return int(number[0]) if isinstance(number, (tuple, list)) else int(number)


def conv1d(call):
    m = call.target
    if m.padding_mode != "zeros":
        raise call.no(f"padding_mode {m.padding_mode}: takes bins to come; expected zeros")
    span = (m.kernel_size[0] - 1) * m.dilation[0] + 1
    return convolved(call, call.first(), Kernel(
        array(m.weight), array(m.bias), m.stride[0], m.dilation[0], m.groups,
        *padding_of(call, m.padding, span)))


def averaged(call, x, size, stride, padding):
    width = x.items.width
    weight = np.full((width, 1, size), 1 / size)
    return convolved(call, x, Kernel(weight, None, stride, 1, width, padding, padding))


def avg_pool(call):
    m = call.target
    if one(m.padding) and not m.count_include_pad or m.ceil_mode:
        raise call.no("count_include_pad=False or ceil_mode: its ends differ; expected the "
                      "defaults")
    return averaged(call, call.first(), one(m.kernel_size), one(m.stride), one(m.padding))


def zero_pad(call):
    return padded(call, call.first(), call.target.padding, call.target.value)


def padded(call, x, sizes, value):
    """F.pad's sizes, last axis first."""
    items, time = x.items, x.axis("T")
    sizes = (sizes, sizes) if isinstance(sizes, int) else tuple(sizes)
    for k in range(len(sizes) // 2):
        before, behind = sizes[2 * k], sizes[2 * k + 1]
        axis = len(x.roles) - 1 - k
        if not before and not behind:
            continue
        if axis != time:
            raise call.other_layout(f"pads the axis of {role_name(x.roles[axis])}; expected that "
                                    f"of time")
        if value and (before > 0 or behind > 0):
            raise call.no(f"pads with {value:g}; expected zeros")
        if before < 0:
            items = call.listing.cropped(items, -before)
        elif before:
            items = dataclasses.replace(items, pad=items.pad + before)
        items = dataclasses.replace(items, pad_end=max(0, items.pad_end + behind))
    return call.value(items, x.roles)


# ---- norms ----

def layer_norm_of(call, shape, weight, bias, eps):
    x, items = settled(call)
    call.of_channels(x, -1)
    if tuple(shape) != (items.width,):
        raise call.no(f"over {list(shape)}; expected the channels of one bin, [{items.width}]")
    return call.value(call.listing.add("layer_norm", [items], call.hint,
                                       tensors={"weight": array(weight), "bias": array(bias)},
                                       eps=float(eps)), x.roles)


def layer_norm(call):
    m = call.target
    return layer_norm_of(call, m.normalized_shape, m.weight, m.bias, m.eps)


def rms_norm(call):
    m, (x, items) = call.target, settled(call)
    call.of_channels(x, -1)
    eps = torch.finfo(x.tensor.dtype).eps if m.eps is None else m.eps
    return call.value(call.listing.add("rms_norm", [items], call.hint,
                                       tensors={"weight": array(m.weight)}, eps=float(eps)),
                      x.roles)


def batch_norm_of(call, tensors, eps):
    x, items = settled(call)
    call.of_channels(x, 1)
    if tensors["running_mean"] is None:
        raise call.no("takes its mean from the batch, live there is none: "
                      "track_running_stats=True")
    return call.value(call.listing.add("batch_norm", [items], call.hint, eps=float(eps),
                                       tensors={k: array(v) for k, v in tensors.items()}), x.roles)


def batch_norm(call):
    m = call.target
    return batch_norm_of(call, {"running_mean": m.running_mean, "running_var": m.running_var,
                                "weight": m.weight, "bias": m.bias}, m.eps)


# ---- axes ----

def reshaped(call, x):
    """Axes of a view: kept, joined (trials and time) or taken apart again."""
    old, new, roles = list(x.tensor.shape), list(call.result.shape), []
    i = j = 0
    while i < len(old) or j < len(new):
        a, b, p, q = i, j, 1, 1
        i, j = min(i + 1, len(old)), min(j + 1, len(new))
        p, q = int(np.prod(old[a:i])), int(np.prod(new[b:j]))
        while p != q:
            if p < q:
                p, i = p * old[i], i + 1
            else:
                q, j = q * new[j], j + 1
        roles += group_roles(call, x, x.roles[a:i], old[a:i], new[b:j])
    if "C" not in roles and x.items.width > 1 or roles.count("C") > 1:
        raise call.no("takes the numbers of a bin apart or joins them with other axes; expected "
                      "those of one bin side by side")
    items = x.items
    if any(len(r) > 1 for r in roles):
        items = call.listing.settled(items)
    return call.value(items, roles)


def group_roles(call, x, roles, old, new):
    """Of axes that became axes of the same size in all."""
    kept = [r for r, n in zip(roles, old) if not (n == 1 and r in ("1", "C"))]
    if not kept:  # of size 1 all: the numbers of a bin where they were, or where an axis comes back
        is_of_bin = "C" in roles or "C" not in x.roles
        return ["C" if is_of_bin and k == 0 else "1" for k in range(len(new))]
    wide = [n for n in new if n != 1]
    if kept == ["N", "T"] or kept == ["T", "N"]:
        joined = "".join(kept)
        return [joined if n != 1 else "1" for n in new] if len(wide) == 1 else no_view(call, roles)
    if kept in (["NT"], ["TN"]) and len(wide) == 2 and wide[kept[0].index("N")] == TRIALS:
        rows = iter(kept[0])
        return [next(rows) if n != 1 else "1" for n in new]
    if len(kept) == 1 and len(wide) <= 1:
        left = iter(kept)
        return [next(left) if n != 1 or len(new) == 1 else "1" for n in new]
    return no_view(call, roles)


def no_view(call, roles):
    raise call.no(f"joins or takes apart the axes of {' and '.join(map(role_name, roles))}: the "
                  f"layers of a stack see one bin; for several bins side by side Conv1d has the "
                  f"same weights ([outputs, channels, bins])")


def flatten(call):
    return reshaped(call, call.first())


# ---- activations ----

def kind(name, **keys):
    """keys: of the node, each read from the module's attribute of that name."""
    def function(call):
        x, items = settled(call)
        return call.value(call.listing.function(
            name, items, call.hint, **{key: float(getattr(call.target, attribute))
                                       for key, attribute in keys.items()}), x.roles)
    return function


def by_operation(name, *attributes):
    """As the function of this name, with these attributes as its arguments."""
    def function(call):
        from latent_models.stack import activations
        kwargs = {**call.kwargs, **{a: getattr(call.target, a) for a in attributes}}
        return activations.ACTIVATIONS[name](dataclasses.replace(call, kwargs=kwargs))
    return function


ACTIVATIONS = {
    nn.ReLU: kind("relu"), nn.SiLU: kind("silu"), nn.Softsign: kind("softsign"),
    nn.Tanh: kind("tanh"), nn.Sigmoid: kind("sigmoid"),
    nn.LeakyReLU: kind("leaky_relu", slope="negative_slope"), nn.ELU: kind("elu", alpha="alpha"),
    nn.Hardsigmoid: kind("hard_sigmoid"), nn.GELU: by_operation("gelu", "approximate"),
    nn.Softplus: by_operation("softplus", "beta", "threshold"),
    nn.Softmax: by_operation("softmax", "dim"), nn.GLU: by_operation("glu", "dim"),
    nn.PReLU: by_operation("prelu", "weight"), nn.ReLU6: by_operation("relu6"),
    nn.Hardtanh: by_operation("hardtanh", "min_val", "max_val"), nn.SELU: by_operation("selu"),
    nn.CELU: by_operation("celu", "alpha"), nn.Mish: by_operation("mish"),
    nn.Hardswish: by_operation("hardswish"), nn.LogSigmoid: by_operation("logsigmoid"),
    nn.Tanhshrink: by_operation("tanhshrink"),
    nn.LogSoftmax: by_operation("log_softmax", "dim"),
}
LAYERS = {
    nn.Linear: linear, nn.GRU: recurrent, nn.LSTM: recurrent, nn.RNN: recurrent,
    nn.Conv1d: conv1d, nn.AvgPool1d: avg_pool, nn.ConstantPad1d: zero_pad,
    nn.LayerNorm: layer_norm, nn.BatchNorm1d: batch_norm, nn.Identity: same, nn.Dropout: same,
    nn.Dropout1d: same, nn.Dropout2d: same, nn.AlphaDropout: same, nn.FeatureAlphaDropout: same,
    nn.Flatten: flatten, nn.Unflatten: flatten, **ACTIVATIONS,
}
if hasattr(nn, "RMSNorm"):  # since torch 2.4
    LAYERS[nn.RMSNorm] = rms_norm

"""The kinds of layers of a stack in float64 numpy, in the order of core/layers/README.md.

ITEMS: keys of the node, its tensors, items [K, X] -> [K, W]. TIMED: the same -> Timed, items that
come later or less often. COMBINE: a list of [K, X] -> [K, W].
"""
import dataclasses
import math

import numpy as np

ERF = np.vectorize(math.erf, otypes=[float])
SOFTPLUS_LINE = 20.0  # torch's threshold
KERAS_SLOPE = 0.2


@dataclasses.dataclass
class Timed:
    """In items of the input: which one the first item comes with, how many apart, how late."""

    items: np.ndarray
    first: int = 0
    stride: int = 1
    delay: int = 0


def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


def keras_sigmoid(x):
    return np.clip(KERAS_SLOPE * x + 0.5, 0, 1)


def softplus(keys, x):
    scaled = keys["beta"] * x
    return np.where(scaled > SOFTPLUS_LINE, x,
                    np.log1p(np.exp(np.minimum(scaled, SOFTPLUS_LINE))) / keys["beta"])


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def at_least_zero(x):
    return np.maximum(x, 0)


# ---- functions of a number: keys, x ----

FUNCTIONS = {
    "sqrt": lambda k, x: np.sqrt(at_least_zero(x)),
    "anscombe": lambda k, x: 2 * np.sqrt(at_least_zero(x) + 0.375),
    "log1p": lambda k, x: np.log1p(at_least_zero(x)),
    "relu": lambda k, x: at_least_zero(x),
    "leaky_relu": lambda k, x: np.where(x < 0, k["slope"] * x, x),
    "elu": lambda k, x: np.where(x < 0, k["alpha"] * np.expm1(np.minimum(x, 0)), x),
    "gelu": lambda k, x: 0.5 * x * (1 + ERF(x / math.sqrt(2))),
    "gelu_tanh": lambda k, x: gelu_tanh(x),
    "silu": lambda k, x: x * sigmoid(x),
    "softsign": lambda k, x: x / (1 + np.abs(x)),
    "softplus": softplus,
    "tanh": lambda k, x: np.tanh(x),
    "sigmoid": lambda k, x: sigmoid(x),
    "hard_sigmoid": lambda k, x: np.clip(k["slope"] * x + 0.5, 0, 1),
    "exp": lambda k, x: np.exp(x),
    "softmax": lambda k, x: softmax(x),
    "scale": lambda k, x: k["factor"] * x,
}


# ---- layers without memory: keys, tensors, x ----

def session(keys, t, x):
    rows = slice(keys["sessions"].index(keys["session"]) * keys["width"], None)
    return x @ t["weight"][rows][:keys["width"]].T + t["bias"][rows][:keys["width"]]


def layer_norm(keys, t, x):
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred ** 2).mean(-1, keepdims=True)
    return centred / np.sqrt(variance + keys["eps"]) * t["weight"] + t["bias"]


def rms_norm(keys, t, x):
    return x / np.sqrt((x ** 2).mean(-1, keepdims=True) + keys["eps"]) * t["weight"]


def l2_norm(keys, t, x):
    return x / np.maximum(np.sqrt((x ** 2).sum(-1, keepdims=True)), keys["eps"])


def glu(keys, t, x):
    half = x.shape[-1] // 2
    return x[:, :half] * sigmoid(x[:, half:])


# ---- layers with memory ----

def recurrent(keys, t, x, cell, states=("h0",)):
    """Layers of cell(tensors of the layer, input of it, states) -> states, the first the output."""
    for k in range(keys["layers"]):
        own = {what: t[f"{what}_l{k}"] for what in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        width = keys["width"]
        state = [t[name][k] if name in t else np.zeros(width) for name in states]
        given, out = x @ own["weight_ih"].T + own["bias_ih"], np.zeros((len(x), width))
        for i, row in enumerate(given):
            state = cell(own, row, state)
            out[i] = state[0]
        x = out
    return x


def gru(keys, t, x):
    gate = {"sigmoid": sigmoid, "hard_sigmoid": keras_sigmoid}[keys["gate"]]
    n = keys["width"]

    def cell(own, given, state):
        h, = state
        u = own["weight_hh"] @ h + own["bias_hh"]
        r, z = gate(given[:n] + u[:n]), gate(given[n:2 * n] + u[n:2 * n])
        if keys["reset"] == "before":
            fresh = own["weight_hh"][2 * n:] @ (r * h) + own["bias_hh"][2 * n:]
        else:
            fresh = r * u[2 * n:]
        return [(1 - z) * np.tanh(given[2 * n:] + fresh) + z * h]

    return recurrent(keys, t, x, cell)


def lstm(keys, t, x):
    n = keys["width"]

    def cell(own, given, state):
        h, s = state
        a = given + own["weight_hh"] @ h + own["bias_hh"]
        s = sigmoid(a[n:2 * n]) * s + sigmoid(a[:n]) * np.tanh(a[2 * n:3 * n])
        return [sigmoid(a[3 * n:]) * np.tanh(s), s]

    return recurrent(keys, t, x, cell, ("h0", "c0"))


def rnn(keys, t, x):
    function = {"tanh": np.tanh, "relu": at_least_zero}[keys["function"]]
    return recurrent(keys, t, x, lambda own, given, state: [
        function(given + own["weight_hh"] @ state[0] + own["bias_hh"])])


def ssm(keys, t, x):
    a, b, c = (t[name][..., 0] + 1j * t[name][..., 1] for name in "abc")  # [W, S]
    s, out = np.zeros_like(a), np.empty_like(x)
    for i, u in enumerate(x):
        s = a * s + b * u[:, None]
        out[i] = (c * s).sum(-1).real + t["d"] * u
    return out


def ewma(keys, t, x):
    s, out, decay = np.zeros(x.shape[1]), np.empty_like(x), keys["decay"]
    for i, row in enumerate(x):
        s = decay * s + (1 - decay) * row
        out[i] = s / (1 - decay ** (i + 1)) if keys["corrected"] else s
    return out


# ---- layers whose items come later ----

def windows(x, n_items, apart, stride):
    """[K', n_items, X]: every window of x [K, X] that is full, oldest item first."""
    span = (n_items - 1) * apart + 1
    starts = np.arange(0, max(0, len(x) - span + 1), stride)
    return x[starts[:, None] + apart * np.arange(n_items)]


def conv1d(keys, t, x):
    taps, groups, ahead = keys["taps"], keys["groups"], keys["look_ahead"]
    span = (taps - 1) * keys["dilation"] + 1
    is_padded = keys["padding"] == "zeros"
    before = np.zeros((span - 1 - ahead if is_padded else 0, x.shape[1]))
    w = windows(np.concatenate([before, x]), taps, keys["dilation"], keys["stride"])
    w = w.reshape(len(w), taps, groups, x.shape[1] // groups)
    weight = t["weight"].reshape(groups, keys["width"] // groups, taps, -1)
    y = np.einsum("ktgx,gotx->kgo", w, weight).reshape(len(w), keys["width"]) + t["bias"]
    return Timed(y, ahead if is_padded else span - 1, keys["stride"], ahead)


def window(keys, t, x):
    y = windows(x, keys["items"], 1, keys["stride"])
    return Timed(y.reshape(len(y), keys["items"] * x.shape[1]), keys["items"] - 1, keys["stride"])


def taps(keys, t, x):
    ahead = keys["look_ahead"]
    before = np.zeros((keys["taps"] - 1 - ahead, x.shape[1]))
    w = windows(np.concatenate([before, x]), keys["taps"], 1, 1)
    return Timed(np.einsum("ktx,t->kx", w, t["weight"][::-1]), ahead, 1, ahead)


def crop(keys, t, x):
    return Timed(x[keys["items"]:], keys["items"])


def product(inputs):
    return np.prod(np.stack(inputs), 0)


ITEMS = {
    "standardise": lambda k, t, x: (x - t["mean"]) * t["factor"],
    "affine": lambda k, t, x: t["weight"] * x + t["bias"],
    "dense": lambda k, t, x: x @ t["weight"].T + t["bias"],
    "session": session, "gru": gru, "lstm": lstm, "rnn": rnn, "ssm": ssm, "ewma": ewma,
    "layer_norm": layer_norm, "rms_norm": rms_norm, "l2_norm": l2_norm, "glu": glu,
    "prelu": lambda k, t, x: np.where(x < 0, t["slope"] * x, x),
    **{name: (lambda k, t, x, f=f: f(k, x)) for name, f in FUNCTIONS.items()},
}
TIMED = {"conv1d": conv1d, "window": window, "taps": taps, "crop": crop}
COMBINE = {"add": sum, "multiply": product, "concat": lambda inputs: np.concatenate(inputs, -1)}

"""Random stacks: a list of nodes as a user writes it, torch's tensors for it, and the same network
in torch, computed trial by trial as its author would."""
import collections

import numpy as np
import torch
from torch.nn import functional as F

from latent_models.stack import layers, nodes

KINDS = sorted(nodes.KINDS)
WIDTHS = (4, 6, 8, 12)
GATES = {"gru": 3, "lstm": 4, "rnn": 1}
# What keeps float32 honest: functions that amplify rounding get inputs that are counts or bounded.
OF_COUNTS = ("sqrt", "anscombe", "log1p")
OF_BOUNDED = ("exp", "multiply")
BOUNDED = ("tanh", "sigmoid", "softsign", "softmax", "hard_sigmoid", "layer_norm", "lstm")


class Drawing:
    """One network. Letters: C channels; a node's width stands in widths."""

    def __init__(self, seed, seen):
        self.generator = np.random.default_rng(seed)
        self.seen = seen  # kind -> how often it was drawn so far
        self.nodes, self.tensors = [], {}
        self.widths = {"input": int(self.generator.choice(WIDTHS))}
        self.clocks = {"input": (1, 0)}  # stride, phase of the bins that its items describe
        self.starts = {"input": 0}       # the first of those bins
        self.bounded = set()
        for _ in range(int(self.generator.integers(6, 12))):
            self.draw(self.next_kind())
        self.draw_outputs()

    @property
    def n_channels(self):
        return self.widths["input"]

    def pick(self, items):
        return items[int(self.generator.integers(len(items)))]

    def next_kind(self):
        """Those that came least often come first."""
        least = min(self.seen[kind] for kind in KINDS)
        return self.pick([kind for kind in KINDS if self.seen[kind] == least])

    def normal(self, *shape, gain=1.0):
        scale = gain / np.sqrt(shape[-1] if len(shape) > 1 else 4)
        return (scale * self.generator.normal(size=shape)).astype(np.float32)

    def put(self, name, **arrays):
        self.tensors.update({f"{name}.{what}": a.astype(np.float32) for what, a in arrays.items()})

    def draw(self, kind):
        self.seen[kind] += 1
        sources = list(self.widths)
        if kind in OF_COUNTS:
            sources = ["input"]
        elif kind in OF_BOUNDED and not self.bounded:
            self.draw("tanh")
        if kind in OF_BOUNDED:
            sources = sorted(self.bounded)
        if kind == "glu":
            sources = [name for name in sources if self.widths[name] % 2 == 0]
        newest = sources[-3:]
        inputs = [self.pick(newest if self.generator.random() < 0.7 else sources)]
        if kind in layers.COMBINE:
            alike = [name for name in sources if self.clocks[name] == self.clocks[inputs[0]]
                     and (kind == "concat" or self.widths[name] == self.widths[inputs[0]])]
            inputs += [self.pick(alike) for _ in range(int(self.generator.integers(1, 3)))]
        self.add(kind, inputs)

    def add(self, kind, inputs):
        name = f"n{len(self.nodes)}"
        node = {"kind": kind, "name": name, "inputs": inputs}
        n_in = self.widths[inputs[0]]
        node.update(self.keys(kind, n_in))
        self.widths[name] = {"concat": sum(self.widths[i] for i in inputs),
                             "window": n_in * node.get("items", 0),
                             "glu": n_in // 2}.get(kind, n_in)
        make = getattr(self, "make_" + kind, None)
        if make:
            make(node, n_in)
        stride, _ = self.clocks[inputs[0]]
        late = {"window": node.get("items", 1) - 1, "crop": node.get("items", 0)}.get(kind, 0)
        if kind == "conv1d" and node["padding"] == "none":
            late = (self.tensors[name + ".weight"].shape[2] - 1) * node["dilation"] \
                - node["look_ahead"]
        start = max(self.starts[i] for i in inputs) + late * stride
        stride *= node.get("stride", 1)
        self.starts[name], self.clocks[name] = start, (stride, start % stride)
        if kind in BOUNDED:
            self.bounded.add(name)
        self.nodes.append(node)

    def keys(self, kind, n_in):
        g = self.generator
        if kind == "conv1d":
            return {"dilation": int(g.integers(1, 4)), "stride": int(self.pick((1, 1, 1, 2, 3))),
                    "groups": int(self.pick([k for k in (1, 1, 2, n_in) if n_in % k == 0])),
                    "padding": self.pick(("zeros", "none")), "look_ahead": int(g.integers(0, 3))}
        return {"window": {"items": int(g.integers(2, 5)), "stride": int(self.pick((1, 1, 2)))},
                "crop": {"items": int(g.integers(1, 4))},
                "taps": {"look_ahead": int(g.integers(0, 3))},
                "ewma": {"decay": float(g.uniform(0.5, 0.99)), "corrected": bool(g.integers(2))},
                "gru": {"reset": self.pick(("after", "before")),
                        "gate": self.pick(("sigmoid", "hard_sigmoid"))},
                "rnn": {"function": self.pick(("tanh", "relu"))},
                "leaky_relu": {"slope": float(g.uniform(0.01, 0.5))},
                "elu": {"alpha": float(g.uniform(0.5, 2))},
                "softplus": {"beta": float(g.uniform(0.5, 3))},
                "hard_sigmoid": {"slope": float(self.pick((0.2, 1 / 6)))},
                "scale": {"factor": float(g.uniform(-2, 2))},
                "layer_norm": {"eps": float(self.pick((1e-5, 1e-3)))}}.get(kind, {})

    # ---- tensors, as torch lays them out ----

    def make_dense(self, node, n_in):
        width = self.widths[node["name"]] = int(self.pick(WIDTHS))
        self.put(node["name"], weight=self.normal(width, n_in))
        if self.generator.random() < 0.8:
            self.put(node["name"], bias=self.normal(width))

    def make_session(self, node, n_in):
        width = self.widths[node["name"]] = int(self.pick(WIDTHS))
        self.put(node["name"], weight=self.normal(3, width, n_in), bias=self.normal(3, width))

    def make_cells(self, node, n_in):
        name, width = node["name"], int(self.pick(WIDTHS))
        n_layers, rows = int(self.generator.integers(1, 3)), GATES[node["kind"]] * width
        self.widths[name] = width
        for k in range(n_layers):
            self.put(name, **{f"weight_ih_l{k}": self.normal(rows, width if k else n_in),
                              f"weight_hh_l{k}": self.normal(rows, width, gain=0.7)})
            if self.generator.random() < 0.8:
                self.put(name, **{f"bias_ih_l{k}": self.normal(rows),
                                  f"bias_hh_l{k}": self.normal(rows)})
        if self.generator.random() < 0.5:
            self.put(name, h0=self.normal(n_layers, width))
            if node["kind"] == "lstm":
                self.put(name, c0=self.normal(n_layers, width))

    make_gru = make_lstm = make_rnn = make_cells

    def make_conv1d(self, node, n_in):
        groups, n_taps = node["groups"], int(self.generator.integers(3, 6))
        width = self.widths[node["name"]] = groups * int(self.pick((1, 2)))
        self.put(node["name"], weight=self.normal(width, n_in // groups, n_taps),
                 bias=self.normal(width))

    def make_batch_norm(self, node, n_in):
        self.put(node["name"], weight=1 + self.normal(n_in), bias=self.normal(n_in),
                 running_mean=self.normal(n_in),
                 running_var=self.generator.uniform(0.5, 2, n_in))

    def make_standardise(self, node, n_in):
        self.put(node["name"], mean=self.normal(n_in), sd=self.generator.uniform(0.5, 2, n_in))

    def make_prelu(self, node, n_in):
        self.put(node["name"], weight=self.normal(int(self.pick((1, n_in)))))

    def make_taps(self, node, n_in):
        self.put(node["name"], weight=self.normal(int(self.generator.integers(3, 7))))

    def make_layer_norm(self, node, n_in):
        if self.generator.random() < 0.7:
            self.put(node["name"], weight=1 + self.normal(n_in), bias=self.normal(n_in))

    def make_rms_norm(self, node, n_in):
        self.put(node["name"], weight=1 + self.normal(n_in))

    def make_affine(self, node, n_in):
        self.put(node["name"], weight=1 + self.normal(n_in), bias=self.normal(n_in))

    def make_ssm(self, node, n_in):
        n, g = int(self.generator.integers(1, 5)), self.generator
        size, angle = g.uniform(0.5, 0.98, (n_in, n)), g.uniform(0, 3, (n_in, n))
        self.put(node["name"], a=np.stack([size * np.cos(angle), size * np.sin(angle)], -1),
                 b=self.normal(n_in, n, 2), c=self.normal(n_in, n, 2), d=self.normal(n_in))

    # ---- outputs ----

    def draw_outputs(self):
        """Some nodes whose items come in the same bins."""
        last = self.nodes[-1]["name"]
        alike = [name for name in list(self.widths)[-5:]
                 if self.clocks[name] == self.clocks[last] and name != "input"]
        self.outputs = {"readout": last}
        if self.generator.random() < 0.7:
            self.outputs["latents"] = self.pick(alike)
        if self.generator.random() < 0.5:
            self.outputs["logits"] = self.pick(alike)
        tame = [name for name in alike if name in self.bounded]
        if self.generator.random() < 0.7:
            link = self.pick(("exp", "softplus", "relu", "linear"))
            rates = self.pick(tame or alike) if link != "exp" or tame else None
            if rates:
                self.outputs.update(rates=rates, link=link)

    def content(self):
        """LIST.json of the exporter."""
        return {"nodes": self.nodes, "outputs": self.outputs, "n_channels": self.n_channels,
                "sessions": ["a", "b", "c"], "session": "b", **self.labels()}

    def labels(self):
        if "logits" not in self.outputs:
            return {}
        return {"labels": [f"l{i}" for i in range(self.widths[self.outputs["logits"]])]}


# ---- the same in torch ----

# y [K, W]; item k describes bin start + k stride
Item = collections.namedtuple("Item", "y start stride")
LINKS = {"exp": torch.exp, "softplus": F.softplus, "relu": F.relu, "linear": lambda y: y}
SIMPLE = {
    "sqrt": lambda n, x: torch.sqrt(x), "anscombe": lambda n, x: 2 * torch.sqrt(x + 0.375),
    "log1p": lambda n, x: torch.log1p(x), "relu": lambda n, x: F.relu(x),
    "leaky_relu": lambda n, x: F.leaky_relu(x, n["slope"]),
    "elu": lambda n, x: F.elu(x, n["alpha"]), "gelu": lambda n, x: F.gelu(x),
    "gelu_tanh": lambda n, x: F.gelu(x, approximate="tanh"), "silu": lambda n, x: F.silu(x),
    "softsign": lambda n, x: F.softsign(x), "softplus": lambda n, x: F.softplus(x, n["beta"]),
    "tanh": lambda n, x: torch.tanh(x), "sigmoid": lambda n, x: torch.sigmoid(x),
    "hard_sigmoid": lambda n, x: torch.clamp(n["slope"] * x + 0.5, 0, 1),
    "exp": lambda n, x: torch.exp(x), "softmax": lambda n, x: F.softmax(x, -1),
    "scale": lambda n, x: n["factor"] * x, "glu": lambda n, x: F.glu(x, -1),
    "l2_norm": lambda n, x: F.normalize(x, dim=-1),
}


class Twin:
    """A drawing in torch, in one precision: trial(counts [T, C]) -> {group: Item}."""

    def __init__(self, drawing, dtype):
        self.drawing, self.dtype = drawing, dtype
        self.tensors = {k: torch.from_numpy(v).to(dtype) for k, v in drawing.tensors.items()}

    def trial(self, counts):
        values = {"input": Item(torch.from_numpy(np.asarray(counts)).to(self.dtype), 0, 1)}
        with torch.no_grad():
            for node in self.drawing.nodes:
                inputs = self.cut([values[name] for name in node["inputs"]])
                values[node["name"]] = self.node(node, inputs)
        outputs = self.drawing.outputs
        found = {group: values[name] for group, name in outputs.items() if group != "link"}
        if "rates" in found:
            found["rates"] = found["rates"]._replace(y=LINKS[outputs["link"]](found["rates"].y))
        return found

    @staticmethod
    def cut(items):
        """As a skip around a valid convolution is cut: to the bins that all have."""
        start = max(i.start for i in items)
        rows = [i.y[(start - i.start) // i.stride:] for i in items]
        n = min(len(y) for y in rows)
        return [Item(y[:n], start, items[0].stride) for y in rows]

    def get(self, node, what, default=None):
        return self.tensors.get(f"{node['name']}.{what}", default)

    def node(self, node, inputs):
        x, kind = inputs[0], node["kind"]
        if kind in SIMPLE:
            return x._replace(y=SIMPLE[kind](node, x.y))
        if kind in layers.COMBINE:
            stacked = {"concat": lambda ys: torch.cat(ys, -1), "add": lambda ys: sum(ys[1:], ys[0]),
                       "multiply": lambda ys: torch.stack(ys).prod(0)}[kind]([i.y for i in inputs])
            return x._replace(y=stacked)
        return getattr(self, kind)(node, x)

    def dense(self, node, x):
        return x._replace(y=F.linear(x.y, self.get(node, "weight"), self.get(node, "bias")))

    def session(self, node, x):
        return x._replace(y=F.linear(x.y, self.get(node, "weight")[1], self.get(node, "bias")[1]))

    def standardise(self, node, x):
        return x._replace(y=(x.y - self.get(node, "mean")) / self.get(node, "sd"))

    def affine(self, node, x):
        return x._replace(y=self.get(node, "weight") * x.y + self.get(node, "bias"))

    def prelu(self, node, x):
        return x._replace(y=F.prelu(x.y, self.get(node, "weight")))

    def batch_norm(self, node, x):
        return x._replace(y=F.batch_norm(
            x.y, self.get(node, "running_mean"), self.get(node, "running_var"),
            self.get(node, "weight"), self.get(node, "bias")))

    def layer_norm(self, node, x):
        return x._replace(y=F.layer_norm(x.y, x.y.shape[-1:], self.get(node, "weight"),
                                         self.get(node, "bias"), node["eps"]))

    def rms_norm(self, node, x):
        mean = x.y.square().mean(-1, keepdim=True)
        return x._replace(y=x.y * torch.rsqrt(mean + 1e-6) * self.get(node, "weight"))

    def module(self, node, make):
        """torch's own layer with the drawn tensors; zeros where it has no bias."""
        width = self.get(node, "weight_hh_l0").shape[1]
        n_layers = sum(name.startswith(node["name"] + ".weight_hh") for name in self.tensors)
        layer = make(self.get(node, "weight_ih_l0").shape[1], width, n_layers).to(self.dtype)
        for name, parameter in layer.named_parameters():
            parameter.copy_(self.get(node, name, torch.zeros(())))
        states = [self.get(node, what, torch.zeros(n_layers, width, dtype=self.dtype))
                  for what in ("h0", "c0")]
        return layer, states

    def lstm(self, node, x):
        layer, states = self.module(node, torch.nn.LSTM)
        return x._replace(y=layer(x.y, tuple(states))[0])

    def rnn(self, node, x):
        layer, states = self.module(node, lambda *sizes: torch.nn.RNN(
            *sizes, nonlinearity=node["function"]))
        return x._replace(y=layer(x.y, states[0])[0])

    def gru(self, node, x):
        layer, states = self.module(node, torch.nn.GRU)
        if node["reset"] == "after" and node["gate"] == "sigmoid":
            return x._replace(y=layer(x.y, states[0])[0])
        y, width = x.y, states[0].shape[1]
        gate = torch.sigmoid if node["gate"] == "sigmoid" else \
            lambda a: torch.clamp(0.2 * a + 0.5, 0, 1)
        own = dict(layer.named_parameters())
        for k, h in enumerate(states[0]):
            w, u, b, c = (own[f"{what}_l{k}"] for what in ("weight_ih", "weight_hh", "bias_ih",
                                                           "bias_hh"))
            rows = []
            for a in F.linear(y, w, b):
                (ar, az, an), (ur, uz, un) = a.split(width), u.split(width)
                cr, cz, cn = c.split(width)
                r, z = gate(ar + ur @ h + cr), gate(az + uz @ h + cz)
                after = r * (un @ h + cn) if node["reset"] == "after" else un @ (r * h) + cn
                h = (1 - z) * torch.tanh(an + after) + z * h
                rows.append(h)
            y = torch.stack(rows)
        return x._replace(y=y)

    def ssm(self, node, x):
        a, b, c = (torch.view_as_complex(self.get(node, what).contiguous()) for what in "abc")
        s, rows = torch.zeros_like(a), []
        for u in x.y:
            s = a * s + b * u[:, None]
            rows.append((c * s).sum(-1).real + self.get(node, "d") * u)
        return x._replace(y=torch.stack(rows))

    def ewma(self, node, x):
        s, rows, decay = torch.zeros_like(x.y[0]), [], node["decay"]
        for i, u in enumerate(x.y):
            s = decay * s + (1 - decay) * u
            rows.append(s / (1 - decay ** (i + 1)) if node["corrected"] else s)
        return x._replace(y=torch.stack(rows))

    def conv1d(self, node, x):
        weight, ahead = self.get(node, "weight"), node["look_ahead"]
        span = (weight.shape[2] - 1) * node["dilation"] + 1
        padding = (span - 1 - ahead, ahead) if node["padding"] == "zeros" else (0, 0)
        y = F.conv1d(F.pad(x.y.T[None], padding), weight, self.get(node, "bias"), node["stride"],
                     0, node["dilation"], node["groups"])[0].T
        late = 0 if node["padding"] == "zeros" else span - 1 - ahead
        return Item(y, x.start + late * x.stride, x.stride * node["stride"])

    def window(self, node, x):
        y = x.y.unfold(0, node["items"], node["stride"])  # [K, X, items]
        return Item(y.transpose(1, 2).reshape(len(y), -1),
                    x.start + (node["items"] - 1) * x.stride, x.stride * node["stride"])

    def taps(self, node, x):
        weight, ahead = self.get(node, "weight").flip(0), node["look_ahead"]
        padded = F.pad(x.y.T[:, None], (len(weight) - 1 - ahead, ahead))
        return x._replace(y=F.conv1d(padded, weight[None, None])[:, 0].T)

    def crop(self, node, x):
        return Item(x.y[node["items"]:], x.start + node["items"] * x.stride, x.stride)

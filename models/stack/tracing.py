"""A torch module's forward, followed on drawn bins: each call on a value that came from the bins
becomes a node of a Listing, everything else is computed as it stands.

torch.fx brings the tracer: Module.__call__ and torch's functions come here. A Traced has the value
of a run on drawn bins, so that shapes are numbers; what depends on the numbers in it is refused.
"""
import dataclasses
import linecache
import operator
import os
import sys
import traceback

import torch
import torch.fx

from latent_models.common.refusal import Refusal
from latent_models.stack.listing import Items

HERE, TORCH = (os.path.dirname(os.path.abspath(f)) + os.sep for f in (__file__, torch.__file__))
TRIALS, BINS = 3, 499  # of the run; primes, so that a reshape tells which axis is which
ASKED = {"shape", "ndim", "dtype", "device", "is_cuda", "requires_grad", "layout"}
# Numbers and tensors that depend on shapes alone.
SHAPED = {"size", "dim", "numel", "ndimension", "is_contiguous", "is_floating_point", "get_device",
           "element_size", "nelement", "zeros_like", "ones_like", "full_like", "new_zeros",
           "new_ones", "new_full"}
ALIKE = {"to", "type_as", "expand_as", "view_as", "reshape_as"}  # of a constant: as the bins are


@dataclasses.dataclass(frozen=True)
class Value:
    """items: of the list; roles: what each axis is: "N" trials, "T" bins, "NT" and "TN" both in
    one, "C" the numbers of a bin, "1" nothing; tensor: of the drawn bins."""

    items: Items
    roles: tuple
    tensor: torch.Tensor

    def axis(self, role):
        return self.roles.index(role) if role in self.roles else None


class LayoutRefusal(Refusal):
    """Of a layout that the module does not take: another may be its author's."""


class State:
    """The last state of a recurrent layer, one of a whole trial: it may be returned, not used."""

    def __init__(self, what):
        self.what = what

    def __getitem__(self, _index):
        raise Refusal(f"{self.what}{user_line()}: is one of a whole trial; a stream gives one of "
                      f"each bin: use the layer's first output")

    def __getattr__(self, name):
        if name in ("detach", "clone", "contiguous", "cpu"):
            return lambda: self
        if name.startswith("__"):
            raise AttributeError(name)
        return self[0]


class Traced(torch.fx.Proxy):
    """In place of a tensor in forward."""

    def __init__(self, value, tracer):
        super().__init__(None, tracer)
        self.value = value

    def __repr__(self):
        return f"<bins {list(self.value.roles)}>"

    def __getattr__(self, name):
        if name in ASKED:
            return getattr(self.value.tensor, name)
        if name in ("T", "mT"):
            return self.tracer.create_proxy("call_method", name, (self,), {})
        if name == "data":
            return self
        if name.startswith("__") or not hasattr(torch.Tensor, name):
            raise AttributeError(name)
        return lambda *args, **kwargs: self.tracer.create_proxy("call_method", name,
                                                                (self, *args), kwargs)

    def __iter__(self):
        return iter(self.unbound())

    def __len__(self):
        return len(self.value.tensor)

    def unbound(self):
        return self.tracer.create_proxy("call_method", "unbind", (self, 0), {})

    def __bool__(self):
        raise self.tracer.refusal("a decision on the values", "the stack has the same layers in "
                                  "every bin: take the if out of forward")

    def __contains__(self, _value):
        return bool(self)

    def __setitem__(self, _index, _value):
        raise self.tracer.refusal("an assignment to a part of a tensor", "write it as torch.cat "
                                  "or a sum")

    def __format__(self, _spec):
        return repr(self)

    def decision(self, *_):
        return bool(self)

    __float__ = __int__ = __index__ = decision


def drawn(module, n_channels, roles):
    """Bins of a layout, in the module's type."""
    sizes = {"N": TRIALS, "T": BINS, "C": n_channels}
    return torch.rand([sizes[role] for role in roles], dtype=type_of(module),
                      generator=torch.Generator().manual_seed(1))


def type_of(module):
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float64)


def is_user_s(path):
    return not path.startswith((HERE, TORCH)) and "importlib" not in path


def line_of(path, number):
    code = linecache.getline(path, number).strip()
    return f" ({os.path.basename(path)}, line {number}{': ' if code else ''}{code:.100})"


def user_line():
    """Where in the user's source we are: " (net.py, line 12: y, h = self.gru(x))"."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_name != "trace_module":
        path = frame.f_code.co_filename
        if is_user_s(path):
            return line_of(path, frame.f_lineno)
        frame = frame.f_back
    return ""


def raised_line(error):
    """The same of an exception."""
    for entry in reversed(traceback.extract_tb(error.__traceback__)):
        if is_user_s(entry.filename):
            return line_of(entry.filename, entry.lineno)
    return ""


def unwrapped(tree, convert):
    """Every Traced within lists, tuples and dicts converted."""
    if isinstance(tree, Traced):
        return convert(tree)
    if isinstance(tree, (list, tuple)):
        return type(tree)(unwrapped(x, convert) for x in tree) \
            if not hasattr(tree, "_fields") else type(tree)(*(unwrapped(x, convert) for x in tree))
    if isinstance(tree, dict):
        return {k: unwrapped(v, convert) for k, v in tree.items()}
    if isinstance(tree, slice):
        return slice(*(unwrapped(x, convert) for x in (tree.start, tree.stop, tree.step)))
    return tree


class Tracer(torch.fx.Tracer):
    """One forward. layers: class -> function, operations: name -> function, each (tracer, call) ->
    Value or a tuple."""

    def __init__(self, listing, layers, operations, counts):
        super().__init__()
        self.listing, self.layers, self.operations = listing, layers, operations
        self.is_counts, self.n_calls, self.result = counts, 0, None
        self.notes = []

    def refusal(self, what, why):
        return Refusal(f"{what}{user_line()}: {why}")

    # ---- what torch.fx asks ----

    def create_args_for_root(self, root_fn, is_module, concrete_args=None):
        return root_fn, [self.root, self.first]

    def create_node(self, kind, *args, **kwargs):
        if kind == "output":
            self.result = args[1][0]

    def create_arg(self, a):
        return a

    def getattr(self, attr, attr_val, parameter_proxy_cache):
        return attr_val

    def iter(self, obj):
        return iter(obj.unbound())

    def to_bool(self, obj):
        return bool(obj)

    def keys(self, obj):
        raise self.refusal("** of the bins", "expected one tensor")

    def call_module(self, m, forward, args, kwargs):
        kind = self.leaf_class(m)
        if kind is None:
            return forward(*args, **kwargs)
        if not self.has_traced((args, kwargs)):
            return forward(*args, **kwargs)
        path = self.path_of_module(m) if m is not self.root else ""
        what = f"{kind.__name__}{' ' + path if path else ''}"
        if kind not in self.layers:
            raise self.refusal(what, self.unknown_layer(kind))
        if m._forward_hooks or m._forward_pre_hooks:
            raise self.refusal(what, "has a hook, which runs code of its own: remove it, or write "
                               "what it does in forward")
        return self.called(self.layers[kind], (what, path or kind.__name__.lower()), m, args,
                           kwargs)

    def create_proxy(self, kind, target, args, kwargs, *_, **__):
        name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
        name = name.strip("_") if name.startswith("__") or name.endswith("_") and \
            name.rstrip("_") in self.operations else name
        if name == "getattr":
            return getattr(args[0], args[1])
        is_of_shape = name in ALIKE and not isinstance(args[0], Traced)
        if name in SHAPED or name in ASKED or is_of_shape:
            plain = unwrapped((args, kwargs), lambda x: x.value.tensor)
            if callable(target):
                return target(*plain[0], **plain[1])
            return getattr(plain[0][0], name)(*plain[0][1:], **plain[1])
        if name not in self.operations:
            raise self.refusal(name, "no layer of a stack does this; core/layers/README.md lists "
                               "what there is")
        run = target if callable(target) else lambda x, *a, **k: (
            getattr(x, target)(*a, **k) if callable(getattr(x, target)) else getattr(x, target))
        return self.called(self.operations[name], (name, name), run, args, kwargs)

    # ---- ours ----

    @staticmethod
    def leaf_class(module):
        """torch's own class whose forward this module has; None: follow its forward."""
        for base in type(module).__mro__:
            if base.__module__.startswith("torch.nn.modules.") and \
                    "container" not in base.__module__ and base is not torch.nn.Module:
                return base if type(module).forward is base.forward else None
        return None

    def unknown_layer(self, kind):
        name = kind.__name__
        if "Attention" in name or "Transformer" in name:
            return "looks at every bin at once; models/ndt exports transformers"
        if "InstanceNorm" in name or name == "GroupNorm":
            return "takes its mean over the bins of a trial, those to come included: LayerNorm " \
                "or BatchNorm1d do not"
        if name.endswith("Cell"):
            return f"a loop over bins: use torch.nn.{name[:-4]}, which has the same weights"
        if "2d" in name or "3d" in name:
            return "bins have one axis of numbers: Conv1d over [trials, channels, time]"
        return "no layer of a stack does this; core/layers/README.md lists what there is"

    @staticmethod
    def has_traced(tree):
        found = []
        unwrapped(tree, found.append)
        return bool(found)

    def called(self, function, names, target, args, kwargs):
        """One call on drawn bins and in the list. names: for a refusal, and for its node."""
        self.n_calls, (what, hint) = self.n_calls + 1, names
        values = unwrapped((args, kwargs), lambda x: x.value)
        for state in (a for a in args if isinstance(a, State)):
            state[0]  # which refuses
        plain = unwrapped((args, kwargs), lambda x: x.value.tensor)
        try:
            result = target(*plain[0], **plain[1])
        except Exception as error:
            raise LayoutRefusal(f"{what}{user_line()}: {type(error).__name__}: "
                                f"{error}") from error
        call = Call(self, what, target, values[0], values[1], result, hint)
        return self.wrapped(function(call))

    def wrapped(self, value):
        if isinstance(value, Value):
            return Traced(value, self)
        if isinstance(value, (tuple, list)):
            return type(value)(self.wrapped(v) for v in value)
        return value

    def run(self, module, roles):
        """forward on drawn bins of this layout -> what it returns."""
        bins = drawn(module, self.listing.input.width, roles)
        self.first = Traced(Value(self.listing.input, roles, bins), self)
        with torch.no_grad():
            self.trace(module)
        return self.result


@dataclasses.dataclass
class Call:
    """What a function of layers or operations gets. args, kwargs: Values and constants; result: of
    the drawn bins."""

    tracer: Tracer
    what: str
    target: object
    args: tuple
    kwargs: dict
    result: object
    hint: str

    @property
    def listing(self):
        return self.tracer.listing

    def no(self, why):
        return self.tracer.refusal(self.what, why)

    def other_layout(self, why):
        """As no(), of a layer that says itself which axis is which."""
        return LayoutRefusal(str(self.no(why)))

    def get(self, place, name, default=None):
        """An argument by its place or its name."""
        return self.kwargs[name] if name in self.kwargs else \
            self.args[place] if len(self.args) > place else default

    def first(self):
        value = self.get(0, "input")
        if not isinstance(value, Value):
            raise self.no("expected the bins as its first argument")
        return value

    def value(self, items, roles, result=None):
        return Value(items, tuple(roles), self.result if result is None else result)

    def of_channels(self, value, dim):
        """Refuse another axis than that of the numbers of a bin."""
        role = value.roles[operator.index(dim)]
        if role != "C":
            raise self.no(f"over the axis of {role_name(role)}; a stream has one bin at a time: "
                          f"expected that of channels (dim {value.axis('C')})")


def role_name(role):
    return {"N": "trials", "T": "time", "C": "channels", "NT": "trials and time",
            "TN": "time and trials"}.get(role, "nothing")

"""A torch module as a stack: traced on drawn bins in every layout that it may take."""
import math

import numpy as np
import torch

from latent_models.common import links
from latent_models.common.refusal import Refusal
from latent_models.stack import folding, tracing
from latent_models.stack.author import Author, on_bins
from latent_models.stack.listing import Listing
from latent_models.stack.modules import LAYERS
from latent_models.stack.operations import OPERATIONS

LAYOUTS = (("N", "T", "C"), ("T", "N", "C"), ("N", "C", "T"), ("T", "C"), ("C", "T"))
NAMES = {"N": "trials", "T": "time", "C": "channels"}


def trace_module(module, request, roles):
    """forward in one layout -> (Tracer, what it returns)."""
    tracer = tracing.Tracer(Listing(request.n_channels), LAYERS, OPERATIONS,
                            request.input == "counts")
    try:
        return tracer, tracer.run(module, roles)
    except Refusal as refusal:
        refusal.n_calls = tracer.n_calls
        raise
    except Exception as error:
        refusal = tracing.LayoutRefusal(f"forward raises {type(error).__name__}"
                                        f"{tracing.raised_line(error)}: {error}")
        refusal.n_calls = tracer.n_calls
        raise refusal from error


def traced(module, request):
    """The first layout in which all of it is a stack -> (Tracer, result, roles). A layout that the
    module takes may be its author's: what is refused there is refused, and no other is looked for
    in which the same lines mean something else."""
    refusals = []
    for roles in LAYOUTS:
        try:
            tracer, result = trace_module(module, request, roles)
            result = picked(type(module).__name__, request, result)
            check_outputs(tracer, result)
            return tracer, result, roles
        except Refusal as refusal:
            if not isinstance(refusal, tracing.LayoutRefusal) and \
                    is_taken(module, request, roles):
                raise
            refusals.append(refusal)
    raise max(refusals, key=lambda refusal: (not isinstance(refusal, tracing.LayoutRefusal),
                                             getattr(refusal, "n_calls", math.inf)))


def is_taken(module, request, roles):
    """Whether the module itself runs on bins of this layout."""
    try:
        with torch.no_grad():
            module(tracing.drawn(module, request.n_channels, roles))
    except Exception:
        return False
    return True


def picked(label, request, result):
    """What forward returned, by group; last states beside the one output are left."""
    if isinstance(result, (tuple, list)):
        kept = [part for part in result if isinstance(part, tracing.Traced)]
        if len(kept) != 1:
            raise Refusal(f"{label}: returns {len(kept)} tensors; expected one, or a dict with one "
                          f"for each group: latents, rates, readout, logits")
        result = kept[0]
    found = request.named(label, result)
    for group, value in found.items():
        if not isinstance(value, tracing.Traced):
            raise Refusal(f"{label}: its {group} is "
                          f"{getattr(value, 'what', None) or type(value).__name__}, expected a "
                          f"tensor that comes from the bins, one row a bin")
    return {group: value.value for group, value in found.items()}


def check_outputs(tracer, result):
    for group, value in result.items():
        where = f"the {group}"
        if not set("".join(value.roles)) >= {"T"}:
            raise Refusal(f"{where}: one row a trial, a stream gives one of each bin: return all")
        items, n_rows = value.items, value.tensor.shape[row_axis(value)]
        n_rows //= tracing.TRIALS if len(value.roles[row_axis(value)]) > 1 else 1
        most = -(-(tracing.BINS - items.start) // items.stride)
        if n_rows > most:
            raise Refusal(f"{where}: {n_rows} rows of {tracing.BINS} bins, expected at most "
                          f"{most}: zeros on both sides of a convolution; pad on the left alone "
                          f"(F.pad(x, (n, 0))) or cut the end ([..., :-n])")


def row_axis(value):
    return next(k for k, role in enumerate(value.roles) if "T" in role)


def rows_of(value_roles, tensor, n_trials):
    """An output -> [K, rows, n] as float64."""
    array, roles, shape = tensor.detach().double().numpy(), [], []
    for role, size in zip(value_roles, array.shape):
        if role in ("NT", "TN"):
            other = size // n_trials
            shape += [n_trials, other] if role == "NT" else [other, n_trials]
            roles += list(role)
        elif role != "1":
            roles.append(role)
            shape.append(size)
    array = array.reshape(shape)
    for name, axis in (("C", array.ndim), ("N", 0)):
        if name not in roles:
            array = np.expand_dims(array, axis)
            roles = roles + [name] if name == "C" else [name] + roles
    return array.transpose([roles.index(name) for name in "NTC"])


def asker(module, request, roles, result):
    """-> run(bins [K, T, C]) of an Author."""
    def forward(bins):  # [K, T, C], or [T, C] where it takes one trial
        own = [name for name in "NTC" if name in roles]
        given = torch.from_numpy(np.ascontiguousarray(bins)).to(tracing.type_of(module))
        with torch.no_grad():
            out = module(given.permute([own.index(name) for name in roles]).contiguous())
        if isinstance(out, (tuple, list)):
            out = next(part for part in out if isinstance(part, torch.Tensor))
        return request.named(type(module).__name__, out)

    def run(bins):
        trials = [bins] if "N" in roles else list(bins)
        answers = [forward(trial) for trial in trials]
        found = {}
        for group, value in result.items():
            rows = [rows_of(value.roles, answer[group], len(bins) if "N" in roles else 1)
                    for answer in answers]
            found[group] = on_bins(np.concatenate(rows), value.items.start, value.items.stride,
                                   bins.shape[1])
        return found

    return run


def rates_link(request, listing, items):
    """The node whose numbers are rates once the link is applied, the link, and whether the module
    itself applies it."""
    before, own = listing.without_link(items)
    if own is None and request.link is None:
        raise Refusal("rates: link is not given and the module does not end in exp, softplus or "
                      "relu: give link=\"exp\" if it gives log-rates (PoissonNLLLoss), \"linear\" "
                      "if expected counts per bin, softplus or relu")
    if own is None:
        return items, request.link, False
    if request.link not in (None, own, "linear"):
        raise Refusal(f"rates: link={request.link!r}, but the module ends in {own} itself: leave "
                      f"link out")
    return before, own, True


def with_link(run, link):
    """The same, rates as expected counts."""
    def linked(bins):
        found = run(bins)
        return {**found, "rates": links.apply(link, found["rates"])}
    return linked


def author(module, request):
    """-> Author. Run in float64 where it can."""
    module, notes = folding.folded(module)
    label = type(module).__name__
    try:
        tracer, result, roles = traced(module.double(), request)
        exact = "float64"
    except Refusal as refusal:
        try:
            tracer, result, roles = traced(module.float(), request)
        except Refusal:
            raise refusal from None
        exact = "float32"
        notes.append(f"float64 fails ({str(refusal):.200}): compared in float32")
    listing, run = tracer.listing, asker(module, request, roles, result)
    items = {group: listing.settled(value.items) for group, value in result.items()}
    if "rates" in items:
        items["rates"], link, is_own = rates_link(request, listing, items["rates"])
        run = run if is_own else with_link(run, link)
    request.check_widths(label, {group: x.width for group, x in items.items()})
    outputs = {group: as_node(listing, x).name for group, x in items.items()}
    if "rates" in items:
        outputs["link"] = link
    content = listing.content(outputs, **({"labels": list(request.logits)}
                                          if request.logits is not None else {}))
    notes = [f"its input as [{', '.join(NAMES[r] for r in roles)}]", *notes,
             *dict.fromkeys(tracer.notes)]
    return Author(label, content, listing.tensors, run, notes, f"the module itself in {exact}",
                  input_statistics(module, content, listing.tensors))


def as_node(listing, items):
    """A group is a node's; the bin itself becomes one."""
    return listing.add("scale", [items], "same", factor=1.0) if items.name == "input" else items


def input_statistics(module, content, tensors):
    """Mean and variance of the bins, from a layer that z-scores them; None: it has none, or one
    whose mean was learnt."""
    for node in content["nodes"]:
        if node["kind"] == "standardise" and node["inputs"] == ["input"]:
            mean, sd = (tensors[f"{node['name']}.{what}"] for what in ("mean", "sd"))
            learnt = any(p.requires_grad and p.numel() == len(mean) and
                         np.array_equal(p.detach().double().numpy().ravel(), mean)
                         for p in module.parameters())
            if (sd != 1).any() and not learnt:
                return mean, sd ** 2
    return None



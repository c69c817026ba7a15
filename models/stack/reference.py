#!/usr/bin/python3
"""A stack of layers in float64 numpy: the answer key for exporter, tests and C.

Written from the equations, whole pass by whole pass, as a framework computes a trial; the kinds of
layers stand in core/layers/README.md. A Signal is what flows along an edge: items [K, W], item k
of bin first + k stride, describing the bin `delay` before. Shapes: T bins, C channels.
"""
import dataclasses
import math

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common.reference_command import reference_main
from latent_models.common.refusal import Refusal, run_command
from latent_models.stack import layers

GROUPS = ("latents", "rates", "readout", "logits")
LINKS = {"linear": lambda y: y, "exp": np.exp, "relu": lambda y: np.maximum(y, 0),
         "softplus": lambda y: layers.softplus({"beta": 1.0}, y)}


@dataclasses.dataclass
class Signal:
    items: np.ndarray  # [K, W]
    delay: int = 0
    stride: int = 1
    first: int = 0

    def rows(self, n_bins):
        """[T, W], NaN in bins without an item."""
        out = np.full((n_bins, self.items.shape[1]), np.nan)
        out[self.first::self.stride][:len(self.items)] = self.items
        return out


def aligned(signals, n_bins):
    """The same signals with one delay and one first bin: items of the same bins side by side."""
    delay = max(s.delay for s in signals)
    start = max(s.first - s.delay for s in signals)
    stride = signals[0].stride
    out = []
    for s in signals:
        skipped, rest = divmod(start - (s.first - s.delay), stride)
        if s.stride != stride or rest:
            raise Refusal("the inputs of a node do not come in the same bins")
        n_items = max(0, -(-(n_bins - start - delay) // stride))
        out.append(Signal(s.items[skipped:skipped + n_items], delay, stride, start + delay))
    return out


def node_signal(weights, hyper, node, signals):
    """One node of the list: its inputs, aligned -> what it gives."""
    own = {name.split(".", 1)[1]: array for name, array in weights.items()
           if name.startswith(node["name"] + ".")}
    sessions = hyper.get("sessions") or [None]
    keys = {**node, "sessions": sessions, "session": hyper.get("session", sessions[0])}
    x = signals[0]
    if node["kind"] in layers.COMBINE:
        return dataclasses.replace(x, items=layers.COMBINE[node["kind"]](
            [s.items for s in signals]))
    if node["kind"] in layers.ITEMS:
        return dataclasses.replace(x, items=layers.ITEMS[node["kind"]](keys, own, x.items))
    if node["kind"] not in layers.TIMED:
        raise Refusal(f"{node['name']}: there is no layer of kind {node['kind']}")
    timed = layers.TIMED[node["kind"]](keys, own, x.items)
    return Signal(timed.items, x.delay + timed.delay * x.stride, x.stride * timed.stride,
                  x.first + timed.first * x.stride)


def network(weights, hyper, counts):
    """Every node by its name, and the bin: counts [T, C]."""
    signals = {"input": Signal(counts)}
    for node in hyper["nodes"]:
        inputs = aligned([signals[name] for name in node["inputs"]], len(counts))
        signals[node["name"]] = node_signal(weights, hyper, node, inputs)
    return signals


def held(rows):
    """What a readout shows in bins without an item: the last one; NaN before the first."""
    out = rows.copy()
    for t in range(1, len(out)):
        if np.isnan(out[t]).all():
            out[t] = out[t - 1]
    return out


def bins_with_input(config, counts, missing):
    """counts [T, C], the training mean in bins that did not come."""
    if len(missing):
        counts = counts.copy()
        counts[list(missing)] = config["channels"]["mean"] if "normalise" not in config else 0
    return counts


def run(weights, config, counts, mode, missing=()):
    """counts [T, C] -> dict of latents [T, L], rates [T, N] (expected counts per bin), readout
    [T, O], logits [T, K], each or None; NaN where there is nothing, and absent [T]: which bins
    those are."""
    if mode != "causal":
        raise Refusal(f"mode {mode} is unknown; a stack has causal")
    weights = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    hyper, n_bins = config["hyper"], len(counts)
    counts = bins_with_input(config, np.asarray(counts, np.float64), missing)
    named = {group: hyper["outputs"][group] for group in GROUPS if group in hyper["outputs"]}
    signals = network(weights, hyper, counts)
    outputs = dict(zip(named, aligned([signals[name] for name in named.values()], n_bins)))
    answer = {group: None for group in GROUPS}
    for group, signal in outputs.items():
        answer[group] = signal.rows(n_bins)
    if answer["rates"] is not None:
        answer["rates"] = LINKS[hyper["outputs"]["link"]](answer["rates"])
    if answer["readout"] is not None:
        answer["readout"] = held(answer["readout"])
    common = next(iter(outputs.values()))
    absent = np.ones(n_bins, bool)
    absent[common.first::common.stride] = False
    return {**answer, "lograte": None, "absent": absent}


if __name__ == "__main__":
    run_command(lambda: reference_main(run, __doc__))

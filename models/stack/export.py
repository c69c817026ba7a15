#!/usr/bin/python3
"""Turn a network of one's own into a model file.

IN holds its tensors as torch names and lays them out; LIST.json says what they are: "nodes", each
with "kind", "name", "inputs" (names of nodes before it, or "input": the bin) and the keys of its
kind, and "outputs": which node the latents, rates, readout and logits are ("labels": of these).
card.md explains it with an example, core/layers/README.md lists the kinds. Nothing in IN is
executed.
"""
import json

import numpy as np

from latent_models.common import exporting
from latent_models.common.files import open_input
from latent_models.common.refusal import Refusal, run_command
from latent_models.stack import nodes, reference

MODES = ("causal",)
LIST_MAX = 8 << 20  # bytes
LIST_KEYS = {"nodes", "outputs", "labels", "sessions", "session", "n_channels"}


def parse(words=None):
    """The command line, or these words in its place."""
    parser = exporting.exporter_parser(__doc__, MODES, nodes.ANY)
    parser.add_argument("--list", required=True, metavar="LIST.json", help="the nodes and outputs")
    parser.add_argument("--channels", type=int, metavar="C",
                        help="width of the bin, where no layer's tensors tell it")
    exporting.add_readout_options(parser)
    return parser.parse_args(words)


def read_list(path):
    """The JSON as a dict of known keys."""
    with open_input(path) as f:
        text = f.read(LIST_MAX + 1)
    try:
        content = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{path}: no JSON: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("nodes"), list) or \
            not isinstance(content.get("outputs"), dict):
        raise Refusal(f'{path}: expected {{"nodes": [...], "outputs": {{...}}}}')
    unknown = sorted(set(content) - LIST_KEYS)
    if unknown:
        raise Refusal(f"{path}: unknown key {unknown[0]!r:.60}; known: "
                      f"{', '.join(sorted(LIST_KEYS))}")
    return content


def outputs_of(path, content, widths):
    """-> (outputs for hyper, {group: width})."""
    outputs, known = content["outputs"], (*reference.GROUPS, "link")
    for key, value in outputs.items():
        if key not in known or not isinstance(value, str):
            raise Refusal(f"{path}: outputs {key!r:.40}: {value!r:.40}: expected the name of a "
                          f"node for some of {', '.join(reference.GROUPS)}, and a link")
        if key != "link" and value not in widths:
            raise Refusal(f"{path}: outputs: there is no node {value!r:.60}")
    if ("link" in outputs) != ("rates" in outputs) or \
            outputs.get("link", "exp") not in reference.LINKS:
        raise Refusal(f'{path}: outputs: rates want a "link", one of '
                      f"{', '.join(reference.LINKS)}: what makes expected counts per bin of what "
                      f"their node gives")
    return outputs, {group: widths[outputs[group]] for group in reference.GROUPS
                     if group in outputs}


def labels_of(path, content, n_logits):
    """The labels of the logits, one each."""
    labels = content.get("labels", [])
    if not isinstance(labels, list) or len(labels) != n_logits or \
            not all(isinstance(label, str) for label in labels) or len(set(labels)) < n_logits:
        raise Refusal(f'{path}: "labels": expected {n_logits} different texts, one for each of the '
                      f"logits")
    return labels


def selftest_bins(hyper, n_channels, weights):
    """Enough to see the outputs often after the first."""
    wide = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    signals = reference.network(wide, hyper, np.zeros((1, n_channels)))
    used = reference.aligned([signals[hyper["outputs"][group]] for group in reference.GROUPS
                              if group in hyper["outputs"]], 1)[0]
    return used.first + exporting.SELFTEST_BINS * used.stride


def write(args, checkpoint, content, compare=None):
    """The model file of a list and its tensors. compare: as exporting.export's."""
    built = nodes.Builder(args.input, args.list, checkpoint.tensors, content)
    built.build(args.channels or content.get("n_channels"))
    outputs, sizes = outputs_of(args.list, content, built.widths)
    hyper = {"nodes": built.nodes, "outputs": outputs,
             **{key: content[key] for key in ("sessions", "session") if key in content}}
    weights = exporting.as_float32(built.weights)
    labels = labels_of(args.list, content, sizes.get("logits", 0))
    readout = exporting.readout_entries(args, checkpoint, sizes.get("readout", 0))
    n_channels = built.widths["input"]
    exporting.export(args, checkpoint, "stack", reference.run, n_channels=n_channels,
                     modes=exporting.choose_modes(args, MODES), hyper=hyper,
                     outputs=(sizes.get("latents", 0), sizes.get("rates", 0), readout,
                              *([labels] if labels else [])),
                     weights=weights, compare=compare,
                     selftest_bins=selftest_bins(hyper, n_channels, weights), expects_all=False)


def main():
    args = parse()
    content = read_list(args.list)
    write(args, exporting.read_input(args, nodes.names_of(args.list, content),
                                     f"the network of {args.list}"), content)


if __name__ == "__main__":
    run_command(main)

#!/usr/bin/python3
"""Turn a brain-to-text checkpoint of the public PyTorch trainer into a model file.

IN is best_checkpoint, --args the args.yaml beside it. The file is a stack (models/stack) with
logits of phonemes; it holds the session layers of the sessions named (of several, who decodes names
one). Nothing in IN is executed. The TensorFlow checkpoints of the earlier participant (T12) are
another format and are refused.
"""
import sys

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.b2t import reference
from latent_models.b2t.arguments import Arguments
from latent_models.b2t.phonemes import LABELS
from latent_models.common import checkpoint, exporting, formats
from latent_models.common.naming import Names
from latent_models.common.refusal import Refusal, run_command

MODES = ("causal",)
BIN_WIDTH_MS = 20.0
NAMES = Names(("day_weights.*", "day_biases.*", "gru.weight_ih_l*", "gru.weight_hh_l*",
               "out.weight", "h0"), ("gru.bias_ih_l*", "gru.bias_hh_l*", "out.bias"))
# How the same is called in args.yaml.
STATED = {"n_features": ("n_input_features", "neural_dim"), "n_units": ("n_units",),
          "n_layers": ("n_layers",), "n_classes": ("n_classes",)}


def parse():
    parser = exporting.exporter_parser(__doc__, MODES, NAMES)
    parser.add_argument("--args", required=True, metavar="args.yaml",
                        help="what the trainer saved beside the checkpoint")
    parser.add_argument("--session", action="append", metavar="NAME",
                        help="one of args.yaml, repeatable (default: the newest)")
    parser.add_argument("--labels", metavar="A,B,...",
                        help="of the classes, in the order of the checkpoint (default: BLANK, the "
                             "39 phonemes, |)")
    return parser.parse_args()


def read(args):
    """The checkpoint; T12's refused by name."""
    try:
        return exporting.read_input(args, NAMES, "the brain-to-text GRU of the public PyTorch "
                                                 "trainer")
    except Refusal as error:
        if formats.TENSORFLOW not in str(error):
            raise
        raise Refusal(f"{args.input}: a TensorFlow checkpoint, as the decoder of participant T12 "
                      f"is saved: not read here, only the PyTorch checkpoints of T15 are "
                      f"(best_checkpoint and args.yaml)") from error


class Sizes:
    """Of the network: n_features C, n_units U, n_layers, n_classes O, by its tensors; they and
    args.yaml may not disagree."""

    def __init__(self, path, tensors, given):
        def axis(name, k):
            if name not in tensors or tensors[name].ndim != 2:
                raise Refusal(f"{path}: tensor {name} is missing or no matrix")
            return tensors[name].shape[k]

        self.n_features, self.n_units = axis("day_weights.0", 0), axis("gru.weight_hh_l0", 1)
        self.n_layers = sum(name.startswith("gru.weight_hh_l") for name in tensors)
        self.n_classes = axis("out.weight", 0)
        for key, names in STATED.items():
            for name in names:
                said, found = given.said[name], getattr(self, key)
                if said not in (None, found):
                    raise Refusal(f"{given.path}: {name} {said}, but the tensors of {path} have "
                                  f"{found}: of another training?")
        self.check_sessions(path, tensors, given)

    @staticmethod
    def check_sessions(path, tensors, given):
        for what in ("day_weights", "day_biases"):
            n_found = sum(name.startswith(what + ".") for name in tensors)
            if n_found != len(given.sessions):
                raise Refusal(f"{path}: tensors {what}.* of {n_found} sessions, but {given.path} "
                              f"names {len(given.sessions)}: of another training?")

    def expected(self, given):
        """name -> shape of every tensor."""
        c, u, o = self.n_features, self.n_units, self.n_classes
        shapes = {"h0": (1, 1, u), "out.weight": (o, u), "out.bias": (o,)}
        for k in range(len(given.sessions)):
            shapes.update({f"day_weights.{k}": (c, c), f"day_biases.{k}": (1, c)})
        for k in range(self.n_layers):
            n_in = u if k else c * max(given.window, 1)
            shapes.update({f"gru.weight_ih_l{k}": (3 * u, n_in), f"gru.bias_ih_l{k}": (3 * u,),
                           f"gru.weight_hh_l{k}": (3 * u, u), f"gru.bias_hh_l{k}": (3 * u,)})
        return shapes


def chosen_sessions(args, given):
    """Names in the order given, without repeats, and their places in the checkpoint."""
    names = list(dict.fromkeys(args.session or [given.newest()]))
    for name in names:
        if name not in given.sessions:
            raise Refusal(f"--session {name}: {given.path} has {', '.join(given.sessions)}")
    return names, [given.sessions.index(name) for name in names]


def chosen_labels(args, n_classes):
    labels = args.labels.split(",") if args.labels else list(LABELS)
    if len(labels) != n_classes:
        what = "--labels: " if args.labels else "without --labels "
        raise Refusal(f"{what}{len(labels)} labels, but the checkpoint has {n_classes} classes")
    if len(set(labels)) < len(labels) or not all(labels):
        raise Refusal("--labels: expected each once, none empty")
    return labels


def node(kind, name, before, **keys):
    return {"kind": kind, "name": name, "inputs": [before], **keys}


def nodes_of(given, sizes):
    """The list of layers."""
    nodes, before = [], "input"

    def add(kind, name, **keys):
        nonlocal before
        nodes.append(node(kind, name, before, **keys))
        before = name

    n_taps = 0 if given.taps is None else len(given.taps)
    if n_taps:
        add("taps", "smooth", taps=n_taps, look_ahead=n_taps // 2)
    if n_taps > 2:  # as the trainer evaluates: no bin that lacks neighbours
        add("crop", "full", items=(n_taps - 1) // 2)
    add("session", "session", width=sizes.n_features)
    add("softsign", "softsign")
    if given.window:
        add("window", "window", items=given.window, stride=given.stride)
    add("gru", "gru", width=sizes.n_units, layers=sizes.n_layers, reset="after", gate="sigmoid")
    add("dense", "logits", width=sizes.n_classes)
    return nodes


def weights_of(tensors, given, sizes, places):
    """Tensors by the names of the nodes, the matrices of sessions one below the other."""
    weights = {name: array for name, array in tensors.items() if name.startswith("gru.")}
    weights["gru.h0"] = np.tile(tensors["h0"].reshape(1, -1), (sizes.n_layers, 1))
    weights["session.weight"] = np.concatenate([tensors[f"day_weights.{k}"].T for k in places])
    weights["session.bias"] = np.concatenate([tensors[f"day_biases.{k}"][0] for k in places])
    weights["logits.weight"], weights["logits.bias"] = tensors["out.weight"], tensors["out.bias"]
    if given.taps is not None:
        weights["smooth.weight"] = given.taps[::-1]  # the newest first
    return weights


def selftest_bins(given):
    first = max(given.window, 1) - 1 + (0 if given.taps is None else len(given.taps) - 1)
    return first + exporting.SELFTEST_BINS * given.stride


def warn_of_licence(args, found):
    if not (args.licence or found.licence or exporting.statements.own_facts(found).get("licence")):
        print(f"{args.input}: does not say under which licence its weights may be used: the model "
              f"file says \"not stated\"; --licence says it", file=sys.stderr)


def main():
    args = parse()
    given, found = Arguments(args.args), read(args)
    if args.bin_width is None and "bin_width_us" not in exporting.statements.own_facts(found):
        args.bin_width = BIN_WIDTH_MS
    sizes = Sizes(args.input, found.tensors, given)
    tensors = checkpoint.take(found.tensors, args.input, sizes.expected(given))
    names, places = chosen_sessions(args, given)
    newest = given.newest() if given.newest() in names else names[-1]
    labels = chosen_labels(args, sizes.n_classes)
    found.notes.append(f"session {newest} of {len(given.sessions)}" + (
        f"; beside it {', '.join(n for n in names if n != newest)}" if len(names) > 1 else ""))
    weights = exporting.as_float32(weights_of(tensors, given, sizes, places))
    warn_of_licence(args, found)
    exporting.export(args, found, "stack", reference.run, n_channels=sizes.n_features,
                     modes=exporting.choose_modes(args, MODES),
                     hyper={"nodes": nodes_of(given, sizes), "outputs": {"logits": "logits"},
                            "sessions": names, "session": newest},
                     outputs=(0, 0, [], labels), weights=weights,
                     selftest_bins=selftest_bins(given), kinds=("real", "counts"),
                     expects_all=False)


if __name__ == "__main__":
    run_command(main)

#!/usr/bin/python3
"""Turn a ReFIT Kalman filter into a model file.

IN holds A (D,D), C.velocity (C,D), C.position (C,D), Q (D,D), R (C,C), offset (C), and optionally
p0 (D; default: the middle of the workspace), position.min (D) and position.max (D), the
workspace. Without a workspace give --workspace=LOW,HIGH: an integrated position must not run
away. Nothing in IN is executed.
"""

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common import exporting
from latent_models.common.checkpoint import take
from latent_models.common.naming import Names, advice
from latent_models.common.refusal import Refusal, run_command
from latent_models.kalman.export import check_covariances
from latent_models.refit import reference

MODES = ("causal",)
NAMES = Names(("A", "C.velocity", "C.position", "Q", "R", "offset"),
              ("p0", "position.min", "position.max"))
EDGES = ("position.min", "position.max")


def parse():
    parser = exporting.exporter_parser(__doc__, MODES, NAMES)
    parser.add_argument("--workspace", metavar="LOW,HIGH",
                        help="of every dimension, e.g. --workspace=-100,100")
    exporting.add_readout_options(parser)
    return parser.parse_args()


def with_workspace(args, tensors, n_dims):
    """The tensors with edges and start filled in."""
    filled = dict(tensors)
    if args.workspace:
        try:
            edges = [float(x) for x in args.workspace.split(",")]
        except ValueError:
            edges = []
        if len(edges) != 2 or not edges[0] < edges[1]:
            raise Refusal(f"--workspace {args.workspace}: expected LOW,HIGH")
        filled.update({name: np.full(n_dims, edge) for name, edge in zip(EDGES, edges)})
    if any(name not in filled for name in EDGES):
        raise Refusal(f"{args.input}: has no {EDGES[0]} and {EDGES[1]}; give --workspace=LOW,HIGH")
    filled.setdefault("p0", (filled[EDGES[0]] + filled[EDGES[1]]) / 2)
    return filled


def main():
    args = parse()
    checkpoint = exporting.read_input(args, NAMES, "a ReFIT filter")
    tensors = checkpoint.tensors
    for name in ("A", "C.velocity"):
        if name not in tensors or tensors[name].ndim != 2:
            raise Refusal(f"{args.input}: no matrix {name}: not a ReFIT filter? "
                          f"{advice(tensors, NAMES)}")
    d, c = len(tensors["A"]), len(tensors["C.velocity"])
    shapes = {"A": (d, d), "C.velocity": (c, d), "C.position": (c, d), "Q": (d, d), "R": (c, c),
              "offset": (c,), "p0": (d,), EDGES[0]: (d,), EDGES[1]: (d,)}
    weights = take(with_workspace(args, tensors, d), args.input, shapes)
    weights = {name: array.astype(np.float64) for name, array in weights.items()}
    check_covariances(weights, args.input)
    low, high = weights[EDGES[0]], weights[EDGES[1]]
    if not ((low <= weights["p0"]) & (weights["p0"] <= high)).all():
        raise Refusal(f"{args.input}: p0 lies outside the workspace")
    readout = exporting.readout_entries(args, checkpoint, 2 * d)
    exporting.export(args, checkpoint, "refit", reference.run, n_channels=c,
                     modes=exporting.choose_modes(args, MODES), hyper={},
                     outputs=(2 * d, 0, readout), weights=weights)


if __name__ == "__main__":
    run_command(main)

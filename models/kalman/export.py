#!/usr/bin/python3
"""Turn a Kalman filter into a model file.

IN holds float tensors. --form steady or full: A (S,S), C (M,S), Q (S,S), R (M,M), optional x0 (S),
P0 (S,S) [full], offset (M); --form given: M1 (S,S), M2 (S,C), m0 (S), optional x0. Optional
readout.weight (O,S), readout.bias (O); without them the readout is the state. HDF5 with several
decoders: --mapping names the group under /weights, and tensors that the form does not use are left
out. Nothing in IN is executed.
"""

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common import exporting, statements
from latent_models.common.checkpoint import take
from latent_models.common.naming import Names, advice
from latent_models.common.refusal import Refusal, run_command
from latent_models.kalman import reference

MODES = ("causal",)
REQUIRED = {"steady": ("A", "C", "Q", "R"), "full": ("A", "C", "Q", "R"),
            "given": ("M1", "M2", "m0")}
OPTIONAL = {"steady": ("x0", "offset"), "full": ("x0", "P0", "offset"), "given": ("x0",)}
NAMES = Names((), ("A", "C", "Q", "R", "M1", "M2", "m0", "x0", "P0", "offset", "readout.weight",
                   "readout.bias"))
READOUT = ("readout.weight", "readout.bias")


def parse():
    parser = exporting.exporter_parser(__doc__, MODES, NAMES)
    parser.add_argument("--mapping", metavar="GROUP", help="which decoder of a file with several")
    parser.add_argument("--form", choices=tuple(REQUIRED),
                        help="required where the checkpoint does not say")
    exporting.add_readout_options(parser)
    return parser.parse_args()


def pick_mapping(args, tensors):
    """The tensors of one decoder of a file with several."""
    groups = sorted({name.split("/")[0] for name in tensors if "/" in name})
    if args.mapping is None and groups:
        raise Refusal(f"{args.input}: holds several decoders; give --mapping {' or '.join(groups)}")
    if args.mapping is None:
        return tensors
    if args.mapping not in groups:
        raise Refusal(f"{args.input}: no decoder {args.mapping}; it has "
                      f"{', '.join(groups) or 'only one'}")
    prefix = args.mapping + "/"
    return {name[len(prefix):]: array for name, array in tensors.items() if name.startswith(prefix)}


def expected_shapes(tensors, path, form):
    """Every tensor the form has -> (sizes, name -> shape)."""
    state, observed = ("M1", "M2") if form == "given" else ("A", "C")
    for name in REQUIRED[form] + READOUT[:1]:
        if name in tensors and tensors[name].ndim != (1 if name == "m0" else 2):
            raise Refusal(f"{path}: tensor {name} has shape {list(tensors[name].shape)}")
        if name not in tensors and name != READOUT[0]:
            raise Refusal(f"{path}: tensor {name} is missing: not a Kalman filter of form {form}? "
                          f"{advice(tensors, Names(REQUIRED[form], NAMES.optional))}")
    s = len(tensors[state])
    m = tensors[observed].shape[1 if form == "given" else 0]
    shapes = {"A": (s, s), "C": (m, s), "Q": (s, s), "R": (m, m), "M1": (s, s), "M2": (s, m),
              "m0": (s,), "x0": (s,), "P0": (s, s), "offset": (m,)}
    chosen = {n: shapes[n] for n in REQUIRED[form] + OPTIONAL[form]
              if n in tensors or n in REQUIRED[form]}
    n_readout = s
    if any(name in tensors for name in READOUT):
        n_readout = len(tensors[READOUT[0]]) if READOUT[0] in tensors else 0
        chosen.update({READOUT[0]: (n_readout, s), READOUT[1]: (n_readout,)})
    return {"n_states": s, "n_channels": m, "n_readout": n_readout}, chosen


def check_covariances(weights, path):
    """Q, R and P0 must be covariances, R invertible: otherwise the gain is meaningless."""
    for name in ("Q", "R", "P0"):
        if name not in weights:
            continue
        matrix = weights[name]
        scale = np.abs(matrix).max()
        if np.abs(matrix - matrix.T).max() > 1e-9 * scale:
            raise Refusal(f"{path}: {name} is not symmetric: no covariance")
        smallest = np.linalg.eigvalsh(matrix)[0]
        if smallest < -1e-9 * scale or (name == "R" and smallest <= 0):
            raise Refusal(f"{path}: {name} has eigenvalue {smallest:g}: no "
                          f"{'invertible ' if name == 'R' else ''}covariance; silent channels need "
                          f"a small noise on the diagonal")


def main():
    args = parse()
    checkpoint = exporting.read_input(args, NAMES)
    form = args.form or statements.own_facts(checkpoint).get("hyper", {}).get("form")
    if form not in tuple(REQUIRED):
        raise Refusal(f"{args.input}: does not say its form; give --form {', '.join(REQUIRED)}")
    tensors = pick_mapping(args, checkpoint.tensors)
    sizes, shapes = expected_shapes(tensors, args.input, form)
    if args.mapping:
        tensors = {name: tensors[name] for name in shapes if name in tensors}
    weights = {k: v.astype(np.float64) for k, v in take(tensors, args.input, shapes).items()}
    check_covariances(weights, args.input)
    exporting.export(args, checkpoint, "kalman", reference.run, n_channels=sizes["n_channels"],
                     modes=exporting.choose_modes(args, MODES), hyper={"form": form},
                     outputs=(sizes["n_states"], 0,
                              exporting.readout_entries(args, checkpoint, sizes["n_readout"])),
                     weights=weights, expects_all=form != "given")


if __name__ == "__main__":
    run_command(main)

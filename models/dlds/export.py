#!/usr/bin/python3
"""Turn a decomposed linear dynamical system into a model file.

IN holds F (M,S,S), D (C,S), R (C, variances), and optionally offset (C), x0 (S), c0 (M; default:
the first operator alone), readout.weight (O,S) and readout.bias (O). The filter's weights
(lambda, gamma, kappa) and its fixed numbers of turns and steps are options where IN does not say
them. Nothing in IN is executed.
"""

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common import exporting, statements
from latent_models.common.checkpoint import rows_of, take
from latent_models.common.naming import Names, advice
from latent_models.common.refusal import Refusal, run_command
from latent_models.dlds import reference

MODES = ("causal",)
NAMES = Names(("F", "D", "R"), ("offset", "x0", "c0", "readout.weight", "readout.bias"))
OBSERVATIONS = ("counts", "anscombe")
# name: (type, default where nobody says it, lowest, highest, what it is)
NUMBERS = {"turns": (int, 3, 1, 20, "alternations of x and c per bin"),
           "fista_steps": (int, 20, 1, 1000, "steps of c per alternation"),
           "lambda": (float, None, 1e-9, 1e9, "weight of the dynamics"),
           "gamma": (float, None, 0, 1e9, "weight of the sparsity"),
           "kappa": (float, None, 1e-9, 1e9, "weight of c's smoothness")}


def parse():
    """The command line."""
    parser = exporting.exporter_parser(__doc__, MODES, NAMES)
    group = parser.add_argument_group("hyper-parameters, where the checkpoint does not say")
    group.add_argument("--observation", choices=OBSERVATIONS, help="what the model observes")
    for name, (kind, default, _, _, text) in NUMBERS.items():
        text += f" (default {default})" if default else ""
        group.add_argument(f"--{name.replace('_', '-')}", dest=name, type=kind, help=text)
    exporting.add_readout_options(parser)
    return parser.parse_args()


def number(path, name, value):
    """A hyper-parameter within its bounds."""
    kind, _, low, high, _ = NUMBERS[name]
    if value is None:
        raise Refusal(f"{path}: does not say {name}; give --{name.replace('_', '-')}")
    fits = isinstance(value, (int, float)) and low <= value <= high and kind(value) == value
    if not fits:
        raise Refusal(f"--{name.replace('_', '-')} {value}: expected "
                      f"{'a whole number, ' if kind is int else ''}{low:g} to {high:g}")
    return kind(value)


def build_hyper(args, checkpoint):
    """Every number of the filter, from the options, the checkpoint, or the defaults."""
    said = {**{name: entry[1] for name, entry in NUMBERS.items()},
            **statements.own_facts(checkpoint).get("hyper", {})}
    said.update({k: v for k, v in vars(args).items() if k in said and v is not None})
    observation = args.observation or said.get("observation")
    if observation not in OBSERVATIONS:
        raise Refusal(f"{args.input}: its observation is {observation}; give --observation "
                      f"{' or '.join(OBSERVATIONS)}")
    return {"lograte": False, "observation": observation,
            **{name: number(args.input, name, said[name]) for name in NUMBERS}}


def complete(args, tensors):
    """The tensors with what is optional filled in, and the shapes all must have."""
    if [tensors[name].ndim if name in tensors else 0 for name in ("F", "D")] != [3, 2]:
        raise Refusal(f"{args.input}: no F of shape [operators, states, states] and D of "
                      f"[channels, states]: not a dlds? "
                      f"{advice(tensors, NAMES)}")
    (m, s, _), channels = tensors["F"].shape, len(tensors["D"])
    if 0 in (m, s, channels):
        raise Refusal(f"{args.input}: F has shape {list(tensors['F'].shape)}, D "
                      f"{list(tensors['D'].shape)}: nothing to serve")
    filled = {"offset": np.zeros(channels), "x0": np.zeros(s), "c0": np.eye(m)[0], **tensors}
    shapes = {"F": (m, s, s), "D": (channels, s), "R": (channels,), "offset": (channels,),
              "x0": (s,), "c0": (m,)}
    if "readout.weight" in tensors:
        n_readout = rows_of(tensors, args.input, "readout.weight")
        shapes.update({"readout.weight": (n_readout, s), "readout.bias": (n_readout,)})
    return filled, shapes


def main():
    args = parse()
    checkpoint = exporting.read_input(args, NAMES, "a dlds")
    tensors, shapes = complete(args, checkpoint.tensors)
    hyper = build_hyper(args, checkpoint)
    weights = take(tensors, args.input, shapes)
    weights = {k: v.astype(np.float32 if k.startswith("readout.") else np.float64)
               for k, v in weights.items()}
    if not (weights["R"] > 0).all():
        raise Refusal(f"{args.input}: R holds the variance {weights['R'].min():g}; "
                      f"give silent channels a small one")
    m, s, _ = weights["F"].shape
    n_channels, n_readout = len(weights["D"]), len(weights.get("readout.bias", ()))
    exporting.export(args, checkpoint, "dlds", reference.run, n_channels=n_channels,
                     modes=exporting.choose_modes(args, MODES), hyper=hyper,
                     outputs=(s + m, n_channels,
                              exporting.readout_entries(args, checkpoint, n_readout)),
                     weights=weights)


if __name__ == "__main__":
    run_command(main)

#!/usr/bin/python3
"""Turn a low-rank RNN (LINT) into a model file.

IN holds m (N,R), n (N,R), b (N), h0 (N), wi (I,N), si (I), wo (N,O), so (O): a state dict of
lowrank_inference, or what train.py writes. Driven (the channels are the task's inputs): nothing
else. Filtered (the channels are spike counts, then the inputs): also filter.Q (R,R), filter.P0
(R,R), observation.bias (M) and either observation.gain (M; channel i is unit i) or
observation.weight (M,R+I). A wo that is a multiple of the identity becomes the readout "units".
Nothing in IN is executed.
"""

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common import exporting, model_file, statements
from latent_models.common.checkpoint import take
from latent_models.common.naming import Names, advice
from latent_models.common.refusal import Refusal, number, run_command, whole
from latent_models.common.statements import one_of
from latent_models.lowrank import reference

MODES = ("causal",)
NETWORK, INPUTS, OUTPUTS = ("m", "n", "b", "h0"), ("wi", "si"), ("wo", "so")
KINDS = {"alpha": number(1e-6, 1), "output_activation": one_of(*reference.PHI),
         "iterations": whole(1, 8)}
NAMES = Names(NETWORK, INPUTS + OUTPUTS + (
    "filter.Q", "filter.P0", "observation.bias", "observation.gain", "observation.weight"))
FILTER = ("filter.Q", "filter.P0", "observation.bias")


def parse():
    parser = exporting.exporter_parser(__doc__, MODES, NAMES)
    parser.add_argument("--alpha", type=KINDS["alpha"],
                        help="bin width over time constant; where the checkpoint does not say")
    parser.add_argument("--readout", choices=("none", "linear", "units"),
                        help="what is read out (default: linear; units where wo is diagonal; none "
                             "without wo)")
    parser.add_argument("--output-activation", choices=tuple(reference.PHI), help="default tanh")
    parser.add_argument("--iterations", type=KINDS["iterations"],
                        help="passes of the filter's correction (default 1)")
    exporting.add_readout_options(parser)
    return parser.parse_args()


def is_identity(tensors):
    """wo = N I with gains of one: the rates of a LINT fit are its units."""
    wo, n = tensors["wo"], len(tensors["m"])
    return wo.shape == (n, n) and np.array_equal(wo, n * np.eye(n)) and (tensors["so"] == 1).all()


def choose_output(args, tensors):
    """The kind of readout, checked against the tensors there are."""
    has = all(name in tensors for name in OUTPUTS)
    default = "none" if not has else "units" if is_identity(tensors) else "linear"
    output = args.readout or default
    if output == "linear" and not has:
        raise Refusal(f"{args.input}: --readout linear, but it has no wo and so")
    return output


def build_hyper(args, checkpoint, tensors):
    said = statements.checked(args.input, statements.own_facts(checkpoint).get("hyper", {}), KINDS)
    alpha = args.alpha if args.alpha is not None else said.get("alpha")
    if alpha is None:
        raise Refusal(f"{args.input}: does not say alpha, bin width over time constant; "
                      f"give --alpha")
    if not 1e-6 <= alpha <= 1 or said.get("alpha", alpha) != alpha:
        raise Refusal(f"--alpha {alpha}: expected {said.get('alpha', 'more than 0 and at most 1')}")
    hyper = {"form": "filtered" if "filter.Q" in tensors else "driven", "alpha": alpha,
             "output": choose_output(args, tensors),
             "output_activation": args.output_activation or said.get("output_activation", "tanh")}
    if hyper["form"] == "filtered":
        hyper["observation"] = "linear" if "observation.weight" in tensors else "units"
        hyper["iterations"] = args.iterations or said.get("iterations", 1)
        if not 1 <= hyper["iterations"] <= 8:
            raise Refusal(f"--iterations {hyper['iterations']}: expected 1 to 8")
    return hyper


def check_network(args, tensors):
    """A network of low rank, and not one of full rank, whose recurrent matrix is wrec."""
    if "wrec" in tensors:
        raise Refusal(f"{args.input}: a full-rank network (wrec): fit a low-rank one to it first, "
                      f"or cut its singular values; a lowrank has m and n")
    for name in ("m", "n") + tuple(k for k in INPUTS + OUTPUTS if k in tensors):
        if name not in tensors or tensors[name].ndim != (1 if name in ("si", "so") else 2):
            raise Refusal(f"{args.input}: tensor {name} is missing or of another shape: not "
                          f"a low-rank RNN? {advice(tensors, NAMES)}")
    for name in FILTER if FILTER[0] in tensors else ():
        if name not in tensors or tensors[name].ndim == 0:
            raise Refusal(f"{args.input}: tensor {name} is missing: {FILTER[0]} makes it a spike "
                          f"filter, which needs {', '.join(FILTER)}")


def expected_shapes(tensors, hyper):
    """Every tensor of the form, name -> shape."""
    n, r = tensors["m"].shape
    shapes = {"m": (n, r), "n": (n, r), "b": (n,), "h0": (n,)}
    n_inputs = len(tensors.get("wi", ()))
    if n_inputs:
        shapes.update({"wi": (n_inputs, n), "si": (n_inputs,)})
    if hyper["output"] == "linear":
        n_readout = tensors["wo"].shape[1]
        shapes.update({"wo": (n, n_readout), "so": (n_readout,)})
    if hyper["form"] == "filtered":
        spikes = len(tensors["observation.bias"])
        shapes.update({"filter.Q": (r, r), "filter.P0": (r, r), "observation.bias": (spikes,)})
        shapes.update({"observation.weight": (spikes, r + n_inputs)}
                      if hyper["observation"] == "linear" else
                      {"observation.gain": (spikes,)})
    return shapes


def drawn_counts(model):
    """Bins for the known answer: counts, as spikes are and as inputs may be."""
    as_counts = model_file.Model({**model.config, "input": "counts"}, {})
    return model_file.selftest_counts(as_counts, exporting.SELFTEST_BINS)


def check_filter(args, weights, hyper):
    """Covariances must be covariances; as many units as channels."""
    for name in ("filter.Q", "filter.P0"):
        matrix = weights[name].astype(np.float64)
        smallest = np.linalg.eigvalsh((matrix + matrix.T) / 2)[0]
        if np.abs(matrix - matrix.T).max() > 1e-6 * np.abs(matrix).max() or smallest <= 0:
            raise Refusal(f"{args.input}: {name} is no covariance (smallest eigenvalue "
                          f"{smallest:g})")
    n_spikes, n_units = len(weights["observation.bias"]), len(weights["m"])
    if hyper["observation"] == "units" and n_spikes > n_units:
        raise Refusal(f"{args.input}: {n_spikes} spike channels, but {n_units} units; give "
                      f"observation.weight instead of observation.gain")


def main():
    args = parse()
    checkpoint = exporting.read_input(args, NAMES)
    tensors = dict(checkpoint.tensors)
    check_network(args, tensors)
    hyper = build_hyper(args, checkpoint, tensors)
    shapes = expected_shapes(tensors, hyper)
    if hyper["output"] != "linear":
        tensors = {k: v for k, v in tensors.items() if k not in OUTPUTS}
    weights = take(tensors, args.input, shapes)
    weights = {k: v.astype(np.float64 if k.startswith("filter.") else np.float32)
               for k, v in weights.items()}
    n_inputs = len(weights.get("wi", ()))
    n_spikes = len(weights["observation.bias"]) if hyper["form"] == "filtered" else 0
    if hyper["form"] == "filtered":
        check_filter(args, weights, hyper)
    n_readout = {"none": 0, "units": len(weights["m"]), "linear": len(weights.get("so", ()))}
    readout = exporting.readout_entries(args, checkpoint, n_readout[hyper["output"]])
    exporting.export(args, checkpoint, "lowrank", reference.run, n_channels=n_spikes + n_inputs,
                     modes=exporting.choose_modes(args, MODES), hyper=hyper,
                     outputs=(weights["m"].shape[1] + n_inputs, n_spikes, readout), weights=weights,
                     kinds=("real", "counts") if n_inputs else ("counts",),
                     selftest_counts=drawn_counts)


if __name__ == "__main__":
    run_command(main)

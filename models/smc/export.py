#!/usr/bin/python3
"""Turn a stochastic low-rank RNN (smc_rnns) into a model file.

IN is HDF5 with /weights/rnn and /weights/enc, or the state dict of the RNN with --encoder ENC,
the state dict of the encoder. Hyper-parameters the file does not state (a state dict states none)
are options. The draws of the particle filter follow --seed. Nothing in IN is executed.

The file's known answer avoids bins in which resampling depends on rounding: a tooth that lies
nearer than 3e-5 to a cumulative weight may fall to either side in float32 (the largest difference
seen is 2.9e-5), and every later bin would differ. Its counts are drawn anew until that is not so.
"""

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common import exporting, model_file, statements
from latent_models.common.checkpoint import read, rows_of, table_of, take
from latent_models.common.naming import Names, advice
from latent_models.common.refusal import Refusal, run_command, whole
from latent_models.common.statements import one_of
from latent_models.smc import reference

MODES = ("causal",)
SELFTEST_BINS, MARGIN, CANDIDATES = 30, 3e-5, 96
PREFIXES = (("latent_step.", "transition."), ("transition.AW", "transition.decay"))
UNUSED = ("transition.hz", "R_x", "logvar")  # no part in a filter of counts
CONVS = ("initial_stack.1", "initial_stack.4", "mean_conv", "logvar_conv")
NAMES = Names((), (
    "transition.m", "transition.n", "transition.h", "transition.decay", "R_z", "R_z_t0",
    "initial_state", "observation.B", "observation.Bias", "readout.weight", "readout.bias",
    *(f"{conv}.{kind}" for conv in CONVS for kind in ("weight", "bias")),
    *UNUSED, "transition.AW", "latent_step.*"))
KINDS = {"activation": one_of(*reference.ACTIVATIONS), "rate": one_of(*reference.RATES)}
# What this project serves of the reference's options; another value is refused by name.
SERVED = {"rnn_architecture": ("LRRNN",), "exp_par": (True,), "identity_readout": (False,),
          "readout_from": (False,), "enc_architecture": ("CNN",), "nonlinearity": ("gelu",),
          "padding_location": ("causal",), "constant_var": (False,), "dim_u": (0,)}


def parse():
    parser = exporting.exporter_parser(__doc__, MODES, NAMES)
    parser.add_argument("--encoder", metavar="ENC",
                        help="state dict of the encoder, where IN has none")
    parser.add_argument("--particles", type=whole(1, 4096), default=100)
    parser.add_argument("--proposal", choices=("variational", "bootstrap"),
                        help="default: variational where there is an encoder")
    parser.add_argument("--seed", type=whole(0, 2 ** 53), default=1, help="of the filter's draws")
    parser.add_argument("--channels", type=whole(1, 65536),
                        help="seen units, for a bootstrap filter (default: all rates)")
    group = parser.add_argument_group("hyper-parameters, where the checkpoint does not say")
    group.add_argument("--activation", choices=tuple(reference.ACTIVATIONS))
    group.add_argument("--link", "--rate", dest="rate", choices=tuple(reference.RATES),
                       help="what makes expected counts per bin")
    exporting.add_readout_options(parser)
    return parser.parse_args()


def plain_names(tensors):
    """Names of the newest reference, without the groups of an HDF5 file."""
    renamed = {}
    for name, array in tensors.items():
        name = name.split("/")[-1]
        for old, new in PREFIXES:
            name = name.replace(old, new)
        renamed[name] = array
    return {name: array for name, array in renamed.items() if name not in UNUSED}


def gather(args, checkpoint):
    """Tensors of RNN and encoder under one roof."""
    tensors = plain_names(checkpoint.tensors)
    if args.encoder:
        tensors.update(plain_names(read(args.encoder).tensors))
    return tensors


def stated(args, checkpoint):
    """The reference's parameters that matter, flat; what is not served is refused."""
    said = {}
    params = table_of(checkpoint.architecture.get("vae_params"))
    for table in (params, table_of(params.get("rnn_params")), table_of(params.get("enc_params"))):
        said.update({key: value for key, value in table.items() if not isinstance(value, dict)})
    for key, allowed in SERVED.items():
        if key in said and said[key] not in allowed:
            raise Refusal(f"{args.input}: {key} is {said[key]!r}; served: {allowed[0]!r}")
    own = statements.own_facts(checkpoint).get("hyper", {})
    return statements.checked(
        args.input, {"activation": own.get("activation", said.get("activation")),
                     "rate": own.get("rate", said.get("out_nonlinearity"))}, KINDS)


def choose(args, said, key, allowed):
    """One hyper-parameter from the option or the file, which may not disagree."""
    option = getattr(args, key)
    value = said[key] if option is None else option
    if value is None:
        raise Refusal(f"{args.input}: does not say its {key}; give --{key}")
    if said[key] is not None and value != said[key]:
        raise Refusal(f"--{key} {option}, but {args.input} says {said[key]}")
    if value not in allowed:
        raise Refusal(f"{args.input}: {key} {value} cannot be served; known: {', '.join(allowed)}")
    return value


def build_hyper(args, checkpoint, tensors):
    said = stated(args, checkpoint)
    has_encoder = any(name.startswith(CONVS) for name in tensors)
    proposal = args.proposal or ("variational" if has_encoder else "bootstrap")
    if proposal == "variational" and not has_encoder:
        raise Refusal(f"{args.input}: has no encoder; give --encoder, or --proposal bootstrap")
    if not 1 <= args.particles <= 4096:
        raise Refusal(f"--particles {args.particles}: expected 1 to 4096")
    if not 0 <= args.seed <= 2 ** 53:
        raise Refusal(f"--seed {args.seed}: expected 0 to 2^53")
    return {"particles": args.particles, "proposal": proposal, "seed": args.seed,
            "activation": choose(args, said, "activation", reference.ACTIVATIONS),
            "rate": choose(args, said, "rate", reference.RATES)}


def expected_shapes(args, tensors, variational):
    """Every tensor the filter takes, name -> shape."""
    for name, n_dims in (("transition.m", 2), ("observation.B", 2)) + \
            tuple((conv + ".weight", 3) for conv in CONVS if variational):
        if name not in tensors or tensors[name].ndim != n_dims:
            raise Refusal(f"{args.input}: tensor {name} of {n_dims} axes is missing: not a "
                          f"low-rank RNN of smc_rnns? {advice(tensors, NAMES)}")
    units, s = tensors["transition.m"].shape
    shapes = {"transition.m": (units, s), "transition.n": (s, units), "transition.h": (units,),
              "transition.decay": (), "R_z": (s,), "R_z_t0": (s,), "initial_state": (s,),
              "observation.B": (s, tensors["observation.B"].shape[1]),
              "observation.Bias": (tensors["observation.B"].shape[1],)}
    n_in = None
    for conv in CONVS if variational else ():
        n_out, width, taps = tensors[conv + ".weight"].shape
        n_out = s if conv in CONVS[2:] else n_out
        shapes[conv + ".weight"] = (n_out, n_in or width, taps)
        shapes[conv + ".bias"] = (n_out,)
        n_in = n_out if conv in CONVS[:2] else n_in
    if "readout.weight" in tensors:
        n_readout = rows_of(tensors, args.input, "readout.weight")
        shapes.update({"readout.weight": (n_readout, s), "readout.bias": (n_readout,)})
    return shapes


def candidate_rows(model, t):
    """Rows of counts [C] for bin t, ever larger: the more spikes, the fewer particles matter."""
    for i in range(CANDIDATES):
        row = model_file.selftest_counts(model, 1, seed=(t, i))[0]
        yield row * np.float32(2 ** (8 * i // CANDIDATES))


def certain_counts(config, weights):
    """Counts [T, C] for the known answer, in no bin of which rounding could choose particles."""
    model, w = model_file.Model(config, weights), reference.as_doubles(weights)
    rows, z = [], None
    for t in range(SELFTEST_BINS):
        for row in candidate_rows(model, t):
            counts = np.array([*rows, row], np.float64)
            stage = reference.step_bin(w, config["hyper"], z, counts, t)
            if stage["margin"] >= MARGIN:
                break
        else:
            break
        rows.append(row)
        z = stage["particles"]
    if not rows:
        raise Refusal(f"no known answer for {config['hyper']['particles']} particles: resampling "
                      "depends on rounding whatever the counts; take fewer")
    return np.stack(rows)


def main():
    args = parse()
    checkpoint = exporting.read_input(args, NAMES)
    tensors = gather(args, checkpoint)
    hyper = build_hyper(args, checkpoint, tensors)
    for name, shape in (("transition.decay", ()), ("observation.Bias", -1)):
        if name in tensors and (name == "observation.Bias" or tensors[name].size == 1):
            tensors[name] = tensors[name].reshape(shape)
    variational = hyper["proposal"] == "variational"
    if not variational:
        tensors = {k: v for k, v in tensors.items() if not k.startswith(CONVS)}
    shapes = expected_shapes(args, tensors, variational)
    weights = exporting.as_float32(take(tensors, args.input, shapes))
    s, n_rates = shapes["observation.B"]
    n_channels = shapes["initial_stack.1.weight"][1] if variational else args.channels or n_rates
    if n_channels > n_rates:
        raise Refusal(f"{args.input}: {n_channels} channels, but only {n_rates} rates")
    n_readout = len(weights.get("readout.weight", ()))
    config = {"n_channels": n_channels, "hyper": hyper, "modes": MODES}
    channels = exporting.channel_statistics(args, checkpoint, n_channels, "counts")
    if channels:
        config["channels"] = channels
    exporting.export(args, checkpoint, "smc", reference.run, n_channels=n_channels,
                     modes=exporting.choose_modes(args, MODES), hyper=hyper,
                     outputs=(s, n_rates, exporting.readout_entries(args, checkpoint, n_readout)
                              if n_readout else []),
                     weights=weights, selftest_counts=certain_counts(config, weights),
                     kinds=("counts",))


if __name__ == "__main__":
    run_command(main)

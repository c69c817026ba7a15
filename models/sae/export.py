#!/usr/bin/python3
"""Turn a sequential auto-encoder (neural-ODE, GRU or perceptron decoder) into a model file.

IN may be a checkpoint of expressive-latent-dynamics-paper (a Lightning file, or its state dict
alone), a safetensors file with the same tensors, or HDF5 with /weights. The tensors tell the kind
of decoder: decoder.vf.vf.vf.* node, decoder.cell.mlp.* mlp, decoder.cell.weight_hh gru. What they
do not tell follows the published code unless an option says otherwise. Nothing in IN is executed.
"""

from latent_models.common import exporting, links, natural, statements
from latent_models.common.checkpoint import table_of, take
from latent_models.common.naming import Names, advice
from latent_models.common.refusal import Refusal, number, run_command, whole
from latent_models.common.statements import one_of
from latent_models.sae import reference

MODES = ("window", "protocol", "trial")
FIELD, MLP, CELL = "decoder.vf.vf.vf", "decoder.cell.mlp", "decoder.cell"
CELL_PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
NAMES = Names(
    tuple(f"encoder.{kind}_l0{way}" for kind in CELL_PARTS[:2] for way in ("", "_reverse")) +
    ("ic_linear.weight", "readout.weight"),
    tuple(f"encoder.{kind}_l0{way}" for kind in CELL_PARTS[2:] for way in ("", "_reverse")) +
    ("ic_linear.bias", "readout.bias") + tuple(f"{CELL}.{kind}" for kind in CELL_PARTS) +
    tuple(f"{prefix}.{layer}.{kind}" for prefix in (FIELD, MLP) for layer in (0, 2)
          for kind in ("weight", "bias")))
# Statements of a checkpoint: sizes checked against the tensors, conventions, and what changes no
# inference.
SIZES = {"neurons": "n_channels", "input_size": "n_channels", "latent": "latent_dim",
         "latent_size": "latent_dim", "encoder_size": "encoder_size", "vf_hidden_size": "hidden"}
CONVENTIONS = {"bins", "solver", "step", "substeps", "first_output", "activation", "dt"}
# What a checkpoint says under these names is read as the options are.
KINDS = {"bins": whole(2, 65536), "solver": one_of("tsit5", "rk4"), "step": number(above=0),
         "substeps": whole(1, 1000), "first_output": one_of("z0", "step"),
         "activation": one_of("relu", "tanh"), "dt": number()}
HARMLESS = {"model", "encoder", "readout", "cell", "update", "vector_field", "dropout_at_inference",
            "learning_rate", "weight_decay", "dropout", "points_per_group", "epochs_per_group"}


def parse():
    parser = exporting.exporter_parser(__doc__, MODES, NAMES)
    group = parser.add_argument_group("hyper-parameters, where the checkpoint does not say")
    group.add_argument("--window", type=KINDS["bins"], metavar="BINS",
                       help="bins of a trial in training: the window")
    group.add_argument("--first-output", choices=("z0", "step"),
                       help="the first bin shows z0 itself, or one step later (published: node z0, "
                       "others step)")
    group.add_argument("--solver", choices=("tsit5", "rk4"), help="node (published: tsit5)")
    group.add_argument("--step", type=KINDS["step"],
                       help="node: time from bin to bin (published: 1 / (BINS - 1))")
    group.add_argument("--substeps", type=KINDS["substeps"],
                       help="node: steps per bin (default 1); an adaptive solver may have taken "
                       "more than one: compare with a larger number")
    group.add_argument("--activation", choices=("relu", "tanh"),
                       help="mlp: required, published runs differ")
    group.add_argument("--dt", metavar="NUMBER", help="mlp: z + dt * mlp(z); none: z = mlp(z)")
    links.add_option(group)
    group.add_argument("--ignore", default="", metavar="KEY,KEY",
                       help="hyper-parameters of the checkpoint that you know do not change an "
                       "inference")
    return parser.parse_args()


def shape_of(tensors, path, name, n_dims=2):
    """Shape of a tensor that must be there."""
    if name not in tensors or tensors[name].ndim != n_dims:
        found = f"shape {list(tensors[name].shape)}" if name in tensors else "no such tensor"
        raise Refusal(f"{path}: tensor {name}: expected {n_dims} axes, found {found}: not a "
                      f"sequential auto-encoder? {advice(tensors, NAMES)}")
    return tensors[name].shape


def decoder_kind(tensors, path):
    """node, gru or mlp, by the decoder's tensors."""
    if FIELD + ".0.weight" in tensors:
        return "node"
    if MLP + ".0.weight" in tensors:
        return "mlp"
    rows, columns = shape_of(tensors, path, CELL + ".weight_hh")
    if rows != 3 * columns:
        raise Refusal(f"{path}: {CELL}.weight_hh is {rows} x {columns}: a GRU cell has three times "
                      f"as many rows as columns; other recurrent cells cannot be served")
    return "gru"


def learn_sizes(tensors, path):
    """-> what the tensors themselves say."""
    kind = decoder_kind(tensors, path)
    n_rates, latent = shape_of(tensors, path, "readout.weight")
    rows, n_channels = shape_of(tensors, path, "encoder.weight_ih_l0")
    sizes = {"decoder": kind, "latent_dim": latent, "n_rates": n_rates, "n_channels": n_channels,
             "encoder_size": rows // 3}
    if kind != "gru":
        prefix = {"node": FIELD, "mlp": MLP}[kind]
        sizes["hidden"] = shape_of(tensors, path, prefix + ".0.weight")[0]
    return sizes


def cell_shapes(prefix, suffix, n_in, size):
    """Tensors of a torch GRU cell."""
    return {f"{prefix}.weight_ih{suffix}": (3 * size, n_in),
            f"{prefix}.weight_hh{suffix}": (3 * size, size),
            f"{prefix}.bias_ih{suffix}": (3 * size,), f"{prefix}.bias_hh{suffix}": (3 * size,)}


def expected_shapes(s):
    """Every tensor the architecture has, name -> shape."""
    e, d = s["encoder_size"], s["latent_dim"]
    shapes = {**cell_shapes("encoder", "_l0", s["n_channels"], e),
              **cell_shapes("encoder", "_l0_reverse", s["n_channels"], e),
              "ic_linear.weight": (d, 2 * e), "ic_linear.bias": (d,),
              "readout.weight": (s["n_rates"], d), "readout.bias": (s["n_rates"],)}
    if s["decoder"] == "gru":
        return {**shapes, **cell_shapes(CELL, "", 1, d)}
    prefix, n_in = {"node": (FIELD, d), "mlp": (MLP, 1 + d)}[s["decoder"]]
    return {**shapes, prefix + ".0.weight": (s["hidden"], n_in), prefix + ".0.bias": (s["hidden"],),
            prefix + ".2.weight": (d, s["hidden"]), prefix + ".2.bias": (d,)}


def drop_unused(tensors):
    """The perceptron cell derives from a recurrent cell whose own tensors are never used."""
    unused = {CELL + name for name in (".weight_ih", ".weight_hh", ".bias_ih", ".bias_hh")}
    return {k: v for k, v in tensors.items() if k not in unused}


def stated(args, checkpoint, sizes):
    """The conventions the checkpoint states; its sizes are checked."""
    own = statements.own_facts(checkpoint).get("hyper")
    if own:
        return statements.checked(args.input, {**own, "bins": own.get("window_bins")}, KINDS)
    said = checkpoint.architecture or table_of(checkpoint.facts.get("hyper_parameters"))
    unknown = set(said) - set(SIZES) - CONVENTIONS - HARMLESS - set(args.ignore.split(","))
    if unknown:
        raise Refusal(f"{args.input}: hyper-parameter {sorted(unknown)[0]} is unknown here and may "
                      f"change the numbers; if it does not, pass --ignore "
                      f"{','.join(sorted(unknown))}")
    for key, size in SIZES.items():
        if key in said and said[key] != sizes.get(size):
            raise Refusal(f"{args.input}: says {key} {said[key]}, its tensors {sizes.get(size)}")
    found = {k: v for k, v in said.items() if k in CONVENTIONS}
    if "first_output" in found:
        found["first_output"] = "z0" if found["first_output"] == "z0" else "step"
    if "solver" in found:
        found["solver"] = str(found["solver"]).split(",")[0]
    return statements.checked(args.input, found, KINDS)


def choose(args, said, option, key, default, *, required=""):
    """An option, a statement or the published convention; the first two may not disagree."""
    value = getattr(args, option)
    if value is not None and said.get(key) is not None and value != said[key]:
        raise Refusal(f"--{option.replace('_', '-')} {value}, but {args.input} says {said[key]}")
    value = said.get(key) if value is None else value
    if value is None and required:
        raise Refusal(f"{args.input} does not say {required}: give --{option.replace('_', '-')}")
    return default if value is None else value


def mlp_dt(args, said):
    """A number, or None for z = mlp(z)."""
    if args.dt is None and "dt" not in said:
        raise Refusal(f"{args.input} does not say how the perceptron's output is used: give "
                      f"--dt NUMBER (z + dt * mlp) or --dt none (z = mlp)")
    try:
        option = None if args.dt in (None, "none") else float(args.dt)
    except ValueError:
        raise Refusal(f"--dt {args.dt}: expected a number or none") from None
    if args.dt is not None and "dt" in said and said["dt"] != option:
        raise Refusal(f"--dt {args.dt}, but {args.input} says {said['dt']}")
    return said["dt"] if args.dt is None else option


def build_hyper(args, sizes, said):
    """latent.config.hyper."""
    kind = sizes["decoder"]
    window = choose(args, said, "window", "bins", None, required="the bins of a trial")
    if not 2 <= window <= 65536:
        raise Refusal(f"--window {window}: expected 2 to 65536 bins")
    hyper = {"window_bins": int(window), "encoder_size": sizes["encoder_size"],
             "latent_dim": sizes["latent_dim"], "decoder": kind,
             "first_output": choose(args, said, "first_output", "first_output",
                                    "z0" if kind == "node" else "step")}
    if kind == "node":
        step = choose(args, said, "step", "step", 1 / (window - 1))
        substeps = choose(args, said, "substeps", "substeps", 1)
        solver = choose(args, said, "solver", "solver", "tsit5")
        if solver not in ("tsit5", "rk4") or not step > 0 or not 1 <= substeps <= 1000:
            raise Refusal(f"{args.input}: solver {solver} with {substeps} steps of {step} cannot "
                          f"be served")
        hyper.update(hidden=sizes["hidden"], solver=solver, step=float(step),
                     substeps=int(substeps))
    if kind == "mlp":
        hyper.update(hidden=sizes["hidden"], dt=mlp_dt(args, said),
                     activation=choose(args, said, "activation", "activation", None,
                                       required="its activation"))
    return hyper


def link_hyper(args, checkpoint):
    """Keys of hyper for the link of the rates: the published ones give log-rates, and only a bare
    state dict does not say that it is one."""
    own = statements.own_facts(checkpoint).get("hyper")
    is_published = checkpoint.architecture or table_of(checkpoint.facts.get("hyper_parameters"))
    link = links.choose(args, links.said_by(own) or ("exp" if own or is_published else None))
    return links.hyper_of(link) if link != "exp" else {}


def main():
    args = parse()
    checkpoint = exporting.read_input(args, NAMES, "a sequential auto-encoder")
    tensors = checkpoint.tensors
    sizes = learn_sizes(tensors, args.input)
    if sizes["decoder"] == "mlp":
        tensors = drop_unused(tensors)
    weights = exporting.as_float32(take(tensors, args.input, expected_shapes(sizes)))
    hyper = {**build_hyper(args, sizes, stated(args, checkpoint, sizes)),
             **link_hyper(args, checkpoint)}
    exporting.export(args, checkpoint, "sae", reference.run, n_channels=sizes["n_channels"],
                     modes=exporting.choose_modes(args, MODES), hyper=hyper,
                     outputs=(sizes["latent_dim"], sizes["n_rates"], []), weights=weights,
                     selftest_counts=natural.window_counts(reference.run),
                     expects_all=sizes["n_rates"] >= sizes["n_channels"])


if __name__ == "__main__":
    run_command(main)

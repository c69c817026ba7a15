#!/usr/bin/python3
"""Turn an LFADS checkpoint into a model file.

IN may be a Lightning checkpoint or its state dict alone (torch names), a safetensors file, or HDF5
with /weights; tensors under the names of the TensorFlow 2 implementation are renamed. What the
tensors and the checkpoint do not say must come as an option. Nothing in IN is executed.
"""
import re

from latent_models.common import exporting, links, natural, statements
from latent_models.common.checkpoint import table_of, take
from latent_models.common.naming import Names, advice, check
from latent_models.common.refusal import Refusal, number, run_command, whole
from latent_models.lfads import keras, reference

MODES = ("window", "prefix", "trial")
CELL = "decoder.rnn.cell."
IC, CI = "encoder.ic_enc", "encoder.ci_enc"
LATENTS = ("factors", "generator", "controller", "inputs")
GRUS = tuple(f"{prefix}.{way}_gru.cell" for prefix in (IC, CI) for way in ("fwd", "bwd"))
NAMES = Names(
    (CELL + "gen_cell.weight_ih", CELL + "gen_cell.weight_hh", CELL + "fac_linear.weight",
     "decoder.ic_to_g0.weight"),
    ("decoder.ic_to_g0.bias", CELL + "gen_cell.bias_ih", CELL + "gen_cell.bias_hh",
     *(f"{cell}.{kind}" for cell in (*GRUS, CELL + "con_cell")
       for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")),
     *(f"{layer}.{kind}" for layer in ("readout", "readout.*", "readin", "readin.*",
                                       "encoder.ic_linear", CELL + "co_linear")
       for kind in ("weight", "bias")),
     "encoder.ic_enc_h0", "encoder.ci_enc_h0", "decoder.con_h0", "ic_prior.*", "co_prior.*"))
PRIORS = re.compile(r"(ic|co)_prior\.")
# Statements of a checkpoint, by the name of their option or of the size they must agree with.
STATED = {"bins": "window", "encod_seq_len": "window", "recon_seq_len": "trial_bins",
          "ic_enc_seq_len": "prefix_bins", "ci_lag": "lag", "cell_clip": "clip"}
SIZES = {"neurons": "n_rates", "encod_data_dim": "n_spikes", **{k: k for k in (
    "ic_enc_dim", "ci_enc_dim", "con_dim", "co_dim", "ic_dim", "gen_dim", "fac_dim",
    "ext_input_dim")}}
# What a checkpoint says under these names is read as the options are.
KINDS = {"window": whole(1, 65536), "trial_bins": whole(1, 65536), "prefix_bins": whole(0, 65536),
         "lag": whole(0, 65536), "clip": number(above=0)}
HARMLESS = re.compile(r"model|deterministic|dropout.*|fac_kernel|kernels|ic_post_var_min|"
                      r"variational|(ic|co)_prior|readin|readout|reconstruction|loss_scale|"
                      r"recon_reduce_mean|weight_decay|(train|infer)_aug_stack|(lr|l2|kl)_.*")


def parse():
    parser = exporting.exporter_parser(__doc__, MODES, NAMES)
    group = parser.add_argument_group("hyper-parameters, where the checkpoint does not say")
    group.add_argument("--window", type=KINDS["window"], metavar="BINS",
                       help="bins encoded in training (encod_seq_len)")
    group.add_argument("--trial-bins", type=KINDS["trial_bins"], metavar="BINS",
                       help="longest trial, forecast included (recon_seq_len; default: --window)")
    group.add_argument("--prefix-bins", type=KINDS["prefix_bins"], metavar="BINS",
                       help="bins that give the initial condition (ic_enc_seq_len); 0, the "
                       "default: all")
    group.add_argument("--lag", type=KINDS["lag"], metavar="BINS",
                       help="lag of the controller's input (published: 1)")
    group.add_argument("--clip", type=KINDS["clip"], help="largest state of a cell (published: 5)")
    group.add_argument("--reconstruction", choices=("poisson", "gaussian"), default="poisson",
                       help="gaussian: the read-out gives means, then as many log-variances; the "
                       "means are published as readout")
    links.add_option(group)
    group.add_argument("--latents", choices=LATENTS, default="factors",
                       help="which state is published")
    group.add_argument("--session",
                       help="read-in and read-out of this session, where there are several")
    group.add_argument("--ignore", default="", metavar="KEY,KEY",
                       help="hyper-parameters of the checkpoint that you know do not change an "
                       "inference")
    exporting.add_readout_options(parser)
    return parser.parse_args()


def torch_tensors(args, tensors):
    """One session, no priors -> (tensors under canonical names, clip if the tensors say it)."""
    if keras.is_keras(tensors):
        return keras.rename(args.input, tensors)
    kept = {k: v for k, v in tensors.items() if not PRIORS.match(k)}
    if IC + ".fwd_gru.cell.weight_hh" not in kept and "ic_prior.mean" in tensors:
        kept["ic_prior.mean"] = tensors["ic_prior.mean"]
    named = (re.match(r"read(?:in|out)\.(\w+)\.(?:weight|bias)$", k) for k in kept)
    sessions = sorted({match[1] for match in named if match})
    if not sessions:
        return kept, None
    chosen = args.session or sessions[0]
    if chosen not in sessions or (args.session is None and len(sessions) > 1):
        raise Refusal(f"{args.input}: has the sessions {', '.join(sessions)}: choose one with "
                      f"--session")
    for name in [k for k in kept if re.match(r"read(in|out)\.\w+\.", k)]:
        part, session, kind = name.split(".", 2)
        array = kept.pop(name)
        if session == chosen:
            kept[f"{part}.{kind}"] = array
    return kept, None


def shape_of(tensors, path, name):
    """Shape of a matrix that must be there."""
    if name not in tensors or tensors[name].ndim != 2:
        found = f"shape {list(tensors[name].shape)}" if name in tensors else "no such tensor"
        raise Refusal(f"{path}: tensor {name}: expected a matrix, found {found}: not an LFADS? "
                      f"{advice(tensors, NAMES)}")
    return tensors[name].shape


def learn_sizes(tensors, path, reconstruction):
    """-> what the tensors themselves say."""
    n_read, fac = shape_of(tensors, path, "readout.weight")
    if reconstruction == "gaussian" and n_read % 2:
        raise Refusal(f"{path}: a Gaussian read-out has means and log-variances, but {n_read} rows")
    gen, ic = shape_of(tensors, path, "decoder.ic_to_g0.weight")
    inputs = shape_of(tensors, path, CELL + "gen_cell.weight_ih")[1] \
        if CELL + "gen_cell.weight_ih" in tensors else 0
    sizes = {"fac_dim": fac, "gen_dim": gen, "ic_dim": ic, "ic_enc_dim": 0, "ci_enc_dim": 0,
             "con_dim": 0, "co_dim": 0, "readin_dim": 0, "ci_bidirectional": True, "n_read": n_read,
             "n_input": 0, "n_rates": n_read if reconstruction == "poisson" else n_read // 2}
    for key, prefix in (("ic_enc_dim", IC), ("ci_enc_dim", CI)):
        if prefix + ".fwd_gru.cell.weight_ih" in tensors:
            rows, sizes["n_input"] = shape_of(tensors, path, prefix + ".fwd_gru.cell.weight_ih")
            sizes[key] = rows // 3
    if CELL + "con_cell.weight_hh" in tensors:
        sizes["con_dim"] = shape_of(tensors, path, CELL + "con_cell.weight_hh")[1]
        if not sizes["ci_enc_dim"]:
            raise Refusal(f"{path}: has a controller, but not the encoder that feeds it ({CI}.*): "
                          f"a decoder alone cannot be served")
        sizes["co_dim"] = shape_of(tensors, path, CELL + "co_linear.weight")[0] // 2
        sizes["ci_bidirectional"] = CI + ".bwd_gru.cell.weight_ih" in tensors
    sizes["ext_input_dim"] = inputs - sizes["co_dim"]
    sizes["n_spikes"] = sizes["n_input"]
    if "readin.weight" in tensors:
        sizes["readin_dim"], sizes["n_spikes"] = shape_of(tensors, path, "readin.weight")
    return sizes


def cell_shapes(prefix, n_in, size):
    return {f"{prefix}.weight_ih": (3 * size, n_in), f"{prefix}.weight_hh": (3 * size, size),
            f"{prefix}.bias_ih": (3 * size,), f"{prefix}.bias_hh": (3 * size,)}


def linear_shapes(name, n_out, n_in):
    return {name + ".weight": (n_out, n_in), name + ".bias": (n_out,)}


def expected_shapes(s):
    """Every tensor of the model file, name -> shape."""
    n_directions = 2 if s["ci_bidirectional"] else 1
    shapes = {**linear_shapes("readout", s["n_read"], s["fac_dim"]),
              **linear_shapes("decoder.ic_to_g0", s["gen_dim"], s["ic_dim"]),
              **cell_shapes(CELL + "gen_cell", s["co_dim"] + s["ext_input_dim"], s["gen_dim"]),
              CELL + "fac_linear.weight": (s["fac_dim"], s["gen_dim"])}
    if s["readin_dim"]:
        shapes.update(linear_shapes("readin", s["readin_dim"], s["n_spikes"]))
    if s["ic_enc_dim"]:
        for direction in ("fwd", "bwd"):
            shapes.update(cell_shapes(f"{IC}.{direction}_gru.cell", s["n_input"], s["ic_enc_dim"]))
        shapes.update(linear_shapes("encoder.ic_linear", 2 * s["ic_dim"], 2 * s["ic_enc_dim"]))
        shapes["encoder.ic_enc_h0"] = (2, 1, s["ic_enc_dim"])
    else:
        shapes["ic_prior.mean"] = (s["ic_dim"],)
    if s["con_dim"]:
        for direction in ("fwd", "bwd")[:n_directions]:
            shapes.update(cell_shapes(f"{CI}.{direction}_gru.cell", s["n_input"], s["ci_enc_dim"]))
        shapes.update(cell_shapes(CELL + "con_cell",
                                  n_directions * s["ci_enc_dim"] + s["fac_dim"], s["con_dim"]))
        shapes.update(linear_shapes(CELL + "co_linear", 2 * s["co_dim"], s["con_dim"]))
        shapes["encoder.ci_enc_h0"] = (n_directions, 1, s["ci_enc_dim"])
        shapes["decoder.con_h0"] = (1, s["con_dim"])
    return shapes


def stated(args, checkpoint, sizes, clip):
    """What the checkpoint says, by the names of the options; its sizes are checked."""
    own = statements.own_facts(checkpoint).get("hyper")
    if own:
        return statements.checked(args.input, {
            "window": own.get("window_bins"), "trial_bins": own.get("trial_bins"),
            "clip": own.get("cell_clip"), "prefix_bins": own.get("prefix_bins"),
            "lag": own.get("ci_lag")}, KINDS)
    said = checkpoint.architecture or table_of(checkpoint.facts.get("hyper_parameters"))
    unknown = sorted(k for k in set(said) - set(STATED) - set(SIZES) - set(args.ignore.split(","))
                     if not HARMLESS.fullmatch(k))
    if unknown:
        raise Refusal(f"{args.input}: hyper-parameter {unknown[0]} is unknown here and may change "
                      f"the numbers; if it does not, pass --ignore {','.join(unknown)}")
    for key, size in SIZES.items():
        if key in said and said[key] != sizes[size]:
            raise Refusal(f"{args.input}: says {key} {said[key]}, its tensors {sizes[size]}")
    found = statements.checked(args.input, {STATED[k]: v for k, v in said.items() if k in STATED},
                               KINDS)
    if clip is not None and found.setdefault("clip", clip) != clip:
        raise Refusal(f"{args.input}: says cell_clip {found['clip']}, its tensors {clip}")
    return found


def link_hyper(args, checkpoint):
    """Keys of hyper for the link of the rates: published LFADS give log-rates; only a bare state
    dict does not say that it is one."""
    if args.reconstruction != "poisson":
        return {}
    own = statements.own_facts(checkpoint).get("hyper")
    is_published = keras.is_keras(checkpoint.tensors) or checkpoint.architecture or \
        table_of(checkpoint.facts.get("hyper_parameters"))
    link = links.choose(args, links.said_by(own) or ("exp" if own or is_published else None))
    return links.hyper_of(link) if link != "exp" else {}


def choose(args, said, key, default=None):
    """An option or a statement; they may not disagree. default None: one of them is required."""
    option, value = getattr(args, key), said.get(key)
    if option is not None and value is not None and option != value:
        raise Refusal(f"--{key.replace('_', '-')} {option}, but {args.input} says {value}")
    value = value if option is None else option
    if value is None and default is None:
        raise Refusal(f"{args.input} does not say its --{key.replace('_', '-')}: give the option")
    return default if value is None else value


def build_hyper(args, sizes, said):
    """latent.config.hyper."""
    window = choose(args, said, "window")
    trial, prefix = choose(args, said, "trial_bins", window), choose(args, said, "prefix_bins", 0)
    lag = choose(args, said, "lag") if sizes["con_dim"] else 0
    clip = choose(args, said, "clip")
    fits = 1 <= window <= trial <= 65536 and 0 <= prefix < window and 0 <= lag < window
    if not fits or clip <= 0:
        raise Refusal(f"window {window}, trial {trial}, prefix {prefix} and lag {lag} bins, clip "
                      f"{clip}: expected 1 <= window <= trial <= 65536, prefix and lag below the "
                      f"window, a clip above 0")
    if prefix and not sizes["ic_enc_dim"]:
        raise Refusal(f"{args.input}: --prefix-bins {prefix}, but no encoder for the initial "
                      f"condition")
    if not sizes["ci_bidirectional"] and sizes["ic_enc_dim"] and not prefix:
        raise Refusal(f"{args.input}: a controller that looks back only needs its initial "
                      f"condition from a prefix (--prefix-bins) or a constant one")
    if args.latents in ("controller", "inputs") and not sizes["con_dim"]:
        raise Refusal(f"--latents {args.latents}: {args.input} has no controller")
    keys = ("readin_dim", "ic_enc_dim", "ci_enc_dim", "con_dim", "co_dim", "ic_dim", "gen_dim",
            "fac_dim", "ext_input_dim", "ci_bidirectional")
    return {"window_bins": int(window), "trial_bins": int(trial), "prefix_bins": int(prefix),
            **{k: sizes[k] for k in keys}, "ci_lag": int(lag), "cell_clip": float(clip),
            "reconstruction": args.reconstruction, "latents": args.latents, "samples": 0}


def offered_modes(hyper):
    """prefix where bin by bin is possible, and first where that is what the model was made for."""
    causal = hyper["con_dim"] and not hyper["ci_bidirectional"]
    if causal:
        return ("prefix", "window", "trial")
    runs_on = not hyper["con_dim"] and (hyper["ic_enc_dim"] == 0 or hyper["prefix_bins"] > 0)
    return ("window", "prefix", "trial") if runs_on else ("window", "trial")


def main():
    args = parse()
    checkpoint = exporting.read_input(args, NAMES)
    if keras.is_keras(checkpoint.tensors) and args.prefix_bins:
        raise Refusal("--prefix-bins: the TensorFlow 2 implementation starts its decoder behind "
                      "the prefix, which cannot be served")
    if not keras.is_keras(checkpoint.tensors):
        check(args.input, checkpoint.tensors, NAMES, "an LFADS")
    tensors, clip = torch_tensors(args, checkpoint.tensors)
    sizes = learn_sizes(tensors, args.input, args.reconstruction)
    if sizes["ext_input_dim"] < 0 or sizes["n_spikes"] + sizes["ext_input_dim"] == 0:
        raise Refusal(f"{args.input}: the generator has {sizes['ext_input_dim']} external inputs "
                      f"beside {sizes['n_spikes']} channels: nothing to decode")
    weights = exporting.as_float32(take(tensors, args.input, expected_shapes(sizes)))
    hyper = build_hyper(args, sizes, stated(args, checkpoint, sizes, clip))
    hyper.update(link_hyper(args, checkpoint))
    gaussian = args.reconstruction == "gaussian"
    n_latents = dict(zip(LATENTS, (sizes[k] for k in ("fac_dim", "gen_dim", "con_dim", "co_dim"))))
    readout = exporting.readout_entries(args, checkpoint, sizes["n_rates"]) if gaussian else []
    exporting.export(args, checkpoint, "lfads", reference.run,
                     n_channels=sizes["n_spikes"] + sizes["ext_input_dim"],
                     modes=exporting.choose_modes(args, offered_modes(hyper)), hyper=hyper,
                     outputs=(n_latents[args.latents], 0 if gaussian else sizes["n_rates"],
                              readout),
                     weights=weights, selftest_counts=natural.window_counts(reference.run),
                     kinds=("real", "counts") if sizes["ext_input_dim"] else exporting.INPUT_KINDS,
                     expects_all=sizes["n_rates"] >= sizes["n_spikes"])


if __name__ == "__main__":
    run_command(main)

#!/usr/bin/python3
"""Turn an NDT checkpoint into a model file.

IN may be the checkpoint of neural-data-transformers (a dict with state_dict, config and
max_spikes), a plain state dict (then --heads, --norm, --context-forward and --context-backward are
required), a safetensors file with the same tensors, or HDF5 with /weights. Nothing in IN is
executed.
"""

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common import exporting, links, statements
from latent_models.common.checkpoint import table_of, take
from latent_models.common.naming import Names, advice
from latent_models.common.refusal import Refusal, run_command, whole
from latent_models.common.statements import one_of, truth
from latent_models.ndt import reference

DEFAULT_MODES = ("A", "C", "trial")  # of those a model can run in
TABLE = "pos_encoder.pos_embedding.weight"
BUFFER = "pos_encoder.pe"
LAYER = "transformer_encoder.layers.*."
NAMES = Names(
    tuple(LAYER + kind for kind in ("self_attn.in_proj_weight", "self_attn.out_proj.weight",
                                    "linear1.weight", "linear2.weight", "norm1.weight",
                                    "norm2.weight")) + ("decoder.*.weight",),
    tuple(LAYER + kind for kind in ("self_attn.in_proj_bias", "self_attn.out_proj.bias",
                                    "linear1.bias", "linear2.bias", "norm1.bias", "norm2.bias")) +
    ("decoder.*.bias", "embedder.weight", "embedder.bias", "embedder.*.weight", TABLE, BUFFER,
     "transformer_encoder.norm.weight", "transformer_encoder.norm.bias",
     "transformer_encoder.norm.scale"))
# Keys of a checkpoint's MODEL node: those used below, and those that cannot change an inference.
USED = {"CONTEXT_FORWARD", "CONTEXT_BACKWARD", "CONTEXT_WRAP_INITIAL", "FULL_CONTEXT",
        "HIDDEN_SIZE", "NUM_HEADS", "NUM_LAYERS", "ACTIVATION", "LINEAR_EMBEDDER", "EMBED_DIM",
        "LEARNABLE_POSITION", "LOGRATE", "PRE_NORM", "SCALE_NORM", "DECODER", "LOSS", "POSITION",
        "MAX_SPIKES", "NUM_NEURONS", "TRIAL_LENGTH"}
HARMLESS = {"NAME", "DROPOUT", "DROPOUT_RATES", "DROPOUT_EMBEDDING", "UNMASKED_LOSS_SCALE",
            "FIXUP_INIT", "SPIKE_LOG_INIT", "MAX_SPIKE_COUNT", "REQUIRES_RATES", "rate_r2"}
# What a checkpoint says under these names is read as the options are.
BINS = whole(1, 65536)
CONTEXT = whole(-65536, 65536)
KINDS = {"heads": whole(1, 1024), "norm": one_of("pre", "post"), "context_forward": CONTEXT,
         "context_backward": CONTEXT, "max_count": whole(0, 65535),
         "link": one_of(*links.LINKS), "trial_bins": BINS, "position_offset": truth}
FIXED = {"ACTIVATION": "relu", "CONTEXT_WRAP_INITIAL": False}


def parse():
    parser = exporting.exporter_parser(__doc__, reference.MODES, NAMES)
    group = parser.add_argument_group("hyper-parameters, where the checkpoint does not say")
    group.add_argument("--heads", type=KINDS["heads"])
    group.add_argument("--norm", choices=("pre", "post"), help="norm before or after each block")
    group.add_argument("--context-forward", type=CONTEXT, metavar="BINS",
                       help="negative: no limit; 0: causal")
    group.add_argument("--context-backward", type=CONTEXT, metavar="BINS",
                       help="0 or negative: no limit")
    group.add_argument("--max-count", type=KINDS["max_count"],
                       help="counts are clamped to it; 0: never")
    links.add_option(group)
    group.add_argument("--trial-bins", type=BINS, help="longest trial of sinusoidal positions")
    group.add_argument("--window", type=BINS, metavar="BINS",
                       help="mode C (default: the trial's length)")
    group.add_argument("--held-out", type=whole(0, 65535), default=0, metavar="N",
                       help="the last N neurons have a rate but no channel: zero columns of the "
                            "input\n(the layout of NLB)")
    group.add_argument("--future", choices=("truncate", "zero"), default="truncate",
                       help="what stands behind the newest bin where the model looks ahead:\n"
                            "nothing (default), or bins of zeros (the layout of NLB)")
    group.add_argument("--future-bins", type=BINS, metavar="N",
                       help="of --future zero (default: layers x look-ahead, as far as it reaches)")
    group.add_argument("--ignore", default="", metavar="KEY,KEY",
                       help="MODEL keys of the checkpoint that you know do not change an inference")
    return parser.parse_args()


def stated(args, checkpoint):
    """The hyper-parameters the checkpoint states, by the names of this file's options."""
    own = statements.own_facts(checkpoint).get("hyper")
    if own:
        said = {key: own.get(key) for key in ("heads", "context_forward", "context_backward",
                                              "max_count", "trial_bins", "position_offset")}
        said.update(norm="pre" if own.get("pre_norm") else "post",
                    link=links.said_by(own))
        return statements.checked(args.input, said, KINDS)
    if not checkpoint.architecture:
        return {}
    model = checkpoint.architecture
    check_model_node(args, model)
    full = model.get("FULL_CONTEXT", False)
    said = {"heads": model.get("NUM_HEADS"), "norm": "pre" if model.get("PRE_NORM") else "post",
            "context_forward": -1 if full else model.get("CONTEXT_FORWARD"),
            "context_backward": -1 if full else model.get("CONTEXT_BACKWARD"),
            "max_count": checkpoint.facts.get("max_spikes", model.get("MAX_SPIKES")),
            "link": "exp" if model.get("LOGRATE", True) else "relu",
            "trial_bins": checkpoint.facts.get("trial_length", model.get("TRIAL_LENGTH")),
            "position_offset": table_of(model.get("POSITION")).get("OFFSET", True)}
    return statements.checked(args.input, said, KINDS)


def check_model_node(args, model):
    """Refuse what this project does not serve, and what it does not know."""
    unknown = set(model) - USED - HARMLESS - set(args.ignore.split(","))
    if unknown:
        raise Refusal(f"{args.input}: MODEL.{sorted(unknown)[0]} is unknown here and may change "
                      f"the numbers; if it does not, pass --ignore {','.join(sorted(unknown))}")
    for key, value in FIXED.items():
        if model.get(key, value) != value:
            raise Refusal(f"{args.input}: MODEL.{key} is {model[key]}, only {value} can be served")
    loss = table_of(model.get("LOSS")).get("TYPE", "poisson")
    if loss != "poisson":
        raise Refusal(f"{args.input}: MODEL.LOSS.TYPE is {loss}: its outputs are no rates; "
                      f"only poisson can be served")


def settle(args, said):
    """Options and statements merged; an option that contradicts a statement is refused."""
    settled = {"max_count": None, "trial_bins": None, "position_offset": None}
    for key in ("heads", "norm", "context_forward", "context_backward", "max_count", "trial_bins"):
        option, value = getattr(args, key), said.get(key)
        if option is not None and value is not None and option != value:
            raise Refusal(f"--{key.replace('_', '-')} {option}, but {args.input} says {value}")
        if option is not None or value is not None:
            settled[key] = value if option is None else option
        if key not in settled:
            raise Refusal(f"{args.input} does not say its --{key.replace('_', '-')}: give the "
                          f"option")
    settled["position_offset"] = said.get("position_offset")
    settled["link"] = links.choose(args, said.get("link"))
    return settled


def shape_of(tensors, path, name, n_dims):
    """Shape of a tensor that must be there."""
    if name not in tensors:
        raise Refusal(f"{path}: tensor {name} is missing: not an NDT? {advice(tensors, NAMES)}")
    if tensors[name].ndim != n_dims:
        raise Refusal(f"{path}: tensor {name} has shape {list(tensors[name].shape)}, "
                      f"expected {n_dims} axes")
    return tensors[name].shape


def learn_sizes(tensors, path):
    """-> dict of what the tensors themselves say."""
    n_layers = 0
    while f"transformer_encoder.layers.{n_layers}.linear1.weight" in tensors:
        n_layers += 1
    hidden, width = shape_of(tensors, path, "transformer_encoder.layers.0.linear1.weight", 2)
    sizes = {"layers": n_layers, "width": width, "hidden": hidden, "embed_dim": 0}
    if "embedder.0.weight" in tensors:
        rows, k = shape_of(tensors, path, "embedder.0.weight", 2)
        if rows < 3:
            raise Refusal(f"{path}: tensor embedder.0.weight has {rows} rows: a table of counts "
                          f"and the mask has at least 3")
        if width % max(k, 1) or not k:
            raise Refusal(f"{path}: width {width} is no multiple of the embedding's {k} columns")
        sizes.update(embed="table", embed_dim=k, table_rows=rows, n_channels=width // k)
    elif "embedder.weight" in tensors:
        sizes.update(embed="linear", n_channels=shape_of(tensors, path, "embedder.weight", 2)[1])
    else:
        sizes.update(embed="identity", n_channels=width)
    sizes.update(head_layers=2 if "decoder.2.weight" in tensors else 1,
                 final_norm="scale" if "transformer_encoder.norm.scale" in tensors else "layer",
                 position="learnt" if TABLE in tensors else "sinusoidal")
    return sizes


def expected_shapes(s, trial_bins):
    """Every tensor the architecture has, name -> shape. A rate for each channel: held-out neurons
    are channels that are always zero."""
    d, f = s["width"], s["hidden"]
    shapes = {"table": {"embedder.0.weight": (s.get("table_rows"), s["embed_dim"])}, "identity": {},
              "linear": {"embedder.weight": (d, s["n_channels"]),
                         "embedder.bias": (d,)}}[s["embed"]]
    if s["position"] == "learnt":
        shapes[TABLE] = (trial_bins, d)
    for i in range(s["layers"]):
        layer = {"self_attn.in_proj_weight": (3 * d, d), "self_attn.in_proj_bias": (3 * d,),
                 "self_attn.out_proj.weight": (d, d), "self_attn.out_proj.bias": (d,),
                 "linear1.weight": (f, d), "linear1.bias": (f,), "linear2.weight": (d, f),
                 "linear2.bias": (d,), "norm1.weight": (d,), "norm1.bias": (d,),
                 "norm2.weight": (d,), "norm2.bias": (d,)}
        shapes.update({f"transformer_encoder.layers.{i}.{k}": v for k, v in layer.items()})
    norm = {"scale": ()} if s["final_norm"] == "scale" else {"weight": (d,), "bias": (d,)}
    shapes.update({f"transformer_encoder.norm.{k}": v for k, v in norm.items()})
    last = {1: 0, 2: 2}[s["head_layers"]]
    if last:
        shapes.update({"decoder.0.weight": (16, d), "decoder.0.bias": (16,)})
    shapes.update({f"decoder.{last}.weight": (s["n_channels"], d if last == 0 else 16),
                   f"decoder.{last}.bias": (s["n_channels"],)})
    return shapes


def position_offset(args, buffer, settled, width):
    """The offset of sinusoidal positions, checked against the stored table where there is one."""
    if settled["position_offset"] is None and buffer is None:
        return True
    offsets = (True, False) if settled["position_offset"] is None else (settled["position_offset"],)
    if buffer is None:
        return offsets[0]
    rows = np.asarray(buffer, np.float64).reshape(len(buffer), -1)
    for offset in offsets:
        hyper = {"position": "sinusoidal", "width": width, "position_offset": offset}
        ours = reference.positions({}, hyper, len(rows))
        if rows.shape == ours.shape and np.abs(rows - ours).max() < 1e-4:
            return offset
    raise Refusal(f"{args.input}: {BUFFER} does not hold the sinusoidal positions that "
                  f"POSITION.OFFSET {settled['position_offset']} says")


def future_zeros(args, layers, forward, trial_bins):
    """Bins of zeros behind the newest one."""
    if args.future == "truncate":
        if args.future_bins is not None:
            raise Refusal("--future-bins belongs to --future zero")
        return 0
    if forward == 0:
        raise Refusal("--future zero: this model does not look ahead")
    if args.future_bins is None and forward < 0:
        raise Refusal("--future zero: this model looks ahead without limit: give --future-bins")
    n_zeros = layers * forward if args.future_bins is None else args.future_bins
    if args.future_bins is None:
        n_zeros = min(n_zeros, trial_bins - 1)
    if not 1 <= n_zeros < trial_bins:
        raise Refusal(f"--future-bins {n_zeros}: expected 1 to {trial_bins - 1}, below the bins of "
                      f"a trial")
    return n_zeros


def build_hyper(args, tensors, buffer, sizes, settled):
    """latent.config.hyper, and the tensors checked against it."""
    trial_bins = settled["trial_bins"]
    if sizes["position"] == "learnt":
        trial_bins = shape_of(tensors, args.input, TABLE, 2)[0]
    elif buffer is not None:
        trial_bins = len(buffer)
    if not trial_bins or trial_bins < 1:
        raise Refusal(f"{args.input} does not say the length of a trial: give --trial-bins")
    rows = sizes.get("table_rows")
    max_count = settled["max_count"]
    if max_count is None:
        max_count = rows - 2 if rows else 0
    if rows and not 1 <= max_count <= rows - 2:
        raise Refusal(f"{args.input}: max count {max_count} does not go with "
                      f"a table of {rows} rows")
    divisors = (settled["heads"], 2 if sizes["position"] == "sinusoidal" else 1)
    if any(sizes["width"] % n for n in divisors):
        raise Refusal(f"{args.input}: width {sizes['width']} does not go with {settled['heads']} "
                      f"heads and {sizes['position']} positions")
    window = args.window or trial_bins
    if not 1 <= window <= trial_bins:
        raise Refusal(f"--window {window}: expected 1 to {trial_bins}, the bins of a trial")
    keys = ("layers", "width", "hidden", "embed", "embed_dim", "final_norm", "position",
            "head_layers")
    return {"heads": settled["heads"], **{k: sizes[k] for k in keys}, "max_count": int(max_count),
            "pre_norm": settled["norm"] == "pre", "trial_bins": int(trial_bins),
            "window_bins": int(window), **links.hyper_of(settled["link"]),
            "position_offset": position_offset(args, buffer, settled, sizes["width"])
            if sizes["position"] == "sinusoidal" else True,
            "context_forward": settled["context_forward"],
            "context_backward": settled["context_backward"], "held_out": args.held_out,
            "future_zeros": future_zeros(args, sizes["layers"], settled["context_forward"],
                                         int(trial_bins))}


def legal_modes(hyper):
    """Modes that a model with these masks can run in."""
    def is_legal(mode):
        try:
            reference.check_mode(hyper, mode)
        except Refusal:
            return False
        return True
    return [mode for mode in reference.MODES if is_legal(mode)]


def main():
    args = parse()
    checkpoint = exporting.read_input(args, NAMES, "an NDT")
    tensors = dict(checkpoint.tensors)
    buffer = tensors.pop(BUFFER, None)
    is_fixed = TABLE not in tensors  # beside a learnt table the buffer only counts its rows
    if is_fixed and buffer is not None and (
            buffer.ndim < 2 or not buffer.size or buffer.dtype.kind != "f"):
        raise Refusal(f"{args.input}: tensor {BUFFER} has shape {list(buffer.shape)} and type "
                      f"{buffer.dtype}, expected positions of a trial's bins")
    sizes = learn_sizes(tensors, args.input)
    n_channels = sizes["n_channels"] - args.held_out
    if args.held_out < 0 or n_channels < 1:
        raise Refusal(f"--held-out {args.held_out}: expected 0 to {sizes['n_channels'] - 1}, below "
                      f"the model's neurons")
    hyper = build_hyper(args, tensors, None if sizes["position"] == "learnt" else buffer, sizes,
                        settle(args, stated(args, checkpoint)))
    weights = exporting.as_float32(take(tensors, args.input,
                                        expected_shapes(sizes, hyper["trial_bins"])))
    modes = legal_modes(hyper)
    for mode in args.modes.split(",") if args.modes else ():
        if mode in reference.MODES:
            reference.check_mode(hyper, mode)
    args.modes = args.modes or ",".join(mode for mode in modes if mode in DEFAULT_MODES)
    exporting.export(args, checkpoint, "ndt", reference.run, n_channels=n_channels,
                     modes=exporting.choose_modes(args, modes), hyper=hyper,
                     outputs=(sizes["width"], sizes["n_channels"], []), weights=weights,
                     kinds=exporting.INPUT_KINDS if sizes["embed"] != "table" and
                     not hyper["max_count"] else ("counts",))


if __name__ == "__main__":
    run_command(main)

"""What all exporters share: options, facts of the checkpoint, self-test, writing, summary."""
import argparse
import math

from latent_models.common import checking, model_file, naming, normalise, precision, statements
from latent_models.common.checkpoint import read as read_checkpoint
from latent_models.common.dataset import BIN_WIDTH_MS, read_counts
from latent_models.common.files import output_name
from latent_models.common.model_file import Model, build_config
from latent_models.common.refusal import Parser, Refusal, milliseconds, whole

SELFTEST_BINS = 60
INPUT_KINDS = ("counts", "real")
READOUT_KEYS = ("name", "unit", "neutral", "min", "max", "slew")


def rename_pair(text):
    """For add_argument's type: A=B."""
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise argparse.ArgumentTypeError(f"{text}: expected A=B, the name in the file and the one "
                                         f"that is wanted")
    return old, new


def exporter_parser(text, modes, names=naming.Names(())):
    """The options every exporter has; modes: those of the architecture; names: of its tensors."""
    parser = Parser(text)
    if names.all:
        parser.epilog = "tensors (* is any number or word):\n  " + "\n  ".join(names.required) + \
            ("\nand, where the model has them:\n  " if names.required else "\n  ") + \
            "\n  ".join(names.optional)
    parser.add_argument("input", metavar="IN",
                        help="PyTorch checkpoint, .safetensors of tensors, or HDF5 with /weights")
    parser.add_argument("output", type=output_name, metavar="OUT.safetensors")
    parser.add_argument("--prefix", metavar="P",
                        help="read only the tensors whose names begin with P., without it")
    parser.add_argument("--rename", type=rename_pair, action="append", default=[], metavar="A=B",
                        help="the tensor A, or all below A., is what is called B here (repeatable)")
    parser.add_argument("--bin-width", type=milliseconds(*BIN_WIDTH_MS), metavar="MS",
                        help="bin width in milliseconds, where the checkpoint does not say")
    parser.add_argument("--modes",
                        help=f"comma-separated, the first is the default; of {', '.join(modes)}")
    parser.add_argument("--licence",
                        help="licence of the weights (default: as the checkpoint says)")
    parser.add_argument("--source",
                        help="where the weights come from (default: as the checkpoint says)")
    parser.add_argument("--input", dest="kind", choices=INPUT_KINDS,
                        help="real: the channels take any finite value, e.g. smoothed or "
                             "normalised\n(default: as the checkpoint says, else counts)")
    parser.add_argument("--statistics", metavar="FILE.h5:/dataset",
                        help="training counts, as latent-decode --in reads them: their mean, "
                             "variance and longest\nsilence go into the file. A model that is not "
                             "told what to expect of a channel is reset by a gap")
    parser.add_argument("--normalise", metavar="KIND[,KEY=X...]",
                        help="fixed, ewma or window-trials: the weights take z-scores, and the "
                             "file normalises counts\nwith the training mean and sd, e.g. "
                             "ewma,tau_s=120 or window-trials,outlier=10 (core/README.md)")
    precision.add_options(parser)
    checking.add_options(parser, modes)
    return parser


def add_readout_options(parser):
    """For checkpoints that do not describe their readout."""
    group = parser.add_argument_group("readout, where the checkpoint does not say")
    group.add_argument("--readout-names", metavar="NAME,NAME", help="e.g. vx,vy")
    group.add_argument("--readout-units", metavar="UNIT,UNIT",
                       help="e.g. mm,N; one unit, as every single value below, is that of all")
    group.add_argument("--readout-min", metavar="X,X",
                       help="limits, always applied (write --readout-min=-300,-300)")
    group.add_argument("--readout-max", metavar="X,X")
    group.add_argument("--readout-neutral", metavar="X,X",
                       help="what a device gets when there is nothing to say (default 0)")
    group.add_argument("--readout-slew", metavar="X,X", help="largest change per second")
    group.add_argument("--readout-safe", metavar="WORD,WORD",
                       help="neutral, or hold: in SAFE the last value stays (positions; default "
                            "neutral)")


def readout_column(option, text, n, convert, default):
    """One comma-separated option as a list of n values; a single unit or number is that of all."""
    if text is None:
        return [default(i) for i in range(n)]
    values = [word.strip() for word in text.split(",")]
    if len(values) == 1 and option != "--readout-names":
        values = values * n
    if len(values) != n:
        raise Refusal(f"{option} {text}: {len(values)} values for a readout of {n}")
    try:
        return [convert(v) for v in values]
    except ValueError as error:
        raise Refusal(f"{option} {text}: {error}") from error


def readout_entries(args, checkpoint, n):
    """outputs.readout: what the checkpoint says, options laid over it."""
    said = statements.own_facts(checkpoint).get("readout") or []
    if not all(isinstance(entry, dict) and set(READOUT_KEYS) <= set(entry) for entry in said):
        raise Refusal(f"{args.input}: its notes (latent) describe a readout without "
                      f"{', '.join(READOUT_KEYS)} of each dimension")
    if said and len(said) != n:
        raise Refusal(f"{args.input}: describes a readout of {len(said)}, but its tensors give {n}")

    def column(key, convert, default):
        option = "--readout-" + {"name": "names", "unit": "units"}.get(key, key)
        text = getattr(args, option[2:].replace("-", "_"))
        return readout_column(option, text, n, convert,
                              lambda i: said[i][key] if said else default(i))

    columns = [column("name", str, "y{}".format), column("unit", "{}".format, lambda i: "a.u."),
               column("neutral", float, lambda i: 0.0), *(column(key, float, lambda i: None)
                                                          for key in ("min", "max", "slew"))]
    columns.append(readout_column("--readout-safe", args.readout_safe, n, str,
                                  lambda i: said[i].get("safe") if said else None))
    keys = ("name", "unit", "neutral", "low", "high", "slew", "safe")
    return [model_file.readout_entry(**dict(zip(keys, values))) for values in zip(*columns)]


def bin_width_us(args, checkpoint):
    """From --bin-width, or from the checkpoint; they may not disagree."""
    facts, said = checkpoint.facts, statements.own_facts(checkpoint).get("bin_width_us")
    said_ms = None if said is None else statements.stated(args.input, "bin_width_us", said,
                                               whole(100, 10_000_000)) / 1000
    for key in ("bin_width_ms", "bin_ms"):
        value = facts.get(key, checkpoint.architecture.get(key))
        if value is not None:
            said_ms = statements.stated(args.input, key, value, milliseconds(*BIN_WIDTH_MS))
    if args.bin_width is None and said_ms is None:
        raise Refusal(f"{args.input}: does not say its bin width; give --bin-width MS")
    width = round(1000 * (said_ms if args.bin_width is None else args.bin_width))
    if said_ms is not None and width != round(1000 * said_ms):
        raise Refusal(f"--bin-width {args.bin_width} ms, but {args.input} says {said_ms} ms")
    return width


def choose_modes(args, allowed):
    """--modes checked against what this model can do; default: all of them."""
    modes = args.modes.split(",") if args.modes else list(allowed)
    for mode in modes:
        if mode not in allowed:
            raise Refusal(f"mode {mode} cannot be offered by this model; allowed: "
                          f"{', '.join(allowed)}")
    if len(set(modes)) != len(modes):
        raise Refusal(f"--modes {args.modes}: a mode is named twice")
    return modes


def as_float32(tensors):
    return {name: array.astype("float32") for name, array in tensors.items()}


def input_kind(args, checkpoint, default="counts"):
    """counts or real, from --input or from the checkpoint, which may not disagree, or the
    default."""
    said = statements.own_facts(checkpoint).get("input")
    if said is not None and said not in INPUT_KINDS:
        raise Refusal(f"{args.input}: says input {said!r:.40}, expected counts or real")
    if args.kind and said and args.kind != said:
        raise Refusal(f"--input {args.kind}, but {args.input} was trained on {said}")
    return args.kind or said or default


def channel_statistics(args, checkpoint, n_channels, kind):
    """The channels entry from --statistics or from the checkpoint; None where neither says."""
    channels, where = statements.own_facts(checkpoint).get("channels"), args.input
    if args.statistics:
        where = args.statistics
        counts = read_counts(where, bin_width_us(args, checkpoint) / 1000, kind,
                             args.input if args.bin_width is None else "--bin-width")
        channels = model_file.training_channels(counts, kind)
    if channels is not None:
        model_file.check_channels(where, channels, n_channels, kind)
    return channels


def export(args, checkpoint, arch, run, *, n_channels, modes, hyper, outputs, weights,
           selftest_bins=SELFTEST_BINS, selftest_counts=None, kinds=INPUT_KINDS,
           expects_all=True, compare=None):
    """Assemble the model, compute its known answers with the reference, write, report. The answers
    are to selftest_bins of drawn counts, or to selftest_counts: [T, C], or model -> [T, C].
    kinds: what the channels may hold, the default first. expects_all: the model itself says what
    to expect of each channel when a bin is missing; False: only the training mean does. compare:
    model -> what the file says of how it was checked, in place of --check."""
    facts, kind = statements.own_facts(checkpoint), input_kind(args, checkpoint, kinds[0])
    channels = channel_statistics(args, checkpoint, n_channels, kind)
    config = build_config(
        arch, n_channels, bin_width_us(args, checkpoint), modes, hyper, outputs=outputs,
        licence=args.licence or facts.get("licence") or checkpoint.licence or "not stated",
        source=args.source or facts.get("source") or checkpoint.source or "not stated",
        checkpoint_sha256=checkpoint.sha256, channels=channels)
    if kind not in kinds:
        raise Refusal(f"--input {kind}: {arch} of this kind takes {kinds[0]} alone")
    if kind == "real":
        config["input"] = kind
    if args.normalise:
        config["normalise"] = normalise.parse(args.normalise, channels)
        normalise.leave_outliers(config)
    model = Model(config, weights)
    model_file.check_finite(weights)
    counts = selftest_counts(model) if callable(selftest_counts) else selftest_counts
    model_file.run_selftest(model, run, selftest_bins, counts)
    config["checked"] = compare(model) if compare else \
        checking.compare(args, model) if args.check else "no"
    precision.apply(model, args)
    model_file.write_model(args.output, model)
    print_summary(args.output, model, checkpoint.notes)
    print_statistics(model, expects_all)


def print_summary(path, model, notes):
    """One screen: what was written, so that a wrong assumption is seen."""
    config, n = model.config, sum(math.prod(a.shape) for a in model.weights.values())
    print(f"{path}: {config['arch']}, {config['n_channels']} channels, bins of "
          f"{config['bin_width_us'] / 1000:g} ms, modes {', '.join(config['modes'])}, "
          f"{n} parameters")
    for note in notes:
        print(f"  read:    {note}")
    print("  hyper:   " + ", ".join(f"{k} {v}" for k, v in config["hyper"].items()))
    names = ", ".join(f"{r['name']} ({r['unit']})" for r in config["outputs"]["readout"]) or "none"
    print(f"  outputs: {config['outputs']['latents']} latents, {config['outputs']['rates']} rates, "
          f"readout {names}")
    print(f"  checked: {config['checked']}" + (
        ": not compared with its author's own outputs; --check IN OUT does (--help)"
        if config["checked"] == "no" else ""))


def print_statistics(model, expects_all):
    """Whether the file knows its training mean, and what latentd can do in a gap with and without
    it."""
    if "channels" in model.config:
        print("  training mean: in the file")
    elif expects_all:
        print("  training mean: not in the file; --statistics FILE.h5:/counts adds it (on-gap = "
              "mean of latentd needs it)")
    else:
        print("  training mean: not in the file, so a gap resets this model (on-gap = auto of "
              "latentd);\n    --statistics FILE.h5:/counts adds it, and it predicts through gaps")


def read_input(args, names=naming.Names(()), what=None):
    """The checkpoint, its tensors by the names that are wanted (naming.Names). what, e.g. "a GRU":
    refuse a file without the required ones."""
    checkpoint = read_checkpoint(args.input)
    naming.settle(checkpoint, names, args.prefix, args.rename)
    if what:
        naming.check(args.input, checkpoint.tensors, names, what)
    return checkpoint

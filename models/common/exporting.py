"""What all exporters share: options, facts of the checkpoint, self-test, writing, summary."""
import argparse
import json
import math

from latent_models.common import model_file, precision
from latent_models.common.checkpoint import read as read_checkpoint
from latent_models.common.dataset import read_dataset
from latent_models.common.model_file import Model, build_config
from latent_models.common.refusal import Refusal

SELFTEST_BINS = 60


def exporter_parser(text, modes):
    """The options every exporter has; modes: those of the architecture."""
    parser = argparse.ArgumentParser(description=text,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("input", metavar="IN",
                        help="PyTorch checkpoint, .safetensors of tensors, or HDF5 with /weights")
    parser.add_argument("output", metavar="OUT.safetensors")
    parser.add_argument("--bin-width", type=float, metavar="MS",
                        help="bin width in milliseconds, where the checkpoint does not say")
    parser.add_argument("--modes",
                        help=f"comma-separated, the first is the default; of {', '.join(modes)}")
    parser.add_argument("--licence",
                        help="licence of the weights (default: as the checkpoint says)")
    parser.add_argument("--source",
                        help="where the weights come from (default: as the checkpoint says)")
    parser.add_argument("--statistics", metavar="FILE.h5:/dataset",
                        help="training counts [..., channels]: their mean and variance go into the "
                             "file\n(for masking; for predict by wiener and kalman --form given)")
    precision.add_options(parser)
    return parser


def add_readout_options(parser):
    """For checkpoints that do not describe their readout."""
    group = parser.add_argument_group("readout, where the checkpoint does not say")
    group.add_argument("--readout-names", metavar="NAME,NAME", help="e.g. vx,vy")
    group.add_argument("--readout-units", metavar="UNIT,UNIT", help="e.g. mm/s,mm/s")
    group.add_argument("--readout-min", metavar="X,X",
                       help="limits, always applied (write --readout-min=-300,-300)")
    group.add_argument("--readout-max", metavar="X,X")
    group.add_argument("--readout-neutral", metavar="X,X",
                       help="what a device gets when there is nothing to say (default 0)")
    group.add_argument("--readout-slew", metavar="X,X", help="largest change per second")


def readout_column(option, text, n, convert, default):
    """One comma-separated option as a list of n values."""
    if text is None:
        return [default(i) for i in range(n)]
    values = text.split(",")
    if len(values) != n:
        raise Refusal(f"{option} {text}: {len(values)} values for a readout of {n}")
    try:
        return [convert(v) for v in values]
    except ValueError as error:
        raise Refusal(f"{option} {text}: {error}") from error


def readout_entries(args, checkpoint, n):
    """outputs.readout: what the checkpoint says, options laid over it."""
    said = own_facts(checkpoint).get("readout") or []
    if said and len(said) != n:
        raise Refusal(f"{args.input}: describes a readout of {len(said)}, but its tensors give {n}")

    def column(key, convert, default):
        option = "--readout-" + {"name": "names", "unit": "units"}.get(key, key)
        text = getattr(args, option[2:].replace("-", "_"))
        return readout_column(option, text, n, convert,
                              lambda i: said[i][key] if said else default(i))

    columns = [column("name", str, "y{}".format), column("unit", str, lambda i: "a.u."),
               column("neutral", float, lambda i: 0.0), *(column(key, float, lambda i: None)
                                                          for key in ("min", "max", "slew"))]
    keys = ("name", "unit", "neutral", "low", "high", "slew")
    return [model_file.readout_entry(**dict(zip(keys, values))) for values in zip(*columns)]


def own_facts(checkpoint):
    """What the trainers of this project note beside their tensors, as a dict ({} for others)."""
    text = checkpoint.facts.get("latent")
    return json.loads(text) if isinstance(text, str) else {}


def bin_width_us(args, checkpoint):
    """From --bin-width, or from the checkpoint; they may not disagree."""
    facts, stated = checkpoint.facts, own_facts(checkpoint).get("bin_width_us")
    for key in ("bin_width_ms", "bin_ms"):
        value = facts.get(key, checkpoint.architecture.get(key))
        stated = stated if value is None else round(float(value) * 1000)
    if args.bin_width is None and stated is None:
        raise Refusal(f"{args.input}: does not say its bin width; give --bin-width MS")
    width = stated if args.bin_width is None else round(args.bin_width * 1000)
    if width <= 0 or (stated is not None and width != stated):
        raise Refusal(f"--bin-width {args.bin_width} ms, but {args.input} says "
                      f"{(stated or 0) / 1000} ms")
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


def channel_statistics(args, checkpoint, n_channels):
    """The channels entry from --statistics or from the checkpoint; None where neither says."""
    channels, where = own_facts(checkpoint).get("channels"), args.input
    if args.statistics:
        counts, where = read_dataset(args.statistics), args.statistics
        flat = counts.reshape(-1, counts.shape[-1])
        channels = model_file.channel_table(flat.mean(0), flat.var(0))
    if channels is not None and len(channels["mean"]) != n_channels:
        raise Refusal(f"{where}: statistics of {len(channels['mean'])} channels, "
                      f"but the tensors have {n_channels}")
    return channels


def export(args, checkpoint, arch, run, *, n_channels, modes, hyper, outputs, weights,
           selftest_bins=SELFTEST_BINS, selftest_counts=None):
    """Assemble the model, compute its known answers with the reference, write, report. The answers
    are to selftest_bins of Poisson counts, or to selftest_counts: [T, C], or model -> [T, C]."""
    facts, channels = own_facts(checkpoint), channel_statistics(args, checkpoint, n_channels)
    config = build_config(
        arch, n_channels, bin_width_us(args, checkpoint), modes, hyper, outputs=outputs,
        licence=args.licence or facts.get("licence") or checkpoint.licence or "not stated",
        source=args.source or facts.get("source") or checkpoint.source or "not stated",
        checkpoint_sha256=checkpoint.sha256, channels=channels)
    model = Model(config, weights)
    model_file.check_finite(weights)
    counts = selftest_counts(model) if callable(selftest_counts) else selftest_counts
    model_file.run_selftest(model, run, selftest_bins, counts)
    precision.apply(model, args)
    model_file.write_model(args.output, model)
    print_summary(args.output, model)


def print_summary(path, model):
    """One screen: what was written, so that a wrong assumption is seen."""
    config, n = model.config, sum(math.prod(a.shape) for a in model.weights.values())
    print(f"{path}: {config['arch']}, {config['n_channels']} channels, bins of "
          f"{config['bin_width_us'] / 1000:g} ms, modes {', '.join(config['modes'])}, "
          f"{n} parameters")
    print("  hyper:   " + ", ".join(f"{k} {v}" for k, v in config["hyper"].items()))
    names = ", ".join(f"{r['name']} ({r['unit']})" for r in config["outputs"]["readout"]) or "none"
    print(f"  outputs: {config['outputs']['latents']} latents, {config['outputs']['rates']} rates, "
          f"readout {names}")


def read_input(args):
    return read_checkpoint(args.input)

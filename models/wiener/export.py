#!/usr/bin/python3
"""Turn a Wiener filter into a model file.

IN holds weight (O, lags, C), lag 0 = newest bin, and bias (O). Nothing in IN is executed.
"""

from latent_models.common import exporting
from latent_models.common.checkpoint import take
from latent_models.common.naming import Names, advice
from latent_models.common.refusal import Refusal, run_command
from latent_models.wiener import reference

MODES = ("causal",)
NAMES = Names(("weight", "bias"))


def parse():
    parser = exporting.exporter_parser(__doc__, MODES, NAMES)
    exporting.add_readout_options(parser)
    return parser.parse_args()


def main():
    args = parse()
    checkpoint = exporting.read_input(args, NAMES, "a Wiener filter")
    weight = checkpoint.tensors.get("weight")
    if weight is None or weight.ndim != 3:
        raise Refusal(f"{args.input}: no tensor weight of shape [outputs, lags, channels]: not a "
                      f"Wiener filter? {advice(checkpoint.tensors, NAMES)}")
    n_readout, lags, n_channels = weight.shape
    shapes = {"weight": weight.shape, "bias": (n_readout,)}
    weights = exporting.as_float32(take(checkpoint.tensors, args.input, shapes))
    exporting.export(args, checkpoint, "wiener", reference.run, n_channels=n_channels,
                     modes=exporting.choose_modes(args, MODES), hyper={"lags": lags},
                     outputs=(0, 0, exporting.readout_entries(args, checkpoint, n_readout)),
                     weights=weights, selftest_bins=lags + exporting.SELFTEST_BINS,
                     expects_all=False)


if __name__ == "__main__":
    run_command(main)

#!/usr/bin/python3
"""Turn a GRU checkpoint into a model file.

IN holds the tensors gru.weight_ih_l0, gru.weight_hh_l0, gru.bias_ih_l0, gru.bias_hh_l0 (and _l1,
... for more layers) as torch.nn.GRU names and orders them (gates r, z, n), and at least one of
rate.weight, rate.bias (log expected counts per bin) and readout.weight, readout.bias. Nothing in IN
is executed.
"""

from latent_models.common import exporting, links, statements
from latent_models.common.checkpoint import rows_of, take
from latent_models.common.naming import Names, advice
from latent_models.common.refusal import Refusal, run_command
from latent_models.gru import reference

MODES = ("causal",)
HEADS = ("rate", "readout")
NAMES = Names(tuple(f"gru.{kind}_l*" for kind in ("weight_ih", "weight_hh")),
              tuple(f"gru.{kind}_l*" for kind in ("bias_ih", "bias_hh")) +
              tuple(f"{head}.{kind}" for head in HEADS for kind in ("weight", "bias")))


def parse():
    parser = exporting.exporter_parser(__doc__, MODES, NAMES)
    links.add_option(parser)
    exporting.add_readout_options(parser)
    return parser.parse_args()


def expected_shapes(tensors, path):
    """Every tensor a GRU decoder has -> (sizes, name -> shape)."""
    state = tensors.get("gru.weight_hh_l0")
    if state is not None and state.ndim == 2 and state.shape[0] == 4 * state.shape[1]:
        raise Refusal(f"{path}: tensor gru.weight_hh_l0 has four gates: an LSTM, not a GRU")
    first = tensors.get("gru.weight_ih_l0")
    if first is None or first.ndim != 2 or first.shape[0] % 3:
        raise Refusal(f"{path}: no tensor gru.weight_ih_l0 of shape [3 * hidden, channels]: not a "
                      f"GRU? {advice(tensors, NAMES)}")
    hidden, n_channels = first.shape[0] // 3, first.shape[1]
    n_layers = sum(name.startswith("gru.weight_hh_l") for name in tensors)
    shapes = {}
    for layer in range(max(n_layers, 1)):
        inputs = n_channels if layer == 0 else hidden
        shapes.update({f"gru.weight_ih_l{layer}": (3 * hidden, inputs),
                       f"gru.weight_hh_l{layer}": (3 * hidden, hidden),
                       f"gru.bias_ih_l{layer}": (3 * hidden,),
                       f"gru.bias_hh_l{layer}": (3 * hidden,)})
    sizes = {"hidden": hidden, "n_channels": n_channels, "layers": max(n_layers, 1)}
    for name in HEADS:
        sizes[name] = n = rows_of(tensors, path, f"{name}.weight") \
            if f"{name}.weight" in tensors else 0
        if f"{name}.weight" in tensors:
            shapes.update({f"{name}.weight": (n, hidden), f"{name}.bias": (n,)})
    if not sizes["rate"] and not sizes["readout"]:
        raise Refusal(f"{path}: neither tensor rate.weight nor readout.weight: nothing to publish "
                      f"but the state. {advice(tensors, NAMES)}")
    return sizes, shapes


def main():
    args = parse()
    checkpoint = exporting.read_input(args, NAMES, "a GRU")
    sizes, shapes = expected_shapes(checkpoint.tensors, args.input)
    weights = exporting.as_float32(take(checkpoint.tensors, args.input, shapes))
    readout = exporting.readout_entries(args, checkpoint, sizes["readout"])
    link = "exp" if not sizes["rate"] else links.choose(
        args, links.said_by(statements.own_facts(checkpoint).get("hyper")))
    hyper = {"layers": sizes["layers"], "hidden": sizes["hidden"], **links.hyper_of(link)}
    exporting.export(args, checkpoint, "gru", reference.run, n_channels=sizes["n_channels"],
                     modes=exporting.choose_modes(args, MODES), hyper=hyper,
                     outputs=(sizes["hidden"], sizes["rate"], readout), weights=weights,
                     expects_all=sizes["rate"] == sizes["n_channels"])


if __name__ == "__main__":
    run_command(main)

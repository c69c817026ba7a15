#!/usr/bin/python3
"""Turn a MARBLE network and its cloud into a model file.

IN is what train.py writes, or the checkpoint of MARBLE (model_state_dict, params) with --cloud,
since its cloud is not in the file. A cloud holds cloud.position (n,D) and cloud.velocity (n,D),
smoothed states and their steps, projection.weight (D,C) and projection.mean (C), which lead from
counts to states, and optionally readout.weight (O,L) and readout.bias (O). The exporter freezes
the cloud: neighbours, diffusion and derivatives are computed once. Nothing in IN is executed.

A checkpoint of MARBLE was trained with spectral diffusion, which is off by the factor n, the
points of its training set: give --scale n. The rest of that diffusion's departures (card.md) are
not reproduced.
"""

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common import exporting, statements
from latent_models.common.checkpoint import read, rows_of, table_of, take
from latent_models.common.naming import Names, advice
from latent_models.common.refusal import Refusal, run_command, whole
from latent_models.marble import geometry, reference

MODES = ("causal",)
SELFTEST_BINS = 150
NORM = ("weight", "bias", "running_mean", "running_var")
# name: (type, default where nobody says it, lowest, highest)
NUMBERS = {"rho": (float, None, 0, 0.999999), "stages": (int, None, 1, 8),
           "warmup_bins": (int, None, 0, 100000), "k": (int, 20, 2, 1024),
           "delta": (float, 1.0, 1e-6, 1e6), "order": (int, 2, 1, 2),
           "diffusion_time": (float, None, 0, 1000), "scale": (float, 1.0, 1e-9, 1e9),
           "same_point": (float, 1e-9, 1e-12, 1e9)}
NEEDED = ("cloud.position", "cloud.velocity", "projection.weight", "projection.mean",
          "enc.lins.0.weight", "enc.lins.1.weight")
NAMES = Names((), (
    *NEEDED, "enc.lins.0.bias", "enc.lins.1.bias", *(f"enc.norms.0.module.{k}" for k in NORM),
    "inner_products.O_mat.*.weight", "diffusion.diffusion_time", "readout.weight",
    "readout.bias"))
MATRICES = ("cloud.position", "projection.weight", "enc.lins.0.weight", "enc.lins.1.weight")
# What the checkpoint's params may say, and what is served of it.
SERVED = {"vec_norm": (False,), "diffusion": (True,), "include_self": (True,),
          "include_positions": (False,)}


def parse():
    parser = exporting.exporter_parser(__doc__, MODES, NAMES)
    parser.add_argument("--cloud", metavar="FILE", help="cloud.*, projection.*, where IN has none")
    group = parser.add_argument_group("hyper-parameters, where the checkpoint does not say")
    for name, (kind, default, _, _) in NUMBERS.items():
        group.add_argument(f"--{name.replace('_', '-')}", dest=name, type=kind,
                           help=None if default is None else f"default {default}")
    group.add_argument("--frame", choices=("axes", "gauges"), help="default axes")
    group.add_argument("--directions", type=whole(1, 1024),
                       help="of a gauge (default: the dimensions)")
    exporting.add_readout_options(parser)
    return parser.parse_args()


def gather(args, checkpoint):
    tensors = {k: v for k, v in checkpoint.tensors.items() if not k.endswith("num_batches_tracked")}
    if args.cloud:
        tensors.update(read(args.cloud).tensors)
    missing = [k for k in NEEDED if k not in tensors]
    if missing:
        raise Refusal(f"{args.input}: tensor {missing[0]} is missing; a network without its cloud "
                      f"needs --cloud. {advice(tensors, Names(NEEDED, NAMES.optional))}")
    for name in MATRICES:
        if tensors[name].ndim != 2 or 0 in tensors[name].shape:
            raise Refusal(f"{args.input}: tensor {name} has shape {list(tensors[name].shape)}, "
                          "expected a matrix")
    return tensors


def said_by(args, checkpoint):
    """The hyper-parameters the checkpoint states, under the names of the model file."""
    own = statements.own_facts(checkpoint).get("hyper")
    if own:
        return dict(own)
    params = table_of(checkpoint.facts.get("params"))
    for key, allowed in SERVED.items():
        if key in params and params[key] not in allowed:
            raise Refusal(f"{args.input}: {key} is {params[key]!r}; served: {allowed[0]!r}")
    names = {"order": "order", "inner_product_features": "inner_products", "emb_norm": "emb_norm"}
    return {ours: params[theirs] for theirs, ours in names.items() if theirs in params}


def one_number(args, tensors, name):
    """A tensor of one number, taken out."""
    array = tensors.pop(name)
    if array.size != 1 or array.dtype.kind != "f":
        raise Refusal(f"{args.input}: tensor {name} has shape {list(array.shape)}, expected one "
                      f"number")
    return float(array.reshape(()))


def build_hyper(args, checkpoint, tensors):
    said = said_by(args, checkpoint)
    if "diffusion.diffusion_time" in tensors:
        said["diffusion_time"] = max(one_number(args, tensors, "diffusion.diffusion_time"), 1e-8)
    hyper = {}
    for name, (kind, default, low, high) in NUMBERS.items():
        option = getattr(args, name)
        value = said.get(name, default) if option is None else option
        if value is None:
            raise Refusal(f"{args.input}: does not say {name}; give --{name.replace('_', '-')}")
        number = isinstance(value, (int, float)) and low <= value <= high
        if not number or kind(value) != value:
            raise Refusal(f"--{name.replace('_', '-')} {value}: expected "
                          f"{'a whole number, ' if kind is int else ''}{low:g} to {high:g}")
        hyper[name] = kind(value)
    hyper["frame"] = args.frame or said.get("frame", "axes")
    if hyper["frame"] not in ("axes", "gauges"):
        raise Refusal(f"{args.input}: frame {hyper['frame']!r:.40}: expected axes or gauges")
    hyper["emb_norm"] = bool(said.get("emb_norm", False))
    hyper["inner_products"] = any(name.startswith("inner_products.") for name in tensors)
    return hyper


def check_cloud(args, position, hyper):
    """Enough points, and none upon another."""
    if len(position) <= hyper["k"]:
        raise Refusal(f"{args.input}: tensor cloud.position has {len(position)} points, too few "
                      f"for {hyper['k']} neighbours")
    nearest = min(np.sort(np.linalg.norm(position - x, axis=1))[1] for x in position)
    if nearest < 2 * hyper["same_point"]:
        raise Refusal(f"{args.input}: tensor cloud.position has points only {nearest:g} apart; "
                      f"drop one, or give a smaller --same-point than {hyper['same_point']:g}")


def freeze(args, tensors, hyper):
    """The cloud's tensors as the model file holds them, float64."""
    points = {name: tensors.pop(name) for name in ("cloud.position", "cloud.velocity")}
    shape = points["cloud.position"].shape
    position, velocity = (array.astype(np.float64) for array in
                          take(points, args.input, dict.fromkeys(points, shape)).values())
    check_cloud(args, position, hyper)
    directions = args.directions or position.shape[1]
    if not 1 <= directions <= position.shape[1]:
        raise Refusal(f"--directions {directions}: expected 1 to {position.shape[1]}")
    cloud = geometry.freeze(position, velocity, hyper, directions)
    fields = {f"cloud.{k}": getattr(cloud, k) for k in reference.CLOUD}
    if hyper["order"] == 1:
        fields["cloud.gradient"] = None
    return {name: field for name, field in fields.items() if field is not None}


def network_shapes(tensors, path, hyper, s):
    """name -> shape of everything but the cloud."""
    n_vectors = 1 + s + (s * s if hyper["order"] == 2 else 0)
    hidden, latents = len(tensors["enc.lins.0.weight"]), len(tensors["enc.lins.1.weight"])
    d, c = tensors["projection.weight"].shape
    shapes = {"projection.weight": (d, c), "projection.mean": (c,),
              "enc.lins.1.weight": (latents, hidden),
              "enc.lins.1.bias": (latents,), "enc.lins.0.bias": (hidden,),
              "enc.lins.0.weight": (hidden,
                                    n_vectors if hyper["inner_products"] else n_vectors * s)}
    shapes.update({f"enc.norms.0.module.{k}": (hidden,) for k in NORM})
    if hyper["inner_products"]:
        shapes.update({f"inner_products.O_mat.{j}.weight": (s, s) for j in range(n_vectors)})
    if "readout.weight" in tensors:
        n_readout = rows_of(tensors, path, "readout.weight")
        shapes.update({"readout.weight": (n_readout, latents), "readout.bias": (n_readout,)})
    return shapes


def selftest_counts(weights, position, kind, seed=20240229):
    """Poisson counts [T, C] (of input real, values) that lead along the cloud's own points, so
    that the known answer depends on many of them; mean counts would stay in one place."""
    steps = min(len(position), SELFTEST_BINS)
    mean = weights["projection.mean"]
    rates = mean + position[:steps] @ np.linalg.pinv(weights["projection.weight"]).T
    if kind == "real":
        return rates.astype(np.float32)
    generator = np.random.default_rng(seed)
    return generator.poisson(np.clip(rates, 0, 10 + 10 * mean.max())).astype(np.float32)


def main():
    args = parse()
    checkpoint = exporting.read_input(args, NAMES)
    tensors = gather(args, checkpoint)
    hyper = build_hyper(args, checkpoint, tensors)
    cloud = freeze(args, tensors, hyper)
    s, d = cloud["cloud.vector"].shape[1], cloud["cloud.position"].shape[1]
    weights = take(tensors, args.input, network_shapes(tensors, args.input, hyper, s))
    if weights["projection.weight"].shape[0] != d:
        raise Refusal(f"{args.input}: projection.weight gives {len(weights['projection.weight'])} "
                      f"dimensions, the cloud has {d}")
    doubles = ("projection.", "inner_products.")
    weights = {k: v.astype(np.float64 if k.startswith(doubles) else np.float32)
               for k, v in weights.items()}
    n_readout = len(weights.get("readout.bias", ()))
    exporting.export(args, checkpoint, "marble", reference.run,
                     n_channels=len(weights["projection.mean"]), hyper=hyper,
                     modes=exporting.choose_modes(args, MODES),
                     outputs=(len(weights["enc.lins.1.bias"]), 0,
                              exporting.readout_entries(args, checkpoint, n_readout)),
                     weights={**weights, **cloud},
                     selftest_counts=selftest_counts(weights, cloud["cloud.position"],
                                                     exporting.input_kind(args, checkpoint)))


if __name__ == "__main__":
    run_command(main)

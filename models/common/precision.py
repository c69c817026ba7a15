"""Precisions: which ones a model file may run in, and how its matrices are stored.

A file of float32 matrices may list several precisions; latentd rounds when it loads. A file may
also store its matrices rounded (BF16, or I8 with a scale per row): half or a quarter of the size,
and that one precision only. Vectors, tables and positions stay float32.
"""
import numpy as np

from latent_models.common.refusal import Refusal

NAMES = ("f32", "bf16", "int8")
NARROW_ARCHS = ("ndt", "gru", "lfads", "sae", "stack")
SCALE = ".scale"
# Two-dimensional, but read as they are, row by row.
NO_MATRICES = ("pos_encoder.pos_embedding.weight", "embedder.0.weight", "decoder.con_h0")

STATES = (".h0", ".c0")  # of a stack, learnt: likewise


def add_options(parser):
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--precisions", metavar="P,P", default="f32",
                       help="precisions the file may run in, the first is the default; of "
                            f"{', '.join(NAMES)}\n(what one costs: latent-decode --precision P "
                            "--compare f32)")
    group.add_argument("--quantize", choices=NAMES[1:],
                       help="store the matrices in this precision, the only one then")


def bf16_bits(array):
    """The nearest bfloat16, ties to even, as its 16 bits [uint16]."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def bf16_read(array):
    """A matrix of bfloat16 numbers as latentd reads it [rows, cols] float32: the second column of
    each pair has the bits of the first behind its own, which are lowered by one where that is
    nearer: at most half a step from the nearest bfloat16."""
    own = bf16_bits(array)
    low, high = own[:, 0:-1:2], own[:, 1::2]
    lowered = high - ((low > 0x7fff) & (high & 0x7fff > 0)).astype(np.uint16)
    bits = own.astype(np.uint32) << 16
    bits[:, 1::2] = lowered.astype(np.uint32) << 16 | low
    return bits.view(np.float32)


def int8_rows(array):
    """-> (steps [rows, cols] int8, scale [rows] float32): array = scale * steps, nearly."""
    array = np.asarray(array, np.float32)
    scale = np.abs(array).max(1, initial=0) / np.float32(127)
    steps = np.rint(array / np.where(scale > 0, scale, 1)[:, None])
    return np.clip(steps, -127, 127).astype(np.int8), scale.astype(np.float32)


def is_matrix(name, array):
    return array.ndim == 2 and name not in NO_MATRICES and not name.endswith(STATES)


def apply(model, args):
    """Make the model what the options say; its known answers stay those of the weights as they
    were."""
    listed = [args.quantize] if args.quantize else args.precisions.split(",")
    strange = [name for name in listed if name not in NAMES]
    if strange or len(set(listed)) != len(listed):
        raise Refusal(f"--precisions {args.precisions}: expected different words of "
                      f"{', '.join(NAMES)}")
    if listed != ["f32"] and model.config["arch"] not in NARROW_ARCHS:
        raise Refusal(f"{model.config['arch']} runs in f32 only; precisions are for "
                      f"{', '.join(NARROW_ARCHS)}")
    model.config["precisions"] = listed
    if args.quantize:
        model.weights = stored(model.weights, args.quantize)


def stored(weights, precision):
    """name -> array as a file of this precision holds it."""
    result = {}
    for name, array in weights.items():
        result[name] = array
        if is_matrix(name, array) and precision == "bf16":
            result[name] = bf16_bits(array)
        elif is_matrix(name, array) and precision == "int8":
            result[name], result[name + SCALE] = int8_rows(array)
    return result


def widened(weights):
    """name -> float array, whatever it was stored as."""
    result = {}
    for name, array in weights.items():
        owner = weights.get(name.removesuffix(SCALE)) if name.endswith(SCALE) else None
        if owner is not None and owner.dtype == np.int8:
            continue
        result[name] = array
        if array.dtype == np.int8:
            result[name] = array * weights[name + SCALE][:, None]
    return result

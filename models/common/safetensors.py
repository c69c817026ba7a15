"""Read and write safetensors files with numpy alone (Debian has no package for it).

Layout: u64 little-endian header length, JSON header, data. The header maps each tensor's name to
its dtype, shape and data_offsets (into the data), and "__metadata__" to a table of strings.
"""
import json
import math
import os
import struct

import numpy as np

from latent_models.common.files import open_input, output
from latent_models.common.refusal import Refusal

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
          "I8": "i1", "U8": "u1", "BOOL": "?"}
# numpy has no bfloat16: what is written from uint16 are its bits.
NAMES = {np.dtype("<u2"): "BF16", **{np.dtype(code): name for name, code in DTYPES.items()}}
HEADER_MAX = 100 << 20
MAX_DIMS = 8
ITEM_BYTES = {"BF16": 2, **{name: np.dtype(code).itemsize for name, code in DTYPES.items()}}


def write(path, tensors, metadata):
    """tensors: name -> array, metadata: name -> string. Data is 64-byte aligned, names are sorted.

    The format allows no holes, so only the start of the data and of every tensor whose
    predecessors fill whole cache lines is aligned; readers copy."""
    header, blobs, offset = {"__metadata__": dict(metadata)}, [], 0
    for name in sorted(tensors, key=lambda key: (-np.asarray(tensors[key]).dtype.itemsize, key)):
        array = np.ascontiguousarray(tensors[name]).reshape(np.shape(tensors[name]))
        blob = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        header[name] = {"dtype": NAMES[array.dtype], "shape": list(array.shape),
                        "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % 64)
    with output(path) as part, open(part, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        f.writelines(blobs)


def read(path):
    """-> (tensors, metadata). BF16 comes back as float32. Damaged files are refused."""
    with open_input(path) as f:
        size = os.fstat(f.fileno()).st_size
        header = read_header(path, f, size)
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict) or \
                not all(isinstance(text, str) for text in metadata.values()):
            raise Refusal(f"{path}: __metadata__ is no table of texts: not a safetensors file")
        n_data = size - f.tell()
        layouts = {name: read_entry(path, name, entry) for name, entry in header.items()}
        check_tiling(path, layouts, n_data)
        body = memoryview(f.read(n_data))
    return {name: read_tensor(body, *layout) for name, layout in layouts.items()}, metadata


def read_header(path, f, size):
    """-> the header as a dict; f stands behind it."""
    if size < 8:
        raise Refusal(f"{path}: {size} bytes are no safetensors file")
    n = struct.unpack("<Q", f.read(8))[0]
    if n > min(HEADER_MAX, size - 8):
        raise Refusal(f"{path}: header of {n} bytes in a file of {size}: not a safetensors file")
    try:
        header = json.loads(f.read(n).decode(), object_pairs_hook=each_once)
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{path}: safetensors header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise Refusal(f"{path}: safetensors header is not a JSON object")
    return header


def each_once(pairs):
    """A JSON object as a dict; a key that stands in it twice is an error."""
    table = dict(pairs)
    if len(table) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"it names {twice} twice")
    return table


def read_entry(path, name, entry):
    """An entry of the header -> (type, shape, begin, end in the data), its size checked."""
    try:
        kind, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        sizes = [*shape, begin, end]
    except (KeyError, TypeError, ValueError) as error:
        raise Refusal(f"{path}: tensor {name}: damaged header entry {entry!r:.200}") from error
    if len(shape) > MAX_DIMS or any(type(n) is not int or not 0 <= n < 2 ** 63 for n in sizes):
        raise Refusal(f"{path}: tensor {name}: damaged header entry {entry!r:.200}")
    if not isinstance(kind, str) or kind not in ITEM_BYTES:
        raise Refusal(f"{path}: tensor {name} has type {kind!r:.40}; known: "
                      f"{' '.join(ITEM_BYTES)}")
    if end - begin != math.prod(shape) * ITEM_BYTES[kind]:
        raise Refusal(f"{path}: tensor {name}: bytes {begin}..{end} do not hold "
                      f"{kind}{shape}")
    return kind, shape, begin, end


def check_tiling(path, layouts, n_data):
    """Laid end to end the tensors must be the data: no byte of two, none of nobody."""
    end, last = 0, "the header"
    places = sorted((begin, after, f"tensor {name}")
                    for name, (_, _, begin, after) in layouts.items())
    for begin, after, name in [*places, (n_data, n_data, "the end of the file")]:
        if begin != end:
            how = "share bytes" if begin < end else "leave bytes between them to nobody"
            raise Refusal(f"{path}: {last}, up to byte {end} of the data, and {name}, from byte "
                          f"{begin} on, {how}: cut, damaged, or not made by safetensors")
        end, last = after, name


def read_tensor(body, kind, shape, begin, end):
    """One tensor as an array of its own."""
    if kind == "BF16":
        bits = np.frombuffer(body[begin:end], "<u2").astype(np.uint32)
        return (bits << 16).view(np.float32).reshape(shape)
    return np.frombuffer(body[begin:end], DTYPES[kind]).reshape(shape).copy()

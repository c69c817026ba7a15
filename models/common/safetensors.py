"""Read and write safetensors files with numpy alone (Debian has no package for it).

Layout: u64 little-endian header length, JSON header, data. The header maps each tensor's name to
its dtype, shape and data_offsets (into the data), and "__metadata__" to a table of strings.
"""
import json
import math
import struct

import numpy as np

from latent_models.common.refusal import Refusal

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
          "I8": "i1", "U8": "u1", "BOOL": "?"}
# numpy has no bfloat16: what is written from uint16 are its bits.
NAMES = {np.dtype("<u2"): "BF16", **{np.dtype(code): name for name, code in DTYPES.items()}}
HEADER_MAX = 100 << 20


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
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def read(path):
    """-> (tensors, metadata). BF16 comes back as float32. Damaged files are refused."""
    try:
        with open(path, "rb") as f:
            data = f.read()
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}") from error
    header, body = read_header(path, data)
    metadata = header.pop("__metadata__", {})
    return {name: read_tensor(path, name, entry, body) for name, entry in header.items()}, metadata


def read_header(path, data):
    """-> (header as a dict, the bytes after it)."""
    if len(data) < 8:
        raise Refusal(f"{path}: {len(data)} bytes are no safetensors file")
    n = struct.unpack_from("<Q", data)[0]
    if n > min(HEADER_MAX, len(data) - 8):
        raise Refusal(f"{path}: header of {n} bytes in a file of {len(data)}: not a safetensors "
                      f"file")
    try:
        header = json.loads(data[8:8 + n].decode())
    except ValueError as error:
        raise Refusal(f"{path}: safetensors header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise Refusal(f"{path}: safetensors header is not a JSON object")
    return header, memoryview(data)[8 + n:]


def read_tensor(path, name, entry, body):
    """One tensor of the header, checked against the data, as an array of its own."""
    try:
        kind, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        n_elements = math.prod(int(s) for s in shape)
    except (KeyError, TypeError, ValueError) as error:
        raise Refusal(f"{path}: tensor {name}: damaged header entry {entry!r}") from error
    dtype = np.dtype("<u2") if kind == "BF16" else np.dtype(DTYPES.get(kind, "V1"))
    if kind != "BF16" and kind not in DTYPES:
        raise Refusal(f"{path}: tensor {name} has type {kind}; known: BF16 {' '.join(DTYPES)}")
    if not 0 <= begin <= end <= len(body) or end - begin != n_elements * dtype.itemsize:
        raise Refusal(f"{path}: tensor {name}: bytes {begin}..{end} do not hold "
                      f"{kind}{list(shape)} in {len(body)} bytes of data")
    array = np.frombuffer(body[begin:end], dtype).reshape(shape)
    if kind == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.copy()

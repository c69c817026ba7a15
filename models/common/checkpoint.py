"""What an exporter reads: a PyTorch checkpoint, safetensors, or HDF5 in the known-answer layout.

All three become a Checkpoint: tensors by name, and whatever the file says about itself.
"""
import dataclasses
import json
import math

import numpy as np

from latent_models.common import safetensors
from latent_models.common.files import file_sha256, open_input
from latent_models.common.refusal import Refusal
from latent_models.common.unpickle import read_checkpoint as read_torch

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
TORCH_STARTS = (b"PK\x03\x04", b"\x80")


@dataclasses.dataclass
class Checkpoint:
    """tensors: name -> array. facts: latent_* entries, training statistics and the like, by name.
    architecture: the hyper-parameters the file states, {} when it states none."""

    path: str
    sha256: str
    tensors: dict
    architecture: dict = dataclasses.field(default_factory=dict)
    facts: dict = dataclasses.field(default_factory=dict)
    licence: str = ""
    source: str = ""


def read(path):
    """Read by the file's first bytes, not by its name."""
    with open_input(path) as f:
        start = f.read(8)
    if start == HDF5_SIGNATURE:
        return read_hdf5(path)
    if start.startswith(TORCH_STARTS):
        return from_torch(path, read_torch(path))
    tensors, metadata = safetensors.read(path)
    if "latent.config" in metadata:
        raise Refusal(f"{path}: this is a model file already; exporters read checkpoints")
    return Checkpoint(path, file_sha256(path), tensors, facts=dict(metadata))


def table_of(value):
    """A dict with texts as keys and, in place of arrays, lists or numbers; what is no dict says
    nothing that could be used."""
    if not isinstance(value, dict):
        return {}
    return {str(k): v.tolist() if isinstance(v, (np.ndarray, np.generic)) else v
            for k, v in value.items()}


def from_torch(path, content):
    """A dict with state_dict (and config, max_spikes, ...), or a plain state dict."""
    if not isinstance(content, dict):
        raise Refusal(f"{path}: holds a {type(content).__name__}, expected a state dict")
    nested = next((k for k in ("state_dict", "model_state_dict") if k in content), None)
    tensors = content[nested] if nested else content
    if not isinstance(tensors, dict):
        raise Refusal(f"{path}: {nested} is a {type(tensors).__name__}, expected a dict of tensors")
    strange = [k for k, v in tensors.items() if not isinstance(v, np.ndarray)]
    if strange or not tensors:
        raise Refusal(f"{path}: not a state dict: {strange[0] if strange else 'it is empty'}"
                      f"{' is no tensor' if strange else ''}")
    facts = {str(k): v for k, v in content.items() if k != nested} if nested else {}
    config = table_of(facts.get("config"))
    architecture = table_of(config["MODEL"]) if "MODEL" in config else config
    return Checkpoint(path, file_sha256(path), {str(k): v for k, v in tensors.items()},
                      architecture, facts, str(facts.get("licence", "")),
                      str(facts.get("source", "")))


def whole_dataset(path, name, item):
    """A dataset's values, all of which must lie in this file: what was never written, or lies in
    another one that has gone, HDF5 would read as zeros."""
    is_elsewhere = item.is_virtual or item.external
    n_chunks = math.prod(-(-n // c) for n, c in zip(item.shape, item.chunks)) if item.chunks else 0
    n_stored = item.id.get_num_chunks() if item.chunks else item.id.get_storage_size()
    if is_elsewhere or (item.size and n_stored < max(n_chunks, 1)):
        raise Refusal(f"{path}: /weights/{name} lies {'in another file' if is_elsewhere else ''}"
                      f"{'' if is_elsewhere else 'nowhere: parts of it were never written'}; "
                      f"copy its values into this one")
    return np.asarray(item[()])


def read_hdf5(path):
    """weights/... under their own names; attributes architecture (JSON), licence, source_*."""
    import h5py
    try:
        with h5py.File(path) as f:
            if not isinstance(f.get("weights"), h5py.Group):
                raise Refusal(f"{path}: no group 'weights': not a file of known answers")
            tensors = {}
            f["weights"].visititems(
                lambda name, item: tensors.__setitem__(name, whole_dataset(path, name, item))
                if isinstance(item, h5py.Dataset) and item.shape is not None else None)
            attrs = {k: v for k, v in f.attrs.items()}
            architecture = json.loads(attrs.get("architecture", "{}"))
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise Refusal(f"{path}: damaged HDF5 file: {error}") from error
    source = " ".join(str(attrs[k]) for k in ("source_repo", "source_path", "source_commit")
                      if k in attrs)
    facts = {k: v for k, v in attrs.items() if k in ("bin_width_ms", "bin_ms")}
    return Checkpoint(path, file_sha256(path), tensors, table_of(architecture), facts,
                      str(attrs.get("licence", "")), source)


def rows_of(tensors, path, name):
    """Length of a tensor's first axis."""
    if tensors[name].ndim == 0:
        raise Refusal(f"{path}: tensor {name} is a single number, expected a list or matrix")
    return len(tensors[name])


def take(tensors, path, expected):
    """Exactly the tensors of expected (name -> shape); every difference is named."""
    missing = sorted(set(expected) - set(tensors))
    extra = sorted(set(tensors) - set(expected))
    if missing:
        raise Refusal(f"{path}: tensor {missing[0]} is missing ({len(missing)} missing in all): "
                      f"another architecture, or a wrong option? "
                      f"It has {', '.join(sorted(tensors)[:6])}, ...")
    if extra:
        raise Refusal(f"{path}: tensor {extra[0]} has no place in this architecture "
                      f"({len(extra)} such in all): {', '.join(extra[:6])}")
    for name, shape in expected.items():
        found = tensors[name].shape
        if tuple(found) != tuple(shape):
            raise Refusal(f"{path}: tensor {name} has shape {list(found)}, expected {list(shape)}")
        if tensors[name].dtype.kind != "f":
            raise Refusal(f"{path}: tensor {name} has type {tensors[name].dtype}, expected floats")
        if not np.isfinite(tensors[name]).all():
            raise Refusal(f"{path}: tensor {name} holds values that are not finite")
    return {name: tensors[name] for name in expected}

"""What an exporter reads: a PyTorch checkpoint, safetensors, or HDF5 in the known-answer layout.

All three become a Checkpoint: tensors by name, and whatever the file says about itself.
"""
import dataclasses
import json

import numpy as np

from latent_models.common import safetensors
from latent_models.common.model_file import file_sha256
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
    try:
        with open(path, "rb") as f:
            start = f.read(8)
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}") from error
    sha256 = file_sha256(path)
    if start == HDF5_SIGNATURE:
        return read_hdf5(path, sha256)
    if start.startswith(TORCH_STARTS):
        return from_torch(path, sha256, read_torch(path))
    tensors, metadata = safetensors.read(path)
    if "latent.config" in metadata:
        raise Refusal(f"{path}: this is a model file already; exporters read checkpoints")
    return Checkpoint(path, sha256, tensors, facts=dict(metadata))


def from_torch(path, sha256, content):
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
    facts = {k: v for k, v in content.items() if k != nested} if nested else {}
    config = facts.get("config") or {}
    return Checkpoint(path, sha256, {str(k): v for k, v in tensors.items()},
                      dict(config.get("MODEL", config)), facts,
                      str(facts.get("licence", "")), str(facts.get("source", "")))


def read_hdf5(path, sha256):
    """weights/... under their own names; attributes architecture (JSON), licence, source_*."""
    import h5py
    with h5py.File(path) as f:
        if "weights" not in f:
            raise Refusal(f"{path}: no group 'weights': not a file of known answers")
        tensors = {}
        f["weights"].visititems(lambda name, item: tensors.__setitem__(name, item[()])
                                if isinstance(item, h5py.Dataset) else None)
        attrs = {k: v for k, v in f.attrs.items()}
    source = " ".join(str(attrs[k]) for k in ("source_repo", "source_path", "source_commit")
                      if k in attrs)
    facts = {k: v for k, v in attrs.items() if k in ("bin_width_ms", "bin_ms")}
    return Checkpoint(path, sha256, {k: np.asarray(v) for k, v in tensors.items()},
                      json.loads(attrs.get("architecture", "{}")), facts,
                      str(attrs.get("licence", "")), source)


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

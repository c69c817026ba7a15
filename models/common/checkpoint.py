"""What an exporter reads: a PyTorch checkpoint, safetensors, or HDF5 in the known-answer layout.

All three become a Checkpoint: tensors by name, and whatever the file says about itself.
"""
import dataclasses
import json
import math

import numpy as np

from latent_models.common import naming, safetensors
from latent_models.common.files import file_sha256, open_input
from latent_models.common.formats import refuse_hdf5, refuse_start
from latent_models.common.refusal import Refusal
from latent_models.common.unpickle import Foreign
from latent_models.common.unpickle import read_checkpoint as read_torch

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
TORCH_STARTS = (b"PK\x03\x04", b"\x80")
# Where checkpoints keep their tensors, and what holds tensors of another kind.
NESTS = ("state_dict", "model_state_dict", "model_state", "model", "net", "module", "network",
         "weights", "params", "ema", "ema_state_dict", "model_ema", "state_dict_ema")
ASIDE = ("optim", "sched", "scaler", "rng", "callback", "loop", "hyper", "config", "args", "random")
RESUMED = {"step", "told", "model", "random"}  # what a trainer here saves to go on later
NAMES_MAX, DEPTH_MAX = 100_000, 16


@dataclasses.dataclass
class Checkpoint:
    """tensors: name -> array. facts: latent_* entries, training statistics and the like, by name.
    architecture: the hyper-parameters the file states, {} when it states none. content: all that
    the file holds, as a dict; notes: what was chosen and left, as texts."""

    path: str
    sha256: str
    tensors: dict
    architecture: dict = dataclasses.field(default_factory=dict)
    facts: dict = dataclasses.field(default_factory=dict)
    licence: str = ""
    source: str = ""
    content: dict = dataclasses.field(default_factory=dict)
    notes: list = dataclasses.field(default_factory=list)

    def below(self, prefix):
        """Tensors whose names begin with prefix, without it: of those chosen, else of all."""
        return naming.strip(self.tensors, prefix) or \
            naming.strip(flatten(self.path, self.content), prefix)


def read(path):
    """Read by the file's first bytes, not by its name."""
    with open_input(path) as f:
        start = f.read(512)
    if start.startswith(HDF5_SIGNATURE):
        return read_hdf5(path)
    refuse_start(path, start)
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
    """A dict of tensors, or one that holds it below a name such as state_dict, with whatever else
    beside it."""
    refuse_object(path, content)
    tensors, names, facts = content, [], {}
    while (key := nest_of(tensors)) is not None:
        facts.update(beside(tensors, key))
        names.append(str(key))
        tensors = tensors[key]
    facts.update(beside(tensors, None))
    chosen = flatten(path, without_aside(tensors))
    refuse_unnamed(path, content, tensors, chosen)
    if RESUMED <= set(content) and "latent" not in content:
        raise Refusal(f"{path}: an interrupted training of an earlier version, whose readout is "
                      f"not finished; go on with --resume and export what it writes")
    config = table_of(facts.get("config"))
    architecture = table_of(config["MODEL"]) if "MODEL" in config else config
    checkpoint = Checkpoint(path, file_sha256(path), chosen, architecture, facts,
                            str(facts.get("licence", "")), str(facts.get("source", "")), content)
    if names:
        checkpoint.notes.append(f"{'.'.join(names)} of the checkpoint")
    left = [str(k) for k in facts if k not in ("latent", "licence", "source")]
    if left:
        checkpoint.notes.append(f"beside it: {naming.listed(left)}")
    return checkpoint


def is_object(value):
    """A pickled object of a package: a module, an optimizer, an estimator."""
    return isinstance(value, Foreign)


def refuse_object(path, content):
    """What was pickled whole: its class would have to run."""
    if is_object(content):
        raise Refusal(f"{path}: a whole pickled object of {content.origin}, which only its own "
                      f"code could read; where that code is: torch.save(torch.load({str(path)!r})"
                      f".state_dict(), NEW)")
    if not isinstance(content, dict):
        raise Refusal(f"{path}: holds a {type(content).__name__}, expected a state dict: "
                      f"torch.save(model.state_dict(), PATH)")


def refuse_unnamed(path, content, tensors, chosen):
    """No tensors by name, or one that is no plain array."""
    for name, value in tensors.items():
        if is_object(value) and "_rebuild_" in value.origin:
            raise Refusal(f"{path}: tensor {name} was made by {value.origin}: quantised, sparse or "
                          f"nested; save it after .dequantize() or .to_dense()")
    if chosen:
        return
    objects = {str(k): v.origin for k, v in content.items() if is_object(v)}
    if objects:
        name, origin = next(iter(objects.items()))
        raise Refusal(f"{path}: not a state dict: its {name} is a whole pickled object of "
                      f"{origin}, which only its own code could read; where that code is, save "
                      f"{name}.state_dict()")
    raise Refusal(f"{path}: not a state dict: "
                  f"{f'{next(iter(content))} is no tensor' if content else 'it is empty'}; "
                  f"torch.save(model.state_dict(), PATH)")


def has_tensors(value, seen):
    """Whether a dict holds an array, at any depth."""
    if is_object(value) or not isinstance(value, dict) or id(value) in seen:
        return False
    seen.add(id(value))
    return any(isinstance(v, np.ndarray) or has_tensors(v, seen) for v in value.values())


def is_aside(key, value):
    """Tensors that are no weights: an optimizer's, random states. (A name with dots is one's.)"""
    key = str(key).lower()
    return "." not in key and any(word in key for word in ASIDE) or \
        isinstance(value, dict) and {"state", "param_groups"} <= set(value)


def nest_of(table):
    """The key below which a dict keeps its state dict; None: it is one itself."""
    dicts = [k for k, v in table.items() if has_tensors(v, set()) and not is_aside(k, v)]
    known = [k for k in NESTS if k in dicts]
    if known:
        return known[0]
    has_own = any(isinstance(v, np.ndarray) and not is_aside(k, v) for k, v in table.items())
    return dicts[0] if len(dicts) == 1 and not has_own else None


def without_aside(table):
    return {k: v for k, v in table.items() if not is_aside(k, v)}


def beside(table, nest):
    """What a dict holds beside its tensors; nest: the key that leads to them, or None."""
    def is_beside(key, value):
        if nest is not None:
            return key != nest
        is_tensor = isinstance(value, np.ndarray) or has_tensors(value, set())
        return is_aside(key, value) or not is_tensor
    return {str(k): v for k, v in table.items() if is_beside(k, v)}


def flatten(path, table):
    """name -> array of a dict of dicts, names joined by dots; what is neither is left out."""
    found = {}

    def add(prefix, value, depth):
        if isinstance(value, np.ndarray):
            found[prefix] = value
        if len(found) > NAMES_MAX or depth > DEPTH_MAX:
            raise Refusal(f"{path}: more than {NAMES_MAX} tensors, or names of more than "
                          f"{DEPTH_MAX} words: not a state dict")
        if isinstance(value, dict) and not is_object(value) and has_tensors(value, set()):
            for key, part in value.items():
                add(f"{prefix}.{key}" if prefix else str(key), part, depth + 1)

    add("", table, 0)
    return found


def whole_dataset(path, item):
    """A dataset's values, all of which must lie in this file: what was never written, or lies in
    another one that has gone, HDF5 would read as zeros."""
    is_elsewhere = item.is_virtual or item.external
    n_chunks = math.prod(-(-n // c) for n, c in zip(item.shape, item.chunks)) if item.chunks else 0
    n_stored = item.id.get_num_chunks() if item.chunks else item.id.get_storage_size()
    if is_elsewhere or (item.size and n_stored < max(n_chunks, 1)):
        raise Refusal(f"{path}: {item.name} lies {'in another file' if is_elsewhere else ''}"
                      f"{'' if is_elsewhere else 'nowhere: parts of it were never written'}; "
                      f"copy its values into this one")
    return np.asarray(item[()])


def read_hdf5(path):
    """weights/... under their own names; attributes architecture (JSON), licence, source_*."""
    import h5py
    try:
        with h5py.File(path) as f:
            if not isinstance(f.get("weights"), h5py.Group):
                refuse_hdf5(path, f)
            tensors = {}
            f["weights"].visititems(
                lambda name, item: tensors.__setitem__(name, whole_dataset(path, item))
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
    """Exactly the tensors of expected (name -> shape); every difference is named. Biases of a layer
    without any are zeros."""
    zeros = naming.zero_biases(tensors, expected)
    if zeros:
        print(f"  zeros for {naming.listed(zeros)}: these layers have no bias")
        tensors = {**tensors, **{name: np.zeros(expected[name], np.float32) for name in zeros}}
    missing = sorted(set(expected) - set(tensors))
    extra = sorted(set(tensors) - set(expected))
    names = naming.Names(tuple(expected))
    if missing:
        raise Refusal(f"{path}: tensor {missing[0]} is missing ({len(missing)} missing in all): "
                      f"another architecture, or a wrong option? {naming.advice(tensors, names)}")
    if extra:
        raise Refusal(f"{path}: tensor {extra[0]} has no place in this architecture "
                      f"({len(extra)} such in all): {naming.listed(extra)}; --prefix P takes only "
                      f"what is below P")
    for name, shape in expected.items():
        found = tensors[name].shape
        if tuple(found) != tuple(shape):
            raise Refusal(f"{path}: tensor {name} has shape {list(found)}, expected {list(shape)}")
        if tensors[name].dtype.kind != "f":
            raise Refusal(f"{path}: tensor {name} has type {tensors[name].dtype}, expected floats")
        if not np.isfinite(tensors[name]).all():
            raise Refusal(f"{path}: tensor {name} holds values that are not finite")
    return {name: tensors[name] for name in expected}

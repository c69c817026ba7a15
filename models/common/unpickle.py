"""Read PyTorch checkpoints (zip and legacy format) without running anything they contain.

A pickle is a program. This unpickler resolves only the names listed in ALLOWED: tensors and their
storages, OrderedDict, numpy arrays and scalars, and a few configuration classes, which become plain
dicts. A class of another package becomes a Foreign, which does nothing; functions of Python itself
(os.system, eval, open) belong in no checkpoint and are refused by name. Tensors come back as numpy
arrays (bfloat16 as float32).
"""
import builtins
import collections
import functools
import io
import math
import pickle
import sys
import typing
import zipfile
import zlib

import numpy as np

from latent_models.common.formats import refuse_zip
from latent_models.common.refusal import Refusal

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
STORAGES = {"DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2",
            "BFloat16Storage": "bfloat16", "LongStorage": "<i8", "IntStorage": "<i4",
            "ShortStorage": "<i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?"}
CONFIG_CLASSES = [("yacs.config", "CfgNode"), ("argparse", "Namespace"),
                  ("types", "SimpleNamespace")]
BFLOAT16 = "bfloat16"
EXPANDED_MAX = 1 << 24  # elements of a tensor that repeats its storage


# Of Python's own modules: what schedulers, callbacks and configurations hold. A Foreign stands in
# for all of it.
DATA_MODULES = {"collections", "_collections", "argparse", "types", "functools", "_functools",
                "datetime", "time", "decimal", "fractions", "pathlib", "enum", "uuid", "copyreg",
                "copy_reg", "random", "numbers", "typing", "dataclasses", "operator", "_operator",
                "re", "abc", "weakref", "itertools", "logging", "array", "math", "string"}


class Config(dict):
    """Stands in for a configuration class: its items or attributes as a plain dict."""

    __hash__ = object.__hash__

    def __setstate__(self, state):
        if not self and isinstance(state, dict):
            self.update((k, v) for k, v in state.items() if not str(k).startswith("__"))


class Foreign(Config):
    """Stands in for an object of any other class, or for what a function would have returned: keeps
    its items and attributes and does nothing. origin: module and name of the class."""

    origin = ""

    def __new__(cls, *_ignored, **_named):
        return dict.__new__(cls)

    def __init__(self, *_ignored, **_named):
        super().__init__()

    def __setstate__(self, state):
        for part in state if isinstance(state, tuple) else (state,):
            super().__setstate__(part)

    def append(self, _item):
        """Items of a list or set are of no use."""

    extend = add = append


def foreign_class(module, name):
    """A class of its own for each, since a pickle makes objects of classes only."""
    return type("Foreign", (Foreign,), {"origin": f"{module}.{name}"})


def is_code(module, name):
    """Whether this is one of Python's own functions, or in a module that does more than hold data.
    A class of a package can do no harm: a Foreign takes its place."""
    top = module.partition(".")[0]
    if top == "builtins":
        return name != "getattr" and not isinstance(getattr(builtins, name, None), type)
    return top in sys.stdlib_module_names and top not in DATA_MODULES or top in ("posix", "nt")


class StorageType(typing.NamedTuple):
    """A torch storage class: its element type. A tuple, so that no pickle can alter it."""

    dtype: str

    @property
    def item_bytes(self):
        return 2 if self.dtype == BFLOAT16 else np.dtype(self.dtype).itemsize

    def decode(self, raw, order="<"):
        """raw bytes in this byte order -> 1-D array in the machine's."""
        if self.dtype == BFLOAT16:
            return (np.frombuffer(raw, order + "u2").astype(np.uint32) << 16).view(np.float32)
        stored = np.dtype(self.dtype).newbyteorder(order)
        return np.frombuffer(raw, stored).astype(stored.newbyteorder("="), copy=False)


class LegacyStorage:
    """A storage whose bytes follow the pickle, filled in later."""

    def __init__(self, storage_type, n_elements):
        self.storage_type, self.n_elements, self.array = storage_type, n_elements, None


class LazyTensor:
    """A tensor over a storage that may not be read yet."""

    def __init__(self, storage, offset, shape, strides):
        self.storage, self.offset = storage, offset
        self.shape, self.strides = tuple(shape), tuple(strides)

    def numpy(self):
        """The values as an array of their own, after checking that they lie in the storage."""
        data = self.storage.array if isinstance(self.storage, LegacyStorage) else self.storage
        if data is None:
            raise Refusal("checkpoint: a tensor has no data")
        numbers = (self.offset, *self.shape, *self.strides)
        if len(self.shape) != len(self.strides) or any(
                not isinstance(n, int) or n < 0 for n in numbers):
            raise Refusal(f"checkpoint: tensor of shape {self.shape}, strides {self.strides}, "
                          f"offset {self.offset}: not a tensor")
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides))
        if 0 not in self.shape and last >= len(data):
            raise Refusal(f"checkpoint: tensor of shape {self.shape}, strides {self.strides} "
                          f"reaches element {last} of a storage of {len(data)}")
        if 0 in self.shape:
            return np.zeros(self.shape, data.dtype)
        if math.prod(self.shape) > max(len(data), EXPANDED_MAX):
            raise Refusal(f"checkpoint: tensor of shape {self.shape} over a storage of {len(data)}")
        strides = [s * data.itemsize for s in self.strides]
        return np.lib.stride_tricks.as_strided(data[self.offset:], self.shape, strides).copy()


def rebuild_tensor(storage, offset, shape, strides, *others):
    """others: requires_grad, hooks, and of a lazily negated or conjugated view its marks."""
    if others[2:] and others[2]:
        raise Refusal(f"checkpoint: a tensor with the marks {others[2]!r:.60}, a view of another; "
                      f"save tensor.clone()")
    return LazyTensor(storage, offset, shape, strides)


def rebuild_parameter(data, *_ignored):
    return data


def rebuild_subclass(function, _kind, arguments, *_ignored):
    """A tensor of a class of its own, or with attributes: the tensor alone."""
    return function(*arguments)


def count_items(items=(), *_ignored):
    """collections.Counter."""
    return dict(items) if isinstance(items, dict) else {}


def numpy_dtype(name, *_ignored):
    """A plain numeric numpy type; object types would hold pickles again."""
    name = name.decode() if isinstance(name, bytes) else name
    dtype = np.dtype(str(name))
    if dtype.kind not in "biufSU":
        raise Refusal(f"checkpoint: numpy type {dtype} is not allowed")
    return DtypeBox(dtype)


class DtypeBox:
    """numpy.dtype under construction: takes the byte order from the state that follows."""

    def __init__(self, dtype):
        self.dtype = dtype

    def __setstate__(self, state):
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class ArrayBox:
    """numpy.ndarray under construction: its state holds shape, type and bytes."""

    def __init__(self):
        self.array = np.zeros(0)

    def __setstate__(self, state):
        _version, shape, box, fortran, raw = state
        raw = raw.encode("latin1") if isinstance(raw, str) else raw
        self.array = np.frombuffer(raw, box.dtype).reshape(shape, order="F" if fortran else "C")


def numpy_scalar(box, raw):
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    return np.frombuffer(raw, box.dtype, 1)[0]


def encode_text(text, encoding="utf-8"):
    """What protocol 2 uses to write bytes; only latin1 and utf-8 occur."""
    if encoding not in ("latin1", "utf-8"):
        raise Refusal(f"checkpoint: text encoding {encoding} is not allowed")
    return text.encode(encoding)


def default_dict(_factory=None, *_ignored):
    return {}


ALLOWED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): default_dict,
    ("collections", "Counter"): count_items,
    ("builtins", "dict"): dict, ("builtins", "list"): list, ("builtins", "set"): set,
    ("builtins", "int"): int, ("builtins", "float"): float, ("builtins", "bool"): bool,
    ("_codecs", "encode"): encode_text,
    ("torch", "Size"): tuple,
    ("torch", "device"): lambda *args: ":".join(map(str, args)),
    ("torch._utils", "_rebuild_tensor"): rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): rebuild_parameter,
    ("torch._utils", "_rebuild_device_tensor_from_numpy"): rebuild_parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): rebuild_subclass,
    ("torch.nn.parameter", "Parameter"): rebuild_parameter,
    ("numpy", "dtype"): numpy_dtype,
    ("numpy", "ndarray"): ArrayBox,
    **{(f"numpy.{core}.multiarray", "scalar"): numpy_scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): lambda *_: ArrayBox()
       for core in ("core", "_core")},
    **{name: Config for name in CONFIG_CLASSES},
    **{(module, name): StorageType(dtype) for name, dtype in STORAGES.items()
       for module in ("torch", "torch.storage")},
}


class SafeUnpickler(pickle.Unpickler):
    """Resolves the names in ALLOWED; a Foreign stands in for every other class."""

    def __init__(self, file, load_storage):
        super().__init__(file, encoding="latin1")
        self.load_storage = load_storage

    def find_class(self, module, name):
        module = {"__builtin__": "builtins"}.get(module, module)
        if (module, name) in ALLOWED:
            return ALLOWED[module, name]
        if is_code(module, name):
            raise Refusal(f"the checkpoint asks for the foreign object {module}.{name}, which "
                          f"could run code; refused. Save a plain state dict instead: "
                          f"torch.save(model.state_dict(), PATH)")
        return foreign_class(module, name)

    def persistent_load(self, pid):
        if isinstance(pid, tuple) and len(pid) >= 2 and pid[0] == "module":
            return pid[1]  # the legacy format of a whole module: its class, and its source text
        if not (isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage"
                and isinstance(pid[1], StorageType) and isinstance(pid[4], int)):
            kind = getattr(pid[1], "origin", "") if isinstance(pid, tuple) and len(pid) > 1 else ""
            raise Refusal(f"the checkpoint holds a tensor of {kind}, quantised or complex; save it "
                          f"as floats" if kind else
                          f"the checkpoint refers to {pid!r:.80}, which is no tensor storage")
        if len(pid) > 5 and pid[5] is not None:
            raise Refusal("the checkpoint holds a view of a storage (torch before 0.4); "
                          "load and save it once with a current torch")
        return self.load_storage(pid[1], str(pid[2]), pid[4])


def unpickle(path, file, load_storage):
    """One pickle from file; whatever a damaged one raises becomes a Refusal."""
    try:
        return SafeUnpickler(file, load_storage).load()
    except Refusal as refusal:
        raise Refusal(f"{path}: {refusal}") from refusal
    except Exception as error:  # a damaged pickle can fail in any way
        raise Refusal(f"{path}: damaged pickle: {type(error).__name__}: {error}") from error


def no_storage(*_):
    raise Refusal("tensor data where none may be")


def byte_order(path, archive, root):
    """< or >, as ARCHIVE/byteorder says (torch >= 2.1, of the machine that wrote it); None where it
    is not there."""
    if root + "byteorder" not in archive.namelist():
        return None
    word = archive.read(root + "byteorder")
    if word not in (b"little", b"big"):
        raise Refusal(f"{path}: its byteorder is {word[:20]!r}, expected little or big")
    return "<" if word == b"little" else ">"


def read_zip(path):
    """The format of torch >= 1.6: ARCHIVE/data.pkl and ARCHIVE/data/KEY."""
    with zipfile.ZipFile(path) as archive:
        root = refuse_zip(path, archive.namelist())
        order, lies, swapped = byte_order(path, archive, root), [], []

        @functools.lru_cache(maxsize=None)
        def load_storage(storage_type, key, n_elements):
            try:
                entry = archive.getinfo(f"{root}data/{key}")
            except KeyError as error:
                raise Refusal(f"storage {key} is missing from the archive") from error
            if entry.file_size != n_elements * storage_type.item_bytes:
                raise Refusal(f"storage {key} has {entry.file_size} bytes, "
                              f"expected {n_elements} x {storage_type.item_bytes}")
            raw = archive.read(entry)
            array = storage_type.decode(raw, order or "<")
            if order is None and array.dtype.kind == "f":
                lies.append(plausible(array))
                swapped.append(plausible(storage_type.decode(raw, ">")))
            return array

        found = unpickle(path, io.BytesIO(archive.read(root + "data.pkl")), load_storage)
        if sum(lies) < sum(swapped) / 2:
            raise Refusal(f"{path}: its numbers make sense in the other byte order only: written "
                          f"by a torch before 2.1 on a big-endian machine; load and save it there "
                          f"with a current torch")
        return resolve(found, {})


def plausible(array):
    """How many numbers are of a size that weights have."""
    with np.errstate(invalid="ignore"):
        size = np.abs(array.astype(np.float64))
    return int(((size > 1e-9) & (size < 1e9)).sum())


def read_legacy(path, file):
    """The older format: four pickles, then the storages one after another."""
    first = unpickle(path, file, no_storage)
    if first != LEGACY_MAGIC:
        what = first.origin if isinstance(first, Foreign) else f"a {type(first).__name__}"
        raise Refusal(f"{path}: a plain pickle of {what}, which torch.save did not write: save its "
                      f"arrays by name, torch.save({{NAME: torch.tensor(ARRAY), ...}}, PATH)")
    if unpickle(path, file, no_storage) != LEGACY_PROTOCOL:
        raise Refusal(f"{path}: unknown version of the legacy PyTorch format")
    system = unpickle(path, file, no_storage)  # byte order and sizes of the writer's C types
    if isinstance(system, dict) and not system.get("little_endian", True):
        raise Refusal(f"{path}: the legacy format of a big-endian machine; load and save it there "
                      f"with a current torch")
    storages = {}

    def load_storage(storage_type, key, n_elements):
        return storages.setdefault(key, LegacyStorage(storage_type, n_elements))

    root = unpickle(path, file, load_storage)
    for key in unpickle(path, file, no_storage):
        storage = storages.get(str(key))
        n_elements = int.from_bytes(file.read(8), "little")
        if storage is None or n_elements != storage.n_elements:
            raise Refusal(f"{path}: storage {key} has {n_elements} elements, expected "
                          f"{storage.n_elements if storage else 'none of this name'}")
        raw = file.read(n_elements * storage.storage_type.item_bytes)
        if len(raw) != n_elements * storage.storage_type.item_bytes:
            raise Refusal(f"{path}: ends within storage {key}")
        storage.array = storage.storage_type.decode(raw)
    return resolve(root, {})


def resolve(value, done):
    """Tensors to arrays and boxes to what they hold, through dicts, lists and tuples. done: id ->
    what it became, since a pickle may hold one thing often, or within itself."""
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, LazyTensor):
        value_of = value.numpy()
    elif isinstance(value, ArrayBox):
        value_of = value.array
    elif isinstance(value, DtypeBox):
        value_of = value.dtype
    elif isinstance(value, dict):
        value_of = done[id(value)] = type(value)() if isinstance(value, Foreign) else {}
        value_of.update((k, resolve(v, done)) for k, v in list(value.items()))
    elif isinstance(value, list):
        value_of = done[id(value)] = []
        value_of.extend(resolve(v, done) for v in value)
    elif isinstance(value, tuple):
        value_of = tuple(resolve(v, done) for v in value)
    else:
        return value
    done[id(value)] = value_of
    return value_of


def read_checkpoint(path):
    """What torch.save wrote, with tensors as numpy arrays and configurations as dicts."""
    with open(path, "rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
        file.seek(0)
        try:
            return read_zip(path) if is_zip else read_legacy(path, file)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError,
                ValueError) as error:
            # RuntimeError: encrypted or unknown compression, or a structure that contains itself.
            raise Refusal(f"{path}: damaged checkpoint: {error}") from error

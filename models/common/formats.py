"""Files that are no checkpoint of tensors by name: what each is, and what to do about it."""
import os

from latent_models.common.refusal import Refusal

SAVE = "torch.save(model.state_dict(), PATH)"
ARRAYS = "torch.save({NAME: torch.tensor(ARRAY), ...}, PATH)"
KERAS = ("a Keras file: write its weights by the names this exporter wants (--help) into HDF5 "
         "under /weights, or with " + ARRAYS)
TENSORFLOW = ("a TensorFlow checkpoint: read it with tf.train.load_checkpoint and write its "
              "tensors under their names into HDF5 under /weights (models/lfads knows LFADS's)")
# (first bytes, where they stand, what the file is)
STARTS = ((b"\x93NUMPY", 0, "a numpy array without a name: save it with " + ARRAYS),
          (b"MATLAB 5.0", 0, "a MATLAB file: write its matrices into HDF5 under /weights"),
          (b"GGUF", 0, "a GGUF file of a language model; no exporter reads those"),
          (b"TFL3", 4, "a TensorFlow Lite file; convert the network it was made from"),
          (b"\x1f\x8b", 0, "a gzip file: unpack it first"),
          (b"BZh", 0, "a bzip2 file: unpack it first"),
          (b"\xfd7zXZ", 0, "an xz file: unpack it first"),
          (b"\x28\xb5\x2f\xfd", 0, "a zstd file: unpack it first"),
          (b"ustar", 257, "a tar file: unpack it first"),
          (b"\x78\x9c", 0, "a compressed pickle (joblib?): load it and save its arrays with "
           + ARRAYS),
          (b"model_checkpoint_path", 0, TENSORFLOW))
TABLE_END = bytes.fromhex("57fb808b247547db")  # of a LevelDB table, as TensorFlow's .index is
ENDS = {".onnx": "an ONNX graph", ".pb": "a TensorFlow graph", ".keras": KERAS,
        ".index": TENSORFLOW, ".data-00000-of-00001": TENSORFLOW}


def refuse_start(path, start):
    """Refuse what is known to be something else, by its first 512 bytes, its last ones or, where
    those say nothing, the end of its name."""
    for mark, place, what in STARTS:
        if start[place:place + len(mark)] == mark:
            raise Refusal(f"{path}: {what}")
    with open(path, "rb") as f:
        f.seek(max(os.path.getsize(path) - len(TABLE_END), 0))
        if f.read() == TABLE_END:
            raise Refusal(f"{path}: {TENSORFLOW}")
    # A protocol buffer whose first field is a small version number: ONNX, and TensorFlow's graphs.
    is_graph = len(start) > 2 and start[0] == 8 and 0 < start[1] < 32 and start[2] in (
        0x12, 0x1a, 0x22, 0x3a, 0x42) and start[8:9] != b"{"
    what = next((what for end, what in ENDS.items() if str(path).endswith(end)), None)
    if is_graph or what and not start.startswith((b"PK\x03\x04", b"\x89HDF")):
        what = "an ONNX graph" if is_graph and not str(path).endswith(".pb") else what
        raise Refusal(f"{path}: {what}" + ("" if " file" in what or " checkpoint" in what else
                      f", which holds a computation: export from the network it was made from, "
                      f"{SAVE}"))


def refuse_zip(path, names):
    """The folder of a PyTorch checkpoint within a zip file of these names; every other kind of zip
    is refused by what it is."""
    roots = [n[:-len("data.pkl")] for n in names if n.rsplit("/", 1)[-1] == "data.pkl"]
    ends = {n.rsplit("/", 1)[-1] for n in names}
    if names and all(n.endswith(".npy") for n in names):
        raise Refusal(f"{path}: an npz file of numpy: its arrays have no architecture's names; "
                      f"save them by the names this exporter wants with {ARRAYS}")
    if "model.weights.h5" in ends:
        raise Refusal(f"{path}: {KERAS}")
    if any("/code/" in n or n.endswith("constants.pkl") for n in names):
        raise Refusal(f"{path}: a TorchScript archive holds code; save its tensors instead: "
                      f"torch.save(torch.jit.load({str(path)!r}).state_dict(), PATH)")
    if any("exported_program" in n or n.endswith("models/model.json") for n in names):
        raise Refusal(f"{path}: a program of torch.export; save its tensors instead: "
                      f"torch.save(torch.export.load({str(path)!r}).state_dict, PATH)")
    if len(roots) != 1:
        raise Refusal(f"{path}: a zip file, but not a PyTorch checkpoint ({len(roots)} data.pkl)")
    return roots[0]


def refuse_hdf5(path, file):
    """HDF5 without a group 'weights' (an open h5py.File)."""
    is_keras = {"keras_version", "layer_names", "backend"} & set(file.attrs) or \
        {"model_weights", "layers", "_layer_checkpoint_dependencies"} & set(file)
    if is_keras:
        raise Refusal(f"{path}: {KERAS}")
    raise Refusal(f"{path}: no group 'weights': not a file of known answers; tensors belong under "
                  f"/weights by the names this exporter wants")

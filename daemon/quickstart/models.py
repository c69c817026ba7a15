"""Which of the shipped model files decodes a simulated stream."""
import json
import struct


def _config(path):
    """latent.config of a model file."""
    with open(path, "rb") as file:
        (n_header,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(n_header))
    return json.loads(header["__metadata__"]["latent.config"])


def find_model(folder, name, mode):
    """The model file in folder whose name starts with the recipe's and that offers the mode.

    Raises LookupError with what was found instead.
    """
    found = {path: _config(path)["modes"] for path in sorted(folder.glob(f"{name}*.safetensors"))}
    for path, modes in found.items():
        if mode in modes:
            return path
    seen = ", ".join(f"{path.name} ({', '.join(modes)})" for path, modes in found.items()) or "none"
    raise LookupError(f"no model for {name} in mode {mode} in {folder}; found: {seen}")

"""What a model file publishes: latent-decode, run as a rig's daemon would run the file."""
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from latent_models.common.dataset import ROOT
from latent_models.common.refusal import Refusal

FLAG_WARMUP, FLAG_OUTSIDE = 1 << 0, 1 << 12
GROUPS = ("latents", "rates", "readout", "flags")


def find_decoder():
    """latent-decode of LATENT_BIN or of the release build; None when not built."""
    folder = os.environ.get("LATENT_BIN", ROOT / "build" / "release" / "bin")
    path = Path(folder) / "latent-decode"
    return path if os.access(path, os.X_OK) else None


def need_decoder():
    """The same, or a refusal."""
    path = find_decoder()
    if path is None:
        raise Refusal("latent-decode not found: build it (cmake --preset release && "
                      "cmake --build --preset release) or set LATENT_BIN to its folder")
    return path


def stored(counts):
    """Counts in the narrowest type that holds them; inputs that are no counts as float32."""
    if not np.array_equal(counts, np.round(counts)):
        return counts.astype(np.float32)
    return counts.astype(np.uint8 if counts.max(initial=0) < 256 else np.uint16)


def decode_stream(program, path, counts, mode, bin_ms):
    """latent-decode on counts [K, T, C] -> dict of latents, rates (expected counts per bin),
    readout, each [K, T, .] or None, and flags [K, T]."""
    import h5py
    with tempfile.TemporaryDirectory(prefix="latent-stream-") as folder:
        source, out = Path(folder) / "in.h5", Path(folder) / "out.h5"
        with h5py.File(source, "w") as f:
            f["counts"] = stored(counts)
            f.attrs["bin_width_ms"] = bin_ms
        command = [program, "--model", path, "--in", f"{source}:/counts", "--out", out,
                   "--mode", mode]
        result = subprocess.run([str(c) for c in command], stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True)
        if result.returncode != 0:
            raise Refusal(result.stderr.strip())
        with h5py.File(out) as f:
            outputs = {name: f[name][()] if name in f else None for name in GROUPS}
    if outputs["rates"] is not None:
        outputs["rates"] = outputs["rates"] * bin_ms / 1000
    return outputs

"""What a model file publishes: latent-decode, run as a rig's daemon would run the file."""
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from latent_models.common.programs import need_program
from latent_models.common.refusal import Refusal

FLAG_WARMUP, FLAG_OUTSIDE, FLAG_BETWEEN = 1 << 0, 1 << 12, 1 << 15
GROUPS = ("latents", "rates", "readout", "logits", "flags")


def stored(counts):
    """Counts in the narrowest type that holds them; inputs that are no counts as float32."""
    if not np.array_equal(counts, np.round(counts)) or counts.min(initial=0) < 0:
        return counts.astype(np.float32)
    return counts.astype(np.uint8 if counts.max(initial=0) < 256 else np.uint16)


def decode_stream(path, counts, mode, bin_ms):
    """latent-decode on counts [K, T, C] -> dict of latents, rates (expected counts per bin),
    readout, logits (NaN in bins without), each [K, T, .] or None, flags [K, T], and delay_bins of
    the file."""
    import h5py
    with tempfile.TemporaryDirectory(prefix="latent-stream-") as folder:
        source, out = Path(folder) / "in.h5", Path(folder) / "out.h5"
        with h5py.File(source, "w") as f:
            f["counts"] = stored(counts)
            f.attrs["bin_width_ms"] = bin_ms
        command = [need_program("latent-decode"), "--model", path, "--in",
                   f"{source}:/counts", "--out", out,
                   "--mode", mode]
        result = subprocess.run([str(c) for c in command], stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True)
        if result.returncode != 0:
            raise Refusal(result.stderr.strip().removeprefix("latent-decode: "))
        with h5py.File(out) as f:
            outputs = {name: f[name][()] if name in f else None for name in GROUPS}
            outputs["delay_bins"] = int(f.attrs["delay_bins"])
    if outputs["rates"] is not None:
        outputs["rates"] = outputs["rates"] * bin_ms / 1000
    return outputs

"""The project's own programs, which the Python here runs: latent-decode, latent-sim."""
import os
import shutil
from pathlib import Path

from latent_models.common.refusal import Refusal

ROOT = Path(__file__).resolve().parents[2]


def find_program(name):
    """Its path, in the folder LATENT_BIN, the release build of this tree, or on PATH; or None."""
    places = [os.environ.get("LATENT_BIN"), ROOT / "build" / "release" / "bin"]
    built = [Path(folder) / name for folder in places if folder]
    for path in filter(None, [*built, shutil.which(name)]):
        if os.access(path, os.X_OK):
            return Path(path)
    return None


def need_program(name):
    """The same, or a refusal."""
    path = find_program(name)
    if path is None:
        raise Refusal(f"{name} not found: build it (cmake --preset release && cmake --build "
                      f"--preset release), set LATENT_BIN to its folder, or put it on PATH")
    return path

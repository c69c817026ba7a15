"""The architectures there are: every folder of models/ that has an export.py.

What is peculiar to one stands in its folder, in modules of the same names everywhere; nothing here
or in models/*.py is to be touched for a new one:
  reference.py  run(weights, config, counts, mode), the float64 answers
  cost.py       bin_cost(hyper, weights, mode, n_channels) -> (bytes of state, multiply-adds, bytes
                of weights read) of one bin
  train.py      of all but those whose networks are trained elsewhere: then SHIPPED is empty
  scoring.py    SHIPPED: table of models/README.md -> ((file without its end, modes to score), ...)
                TABLES (optional): table -> function(decode) -> its rows, where no other
                architecture is in it; decode as in models/evaluate.py
                COMPARED (optional): a common.comparison.Entry for each line of models/compare.py
"""
import importlib
from pathlib import Path

MODELS = Path(__file__).resolve().parents[1]


def architectures():
    """Their names, sorted."""
    return sorted(path.parent.name for path in MODELS.glob("*/export.py"))


def is_trained_here(arch):
    return (MODELS / arch / "train.py").exists()


def part(arch, name):
    """The module models/ARCH/NAME.py."""
    return importlib.import_module(f"latent_models.{arch}.{name}")


def shipped():
    """(architecture, table, file without its end, modes to score) of every model file here."""
    return [(arch, table, name, modes) for arch in architectures()
            for table, files in part(arch, "scoring").SHIPPED.items() for name, modes in files]

"""Shared by the exporters, references and trainers of models/: files, data, metrics.

Programs import this before anything that Python does not bring: a package that is missing is then
one line and exit code 2."""
import os
import pathlib
import sys

MODELS = pathlib.Path(__file__).resolve().parents[1]


def missing_text(error):
    """What to do about a package that is not there."""
    name = (error.name or str(error)).split(".")[0]
    return (f"the Python package {name} is missing: sudo apt-get install python3-{name}; this is "
            f"{sys.executable}, Debian's packages are for /usr/bin/python3")


def on_exception(kind, error, traceback):
    """In place of the traceback of an import that failed before the program began."""
    if not issubclass(kind, ModuleNotFoundError) or os.environ.get("LATENT_TRACEBACK"):
        sys.__excepthook__(kind, error, traceback)
        return
    print(f"{os.path.basename(sys.argv[0])}: {missing_text(error)}", file=sys.stderr, flush=True)
    os._exit(2)


if MODELS in pathlib.Path(getattr(sys.modules["__main__"], "__file__", "/")).resolve().parents:
    sys.excepthook = on_exception

#!/usr/bin/python3
"""Check the models of this folder with spin: as they are, without an error; with each of their
seeded faults, with one. All states are visited, in bounded memory."""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

FOLDER = pathlib.Path(__file__).parent
# Model: its seeded faults, and what spin says when it finds them.
MODELS = {
    "ring": {"FAULT_RELAXED_COMMIT": "assertion violated"},
    "ledger": {"FAULT_RELAXED_CLOSE": "assertion violated"},
    "orders": {"FAULT_RELAXED_NEWEST": "invalid end state",
               "FAULT_RELAXED_DONE": "assertion violated",
               "FAULT_LATCHES_FIRST": "assertion violated",
               "FAULT_LOST_WAKE": "invalid end state"},
    "promotions": {"FAULT_RELAXED_END": "assertion violated",
                   "FAULT_END_BEFORE_DONE": "assertion violated",
                   "FAULT_STOP_FORGETS": "invalid end state"},
}
COMPILER = ["gcc", "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", "-DMEMLIM=1000"]
DEPTH = 100000
SKIPS = 77


def run(folder, *command):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def visit(name, fault):
    """-> (what spin said, number of errors, number of states)."""
    with tempfile.TemporaryDirectory(prefix="latent-model-") as folder:
        for path in (FOLDER / f"{name}.pml", FOLDER / "stores.pml"):
            shutil.copy(path, folder)
        run(folder, "spin", "-a", *([f"-D{fault}"] if fault else []), f"{name}.pml")
        run(folder, *COMPILER, "-o", "visit", "pan.c")
        said = run(folder, "./visit", f"-m{DEPTH}")
    errors, = re.findall(r"errors: (\d+)", said)
    states, = re.findall(r"(\d+) states, stored", said)
    return said, int(errors), int(states)


def is_as_expected(name, fault, expected):
    said, n_errors, n_states = visit(name, fault)
    found = re.search(r"pan:\d+: (.*) \(at depth", said)
    is_complete = fault or "Search not completed" not in said and "max search depth" not in said
    good = is_complete and (n_errors > 0) == (fault is not None)
    good = good and (not fault or found and found[1].startswith(expected))
    print(f"{name} {fault or 'as it is'}: {n_states} states, "
          f"{found[1] if found else 'no error'}: {'ok' if good else 'FAILED'}", flush=True)
    if not good:
        print(said)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help=f"of: {', '.join(MODELS)}")
    names = parser.parse_args().name or MODELS
    if not shutil.which("spin"):
        print("SKIP host: spin is not installed")
        sys.exit(SKIPS)
    results = [is_as_expected(name, fault, expected) for name in names
               for fault, expected in ((None, None), *MODELS[name].items())]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""The table of faults: each row is injected, observed, and judged; any row that is not held fails.

usage: table.py [--quick] [--seed N] [--row NAME]... [--list]"""
import argparse
import importlib
import signal
import sys
import textwrap
import time
import traceback

MODULES = ("rows_input", "rows_sockets", "rows_consumers", "rows_processes", "rows_start",
           "rows_record", "rows_time")
WIDTHS = (16, 40, 44, 34)


class Skip(Exception):
    """This machine cannot show it; the text says why."""


class Row:
    def __init__(self, name, fault, expectation, function):
        self.name, self.fault, self.expectation, self.function = name, fault, expectation, function


ROWS = []


def row(name, fault, expectation):
    """Register a function(run) as a row. It raises AssertionError when the expectation is not held
    and returns what was seen, as a text."""
    def register(function):
        ROWS.append(Row(name, fault, expectation, function))
        return function
    return register


class Run:
    """How the rows are run: seed, and how much."""

    def __init__(self, seed, quick):
        self.seed, self.quick = seed, quick

    def pick(self, quick, full):
        return quick if self.quick else full


def print_cells(*cells):
    """One row of the table, each cell wrapped in its column."""
    columns = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, WIDTHS)]
    for i in range(max(map(len, columns))):
        line = (column[i] if i < len(column) else "" for column in columns)
        print("  ".join(part.ljust(width) for part, width in zip(line, WIDTHS)).rstrip())
    sys.stdout.flush()


def run_row(row_, run):
    """-> (word, text): what came of it."""
    began = time.monotonic()
    try:
        word, text = "ok", row_.function(run) or ""
    except Skip as skip:
        word, text = "skip", str(skip)
    except Exception as error:  # whatever goes wrong is this row's failure, not the table's end
        word, text = "FAILED", f"{type(error).__name__}: {error}"
        traceback.print_exc()
    print_cells(row_.name, row_.fault, row_.expectation,
                f"{word} ({time.monotonic() - began:.1f} s) {text}")
    print()
    return word


def load():
    """Every module registers its rows with the module `table`, which may not be this one."""
    sys.modules.setdefault("table", sys.modules[__name__])
    for name in MODULES:
        importlib.import_module(name)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true",
                        help="small numbers, for every change; without it, hours of bins")
    parser.add_argument("--seed", type=int, default=1, help="of everything random (default: 1)")
    parser.add_argument("--row", action="append", metavar="NAME",
                        help="only this row (may be repeated)")
    parser.add_argument("--list", action="store_true", help="names and expectations, run nothing")
    return parser, parser.parse_args()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # rows end their processes on the way out
    load()
    parser, options = parse()
    unknown = set(options.row or ()) - {r.name for r in ROWS}
    if unknown:
        parser.error(f"no row {', '.join(sorted(unknown))}; --list names them")
    rows = [r for r in ROWS if not options.row or r.name in options.row]
    print_cells("row", "fault", "expectation", "result")
    print_cells(*("-" * width for width in WIDTHS))
    if options.list:
        for r in rows:
            print_cells(r.name, r.fault, r.expectation, "")
        return 0
    words = [run_row(r, Run(options.seed, options.quick)) for r in rows]
    print(f"seed {options.seed}: {words.count('ok')} held, {words.count('FAILED')} failed, "
          f"{words.count('skip')} skipped")
    return 1 if "FAILED" in words else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
"""Does a decoder in shadow, or one that is promoted and rolled back, cost the stream its budget?

    PYTHONPATH=build/release/python tests/bench/shadow.py [--bin FOLDER] [--rounds N]

Round trips of bins at 1 kHz through latentd (ipc), budget 1 ms, in blocks that take turns:
nothing beside the decoder; the same model in shadow; that model promoted and rolled back, with a
tenth of a second between. Prints of each: bins, budget misses, percentiles of the round trip; and
how often the decoder changed. The model is that of the row gru-sparse."""
import argparse
import contextlib
import json
import pathlib
import subprocess
import tempfile
import threading

import numpy as np

import end_to_end
from rows import ROWS, prepare
from workers import Worker

ROW = next(row for row in ROWS if row.name == "gru-sparse")
PACE_NS = 1_000_000
BLOCK_BINS = 5000
STEADY, SHADOW, SWAPS = "alone", "shadow", "swaps"


class Control:
    def __init__(self, binaries, endpoint, model_path):
        self.command = [str(binaries / "latentctl"), "--control", endpoint, "--timeout", "10"]
        self.model_path = str(model_path)

    def ask(self, *arguments):
        done = subprocess.run([*self.command, *arguments], capture_output=True, text=True,
                              check=False)
        return done.returncode == 0, done.stdout + done.stderr

    def stream(self):
        return json.loads(self.ask("status", "--json")[1])["streams"][0]

    def begin(self, kind):
        if kind != STEADY:
            good, text = self.ask("shadow", "wire", self.model_path)
            if not good:
                raise SystemExit(text)

    def end(self):
        while self.stream().get("swap", {"state": "none"})["state"] != "none":
            self.ask("drop", "wire")


def swap_until(control, is_over):
    """Back and forth; what does not keep up is tried again."""
    while not is_over.wait(0.1):
        control.ask("promote", "wire", "--force", "--at", "next-bin")
        control.ask("rollback", "wire")


def run_block(control, worker, kind):
    """-> (round trips in ns, budget misses, changes of the decoder)."""
    control.begin(kind)
    before = control.stream()
    is_over = threading.Event()
    thread = threading.Thread(target=swap_until, args=(control, is_over))
    if kind == SWAPS:
        thread.start()
    times = worker.run(BLOCK_BINS, PACE_NS)
    is_over.set()
    if kind == SWAPS:
        thread.join()
    after = control.stream()
    control.end()
    return (times, after["budget_misses"] - before["budget_misses"],
            after["flags"]["SWAPPED"] - before["flags"]["SWAPPED"])


def measure(binaries, n_rounds):
    """kind -> [blocks]."""
    mine, theirs = end_to_end.split_cpus()
    found = {kind: [] for kind in (STEADY, SHADOW, SWAPS)}
    with tempfile.TemporaryDirectory(prefix="latent-wire.") as folder, \
            contextlib.ExitStack() as stack:
        model, model_path, counts_path = prepare(ROW, folder)
        ends = end_to_end.endpoints(folder, "ipc", "latentd")
        config = end_to_end.write_config(folder, "latentd", model_path, ends, "none")
        with open(config, "a", encoding="utf-8") as file:
            file.write("budget-ms = 1\nkeep-ms = 60000\n")
        stack.enter_context(end_to_end.server([binaries / "latentd", config], theirs))
        worker = Worker("latentd", "",
                        end_to_end.ping_command(binaries, ROW, model, counts_path, ends), min(mine))
        stack.callback(worker.close)
        worker.run(1000, PACE_NS)
        control = Control(binaries, f"ipc://{folder}/latentd.control", model_path)
        for _ in range(n_rounds):
            for kind, blocks in found.items():
                blocks.append(run_block(control, worker, kind))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path("build/release/bin"))
    parser.add_argument("--rounds", type=int, default=6, help="blocks of each kind (default: 6)")
    options = parser.parse_args()
    print(f"{'':<8}{'bins':>8}{'misses':>8}{'changes':>9}{'p50 us':>9}{'p99':>9}{'p99.9':>9}")
    for kind, blocks in measure(options.bin.resolve(), options.rounds).items():
        times = np.concatenate([block[0] for block in blocks])
        cells = "".join(f"{value / 1e3:>9.1f}" for value in np.percentile(times, (50, 99, 99.9)))
        print(f"{kind:<8}{len(times):>8}{sum(b[1] for b in blocks):>8}"
              f"{sum(b[2] for b in blocks):>9}{cells}", flush=True)


if __name__ == "__main__":
    main()

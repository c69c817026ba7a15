"""Two lines without sockets on two cores beside one: whether streams keep out of each other's
way."""
import os
import subprocess
import tempfile

import numpy as np

from rows import ROWS, prepare
from workers import pair_command

MESSAGES = {"gru-sparse": 2048, "m700-cached": 256}  # row: messages of a turn, some 30 ms
GOAL = 1.9


def gain(rounds, statistic):
    """Steps per second of both at once over those of one (the mean of the two). rounds
    [n, 3]: times of the first alone, the second alone, both."""
    first, second, both = statistic(np.asarray(rounds, np.float64), axis=0)
    return float((first + second) / both)


def figures(rounds, n_messages):
    first, second, both = np.median(rounds, axis=0) * 1e-9
    return {"one_per_s": 2 * n_messages / (first + second), "two_per_s": 2 * n_messages / both,
            "gain": gain(rounds, np.median), "gain_least": gain(rounds, np.min)}


def measure_row(row, binaries, n_rounds, n_messages):
    """{"messages": figures, "arithmetic": {gain, gain_least}}."""
    cpus = sorted(os.sched_getaffinity(0))
    rounds = {"messages": [], "arithmetic": []}
    with tempfile.TemporaryDirectory(prefix="latent-pair.") as folder:
        _, model_path, counts_path = prepare(row, folder)
        command = pair_command(binaries, row, model_path, counts_path, (cpus[0], cpus[-1]),
                               n_rounds=n_rounds, n_messages=n_messages)
        done = subprocess.run([str(word) for word in command], check=True, text=True,
                              stdout=subprocess.PIPE)
    for line in done.stdout.splitlines():
        name, *numbers = line.split()
        if name == "frames" and set(numbers) != {str(2 * n_rounds * n_messages)}:
            raise SystemExit(f"bench_pair made {numbers} frames")
        if name in rounds:
            rounds[name].append([int(number) for number in numbers])
    arithmetic = rounds["arithmetic"]
    return {"messages": figures(rounds["messages"], n_messages),
            "arithmetic": {"gain": gain(arithmetic, np.median),
                           "gain_least": gain(arithmetic, np.min)}}


def print_row(name, result):
    lines, plain = result["messages"], result["arithmetic"]
    print(f"  {name:<14} one {lines['one_per_s']:.0f}, two {lines['two_per_s']:.0f} steps/s: "
          f"{lines['gain']:.2f} times (of least times {lines['gain_least']:.2f}); arithmetic in "
          f"registers {plain['gain']:.2f} ({plain['gain_least']:.2f}); at least {GOAL}: "
          f"{'met' if lines['gain'] >= GOAL else 'NOT met'}", flush=True)


def measure(options, quick):
    """Everything, printed and as it goes into the JSON."""
    if len(os.sched_getaffinity(0)) < 2:
        print("\ntwo lines on two cores: not measured, there is one processor")
        return None
    print("\ntwo lines without sockets on two cores, threads of one process (medians)")
    report = {}
    for row in (row for row in ROWS if row.name in MESSAGES):
        report[row.name] = measure_row(row, options.bin, 10 if quick else 60, MESSAGES[row.name])
        print_row(row.name, report[row.name])
    return report

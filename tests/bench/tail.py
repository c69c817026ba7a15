"""The tail of round trips: latentd and the client under SCHED_FIFO, beside ordinary scheduling."""
import contextlib
import os
import tempfile

from end_to_end import (endpoints, measure_pair, ping_command, server, split_cpus,
                        write_config)
from rows import ROWS, prepare
from workers import Worker

PLAIN_TRANSPORTS = ("ipc", "tcp")  # keys are work of the same threads: end_to_end.py has them
PRIORITY = 50
GOAL = 3  # p99.9 in multiples of p50
DAEMONS = {"SCHED_FIFO": PRIORITY, "ordinary": 0}
PACES_NS = {1_000_000: 1000, 10_000_000: 300}  # pace: round trips of a turn


def may_raise():
    """Whether the system allows real-time priority here."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


def raise_priority(path, priority):
    """Have the daemon of this configuration run its data path under SCHED_FIFO."""
    path.write_text(path.read_text().replace(
        "[latentd]\n", f"[latentd]\nrealtime-priority = {priority}\n", 1))


def measure_path(row, transport, binaries, n_rounds, paces_ns):
    """{pace: {scheduling: figures}} of one model over one transport."""
    mine, theirs = split_cpus()
    with tempfile.TemporaryDirectory(prefix="latent-tail.") as folder, \
            contextlib.ExitStack() as stack:
        model, model_path, counts_path = prepare(row, folder)
        workers = {}
        for name, priority in DAEMONS.items():
            ends = endpoints(folder, transport, name)
            config = write_config(folder, name, model_path, ends, "none")
            if priority:
                raise_priority(config, priority)
            stack.enter_context(server([binaries / "latentd", config], theirs))
            workers[name] = Worker(name, "", ping_command(binaries, row, model, counts_path, ends),
                                   min(mine), priority)
            stack.callback(workers[name].close)
        return {pace_ns: measure_pair(workers, n_rounds, n_steps, pace_ns)
                for pace_ns, n_steps in paces_ns.items()}


def print_pair(title, label, pair):
    for name, entry in pair.items():
        cells = "".join(f"{entry[key]:>10.1f}" for key in ("p50_us", "p99_us", "p999_us", "max_us"))
        times = entry["p999_us"] / entry["p50_us"]
        met = f"  {'met' if times <= GOAL else 'NOT met'}" if DAEMONS[name] else ""
        print(f"  {title:<16} {label:<6} {name:<11}{cells}{times:>10.1f}{met}", flush=True)


def measure(options, quick):
    """[{transport, pace, scheduling: figures}], printed; None where it may not be measured."""
    if not may_raise():
        print("\nthe tail under SCHED_FIFO: not measured, real-time priority is refused here")
        return None
    print(f"\nend to end, latentd and client under SCHED_FIFO {PRIORITY} (microseconds; p99.9 "
          f"at most {GOAL} times p50, on a quiet machine)")
    print(f"  {'':<35}{'p50':>10}{'p99':>10}{'p99.9':>10}{'max':>10}{'times':>10}")
    row = next(row for row in ROWS if row.name == "gru-sparse")
    report = []
    for transport in PLAIN_TRANSPORTS:
        pairs = measure_path(row, transport, options.bin, 2 if quick else 10, PACES_NS)
        for pace_ns, pair in pairs.items():
            label = f"{pace_ns // 1_000_000} ms"
            print_pair(f"{row.name} {transport}", label, pair)
            report.append({"row": row.name, "transport": transport, "pace": label, **pair})
    return report

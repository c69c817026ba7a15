#!/usr/bin/python3
"""Measure one step of each model, beside what a user would pick instead, in turns on one core.

Prints a table; --json writes the same figures. tests/bench/README.md explains every column."""
import argparse
import json
import os
import pathlib
import sys
import tempfile

import numpy as np

import end_to_end
import machine
import memory
import offline
import pair
import start
import sweeps
import tail
from rows import ROWS, prepare
from situations import FLUSHED, PLANS
from workers import (Absent, Worker, latentd_command, ort_command, ort_stems, rtneural_command,
                     torch_command)

# Of the largest value: another order of summation, or rounded weights against float32.
AGREEMENT = {"f32": 1e-3, "bf16": 0.02, "int8": 0.05}
PARTS = {"end-to-end": end_to_end.measure, "tail": tail.measure,
         "pair": pair.measure, "start": start.measure,
         "offline": offline.measure, "sweeps": sweeps.measure}
LATENTD, ORT, TORCH, RTNEURAL = "latentd", "ONNX Runtime", "PyTorch", "RTNeural"


def start_workers(row, model, model_path, counts_path, folder, *, options):
    """-> (workers, first is latentd; {implementation: why it is missing})."""
    cpu = max(os.sched_getaffinity(0))
    workers = [Worker(LATENTD, "", latentd_command(options.bin, row, model_path, counts_path), cpu)]
    missing = {name: row.no_peer for name, has in ((ORT, row.onnx), (TORCH, row.torch)) if not has}
    try:
        if row.onnx and not options.ort:
            raise Absent(options.no_ort)
        for variant, stem in ort_stems(row, model, counts_path, folder):
            workers.append(Worker(ORT, variant, ort_command(options.bin, options.ort, stem), cpu))
    except Absent as absent:
        missing[ORT] = str(absent)
    for style in ("eager", "jit") if row.torch else ():
        try:
            command = torch_command(row, style, model_path, counts_path)
            workers.append(Worker(TORCH, style, command, cpu))
        except Absent as absent:
            missing[TORCH] = str(absent)
    try:
        if row.rtneural:
            command = rtneural_command(options.rtneural, row, model, counts_path, folder)
            workers.append(Worker(RTNEURAL, "compile-time layers", command, cpu))
    except Absent as absent:
        missing[RTNEURAL] = str(absent)
    return workers, missing


def disagreement(row, workers):
    """Run every worker over the same bins; {worker: largest difference from latentd, relative}."""
    answers = {}
    for worker in workers:
        worker.run(row.n_bins)
        answers[worker] = worker.values()
    ours = answers[workers[0]]
    scale = np.abs(ours).max()
    return {worker: float(np.abs(values[-len(ours):] - ours).max() / scale)
            for worker, values in answers.items()}


def drop_strangers(row, workers, differences, missing):
    """A peer that computes something else is no comparison."""
    kept = []
    for worker in workers:
        if differences[worker] <= AGREEMENT[row.precision]:
            kept.append(worker)
            continue
        missing[f"{worker.kind} {worker.variant}"] = (
            f"another function: differs by {differences[worker]:.1e} of the largest value")
        worker.close()
    return kept


def turn_steps(row, worker, seconds):
    """Steps of one turn: whole rounds of the input, so that every position counts equally."""
    typical_ns = np.median(worker.run(row.n_bins))
    rounds = max(1, round(seconds * 1e9 / (typical_ns * row.n_bins)))
    return rounds * row.n_bins


def measure_hot(row, workers, plan):
    """{worker: [rounds][steps] nanoseconds}, back to back, in turns A B C A B C."""
    steps = {worker: turn_steps(row, worker, plan.hot_seconds) for worker in workers}
    times = {worker: [] for worker in workers}
    for _ in range(plan.hot_rounds):
        for worker in workers:
            worker.run(row.n_bins)  # brings its weights back into the cache
            times[worker].append(worker.run(steps[worker]))
    return times


def measure_other(row, workers, plan, situation):
    """{worker: [rounds][steps] nanoseconds} in one of the other situations, in turns."""
    times = {worker: [] for worker in workers}
    for _ in range(plan.rounds):
        for worker in workers:
            times[worker].append(worker.run(row.n_bins, situation.pace_ns, situation.flush,
                                            situation.warm_ns))
    return times


def per_bin(row, times, statistic):
    """A statistic over all passes for each bin of the input, averaged over the bins; in us."""
    return float(statistic(times.reshape(-1, row.n_bins), axis=0).mean()) / 1e3


def figures(row, worker, rounds, ours):
    """What is reported of a worker: microseconds, and ratios to latentd (rounds: ours)."""
    times, our_times = np.concatenate(rounds), np.concatenate(ours)
    least, typical = (per_bin(row, times, statistic) for statistic in (np.min, np.median))
    p50, p99, p999 = np.percentile(times, (50, 99, 99.9)) / 1e3
    return {"implementation": worker.kind, "variant": worker.variant, "about": worker.about,
            "n_steps": len(times), "least_us": least, "typical_us": typical,
            "p50_us": p50, "p99_us": p99, "p999_us": p999, "max_us": float(times.max()) / 1e3,
            "ratio": typical / per_bin(row, our_times, np.median),
            "ratio_least": least / per_bin(row, our_times, np.min)}


def fastest(results, kind):
    """The best variant of an implementation, or None."""
    ours = [result for result in results if result["implementation"] == kind]
    return min(ours, key=lambda result: result["typical_us"], default=None)


def measure_others(row, hot, workers, readers, plan):
    """{situation: figures of the fastest of each kind}, and of the readers when flushed; cold and
    paced: latentd and the reader that is faster on flushed memory."""
    chosen = [worker for worker, result in zip(workers, hot)
              if result is fastest(hot, worker.kind)]
    others = {}

    def measure(situation, some):
        times = measure_other(row, some, plan, situation)
        others[situation.label] = [figures(row, w, times[w], times[some[0]]) for w in some]

    for situation in plan.others:
        measure(situation, chosen + (readers if situation.flush else []))
    if readers:
        variant = fastest(others[FLUSHED.label], memory.KIND)["variant"]
        reader = next(reader for reader in readers if reader.variant == variant)
        for situation in plan.cold:
            measure(situation, [workers[0], reader])
    for situation in plan.warm:
        measure(situation, workers[:1])
    return others


def verdict(results, kind, goal):
    """How the fastest variant of an implementation compares to latentd, and with the goal."""
    best = fastest(results, kind)
    ratio = best["ratio"] if best else None
    return {"ratio": ratio, "goal": goal, "met": ratio >= goal if ratio and goal else None}


def limits(n_bytes, hot, others, plan):
    """The two entries of the JSON that tell how near latentd is to reading memory alone."""
    flushed = [s.label for s in (*plan.others, *plan.cold) if s.flush]
    return {"limit": memory.limit(n_bytes, hot), "cold": memory.cold(n_bytes, others, flushed)}


def measure_row(row, options):
    """Everything about one row, as it goes into the JSON."""
    plan = PLANS[options.plan]
    with tempfile.TemporaryDirectory(prefix="latent-bench.") as folder:
        model, model_path, counts_path = prepare(row, folder)
        workers, missing = start_workers(row, model, model_path, counts_path, folder,
                                         options=options)
        differences = disagreement(row, workers)
        workers = drop_strangers(row, workers, differences, missing)
        n_bytes = row.step_bytes(model) if row.step_bytes else None
        readers = memory.start(options.bin, n_bytes) if n_bytes else []
        hot_times = measure_hot(row, workers + readers, plan)
        hot = [figures(row, worker, times, hot_times[workers[0]])
               for worker, times in hot_times.items()]
        others = measure_others(row, hot, workers, readers, plan)
        for worker in workers + readers:
            worker.close()
    onnx = verdict(hot, ORT, row.goal)
    return {"name": row.name, "title": row.title, "hot": hot, "others": others,
            "missing": missing, "limit": None, "cold": None,
            **(limits(n_bytes, hot, others, plan) if readers else {}),
            "difference": {f"{w.kind} {w.variant}".strip(): d for w, d in differences.items()},
            "ratio_onnxruntime": onnx["ratio"], "goal": onnx["goal"], "goal_met": onnx["met"],
            "rtneural": verdict(hot, RTNEURAL, row.goal_rtneural)}


def print_result(label, result, fast):
    name = " ".join((result["implementation"], result["variant"])).strip()
    cells = "".join(f"{result[key]:>10.2f}" for key in (
        "least_us", "typical_us", "p50_us", "p99_us", "p999_us", "max_us"))
    ratios = f"{result['ratio']:>8.2f}{result['ratio_least']:>8.2f}"
    print(f"  {label:<14} {name:<33}{cells}{ratios}{'  fastest' if fast else ''}")


def print_goal(goal, met, what):
    if goal:
        words = {True: "met", False: "NOT met", None: "not measured"}
        print(f"  goal: at least {goal:.1f} x {what}: {words[met]}")


def print_row(row):
    print(f"\n{row['title']}")
    names = ("least", "typical", "p50", "p99", "p99.9", "max us")
    print(f"  {'':<48}" + "".join(f"{name:>10}" for name in names) + f"{'ratio':>8}{'of least':>9}")
    for result in row["hot"]:
        best = fastest(row["hot"], result["implementation"])
        print_result("hot", result, result is best and result["implementation"] != LATENTD)
    for label, results in row["others"].items():
        for result in results:
            print_result(label, result, False)
    for name, reason in row["missing"].items():
        print(f"  -      {name}: {reason}")
    if row["limit"]:
        memory.print_limits(row["limit"], row["cold"])
    print_goal(row["goal"], row["goal_met"], "the fastest ONNX Runtime graph")
    print_goal(row["rtneural"]["goal"], row["rtneural"]["met"], "RTNeural")
    sys.stdout.flush()


def print_machine(report):
    for key, value in report["machine"].items():
        print(f"{key:<18} {value}")
    if machine.is_busy():
        print("NOTE: other work runs on this machine; ratios are less sure, p99 and above not ours")
    print("\nread bandwidth of one core: again and again; flushed")
    for entry in report["bandwidth"]:
        print(f"  {entry['bytes'] / 2**20:>7.3f} MB {entry['gb_per_s']:>7.1f} GB/s"
              f"{entry['cold_gb_per_s']:>7.1f} GB/s")
    sys.stdout.flush()


def main():
    names = [row.name for row in ROWS] + list(PARTS)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of the programs")
    parser.add_argument("--ort", help="path of libonnxruntime.so.1 (without: no such peer)")
    parser.add_argument("--no-ort", default="no library given", help="why there is none")
    parser.add_argument("--rtneural", help="folder with RTNeural/ in it (without: no such peer)")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file")
    parser.add_argument("--row", action="append", choices=names,
                        help="only this row or part (repeatable)")
    parser.add_argument("--plan", choices=sorted(PLANS), default="full",
                        help="how much is measured (full: about three quarters of an hour)")
    options = parser.parse_args()
    report = {"machine": machine.describe(), "bandwidth": memory.bandwidth(options.bin),
              "rows": []}
    print_machine(report)
    for row in ROWS:
        if not options.row or row.name in options.row:
            report["rows"].append(measure_row(row, options))
            print_row(report["rows"][-1])
    for name, measure in PARTS.items():
        if not options.row or name in options.row:
            report[name] = measure(options, options.plan != "full")
    report["machine"]["load at the end"] = machine.load()
    print(f"\nload at the end    {report['machine']['load at the end']}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

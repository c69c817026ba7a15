"""The limit of a step: what it must read at least, read by a worker that does nothing else, hot and
cold, in the same turns as the step."""
import os

import numpy as np

from workers import Worker, memory_command

KIND = "memory"
STREAMS = (1, 6)  # one after the other, or side by side as the kernels' largest tile reads
COLD_GOAL = 1.25
MB = 2**20
SIZES_MB = (0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32)


def start(binaries, n_bytes):
    """A reader of so many bytes for each way of reading."""
    cpu = max(os.sched_getaffinity(0))
    return [Worker(KIND, f"{streams} stream{'s' * (streams > 1)}",
                   memory_command(binaries, n_bytes, streams), cpu) for streams in STREAMS]


def least_us(results, key):
    """That time of the faster way of reading, among the results of a situation."""
    return min(entry[key] for entry in results if entry["implementation"] == KIND)


def limit(n_bytes, hot):
    """How near a hot step comes to reading alone."""
    limit_us = least_us(hot, "typical_us")
    return {"bytes": n_bytes, "gb_per_s": n_bytes / limit_us / 1e3, "limit_us": limit_us,
            "share": limit_us / hot[0]["typical_us"]}


def cold(n_bytes, others, flushed):
    """The same for each situation with flushed caches, against one bandwidth: that of reading
    flushed memory back to back. By p50: too few passes for a median of each bin."""
    limit_us = least_us(others[flushed[0]], "p50_us")
    situations = []
    for label in flushed:
        p50_us = others[label][0]["p50_us"]
        times = p50_us / limit_us
        situations.append({"situation": label, "p50_us": p50_us, "times": times,
                           "read_here_us": least_us(others[label], "p50_us"),
                           "met": bool(times <= COLD_GOAL)})
    return {"gb_per_s": n_bytes / limit_us / 1e3, "limit_us": limit_us, "situations": situations}


def print_limits(hot, cold_limit):
    print(f"  reads {hot['bytes'] / 1e6:.2f} MB a bin; at {hot['gb_per_s']:.0f} GB/s "
          f"{hot['limit_us']:.1f} us: {100 * hot['share']:.0f} % of the limit reached")
    print(f"  cold at {cold_limit['gb_per_s']:.0f} GB/s {cold_limit['limit_us']:.1f} us; goal: at "
          f"most {COLD_GOAL} times that")
    for entry in cold_limit["situations"]:
        print(f"    {entry['situation']:<14}{entry['p50_us']:>8.1f} us, {entry['times']:.2f} "
              f"times: {'met' if entry['met'] else 'NOT met'} (reading alone takes "
              f"{entry['read_here_us']:.1f} us here)")


def read_us(binaries, n_bytes, n_steps=41, flush=False):
    """Median time of the faster way of reading so many bytes."""
    took_us = []
    for reader in start(binaries, n_bytes):
        took_us.append(np.median(reader.run(2 * n_steps, 0, flush)[n_steps:]) / 1e3)
        reader.close()
    return float(min(took_us))


def bandwidth(binaries, n_hot=41, n_cold=15):
    """[{bytes, gb_per_s, cold_gb_per_s}] for growing sizes: medians of the faster way."""
    table = []
    for size_mb in SIZES_MB:
        n_bytes = int(size_mb * MB)
        table.append({"bytes": n_bytes,
                      "gb_per_s": n_bytes / read_us(binaries, n_bytes, n_hot) / 1e3,
                      "cold_gb_per_s": n_bytes / read_us(binaries, n_bytes, n_cold, True) / 1e3})
    return table

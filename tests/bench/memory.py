"""The limit of a step: what it must read at least, read by a worker that does nothing else, hot and
cold, in the same turns as the step."""
import os

from workers import Worker, memory_command

KIND = "memory"
STREAMS = (1, 6)  # one after the other, or side by side as the kernels' largest tile reads
COLD_GOAL = 1.25
SIZES_MB = (0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32)


def start(binaries, n_bytes):
    """A reader of so many bytes for each way of reading."""
    cpu = max(os.sched_getaffinity(0))
    return [Worker(KIND, f"{streams} stream{'s' * (streams > 1)}",
                   memory_command(binaries, n_bytes, streams), cpu) for streams in STREAMS]


def least_us(results):
    """Typical time of the faster way of reading, among the results of a situation; or None."""
    return min((entry["typical_us"] for entry in results if entry["implementation"] == KIND),
               default=None)


def limit(n_bytes, hot):
    """How near a hot step comes to reading alone."""
    limit_us = least_us(hot)
    return {"bytes": n_bytes, "gb_per_s": n_bytes / limit_us / 1e3, "limit_us": limit_us,
            "share": limit_us / hot[0]["typical_us"]}


def cold(n_bytes, others, flushed):
    """The same for each situation with flushed caches, against one bandwidth: that of reading
    flushed memory back to back."""
    limit_us = least_us(others[flushed[0]])
    situations = []
    for label in flushed:
        typical_us = others[label][0]["typical_us"]
        times = typical_us / limit_us
        situations.append({"situation": label, "typical_us": typical_us, "times": times,
                           "read_here_us": least_us(others[label]), "met": times <= COLD_GOAL})
    return {"gb_per_s": n_bytes / limit_us / 1e3, "limit_us": limit_us, "situations": situations}


def print_limits(hot, cold_limit):
    print(f"  reads {hot['bytes'] / 1e6:.2f} MB a bin; at {hot['gb_per_s']:.0f} GB/s "
          f"{hot['limit_us']:.1f} us: {100 * hot['share']:.0f} % of the limit reached")
    print(f"  cold at {cold_limit['gb_per_s']:.0f} GB/s {cold_limit['limit_us']:.1f} us; goal: at "
          f"most {COLD_GOAL} times that")
    for entry in cold_limit["situations"]:
        print(f"    {entry['situation']:<14}{entry['typical_us']:>8.1f} us, {entry['times']:.2f} "
              f"times: {'met' if entry['met'] else 'NOT met'} (reading alone takes "
              f"{entry['read_here_us']:.1f} us here)")


def bandwidth(binaries, n_hot=41, n_cold=15):
    """[{bytes, gb_per_s, cold_gb_per_s}] for growing sizes: medians of the faster way."""
    table = []
    for size_mb in SIZES_MB:
        n_bytes = int(size_mb * 2**20)
        readers = start(binaries, n_bytes)
        took_ns = []
        for n_steps, flush in ((n_hot, False), (n_cold, True)):
            took_ns.append(min(sorted(reader.run(2 * n_steps, 0, flush))[n_steps]
                               for reader in readers))
        for reader in readers:
            reader.close()
        table.append({"bytes": n_bytes, "gb_per_s": n_bytes / took_ns[0],
                      "cold_gb_per_s": n_bytes / took_ns[1]})
    return table

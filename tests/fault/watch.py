#!/usr/bin/python3
"""A consumer of the Python client for the fault rows; fault_watch is the same with the C client.

usage: watch.py ENDPOINT STREAM

One line per look, every few milliseconds: CLOCK_MONOTONIC before the look, t_publish_ns and
valid_for_ns of the newest frame, 1 if stale, the values, " | ", the reason."""
import sys
import time

import latentd


def main():
    with latentd.Subscriber(sys.argv[1], sys.argv[2]) as stream:
        while True:
            before = time.monotonic_ns()
            cursor = stream.readout()
            if cursor is not None:
                frame = cursor.frame
                times = (frame.t_publish_ns, frame.valid_for_ns) if frame else (0, 0)
                values = (f"{v:.9g}" for v in cursor.values)
                print(before, *times, int(cursor.stale), *values, "|", cursor.reason, flush=True)
            time.sleep(0.005)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""From import to a cursor: the readout of a stream, neutral (and why) when nothing is fresh."""
import signal
import sys

from latentd import Subscriber

if len(sys.argv) != 3:
    print("usage: cursor.py ENDPOINT STREAM", file=sys.stderr)
    sys.exit(2)
for end in (signal.SIGINT, signal.SIGPIPE):  # Ctrl-C, or | head
    signal.signal(end, signal.SIG_DFL)
with Subscriber(sys.argv[1], sys.argv[2]) as stream:
    while True:
        cursor = stream.readout(timeout=0.1)
        if cursor is not None:
            print(cursor.as_dict(), cursor.reason, flush=True)

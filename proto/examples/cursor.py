#!/usr/bin/python3
"""From import to a cursor: the readout of a stream, neutral (and why) when nothing is fresh."""
import sys

from latentd import Subscriber

with Subscriber(sys.argv[1], sys.argv[2]) as stream:
    while True:
        cursor = stream.readout(timeout=0.1)
        if cursor is not None:
            print(cursor.as_dict(), cursor.reason, flush=True)

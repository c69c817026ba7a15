#!/usr/bin/python3
"""A seeded source of bins, as a process of its own: it sends as many as it is told on stdin.

usage: source.py ENDPOINT STREAM SEED EPOCH [FIRST]

One number per line: so many bins, one message each; then it answers with the number of the next
bin. FIRST: start there, as a source does that has kept its count."""
import itertools
import sys

import latentd

from plan import BIN_NS, source_counts


def main():
    endpoint, stream, seed, epoch, first = (sys.argv[1:] + ["0"])[:5]
    counts = itertools.islice(source_counts(int(seed), int(epoch)), int(first), None)
    with latentd.Publisher(endpoint, stream, BIN_NS // 1000, kind="push",
                           epoch=int(epoch)) as publisher:
        publisher.seq = int(first)
        for line in sys.stdin:
            for _ in range(int(line)):
                publisher.publish(next(counts), t_source_ns=(publisher.seq + 1) * BIN_NS)
            print(publisher.seq, flush=True)


if __name__ == "__main__":
    main()

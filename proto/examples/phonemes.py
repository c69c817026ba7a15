#!/usr/bin/python3
"""From logits to phonemes, greedily: the largest of each step, repeats collapsed, then blanks
dropped. Language models stand here in its place: they want log-softmax(logits), with the classes in
an order of their own (README.md)."""
import signal
import sys

import numpy as np

from latentd import Subscriber

BLANK = "BLANK"


class Greedy:
    """Frames of one stream -> labels."""

    def __init__(self, info):
        self.labels, self.every = info.logits, max(1, info.every_bins)
        self.last, self.step = None, None  # class and (epoch, seq) of the step before

    def take(self, frame):
        """The label that this frame adds, or None. What a trial, a gap or SAFE separates is never
        taken for one phoneme that goes on."""
        if not frame.logits.size:
            return None
        if self.step != (frame.epoch, frame.seq - self.every):
            self.last = None
        before, self.last = self.last, self.labels[int(np.argmax(frame.logits))]
        self.step = frame.epoch, frame.seq
        return None if self.last in (before, BLANK) else self.last


def main():
    if len(sys.argv) != 3:
        print("usage: phonemes.py ENDPOINT STREAM", file=sys.stderr)
        return 2
    for end in (signal.SIGINT, signal.SIGPIPE):  # Ctrl-C, or | head
        signal.signal(end, signal.SIG_DFL)
    greedy = None
    with Subscriber(sys.argv[1], sys.argv[2]) as stream:
        for frame in stream:
            if greedy is None or greedy.labels != stream.info.logits:
                greedy = Greedy(stream.info) if stream.info else None
            label = greedy and greedy.take(frame)
            if label:
                print(label, end="\n" if label == "|" else " ", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

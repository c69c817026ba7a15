"""Accuracy of a live decode: frames against the simulator's truth, over a sliding window."""
import collections

import numpy as np

WINDOW_S = 20.0
MIN_BINS = 100  # fewer say nothing
MAX_UNPAIRED = 2000  # frames or truths whose counterpart has not come


class Pairs:
    """Decoded and true values of the same bins, the newest of them."""

    def __init__(self, window_bins):
        self._pairs = collections.deque(maxlen=window_bins)  # (truth [N], decoded [N])

    def add(self, truth, decoded):
        """One bin; a value that is absent on either side does not count."""
        if decoded.size and decoded.size == truth.size:
            self._pairs.append((truth, decoded))

    def r2(self):
        """1 - SSres / SStot of every column that varies -> [N']; empty with too few bins."""
        if len(self._pairs) < MIN_BINS:
            return np.empty(0)
        truth, decoded = (np.asarray(side, np.float64) for side in zip(*self._pairs))
        residual = ((truth - decoded) ** 2).sum(axis=0)
        total = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
        return 1 - residual[total > 0] / total[total > 0]


class Score:
    """Scores of one stream. Frames and truths may come in any order; epoch and seq pair them."""

    def __init__(self, bin_width_us):
        window_bins = max(MIN_BINS, int(WINDOW_S * 1e6 / bin_width_us))
        self._rates, self._readout = Pairs(window_bins), Pairs(window_bins)
        self._frames, self._truths = {}, {}

    def on_frame(self, frame, has_readout):
        """has_readout: the frame's readout was decoded, not replaced by the neutral one."""
        self._frames[frame.epoch, frame.seq] = (frame.rates, frame.readout if has_readout else None)
        self._pair((frame.epoch, frame.seq))

    def on_truth(self, truth):
        """truth: a latent_pb2.Truth."""
        values = (np.array(truth.rates, np.float32), np.array(truth.readout, np.float32))
        self._truths[truth.epoch, truth.seq] = values
        self._pair((truth.epoch, truth.seq))

    def rate_r2(self):
        """Median over neurons, or None."""
        return _middle(self._rates.r2(), np.median)

    def readout_r2(self):
        """Mean over dimensions, or None."""
        return _middle(self._readout.r2(), np.mean)

    def _pair(self, key):
        if key in self._frames and key in self._truths:
            rates, readout = self._frames.pop(key)
            true_rates, true_readout = self._truths.pop(key)
            self._rates.add(true_rates, rates)
            if readout is not None:
                self._readout.add(true_readout, readout)
        for unpaired in (self._frames, self._truths):
            while len(unpaired) > MAX_UNPAIRED:
                del unpaired[next(iter(unpaired))]


def _middle(values, of):
    return float(of(values)) if values.size else None

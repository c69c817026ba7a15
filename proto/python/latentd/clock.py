"""Whose monotonic clock a time was read from, and how old a frame is on ours."""

import hashlib

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def clock_id():
    """Identity of this machine's CLOCK_MONOTONIC: 64 bits of a hash of the boot id; 0 when unknown.

    Equal ids, other than 0, mean that times compare directly.
    """
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            text = "".join(file.read().split())
    except OSError:
        return 0
    return int.from_bytes(hashlib.sha256(text.encode("ascii")).digest()[:8], "big") if text else 0


class Clocks:
    """When, on our clock, frames of other machines were published.

    The offset receipt - publication is the difference of the clocks plus the time the frame took,
    so the smallest offset stands for a frame that did not wait, and frames that waited look as old
    as they are. One frame proves nothing: it may have waited, or lie; nor do many that a queue let
    go together: those within SPREAD_NS of one another count as one. An offset is believed once
    FRAMES frames, over at least valid_for, came within SPREAD_NS of it with none smaller that is
    worth as much.

    Clocks drift: what is believed rises to the least offset of the newest window, but from the last
    frame that had it no faster than clocks do. A queue that stands looks ever less old, as slowly.
    """

    FRAMES = 10
    SPREAD_NS = 10**6
    WINDOW_NS = 10 * 10**9  # whose least offset the believed one rises to ...
    DRIFT_PPM = 100         # ... this fast at most
    MISSES = 256  # frames without support that end a candidate
    MAX = 16      # clocks remembered; the one not heard for longest gives way

    def __init__(self):
        self._clocks = {}  # id -> _Clock, the one heard last at the end

    def on_frame(self, frame):
        """Learn from a frame, and say when it was published: (ns on our clock, is it known?).

        While its clock is not known the time is the best guess. An offset below the believed one
        by less than valid_for is one of a frame that waited less.
        """
        clock = self._clocks.pop(frame.clock_id, None) or _Clock()
        self._clocks[frame.clock_id] = clock
        if len(self._clocks) > self.MAX:
            del self._clocks[next(iter(self._clocks))]
        offset_ns = frame.t_receipt_ns - frame.t_publish_ns
        clock.learn(offset_ns, frame.t_receipt_ns, frame.valid_for_ns)
        used_ns = clock.low_ns if clock.offset_ns is None else clock.offset_ns
        if 0 < used_ns - offset_ns < frame.valid_for_ns:
            used_ns = offset_ns
        return frame.t_publish_ns + used_ns, clock.offset_ns is not None

    def support(self, clock_id):
        """Frames that support what may become the offset of this clock."""
        return self._clocks[clock_id].n if clock_id in self._clocks else 0


class _Clock:
    """offset_ns: believed, or None; base_ns: that of a frame, at t_base_ns, from which it rose.
    window_ns: the least of the newest window. low_ns ... n_missed: of the smallest one that is not
    believed yet."""

    def __init__(self):
        self.offset_ns = None
        self.base_ns = self.t_base_ns = 0
        self.window_ns = self.t_window_ns = self.t_window_low_ns = self.n_window = 0
        self._drop()

    def _drop(self):
        self.low_ns = self.high_ns = self.t_first_ns = self.t_counted_ns = 0
        self.n = self.n_missed = 0

    def learn(self, offset_ns, t_receipt_ns, valid_for_ns):
        if self.offset_ns is not None and offset_ns - self.base_ns >= -Clocks.SPREAD_NS:
            self._watch_window(offset_ns, t_receipt_ns)
            if offset_ns <= self.offset_ns:
                self._believe(offset_ns, t_receipt_ns)
            self.n_missed += self.n > 0
            if self.n_missed > Clocks.MISSES:
                self._drop()
        elif (self._takes(offset_ns, t_receipt_ns) and self.n >= Clocks.FRAMES
              and t_receipt_ns - self.t_first_ns >= valid_for_ns):
            self.n_window = 0
            self._believe(self.low_ns, t_receipt_ns)
            self._drop()

    def _believe(self, offset_ns, t_receipt_ns):
        """It is the offset of a frame received at t_receipt_ns."""
        self.offset_ns = self.base_ns = offset_ns
        self.t_base_ns = t_receipt_ns

    def _watch_window(self, offset_ns, t_receipt_ns):
        if self.n_window and t_receipt_ns - self.t_window_ns >= Clocks.WINDOW_NS:
            self._rise(t_receipt_ns)
            self.n_window = 0
        if self.n_window == 0:
            self.t_window_ns = t_receipt_ns
        if self.n_window == 0 or offset_ns < self.window_ns:
            self.window_ns, self.t_window_low_ns = offset_ns, t_receipt_ns
        self.n_window += 1

    def _rise(self, t_receipt_ns):
        """A whole window without a frame as early as is believed."""
        allowed_ns = (t_receipt_ns - self.t_base_ns) // 10**6 * Clocks.DRIFT_PPM
        if self.n_window < Clocks.FRAMES or self.window_ns <= self.offset_ns:
            return
        if self.window_ns - self.base_ns <= allowed_ns:
            self._believe(self.window_ns, self.t_window_low_ns)
        else:
            self.offset_ns = max(self.offset_ns, self.base_ns + allowed_ns)

    def _takes(self, offset_ns, t_receipt_ns):
        """Does the frame support the candidate? Otherwise a smaller offset takes its place; a
        larger one does when nothing has supported it for long: it was of a frame that lied."""
        if (self.n and offset_ns - self.low_ns <= Clocks.SPREAD_NS
                and self.high_ns - offset_ns <= Clocks.SPREAD_NS):
            self.low_ns = min(self.low_ns, offset_ns)
            self.high_ns = max(self.high_ns, offset_ns)
            self.n_missed = 0
            if t_receipt_ns - self.t_counted_ns >= Clocks.SPREAD_NS:
                self.t_counted_ns = t_receipt_ns
                self.n += 1
            return True
        self.n_missed += 1
        if self.n == 0 or offset_ns < self.low_ns or self.n_missed > Clocks.MISSES:
            self.low_ns = self.high_ns = offset_ns
            self.t_first_ns = self.t_counted_ns = t_receipt_ns
            self.n, self.n_missed = 1, 0
        return False

"""What a consumer may act on: the rules of proto/README.md, "When a frame may be acted on".

No socket and no clock of its own; judge.c is the same in C, and both are held to
tests/unit/judge_vectors.json.
"""

import math

import numpy as np

from .clock import Clocks
from .frames import Flag, Readout

MAX_VALID_FOR_NS = 3600 * 10**9  # the longest that latentd can be configured to say


class Judge:
    """Infos and frames go in, a readout comes out for a time."""

    def __init__(self, local_clock_id):
        self.info = None    # the newest Info
        self.newest = None  # the newest Frame
        self._local = local_clock_id
        self._infos = {}    # decoder_id -> Info, the newest two
        self._held = {}     # (name, unit) -> the value last given out, of readouts that hold theirs
        self._clocks = Clocks()
        self._published_ns = 0      # of the newest frame, on our clock
        self._clock_is_known = True
        self._continues = True      # it is not HELD, or has been since before its expiry

    def on_info(self, info):
        """False: it has values that no device should get, and is not taken."""
        if not all(math.isfinite(r.neutral) and not any(map(math.isnan, (r.min, r.max, r.slew)))
                   for r in info.readout):
            return False
        if self.info is not None and info.decoder_id != self.info.decoder_id:
            self._infos = {self.info.decoder_id: self.info}
        self._infos[info.decoder_id] = info
        self.info = info
        named = {(r.name, r.unit) for i in self._infos.values() for r in i.readout if r.hold}
        self._held = {key: value for key, value in self._held.items() if key in named}
        return True

    def on_frame(self, frame):
        """A frame with the time of its receipt."""
        self._continues = self._carries_on(frame)
        self.newest = frame
        self._published_ns, self._clock_is_known = frame.t_publish_ns, True
        is_local = self._local != 0 and frame.clock_id == self._local
        if not is_local and frame.valid_for_ns <= MAX_VALID_FOR_NS:
            self._published_ns, self._clock_is_known = self._clocks.on_frame(frame)

    def is_after(self, t_ns):
        """Was the newest frame published after this time, as far as can be told?"""
        return self._published_ns > t_ns

    def readout(self, now_ns):
        """Readout, judged at now_ns; None: no Info yet, or the stream has no readout."""
        info = self._infos.get(self.newest.decoder_id, self.info) if self.newest else self.info
        if info is None or not info.readout:
            return None
        reason = self._unfit(info, now_ns)
        values = self._resting(info) if reason else self.newest.readout
        if not reason:
            self._keep(info)
        return Readout(info.readout, values, bool(reason), reason, self.newest)

    def _resting(self, info):
        """[n_readout] float32: neutral, or the value last given out where that is held."""
        return np.array([self._held.get((r.name, r.unit), r.neutral) if r.hold else r.neutral
                         for r in info.readout], np.float32)

    def _keep(self, info):
        for readout_field, value in zip(info.readout, self.newest.readout):
            if readout_field.hold:
                self._held[readout_field.name, readout_field.unit] = value

    def _carries_on(self, frame):
        """A HELD frame says again what was said before, so it may carry on what a consumer has, and
        never bring back what has expired. Both times are of the publisher's clock."""
        if not frame.flags & Flag.HELD:
            return True
        before = self.newest
        return (before is not None and self._continues and frame.clock_id == before.clock_id
                and before.valid_for_ns <= MAX_VALID_FOR_NS
                and 0 <= frame.t_publish_ns - before.t_publish_ns < before.valid_for_ns)

    def _unfit(self, info, now_ns):
        """Why the newest frame must not drive a device; empty when it may."""
        frame = self.newest
        if frame is None:
            return "no frame yet"
        if frame.decoder_id != info.decoder_id:
            return "the decoder changed and its info has not come yet"
        if frame.readout.size != len(info.readout):
            return (f"the frame carries {frame.readout.size} readout values, "
                    f"its info names {len(info.readout)}")
        if not np.isfinite(frame.readout).all():
            return "the readout is not finite"
        return self._untimely(frame, now_ns)

    def _untimely(self, frame, now_ns):
        age_ns = now_ns - self._published_ns
        if frame.valid_for_ns > MAX_VALID_FOR_NS:
            return (f"valid_for of {frame.valid_for_ns / 1e9:.0f} s; "
                    f"at most {MAX_VALID_FOR_NS / 1e9:.0f} s are believed")
        if not self._clock_is_known:
            support = self._clocks.support(frame.clock_id)
            return (f"the publisher's clock is not known yet: {support} of {Clocks.FRAMES} frames, "
                    "over valid_for, agree")
        if self.is_after(frame.t_receipt_ns) or age_ns < 0:
            return "published in the future: the clocks of publisher and subscriber disagree"
        if age_ns >= frame.valid_for_ns:
            return (f"expired: {age_ns / 1e6:.1f} ms old, "
                    f"valid for {frame.valid_for_ns / 1e6:.1f} ms")
        return "" if self._continues else "held: what this frame repeats had expired"

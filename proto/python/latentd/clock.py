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


class FrameAge:
    """Age of frames on the local clock, whatever clock stamped them.

    A frame stamped by this machine's clock is compared directly. For a foreign clock the smallest
    offset (receipt - publish) seen stands for a frame that did not wait, so that frames which
    waited in a queue look as old as they are.
    """

    def __init__(self, local_clock_id):
        self._local = local_clock_id
        self._foreign = None
        self._smallest_offset_ns = 0

    def on_frame(self, frame):
        """Learn from the receipt of a frame."""
        if self._is_local(frame):
            return
        offset_ns = frame.t_receipt_ns - frame.t_publish_ns
        if frame.clock_id != self._foreign:
            self._foreign = frame.clock_id
            self._smallest_offset_ns = offset_ns
        self._smallest_offset_ns = min(self._smallest_offset_ns, offset_ns)

    def age_ns(self, frame, now_ns):
        """Nanoseconds from the frame's publication to now_ns (CLOCK_MONOTONIC, local)."""
        offset_ns = 0 if self._is_local(frame) else self._smallest_offset_ns
        return now_ns - (frame.t_publish_ns + offset_ns)

    def _is_local(self, frame):
        return self._local != 0 and frame.clock_id == self._local

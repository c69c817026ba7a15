#!/usr/bin/python3
"""kill -9 at random instants while recording: the file opens and is sound, nothing is missing
before its end, at most the sync interval at its end, and what is there comes out the same bit by
bit.

RECORD_KILLS=200 does it two hundred times (default: 12)."""
import os
import random
import threading
import time
import unittest

import daemon_rig as rig
import record_rig as records

KILLS = int(os.environ.get("RECORD_KILLS", "12"))
SEED = 20260401
LONGEST_S = 1.2  # from the first bin to the kill
PACE_S = 0.001
SYNC_MS = 100


class Pump(threading.Thread):
    """Sends until told to end: the daemon dies in the middle of it."""

    def __init__(self, traffic):
        super().__init__()
        self.traffic, self.ended = traffic, threading.Event()

    def run(self):
        while not self.ended.is_set():
            self.traffic.send(1)
            time.sleep(PACE_S)

    def end(self):
        self.ended.set()
        self.join()


def received(consumer):
    """All that has come, until nothing comes any more."""
    found = []
    while consumer.socket.poll(300):
        topic, payload = consumer.socket.recv_multipart()
        if topic.endswith(b"/frame"):
            found.append(payload)
    return found


class CrashTest(unittest.TestCase):
    def kill_once(self, the_rig, name, instant_s, seed):
        """-> (frames received, missing at the end of the record, ms that they span)."""
        model, mode = records.ARCHITECTURES[name]
        path = the_rig.folder / f"{seed}.record"
        the_rig.configure({"arm": {"model": model, "record": path.name, "record_sync_ms": SYNC_MS,
                                   **({"mode": mode} if mode else {})}})
        the_rig.start()
        source, consumer = the_rig.source(), the_rig.consumer("arm")
        pump = Pump(records.Traffic(source, "arm", consumer.info, seed))
        pump.start()
        time.sleep(instant_s)
        the_rig.process.kill()
        the_rig.process.wait(rig.WAIT_S)
        the_rig.process.stdout.close()
        the_rig.process = None
        frames = received(consumer)
        pump.end()
        for socket in (source, consumer.socket):
            the_rig.sockets.remove(socket)
            socket.close(linger=0)
        return self.compare(path, frames)

    def compare(self, path, frames):
        """The record may have more than came out of the socket, or less; what it has is right."""
        records.check_whole(path)
        kept = records.frames_of(path)
        n = min(len(kept), len(frames))
        self.assertEqual(kept[:n], frames[:n])
        self.assertEqual(records.sql(path, "SELECT count(*) FROM losses"), [["0"]])
        missing = [rig.pb.Frame.FromString(frame) for frame in frames[len(kept):]]
        if not missing:
            return len(frames), 0, 0.0
        last = rig.pb.Frame.FromString(kept[-1]) if kept else missing[0]
        return len(frames), len(missing), (missing[-1].t_publish_ns - last.t_publish_ns) / 1e6

    def test_kill(self):
        instants = random.Random(SEED)
        names = list(records.ARCHITECTURES)
        spans, n_frames = [], 0
        the_rig = rig.Rig()
        self.addCleanup(the_rig.close)
        for i in range(KILLS):
            n, n_missing, span_ms = self.kill_once(
                the_rig, names[i % len(names)], instants.uniform(0.0, LONGEST_S), SEED + i)
            n_frames += n
            spans.append(span_ms)
            print(f"{i}: {names[i % len(names)]}, {n} frames received, {n_missing} missing, "
                  f"{span_ms:.1f} ms", flush=True)
        spans.sort()
        print(f"{KILLS} kills, {n_frames} frames; missing at the end: median "
              f"{spans[len(spans) // 2]:.1f} ms, largest {spans[-1]:.1f} ms", flush=True)
        self.assertGreater(n_frames, 100 * KILLS)


if __name__ == "__main__":
    unittest.main(verbosity=2)

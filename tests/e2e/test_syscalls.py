#!/usr/bin/python3
"""The system calls of the data thread: libzmq's and libuv's own on event descriptors, none of ours.

strace is attached to that one thread after READY and a warm-up, while bins come at a pace, with
gaps, bad messages, restarts, a record and the once-a-second info.
"""
import collections
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import unittest

import curve_rig
import daemon_rig as rig

ALLOWED = {"epoll_wait", "epoll_pwait", "poll", "getpid", "read", "write", "timerfd_settime"}
# Attaching interrupts the call in progress; the kernel then shows how it is taken up again.
OF_ATTACHING = {"restart_syscall"}
N_BINS, PACE_S = 1500, 0.001
# Frames are made without bins too.
IMPATIENT, N_MISSING = {"on_missing": "hold-frame", "missing_after_ms": 60, "lease_ms": 200,
                        "valid_for_ms": 80, "source_clock": "auto"}, 20
FRAME_MS = 100
CALL = re.compile(r"^(\w+)\((\d+)?")


def may_trace():
    """Can this user trace a child here? (Containers and ptrace_scope may forbid it.)"""
    child = subprocess.Popen(["sleep", "60"])
    try:
        tracer = subprocess.Popen(["strace", "-p", str(child.pid)], stderr=subprocess.PIPE,
                                  text=True)
    except FileNotFoundError:
        child.kill()
        child.wait()
        return False
    line = tracer.stderr.readline()
    child.kill()
    child.wait()
    tracer.communicate()
    return "attached" in line


def thread_named(pid, name):
    """-> thread id."""
    found = [int(task.name) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
             if (task / "comm").read_text().strip() == name]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} threads are named {name}")
    return found[0]


class Tracer:
    """strace on one thread; calls: (name, first argument if it is a number)."""

    def __init__(self, thread, log):
        self._log = log
        self._process = subprocess.Popen(["strace", "-o", log, "-p", str(thread)],
                                         stderr=subprocess.PIPE, text=True)
        if "attached" not in self._process.stderr.readline():
            raise AssertionError("strace could not attach")

    def calls(self):
        self._process.send_signal(signal.SIGINT)
        self._process.communicate()
        found = (CALL.match(line) for line in self._log.read_text().splitlines())
        return [match.groups() for match in found if match]


def cpu_ticks(pid, thread):
    """CPU time of a thread, in the kernel's ticks."""
    fields = pathlib.Path(f"/proc/{pid}/task/{thread}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


class SyscallTest(unittest.TestCase):
    KEYS = {}
    TIMERS_A_BIN = 1

    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        rig.write_model(self.rig.folder / "model.safetensors")
        # TCP, as on a rig: the port is the system's choice.
        self.rig.configure({"arm": {"input": "tcp://127.0.0.1:*", "output": "tcp://127.0.0.1:*",
                                    "record": "arm.record", **IMPATIENT, **self.KEYS}})
        ends = self.rig.start()
        self.source = self.rig.source(ends["arm.input"])
        self.consumer = self.rig.consumer("arm", ends["arm.output"])
        self.seq, self.epoch = 0, 1

    def wait_for_frame(self):
        """Until the bin that was sent is answered for: the thread has to wake for each, however
        busy the machine is. A frame that became too old on the way is not waited for."""
        while self.consumer.socket.poll(FRAME_MS):
            topic, payload = self.consumer.socket.recv_multipart()
            frame = rig.pb.Frame.FromString(payload) if topic == b"arm/frame" else None
            if frame and frame.t_recv_ns and (frame.epoch, frame.seq) == (self.epoch, self.seq):
                return

    def send_bins(self, n):
        for i in range(n):
            if i % 100 == 50:
                self.seq += 3
            if i % 500 == 250:
                time.sleep(0.08)  # missing-after: the next epoch is believed at once
                self.epoch += 1
            if i % 100 == 75:
                self.source.send_multipart([b"arm/bins", b"\xff\xff"])
            self.source.send_multipart(
                [b"arm/bins", rig.pack_bins(self.seq, [i % 3, 1, 0], epoch=self.epoch)])
            self.wait_for_frame()
            self.seq += 1
            time.sleep(PACE_S)

    def is_eventfd(self, number):
        link = os.readlink(f"/proc/{self.rig.process.pid}/fd/{number}")
        return link in ("anon_inode:[eventfd]", "anon_inode:[timerfd]")

    def test_data_thread(self):
        self.send_bins(N_BINS)
        self.rig.wait_for("arm", "bins", "decoded", N_BINS)
        tracer = Tracer(thread_named(self.rig.process.pid, "data-0"), self.rig.folder / "strace")
        self.send_bins(N_BINS)
        self.rig.wait_for("arm", "sequence", "missing", N_MISSING)  # held, then SAFE
        self.rig.wait_for("arm", "bins", "decoded", 2 * N_BINS)
        calls = tracer.calls()
        names = collections.Counter(name for name, _ in calls)
        print("calls a bin:", {name: round(n / N_BINS, 2) for name, n in names.items()}, flush=True)
        self.check_waits(names)
        self.assertEqual(set(names) - ALLOWED - OF_ATTACHING, set(), names)
        self.assertGreater(names["timerfd_settime"], 0)
        n_frames = self.rig.status()["streams"]["arm"]["frames"]["due"]
        self.assertLessEqual(names["timerfd_settime"], self.TIMERS_A_BIN * n_frames)
        for number in {number for name, number in calls if name in ("read", "write")}:
            self.assertTrue(self.is_eventfd(number), f"descriptor {number}")


    def check_waits(self, names):
        """Without spinning, most wakes come from epoll."""
        self.assertGreater(names["epoll_wait"] + names["epoll_pwait"], N_BINS / 10)


class CurveTest(SyscallTest):
    """The same over encrypted sockets: the work on keys is that of other threads."""

    def setUp(self):
        self.rig = curve_rig.CurveRig()
        self.addCleanup(self.rig.close)
        ends = self.rig.start_encrypted({"record": "arm.record", **IMPATIENT})
        self.source = self.rig.source(ends["arm.input"], keys=self.rig.keys("rig"))
        self.consumer = self.rig.consumer("arm", ends["arm.output"], keys=self.rig.keys("screen"))
        self.seq, self.epoch = 0, 1


class SpinTest(SyscallTest):
    """The same with spin-ms: the socket is asked instead of waited for, by the same calls."""
    KEYS = {"spin_ms": 20}

    def check_waits(self, names):
        self.assertGreater(names["poll"], N_BINS)

    def test_spinning_ends(self):
        """A source that stops costs one window, not a CPU for ever."""
        self.send_bins(10)
        self.rig.wait_for("arm", "bins", "decoded", 10)
        pid = self.rig.process.pid
        thread = thread_named(pid, "data-0")
        time.sleep(0.5)
        before = cpu_ticks(pid, thread)
        time.sleep(2)
        self.assertLess(cpu_ticks(pid, thread) - before, os.sysconf("SC_CLK_TCK"))


class WarmTest(SyscallTest):
    """The same with warm-ms: the timer fires before each bin, and nothing else is called."""
    KEYS = {"warm_ms": 19.5}  # half a millisecond after the one before: they come early here
    TIMERS_A_BIN = 2

    def check_waits(self, names):
        self.assertGreater(names["timerfd_settime"], N_BINS / 2)


if __name__ == "__main__":
    if not may_trace():
        print("SKIP host: strace cannot attach to a process here")
        sys.exit(77)
    unittest.main(verbosity=2)

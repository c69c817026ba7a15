#!/usr/bin/python3
"""What latentd tells a service manager: READY, that it lives as long as its data loops turn, and
STOPPING."""
import ctypes
import os
import pathlib
import signal
import socket
import sys
import unittest

import daemon_rig as rig

TIMES = 5  # seconds, and messages that would come in them
PTRACE_ATTACH, PTRACE_DETACH, WAIT_ALL = 16, 17, 0x40000000


class ThreadStop:
    """One thread of a process stands still, the others go on."""

    def __init__(self, pid, name):
        tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
        self.thread = next(int(task.name) for task in tasks
                           if (task / "comm").read_text().strip() == name)
        self._libc = ctypes.CDLL(None, use_errno=True)

    def stop(self):
        """May raise PermissionError."""
        if self._libc.ptrace(PTRACE_ATTACH, self.thread, None, None):
            raise PermissionError(ctypes.get_errno(), "ptrace")
        os.waitpid(self.thread, WAIT_ALL)

    def resume(self):
        self._libc.ptrace(PTRACE_DETACH, self.thread, None, None)


class WatchdogTest(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        rig.write_model(self.rig.folder / "model.safetensors")
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind(str(self.rig.folder / "notify"))
        self.manager.settimeout(rig.WAIT_S)

    def start(self, n_streams=1, **environment):
        self.rig.configure({f"s{i}": {"loop": str(i), "input": f"ipc://{self.rig.folder}/in{i}",
                                      "output": f"ipc://{self.rig.folder}/out{i}"}
                            for i in range(n_streams)})
        self.rig.start(environment={"NOTIFY_SOCKET": self.manager.getsockname(), **environment})
        self.assertEqual(self.manager.recv(100), b"READY=1")

    def messages(self, seconds):
        """All that come until none has come for so long, or too many have."""
        self.manager.settimeout(seconds)
        found = []
        try:
            while len(found) < TIMES:
                found.append(self.manager.recv(100))
        except TimeoutError:
            pass
        self.manager.settimeout(rig.WAIT_S)
        return found

    def test_every_loop_counts(self):
        """Two idle loops: life is told; not while one of them stands still."""
        self.start(n_streams=2, WATCHDOG_USEC="5000000")
        self.assertEqual([self.manager.recv(100) for _ in range(3)], [b"WATCHDOG=1"] * 3)
        for name in ("data-0", "data-1"):
            loop = ThreadStop(self.rig.process.pid, name)
            try:
                loop.stop()
            except PermissionError:
                print("SKIP host: a process cannot be traced here")
                sys.exit(77)
            self.assertLessEqual(len(self.messages(TIMES)), 1)  # of before it was stopped
            loop.resume()
            self.assertEqual([self.manager.recv(100) for _ in range(3)], [b"WATCHDOG=1"] * 3)
        self.assertEqual(self.rig.stop(signal.SIGTERM), 0)
        self.assertIn(b"STOPPING=1", self.messages(0.1))

    def test_nobody_watches(self):
        for environment in ({}, {"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}):
            self.start(**environment)
            self.assertEqual(self.messages(TIMES), [])
            self.rig.stop()
            self.assertEqual(self.messages(0.1), [b"STOPPING=1"])

    def test_too_short(self):
        self.start(WATCHDOG_USEC="2900000")
        notes = [note for note in self.rig.status()["notes"] if "watchdog" in note]
        self.assertEqual(len(notes), 1)
        self.assertIn("2.9 s only; expected at least 3", notes[0])

    def test_file_size_limit(self):
        """SIGXFSZ, as of a record beyond a limit, does not end it."""
        self.start()
        self.rig.process.send_signal(signal.SIGXFSZ)
        self.assertEqual(self.rig.status()["streams"]["s0"]["state"], "waiting")


if __name__ == "__main__":
    unittest.main(verbosity=2)

#!/usr/bin/python3
"""Priority, CPU, limits: what latentd asks of the system for its threads, seen in /proc, and what
it says when it is refused."""
import os
import pathlib
import unittest

import daemon_rig as rig

SCHED_OTHER, SCHED_FIFO = 0, 1
PRIORITY = 7
# Root is only refused without the capabilities.
UNPRIVILEGED = ["prlimit", "--rtprio=0", "--"]
if os.geteuid() == 0:
    UNPRIVILEGED += ["setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice"]


def may_raise():
    """Does the system allow real-time priority here?"""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


class SchedulingTest(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        rig.write_model(self.rig.folder / "model.safetensors")

    def start(self, *command, stream=None, **daemon_keys):
        self.rig.configure({"arm": stream or {}}, **daemon_keys)
        self.rig.start(*command)

    def threads(self):
        """[(name, policy, priority, CPUs)] of the daemon."""
        found = []
        for task in pathlib.Path(f"/proc/{self.rig.process.pid}/task").iterdir():
            thread = int(task.name)
            found.append(((task / "comm").read_text().strip(), os.sched_getscheduler(thread),
                          os.sched_getparam(thread).sched_priority, os.sched_getaffinity(thread)))
        return found

    def io_threads(self, expected):
        """ZeroMQ's I/O threads as expected, a sorted list of (policy, priority, CPUs): they set
        themselves up after READY, each in its own time."""
        time_is_left = rig.deadline()
        while time_is_left():
            found = sorted((more for name, *more in self.threads() if "IO" in name), key=str)
            if found == sorted(expected, key=str):
                return
        self.assertEqual(found, expected)

    def notes(self, word):
        return [note for note in self.rig.status()["notes"] if word in note]

    def decodes(self):
        source, consumer = self.rig.source(), self.rig.consumer("arm")
        source.send_multipart([b"arm/bins", rig.pack_bins(0, [1, 2, 0])])
        self.assertEqual(consumer.frames(1)[0].seq, 0)

    def test_nothing_is_asked_by_default(self):
        self.start()
        everywhere = os.sched_getaffinity(0)
        for name, policy, _, cpus in self.threads():
            self.assertEqual((policy, cpus), (SCHED_OTHER, everywhere), name)
        self.decodes()

    @unittest.skipUnless(may_raise(), "no real-time priority here")
    def test_priority(self):
        """The data loop, the sink and the ZeroMQ threads of their contexts; not the main thread,
        not those of the control context."""
        self.start(realtime_priority=PRIORITY)
        threads = [(name, policy, priority) for name, policy, priority, _ in self.threads()]
        self.assertIn(("data-0", SCHED_FIFO, PRIORITY), threads)
        self.assertIn(("sink", SCHED_FIFO, PRIORITY), threads)
        self.assertIn(("latentd", SCHED_OTHER, 0), threads)
        everywhere = os.sched_getaffinity(0)
        self.io_threads([[SCHED_OTHER, 0, everywhere]] + 2 * [[SCHED_FIFO, PRIORITY, everywhere]])
        self.assertEqual(self.notes("priority"), [])
        self.decodes()

    def test_cpu(self):
        cpu = max(os.sched_getaffinity(0))
        self.start(stream={"cpu": cpu}, io_cpu=cpu)
        threads = [(name, cpus) for name, _, _, cpus in self.threads()]
        self.assertIn(("data-0", {cpu}), threads)
        self.assertIn(("sink", {cpu}), threads)
        everywhere = os.sched_getaffinity(0)
        self.assertIn(("latentd", everywhere), threads)
        self.io_threads(2 * [[SCHED_OTHER, 0, {cpu}]] + [[SCHED_OTHER, 0, everywhere]])
        self.assertEqual(self.notes("CPU"), [])
        self.decodes()

    def test_refused_priority(self):
        """Told for each thread, not fatal."""
        self.start(*UNPRIVILEGED, realtime_priority=PRIORITY)
        self.assertEqual({policy for _, policy, _, _ in self.threads()}, {SCHED_OTHER})
        notes = self.notes("real-time priority 7 is refused (Operation not permitted)")
        self.assertEqual([note.split(":")[0] for note in notes], ["ZeroMQ's threads", "data-0"])
        self.decodes()

    def test_refused_cpu(self):
        self.start(stream={"cpu": 1023}, io_cpu=1023)
        notes = self.notes("CPU 1023 is refused (Invalid argument)")
        self.assertEqual([note.split(":")[0] for note in notes], ["ZeroMQ's threads", "data-0"])
        self.decodes()

    def test_open_files(self):
        """The soft limit becomes the hard one."""
        self.start("prlimit", "--nofile=100:2000", "--")
        limits = pathlib.Path(f"/proc/{self.rig.process.pid}/limits").read_text()
        line, = (line for line in limits.splitlines() if line.startswith("Max open files"))
        self.assertEqual(line.split()[3:5], ["2000", "2000"])
        self.decodes()

    def test_timer_slack(self):
        self.start()
        for task in pathlib.Path(f"/proc/{self.rig.process.pid}/task").iterdir():
            if (task / "comm").read_text().strip() == "data-0":
                slack = pathlib.Path(f"/proc/{task.name}/timerslack_ns")
                self.assertEqual(slack.read_text().strip(), "1")


if __name__ == "__main__":
    unittest.main(verbosity=2)

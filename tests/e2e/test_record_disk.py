#!/usr/bin/python3
"""A disk that is full, a file that is held, a write that does not come back: frames and ledgers of
a stream are as without a record, the status shows how it is, and what is in the file is right."""
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import unittest

import daemon_rig as rig
import record_rig as records

SMALL_DISK = "1m"
STALL_US = 2_000_000


def may_mount():
    """Can this user make a small disk of its own here?"""
    return subprocess.run(["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
                          capture_output=True, check=False).returncode == 0


def may_trace():
    child = subprocess.Popen(["sleep", "60"])
    tracer = subprocess.Popen(["strace", "-p", str(child.pid)], stderr=subprocess.PIPE, text=True)
    line = tracer.stderr.readline()
    child.kill()
    child.wait()
    tracer.communicate()
    return "attached" in line


class Case(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        self.received = []

    def start(self, record, *before, **keys):
        model, _ = records.ARCHITECTURES["gru"]
        self.rig.configure({"arm": {"model": model, "record": record, **records.RESTARTS, **keys}})
        self.rig.start(*before)
        self.consumer = self.rig.consumer("arm")
        self.traffic = records.Traffic(self.rig.source(), "arm", self.consumer.info, seed=20260401,
                                       settle=self.settle)

    def settle(self):
        return self.rig.wait_for("arm", "messages", "in", self.traffic.n_sent)

    def send(self, n):
        """n messages, all of them accounted for, every frame received: the stream is well."""
        self.traffic.send(n)
        status = self.settle()
        self.assertEqual(status["frames"]["published"], status["frames"]["due"])
        n_new = status["frames"]["published"] - len(self.received)
        self.received += [self.consumer.payload() for _ in range(n_new)]
        newest = self.received[len(self.received) - n_new:]
        numbers = [rig.pb.Frame.FromString(frame).pub_seq for frame in newest]
        self.assertEqual(numbers, list(range(len(self.received) - n_new, len(self.received))))
        return status

    def send_until(self, condition):
        """Messages until the record's status is as wanted; -> that status."""
        time_is_left = rig.deadline()
        while time_is_left():
            record = self.send(100)["record"]
            if condition(record):
                return record
        raise AssertionError(f"the record did not get there: {record}")

    def check_frames(self, path):
        """Every frame that the record has is the one that was sent; the last came at the end."""
        kept = [frame for frame in records.frames_of(path) if frame is not None]
        numbers = [rig.pb.Frame.FromString(frame).pub_seq for frame in kept]
        self.assertEqual(numbers, sorted(set(numbers)))
        for number, frame in zip(numbers, kept):
            if number < len(self.received):
                self.assertEqual(frame, self.received[number])


class FullDisk(Case):
    def test_full_disk(self):
        disk = self.rig.folder / "disk"
        disk.mkdir()
        self.start("disk/arm.record", "unshare", "-Urm", "sh", "-c",
                   f'mount -t tmpfs -o size={SMALL_DISK} tmpfs {disk} && exec "$@"', "sh")
        ended = self.send_until(lambda r: r["state"] != "recording")
        self.assertEqual(ended["state"], "stopped: disk full")
        self.assertIn("full", ended["text"])
        self.assertGreater(ended["counts"]["entries"], 0)
        self.assertGreater(ended["counts"]["lost_entries"], 0)
        status = self.send(100)
        ended = status["record"]
        self.assertEqual(ended["counts"]["frames"] + ended["counts"]["lost_frames"],
                         status["frames"]["published"])
        _, table, _ = self.rig.ctl("status")
        self.assertIn("stopped: disk full", table)
        self.send(500)
        kept = self.rig.folder / "kept"
        shutil.copytree(f"/proc/{self.rig.process.pid}/root/{disk}", kept)
        records.check_whole(kept / "arm.record")
        self.check_frames(kept / "arm.record")
        entries = records.sql(kept / "arm.record", "SELECT count(*) FROM entries")
        self.assertEqual(entries, [[str(ended["counts"]["entries"])]])
        self.record_elsewhere()

    def record_elsewhere(self):
        path = self.rig.folder / "second.record"
        code, _, err = self.rig.ctl("record", "start", "arm", str(path))
        self.assertEqual(code, 0, err)
        self.send(100)
        self.assertEqual(self.rig.ctl("record", "stop", "arm")[0], 0)
        records.wait_for_record(self.rig, "arm", lambda r: r["state"] == "stopped")
        records.check_whole(path)


class SlowDisk(Case):
    def end(self):
        """Stop, and check the whole record; -> what verify said."""
        self.assertEqual(self.rig.stop(), 0)
        path = self.rig.folder / "arm.record"
        self.check_frames(path)
        lost, = records.sql(path, "SELECT coalesce(sum(n_frames), 0) FROM losses")
        kept, = records.sql(path, "SELECT count(*) FROM frames WHERE flags & 64 = 0")
        sent = [rig.pb.Frame.FromString(frame) for frame in self.received]
        self.assertEqual(int(lost[0]) + int(kept[0]), sum(not f.flags & rig.SAFE for f in sent))
        return records.check_whole(path)

    def test_file_held_by_another(self):
        self.start("arm.record", record_buffer_mib=1)
        self.send(200)
        holder = sqlite3.connect(self.rig.folder / "arm.record", isolation_level=None)
        while True:
            try:
                holder.execute("BEGIN IMMEDIATE")
                break
            except sqlite3.OperationalError:
                continue
        thinned = self.send_until(lambda r: r["state"] == "thinned")
        self.assertGreater(thinned["counts"]["thinned"], 0)
        lossy = self.send_until(lambda r: r["counts"]["lost_entries"] > 300)
        self.assertEqual(lossy["state"], "thinned")
        self.assertEqual(lossy["counts"]["gaps"], 1)
        holder.execute("ROLLBACK")
        holder.close()
        self.send_until(lambda r: r["state"] == "recording" and r["counts"]["buffer_used"] == 0)
        self.send(200)
        self.assertRegex(self.end(), r"thinned [1-9].*\n.*gaps 1, entries lost in them [1-9]")

    def test_write_that_does_not_come_back(self):
        self.start("arm.record", record_buffer_mib=1)
        self.send(200)
        thread = next(task.name for task in
                      pathlib.Path(f"/proc/{self.rig.process.pid}/task").iterdir()
                      if (task / "comm").read_text().strip() == "recorder")
        stall = subprocess.Popen(
            ["strace", "-o", "/dev/null", "-p", thread, "-e", "trace=pwrite64,fdatasync",
             "-e", f"inject=pwrite64,fdatasync:delay_enter={STALL_US}"],
            stderr=subprocess.PIPE, text=True)
        self.assertIn("attached", stall.stderr.readline())
        lossy = self.send_until(lambda r: r["counts"]["lost_entries"] > 300)
        self.assertEqual(lossy["state"], "thinned")
        stall.send_signal(signal.SIGINT)
        stall.communicate()
        self.send_until(lambda r: r["state"] == "recording" and r["counts"]["buffer_used"] == 0)
        self.send(200)
        self.assertRegex(self.end(), r"gaps [1-9]")


if __name__ == "__main__":
    if not may_mount():
        print("SKIP host: no tmpfs can be mounted in a namespace here")
        sys.exit(77)
    if not may_trace():
        print("SKIP host: strace cannot attach to a process here")
        sys.exit(77)
    unittest.main(verbosity=2)

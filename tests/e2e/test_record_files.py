#!/usr/bin/python3
"""A record whose files are not left alone while it is written: renamed, replaced, deleted, cut,
its folder moved away. latentd says so, goes on in another file that overwrites nothing, and counts
as lost what cannot be read any more. And a copy without its -wal, which says what it lacks."""
import os
import shutil
import sqlite3
import subprocess
import unittest

import daemon_rig as rig
import record_rig as records

PRECIOUS = b"not a record\n"


def beside(path, suffix):
    return path.with_name(path.name + suffix)


def cut(path, n_bytes):
    os.truncate(path, n_bytes)


def replace(path):
    other = path.with_name("other")
    other.write_bytes(PRECIOUS)
    other.rename(path)


def fold(path):
    """What any reader may do: no harm, and no other file."""
    other = sqlite3.connect(path)
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    other.close()


# What is done, and what latentd is to say of it. "": nothing. LOSES: what was in it is lost.
KINDS = {
    "renamed": (lambda p: p.rename(p.with_name("old.db")), "was renamed .*old.db now"),
    "all-renamed": (lambda p: [beside(p, s).rename(beside(p.with_name("old.db"), s))
                               for s in ("", "-wal", "-shm")], "was renamed .*old.db now"),
    "replaced": (replace, "was replaced .*all of it has been copied"),
    "deleted": (lambda p: p.unlink(), "was deleted .*all of it has been copied"),
    "cut": (lambda p: cut(p, 0), "was cut to 0 bytes.*all of it has been copied"),
    "wal-deleted": (lambda p: beside(p, "-wal").unlink(), "-wal was deleted or renamed"),
    "wal-replaced": (lambda p: replace(beside(p, "-wal")), "-wal was replaced"),
    "wal-cut": (lambda p: cut(beside(p, "-wal"), 0), "-wal was cut .*cannot be read any more"),
    "wal-halved": (lambda p: cut(beside(p, "-wal"), beside(p, "-wal").stat().st_size // 2),
                   "-wal was cut .*cannot be read any more"),
    "shm-deleted": (lambda p: beside(p, "-shm").unlink(), "-shm was deleted or renamed"),
    "shm-cut": (lambda p: cut(beside(p, "-shm"), 0), "-shm was cut"),
    "folder-moved": (lambda p: p.parent.rename(p.parent.with_name("moved")), "was renamed .*moved"),
    "folder-deleted": (lambda p: shutil.rmtree(p.parent), "was deleted .*has been copied"),
    "folded": (fold, ""),
}
LOSES = {"wal-cut", "wal-halved"}


class Case(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        rig.write_model(self.rig.folder / "model.safetensors")
        self.rig.configure({"arm": {}})
        self.rig.start()
        self.consumer = self.rig.consumer("arm")
        self.traffic = records.Traffic(self.rig.source(), "arm", self.consumer.info, seed=20260401)

    def send(self, n):
        self.traffic.send(n)
        self.rig.wait_for("arm", "messages", "in", self.traffic.n_sent)

    def start(self, path):
        code, _, err = self.rig.ctl("record", "start", "arm", str(path))
        self.assertEqual(code, 0, err)

    def stop(self):
        code, out, err = self.rig.ctl("record", "stop", "arm")
        self.assertEqual(code, 0, err)
        ended = records.wait_for_record(self.rig, "arm", lambda r: r["state"].startswith("stopped"))
        self.assertEqual(ended["state"], "stopped")
        return ended, out

    def settled(self):
        return records.wait_for_record(self.rig, "arm", lambda r: r["counts"]["buffer_used"] == 0)


class Files(Case):
    def run_kind(self, kind, act, expected):
        folder = self.rig.folder / kind / "d"
        folder.mkdir(parents=True)
        path = folder / "arm.db"
        self.start(path)
        self.send(200)
        before = self.settled()["counts"]
        act(path)
        n_files = 2 if expected else 1
        time_is_left = rig.deadline()
        while time_is_left() and records.record_of(self.rig, "arm")["counts"]["files"] < n_files:
            self.send(20)
        self.send(100)
        return path.parent.parent, before, *self.stop()

    def check(self, kind, act, expected):
        folder, before, ended, told = self.run_kind(kind, act, expected)
        counts = ended["counts"]
        self.assertEqual(counts["files"], 2 if expected else 1)
        self.assertRegex(ended["text"], expected or "^$")
        if expected:
            self.assertIn("in 2 files", told)
            self.assertRegex(self.rig.log.read_text(), f"{expected}.*goes on in .*arm-2.db\n")
        kept = []
        for file in sorted(folder.rglob("*.db")):
            if file.read_bytes() == PRECIOUS or file.stat().st_size == 0:
                continue
            if records.verify(file)[0] == 0:  # of one that was cut nothing may be left
                kept += records.sql(file, "SELECT pub_seq, entry FROM frames")
        numbers = [int(number) for number, _ in kept]
        self.assertEqual(len(numbers), counts["frames"])
        self.assertEqual(len(set(numbers)), len(numbers))
        missing = max(numbers) + 1 - min(numbers) - len(numbers)
        if kind in LOSES:
            self.assertGreater(counts["lost_frames"], 0)
            if counts["lost_frames"] != before["frames"]:
                self.assertEqual(counts["lost_frames"], missing)
        else:
            self.assertEqual((counts["lost_entries"], counts["lost_frames"], missing), (0, 0, 0))
        return folder

    def test_kinds(self):
        for kind, (act, expected) in KINDS.items():
            with self.subTest(kind):
                folder = self.check(kind, act, expected)
                if kind == "replaced":
                    self.assertEqual((folder / "d" / "arm.db").read_bytes(), PRECIOUS)

    def test_again_and_again(self):
        """Each time it goes on under a name that it never had; what it wrote before is whole."""
        path = self.rig.folder / "arm.db"
        self.start(path)
        for n in range(4):
            self.send(50)
            now = self.settled()["path"]
            os.rename(now, self.rig.folder / f"taken-{n}.db")
            time_is_left = rig.deadline()
            while time_is_left() and records.record_of(self.rig, "arm")["path"] == now:
                self.send(5)
        ended, _ = self.stop()
        self.assertEqual((ended["counts"]["files"], ended["counts"]["lost_entries"]), (5, 0))
        self.assertEqual(ended["path"], str(self.rig.folder / "arm-5.db"))
        for file in self.rig.folder.glob("*.db"):
            records.check_whole(file)


class Copy(Case):
    def test_without_its_wal(self):
        """Verification and export have the same words for what is not there."""
        path, copy = self.rig.folder / "arm.db", self.rig.folder / "copy.db"
        self.start(path)
        self.send(200)
        self.settled()
        fold(path)
        self.send(200)  # stays in the -wal
        self.settled()
        shutil.copy(path, copy)
        lacks = "was not closed.*if this is a copy, what was in its -wal is missing"
        code, out, _ = records.verify(copy)
        self.assertEqual(code, 0)
        self.assertRegex(out, lacks)
        done = self.export(copy)
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stderr, lacks)
        live = self.export(path)
        self.assertRegex(live.stderr, "not closed: it is still being written, or its writer was st")
        self.assertNotIn("copy", live.stderr)
        self.stop()
        self.assertEqual(self.export(path).stderr, "")

    def export(self, path):
        return subprocess.run([rig.BIN / "latentctl", "export", path, self.rig.folder / "out.h5"],
                              capture_output=True, text=True, timeout=rig.WAIT_S, check=False)

    def test_an_old_wal_gets_no_record(self):
        """A -wal without its record holds data that SQLite would delete."""
        (self.rig.folder / "arm.db-wal").write_bytes(PRECIOUS)
        code, _, err = self.rig.ctl("record", "start", "arm", str(self.rig.folder / "arm.db"))
        self.assertEqual(code, 1)
        self.assertRegex(err, "arm.db-wal is there, of a record that was renamed or removed")
        self.assertEqual((self.rig.folder / "arm.db-wal").read_bytes(), PRECIOUS)


if __name__ == "__main__":
    unittest.main(verbosity=2)

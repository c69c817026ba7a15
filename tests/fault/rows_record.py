"""Faults of the disk that a record goes to, and of the daemon while it records: the stream's
ledgers and frames are as without a record, and what is in the file is right."""
import signal
import sqlite3
import subprocess

import chain
import plan
import record_rig as records
from chain import rig
from table import Skip, row

SMALL_DISK_KIB = 400


def record_of(c):
    return c.status()["record"]


def check_kept(path, frames):
    """The file is whole, runs again bit by bit, and its frames are those that were received, from
    the first on. -> how many."""
    records.check_whole(path)
    kept = [data for data in records.frames_of(path) if data is not None]
    sent = [frame.SerializeToString() for frame in map(chain.pb.Frame.FromString, kept)]
    if sent[:len(frames)] != [frame.SerializeToString() for frame in frames[:len(sent)]]:
        raise AssertionError("the record has other frames than were received")
    return len(kept)


@row("disk full", "the record's disk is full after a few hundred KiB, while everything happens "
     "that can happen to bins", "the record stops and says so; ledgers and frames of the stream as "
     "planned; what was recorded runs again bit by bit")
def disk_full(run):
    p = plan.Plan(run.seed, run.pick(len(plan.INCIDENTS), 1000))
    with chain.Chain(run.seed, p.actions, stream={"record": "disk/arm.record"}) as c:
        disk = c.folder / "disk"
        disk.mkdir()
        mount = f"mount -t tmpfs -o size={SMALL_DISK_KIB}k tmpfs {disk}"
        if subprocess.run(["unshare", "-Urm", "sh", "-c", mount], check=False,
                          capture_output=True).returncode:
            raise Skip("no tmpfs can be mounted in a namespace here")
        c.start("unshare", "-Urm", "sh", "-c", f'{mount} && exec "$@"', "sh")
        frames = chain.follow(c, p)
        chain.wait_until(lambda: record_of(c)["state"] == "stopped: disk full", "the disk is full")
        copy = c.folder / "copy"
        subprocess.run(["cp", "-r", f"/proc/{c.rig.process.pid}/root/{disk}", copy], check=True)
        n_kept = check_kept(copy / "arm.record", frames)
    return f"{n_kept} of {len(frames)} frames recorded"


@row("disk slow", "a disk that takes nothing (the file is locked by another program), until the "
     "record's memory is full", "the record thins, then has a gap that it counts; ledgers and "
     "frames of the stream as planned; afterwards the record goes on")
def disk_slow(run):
    p = plan.Plan(run.seed, run.pick(60, 1000))
    keys = {"record": "arm.record", "record_buffer_mib": 1}
    with chain.Chain(run.seed, p.actions, stream=keys) as c:
        c.start()
        holder = sqlite3.connect(c.folder / "arm.record", isolation_level=None, timeout=rig.WAIT_S)
        holder.execute("BEGIN IMMEDIATE")
        frames = chain.follow(c, p)
        stalled = record_of(c)
        if stalled["state"] != "thinned" or stalled["counts"]["lost_entries"] == 0:
            raise AssertionError(f"the record did not notice: {stalled}")
        holder.execute("ROLLBACK")
        holder.close()
        chain.wait_until(lambda: record_of(c)["counts"]["buffer_used"] == 0, "the record goes on")
        if c.rig.stop(signal.SIGTERM) != 0:
            raise AssertionError("exit code is not 0")
        path = c.folder / "arm.record"
        lost, = records.sql(path, "SELECT coalesce(sum(n_entries), 0) FROM losses")
        records.check_whole(path)
    return f"{len(frames)} frames, {lost[0]} entries lost in gaps that are told"


@row("kill recording", "the daemon is killed (-9) while it records", "the file opens, is whole, "
     "and runs again bit by bit; its frames are those that were sent")
def kill_recording(run):
    rounds, n_kept, n_sent = run.pick(3, 40), 0, 0
    for i in range(rounds):
        p = plan.Plan(run.seed + i, len(plan.INCIDENTS))
        with chain.Chain(run.seed, p.actions, stream={"record": "arm.record"}) as c:
            c.start()
            frames = c.feed(p.pick(1, p.n_slots) * plan.SLOT_BINS)
            c.rig.stop(signal.SIGKILL)
            n_kept += check_kept(c.folder / "arm.record", frames)
            n_sent += len(frames)
    return f"{rounds} kills, {n_kept} of {n_sent} frames in the files"

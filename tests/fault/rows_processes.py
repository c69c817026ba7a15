"""Faults of the processes around the daemon: each is killed, the CPU is taken away."""
import os
import random
import signal
import subprocess
import sys
import time

import chain
import plan
from chain import rig
from table import row


@row("kill source", "the source is killed (-9) and starts anew with another epoch",
     "a restart: RESET on its first bin, counted once; every bin is decoded")
def kill_source(run):
    rounds = run.pick(3, 50)
    with chain.Chain(run.seed, stream={"missing_after_ms": 20}) as c:
        c.start()
        for epoch in range(1, rounds + 1):
            frames = c.feed(plan.SLOT_BINS)
            counts = plan.source_counts(c.seed, epoch)
            flags = [rig.RESET if epoch > 1 else 0] + [0] * (plan.SLOT_BINS - 1)
            events = [(seq, flags[seq], next(counts)) for seq in range(plan.SLOT_BINS)]
            chain.check_frames(frames, events)
            if {f.epoch for f in frames} != {epoch}:
                raise AssertionError(f"epochs {sorted({f.epoch for f in frames})}")
            c.end(c.source)
            time.sleep(0.03)  # missing-after: the next epoch is believed at once
            c.start_source(epoch + 1)
        c.feed(1)
        status = c.status()
        seen = (status["sequence"]["restarts"], status["sequence"]["resets"],
                status["sequence"]["lost"], status["bins"]["decoded"])
        if seen != (rounds, rounds, 0, rounds * plan.SLOT_BINS + 1):
            raise AssertionError(f"restarts, resets, lost, decoded: {seen}")
    return f"{rounds} restarts"


@row("kill proxy", "the network dies with what it carries: the proxy is killed (-9) while bins "
     "pass, and comes back", "what it took with it is lost, to the bin; the rest is decoded")
def kill_proxy(run):
    rounds, n = run.pick(2, 30), 4 * plan.SLOT_BINS
    rng = random.Random(run.seed)
    with chain.Chain(run.seed) as c:
        c.start()
        for _ in range(rounds):
            feed_until_decoded(c)
            c.proxy.send(signal.SIGSTOP)
            c.source.feed(rng.randint(1, n))
            c.end(c.proxy)
            c.start_proxy()
        feed_until_decoded(c)
        s = c.status()
        n_bins = s["last_seq"] + 1
        if s["bins"]["decoded"] + s["sequence"]["lost"] != n_bins:
            raise AssertionError(f"{s['bins']} and {s['sequence']} for {n_bins} bins")
        lost = s["sequence"]["lost"]
        if lost == 0:
            raise AssertionError("the proxies took nothing with them")
    return f"{n_bins} bins, {lost} lost with {rounds} proxies"


def feed_until_decoded(c):
    """One bin after the other until one gets through: the first may go with the old proxy."""
    before = c.status()["bins"]["decoded"]

    def goes_on():
        c.source.feed(1)
        return c.status()["bins"]["decoded"] > before
    chain.wait_until(goes_on, "the stream goes on")


@row("kill latentctl", "latentctl is killed (-9) at random instants of its requests",
     "the daemon answers the next one; the stream does not notice")
def kill_latentctl(run):
    rng, n = random.Random(run.seed), run.pick(40, 1000)
    with chain.Chain(run.seed) as c:
        c.start()
        frames = c.feed(plan.SLOT_BINS)
        for _ in range(n):
            ctl = subprocess.Popen(
                [rig.BIN / "latentctl", "--control", c.rig.control, "status", "--json"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0, 0.01))
            ctl.kill()
            ctl.wait()
        frames += c.feed(plan.SLOT_BINS)
        counts = plan.source_counts(c.seed, 1)
        chain.check_frames(frames, [(seq, 0, next(counts)) for seq in range(2 * plan.SLOT_BINS)])
        if c.status()["bins"]["decoded"] != 2 * plan.SLOT_BINS:
            raise AssertionError("bins were lost")
    return f"{n} killed"


HOG = "while True: pass"


@row("CPU hog", "twice as many busy processes as there are CPUs",
     "every bin decoded; each miss of the budget is flagged LATE and counted, and no other frame "
     "is")
def hog(run):
    n = run.pick(4, 400) * plan.SLOT_BINS
    with chain.Chain(run.seed, stream={"budget_ms": 0.1}) as c:
        c.start()
        hogs = [c.own(chain.Child([sys.executable, "-c", HOG])) for _ in range(2 * os.cpu_count())]
        frames = c.feed(n)
        for one in hogs:
            c.end(one)
        counts = plan.source_counts(c.seed, 1)
        chain.check_frames(frames, [(seq, 0, next(counts)) for seq in range(n)])
        for f in frames:
            over = f.t_publish_ns - f.t_recv_ns > 100_000  # or late by the pace of the source
            late = bool(f.flags & rig.LATE)
            if over and not late or late != (f.budget_left_ns < 0):
                raise AssertionError(f"bin {f.seq}: late {over}, flags {f.flags:#x}")
        n_late = sum(bool(f.flags & rig.LATE) for f in frames)
        n_over = sum(f.t_publish_ns - f.t_recv_ns > 100_000 for f in frames)
        status = c.rig.wait_for("arm", "bins", "decoded", n)
        if (status["budget_misses"], status["flags"]["LATE"]) != (n_over, n_late):
            raise AssertionError(f"{n_late} frames are late, {n_over} over the budget; counted "
                                 f"{status['flags']['LATE']}, {status['budget_misses']}")
    return f"{n} bins, {n_over} over a budget of 0.1 ms"


SOAK_KIB = 2048  # the heap's own steps, seen after oversize messages; a leak has no end


@row("soak", "bins as fast as they are taken, with every kind of incident",
     "memory stays, ledgers exact at the end")
def soak(run):
    """Memory is compared with what it was after the first quarter."""
    p = plan.Plan(run.seed, run.pick(400, 32000))
    quarter = p.n_bins // 4 // chain.CHUNK_BINS * chain.CHUNK_BINS
    with chain.Chain(run.seed, p.actions) as c:
        c.start()
        frames = c.feed(quarter)
        before = c.memory()
        frames += c.feed(p.n_bins - quarter)
        p.expect_safe((f.seq, f.t_recv_ns) for f in frames)
        p.expect_made(sum(map(chain.is_made, frames)))
        p.check_counters(c.rig.wait_for("arm", "bins", "in", p.expect["bins.in"]))
        grown = c.check_memory(before, SOAK_KIB)
    return f"{p.n_bins} bins, {p.n_slots} incidents, {grown:+d} KiB"

"""Faults of what comes in: what the network and the source do to the bins."""
import time

import chain
import plan
from chain import rig
from table import row

BIN_S = plan.BIN_NS / 1e9


def follow(run, kinds, quick, full):
    """A stream through these incidents, seeded; ledgers and every frame as planned."""
    p = plan.Plan(run.seed, run.pick(quick, full), kinds)
    with chain.Chain(run.seed, p.actions) as c:
        c.start()
        frames = chain.follow(c, p)
        unknown = [n for name, n in c.rig.status()["inputs"].items() if "unknown_topic" in name]
        if unknown != [p.unknown_topic]:
            raise AssertionError(f"unknown topics: expected {p.unknown_topic}, found {unknown}")
    return f"{p.n_bins} bins, {p.n_slots} incidents, {len(frames)} frames"


@row("loss", "bins lost, 1 to 25 in a row, and 26 to 35, which is beyond max-gap",
     "filled by the forecast (beyond max-gap: reset); ledgers and every frame as planned")
def loss(run):
    return follow(run, ["loss", "long loss"], 10, 2000)


@row("duplication", "bins that come again, at once, within the reorder window, and beyond",
     "duplicate or stale, counted each; no second frame")
def duplication(run):
    return follow(run, ["duplicate", "duplicate later", "echo"], 10, 2000)


@row("reordering", "bins that come late, within the reorder window and beyond",
     "filled, then late_after_fill or stale; lost or reordered by a running balance")
def reordering(run):
    return follow(run, ["reordering", "late"], 10, 2000)


@row("corruption", "garbage, truncation, infinities, short bins, foreign topics",
     "refused by name and counted; the bin is filled; the stream goes on")
def corruption(run):
    return follow(run, ["corruption", "truncation", "garbage", "not a number", "short counts",
                        "unknown topic"], 12, 2000)


@row("wrong width", "messages of another channel count or bin width",
     "refused.shape, counted; the stream goes on")
def wrong_width(run):
    return follow(run, ["wrong width", "wrong bin width"], 6, 1000)


@row("oversize", "messages above the stream's bound, messages of three parts and more",
     "refused.length, counted; the stream goes on")
def oversize(run):
    return follow(run, ["too long", "too many parts"], 6, 1000)


@row("burst", "up to 30 bins held back, then sent at once",
     "every bin decoded, in order; nothing lost, nothing twice")
def burst(run):
    return follow(run, ["burst"], 6, 1000)


@row("overflow", "finite input that drives the output beyond a float",
     "SAFE in its place, neutral at once; on from a reset, and out of SAFE after safe-exit bins")
def overflow(run):
    return follow(run, ["overflow"], 6, 1000)


N_UNSAID, LEASE_BINS = 50, 1500  # bins: a second, where the model does not say; half a minute


def send_same(c, seq, counts, n):
    """n equal bins from number seq on; -> their frames."""
    source, frames = c.rig.source(), []
    for first in range(seq, seq + n, chain.CHUNK_BINS):
        rows = range(first, min(first + chain.CHUNK_BINS, seq + n))
        for i in rows:
            source.send_multipart([b"arm/bins", rig.pack_bins(i, counts)])
        frames += c.consumer.frames(len(rows))
    return frames


@row("no signal", "no spike in any channel; then a buffer that sends the same bin again and again",
     "NO_SIGNAL after a second of them, SAFE a lease later; the stream comes back with its signal")
def no_signal(run):
    n = N_UNSAID + LEASE_BINS + 50
    keys = {"on_gap": "zero", "lease_ms": 20 * LEASE_BINS}
    for counts in ([0, 0, 0], [1, 0, 2]):
        with chain.Chain(run.seed, stream=keys) as c:
            c.start()
            c.feed(chain.CHUNK_BINS)
            frames = send_same(c, chain.CHUNK_BINS, counts, n)
            told = [f.seq - chain.CHUNK_BINS for f in frames if f.flags & rig.NO_SIGNAL]
            safe = [f.seq - chain.CHUNK_BINS for f in frames if f.flags & rig.SAFE]
            first = N_UNSAID - 1
            if (told, safe) != (list(range(first, n)), list(range(first + LEASE_BINS, n))):
                raise AssertionError(f"{counts}: told from {told[:1]}, SAFE from {safe[:1]}")
            status = c.status()
            seen = (status["state"], status["flags"]["NO_SIGNAL"], status["flags"]["SAFE"])
            if seen != ("safe-no-signal", len(told), len(safe)):
                raise AssertionError(f"{counts}: state, NO_SIGNAL, SAFE: {seen}")
            c.end(c.source)
            c.start_source(first=chain.CHUNK_BINS + n)
            if any(f.flags & rig.NO_SIGNAL for f in c.feed(chain.CHUNK_BINS)):
                raise AssertionError("told though the signal is back")
            chain.wait_until(lambda: not c.feed(1)[-1].flags & rig.SAFE, "SAFE ends")
    return f"{n} bins each"


@row("mixture", "all of the above, mixed",
     "the three ledgers and every frame exactly as planned")
def mixture(run):
    return follow(run, None, len(plan.INCIDENTS), 5000)


@row("wild numbers", "numbers, times and epochs that cannot be, one message at a time",
     "refused.jump, refused.source; nothing moves, and only what was damaged is missing")
def wild_numbers(run):
    return follow(run, ["wild number", "number damaged", "wild time", "time damaged",
                        "foreign epoch", "epoch damaged"], 12, 2000)


def step_over(c, n_in):
    """Three messages that agree, over two bins as the daemon sees them: the last is believed."""
    for k in range(3):
        c.source.feed(1)
        c.rig.wait_for("arm", "bins", "in", n_in + k + 1)
        time.sleep(BIN_S)


@row("source clock", "the source's clock steps by hours, both ways, and drifts by 500 ppm",
     "a step: two bins refused.jump, then a restart; a drift: nothing; t_source_ns as it came in")
def source_clock(run):
    hour_ns = 3600 * 10**9
    actions = {"100": [["shift", 3 * hour_ns]], "200": [["shift", -2 * hour_ns]],
               "300": [["drift", 500]], "400": [["shift", 2**62]]}
    n, refused = 512, {100, 101, 200, 201, 400, 401}
    with chain.Chain(run.seed, actions) as c:
        c.start()
        frames = c.feed(100)
        for at, end in ((100, 200), (200, 400), (400, n)):
            step_over(c, at)
            frames += c.consumer.frames(1) + c.feed(end - at - 3)
        times = list(clock_of(n, hour_ns))
        if [f.t_source_ns for f in frames] != [times[i] for i in range(n) if i not in refused]:
            raise AssertionError("t_source_ns was changed on the way")
        status = c.status()
        seen = (status["bins"]["decoded"], status["bins"]["refused.jump"],
                status["frames"]["published"], status["sequence"]["lost"],
                status["sequence"]["restarts"], status["sequence"]["resets"])
        if seen != (n - 6, 6, n - 6, 0, 3, 3):
            raise AssertionError(f"decoded, jumped, published, lost, restarts, resets: {seen}")
    return f"{n} bins"


def send(socket, epoch, seq, counts):
    socket.send_multipart([b"arm/bins", chain.rig.pack_bins(seq, counts, epoch)])


@row("counter wraps", "the source's counter goes on from elsewhere: 32 bits wrap, far jumps",
     "two bins refused.jump, then a restart, with RESET on its first bin; none is lost")
def counter_wraps(run):
    places, n = (2**32 - 10, 0, 10**12, 5000), 10
    events, n_in = [], 0
    with chain.Chain(run.seed) as c:
        c.start()
        socket, counts = c.rig.source(), plan.source_counts(run.seed, 1)
        for k, place in enumerate(places):
            for i in range(n):
                row_ = next(counts)
                send(socket, 1, place + i, row_)
                n_in += 1
                if k == 0 or i >= 2:
                    events.append((place + i, chain.rig.RESET if k and i == 2 else 0, row_))
                if k and i <= 2:  # two bins of time, as the daemon sees them
                    c.rig.wait_for("arm", "bins", "in", n_in)
                    time.sleep(BIN_S)
        chain.check_frames(c.consumer.frames(len(events)), events)
        status = c.rig.wait_for("arm", "bins", "in", n_in)
        seen = (status["bins"]["decoded"], status["bins"]["refused.jump"],
                status["sequence"]["restarts"], status["sequence"]["lost"])
        if seen != (len(events), 2 * (len(places) - 1), len(places) - 1, 0):
            raise AssertionError(f"decoded, jumped, restarts, lost: {seen}")
    return f"{seen[2]} restarts"


@row("two sources", "two sources send as one stream: two epochs by turns; the same numbers",
     "the first is decoded, the other refused.source or duplicate; status and log name them")
def two_sources(run):
    n = run.pick(100, 10000)
    for epochs, outcome in (((1, 2), "refused.source"), ((0, 0), "duplicate")):
        with chain.Chain(run.seed, stream={"safe_exit": 10}) as c:
            c.start()
            socket, events = c.rig.source(), []
            for k, counts in zip(range(n), plan.source_counts(run.seed, 1)):
                send(socket, epochs[0], k, counts)
                send(socket, epochs[1], k, [count + 1 for count in counts])
                events.append((k, 0, counts))
            chain.check_frames(c.consumer.frames(n), events)
            status = c.rig.wait_for("arm", "bins", "in", 2 * n)
            if (status["bins"]["decoded"], status["bins"][outcome]) != (n, n):
                raise AssertionError(f"{n} decoded, {n} {outcome} expected: {status['bins']}")
            chain.wait_until(lambda c=c: "two sources" in c.rig.log.read_text(), "log")
            text = c.rig.ctl("status")[1]
            if "two_sources" not in status["refusals"] or "two sources" not in text:
                raise AssertionError(f"not named in the status: {text}")
    return f"{n} bins of each"


def clock_of(n, hour_ns):
    """What the proxy makes of the time of bin i, from the plan's words."""
    for i in range(n):
        shift = 3 * hour_ns * (i >= 100) - 2 * hour_ns * (i >= 200) + 2**62 * (i >= 400)
        yield plan.clock_reads((i + 1) * plan.BIN_NS, 500 * (i >= 300), shift)

"""Faults of what comes in: what the network and the source do to the bins."""
import chain
import plan
from chain import rig
from table import row


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


@row("source clock", "the source's clock steps by hours, both ways, and drifts by 500 ppm",
     "every bin decoded, ledgers untouched; t_source_ns goes out as it came in")
def source_clock(run):
    hour_ns = 3600 * 10**9
    actions = {"100": [["shift", 3 * hour_ns]], "200": [["shift", -2 * hour_ns]],
               "300": [["drift", 500]], "400": [["shift", 2**62]]}
    n = 512
    with chain.Chain(run.seed, actions) as c:
        c.start()
        frames = c.feed(n)
        expected = list(clock_of(n, hour_ns))
        if [f.t_source_ns for f in frames] != expected:
            raise AssertionError("t_source_ns was changed on the way")
        status = c.status()
        seen = (status["bins"]["decoded"], status["frames"]["published"],
                status["sequence"]["lost"], status["sequence"]["resets"])
        if seen != (n, n, 0, 0):
            raise AssertionError(f"decoded, published, lost, resets: {seen}")
    return f"{n} bins"


def clock_of(n, hour_ns):
    """What the proxy makes of the time of bin i, from the plan's words."""
    for i in range(n):
        shift = 3 * hour_ns * (i >= 100) - 2 * hour_ns * (i >= 200) + 2**62 * (i >= 400)
        yield plan.clock_reads((i + 1) * plan.BIN_NS, 500 * (i >= 300), shift)

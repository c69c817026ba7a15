"""Faults of time: silence, old frames, late steps; and what each policy makes of them."""
import chain
import plan
from chain import rig
from table import row

ON_GAP = ("predict", "zero", "hold-input", "mean", "reset")
ON_MISSING = ("hold-frame", "predict", "safe", "skip")
SILENCE = {"missing_after_ms": "auto", "lease_ms": 1000, "safe_ramp_ms": 300, "safe_exit": 10,
           "valid_for_ms": "auto"}
SAFE_EXIT = 10
NO_TIME_IS_LATE = 0.001  # ms: what every step takes longer than


@row("on-gap", "bins lost, under each of the five policies",
     "one frame per missing bin, from what the policy puts in their place; reset: none; ledgers "
     "and every frame as planned")
def on_gap(run):
    n_slots = run.pick(3, 500)
    for policy in ON_GAP:
        p = plan.Plan(run.seed, n_slots, ["loss", "long loss"], policy)
        with chain.Chain(run.seed, p.actions, stream={"on_gap": policy}) as c:
            c.start()
            chain.follow(c, p)
    return f"{len(ON_GAP)} policies, {n_slots} gaps each"


def is_neutral_safe(frame):
    return bool(frame.flags & rig.SAFE) and tuple(frame.readout) == rig.NEUTRAL


def frames_until(c, fits, most=100000):
    """Frames up to the first that fits."""
    found = c.consumer.frames(1)
    while not fits(found[-1]):
        if len(found) == most:
            raise AssertionError("no frame fits")
        found += c.consumer.frames(1)
    return found


def between_last_and_safe(policy, last, made):
    """The frames before SAFE are those of the policy."""
    seqs = [f.seq - last.seq for f in made]
    flags = {f.flags & ~(chain.TIME_FLAGS | rig.LIMITED) for f in made}  # on the way from neutral
    expected = {"hold-frame": (rig.HELD, [0] * len(made)),
                "predict": (rig.FILLED | rig.PREDICTED, list(range(1, len(made) + 1)))}
    if policy not in expected:
        if made:
            raise AssertionError(f"{policy}: {len(made)} frames before SAFE")
    elif (flags - {expected[policy][0]}, seqs) != (set(), expected[policy][1]):
        raise AssertionError(f"{policy}: flags {flags}, seq {seqs}")
    for f in made:
        if policy == "hold-frame" and tuple(f.readout) != tuple(last.readout):
            raise AssertionError(f"held {f.readout}, it was {last.readout}")


def check_ramp(last, safe):
    """From the last readout to neutral, never back, and neutral at the end."""
    for i, neutral in enumerate(rig.NEUTRAL):
        away = [abs(f.readout[i] - neutral) for f in [last, *safe]]
        if any(b > a + 1e-5 for a, b in zip(away, away[1:])) or away[-1] != 0:
            raise AssertionError(f"SAFE goes from {last.readout} by {away}")


def feed_undisturbed(c):
    """Bins until a slot of them came through without a pause: on a slow machine the source itself
    falls silent now and then. -> frames."""
    frames = c.feed(plan.SLOT_BINS)
    while any(chain.is_made(f) or f.flags & (rig.SAFE | rig.FILLED) for f in frames[-10:]):
        frames += c.feed(plan.SLOT_BINS)
    return frames


def fall_silent(c, policy):
    """Good bins, then silence: every frame is what the policy says. -> frames, how many of the
    policy came before SAFE."""
    before = feed_undisturbed(c)
    last = before[-1]
    silent = frames_until(c, is_neutral_safe)
    n_made = next(i for i, f in enumerate(silent) if f.flags & rig.SAFE)
    between_last_and_safe(policy, last, silent[:n_made])
    check_ramp(silent[n_made - 1] if n_made else last, silent[n_made:])
    return before + silent, n_made


@row("silence", "the source falls silent, under each of the four policies on-missing, and comes "
     "back",
     "held, predicted, SAFE or no frames, and SAFE at the latest with the lease; neutral by a "
     "ramp; back after safe-exit good bins; every frame is counted")
def silence(run):
    rounds = run.pick(1, 20)
    n_made = dict.fromkeys(ON_MISSING, 0)
    for policy in [policy for _ in range(rounds) for policy in ON_MISSING]:
        with chain.Chain(run.seed, stream={**SILENCE, "on_missing": policy}) as c:
            c.start()
            frames, n = fall_silent(c, policy)
            n_made[policy] += n
            come_back(c, frames)
            status = c.status()
            frames += c.consumer.frames(status["frames"]["published"] - len(frames))
            chain.check_flags(frames, status)
            n_without = sum(f.t_recv_ns == 0 for f in frames)
            sequence = status["sequence"]
            if sequence["missing"] + sequence["filled"] != n_without or sequence["restarts"] != 1:
                raise AssertionError(f"{policy}: {n_without} frames without a bin, {sequence}")
    if not n_made["hold-frame"] or not n_made["predict"]:
        raise AssertionError(f"no frames of the policy: {n_made}")
    return f"{rounds} times each, frames before SAFE: {n_made}"


def come_back(c, frames):
    """A new start of the source: SAFE ends after safe-exit good bins, unless silence falls again in
    between, as it may on a slow machine. The frames are added to frames."""
    c.end(c.source)
    c.start_source(epoch=2)
    time_is_left = rig.deadline()
    while frames[-1].flags & (rig.SAFE | rig.HELD) or frames[-1].epoch != 2:
        if not time_is_left():
            raise AssertionError("SAFE does not end")
        c.source.feed(SAFE_EXIT + 1)
        newest = c.source.next_bin - 1
        frames += frames_until(c, lambda f, end=newest: f.epoch == 2 and f.seq == end)


@row("old frames", "frames older than max-age when they are ready",
     "not sent, counted as suppressed.age; their bins are decoded; with publish-late all are sent")
def old_frames(run):
    n = run.pick(10, 1000) * plan.SLOT_BINS
    keys = {"max_age_ms": NO_TIME_IS_LATE, "publish_late": "no"}
    with chain.Chain(run.seed, stream=keys) as c:
        c.start()
        for _ in range(n // plan.SLOT_BINS):
            c.source.feed(plan.SLOT_BINS)
        status = c.rig.wait_for("arm", "bins", "decoded", n)
        sent = status["frames"]["published"]
        frames = c.consumer.frames(sent)
        old = [f.seq for f in frames if f.t_publish_ns - f.t_recv_ns > NO_TIME_IS_LATE * 1e6]
        if old or status["frames"]["suppressed.age"] != n - sent or sent == n:
            raise AssertionError(f"{n} decoded, {status['frames']}, too old: {old[:5]}")
    return f"{n} bins, {n - sent} suppressed"


ON_LATE = {  # policy: (flags of a late frame that goes out, is it counted as skipped?)
    "publish": rig.LATE,
    "hold-frame": rig.LATE | rig.HELD,
    "skip": None,
    "safe": rig.LATE | rig.SAFE,
}


@row("late steps", "steps over the budget, under each of the four policies on-late",
     "published, held, skipped or SAFE, as configured; each is counted as a miss")
def late_steps(run):
    n = run.pick(4, 400) * plan.SLOT_BINS
    for policy, flags in ON_LATE.items():
        keys = {"budget_ms": NO_TIME_IS_LATE, "on_late": policy}
        with chain.Chain(run.seed, stream=keys) as c:
            c.start()
            for _ in range(n // plan.SLOT_BINS):
                c.source.feed(plan.SLOT_BINS)
            status = c.rig.wait_for("arm", "bins", "decoded", n)
            late, sent = status["budget_misses"], status["frames"]["published"]
            skipped = late if policy == "skip" else 0
            made = status["sequence"]["missing"]
            if (sent, status["frames"]["skipped"]) != (n + made - skipped, skipped) or not late:
                raise AssertionError(f"{policy}: {late} of {n} late, {status['frames']}")
            frames = c.consumer.frames(sent)
            chain.check_flags(frames, status)
            check_late(policy, flags, [f for f in frames if not chain.is_made(f)], late)
    return f"{len(ON_LATE)} policies, {n} bins each"


def check_late(policy, flags, frames, late):
    found = [f.flags & (rig.LATE | rig.HELD | rig.SAFE) for f in frames]
    n_late = sum(bool(f & rig.LATE) for f in found)
    if policy == "skip":
        if n_late:
            raise AssertionError(f"{n_late} late frames were not skipped")
    elif n_late != late or any(f & flags != flags for f in found if f & rig.LATE):
        raise AssertionError(f"{policy}: {late} misses, flags {sorted(set(found))}")


@row("operator's SAFE", "latentctl safe on and off while bins come",
     "neutral at once and for as long as it is on, bins decoded meanwhile; off: fresh again")
def operator_safe(run):
    with chain.Chain(run.seed) as c:
        c.start()
        c.feed(plan.SLOT_BINS)
        ask_safe(c, "on")
        frames_until(c, is_neutral_safe)
        held = c.feed(plan.SLOT_BINS)
        if not all(is_neutral_safe(f) for f in held):
            raise AssertionError("a frame is not neutral though SAFE is on")
        ask_safe(c, "off")
        chain.wait_until(lambda: not c.feed(1)[-1].flags & rig.SAFE, "SAFE ends")
        free = c.feed(plan.SLOT_BINS)
        if any(f.flags & rig.SAFE for f in free):
            raise AssertionError("SAFE though it is off")
        if c.status()["bins"]["decoded"] != c.source.next_bin:
            raise AssertionError("bins were not decoded")
    return f"{len(held)} frames while it was on"


def ask_safe(c, word):
    code, _, err = c.rig.ctl("safe", "arm", word)
    if code:
        raise AssertionError(f"latentctl safe arm {word}: {err}")

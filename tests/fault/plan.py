"""A seeded plan of faults on one stream, and what the contract says must come of it.

A plan is a run of slots of 64 bins. In each slot one incident happens, in the middle, so that
its effects are over before the next. For each incident there is one function: it writes down what
the proxy shall do, and by hand what that must cost: counters of the three ledgers, and the frames
that a consumer sees. Nothing here is computed by the code under test.
"""
import collections
import random

SLOT_BINS = 64
INCIDENT_AT = 20       # in its slot
N_CHANNELS = 3
MAX_GAP_BINS = 25      # max-gap-ms = 500 at bins of 20 ms
WINDOW_BINS = 16       # reorder-window
BIN_NS = 20_000_000

GAP, FILLED, PREDICTED, SAFE, RESET = 1 << 1, 1 << 2, 1 << 3, 1 << 6, 1 << 7


def source_counts(seed, epoch):
    """The bins of one start of the source, for ever: lists of N_CHANNELS counts."""
    rng = random.Random(f"{seed}/{epoch}")
    while True:
        yield [rng.randrange(4) for _ in range(N_CHANNELS)]


def clock_reads(t_ns, ppm, shift_ns):
    """What a clock shows that runs fast by ppm and is off by shift_ns."""
    return max(1, min(2**63, t_ns + t_ns * ppm // 10**6 + shift_ns))


class Plan:
    """actions: by number of the message at the proxy, [[verb, arguments ...]]; expect: counters by
    "group.name"; trace(): the frames."""

    def __init__(self, seed, n_slots, kinds=None, on_gap="predict"):
        """kinds: names of incidents; default: all. on_gap: the daemon's policy."""
        self.seed, self.n_slots, self.on_gap = seed, n_slots, on_gap
        self.rng = random.Random(seed)
        self.n_bins = n_slots * SLOT_BINS
        self.actions = {}
        self.expect = collections.Counter()
        self.unknown_topic = 0
        self.filled, self.absent, self.safe = set(), set(), set()
        self.overflows = set()
        self.flags = collections.Counter()  # of the bin with this number
        self.kinds = collections.Counter()
        names = list(kinds or INCIDENTS)
        for slot in range(n_slots):
            name = names[slot] if slot < len(names) else self.rng.choice(names)
            self.kinds[name] += 1
            INCIDENTS[name](self, slot * SLOT_BINS + INCIDENT_AT)
        self._count_normal()

    # ---- for the incidents

    def act(self, n, verb, *arguments):
        """What the proxy does with message n."""
        self.actions.setdefault(n, []).append([verb, *arguments])

    def pick(self, low, high):
        return self.rng.randint(low, high)

    def gap(self, n, k=1):
        """Bins n .. n+k-1 never come, a gap that is filled, unless on-gap = reset."""
        if self.on_gap == "reset":
            self.absent.update(range(n, n + k))
            self.flags[n + k] |= RESET
            self.count(sequence="resets")
        else:
            self.filled.update(range(n, n + k))
        self.flags[n + k] |= GAP
        self.expect["sequence.lost"] += k

    def count(self, **groups):
        """messages="name", bins="name", sequence="name": one more of each."""
        for group, name in groups.items():
            self.expect[f"{group}.{name}"] += 1

    # ---- what must come out

    def _count_normal(self):
        """What follows from all incidents together. Extra and refused messages are counted by
        their incidents; what is left are the good bins, one message each."""
        e, decoded = self.expect, self.n_bins - len(self.filled) - len(self.absent)
        e["bins.decoded"] = decoded
        e["sequence.filled"] = len(self.filled)
        e["messages.accepted"] += decoded
        e["messages.in"] = sum(n for name, n in e.items() if name.startswith("messages."))
        e["bins.in"] = sum(n for name, n in e.items() if name.startswith("bins."))
        e["frames.due"] = e["frames.published"] = decoded + len(self.filled)
        self._count_flags()

    def _count_flags(self):
        names = {GAP: "GAP", FILLED: "FILLED", PREDICTED: "PREDICTED", SAFE: "SAFE", RESET: "RESET"}
        for bit, name in names.items():
            self.expect[f"flags.{name}"] = sum(bool(flags & bit) for _, flags, _ in self.events())

    def expect_safe(self, arrivals):
        """When SAFE ends depends on when bins came: one good bin (safe-exit = 1), and good bins for
        the time of one. arrivals: of every frame in order (seq, t_recv_ns of a bin that came)."""
        self.safe, is_safe, since = set(), False, None
        for seq, t_recv_ns in arrivals:
            if seq in self.overflows and t_recv_ns:
                is_safe, since = True, None
            elif not is_safe:
                continue
            elif not t_recv_ns:
                since = None  # nothing good
            else:
                since = since or t_recv_ns
                is_safe = t_recv_ns - since < BIN_NS
            self.safe.add(seq)
        self._count_flags()

    def events(self):
        """(seq, flags, counts) of every frame due, counts None for a bin that is filled."""
        counts = source_counts(self.seed, 1)
        for seq, row in zip(range(self.n_bins), counts):
            if seq in self.filled:
                predicted = PREDICTED if self.on_gap == "predict" else 0
                yield seq, FILLED | (SAFE if seq in self.safe else predicted), None
            elif seq not in self.absent:
                yield seq, self.flags[seq] | (SAFE if seq in self.safe else 0), row

    def expect_made(self, n):
        """So many SAFE frames came without a bin: how many depends on when bins came."""
        for name in ("sequence.missing", "frames.due", "frames.published", "flags.SAFE"):
            self.expect[name] += n

    def check_counters(self, status):
        """Every counter of the five groups is what was injected, and no other is above 0."""
        wrong = []
        for group in ("messages", "bins", "frames", "sequence", "flags"):
            for name, found in status[group].items():
                if (group, name) in (("flags", "LATE"), ("flags", "AGE_UNKNOWN")):
                    continue  # tells of this machine's speed and of clocks, not of the plan
                expected = self.expect[f"{group}.{name}"]
                if found != expected:
                    wrong.append(f"{group} {name}: expected {expected}, found {found}")
        if wrong:
            raise AssertionError("; ".join(wrong))


# ---- incidents: what is done at bin n, what it must cost

def loss(p, n):
    k = p.pick(1, MAX_GAP_BINS)
    for i in range(k):
        p.act(n + i, "drop")
    p.gap(n, k)


def long_loss(p, n):
    """Longer than max-gap: nothing is filled, the decoder starts anew."""
    k = p.pick(MAX_GAP_BINS + 1, MAX_GAP_BINS + 10)
    for i in range(k):
        p.act(n + i, "drop")
    p.absent.update(range(n, n + k))
    p.flags[n + k] |= GAP | RESET
    p.expect["sequence.lost"] += k
    p.count(sequence="resets")


def duplicate(p, n):
    k = p.pick(1, 5)
    p.act(n, "repeat", k)
    for _ in range(k):
        p.count(messages="accepted", bins="duplicate")


def duplicate_later(p, n):
    p.act(n, "echo", p.pick(1, WINDOW_BINS - 2))
    p.count(messages="accepted", bins="duplicate")


def echo(p, n):
    """Again, after more than the reorder window."""
    p.act(n, "echo", p.pick(WINDOW_BINS + 1, 30))
    p.count(messages="accepted", bins="stale")


def reordering(p, n):
    p.act(n, "hold", p.pick(1, WINDOW_BINS - 2))
    p.gap(n)
    p.expect["sequence.lost"] -= 1  # it came after all
    p.count(messages="accepted", bins="late_after_fill", sequence="reordered")


def late(p, n):
    """After more than the reorder window: it stays lost."""
    p.act(n, "hold", p.pick(WINDOW_BINS + 1, 30))
    p.gap(n)
    p.count(messages="accepted", bins="stale")


def burst(p, n):
    """A stall, then all at once and in order: costs nothing."""
    p.act(n, "stall", p.pick(5, 30))


def replaced(what, **counted):
    """An incident: the message is damaged on the way; its bin is missing."""
    def incident(p, n):
        p.act(n, "replace", what)
        p.gap(n)
        p.count(**counted)
    return incident


def garbage(p, n):
    """Bytes that are no message, between good ones: refused, and nobody misses a bin."""
    k = p.pick(1, 5)
    for _ in range(k):
        p.act(n, "insert", "garbage")
        p.count(messages="refused.format")


def inserted(what, outcome):
    """An incident: a message with a number that cannot be, between good ones, which moves nothing;
    the same again is no agreement."""
    def incident(p, n):
        for _ in range(p.pick(1, 5)):
            p.act(n, "insert", what)
            p.count(messages="accepted", bins=outcome)
    return incident


def unknown_topic(p, n):
    p.act(n, "replace", "topic")
    p.gap(n)
    p.unknown_topic += 1


def overflow(p, n):
    """Finite input, output that is not: SAFE in its place, on from a reset, and out of SAFE as
    expect_safe has it."""
    p.act(n, "replace", "overflow")
    p.overflows.add(n)
    p.flags[n + 1] |= RESET
    p.count(sequence="resets")


INCIDENTS = {
    "loss": loss,
    "long loss": long_loss,
    "duplicate": duplicate,
    "duplicate later": duplicate_later,
    "echo": echo,
    "reordering": reordering,
    "late": late,
    "burst": burst,
    "garbage": garbage,
    "corruption": replaced("garbage", messages="refused.format"),
    "truncation": replaced("truncated", messages="refused.format"),
    "wrong width": replaced("width", messages="refused.shape"),
    "wrong bin width": replaced("bin width", messages="refused.shape"),
    "too long": replaced("long", messages="refused.length"),
    "too many parts": replaced("parts", messages="refused.length"),
    "not a number": replaced("nan", messages="accepted", bins="refused.value"),
    "short counts": replaced("short", messages="accepted", bins="refused.shape"),
    "wild number": inserted("number", "refused.jump"),
    "number damaged": replaced("number", messages="accepted", bins="refused.jump"),
    "wild time": inserted("time", "refused.jump"),
    "time damaged": replaced("time", messages="accepted", bins="refused.jump"),
    "foreign epoch": inserted("epoch", "refused.source"),
    "epoch damaged": replaced("epoch", messages="accepted", bins="refused.source"),
    "unknown topic": unknown_topic,
    "overflow": overflow,
}

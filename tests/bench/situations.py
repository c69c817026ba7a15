"""The situations in which a step is timed, and how much of each."""
import dataclasses

MS = 1_000_000


@dataclasses.dataclass(frozen=True)
class Situation:
    """pace_ns 0: back to back. flush: the caches are emptied after each step, before the wait for
    the next. warm_ns: so long before each step its weights and state are read (0: not)."""

    label: str
    pace_ns: int = 0
    flush: bool = False
    warm_ns: int = 0


HOT = Situation("hot")
FLUSHED = Situation("flushed", flush=True)


def paced(ms):
    return Situation(f"{ms} ms", ms * MS)


def cold(ms):
    return Situation(f"flushed {ms} ms", ms * MS, flush=True)


def warmed(situation):
    return dataclasses.replace(situation, label=f"{situation.label} warm", warm_ns=MS // 2)


class Plan:
    """hot_rounds turns of hot_seconds; then one input per turn, `rounds` times, of each other
    situation, of each cold one latentd alone beside reading memory, and of each warm one latentd
    alone."""

    def __init__(self, hot_rounds, hot_seconds, rounds, others, cold_ones, *, warm_ones):
        self.hot_rounds, self.hot_seconds = hot_rounds, hot_seconds
        self.rounds, self.others, self.cold = rounds, others, cold_ones
        self.warm = tuple(warmed(situation) for situation in warm_ones)


PLANS = {
    "full": Plan(25, 0.05, 3, (FLUSHED, paced(1), paced(5), paced(10), paced(20)),
                 (cold(1), cold(5), cold(10), cold(20)),
                 warm_ones=(paced(1), paced(5), paced(10), paced(20), cold(10))),
    "quick": Plan(5, 0.02, 1, (FLUSHED, paced(10)), (cold(10), ), warm_ones=(paced(10), cold(10))),
    "check": Plan(1, 0.0, 1, (FLUSHED, Situation("0 ms", 1000)),
                  (Situation("flushed 0 ms", 1000, True), ), warm_ones=(Situation("0 ms", 1000), )),
}

"""Faults of those who listen, and what they do when nobody speaks any more."""
import signal

import zmq

import chain
import plan
from chain import pb, rig
from table import row

CLIENTS = ("python", "c")


def read_all(subscriber):
    """All frames that wait at a socket, until it has been silent for a while."""
    found = []
    while subscriber.poll(1000):
        topic, payload = subscriber.recv_multipart()
        if topic == b"arm/frame":
            found.append(pb.Frame.FromString(payload))
    return found


SLOW_KIB = 2048


@row("slow consumer", "a consumer that stays connected and does not read, while thousands of "
     "frames go out", "its frames are dropped, it sees the holes in pub_seq; every other consumer "
     "has each frame; the daemon's memory stays")
def slow_consumer(run):
    n = run.pick(40, 2000) * plan.SLOT_BINS
    with chain.Chain(run.seed) as c:
        c.start()
        slow = c.rig.context.socket(zmq.SUB)
        c.rig.sockets.append(slow)
        slow.rcvhwm, slow.linger, slow.rcvbuf = 1, 0, 4096
        slow.subscribe(b"arm/")
        slow.connect(c.out)
        first = wait_to_be_heard(c, slow)
        frames = first + c.feed(n)
        check_all(c, frames)
        before = c.memory()
        frames += c.feed(n)
        check_all(c, frames)
        grown = c.check_memory(before, SLOW_KIB)
        seen = [frame.pub_seq for frame in read_all(slow)]
        if seen != sorted(set(seen)) or len(seen) >= len(frames):
            raise AssertionError(f"{len(seen)} of {len(frames)} frames, in order: {seen[:5]} ...")
        lost = len(frames) - len(seen)
        if c.status()["frames"]["published"] != len(frames):
            raise AssertionError("frames that were dropped are not counted as published")
    return f"{len(frames)} frames, {lost} dropped for it, {grown} KiB"


def wait_to_be_heard(c, subscriber):
    """Feed until the subscriber has got something; -> the frames."""
    frames = c.feed(1)
    while not subscriber.poll(200):
        frames += c.feed(1)
    return frames


def check_all(c, frames):
    """No hole, every bin."""
    counts = plan.source_counts(c.seed, 1)
    chain.check_frames(frames, [(seq, 0, next(counts)) for seq in range(len(frames))])


@row("dead consumer", "consumers that are killed (-9) again and again, while frames go out",
     "nobody else notices; a new one is served at once")
def dead_consumer(run):
    rounds = run.pick(3, 50)
    with chain.Chain(run.seed) as c:
        c.start()
        frames = []
        for i in range(rounds):
            watch = c.watch(CLIENTS[i % 2])
            frames += c.feed(plan.SLOT_BINS)
            watch.wait_for(lambda look: look[1] > 0, "a frame")
            c.end(watch)
            frames += c.feed(plan.SLOT_BINS)
        check_all(c, frames)
        n = c.status()["frames"]["published"]
        if n != len(frames):
            raise AssertionError(f"{len(frames)} frames came, {n} were published")
    return f"{rounds} consumers killed, {len(frames)} frames"


def is_fresh(look):
    return not look[3]


def is_expired(look):
    return look[3] and look[5].startswith("expired")


class Steady:
    """Watches of both clients on a stream that is fed so that its frames are fresh."""

    def __init__(self, c):
        self.chain = c
        self.watches = [c.watch(client) for client in CLIENTS]
        self.frames = []

    def be_fresh(self):
        """Feed until each client has had a fresh look."""
        for watch in self.watches:
            seen = len(watch.lines)

            def fresh(watch=watch, seen=seen):
                self.frames += self.chain.feed(1)
                return any(is_fresh(look) for look in watch.looks()[seen:])
            chain.wait_until(fresh, f"{watch.client} client: a fresh look")

    def expire(self):
        for watch in self.watches:
            look = watch.wait_for(is_expired, "the frame expires")
            if look[4] != rig.NEUTRAL:
                raise AssertionError(f"{watch.client} client: {look[4]} is not neutral")

    def check(self):
        return sum(watch.check() for watch in self.watches)


@row("SIGSTOP", "the daemon is stopped and continued (SIGSTOP, SIGCONT) while bins come",
     "Python and C clients are neutral within valid_for; continued, every bin is accounted for "
     "and clients are fresh again")
def stopped(run):
    rounds = run.pick(2, 30)
    with chain.Chain(run.seed) as c:
        c.start()
        steady = Steady(c)
        for _ in range(rounds):
            steady.be_fresh()
            c.rig.pause()
            c.source.feed(20)
            steady.expire()
            c.rig.resume()
            steady.frames += c.consumer.frames(20)
            steady.be_fresh()
        check_all(c, steady.frames)
        status = c.rig.wait_for("arm", "bins", "decoded", len(steady.frames))
        if status["bins"]["in"] != len(steady.frames):
            raise AssertionError(f"{status['bins']} for {len(steady.frames)} bins")
        looks = steady.check()
    return f"{rounds} stops, {looks} looks of both clients"


@row("kill daemon", "the daemon is killed (-9) while bins come, and started again",
     "Python and C clients are neutral within valid_for; the new one decodes from a fresh start, "
     "clients are fresh again")
def killed(run):
    rounds = run.pick(2, 30)
    with chain.Chain(run.seed) as c:
        c.start()
        steady = Steady(c)
        for _ in range(rounds):
            steady.be_fresh()
            c.rig.stop(signal.SIGKILL)
            steady.expire()
            c.rig.start()
            c.consumer.wait_for_info()
            seq = c.source.next_bin
            frame = c.feed(1)[0]
            if (frame.seq, frame.pub_seq) != (seq, 0):
                raise AssertionError(f"first frame {frame.seq}, {frame.pub_seq}: expected {seq}, 0")
            steady.be_fresh()
            status = c.status()
            if status["bins"]["in"] != status["bins"]["decoded"]:
                raise AssertionError(f"bins after the new start: {status['bins']}")
        looks = steady.check()
    return f"{rounds} kills, {looks} looks of both clients"


SIGNALS = ("SIGTERM", "SIGUSR1", "SIGQUIT", "SIGALRM", "SIGRTMIN")
MORE_SIGNALS = ("SIGINT", "SIGUSR2", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR", "SIGXCPU",
                "SIGRTMAX")


@row("signals", "every signal that ends a process and can be caught, while bins come",
     "exit 0; the last frame is SAFE with the neutral readout, ledgers balanced in its last words")
def signalled(run):
    numbers = [getattr(signal, name) for name in SIGNALS + run.pick((), MORE_SIGNALS)]
    numbers += [signal.SIGRTMIN + 3]
    for number in numbers:
        end_by(run, number)
    return f"{len(numbers)} signals"


def end_by(run, number):
    with chain.Chain(run.seed) as c:
        c.start()
        frames = c.feed(plan.SLOT_BINS)
        c.source.feed(plan.SLOT_BINS)
        if c.rig.stop(number) != 0:
            raise AssertionError("exit code is not 0")
        frames += read_all(c.consumer.socket)
        flags = [f.flags & rig.SAFE for f in frames]
        if flags != sorted(flags) or not flags[-1]:
            raise AssertionError(f"SAFE does not stand at the end, and only there: {flags[-20:]}")
        last = frames[-1]
        if (tuple(last.readout), len(last.latents)) != (rig.NEUTRAL, 0):
            raise AssertionError(f"the last frame is {last}")
        if [f.pub_seq for f in frames] != list(range(len(frames))):
            raise AssertionError("frames are missing")
        if "ledgers balanced" not in c.rig.log.read_text():
            raise AssertionError(f"its last words: {c.rig.log.read_text()}")

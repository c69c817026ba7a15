"""The whole chain of a row: source -> proxy -> latentd -> consumers, each a process of its own."""
import json
import pathlib
import subprocess
import sys
import threading
import time

import daemon_rig as rig
import numpy as np

import plan

HERE = pathlib.Path(__file__).resolve().parent
pb = rig.pb  # the rows take it from here
rig.WAIT_S = 120  # for machines that do ten other things

CHUNK_BINS = 4 * plan.SLOT_BINS  # in flight at most: far below any queue
TIME_FLAGS = rig.LATE | rig.AGE_UNKNOWN  # flags that tell of the machine and of clocks

# Policies that look at the time would make the outcome of a row depend on the machine's speed:
# rows that are not about them turn them off.
HOUR_MS = 3600000
STEADY = {"on_missing": "skip", "missing_after_ms": HOUR_MS, "lease_ms": HOUR_MS,
          "publish_late": "yes", "safe_ramp_ms": 0.001, "safe_exit": 1}


def wait_until(condition, what):
    """Wait for a condition, as long as no sane machine takes; -> its value."""
    time_is_left = rig.deadline()
    while time_is_left():
        value = condition()
        if value:
            return value
    raise AssertionError(f"{what}: not within {rig.WAIT_S} s")


class Child:
    """A process whose lines are collected as they come."""

    def __init__(self, command, **more):
        self.process = subprocess.Popen([str(part) for part in command], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, **more)
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait_for_line(self, fits, what):
        def found():
            lines = [line for line in list(self.lines) if fits(line)]
            if not lines and self.process.poll() is not None:
                raise AssertionError(f"{what}: ended with {self.process.returncode}")
            return lines
        return wait_until(found, what)[-1]

    def send(self, number):
        self.process.send_signal(number)

    def kill(self):
        """kill -9, if it still runs; -> exit code."""
        self.process.kill()
        code = self.process.wait(rig.WAIT_S)
        self._reader.join(rig.WAIT_S)
        self.process.stdin.close()
        self.process.stdout.close()
        return code


class Source(Child):
    def __init__(self, endpoint, seed, epoch=1, first=0):
        super().__init__([sys.executable, HERE / "source.py", endpoint, "arm", seed, epoch, first])
        self.next_bin = first

    def feed(self, n):
        """Let it send n more bins; waits until it has."""
        self.process.stdin.write(f"{n}\n")
        self.process.stdin.flush()
        self.next_bin += n
        wait_until(lambda: self.lines and int(self.lines[-1]) == self.next_bin, "source sends")


class Watch(Child):
    """A consumer that judges its readout all the time; one line per look: the time before it, the
    frame's publication, its validity, whether it is stale, the values, the reason.

    client: "python" or "c"."""

    def __init__(self, client, endpoint, stream="arm"):
        command = {"python": [sys.executable, HERE / "watch.py"],
                   "c": [rig.BIN / "fault_watch"]}[client]
        super().__init__([*command, endpoint, stream])
        self.client = client
        self.wait_for_line(lambda line: True, f"{client} client: no info came")

    def looks(self):
        """[(t_before_ns, t_publish_ns, valid_for_ns, stale, values, reason)]"""
        found = []
        for line in list(self.lines):
            numbers, _, reason = line.partition(" | ")
            before, published, valid, stale, *values = numbers.split()
            found.append((int(before), int(published), int(valid), stale == "1",
                          tuple(float(v) for v in values), reason))
        return found

    def wait_for(self, fits, what):
        """The first look from now on that fits."""
        seen = len(self.lines)
        return wait_until(lambda: [look for look in self.looks()[seen:] if fits(look)],
                          f"{self.client} client: {what}")[0]

    def check(self):
        """In no look, however slow the machine, was a frame that had expired before the look taken
        for fresh; whatever was stale was neutral. -> how many looks."""
        looks = self.looks()
        for before, published, valid, stale, values, reason in looks:
            if stale and values != rig.NEUTRAL:
                raise AssertionError(f"{self.client}: stale, not neutral: {values} ({reason})")
            if not stale and before - published >= valid:
                raise AssertionError(f"{self.client}: fresh, {before - published} ns old")
        return len(looks)


class Chain:
    """One stream "arm" with the model of the rig, behind a proxy that follows a plan."""

    def __init__(self, seed=1, actions=None, stream=None, **daemon_keys):
        self.rig = rig.Rig()
        self.children = []
        self.seed = seed
        self.epoch = 1
        self.folder = self.rig.folder
        # Real input can drive the output beyond a float; counts have on-gap = zero.
        kind = "counts" if (stream or {}).get("on_gap") == "zero" else "real"
        rig.write_model(self.folder / "model.safetensors", kind=kind)
        (self.folder / "actions").write_text(json.dumps(actions or {}))
        self.rig.configure({"arm": {"max_gap_ms": 500, **STEADY, **(stream or {})}}, **daemon_keys)
        self.out = f"ipc://{self.folder}/out"
        self.proxy = self.source = self.consumer = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for child in self.children:
            child.kill()
        try:
            self.rig.close()
        except AssertionError:
            if error is None:
                raise

    # ---- processes

    def own(self, child):
        self.children.append(child)
        return child

    def end(self, child):
        """kill -9 -> exit code."""
        self.children.remove(child)
        return child.kill()

    def start(self, *before):
        """Daemon, proxy, source, and a consumer that sees every frame."""
        self.rig.start(*before)
        self.start_proxy()
        self.start_source()
        self.consumer = self.rig.consumer("arm")
        return self

    def start_proxy(self, into=None):
        """into: the daemon's input."""
        self.proxy = self.own(Child([
            sys.executable, HERE / "proxy.py", f"ipc://{self.folder}/proxy",
            into or f"ipc://{self.folder}/in", self.seed, self.folder / "actions"]))
        self.proxy.wait_for_line(lambda line: line == "READY", "proxy")

    def start_source(self, epoch=1, first=0):
        self.source = self.own(Source(f"ipc://{self.folder}/proxy", self.seed, epoch, first))

    def watch(self, client):
        return self.own(Watch(client, self.out))

    # ---- bins and frames

    def feed(self, n_bins):
        """n bins through the chain, as many frames out as come; the last bin must be decoded.
        -> frames, without a hole."""
        frames = []
        for first in range(0, n_bins, CHUNK_BINS):
            self.source.feed(min(CHUNK_BINS, n_bins - first))
            last = self.source.next_bin - 1
            while not frames or frames[-1].seq != last or frames[-1].flags & rig.HELD:
                frames += self.consumer.frames(1)
        numbers = [f.pub_seq for f in frames]
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            raise AssertionError("the consumer misses frames")
        return frames

    def status(self):
        return self.rig.status()["streams"]["arm"]

    def memory(self):
        """Resident KiB of the daemon."""
        text = pathlib.Path(f"/proc/{self.rig.process.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0])

    def check_memory(self, before, most_kib):
        """The daemon has not grown by more than that since it had `before`; -> by how much. Under a
        sanitizer, whose heap keeps what is freed, nothing can be told."""
        grown = self.memory() - before
        maps = pathlib.Path(f"/proc/{self.rig.process.pid}/maps").read_text()
        if grown > most_kib and "libasan" not in maps and "libtsan" not in maps:
            raise AssertionError(f"the daemon grew by {grown} KiB, from {before}")
        return grown

    def n_files(self):
        """Open descriptors of the daemon."""
        return len(list(pathlib.Path(f"/proc/{self.rig.process.pid}/fd").iterdir()))


def follow(c, p):
    """The plan's bins through the chain: ledgers and every frame as planned. -> all frames."""
    frames = c.feed(p.n_bins)
    p.expect_safe((f.seq, f.t_recv_ns) for f in frames)
    p.expect_made(sum(map(is_made, frames)))
    status = c.rig.wait_for("arm", "bins", "in", p.expect["bins.in"])
    p.check_counters(status)
    check_flags(frames, status)
    check_frames([f for f in frames if not is_made(f)], list(p.events()), on_gap=p.on_gap)
    return frames


def check_frames(frames, events, on_gap="predict"):
    """The frames are exactly these events, (seq, flags, counts), each with the readout that a
    float64 decoder gives; counts None: what on-gap says stands for them."""
    found = [(f.seq, f.flags & ~TIME_FLAGS) for f in frames]
    expected = [(seq, flags) for seq, flags, _ in events]
    for k, (one, other) in enumerate(zip(found, expected)):
        if one != other:
            raise AssertionError(f"frame {k}: expected (seq, flags) {other}, found {one}")
    if len(found) != len(expected):
        raise AssertionError(f"{len(expected)} frames expected, {len(found)} found")
    check_readouts(frames, events, on_gap)


def is_made(frame):
    """A frame without a bin, held or SAFE: when one is due depends on when bins come."""
    return frame.t_recv_ns == 0 and not frame.flags & rig.FILLED


def check_flags(frames, status):
    """All frames that were published, no more and no fewer, and each flag as often as counted."""
    if [f.pub_seq for f in frames] != list(range(status["frames"]["published"])):
        raise AssertionError(f"{len(frames)} frames came, {status['frames']['published']} counted")
    for name, bit in (("GAP", rig.GAP), ("FILLED", rig.FILLED), ("PREDICTED", rig.PREDICTED),
                      ("LATE", rig.LATE), ("HELD", rig.HELD), ("SAFE", rig.SAFE),
                      ("RESET", rig.RESET)):
        n = sum(bool(f.flags & bit) for f in frames)
        if n != status["flags"][name]:
            raise AssertionError(f"{name}: {n} frames, {status['flags'][name]} counted")


def check_safe(frame, last):
    """The first SAFE frame may be on its way to neutral, the next ones are there."""
    for found, neutral, before in zip(frame.readout, rig.NEUTRAL, last.readout):
        low, high = sorted((neutral, before))
        if found != neutral and (last.flags & rig.SAFE or not low <= found <= high):
            raise AssertionError(f"seq {frame.seq}: SAFE with {frame.readout}, was {last.readout}")


def check_readouts(frames, events, on_gap):
    mean = np.ones(plan.N_CHANNELS)  # of the training, as the model file says
    state, row = np.zeros(2), mean
    for last, frame, (_, flags, counts) in zip([frames[0], *frames], frames, events):
        if flags & rig.RESET:
            state = np.zeros(2)
        stand_in = {"zero": np.zeros(plan.N_CHANNELS), "hold-input": row}.get(on_gap, mean)
        row = stand_in if counts is None else np.array(counts, float)
        state = rig.M1 @ state + rig.gain(plan.N_CHANNELS) @ row + rig.M0
        if flags & rig.SAFE:
            check_safe(frame, last)
            continue
        np.testing.assert_allclose(frame.readout, state @ rig.W.T + rig.B, rtol=1e-5, atol=1e-5,
                                   err_msg=f"seq {frame.seq}")


def alive(process):
    return process.poll() is None


def now_ns():
    return time.monotonic_ns()

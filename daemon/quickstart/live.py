#!/usr/bin/python3
"""Decode simulated streams on loopback and show how well and how fast.

Started by daemon/quickstart.sh, which builds first. Needs the client package on PYTHONPATH.
"""
import argparse
import os
import pathlib
import signal
import sys
import time

try:
    import zmq

    from latentd import Flag, Subscriber
    from latentd import latent_pb2 as pb
except ImportError as absent:
    print(f"live.py: {absent}; start it by daemon/quickstart.sh, which installs, builds and sets "
          f"PYTHONPATH", file=sys.stderr)
    sys.exit(2)

from models import find_model
from rig import Rig, RigError
from score import Score
from speech import Speech
from table import Table, number

ROOT = pathlib.Path(__file__).resolve().parents[2]
STREAMS = {
    "lorenz": {"arch": "ndt", "mode": "A", "rate_floor": 0.85, "readout_floor": None},
    "reach": {"arch": "gru", "mode": "causal", "rate_floor": None, "readout_floor": 0.80},
}
# With --phonemes: beside the cursor, text.
SPEECH = {"arch": "b2t", "mode": "causal", "rate_floor": None, "readout_floor": None,
          "phoneme_ceiling": 0.25}
NEUTRAL = Flag.SAFE | Flag.OUTSIDE | Flag.WARMUP  # the readout of such a frame was not decoded
REFRESH_S = 1.0
TAKE_S = 0.02
DRAIN_S = 10  # for what was sent to be decoded after the simulators have ended


class View:
    """One stream as this program sees it: its frames, its truth, the daemon's account of it."""

    def __init__(self, name, settings, status, truth_endpoint):
        self.name, self.settings, self._status = name, settings, status
        self.input = status["input"]
        self.model = f"{status['arch']} {status['mode']}"
        self.score = Score(status["bin_width_us"])
        self.speech = Speech(settings["recipe"]) if "phoneme_ceiling" in settings else None
        self.bins_per_s = None
        self._counted = (time.monotonic(), self.decoded())
        self.frames = Subscriber(status["output"], name, queue_frames=10000)
        self._truths = zmq.Context.instance().socket(zmq.SUB)
        self._truths.rcvhwm = 10000
        self._truths.subscribe(f"{name}/truth".encode())
        self._truths.connect(truth_endpoint)

    def take(self):
        """All frames of bins, and truths, that are there. Frames without a bin were held or
        SAFE ones: nothing was sent for them."""
        for frame in self.frames.frames(timeout=0.0):
            if frame.t_recv_ns:
                self.score.on_frame(frame, not frame.flags & NEUTRAL)
                if self.speech:
                    self.speech.on_frame(frame, self.frames.info)
        while self._truths.poll(0):
            topic, payload = self._truths.recv_multipart()
            if topic == f"{self.name}/truth".encode():
                truth = pb.Truth.FromString(payload)
                self.score.on_truth(truth)
                if self.speech:
                    self.speech.on_truth(truth)

    def update(self, status):
        """A fresh status of the daemon."""
        self._status = status

    def measure_pace(self):
        """bins_per_s since the last call."""
        now, before = time.monotonic(), self._counted
        self.bins_per_s = (self.decoded() - before[1]) / (now - before[0])
        self._counted = (now, self.decoded())

    def decoded(self):
        """Bins decoded so far."""
        return self._status["bins"]["decoded"]

    def misses(self):
        """Frames published over the budget."""
        return self._status["budget_misses"]

    def latency_us(self):
        """p50, p99 and max from the arrival of a bin to its publication."""
        times = self._status["times_ns"]["latency"]
        return [times[key] / 1000 for key in ("p50", "p99", "max")]

    def ledgers(self):
        """(name, total, {outcome: n}, balanced): the total is the sum of the outcomes."""
        for name, total in (("messages", "in"), ("bins", "in"), ("frames", "due")):
            outcomes = dict(self._status[name])
            n = outcomes.pop(total)
            yield f"{name} {total}", n, outcomes, n == sum(outcomes.values())

    def losses(self, n_sent):
        """What was not accounted for or not decoded; n_sent: bins that the simulator sent."""
        for name, _, _, balanced in self.ledgers():
            if not balanced:
                yield f"{self.name}: the ledger of {name} does not balance"
        if self.decoded() != n_sent:
            yield f"{self.name}: {self.decoded()} bins decoded; expected all {n_sent} sent"

    def inaccuracies(self):
        """Scores below their floors."""
        for what, r2 in (("rate", self.score.rate_r2()), ("readout", self.score.readout_r2())):
            floor = self.settings[f"{what}_floor"]
            if floor is not None and (r2 is None or r2 < floor):
                yield f"{self.name}: {what} R2 {number(r2, 3)}; expected at least {floor:.2f}"
        if self.speech:
            error, most = self.speech.error(), self.settings["phoneme_ceiling"]
            if error is None or error > most:
                yield f"{self.name}: phoneme error {number(error, 3)}; expected at most {most:.2f}"

    def said(self):
        """A line of what is decoded as text, or None."""
        if not self.speech:
            return None
        return f"{self.name} (phoneme error {number(self.speech.error(), 3)}): {self.speech.text()}"

    def close(self):
        """Leave both sockets."""
        self.frames.close()
        self._truths.close(0)


def take_all(rig, views):
    """Frames, truths and status of every view."""
    statuses = rig.statuses()
    for view in views:
        view.update(statuses[view.name])
        view.take()


def watch(rig, views, table):
    """Show the table until the simulators have ended."""
    start = shown = time.monotonic()
    while any(source.ended() is None for source in rig.sources.values()):
        time.sleep(TAKE_S)
        for view in views:
            view.take()
        if time.monotonic() - shown < REFRESH_S:
            continue
        shown = time.monotonic()
        rig.check()
        take_all(rig, views)
        for view in views:
            view.measure_pace()
        table.show(views, shown - start)


def settle(rig, views):
    """After the last bin: wait until the daemon has accounted for all; -> {stream: bins sent}."""
    sent = rig.stop_sources()
    end = time.monotonic() + DRAIN_S
    take_all(rig, views)
    while any(view.decoded() < sent[view.name] for view in views) and time.monotonic() < end:
        time.sleep(TAKE_S)
        take_all(rig, views)
    time.sleep(10 * TAKE_S)  # the last frames are on their way to us
    take_all(rig, views)
    return sent


def decode(rig, views, table, seconds):
    """Run until the simulators end or Ctrl-C; -> (what went wrong, as texts; what went right)."""
    start = time.monotonic()
    interrupted = False
    rig.start_sources({view.name: view.input for view in views})
    try:
        watch(rig, views, table)
    except KeyboardInterrupt:
        interrupted = True
    sent = settle(rig, views)
    table.summary(views, time.monotonic() - start)
    problems = [text for view in views for text in view.losses(sent[view.name])]
    done = "every bin decoded, ledgers balanced"
    if not interrupted:  # by Ctrl-C there may be too little to score
        problems += [text for view in views for text in view.inaccuracies()]
        done += ", accuracy above the floors: " + ", ".join(floors(views))
    elif seconds:
        problems.append(f"interrupted before {seconds:.0f} s")
    code = rig.stop_daemon()
    return problems + ([f"latentd ended with {code}; expected 0"] if code else []), done


def floors(views):
    """Texts of the accuracies that must be reached."""
    for view in views:
        for what in ("rate", "readout"):
            if view.settings[f"{what}_floor"] is not None:
                yield f"{view.name} {what} R2 {view.settings[f'{what}_floor']:.2f}"
        if view.speech:
            yield f"{view.name} phoneme error {view.settings['phoneme_ceiling']:.2f}"


def run(rig, streams, seconds):
    """As decode."""
    statuses = rig.statuses()
    views = [
        View(name, settings, statuses[name], rig.truth_endpoint(name))
        for name, settings in streams.items()]
    table = Table()
    try:
        return decode(rig, views, table, seconds)
    finally:
        table.close()
        for view in views:
            view.close()


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--bin", required=True, type=pathlib.Path, help="folder of the built programs")
    parser.add_argument(
        "--seconds", type=float, default=0, help="signal to decode (default: until Ctrl-C)")
    parser.add_argument(
        "--phonemes", action="store_true", help="decode speech beside the cursor, as text")
    return parser.parse_args()


def main():
    args = arguments()
    streams = {**STREAMS, **({"speech": SPEECH} if args.phonemes else {})}
    for name, settings in streams.items():
        folder = ROOT / "models" / settings["arch"]
        try:
            settings["model"] = find_model(folder, name, settings["mode"])
        except LookupError as error:
            return f"quickstart: {error}"
        settings["recipe"] = ROOT / "models" / f"{name}.json"
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        with Rig(args.bin, streams, args.seconds) as rig:
            problems, done = run(rig, streams, args.seconds)
    except RigError as error:
        return f"quickstart: {error}"
    except KeyboardInterrupt:
        return "quickstart: interrupted"
    if problems:
        return "quickstart: decoding did not work:\n  " + "\n  ".join(problems)
    print(f"ok: {done}")
    return 0


if __name__ == "__main__":
    try:
        try:
            status = main()
        finally:
            sys.stdout.flush()  # after --help, too, which exits
        sys.exit(status)
    except BrokenPipeError:  # who read the table has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)

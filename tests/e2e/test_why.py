#!/usr/bin/python3
"""Why bins were late: causes that are made here, each of which must be the largest part of what
latentctl why says. Nothing depends on how fast the machine is: what the kernel tells of waits for a
processor is left out of the comparison, since any test may be kept waiting."""
import itertools
import json
import os
import pathlib
import sqlite3
import subprocess
import sys
import time
import unittest

import numpy as np

import daemon_rig as rig
import test_syscalls
from latent_models.common import model_file, safetensors

pb = rig.pb
KEPT = 128
CLAIMS = {"source_clock": "monotonic", "budget_ms": 20}
QUICK = {"budget_ms": 0.02}
STATES = 100 if os.environ.get("LATENT_SANITIZE") else 200  # a step takes some 50 ms


def write_slow_model(path):
    """A model whose step multiplies large matrices; of silence it makes silence."""
    config = model_file.build_config(
        "kalman", 3, rig.BIN_US, ["causal"], {"form": "full"},
        outputs=(STATES, 0, [model_file.readout_entry("vx", "mm/s", 0.0),
                             model_file.readout_entry("grip", "N", 0.0)]),
        licence="CC0-1.0", source="a test", checkpoint_sha256="0" * 64)
    config["input"] = "counts"
    tensors = {"A": np.eye(STATES) / 2, "C": np.ones((3, STATES)), "Q": np.eye(STATES),
               "R": np.eye(3), "readout.weight": np.zeros((2, STATES)),
               "readout.bias": np.zeros(2), "selftest.input": np.zeros((2, 3), np.float32),
               "selftest.causal.latents": np.zeros((2, STATES), np.float32),
               "selftest.causal.readout": np.zeros((2, 2), np.float32)}
    safetensors.write(path, tensors, {"latent.config": json.dumps(config)})


def pack(seq, n_bins=1, t_source_ns=0):
    message = pb.Bins.FromString(rig.pack_bins(seq, np.zeros((n_bins, 3))))
    message.t_source_ns = t_source_ns
    return message.SerializeToString()


class Case(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        rig.write_model(self.rig.folder / "model.safetensors")

    def start(self, **streams):
        self.rig.configure(streams)
        self.rig.start()
        return self.rig.source()

    def why(self, stream, *arguments):
        code, out, err = self.rig.ctl("why", stream, *arguments, "--json")
        self.assertEqual((code, err), (0, ""))
        why = json.loads(out)
        for late in why["bins"]:
            self.check(late)
        return why

    def check(self, late):
        """The parts add up, and every part is of a known kind."""
        waits = late["waits"]
        self.assertEqual(sum(w["ns"] for w in waits), late["whole_ns"], late)
        self.assertEqual([w["ns"] for w in waits], sorted((w["ns"] for w in waits), reverse=True))
        self.assertEqual(late["whole_ns"], late["t_publish_ns"] - late["t_since_ns"])
        self.assertEqual(late["late_by_ns"], late["whole_ns"] - late["budget_ns"])
        self.assertGreater(late["late_by_ns"], 0)
        self.assertIn("late", [flag.lower() for flag in late["flags"]])
        self.assertEqual(late["knows_processor"], pathlib.Path("/proc/self/schedstat").exists())
        for wait in waits:
            self.assertEqual("stream" in wait, wait["part"] == "stream")

    def cause(self, late):
        """The largest part that this machine's other work did not make: a thread that is kept
        waiting where no sample tells of it leaves a time that nobody knows."""
        wait = next(w for w in late["waits"] if w["part"] not in {"processor", "unknown"})
        return wait["part"], wait.get("stream", "")

    def last(self, stream):
        return self.why(stream)["bins"][-1]


class WhyTest(Case):
    def test_stopped(self):
        source = self.start(arm=CLAIMS)
        source.send_multipart([b"arm/bins", pack(0, t_source_ns=time.monotonic_ns())])
        self.rig.wait_for("arm", "bins", "decoded", 1)
        self.rig.pause()
        source.send_multipart([b"arm/bins", pack(1, t_source_ns=time.monotonic_ns())])
        time.sleep(0.5)
        self.rig.resume()
        self.rig.wait_for("arm", "bins", "decoded", 2)
        self.assertEqual(self.cause(self.last("arm")), ("stopped", ""))
        code, out, _ = self.rig.ctl("why", "arm", "1")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"^arm: bin 1 \(epoch 1\) was late by [0-9.]+ ms at ")
        self.assertRegex(out, "its budget is 20 ms:\n +[0-9.]+ ms +[0-9]+ %  latentd stood still: ")
        self.assertIn("what helps: find who stopped it", out)

    def test_late_source(self):
        source = self.start(arm=CLAIMS)
        consumer = self.rig.consumer("arm")
        source.send_multipart([b"arm/bins", pack(0, t_source_ns=time.monotonic_ns() - 10**9)])
        frame = consumer.frames(1)[0]
        self.rig.wait_for("arm", "bins", "decoded", 1)
        late = self.last("arm")
        self.assertEqual(self.cause(late), ("source", ""))
        self.assertEqual((late["seq"], late["since"]), (0, "end"))
        self.assertEqual((late["late_by_ns"], late["t_recv_ns"], late["t_publish_ns"]),
                         (-frame.budget_left_ns, frame.t_recv_ns, frame.t_publish_ns))
        self.assertEqual(late["outcome"], "published")

    def send_behind(self, name):
        """A bin of arm behind many of another stream, all of which wait when latentd wakes up: ->
        what is said of it. Where it came with a later wake, by itself, another is sent."""
        source, seq = self.start(arm=QUICK, **{name: {"budget_ms": 1000}}), itertools.count()
        for arm_seq in range(20):
            payloads = [pack(next(seq) * 256, 256) for _ in range(30)]
            self.rig.pause()
            for payload in payloads:
                source.send_multipart([f"{name}/bins".encode(), payload])
            source.send_multipart([b"arm/bins", pack(arm_seq)])
            time.sleep(0.3)  # the sender's own thread has them; more would do no harm
            self.rig.resume()
            self.rig.wait_for("arm", "bins", "decoded", arm_seq + 1)
            for late in self.why("arm")["bins"]:
                if self.cause(late) == ("stream", name):
                    return late
        raise AssertionError(f"never behind {name}: {self.why('arm')['bins']}")

    def test_slow_neighbour(self):
        """Its bins came first, by the same socket."""
        late = self.send_behind("leg")
        self.assertIn("behind stream leg\n", self.rig.ctl("why", "arm", str(late["seq"]))[1])

    def test_table_of_long_names(self):
        name = "a-neighbour-with-a-long-name"
        self.send_behind(name)
        self.assertLessEqual(max(map(len, self.rig.ctl("why", "arm")[1].splitlines())), 80)

    def test_processor(self):
        """Its thread may run when two others of its processor leave it a seventh, and works for
        longer than they let it at once, but not for so long that what was seen is forgotten."""
        cpu = min(os.sched_getaffinity(0))
        write_slow_model(self.rig.folder / "slow.safetensors")
        source = self.start(arm={**QUICK, "cpu": cpu, "model": "slow.safetensors"})
        os.setpriority(os.PRIO_PROCESS, test_syscalls.thread_named(self.rig.process.pid, "data-0"),
                       5)
        others = [subprocess.Popen([sys.executable, "-c", f"import os; "
                                    f"os.sched_setaffinity(0, {{{cpu}}})\nwhile True: pass"])
                  for _ in range(2)]
        seq, causes, time_is_left = 0, set(), rig.deadline()
        try:
            while "processor" not in causes and time_is_left():  # until the others have their turn
                source.send_multipart([b"arm/bins", pack(seq)])
                seq += 1
                self.rig.wait_for("arm", "bins", "decoded", seq)
                causes = {late["waits"][0]["part"] for late in self.why("arm")["bins"]}
        finally:
            for other in others:
                other.kill()
                other.wait()
        self.assertIn("processor", causes)

    def test_slow_model(self):
        write_slow_model(self.rig.folder / "slow.safetensors")
        source = self.start(arm={**QUICK, "model": "slow.safetensors"})
        source.send_multipart([b"arm/bins", pack(0)])
        self.rig.wait_for("arm", "bins", "decoded", 1)
        late = self.last("arm")
        self.assertEqual(self.cause(late), ("step", ""))
        self.assertEqual(late["since"], "arrival")

    def test_burst(self):
        source = self.start(arm=QUICK)
        source.send_multipart([b"arm/bins", pack(0, 256)])
        self.rig.wait_for("arm", "bins", "decoded", 256)
        late = self.last("arm")
        self.assertEqual(self.cause(late), ("own", ""))
        self.assertEqual((late["seq"], late["n_before"]), (255, 255))
        self.assertIn("had brought 255 bins of arm before it", self.rig.ctl("why", "arm", "255")[1])

    def test_table(self):
        source = self.start(arm=QUICK)
        source.send_multipart([b"arm/bins", pack(0, 256)])
        self.rig.wait_for("arm", "bins", "decoded", 256)
        why = self.why("arm")
        self.assertEqual(why["n_lost"], 0)
        code, out, _ = self.rig.ctl("why", "arm")
        lines = out.splitlines()
        self.assertEqual(code, 0)
        self.assertRegex(lines[0], f"^arm: {why['n_late']} bins were late; the last "
                                   f"{len(why['bins'])}:$")
        self.assertEqual(len(why["bins"]), min(KEPT, why["n_late"]))
        self.assertLessEqual(max(map(len, lines)), 80)
        rows = [line.split()[0] for line in lines[2:2 + len(why["bins"])]]
        self.assertEqual(rows, [str(late["seq"]) for late in why["bins"]])

    def test_nothing_to_say(self):
        """One line each, and not done."""
        source = self.start(arm=CLAIMS, leg={"source_clock": "monotonic", "budget_ms": 3600000})
        self.assertEqual(self.rig.ctl("why", "arm"), (0, "arm: no bin was late\n", ""))
        for seq in range(KEPT + 10):
            source.send_multipart([b"arm/bins", pack(seq, t_source_ns=time.monotonic_ns() - 10**9)])
        source.send_multipart([b"leg/bins", pack(7, t_source_ns=time.monotonic_ns())])
        self.rig.wait_for("arm", "bins", "decoded", KEPT + 10)
        self.rig.wait_for("leg", "bins", "decoded", 1)
        first = self.why("arm")["bins"][0]["seq"]
        self.assertEqual(first, 10)
        for stream, seq, words in (
                ("arm", "9", "arm: bin 9 is older than its last 128 late bins"),
                ("arm", "4000", "arm has not decoded bin 4000 yet: its newest is 137"),
                ("leg", "7", "leg: bin 7 was not late, or did not come"),
                ("foot", "7", "no stream 'foot'")):
            code, out, err = self.rig.ctl("why", stream, seq)
            self.assertEqual((code, out, err.count("\n")), (1, "", 1), err)
            self.assertIn(words, err)
        code, _, err = self.rig.ctl("why", "arm", "-7")
        self.assertEqual(code, 2)
        code, _, err = self.rig.ctl("why", "arm", "7x")
        self.assertEqual(code, 2)
        self.assertIn("7x: expected the number of a bin", err)
        self.assertEqual([late["seq"] for late in self.why("arm", "20")["bins"]], [20])


class RecordTest(Case):
    """The same from a record."""

    def record(self, **keys):
        """A burst into a stream that is recorded; -> (what was said live, path of the record)."""
        path = self.rig.folder / "arm.record"
        source = self.start(arm={**QUICK, "record": path, **keys})
        source.send_multipart([b"arm/bins", pack(0, 256)])
        self.rig.wait_for("arm", "bins", "decoded", 256)
        why = self.why("arm")
        self.assertEqual(self.rig.stop(), 0)
        return why, str(path)

    def ask(self, path, *arguments):
        code, out, err = self.rig.ctl("why", "--record", path, "arm", *arguments)
        self.assertEqual(code, 0, err)
        return out, err

    def test_as_told(self):
        live, path = self.record()
        out, err = self.ask(path, "--json")
        why = json.loads(out)
        self.assertEqual((err, why["n_late"]), ("", live["n_late"]))
        for found, told in zip(why["bins"], live["bins"], strict=True):
            self.check(found)
            self.assertLess(abs(found.pop("utc_ns") - told.pop("utc_ns")), 10**9)
            self.assertEqual(found, told)
        self.assertIn("behind earlier bins and messages of its own stream",
                      self.ask(path, "255")[0])

    def test_without_frames(self):
        """What was not sent is known from what was told alone."""
        live, path = self.record(on_late="skip")
        why = json.loads(self.ask(path, "--json")[0])
        self.assertEqual({late["outcome"] for late in why["bins"]}, {"skipped"})
        self.assertEqual([late["seq"] for late in why["bins"]],
                         [late["seq"] for late in live["bins"]])

    def test_older_record(self):
        """Its latentd told nothing: the stream's own times are there, the rest is said to lack."""
        live, path = self.record()
        with sqlite3.connect(path) as db:
            db.execute("DROP TABLE lates")
            db.execute("DROP TABLE waits")
        db.close()
        out, err = self.ask(path, "--json")
        why = json.loads(out)
        self.assertIn("did not record what late bins waited for", err)
        self.assertEqual(len(why["bins"]), len(live["bins"]))
        for found, told in zip(why["bins"], live["bins"], strict=True):
            self.assertEqual(sum(w["ns"] for w in found["waits"]), found["whole_ns"])
            self.assertLessEqual({w["part"] for w in found["waits"]}, {"own", "step", "unknown"})
            for same in ("seq", "whole_ns", "late_by_ns", "t_recv_ns", "t_start_ns", "t_publish_ns",
                         "t_done_ns", "n_before", "flags"):
                self.assertEqual(found[same], told[same])
        own = {w["part"]: w["ns"] for w in why["bins"][-1]["waits"]}["own"]
        self.assertGreaterEqual(own, sum(bin["t_done_ns"] - bin["t_start_ns"]
                                         for bin in live["bins"][:-1]))

    def test_nothing_to_say(self):
        _, path = self.record(budget_ms=3600000)
        self.assertEqual(self.ask(path)[0], "arm: no bin was late\n")
        for words, *arguments in (("arm: bin 7 was not late", path, "arm", "7"),
                                  ("arm: bin 700 is not in this record", path, "arm", "700"),
                                  ("is a record of arm, not of leg", path, "leg"),
                                  ("not a record of latentd", self.rig.config, "arm")):
            code, out, err = self.rig.ctl("why", "--record", *arguments)
            self.assertEqual((code, out, err.count("\n")), (1, "", 1), err)
            self.assertIn(words, err)
        code, _, err = self.rig.ctl("status", "--record", path)
        self.assertEqual(code, 2)
        self.assertIn("--record goes with why STREAM", err)


if __name__ == "__main__":
    sys.exit(unittest.main())

#!/usr/bin/python3
"""The configuration read anew while latentd runs: keys and roles change, all else is refused."""
import json
import os
import random
import re
import signal
import subprocess
import threading
import time
import unittest

import zmq

import curve_rig
import daemon_rig as rig

SEED = int(os.environ.get("LATENT_SEED", "1"))
N_FILES = int(os.environ.get("LATENT_RELOADS", "25"))
PACE_S = 0.001


class Source(threading.Thread):
    """A bin a millisecond until it is told to stop: n_sent of them."""

    def __init__(self, socket):
        super().__init__()
        self.socket, self.n_sent, self.is_over = socket, 0, False
        self.start()

    def run(self):
        while not self.is_over:
            self.socket.send_multipart([b"arm/bins", rig.pack_bins(self.n_sent, [1, 0, 2])])
            self.n_sent += 1
            time.sleep(PACE_S)

    def stop(self):
        self.is_over = True
        self.join()
        return self.n_sent


class ReloadCase(unittest.TestCase):
    def setUp(self):
        self.rig = curve_rig.CurveRig()
        self.addCleanup(self.rig.close)
        self.ends = self.rig.start_encrypted()
        self.text = self.rig.config.read_text()

    def source(self, name="rig"):
        return self.rig.source(self.ends["arm.input"], keys=self.rig.keys(name))

    def consumer(self, name="screen"):
        return self.rig.consumer("arm", self.ends["arm.output"], keys=self.rig.keys(name))

    def write(self, *changes):
        """The configuration as it was at the start, with these replacements."""
        text = self.text
        for old, new in changes:
            self.assertIn(old, text)
            text = text.replace(old, new)
        self.rig.config.write_text(text)

    def reload(self, *arguments):
        return self.rig.ctl("reload", *arguments)

    def check_refused(self, *words):
        code, out, err = self.reload()
        self.assertEqual((code, out), (1, ""))
        self.assertIn("nothing was changed", err)
        for word in words:
            self.assertIn(word, err)

    def wait_for_log(self, text, n=1):
        time_is_left = rig.deadline()
        while time_is_left():
            if self.rig.log.read_text().count(text) >= n:
                return
            time.sleep(0.01)
        self.fail(f"the log does not say {text!r}")

    def inputs(self, name):
        return next(n for key, n in self.rig.status()["inputs"].items() if key.endswith(name))


def section(name, roles):
    return f"[client {name}]\npublic-key = {name}.key\nroles = {roles}\n"


class ReloadTest(ReloadCase):
    def test_nothing_has_changed(self):
        """As it stands, with every default written out, and in another order."""
        self.assertEqual(self.reload()[0], 0)
        self.assertIn("nothing has changed", self.reload()[1])
        done = subprocess.run([rig.BIN / "latentd", "--print-config", self.rig.config],
                              capture_output=True, text=True, timeout=rig.WAIT_S)
        sections = done.stdout.split("\n[")
        for text in (done.stdout, "\n[".join([sections[0], *sections[:0:-1]])):
            self.rig.config.write_text(text)
            self.assertIn("nothing has changed", self.reload()[1])

    def test_client_comes_and_goes(self):
        """Under traffic at 1 kHz: no bin is lost; whoever lost his key is out, others come back."""
        self.rig.make_keys("second")
        screen, wall = self.consumer(), self.consumer("wall")
        source = Source(self.source())
        self.addCleanup(source.stop)
        screen.frames(20)
        wall.frames(1)
        self.write((section("wall", "monitor"), section("second", "consumer")))
        code, out, _ = self.reload()
        self.assertEqual((code, out), (0, "changed: client wall gone, client second new\n"))
        self.check_is_served("second")
        self.wait_for_hole(screen)
        self.wait_for_silence(wall)
        n_sent = source.stop()
        status = self.rig.wait_for("arm", "bins", "decoded", n_sent)
        self.assertEqual((status["bins"]["in"], status["sequence"]["lost"]), (n_sent, 0))
        self.assertEqual(self.inputs("revoked"), 0)
        self.assertEqual(self.rig.ctl_as("wall", "status", seconds=0.3)[0], 1)

    def check_is_served(self, name):
        """Comes in while frames are sent, and gets them."""
        peer = self.rig.context.socket(zmq.SUB)
        self.rig.sockets.append(peer)
        rig.set_keys(peer, self.rig.keys(name))
        peer.connect(self.ends["arm.output"])
        peer.subscribe("arm/frame")
        for _ in range(20):
            self.assertTrue(peer.poll(rig.WAIT_S * 1000))
            self.assertEqual(peer.recv_multipart()[0], b"arm/frame")

    def wait_for_hole(self, consumer):
        """It was cut off, and is back."""
        pub_seq = consumer.frames(1)[0].pub_seq
        time_is_left = rig.deadline()
        while time_is_left():
            frames = consumer.frames(20)
            if frames[-1].pub_seq - pub_seq > len(frames):
                return
            pub_seq = frames[-1].pub_seq
        self.fail("no hole")

    def wait_for_silence(self, consumer):
        """Nothing more comes after what was on its way."""
        for _ in range(5000):
            if not consumer.socket.poll(500):
                return
            consumer.socket.recv_multipart()
        self.fail("it still gets frames")

    def test_source_is_revoked(self):
        """It stays connected, for libzmq lets nobody go; its messages are counted and refused."""
        source, consumer = self.source(), self.consumer()
        self.rig.make_keys("other")
        source.send_multipart([b"arm/bins", rig.pack_bins(0, [1, 0, 2])])
        consumer.frames(1)
        self.write((section("rig", "source"), section("other", "source")))
        self.assertEqual(self.reload()[0], 0)
        for seq in range(1, 31):
            source.send_multipart([b"arm/bins", rig.pack_bins(seq, [1, 0, 2])])
        time_is_left = rig.deadline()
        while self.inputs("revoked") < 30 and time_is_left():
            time.sleep(0.01)
        self.assertEqual(self.inputs("revoked"), 30)
        self.assertEqual(self.rig.status()["streams"]["arm"]["messages"]["in"], 1)
        self.wait_for_log("by a key that was taken away while it was connected")
        other = self.source("other")
        other.send_multipart([b"arm/bins", rig.pack_bins(1, [1, 0, 2])])
        self.rig.wait_for("arm", "bins", "decoded", 2)
        self.write()  # and it is let in again, without connecting anew
        self.assertEqual(self.reload()[0], 0)
        source.send_multipart([b"arm/bins", rig.pack_bins(2, [1, 0, 2])])
        self.rig.wait_for("arm", "bins", "decoded", 3)

    def test_another_key_under_the_same_name(self):
        source = self.source()
        source.send_multipart([b"arm/bins", rig.pack_bins(0, [1, 0, 2])])
        self.rig.wait_for("arm", "bins", "decoded", 1)
        self.rig.make_keys("other")
        path = self.rig.folder / "rig.key"
        path.write_text((self.rig.folder / "other.key").read_text())
        self.assertEqual(self.reload()[:2], (0, "changed: key of client rig\n"))
        source.send_multipart([b"arm/bins", rig.pack_bins(1, [1, 0, 2])])
        time_is_left = rig.deadline()
        while not self.inputs("revoked") and time_is_left():
            time.sleep(0.01)
        self.assertEqual(self.inputs("revoked"), 1)
        self.source("other").send_multipart([b"arm/bins", rig.pack_bins(1, [1, 0, 2])])
        self.rig.wait_for("arm", "bins", "decoded", 2)

    def test_operator_is_revoked(self):
        """An open connection to the control socket does nothing for him any more."""
        peer = self.rig.context.socket(zmq.REQ)
        peer.linger = 0
        rig.set_keys(peer, self.rig.keys("desk"))
        peer.connect(self.ends["control"])
        self.rig.sockets.append(peer)
        ask = rig.pb.Request(operation=rig.pb.STATUS).SerializeToString()
        for code, change in ((0, None), (-5, ("roles = operator", "roles = source"))):
            if change:
                self.write(change)
                self.assertEqual(self.reload()[0], 0)
            peer.send(ask)
            self.assertTrue(peer.poll(rig.WAIT_S * 1000))
            reply = rig.pb.Reply.FromString(peer.recv())
            self.assertEqual(reply.code, code, reply.text)
            self.assertEqual(reply.HasField("status"), code == 0)
        self.assertIn("no longer in force", reply.text)
        self.write()
        self.rig.process.send_signal(signal.SIGHUP)
        self.wait_for_log("reload: changed: roles of client desk")
        self.assertEqual(self.rig.ctl("status")[0], 0)

    def test_all_else_is_refused(self):
        """By its name; what could have changed beside it is not changed either."""
        self.write((section("wall", "monitor"), ""),
                   ("on-missing = skip", "on-missing = skip\nreorder-window = 3"))
        self.check_refused("needs a restart", "reorder-window of [stream arm] was 16, is 3")
        self.assertEqual(self.rig.ctl_as("wall", "status")[0], 0)
        self.write(("[stream arm]", "[stream leg]"))
        self.check_refused("[stream leg] is new", "of [stream arm], which is gone")
        self.write(("roles = monitor", "roles = monitors"))
        self.check_refused("monitors")
        self.write(("wall.key", "none.key"))
        self.check_refused("none.key", "No such file")
        self.write(("wall.key", "rig.key"))
        self.check_refused("give each client a key of its own")
        self.rig.config.unlink()
        self.check_refused("cannot open")
        self.write()
        self.assertEqual(self.reload()[0], 0)

    def test_dry_run(self):
        self.write((section("wall", "monitor"), ""))
        code, out, _ = self.rig.ctl("--dry-run", "reload")
        self.assertEqual((code, out), (0, "would change: client wall gone\n"))
        self.assertEqual(self.rig.ctl_as("wall", "status")[0], 0)
        self.assertEqual(self.rig.ctl_as("wall", "reload")[0], 1)

    def test_signals_in_a_row(self):
        """A hangup ends nothing, however many come."""
        source = Source(self.source())
        self.addCleanup(source.stop)
        for _ in range(200):
            self.rig.process.send_signal(signal.SIGHUP)
        self.wait_for_log("reload: nothing has changed")
        n_sent = source.stop()
        self.rig.wait_for("arm", "bins", "decoded", n_sent)

    def test_sighup_of_a_terminal_sends_safe(self):
        """It ends with its terminal; without one it reads its configuration anew."""
        self.rig.stop()
        ours, theirs = os.openpty()
        self.addCleanup(os.close, ours)
        with os.fdopen(theirs, "w") as terminal:
            process = subprocess.Popen([rig.BIN / "latentd", self.rig.config], stderr=terminal,
                                       stdout=subprocess.PIPE, text=True)
        with process:
            self.assertTrue(process.stdout.readline().startswith("READY "))
            process.send_signal(signal.SIGHUP)
            self.assertEqual(process.wait(rig.WAIT_S), 0)
            self.assertIn(b"Hangup: stopping", os.read(ours, 4096))


class FuzzTest(ReloadCase):
    """Whatever the file has become, it is in force as a whole or not at all. Beside the stream of
    the others there is one that may leave and come."""

    def setUp(self):
        super().setUp()
        folder = self.rig.folder
        self.leg = (f"[stream leg]\nmodel = {folder}/model.safetensors\nloop = leg\n"
                    f"input = ipc://{folder}/in-leg\noutput = ipc://{folder}/out-leg\n")
        self.text = f"{self.text}\n{self.leg}"
        self.write()
        self.assertEqual(self.reload()[:2], (0, "changed: stream leg new\n"))

    def may(self, name, expected):
        """What this client can do now: 2 change, 1 look, 0 nothing. Nobody answers who may not
        come in, and whoever may is waited for."""
        seconds = 10 if expected else 0.3
        if self.rig.ctl_as(name, "--dry-run", "reset", "arm", seconds=seconds)[0] == 0:
            return 2
        return int(self.rig.ctl_as(name, "status", seconds=seconds)[0] == 0)

    def damage(self, text, chance):
        lines = text.splitlines(keepends=True)
        i = chance.randrange(len(lines))
        kind = chance.choice(("drop", "double", "letter", "cut", "swap", "role", "policy", "gone"))
        if kind == "gone":
            text = text.replace(self.leg, "")
            return self.change_policies(text, chance) if chance.random() < 0.5 else text
        if kind == "drop":
            del lines[i]
        elif kind == "double":
            lines.insert(i, lines[i])
        elif kind == "letter":
            at = chance.randrange(len(lines[i]))
            lines[i] = lines[i][:at] + chr(chance.randrange(32, 127)) + lines[i][at + 1:]
        elif kind == "cut":
            return "".join(lines)[:chance.randrange(len(text))]
        elif kind == "swap":
            k = chance.randrange(len(lines))
            lines[i], lines[k] = lines[k], lines[i]
        elif kind == "policy":
            return self.change_policies(text, chance)
        else:
            roles = ("source", "consumer", "monitor", "operator", "monitor operator")
            at = [k for k, line in enumerate(lines) if line.startswith("roles = ")]
            for k in chance.sample(at, min(2, len(at))):
                lines[k] = f"roles = {chance.choice(roles)}\n"
        return "".join(lines)

    @staticmethod
    def change_policies(text, chance):
        """Some with a value that fits, some not; a role with them."""
        values = {"valid-for-ms": (80, 90, 100, 0), "budget-ms": (1, 2, 1000, -1),
                  "safe-exit": (1, 5, "operator", "x"), "max-masked": (10, 101),
                  "reorder-window": (16, 17)}
        for key in chance.sample(sorted(values), 3):
            value = chance.choice(values[key][:-1] if chance.random() < 0.8 else values[key])
            text = "".join(line for line in text.splitlines(keepends=True)
                           if not line.startswith(f"{key} = "))
            text = text.replace("[stream arm]\n", f"[stream arm]\n{key} = {value}\n")
        role = chance.choice(("monitor", "monitor operator"))
        return text.replace("roles = monitor\n", f"roles = {role}\n")

    def policies(self):
        """What is told of them: (valid for, budget), ns."""
        code, out, err = self.rig.ctl("model", "arm", "--json")
        self.assertEqual(code, 0, err)
        info = json.loads(out)["streams"][0]
        return info["valid_for_ns"], info["budget_ns"]

    @staticmethod
    def policies_of(text):
        """The same of a configuration whose values are settled."""
        arm = next(part for part in text.split("\n[") if part.startswith("stream arm]"))
        return tuple(round(float(re.search(rf"^{key} = (.*)$", arm, re.M)[1]) * 1e6)
                     for key in ("valid-for-ms", "budget-ms"))

    def test_files(self):
        chance = random.Random(SEED)
        now = {"wall": 1, "desk": 2}
        n_taken = n_policies = n_gone = 0
        streams = {"arm", "leg"}
        policies = self.policies()
        with_desk = section("desk", "operator")
        source = Source(self.source())
        self.addCleanup(source.stop)
        for i in range(N_FILES):
            text = self.damage(self.text, chance)
            if with_desk not in text:  # somebody has to ask
                text = text.replace("[client desk]", "[client gone]") + with_desk
            self.rig.config.write_text(text)
            check = subprocess.run([rig.BIN / "latentd", "--check", self.rig.config],
                                   capture_output=True, text=True, timeout=rig.WAIT_S)
            code, out, err = self.reload()
            self.assertIn(code, (0, 1), err)
            if code == 0:
                self.assertEqual(check.returncode, 0, f"taken, file {i} of seed {SEED}:\n{text}")
                roles = self.roles_of(check.stdout, "wall")
                now["wall"] = 2 if "operator" in roles else int("monitor" in roles)
                n_taken += out.startswith("changed")
                n_policies += "-for-ms of stream" in out or "budget-ms of stream" in out
                n_gone += "stream leg gone" in out
                policies = self.policies_of(check.stdout)
                streams = set(re.findall(r"^\[stream (.*)\]$", check.stdout, re.M))
            self.assertEqual(set(self.rig.status()["streams"]), streams,
                             f"file {i} of seed {SEED}: {out}{err}\n{text}")
            self.assertEqual(self.policies(), policies,
                             f"file {i} of seed {SEED}: {out}{err}\n{text}")
            for name, right in now.items():
                self.assertEqual(self.may(name, right), right,
                                 f"{name}, file {i} of seed {SEED}: {out}{err}\n{text}")
        self.write()
        self.assertEqual(self.reload()[0], 0)
        n_sent = source.stop()
        self.rig.wait_for("arm", "messages", "in", n_sent - self.inputs("revoked"))
        self.assertGreater(n_taken, 0)
        self.assertGreater(n_policies, 0)
        self.assertGreater(n_gone, 0)

    @staticmethod
    def roles_of(text, name):
        for part in text.split("\n["):
            if f"public-key = {name}.key\n" in part:
                return part.split("roles = ")[1].splitlines()[0].split()
        return []


if __name__ == "__main__":
    unittest.main()

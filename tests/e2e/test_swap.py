#!/usr/bin/python3
"""Another decoder in a stream that runs: tried in shadow, promoted, rolled back; nothing is lost,
and what is not good enough never touches a frame.

LATENT_SWAPS=1000 in the environment: as many promotions and roll-backs instead of 25 each."""
import os
import threading
import time
import unittest

import numpy as np
import zmq

import daemon_rig as rig
import record_rig as records
from latentd import Subscriber
from latentd import latent_pb2 as pb

BIN_US = 1000
N_SWAPS = int(os.environ.get("LATENT_SWAPS", "25"))
SWAPPED = 1 << 8
OTHER_BIAS = np.array([11.0, -7.0])


class Source(threading.Thread):
    """Bins at about their rate, until it is stopped."""

    def __init__(self, socket):
        super().__init__()
        self.socket = socket
        self.rows, self.odd = [], []
        self.is_stopped = threading.Event()

    def run(self):
        rows = np.random.default_rng(7)
        while not self.is_stopped.is_set():
            row = self.odd.pop() if self.odd else list(rows.integers(0, 3, 2)) + [0]
            self.socket.send_multipart(
                [b"arm/bins", rig.pack_bins(len(self.rows), row, bin_width_us=BIN_US)])
            self.rows.append(row)
            time.sleep(BIN_US / 1e6)

    def stop(self):
        if self.is_alive():
            self.is_stopped.set()
            self.join()


class Case(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        self.record = self.rig.folder / "arm.record"
        self.first = self.model("first")
        self.other = self.model("other", bias=OTHER_BIAS)

    def model(self, name, **more):
        path = self.rig.folder / f"{name}.safetensors"
        return rig.write_model(path, **{"bin_us": BIN_US, **more})

    def start(self, **keys):
        self.rig.configure({"arm": {"model": self.first, "keep_ms": 600000, **keys}})
        self.rig.start()
        self.socket = self.rig.context.socket(zmq.SUB)
        self.socket.rcvhwm = 0
        self.socket.connect(f"ipc://{self.rig.folder}/out")
        self.socket.subscribe("arm/")
        self.rig.sockets.append(self.socket)
        self.rig.consumer("arm")  # a daemon that is heard
        self.source = Source(self.rig.source())
        self.source.start()
        self.addCleanup(self.source.stop)

    def messages(self):
        """All that came by now, in order: (kind, message)."""
        found = []
        while self.socket.poll(200):
            topic, payload = self.socket.recv_multipart()
            kind = topic.decode().split("/")[1]
            found.append((kind, (pb.Frame if kind == "frame" else pb.Info).FromString(payload)))
        return found

    # ---- the operator

    def ctl(self, *arguments):
        code, out, err = self.rig.ctl(*arguments)
        self.assertEqual(code, 0, err)
        return out

    def refused(self, *arguments):
        code, out, err = self.rig.ctl(*arguments)
        self.assertEqual(code, 1, out)
        return err

    def swap(self):
        return self.rig.status()["streams"]["arm"].get("swap", {"state": "none", "counts": {}})

    def wait_for(self, condition):
        time_is_left = rig.deadline()
        while time_is_left():
            swap = self.swap()
            if condition(swap):
                return swap
        raise AssertionError(f"{swap}\n{self.rig.log.read_text()}")

    def shadow(self, path, *more):
        self.ctl("shadow", "arm", str(path), *more)
        return self.wait_for(lambda s: s["counts"]["clean"] >= 200 or s["counts"]["non_finite"])

    def move(self, *arguments):
        """promote or rollback, as often as a busy machine needs."""
        n_before = self.n_moves()
        time_is_left = rig.deadline()
        while time_is_left():
            code, out, err = self.rig.ctl(*arguments)
            if code == 3:
                self.wait_for(lambda s: s["state"] in ("kept", "shadow"))
                code = 0 if self.n_moves() > n_before else 1
            elif code == 1:
                self.assertIn("did not keep up", err)
            if code == 0:
                return out
        raise AssertionError(err)

    def n_moves(self):
        counts = self.swap()["counts"]
        return counts["promotions"] + counts["roll_backs"]

    def ids(self):
        """decoder_id of both models, told by a daemon that opened them."""
        found = {}
        for kind, message in self.heard:
            if kind == "info":
                found.setdefault(message.decoder_id, message)
        return list(found)

    def end(self):
        """Stop; -> frames. Each decoder was announced before its first frame, no bin is lost."""
        self.source.stop()
        self.rig.wait_for("arm", "bins", "decoded", len(self.source.rows))
        self.heard = self.messages()
        known, frames = set(), []
        for kind, message in self.heard:
            if kind == "info":
                known.add(message.decoder_id)
                continue
            self.assertIn(message.decoder_id, known)
            frames.append(message)
        n = len(self.source.rows)
        self.assertEqual([f.seq for f in frames], list(range(n)))
        self.assertEqual([f.pub_seq for f in frames], list(range(n)))
        changed = [a.decoder_id != b.decoder_id for a, b in zip(frames, frames[1:])]
        self.assertEqual([bool(f.flags & SWAPPED) for f in frames[1:]], changed)
        status = self.rig.status()["streams"]["arm"]
        self.assertEqual(status["sequence"]["lost"], 0)
        self.assertEqual(status["bins"]["decoded"], n)
        return frames

    def check_values(self, frames, ids):
        """Each frame is that of its decoder, had it been there all along."""
        states, readouts = rig.answer(self.source.rows)
        for frame, state, readout in zip(frames, states, readouts):
            bias = rig.B if frame.decoder_id == ids[0] else OTHER_BIAS
            np.testing.assert_allclose(frame.latents, state, rtol=1e-5, atol=1e-5)
            if not frame.flags & rig.LIMITED:
                np.testing.assert_allclose(frame.readout, readout - rig.B + bias, rtol=1e-5,
                                           atol=1e-5)


class Swaps(Case):
    def test_there_and_back(self):
        """Promotions and roll-backs while bins come; the clients go on; the record verifies."""
        self.start(record="arm.record")
        with Subscriber(f"ipc://{self.rig.folder}/out", "arm", queue_frames=10**6) as consumer:
            self.shadow(self.other)
            self.move("promote", "arm")
            for _ in range(N_SWAPS - 1):
                self.move("rollback", "arm")
                self.move("promote", "arm", "--force", "--at", "next-bin")
                self.assertNotIn("decoder", consumer.readout(timeout=5).reason)
            status = self.rig.status()["streams"]["arm"]
            self.assertEqual(status["model"], str(self.other))
            self.assertTrue(status["swap"]["is_exact"])
            self.assertEqual(consumer.info.decoder_id, int(status["decoder_id"], 16))
            self.move("rollback", "arm")
            self.assertEqual(self.rig.status()["streams"]["arm"]["model"], str(self.first))
            self.assertEqual(consumer.lost, 0)
        frames = self.end()
        changes = sum(bool(f.flags & SWAPPED) for f in frames)
        self.assertEqual(changes, 2 * N_SWAPS)
        self.check_values(frames, self.ids())
        self.rig.stop()
        records.check_whole(self.record)



class Candidates(Case):
    """What is not good enough is refused, and no frame is ever of it."""

    def end(self):
        frames = super().end()
        self.assertEqual(len({f.decoder_id for f in frames}), 1)
        self.assertEqual([f.flags & SWAPPED for f in frames], [0] * len(frames))
        return frames

    def test_cannot_be_opened(self):
        self.start()
        damaged = self.rig.folder / "damaged.safetensors"
        damaged.write_bytes(self.other.read_bytes()[:-40])
        wrong = self.rig.folder / "wrong.safetensors"
        data = bytearray(self.other.read_bytes())
        data[data.index(np.float64(OTHER_BIAS[0]).tobytes()) + 6] ^= 64
        wrong.write_bytes(data)
        named = self.model("named", first={"name": "elbow"})
        for path, words in (
                (damaged, "damaged.safetensors"), (wrong, "wrong.safetensors"),
                (self.model("wide", n_channels=5), "channels"), (named, "elbow"),
                (self.model("slow", bin_us=2000), "bin"), (self.model("real", kind="real"), "real"),
                (self.rig.folder / "none", "none"), ("/", "/")):
            for command in ("shadow", "load"):
                self.assertIn(words, self.refused(command, "arm", str(path)))
        self.assertEqual(self.swap()["state"], "none")
        self.end()

    def test_dry_runs(self):
        self.start()
        self.assertIn("would be taken", self.ctl("--dry-run", "shadow", "arm", str(self.other)))
        self.assertEqual(self.swap()["state"], "none")
        self.refused("promote", "arm")
        self.refused("rollback", "arm")
        self.refused("drop", "arm")
        self.shadow(self.other)
        self.assertIn("already", self.refused("shadow", "arm", str(self.other)))
        self.assertIn("would be", self.ctl("--dry-run", "promote", "arm"))
        self.assertIn("would be", self.ctl("--dry-run", "drop", "arm"))
        self.assertEqual(self.swap()["state"], "shadow")
        self.ctl("drop", "arm")
        self.wait_for(lambda s: s["state"] == "none")
        self.end()

    def test_not_finite(self):
        """On what comes now, though not in its known answer."""
        self.start()
        self.shadow(self.model("loud", loud=3e38))
        self.source.odd += [[1, 1, 5]] * 3
        self.wait_for(lambda s: s["counts"]["non_finite"] > 0)
        self.assertIn("not finite", self.refused("promote", "arm"))
        self.ctl("drop", "arm")
        self.wait_for(lambda s: s["state"] == "none")
        self.end()

    def test_loaded_and_not_finite(self):
        self.start()
        self.source.odd += [[1, 1, 5]] * 3
        self.wait_for_odd()
        self.ctl("load", "arm", str(self.model("loud", loud=3e38)))
        swap = self.wait_for(lambda s: s["state"] == "none")
        self.assertIn("not finite", swap["newest"])
        self.end()

    def wait_for_odd(self):
        time_is_left = rig.deadline()
        while self.source.odd and time_is_left():
            pass
        self.rig.wait_for("arm", "bins", "decoded", len(self.source.rows))

    def test_too_slow(self):
        """No step fits into what the budget leaves."""
        self.start(budget_ms=0.001, on_late="publish")
        self.shadow(self.other)
        self.assertIn("budget", self.refused("promote", "arm"))
        self.end()

    def test_too_early(self):
        """Warm by what came before, but not seen in step for long enough: only by force."""
        self.start()
        self.rig.wait_for("arm", "bins", "decoded", 20)
        self.source.stop()
        self.rig.wait_for("arm", "bins", "decoded", len(self.source.rows))
        self.ctl("shadow", "arm", str(self.other))
        self.wait_for(lambda s: s["state"] == "shadow")
        self.assertIn("0 bins in step; 200 are needed", self.refused("promote", "arm"))
        self.ctl("promote", "arm", "--force")
        self.assertEqual(self.rig.status()["streams"]["arm"]["model"], str(self.other))
        self.end()


class Promoted(Case):
    def test_load(self):
        """Promoted by itself when it is warm; everything says so, a record that begins then too."""
        self.start(keep_ms=300)
        self.ctl("load", "arm", str(self.other))
        self.wait_for(lambda s: s["counts"]["promotions"] == 1)
        status = self.rig.status()["streams"]["arm"]
        self.assertEqual(status["model"], str(self.other))
        self.assertIn(str(self.other), self.ctl("model", "arm"))
        self.ctl("record", "start", "arm", str(self.record))
        self.wait_for(lambda s: s["state"] == "none")
        self.assertIn("keep-ms", self.refused("rollback", "arm"))
        self.assertIn("kept no longer", self.swap()["newest"])
        frames = self.end()
        self.check_values(frames, self.ids())
        self.ctl("record", "stop", "arm")
        for key, value in (("model_path", str(self.other)), ("decoder_id", status["decoder_id"])):
            found = records.sql(self.record, f"SELECT value FROM meta WHERE key = '{key}'")
            self.assertEqual(found, [[value]])
        records.check_whole(self.record)

    def promote(self, path):
        self.shadow(path)
        self.move("promote", "arm")

    def check_rolled_back(self, path, words):
        """By itself, and not to be taken again until it is told to."""
        swap = self.wait_for(lambda s: s["state"] == "none")
        self.assertIn(words, swap["newest"])
        self.assertEqual(self.rig.status()["streams"]["arm"]["model"], str(self.first))
        self.assertIn("--force", self.refused("shadow", "arm", str(path)))
        self.ctl("shadow", "arm", str(path), "--force")

    def test_output_not_finite(self):
        self.start()
        loud = self.model("loud", loud=3e38, bias=OTHER_BIAS)
        self.promote(loud)
        self.source.odd += [[1, 1, 5]] * 2
        self.check_rolled_back(loud, "not finite")
        frames = self.end()
        first = frames[0].decoder_id
        self.assertEqual(frames[-1].decoder_id, first)
        self.assertTrue(any(f.flags & rig.SAFE for f in frames if f.decoder_id != first))
        self.assertTrue(all(np.all(np.isfinite(f.readout)) for f in frames))

    def test_late(self):
        """Bins that waited while the process was stopped are late, whoever is to blame."""
        self.start(budget_ms=100)
        self.promote(self.other)
        time.sleep(0.2)
        self.rig.pause()
        time.sleep(0.7)
        self.rig.resume()
        self.check_rolled_back(self.other, "late")
        self.end()

    def test_at_its_limit(self):
        self.start()
        narrow = self.model("narrow", bias=OTHER_BIAS, first={"max": 1.0})
        self.promote(narrow)
        self.check_rolled_back(narrow, "limit")
        self.end()

    def test_not_within_a_trial(self):
        """Unless it is told to; at its end by itself."""
        self.start()
        self.shadow(self.other)
        self.source.stop()
        self.send(marks=1)
        code, _, err = self.rig.ctl("promote", "arm", "--force")
        self.assertEqual(code, 3, err)
        self.assertIn("end of a trial", err)
        self.assertEqual(self.swap()["state"], "promoting")
        self.send(marks=0)
        self.assertEqual(self.swap()["state"], "promoting")
        self.send(marks=2)
        self.send(marks=0)
        self.wait_for(lambda s: s["state"] == "kept")
        self.move("rollback", "arm")
        self.send(marks=1)
        self.move("promote", "arm", "--force", "--at", "next-bin")
        self.end()

    def send(self, marks):
        """One bin more, after the source has stopped."""
        rows = self.source.rows
        self.source.socket.send_multipart(
            [b"arm/bins", rig.pack_bins(len(rows), [1, 2, 0], bin_width_us=BIN_US, marks=marks)])
        rows.append([1, 2, 0])
        self.rig.wait_for("arm", "bins", "decoded", len(rows))

    def test_kept_until_it_is_dropped(self):
        self.start()
        self.promote(self.other)
        self.assertIn("no way back", self.ctl("drop", "arm"))
        self.wait_for(lambda s: s["state"] == "none")
        self.refused("rollback", "arm")
        self.promote(self.first)
        self.move("rollback", "arm")
        frames = self.end()
        self.check_values(frames, self.ids())

    def test_restart(self):
        """The configuration's model decodes again, as the answer says."""
        self.start()
        self.shadow(self.other)
        self.assertIn("restart takes the configuration's model",
                      self.ctl("--timeout", "60", "promote", "arm"))
        self.end()
        self.rig.stop()
        self.rig.start()
        self.assertEqual(self.rig.status()["streams"]["arm"]["model"], str(self.first))


if __name__ == "__main__":
    unittest.main()

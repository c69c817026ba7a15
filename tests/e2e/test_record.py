#!/usr/bin/python3
"""The record: started and stopped, whole, the same again bit by bit for every architecture, and a
verification that notices what was changed."""
import collections
import pathlib
import shutil
import sqlite3
import subprocess
import time
import unittest

import h5py
import numpy as np

import daemon_rig as rig
import record_rig as records

N_MESSAGES = 400


class Case(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        self.path = self.rig.folder / "arm.record"

    def start(self, model=None, **keys):
        if model is None:
            model = rig.write_model(self.rig.folder / "model.safetensors")
        self.rig.configure({"arm": {"model": model, **records.RESTARTS, **keys}})
        self.rig.start()
        self.consumer = self.rig.consumer("arm")
        self.traffic = records.Traffic(self.rig.source(), "arm", self.consumer.info, seed=20260401,
                                       settle=self.wait_for_traffic)

    def wait_for_traffic(self):
        return self.rig.wait_for("arm", "messages", "in", self.traffic.n_sent)

    def ctl_fails(self, *arguments):
        code, _, err = self.rig.ctl(*arguments)
        self.assertEqual(code, 1, err)
        return err


class Clipped(Case):
    """Input beyond what training saw, told in each frame, and replayed."""

    def test_clipped(self):
        model = rig.write_model(self.rig.folder / "clipped.safetensors", clip=[2, 5, 3])
        self.start(model, record="arm.record")
        rows = [[1, 2, 0], [100, 2, 3], [2, 5, 3], [0, 250, 250], [1, 1, 1]]
        source = self.rig.sockets[-1]
        for seq, row in enumerate(rows):
            source.send_multipart([b"arm/bins", rig.pack_bins(seq, row)])
        frames = self.consumer.frames(len(rows))
        self.assertEqual([bool(f.flags & rig.INPUT_CLIPPED) for f in frames],
                         [False, True, False, True, False])
        states, _ = rig.answer([[1, 2, 0], [2, 2, 3], [2, 5, 3], [0, 5, 3], [1, 1, 1]])
        for frame, state in zip(frames, states):
            self.assertEqual(tuple(frame.latents), tuple(state))
        status = self.rig.status()
        self.assertEqual(status["streams"]["arm"]["flags"]["INPUT_CLIPPED"], 2)
        self.assertFalse([note for note in status["notes"] if "not clipped" in note])
        self.rig.stop()
        records.check_whole(self.path)


class Operator(Case):
    def test_start_and_stop(self):
        self.start()
        self.traffic.send(50)
        before = self.wait_for_traffic()
        self.assertNotIn("record", before)
        code, out, _ = self.rig.ctl("--dry-run", "record", "start", "arm", str(self.path))
        self.assertEqual((code, self.path.exists()), (0, False), out)
        code, out, err = self.rig.ctl("record", "start", "arm", str(self.path))
        self.assertEqual(code, 0, err)
        self.assertIn(str(self.path), out)
        self.assertEqual(records.record_of(self.rig, "arm")["state"], "recording")
        self.traffic.send(N_MESSAGES)
        self.wait_for_traffic()
        self.assertIn("being recorded", self.ctl_fails("record", "start", "arm", "/tmp/other"))
        code, out, err = self.rig.ctl("record", "stop", "arm")
        self.assertEqual(code, 0, err)
        ended = records.wait_for_record(self.rig, "arm", lambda r: r["state"] == "stopped")
        self.assertFalse(self.path.with_name("arm.record-wal").exists())  # closed in order
        self.traffic.send(50)
        after = self.wait_for_traffic()
        n_frames = after["frames"]["published"]
        sent = [self.consumer.payload() for _ in range(n_frames)]
        kept = records.frames_of(self.path)
        first = before["frames"]["published"]
        self.assertEqual(kept, sent[first:first + len(kept)])
        self.assertEqual(ended["counts"]["frames"], len(kept))
        self.assertEqual(ended["counts"]["lost_entries"], 0)
        n_entries = int(records.sql(self.path, "SELECT count(*) FROM entries")[0][0])
        self.assertEqual(ended["counts"]["entries"], n_entries)
        self.assertGreaterEqual(n_entries, N_MESSAGES)
        records.check_whole(self.path)
        self.assertIn("not being recorded", self.ctl_fails("record", "stop", "arm"))

    def test_again_into_another_file(self):
        self.start()
        for name in ("one.record", "two.record", "three.record"):
            path = self.rig.folder / name
            self.assertEqual(self.rig.ctl("record", "start", "arm", str(path))[0], 0)
            self.traffic.send(40)
            self.wait_for_traffic()
            self.assertEqual(self.rig.ctl("record", "stop", "arm")[0], 0)
            records.wait_for_record(self.rig, "arm", lambda r: r["state"] == "stopped")
            records.check_whole(path)

    def test_refusals(self):
        self.start()
        self.path.write_text("precious")
        self.assertIn("exists", self.ctl_fails("record", "start", "arm", str(self.path)))
        self.assertEqual(self.path.read_text(), "precious")
        self.assertIn("No such file",
                      self.ctl_fails("record", "start", "arm", f"{self.rig.folder}/no/such"))
        self.assertIn("found %Q", self.ctl_fails("record", "start", "arm", "/tmp/%Q.record"))
        self.assertIn("no stream 'leg'", self.ctl_fails("record", "start", "leg", "/tmp/x"))
        self.assertEqual(self.rig.ctl("record", "start", "arm")[0], 2)
        self.assertEqual(self.rig.ctl("record", "arm")[0], 2)
        self.traffic.send(10)
        self.assertNotIn("record", self.wait_for_traffic())


class Configured(Case):
    def test_from_the_start_to_the_end(self):
        self.start(record="arm.record")
        self.traffic.send(N_MESSAGES)
        status = self.wait_for_traffic()
        self.rig.ctl("reset", "arm")
        self.traffic.send(5)
        status = self.wait_for_traffic()
        sent = [self.consumer.payload() for _ in range(status["frames"]["published"])]
        self.assertEqual(self.rig.stop(), 0)
        kept = records.frames_of(self.path)
        self.assertEqual(kept[:len(sent)], sent)
        last = rig.pb.Frame.FromString(kept[-1])
        self.assertTrue(last.flags & rig.SAFE)
        records.check_whole(self.path)
        kinds = records.sql(self.path, "SELECT name, count(*) FROM entries JOIN names ON"
                            " names.code = entries.kind AND names.kind = 'entry' GROUP BY 1")
        self.assertEqual(dict(kinds)["reset"], "1")
        self.assertEqual(dict(kinds)["stop"], "1")
        self.assertEqual(int(dict(kinds)["message"]) + int(dict(kinds).get("parts", 0)),
                         self.traffic.n_sent)

    def test_a_second_start_takes_another_name(self):
        for _ in range(3):
            self.start(record="%Y.record")
            self.traffic.send(5)
            self.wait_for_traffic()
            self.assertEqual(self.rig.stop(), 0)
        names = sorted(path.name.split(".")[0][4:] for path in self.rig.folder.glob("*.record"))
        self.assertEqual(names, ["", "-2", "-3"])

    def test_no_folder_is_a_mistake(self):
        model = rig.write_model(self.rig.folder / "model.safetensors")
        self.rig.configure({"arm": {"model": model, "record": "no/such/arm.record"}})
        for arguments in (("--check", self.rig.config), (self.rig.config,)):
            code, _, err = self.rig.run_to_end(*arguments)
            self.assertEqual(code, 2)
            self.assertRegex(err, r"latentd.conf:\d+: record: .*No such file")


class EveryArchitecture(Case):
    def check(self, name):
        model, mode = records.ARCHITECTURES[name]
        self.path = self.rig.folder / f"{name}.record"
        self.start(model, record=self.path, **({"mode": mode} if mode else {}))
        self.traffic.send(N_MESSAGES)
        status = self.wait_for_traffic()
        self.assertGreater(status["sequence"]["filled"], 0)
        self.assertGreater(status["sequence"]["restarts"], 0)
        self.assertGreater(status["bins"]["refused.value"], 0)
        self.assertGreater(status["bins"]["refused.jump"], 0)
        sent = [self.consumer.payload() for _ in range(status["frames"]["published"])]
        self.assertEqual(self.rig.stop(), 0)
        self.assertEqual(records.frames_of(self.path)[:len(sent)], sent)
        print(records.check_whole(self.path), flush=True)

    def test_every_one(self):
        self.assertGreater(len(records.ARCHITECTURES), 5)
        for name in records.ARCHITECTURES:
            with self.subTest(name):
                self.check(name)


class EveryPolicy(Case):
    """What latentd does on its own, by its timer and on demand, is in the record, too."""

    def check(self, name, **keys):
        model, mode = records.ARCHITECTURES[name]
        keys = {"missing_after_ms": 30, "lease_ms": 150, "safe_ramp_ms": 60, "safe_exit": 3, **keys}
        self.start(model, record="arm.record", **({"mode": mode} if mode else {}), **keys)
        for request in ("on", "off", None):
            self.traffic.send(60)
            self.wait_for_traffic()
            time.sleep(0.3)  # silence: frames that are due without a bin, then SAFE
            if request:
                self.assertEqual(self.rig.ctl("safe", "arm", request)[0], 0)
        self.traffic.send(60)
        status = self.wait_for_traffic()
        self.assertGreater(status["flags"]["SAFE"], 0)
        self.assertEqual(self.rig.stop(), 0)
        records.check_whole(self.path)
        kinds = dict(records.sql(self.path, "SELECT name, count(*) FROM entries JOIN names ON"
                                 " names.code = entries.kind AND names.kind = 'entry' GROUP BY 1"))
        self.assertGreater(int(kinds["tick"]), 0)
        self.assertEqual((kinds["safe on"], kinds["safe off"]), ("1", "1"))

    def test_predict(self):
        self.check("ndt-causal", on_gap="predict", on_missing="predict")

    def test_hold(self):
        self.check("gru", on_gap="hold-input", on_missing="hold-frame", on_late="hold-frame",
                   budget_ms=0.2)

    def test_zero_and_safe(self):
        self.check("kalman", on_gap="zero", on_missing="safe", on_late="safe", budget_ms=0.2)

    def test_mean_and_skip(self):
        self.check("wiener", on_gap="mean", on_missing="skip", on_late="skip", budget_ms=0.2)

    def test_reset_and_old(self):
        self.check("gru", on_gap="reset", on_missing="hold-frame", max_age_ms=0.3)


class Source(Case):
    def test_sent_again(self):
        """A record sent to a fresh stream gives the same frames, but for times."""
        self.start(record="arm.record", on_gap="reset")
        self.traffic.send_plain(100)
        first = self.wait_for_traffic()
        before = [self.consumer.payload() for _ in range(first["frames"]["published"])]
        self.rig.stop()
        self.rig.configure({"arm": {}})
        self.rig.start()
        consumer = self.rig.consumer("arm")
        done = subprocess.run(
            [rig.BIN / "latent-replay", "--record", self.path, "--stream", "arm", "--bins",
             f"ipc://{self.rig.folder}/in"], capture_output=True, text=True, timeout=rig.WAIT_S,
            check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("100 messages sent", done.stdout)
        refused = subprocess.run(
            [rig.BIN / "latent-replay", "--record", self.path, "--stream", "arm", "--bins",
             "ipc:///tmp/none", "--loop"], capture_output=True, text=True, timeout=rig.WAIT_S,
            check=False)
        self.assertEqual(refused.returncode, 2)
        self.assertIn("without", refused.stderr)
        again = self.rig.wait_for("arm", "messages", "in", 100)
        self.assertEqual(again["bins"], first["bins"])
        for was in map(rig.pb.Frame.FromString, before):
            now, = consumer.frames(1)
            for name in ("epoch", "seq", "t_source_ns", "marks", "event_id", "latents", "readout"):
                self.assertEqual(getattr(now, name), getattr(was, name))


class Export(Case):
    """latentctl export, which needs no daemon."""

    def export(self, *arguments):
        done = subprocess.run([rig.BIN / "latentctl", "export", *arguments], capture_output=True,
                              text=True, timeout=rig.WAIT_S, check=False)
        return done.returncode, done.stderr

    def check_frames(self, frames, kept):
        expected = [rig.pb.Frame.FromString(frame) for frame in kept]
        for name in ("epoch", "seq", "flags", "pub_seq", "t_source_ns", "t_recv_ns",
                     "t_publish_ns", "marks", "event_id"):
            self.assertEqual(frames[name][:].tolist(), [getattr(f, name) for f in expected], name)
        for name in ("latents", "readout"):
            rows = [getattr(f, name)[:] or [np.nan] * 2 for f in expected]
            np.testing.assert_array_equal(frames[name][:], np.array(rows, np.float32))

    def test_export(self):
        self.start(record="arm.record")
        sent = rig.np.random.default_rng(20260401).integers(0, 9, (300, 3))
        for seq, counts in enumerate(sent):
            if seq % 50 == 49:
                self.traffic.socket.send_multipart([b"arm/bins", b"\xff"])
            elif seq % 50 != 20:
                self.traffic.socket.send_multipart([b"arm/bins", rig.pack_bins(seq, counts)])
        self.rig.wait_for("arm", "bins", "decoded", 288)
        self.rig.stop()
        out = self.rig.folder / "arm.h5"
        self.assertEqual(self.export(self.path, out), (0, ""))
        there = [seq for seq in range(300) if seq % 50 not in (20, 49)]
        with h5py.File(out) as file:
            self.assertEqual(file["bins/seq"][:].tolist(), there)
            np.testing.assert_array_equal(file["bins/counts"][:], sent[there])
            self.check_frames(file["frames"], records.frames_of(self.path))
            self.assertEqual(list(file["frames/readout"].attrs["names"]), ["vx", "grip"])
            codes = list(file["outcomes"].attrs["codes"])
            counted = collections.Counter(codes[code] for code in file["outcomes/code"][:])
            self.assertEqual(counted["bins decoded"], 288)
            self.assertEqual(counted["messages refused.format"], 6)
            self.assertEqual(counted["sequence filled"], 11)
            self.assertEqual(file.attrs["stream"], "arm")
            self.assertIn("[stream arm]", file.attrs["config"])

    def test_refusals(self):
        nothing = self.rig.folder / "nothing"
        code, err = self.export(nothing, self.rig.folder / "out.h5")
        self.assertEqual(code, 1)
        self.assertIn("cannot open", err)
        nothing.write_bytes(b"no record" * 1000)
        code, err = self.export(nothing, self.rig.folder / "out.h5")
        self.assertEqual(code, 1)
        self.assertIn("not a record", err)
        self.assertFalse((self.rig.folder / "out.h5").exists())


class Verification(Case):
    """It fails when anything was changed."""

    def setUp(self):
        super().setUp()
        self.start(record="arm.record")
        self.traffic.send(100)
        self.wait_for_traffic()
        self.rig.stop()
        records.check_whole(self.path)

    def verify_changed(self, *statements):
        """Exit code and outputs for a copy in which SQL has changed something."""
        copy = self.rig.folder / "changed"
        shutil.copy(self.path, copy)
        with sqlite3.connect(copy) as file:
            for statement in statements:
                self.assertEqual(file.execute(statement).rowcount, 1, statement)
        file.close()
        return records.verify(copy)

    def assert_noticed(self, text, *statements):
        code, out, _ = self.verify_changed(*statements)
        self.assertEqual(code, 1)
        self.assertIn("DIFFERENT", out)
        self.assertIn(text, out)

    def test_what_is_changed_is_noticed(self):
        middle = "(SELECT id FROM frames ORDER BY id LIMIT 1 OFFSET 50)"
        self.assert_noticed("differs from byte 2 on", "UPDATE frames SET bytes = "
                            "substr(bytes, 1, 2) || x'7f' || substr(bytes, 4)"
                            f" WHERE id = {middle}")
        self.assert_noticed("a frame more than there was",
                            f"DELETE FROM frames WHERE id = {middle}")
        self.assert_noticed("the clock is read", "UPDATE entries SET clock = substr(clock, 1, 8)"
                            " WHERE entry = 2")
        self.assert_noticed("outcome", "DELETE FROM outcomes WHERE id = 40")
        self.assert_noticed("action", "DELETE FROM actions WHERE id = 40")

    def test_what_cannot_be_verified(self):
        code, _, err = self.verify_changed("UPDATE snapshots SET bytes = x'00' WHERE entry = 1")
        self.assertEqual(code, 1)
        self.assertIn("snapshot", err)
        code, _, err = self.verify_changed(
            "UPDATE meta SET value = 'nowhere' WHERE key = 'model_path'")
        self.assertEqual(code, 1)
        self.assertIn("nowhere", err)
        other = rig.write_model(self.rig.folder / "other.safetensors", n_channels=5)
        code, _, err = records.verify(self.path, "--model", other)
        self.assertEqual(code, 1)
        self.assertIn("not the model of the record", err)
        no_record = self.rig.folder / "none"
        no_record.write_bytes(b"no record" * 100)
        code, _, err = records.verify(no_record)
        self.assertEqual(code, 1)
        self.assertIn("not a record", err)

    def test_a_model_that_was_moved(self):
        moved = self.rig.folder / "moved.safetensors"
        pathlib.Path(self.rig.folder / "model.safetensors").rename(moved)
        self.assertEqual(records.verify(self.path)[0], 1)
        code, out, _ = records.verify(self.path, "--model", moved)
        self.assertEqual(code, 0)
        self.assertIn("identical", out)


if __name__ == "__main__":
    unittest.main(verbosity=2)

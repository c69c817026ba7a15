#!/usr/bin/python3
"""Policies that a reload changes: between two bins, in the record, all of them or none; every other
key of a stream is refused by its name."""
import re
import subprocess
import unittest

import daemon_rig as rig
import record_rig as records
from test_reload import Source

MS = 10**6
MASKED = 1 << 9
N_CHANGES = 20

# For each key of a stream: a value that it does not have in these tests.
VALUES = {
    "model": "other.safetensors", "session": "day-2", "mode": "causal", "precision": "f64",
    "input": "ipc:///tmp/none/in", "input-socket": "sub", "input-attach": "connect",
    "input-server-key": "a.key", "output": "ipc:///tmp/none/out", "output-attach": "connect",
    "output-server-key": "a.key", "outputs": "readout", "budget-ms": "900", "valid-for-ms": "70",
    "on-gap": "zero", "max-gap-ms": "400", "max-jump-ms": "9000", "reorder-window": "5",
    "source-clock": "auto", "min-delay-us": "7", "on-late": "hold-frame", "max-age-ms": "1000",
    "publish-late": "yes", "missing-after-ms": "3000000", "on-missing": "hold-frame",
    "on-silent": "flag", "lease-ms": "3000000", "safe-ramp-ms": "5", "safe-exit": "7",
    "safe-start": "yes", "mask": "2", "max-masked": "80", "bad-channels": "off", "contract": "1",
    "admission": "refuse", "keep-ms": "500", "record": "new.record", "record-sync-ms": "200",
    "record-buffer-mib": "4",
    "loop": "2", "cpu": "0", "spin-ms": "1", "warm-ms": "1"}
TOGETHER = {"on-missing": {"valid-for-ms": "3600000"},  # what a key needs beside it
            "input-server-key": {"input-attach": "connect"}, "output-server-key": {}}


def keys_of_streams():
    """-> {key: may it change} as latentd's own help says."""
    text = subprocess.run([rig.BIN / "latentd", "--help-config"], capture_output=True, text=True,
                          check=True).stdout
    part = text.split("[stream NAME]")[1].split("[client NAME]")[0]
    found = re.split(r"^  (?=[a-z])", part, flags=re.M)[1:]
    return {one.split(" = ")[0]: "May change while latentd runs." in one for one in found}


class Case(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        for name in ("model", "other"):
            rig.write_model(self.rig.folder / f"{name}.safetensors")

    def write(self, others=None, **keys):
        """The configuration of arm, and of what other streams there are."""
        self.rig.configure({"arm": keys, **(others or {})})

    def reload(self, *arguments):
        code, out, err = self.rig.ctl("reload", *arguments)
        self.assertEqual(code, 0, err)
        return out

    def check_refused(self, *words):
        code, out, err = self.rig.ctl("reload")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("nothing was changed", err)
        for word in words:
            self.assertIn(word, err)

    def frame_with(self, consumer, condition):
        time_is_left = rig.deadline()
        while time_is_left():
            for _ in range(50):
                frame, = consumer.frames(1)
                if condition(frame):
                    return frame
        raise AssertionError(f"no such frame; the last: {frame}")


class KeysTest(Case):
    def test_each_key(self):
        """Of all that there are: it changes, or is refused by its name."""
        keys = keys_of_streams()
        self.assertEqual(set(keys), set(VALUES))
        self.write(safe_ramp_ms="none")
        self.rig.start()
        base = self.rig.config.read_text()
        for key, may_change in keys.items():
            more = {key: VALUES[key], **TOGETHER.get(key, {})}
            text = base
            for name, value in more.items():
                text = re.sub(rf"^{name} = .*\n", "", text, flags=re.M) + f"{name} = {value}\n"
            self.rig.config.write_text(text)
            code, out, err = self.rig.ctl("reload")
            with self.subTest(key):
                if may_change:
                    self.assertEqual(code, 0, err)
                    self.assertIn(f"{key} of stream arm was ", out)
                    self.assertIn(f", is {VALUES[key]}", out)
                    self.rig.config.write_text(base)
                    self.assertIn(f"{key} of stream arm was {VALUES[key]}, is ", self.reload())
                else:
                    self.assertEqual((code, out), (1, ""))
                    self.assertIn("nothing was changed", err)
                    self.assertIn(key, err)
        self.rig.config.write_text(base)
        self.assertIn("nothing has changed", self.reload())

    def test_what_does_not_fit(self):
        """By itself, with the model, or with the decoder that there is."""
        self.write(on_gap="zero")
        self.rig.start()
        for keys, words in (
                ({"lease_ms": 10, "valid_for_ms": 10}, ("lease-ms", "too short")),
                ({"lease_ms": 100, "safe_ramp_ms": 200}, ("safe-ramp-ms", "longer")),
                ({"on_missing": "hold-frame"}, ("valid-for-ms", "expires before")),
                ({"on_missing": "predict", "valid_for_ms": 3600000},
                 ("needs a restart", "on-missing of [stream arm]")),
                ({"mask": "0,99"}, ("mask of [stream arm]",)),
                ({"budget_ms": "soon"}, ("budget-ms",))):
            self.write(on_gap="zero", **keys)
            self.check_refused(*words)
        self.write(on_gap="zero")
        self.assertIn("nothing has changed", self.reload())


class TrafficTest(Case):
    def start(self, **keys):
        self.write(**keys)
        self.rig.start()
        self.consumer = self.rig.consumer("arm")
        self.source = Source(self.rig.source())
        self.addCleanup(self.source.stop)
        self.consumer.frames(20)

    def end(self, *files):
        """No bin is lost, and all of it is the same again."""
        n_sent = self.source.stop()
        status = self.rig.wait_for("arm", "bins", "decoded", n_sent)
        self.assertEqual((status["bins"]["in"], status["sequence"]["lost"]), (n_sent, 0))
        self.assertEqual(status["sequence"]["missing"], 0)
        self.assertEqual(self.rig.stop(), 0)
        for path in files:
            records.check_whole(path)

    @staticmethod
    def n_rules(path):
        return int(records.sql(path, "SELECT count(*) FROM entries JOIN names ON names.code ="
                               " entries.kind AND names.kind = 'entry' WHERE name = 'rules'")[0][0])

    def test_many_in_a_row(self):
        """At 1 kHz, into a record that began before them and one that began in between."""
        one, two = (self.rig.folder / f"{name}.record" for name in ("one", "two"))
        self.start(record=one)
        for i in range(N_CHANGES):
            self.write(record=one, valid_for_ms=90 + i, budget_ms=500 + i, safe_exit=1 + i)
            self.assertIn(f"valid-for-ms of stream arm was {80 if i == 0 else 89 + i}, "
                          f"is {90 + i}", self.reload())
            if i == N_CHANGES // 2:
                self.assertEqual(self.rig.ctl("record", "stop", "arm")[0], 0)
                self.assertEqual(self.rig.ctl("record", "start", "arm", str(two))[0], 0)
            frame = self.frame_with(self.consumer, lambda f: f.valid_for_ns == (90 + i) * MS)
            self.assertLessEqual(frame.budget_left_ns, (500 + i) * MS)
        self.assertIn("nothing has changed", self.reload())
        self.check_info(valid_for_ns=(89 + N_CHANGES) * MS, budget_ns=(499 + N_CHANGES) * MS)
        self.end(one, two)
        self.assertEqual((self.n_rules(one), self.n_rules(two)),
                         (N_CHANGES // 2 + 1, N_CHANGES - N_CHANGES // 2 - 1))

    def check_info(self, **fields):
        """The next NAME/info says so."""
        while self.consumer.socket.poll(rig.WAIT_S * 1000):
            topic, payload = self.consumer.socket.recv_multipart()
            if topic == b"arm/info":
                info = rig.pb.Info.FromString(payload)
                if all(getattr(info, name) == value for name, value in fields.items()):
                    return
        self.fail(f"no info with {fields}")

    def test_dry_run(self):
        self.start()
        self.write(valid_for_ms=90)
        out = self.reload("--dry-run")
        self.assertEqual(out, "would change: valid-for-ms of stream arm was 80, is 90\n")
        self.assertEqual({f.valid_for_ns for f in self.consumer.frames(50)}, {80 * MS})
        self.assertIn("changed: valid-for-ms", self.reload())
        self.end()

    def test_mask(self):
        """As the file says when it says something new; else as the operator said."""
        record = self.rig.folder / "a.record"
        self.start(record=record)
        self.write(record=record, mask=1, max_masked=50)
        self.reload()
        self.frame_with(self.consumer, lambda f: f.flags & MASKED)
        self.assertEqual(self.rig.ctl("channels", "arm", "--unmask", "1")[0], 0)
        self.frame_with(self.consumer, lambda f: not f.flags & MASKED)
        self.write(record=record, mask=1, max_masked=60)
        self.reload()
        self.assertFalse(any(f.flags & MASKED for f in self.consumer.frames(50)))
        self.write(record=record, mask=0, max_masked=60)
        self.reload()
        self.frame_with(self.consumer, lambda f: f.flags & MASKED)
        self.write(record=record, max_masked=60)
        self.reload()
        self.frame_with(self.consumer, lambda f: not f.flags & MASKED)
        self.end(record)

    def test_beside_a_shadow(self):
        """What is promoted after a change tells of it, too."""
        record = self.rig.folder / "a.record"
        self.start(record=record)
        self.assertEqual(self.rig.ctl("shadow", "arm", str(self.rig.folder / "other.safetensors"))
                         [0], 0)
        time_is_left = rig.deadline()
        code, is_changed = 1, False
        while code and time_is_left():
            if not is_changed:  # refused while the file is being opened
                self.write(record=record, valid_for_ms=90)
                is_changed = self.rig.ctl("reload")[0] == 0
                continue
            code = self.rig.ctl("promote", "arm")[0]
        self.assertEqual(code, 0)
        self.frame_with(self.consumer, lambda f: f.flags & (1 << 8) and f.valid_for_ns == 90 * MS)
        self.check_info(valid_for_ns=90 * MS)
        self.end(record)


class StreamsTest(Case):
    def test_all_or_none(self):
        """What one of several streams cannot have, none gets."""
        others = {"leg": {"input": f"ipc://{self.rig.folder}/in2", "loop": 2,
                          "output": f"ipc://{self.rig.folder}/out2"}}
        self.write(others)
        self.rig.start()
        leg = self.rig.consumer("leg", f"ipc://{self.rig.folder}/out2")
        arm = self.rig.consumer("arm")
        others["leg"]["mask"] = 99
        self.write(others, valid_for_ms=90)
        self.check_refused("mask of [stream leg]")
        others["leg"].update(mask=1, valid_for_ms=70)
        for consumer, expected in ((arm, 80), (leg, 80)):
            self.check_frame(consumer, expected, 0)
        self.write(others, valid_for_ms=90)
        self.reload()
        for consumer, expected in ((arm, 90), (leg, 70)):
            self.check_frame(consumer, expected, 1)

    def check_frame(self, consumer, valid_for_ms, seq):
        source = self.rig.source(f"ipc://{self.rig.folder}/in{'2' * (consumer.stream == 'leg')}")
        source.send_multipart([f"{consumer.stream}/bins".encode(), rig.pack_bins(seq, [1, 0, 2])])
        frame, = consumer.frames(1)
        self.assertEqual(frame.valid_for_ns, valid_for_ms * MS)


if __name__ == "__main__":
    unittest.main()

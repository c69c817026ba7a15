#!/usr/bin/python3
"""Streams that a reload brings: they run beside the others, which lose nothing; or the file is
refused, and nothing has come."""
import unittest

import daemon_rig as rig
import record_rig as records
from test_reload import Source


class Case(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        rig.write_model(self.rig.folder / "model.safetensors")
        self.configure()
        self.rig.start()

    def other(self, name, **keys):
        return {name: {"input": f"ipc://{self.rig.folder}/in-{name}", "loop": name,
                       "output": f"ipc://{self.rig.folder}/out-{name}", **keys}}

    def configure(self, others=None, **keys):
        self.rig.configure({"arm": keys, **(others or {})})

    def names(self):
        return list(self.rig.status()["streams"])

    def check_refused(self, *words):
        before = self.names()
        code, out, err = self.rig.ctl("reload")
        self.assertEqual((code, out), (1, ""))
        for word in ("nothing was changed", *words):
            self.assertIn(word, err)
        self.assertEqual(self.names(), before)

    def bring(self, *names, others):
        self.configure(others)
        code, out, err = self.rig.ctl("reload")
        self.assertEqual((code, out, err),
                         (0, f"changed: {', '.join(f'stream {name} new' for name in names)}\n", ""))

    def check_decodes(self, name, n=5):
        consumer = self.rig.consumer(name, f"ipc://{self.rig.folder}/out-{name}")
        source = self.rig.source(f"ipc://{self.rig.folder}/in-{name}")
        first = self.rig.status()["streams"][name]["bins"]["in"]
        for seq in range(first, first + n):
            source.send_multipart([f"{name}/bins".encode(), rig.pack_bins(seq, [1, 0, 2])])
        states, _ = rig.answer([[1, 0, 2]] * (first + n))
        for frame, state in zip(consumer.frames(n), states[first:]):
            self.assertEqual(list(frame.latents), list(state))


class ComeTest(Case):
    def test_under_traffic(self):
        """At 1 kHz, with everything that a stream can do; the others lose nothing."""
        consumer = self.rig.consumer("arm")
        source = Source(self.rig.source())
        self.addCleanup(source.stop)
        consumer.frames(20)
        record = self.rig.folder / "leg.record"
        others = self.other("leg", record=record)
        self.bring("leg", others=others)
        self.check_decodes("leg")
        self.assertIn("nothing has changed", self.rig.ctl("reload")[1])
        others |= {**self.other("foot"), **self.other("hand")}
        others["hand"]["loop"] = "foot"
        self.bring("foot", "hand", others=others)
        for name in ("foot", "hand", "leg"):
            self.check_decodes(name)
        self.assertEqual(self.names(), ["arm", "leg", "foot", "hand"])
        others["leg"]["valid_for_ms"] = 90
        self.configure(others)
        self.assertIn("valid-for-ms of stream leg was 80, is 90", self.rig.ctl("reload")[1])
        self.assertEqual(self.rig.ctl("safe", "leg", "on")[0], 0)
        self.assertEqual(self.rig.status()["streams"]["leg"]["state"], "safe-operator")
        n_sent = source.stop()
        status = self.rig.wait_for("arm", "bins", "decoded", n_sent)
        self.assertEqual((status["bins"]["in"], status["sequence"]["lost"]), (n_sent, 0))
        self.assertEqual(status["sequence"]["missing"], 0)
        self.assertEqual(self.rig.stop(), 0)
        records.check_whole(record)
        self.check_held_again(others)

    def check_held_again(self, others):
        """What the operator said of a stream that came holds after a restart, and when it comes
        again."""
        self.rig.start()
        self.assertEqual(self.rig.status()["streams"]["leg"]["state"], "safe-operator")
        self.assertEqual(self.rig.stop(), 0)
        self.configure()
        self.rig.start()
        self.configure(others)
        self.assertEqual(self.rig.ctl("reload")[0], 0)
        self.assertEqual(self.rig.status()["streams"]["leg"]["state"], "safe-operator")

    def test_dry_run(self):
        self.configure(self.other("leg"))
        self.assertEqual(self.rig.ctl("--dry-run", "reload")[:2],
                         (0, "would change: stream leg new\n"))
        self.assertEqual(self.names(), ["arm"])
        self.bring("leg", others=self.other("leg"))
        self.check_decodes("leg")

    def test_refused(self):
        """By name, and nothing of it is there; one that can come does so after all of them."""
        leg = self.other("leg")
        for others, words in (
                (self.other("leg", loop="0"), ("[stream leg] is new, and in loop 0",)),
                (self.other("leg", model="none.safetensors"), ("none.safetensors",)),
                (self.other("leg", mask="99"), ("mask",)),
                (self.other("leg", output="ipc:///nowhere/at/all"), ("/nowhere/at/all",)),
                ({**leg, **self.other("foot", output="ipc:///nowhere/at/all")},
                 ("/nowhere/at/all",)),
                ({**leg, **self.other("foot", on_gap="mean", model="bare.safetensors")},
                 ("bare.safetensors",))):
            self.configure(others)
            self.check_refused(*words)
        self.configure(leg, reorder_window=3)
        self.check_refused("reorder-window of [stream arm]")
        self.bring("leg", others=leg)
        self.check_decodes("leg")

    def test_many(self):
        """As many as a configuration may have."""
        others = {}
        for i in range(20):
            others |= self.other(f"s{i}")
        self.bring(*others, others=others)
        self.check_decodes("s19")


if __name__ == "__main__":
    unittest.main()

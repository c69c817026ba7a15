#!/usr/bin/python3
"""Streams that a reload takes away: they end as latentd's end would end them, and can come again;
the others lose nothing; or the file is refused, and nothing has gone."""
import os
import signal
import socket
import time
import unittest

import zmq

import daemon_rig as rig
import record_rig as records
import test_reload_streams
from test_reload import Source

N_TIMES = int(os.environ.get("LATENT_RELOADS", "4"))  # that a stream comes and leaves


class Case(test_reload_streams.Case):
    def reload(self, *expected, others=None):
        """expected: what has changed."""
        self.configure(others)
        self.assertEqual(self.rig.ctl("reload"), (0, f"changed: {', '.join(expected)}\n", ""))

    def source_of(self, name):
        return self.rig.source(f"ipc://{self.rig.folder}/in-{name}")

    def consumer_of(self, name):
        return self.rig.consumer(name, f"ipc://{self.rig.folder}/out-{name}")

    def resources(self):
        """(threads, open files) of latentd."""
        return tuple(len(os.listdir(f"/proc/{self.rig.process.pid}/{what}"))
                     for what in ("task", "fd"))

    def wait_for_resources(self, most):
        time_is_left = rig.deadline()
        while time_is_left():
            now = self.resources()
            if all(a <= b for a, b in zip(now, most)):
                return
            time.sleep(0.02)
        self.fail(f"{now} threads and files, expected at most {most}")

    def ask(self, *requests):
        """Each is sent before any is answered: the replies."""
        peers = [self.rig.context.socket(zmq.REQ) for _ in requests]
        self.rig.sockets.extend(peers)  # should one fail
        for peer, request in zip(peers, requests):
            peer.linger = 0
            peer.connect(self.rig.endpoints["control"])
            peer.send(request.SerializeToString())
        replies = []
        for peer in peers:
            self.assertTrue(peer.poll(rig.WAIT_S * 1000))
            replies.append(rig.pb.Reply.FromString(peer.recv()))
            peer.close()
        return replies


class LeaveTest(Case):
    def test_under_traffic(self):
        """At 1 kHz another stream comes and leaves, again and again under the same names."""
        consumer, whole = self.rig.consumer("arm"), self.rig.folder / "arm.record"
        self.assertEqual(self.rig.ctl("record", "start", "arm", whole)[0], 0)
        source = Source(self.rig.source())
        self.addCleanup(source.stop)
        for i in range(N_TIMES):
            record = self.rig.folder / f"leg-{i}.record"
            self.bring("leg", others=self.other("leg", record=record))
            self.check_leaves(record)
            if i == 0:
                resources = self.resources()
        self.wait_for_resources(resources)
        n_sent = source.stop()
        status = self.rig.wait_for("arm", "bins", "decoded", n_sent)
        self.assertEqual((status["bins"]["in"], status["sequence"]["lost"]), (n_sent, 0))
        self.assertEqual(status["sequence"]["missing"], 0)
        self.assertEqual(self.rig.ctl("record", "stop", "arm")[0], 0)
        records.check_whole(whole)
        self.assertEqual([consumer.payload() for _ in range(n_sent)], records.frames_of(whole))

    def check_leaves(self, record):
        """What it sent last is SAFE; its record is whole; nobody knows it any more."""
        consumer = self.consumer_of("leg")
        source = self.source_of("leg")
        for seq in range(20):
            source.send_multipart([b"leg/bins", rig.pack_bins(seq, [1, 0, 2])])
        consumer.frames(20)
        self.reload("stream leg gone")
        self.assertTrue(consumer.frames(1)[0].flags & rig.SAFE)
        consumer.socket.close()
        source.close()
        self.assertEqual(self.names(), ["arm"])
        pb = rig.pb
        for reply in self.ask(*(pb.Request(operation=operation, stream="leg") for operation in (
                pb.WHY, pb.RESET, pb.RECORD_STOP, pb.CHANNELS, pb.MODEL, pb.MASK, pb.SHADOW))):
            self.assertEqual(reply.text, "no stream 'leg'; there are: arm")
        self.assertNotIn("leg", self.rig.ctl("status")[1])
        self.assertFalse(any("leg" in name for name in self.rig.status()["inputs"]))
        records.check_whole(record)
        self.assertEqual(len(records.frames_of(record)), 21)
        for name in ("in", "out"):
            with socket.socket(socket.AF_UNIX) as nobody, self.assertRaises(ConnectionRefusedError):
                nobody.connect(f"{self.rig.folder}/{name}-leg")

    def test_refused(self):
        """By name, and nothing has gone, nor come."""
        others = {**self.other("foot"), **self.other("hand"), **self.other("leg")}
        others["hand"]["loop"] = "foot"
        self.bring("foot", "hand", "leg", others=others)
        without = {name: {k: v for k, v in others.items() if k != name} for name in others}
        again = {"leg-2": others["leg"]}
        for others_now, keys, words in (
                (without["hand"], {}, ("[stream hand] is gone, and in loop foot with [stream foot]",
                                       "can only go together")),
                (without["leg"], {"reorder_window": 3}, ("reorder-window of [stream arm]",)),
                (without["leg"] | again, {}, ("[stream leg-2] is new", "of [stream leg], which")),
                (without["leg"] | self.other("new", loop="leg"), {}, ("[stream new] is new",)),
                (without["leg"] | self.other("new", output="ipc:///nowhere/at/all"), {},
                 ("/nowhere/at/all",))):
            self.configure(others_now, **keys)
            self.check_refused(*words)
        for name in ("leg", "hand", "foot"):
            self.check_decodes(name)
        self.configure(without["leg"])
        self.assertEqual(self.rig.ctl("--dry-run", "reload")[:2],
                         (0, "would change: stream leg gone\n"))
        self.check_decodes("leg")
        self.reload("stream foot gone", "stream hand gone", others=self.other("leg"))
        self.assertEqual(self.names(), ["arm", "leg"])
        self.check_decodes("leg")

    def test_all_of_the_start_leave(self):
        """What comes takes over, with policies of the same file; but a file needs a stream."""
        self.rig.configure({})
        self.check_refused("no stream; add a section")
        self.bring("leg", others=self.other("leg"))
        self.rig.configure(self.other("leg", valid_for_ms=90) | self.other("foot"))
        self.assertEqual(self.rig.ctl("reload")[:2],
                         (0, "changed: stream arm gone, valid-for-ms of stream leg was 80, is 90, "
                             "stream foot new\n"))
        self.assertEqual(self.names(), ["leg", "foot"])
        self.check_decodes("leg")
        self.check_decodes("foot")
        self.assertIn("nothing has changed", self.rig.ctl("reload")[1])

    def test_orders_in_flight(self):
        """What was asked of a stream before it left is answered for."""
        ask, pb = rig.pb.Request, rig.pb
        self.bring("leg", others=self.other("leg", record=self.rig.folder / "leg.record"))
        self.configure()
        replies = self.ask(ask(operation=pb.SAFE_ON, stream="leg"),
                           ask(operation=pb.WHY, stream="leg"),
                           ask(operation=pb.RECORD_STOP, stream="leg"),
                           ask(operation=pb.RELOAD),
                           ask(operation=pb.SAFE_ON, all=True))
        for reply in replies:
            self.assertTrue(reply.text or reply.HasField("why"), reply)
        self.assertEqual(replies[3].text, "changed: stream leg gone")
        for reply in replies[:3]:
            if reply.code:
                self.assertRegex(reply.text, "no stream 'leg'|is gone from the configuration|"
                                             "is not being recorded")
        self.assertEqual(replies[4].code, 0)
        self.assertEqual(self.names(), ["arm"])

    def test_held(self):
        """The operator's SAFE of a stream that left holds when it comes again."""
        self.bring("leg", others=self.other("leg"))
        self.assertEqual(self.rig.ctl("safe", "leg", "on")[0], 0)
        for _ in range(2):
            self.reload("stream leg gone")
            self.assertEqual(self.rig.ctl("safe", "arm", "on")[0], 0)  # the file is written anew
            self.bring("leg", others=self.other("leg"))
            self.assertEqual(self.rig.status()["streams"]["leg"]["state"], "safe-operator")
        self.assertEqual(self.rig.ctl("safe", "leg", "off")[0], 0)
        self.reload("stream leg gone")
        self.bring("leg", others=self.other("leg"))
        self.assertNotEqual(self.rig.status()["streams"]["leg"]["state"], "safe-operator")

    def test_end_meanwhile(self):
        """latentd ends while a stream leaves: both in order."""
        record = self.rig.folder / "leg.record"
        self.bring("leg", others=self.other("leg", record=record))
        consumer = self.consumer_of("leg")
        source = self.source_of("leg")
        source.send_multipart([b"leg/bins", rig.pack_bins(0, [1, 0, 2])])
        consumer.frames(1)
        self.configure()
        self.rig.process.send_signal(signal.SIGHUP)
        time_is_left = rig.deadline()
        while "stream leg gone" not in self.rig.log.read_text() and time_is_left():
            time.sleep(0.001)
        self.assertEqual(self.rig.stop(), 0)
        self.assertTrue(consumer.frames(1)[0].flags & rig.SAFE)
        records.check_whole(record)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
"""latentd and what comes in: good streams and every kind of bad message. After each the ledgers
balance, tell what was sent, and the stream goes on."""
import time
import unittest

import numpy as np
import zmq

import daemon_rig as rig
from daemon_rig import pb
from latent_models.common import model_file

COUNTS = np.random.default_rng(1).integers(0, 4, (300, 3))
QUICK = {"missing_after_ms": 20}


class InputTest(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        rig.write_model(self.rig.folder / "model.safetensors")

    def start(self, streams=None, **daemon_keys):
        self.rig.configure(streams or {"arm": {}}, **daemon_keys)
        return self.rig.start()

    def start_arm(self):
        """One stream; -> its source and a consumer."""
        self.start()
        return self.rig.source(), self.rig.consumer("arm")

    def fall_silent(self, decoded):
        """So many bins are decoded, and then nothing comes for missing-after: a new epoch is
        believed at its first bin (streams of QUICK)."""
        self.rig.wait_for("arm", "bins", "decoded", decoded)
        time.sleep(0.03)

    def take_over(self, send):
        """send(i) sends message i of another source, until it is believed: three in a row over two
        bins, as the daemon sees them. -> how many were refused"""
        i = 0
        while True:
            send(i)
            time.sleep(rig.BIN_US / 1e6)
            status = self.rig.wait_for("arm", "messages", "in", i + 1)
            if status["sequence"]["restarts"]:
                return status["bins"]["refused.jump"] + status["bins"]["refused.source"]
            i += 1

    def send(self, source, payload, stream="arm"):
        source.send_multipart([f"{stream}/bins".encode(), payload])

    def go_on(self, source, consumer, seq, flags=0, stream="arm", *, epoch=1):
        """The stream still decodes: one good bin gives one frame."""
        self.send(source, rig.pack_bins(seq, COUNTS[0], epoch=epoch), stream)
        frame, = consumer.frames(1)
        self.assertEqual((frame.seq, frame.flags & ~rig.LATE), (seq, flags | rig.AGE_UNKNOWN))

    # ---- good streams

    def check_values(self, frames, counts):
        """The frames are those of the last rows of counts, decoded from a fresh start."""
        states, readouts = (rows[len(rows) - len(frames):] for rows in rig.answer(counts))
        np.testing.assert_allclose([f.latents for f in frames], states, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose([f.readout for f in frames], readouts, rtol=1e-6, atol=1e-6)

    def test_normal_stream(self):
        source, consumer = self.start_arm()
        for seq, row in enumerate(COUNTS):
            self.send(source, rig.pack_bins(seq, row))
        frames = consumer.frames(len(COUNTS))
        self.check_values(frames, COUNTS)
        self.assertEqual(frames[0].budget_left_ns,
                         10**9 - (frames[0].t_publish_ns - frames[0].t_recv_ns))
        for seq, frame in enumerate(frames):
            self.assertEqual((frame.epoch, frame.seq, frame.pub_seq), (1, seq, seq))
            self.assertEqual(frame.event_id, 1000 + seq)
            self.assertEqual(frame.t_source_ns, 10**9 + seq * rig.BIN_US * 1000)
            self.assertLessEqual(frame.t_recv_ns, frame.t_publish_ns)
            # Less, where the machine made bins come later than their pace.
            self.assertLessEqual(frame.budget_left_ns,
                                 10**9 - (frame.t_publish_ns - frame.t_recv_ns))
            self.assertEqual(frame.valid_for_ns, 80 * 10**6)
            self.assertEqual(frame.decoder_id, consumer.info.decoder_id)
            self.assertEqual(frame.clock_id, consumer.info.clock_id)
        status = self.rig.wait_for("arm", "bins", "decoded", len(COUNTS))
        self.assertEqual(status["messages"]["accepted"], len(COUNTS))
        self.assertEqual(status["frames"]["published"], len(COUNTS))
        self.assertEqual(status["state"], "running")
        self.assertEqual((status["last_seq"], status["last_epoch"]), (len(COUNTS) - 1, 1))
        for name, times in status["times_ns"].items():
            self.assertEqual(times["n"], len(COUNTS), name)
        self.assertEqual(status["flags"]["AGE_UNKNOWN"], len(COUNTS))
        self.check_recent(status, frames[-1])

    def check_recent(self, status, frame):
        """The last minute is all there was; what consumers got last."""
        minute, latest = status["minute"], status["latest"]
        for name in ("messages", "bins", "frames", "flags", "sequence"):
            self.assertEqual(minute[name], status[name], name)
        self.assertEqual(minute["budget_misses"], status["budget_misses"])
        for name, times in status["times_ns"].items():
            self.assertEqual(minute["times_ns"][name]["n"], times["n"], name)
        self.assertAlmostEqual(minute["bins_per_s"] * minute["span_ns"] / 1e9, len(COUNTS))
        self.assertEqual(latest["seq"], frame.seq)
        np.testing.assert_array_equal(np.float32(latest["readout"]), frame.readout)
        self.assertEqual("SAFE" in latest["flags"], bool(frame.flags & rig.SAFE))
        self.assertGreater(latest["bin_age_ns"], latest["frame_age_ns"])

    def test_info(self):
        _, consumer = self.start_arm()
        info = consumer.info
        self.assertEqual((info.stream, info.arch, info.mode, info.precision),
                         ("arm", "kalman", "causal", "f32"))
        self.assertEqual((info.n_channels, info.bin_width_us), (3, rig.BIN_US))
        self.assertEqual((info.n_latents, info.n_rates), (2, 0))
        self.assertEqual([(r.name, r.unit, r.neutral, r.min, r.slew) for r in info.readout],
                         [("vx", "mm/s", 0.0, -np.inf, np.inf),
                          ("grip", "N", 0.5, -np.inf, np.inf)])
        self.assertEqual((info.budget_ns, info.valid_for_ns), (10**9, 80 * 10**6))
        self.assertNotEqual(info.decoder_id, 0)

    def test_checked(self):
        """What a file was compared with is shown everywhere; one of before says nothing of it."""
        path = self.rig.folder / "said.safetensors"
        rig.write_model(path)
        model = model_file.read_exact(path)
        model.config["checked"] = "90 rows of readout"
        model_file.write_model(path, model)
        self.start({"arm": {}, "arm2": {"model": path.name}})
        for stream, said in (("arm", "unknown"), ("arm2", "90 rows of readout")):
            consumer = self.rig.consumer(stream)
            consumer.wait_for_info()
            self.assertEqual(consumer.info.checked, said)
            code, out, _ = self.rig.ctl("model", stream)
            self.assertEqual(code, 0)
            self.assertIn(f"\n  checked   {said}\n", out)
            self.assertEqual(self.rig.status()["streams"][stream]["checked"], said)
        code, out, _ = self.rig.run_to_end("--check", self.rig.config)
        self.assertEqual(code, 0)
        for stream, said in (("arm", "unknown"), ("arm2", "90 rows of readout")):
            self.assertRegex(out, f"\n# stream {stream}: .*: {said}\n")

    def test_outputs_are_chosen(self):
        self.start({"arm": {"outputs": "readout"}})
        source, consumer = self.rig.source(), self.rig.consumer("arm")
        self.send(source, rig.pack_bins(0, COUNTS[0]))
        frame, = consumer.frames(1)
        self.assertEqual((len(frame.latents), len(frame.readout)), (0, 2))
        self.assertEqual((consumer.info.n_latents, len(consumer.info.readout)), (0, 2))

    def test_batches_and_floats(self):
        source, consumer = self.start_arm()
        self.send(source, rig.pack_bins(0, COUNTS[:100]))
        self.send(source, rig.pack_bins(100, COUNTS[100:200], encoding=pb.F32))
        self.check_values(consumer.frames(200), COUNTS[:200])
        status = self.rig.wait_for("arm", "bins", "decoded", 200)
        self.assertEqual(status["messages"]["in"], 2)

    def test_sub_input_over_tcp(self):
        endpoints = self.start({"arm": {"input": "tcp://127.0.0.1:*", "input_socket": "sub",
                                        "output": "tcp://127.0.0.1:0"}})
        consumer = self.rig.consumer("arm", endpoints["arm.output"])
        source = self.rig.source(endpoints["arm.input"], zmq.XPUB)
        self.assertTrue(source.poll(rig.WAIT_S * 1000))
        self.assertEqual({source.recv(), source.recv()}, {b"\1arm/bins", b"\1"})
        for seq, row in enumerate(COUNTS[:100]):
            self.send(source, rig.pack_bins(seq, row))
        self.check_values(consumer.frames(100), COUNTS[:100])

    def test_connecting_daemon(self):
        source = self.rig.context.socket(zmq.PUSH)
        self.rig.sockets.append(source)
        port = source.bind_to_random_port("tcp://127.0.0.1")
        self.start({"arm": {"input": f"tcp://127.0.0.1:{port}", "input_attach": "connect"}})
        self.go_on(source, self.rig.consumer("arm"), 0)

    def test_two_streams_on_shared_sockets(self):
        rig.write_model(self.rig.folder / "wide.safetensors", 5)
        self.start({"arm": {}, "arm2": {"model": "wide.safetensors"}})
        source = self.rig.source()
        consumers = {name: self.rig.consumer(name) for name in ("arm", "arm2")}
        wide = np.hstack([COUNTS, COUNTS[:, :2]])
        for seq in range(50):
            self.send(source, rig.pack_bins(seq, COUNTS[seq]))
            self.send(source, rig.pack_bins(7 + seq, wide[seq]), "arm2")
        frames = {name: consumers[name].frames(50) for name in consumers}
        self.check_values(frames["arm"], COUNTS[:50])
        self.check_values(frames["arm2"], wide[:50])
        self.assertEqual([f.pub_seq for f in frames["arm2"]], list(range(50)))
        streams = self.rig.status()["streams"]
        self.assertEqual([streams[name]["bins"]["decoded"] for name in ("arm", "arm2")], [50, 50])

    def test_two_data_loops(self):
        folder = self.rig.folder
        self.start({"arm": {}, "leg": {"input": f"ipc://{folder}/in2", "loop": "legs",
                                       "output": f"ipc://{folder}/out2"}})
        arm, leg = self.rig.source(), self.rig.source(f"ipc://{folder}/in2")
        at_arm, at_leg = self.rig.consumer("arm"), self.rig.consumer("leg", f"ipc://{folder}/out2")
        for seq, row in enumerate(COUNTS):
            self.send(arm, rig.pack_bins(seq, row))
            self.send(leg, rig.pack_bins(seq, row[::-1]), "leg")
        self.check_values(at_arm.frames(len(COUNTS)), COUNTS)
        self.check_values(at_leg.frames(len(COUNTS)), COUNTS[:, ::-1])
        self.rig.status()

    # ---- bad messages

    def bad_messages(self, seq):
        """(what, parts, ledger, counter) when seq is the next bin."""
        good, topic = rig.pack_bins(seq, COUNTS[1]), b"arm/bins"
        return [
            ("garbage", [topic, b"\xff\xff\xff\xff\xff"], "messages", "refused.format"),
            ("no bins", [topic, good[:20]], "messages", "refused.format"),
            ("truncated", [topic, good[:-3]], "messages", "refused.format"),
            ("unknown encoding", [topic, rig.pack_bins(seq, COUNTS[1], encoding=9)],
             "messages", "refused.format"),
            ("empty", [topic, b""], "messages", "refused.length"),
            ("above the stream's bound", [topic, bytes(500000)], "messages", "refused.length"),
            ("one part", [topic], "messages", "refused.length"),
            ("three parts", [topic, good, b"more"], "messages", "refused.length"),
            ("four parts", [topic, good, b"more", good], "messages", "refused.length"),
            ("wrong width", [topic, rig.pack_bins(seq, [1, 2, 3, 4])],
             "messages", "refused.shape"),
            ("wrong bin width", [topic, rig.pack_bins(seq, COUNTS[1], bin_width_us=10000)],
             "messages", "refused.shape"),
            ("sequence at its end", [topic, rig.pack_bins(2**64 - 1, COUNTS[1], epoch=9)],
             "messages", "refused.sequence"),
            ("short counts", [topic, rig.pack_bins(seq, [[1, 2]], n_channels=3)],
             "bins", "refused.shape"),
            ("not a number", [topic, rig.pack_bins(seq, [1, np.nan, 1], encoding=pb.F32)],
             "bins", "refused.value"),
            ("infinite", [topic, rig.pack_bins(seq, [1, np.inf, 1], encoding=pb.F32)],
             "bins", "refused.value"),
            ("duplicate", [topic, rig.pack_bins(seq - 1, COUNTS[2])], "bins", "duplicate"),
            ("stale", [topic, rig.pack_bins(seq - 500, COUNTS[2])], "bins", "stale"),
        ]

    def test_bad_messages(self):
        """After each of them alone, and after all of them at once, the next bin is decoded as if
        they had not been, and the counts are exact."""
        source, consumer = self.start_arm()
        kinds = self.bad_messages(1000)
        n_each, rounds = 5, len(kinds) + 1
        for k in range(rounds):
            self.send(source, rig.pack_bins(1000 + k, COUNTS[k]))
            bad = self.bad_messages(1001 + k)
            for _, parts, _, _ in bad[k:k + 1] or bad:
                for _ in range(n_each):
                    source.send_multipart(parts)
        self.send(source, rig.pack_bins(1000 + rounds, COUNTS[rounds]))
        frames = consumer.frames(rounds + 1)
        self.check_values(frames, COUNTS[:rounds + 1])
        self.assertEqual({f.flags & ~rig.LATE for f in frames}, {rig.AGE_UNKNOWN})
        status = self.rig.wait_for("arm", "bins", "decoded", rounds + 1)
        for ledger, counter in {kind[2:] for kind in kinds}:
            n_kinds = [kind[2:] for kind in kinds].count((ledger, counter))
            self.assertEqual(status[ledger][counter], 2 * n_each * n_kinds, counter)
        self.assertEqual(status["sequence"]["lost"], 0)
        self.assertEqual(status["messages"]["in"], 2 * n_each * len(kinds) + rounds + 1)

    def test_every_truncation(self):
        """A message cut at each length: refused, or read as what it then is; never a crash."""
        self.start({"arm": QUICK})
        source, consumer = self.rig.source(), self.rig.consumer("arm")
        self.go_on(source, consumer, 0)
        whole = rig.pack_bins(1, COUNTS[:3])
        for n in range(len(whole)):
            self.send(source, whole[:n])
        status = self.rig.wait_for("arm", "messages", "in", 1 + len(whole))
        self.assertEqual(status["messages"]["in"], 1 + len(whole))
        self.fall_silent(1)
        self.send(source, rig.pack_bins(0, COUNTS[0], epoch=2))
        status = self.rig.wait_for("arm", "sequence", "restarts", 1)
        self.assertEqual(status["last_epoch"], 2)

    def test_random_bytes(self):
        self.start({"arm": QUICK})
        source, consumer = self.rig.source(), self.rig.consumer("arm")
        random = np.random.default_rng(7)
        good = bytearray(rig.pack_bins(10, COUNTS[:4]))
        for _ in range(1000):
            damaged = bytearray(good)
            for at in random.integers(0, len(damaged), random.integers(1, 6)):
                damaged[at] = random.integers(0, 256)
            self.send(source, bytes(damaged))
        status = self.rig.wait_for("arm", "messages", "in", 1000)
        self.assertEqual(status["messages"]["in"], 1000)
        self.assertEqual(self.rig.ctl("reset", "arm")[0], 0)
        before = status["bins"]["decoded"]
        self.fall_silent(before)
        self.send(source, rig.pack_bins(0, COUNTS[0], epoch=2**63 + 1))
        self.rig.wait_for("arm", "bins", "decoded", before + 1)
        consumer.frames(1)

    def test_unknown_topic(self):
        source, consumer = self.start_arm()
        for topic in (b"leg/bins", b"arm/bin", b"arm/bins2", b"", b"arm"):
            source.send_multipart([topic, rig.pack_bins(0, COUNTS[0])])
        self.go_on(source, consumer, 0)
        status = self.rig.status()
        unknown = [n for name, n in status["inputs"].items() if name.endswith(" unknown_topic")]
        self.assertEqual(unknown, [5])
        self.assertEqual(status["streams"]["arm"]["messages"]["in"], 1)

    def test_message_that_zeromq_drops(self):
        """Above 1 MiB libzmq ends the connection: told for the input; the next source is served."""
        source, consumer = self.start_arm()
        self.send(source, bytes((1 << 20) + 1))
        end = rig.deadline()
        while not (gone := self.disconnected()) and end():
            pass
        self.assertGreaterEqual(gone, 1)
        self.go_on(self.rig.source(), consumer, 0)
        self.assertEqual(self.rig.status()["streams"]["arm"]["messages"]["in"], 1)

    def disconnected(self):
        inputs = self.rig.status()["inputs"]
        return sum(n for name, n in inputs.items() if name.endswith(" disconnected"))

    # ---- order of bins

    def test_gap_is_predicted(self):
        source, consumer = self.start_arm()
        for seq in (5, 6, 9, 7):
            self.send(source, rig.pack_bins(seq, COUNTS[seq]))
        frames = consumer.frames(5)
        self.assertEqual([f.seq for f in frames], [5, 6, 7, 8, 9])
        filled = rig.FILLED | rig.PREDICTED
        self.assertEqual([f.flags & ~rig.LATE & ~rig.AGE_UNKNOWN for f in frames],
                         [0, 0, filled, filled, rig.GAP])
        mean = np.ones(3)  # what the model file says of its training: the kalman's forecast
        self.check_values(frames, [COUNTS[5], COUNTS[6], mean, mean, COUNTS[9]])
        self.assertEqual([f.t_recv_ns == 0 for f in frames], [False, False, True, True, False])
        status = self.rig.wait_for("arm", "bins", "late_after_fill", 1)
        self.assertEqual({k: status["sequence"][k] for k in ("lost", "reordered", "filled")},
                         {"lost": 1, "reordered": 1, "filled": 2})

    def test_long_gap_and_far_jump(self):
        self.start({"arm": {"max_gap_ms": 100}})  # five bins
        source, consumer = self.rig.source(), self.rig.consumer("arm")
        self.go_on(source, consumer, 0)
        self.go_on(source, consumer, 7, rig.GAP | rig.RESET)
        self.go_on(source, consumer, 507, rig.GAP | rig.RESET)  # max-jump-ms: 500 bins
        for seq in (10**9, 1008, 508 + 2**63):
            self.send(source, rig.pack_bins(seq, COUNTS[0]))
        self.go_on(source, consumer, 508)
        status = self.rig.wait_for("arm", "bins", "decoded", 4)
        self.assertEqual(status["bins"]["refused.jump"], 3)
        self.assertEqual(status["sequence"]["resets"], 2)
        self.assertEqual(status["sequence"]["filled"], 0)
        self.assertEqual(status["sequence"]["lost"], 6 + 499)
        _, text, _ = self.rig.ctl("status")
        self.assertIn(f"3 bins: their numbers jump, the last to {508 + 2**63} from 507", text)

    def test_on_gap_reset(self):
        self.start({"arm": {"on_gap": "reset"}})
        source, consumer = self.rig.source(), self.rig.consumer("arm")
        self.go_on(source, consumer, 0)
        self.go_on(source, consumer, 2, rig.GAP | rig.RESET)

    def test_source_restarts(self):
        self.start({"arm": QUICK})
        source, consumer = self.rig.source(), self.rig.consumer("arm")
        self.go_on(source, consumer, 5000, epoch=11)
        self.fall_silent(1)
        self.go_on(source, consumer, 0, rig.RESET, epoch=12)
        self.go_on(source, consumer, 1, epoch=12)
        for seq in (2, 1, 0):
            self.send(source, rig.pack_bins(seq, COUNTS[0], epoch=12))
        status = self.rig.wait_for("arm", "bins", "duplicate", 2)
        self.assertEqual(status["sequence"]["restarts"], 1)

    def test_source_restarts_without_epoch(self):
        source, consumer = self.start_arm()
        self.go_on(source, consumer, 5000, epoch=0)
        self.check_take_over(source, consumer, epoch=0, outcome="refused.jump")

    def test_epoch_takes_over(self):
        """A new epoch while the daemon does not miss the old one: refused, then a restart."""
        source, consumer = self.start_arm()
        self.go_on(source, consumer, 5000, epoch=3)
        self.check_take_over(source, consumer, epoch=4, outcome="refused.source")

    def check_take_over(self, source, consumer, epoch, outcome):
        n = self.take_over(lambda i: self.send(source, rig.pack_bins(i, COUNTS[0], epoch=epoch)))
        self.assertGreaterEqual(n, 2)
        frame, = consumer.frames(1)
        self.assertEqual((frame.epoch, frame.seq, frame.flags & ~rig.LATE),
                         (epoch, n, rig.RESET | rig.AGE_UNKNOWN))
        status = self.rig.status()["streams"]["arm"]
        self.assertEqual((status["bins"][outcome], status["sequence"]["restarts"]), (n, 1))
        self.assertEqual((status["bins"]["stale"], status["sequence"]["lost"]), (0, 0))

    def test_output_that_is_not_finite(self):
        """Finite input, output beyond a float: SAFE in its place, and on from a reset."""
        rig.write_model(self.rig.folder / "model.safetensors", kind="real")
        source, consumer = self.start_arm()
        self.go_on(source, consumer, 0)
        self.send(source, rig.pack_bins(1, [3e38, 3e38, 0], encoding=pb.F32))
        frame, = consumer.frames(1)
        self.assertTrue(frame.flags & rig.SAFE)
        self.assertEqual(len(frame.latents), 0)
        self.assertEqual(self.rig.status()["streams"]["arm"]["state"], "failed")
        seq, arrived = 2, []
        while frame.flags & rig.SAFE:  # safe-exit: ten good bins, in the time that they take
            self.send(source, rig.pack_bins(seq, [seq % 2, 0, 0]))
            frame, = consumer.frames(1)
            arrived.append(frame.t_recv_ns)
            seq += 1
        self.assertGreater(len(arrived), 10)
        self.assertGreaterEqual(arrived[-1] - arrived[0], 10 * 20 * 10**6)
        self.assertEqual((frame.flags, len(frame.latents)), (rig.AGE_UNKNOWN, 2))
        self.assertEqual(self.rig.status()["streams"]["arm"]["state"], "running")

    def test_late_is_told(self):
        self.start({"arm": {"budget_ms": 0.001}})
        source, consumer = self.rig.source(), self.rig.consumer("arm")
        self.send(source, rig.pack_bins(0, COUNTS[:100]))
        frames = consumer.frames(100)
        for frame in frames:
            late = frame.t_publish_ns - frame.t_recv_ns > 1000
            self.assertEqual(bool(frame.flags & rig.LATE), late)
            self.assertEqual(frame.budget_left_ns < 0, late)
        status = self.rig.wait_for("arm", "bins", "decoded", 100)
        n_late = sum(bool(f.flags & rig.LATE) for f in frames)
        self.assertGreater(n_late, 0)  # the last of 100 waited for 99
        self.assertEqual((status["budget_misses"], status["flags"]["LATE"]), (n_late, n_late))

    def test_burst(self):
        """More than one drain takes at once: every bin is decoded, in order."""
        source, consumer = self.start_arm()
        source.sndhwm = 0
        rows = np.tile(COUNTS, (20, 1))
        for seq, row in enumerate(rows):
            self.send(source, rig.pack_bins(seq, row))
        frames = [consumer.frames(1)[0] for _ in rows]
        self.check_values(frames, rows)
        self.assertEqual([f.pub_seq for f in frames], list(range(len(rows))))


if __name__ == "__main__":
    unittest.main(verbosity=2)

#!/usr/bin/python3
"""latentd from start to end: what it refuses to start with, how it ends, what latentctl asks."""
import os
import pathlib
import signal
import socket
import unittest

import numpy as np
import zmq

import daemon_rig as rig
from daemon_rig import pb

COUNTS = [[1, 2, 0], [0, 1, 1], [3, 0, 1]]


class LifeTest(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        self.model = rig.write_model(self.rig.folder / "model.safetensors")

    def start_arm(self, **keys):
        self.rig.configure({"arm": keys})
        self.rig.start()
        return self.rig.source(), self.rig.consumer("arm")

    def send(self, source, seq, **more):
        source.send_multipart([b"arm/bins", rig.pack_bins(seq, COUNTS[seq % 2], **more)])

    def refused(self, code, *words):
        """latentd ends with this code and says all words; -> what it said."""
        found, out, err = self.rig.run_to_end(self.rig.config)
        self.assertEqual((found, out), (code, ""), err)
        for word in words:
            self.assertIn(word, err)
        return err

    # ---- starts that are refused

    def test_busy_port(self):
        with socket.socket() as busy:
            busy.bind(("127.0.0.1", 0))
            busy.listen()
            endpoint = f"tcp://127.0.0.1:{busy.getsockname()[1]}"
            for key in ("input", "output"):
                self.rig.configure({"arm": {key: endpoint}})
                self.refused(1, f"stream arm: {key}: {endpoint}: cannot bind: Address already "
                             "in use; another program has it")
            self.rig.configure({"arm": {}}, control=endpoint)
            self.refused(1, f"control: {endpoint}: cannot bind: Address already in use")

    def test_paths_that_are_no_socket_of_ours(self):
        """Binding would remove what stands there: a file, a link, a queue that is full."""
        file, link, busy = (self.rig.folder / name for name in ("file", "link", "busy"))
        file.write_text("data")
        link.symlink_to(file)
        for path, keys in ((file, "output"), (link, "output"), (self.model, "control")):
            before = path.read_bytes()
            control = {"control": f"ipc://{path}"} if keys == "control" else {}
            self.rig.configure({"arm": {} if control else {keys: f"ipc://{path}"}}, **control)
            self.refused(1, f"ipc://{path}: cannot bind: a file that is no socket stands there")
            self.assertEqual((path.read_bytes(), path.is_symlink()), (before, path == link))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(busy))
            listener.listen(0)
            callers = [socket.socket(socket.AF_UNIX) for _ in range(4)]
            for caller in callers:
                self.addCleanup(caller.close)
                caller.setblocking(False)
                caller.connect_ex(str(busy))
            self.rig.configure({"arm": {"output": f"ipc://{busy}"}})
            self.refused(1, "cannot bind: Address already in use")
        self.rig.configure({"arm": {"output": f"ipc://{busy}"}})  # what a dead one left
        self.rig.start()

    def test_files_without_end(self):
        """A device as the configuration, a file of holes as the model: refused, not read."""
        found, _, err = self.rig.run_to_end("/dev/zero")
        self.assertEqual((found, "expected at most 1048576 bytes" in err), (2, True), err)
        holes = self.rig.folder / "holes"
        header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
        for start, text in ((b"", "header: expected a length"),
                            (len(header).to_bytes(8, "little") + header, "bytes more")):
            holes.write_bytes(start)
            os.truncate(holes, (4 << 30) - 1)
            self.rig.configure({"arm": {"model": "holes"}})
            self.refused(1, text)

    def test_second_daemon(self):
        """libzmq would take an ipc endpoint away from the daemon that has it."""
        source, consumer = self.start_arm()
        self.refused(1, f"output: ipc://{self.rig.folder}/out: cannot bind: Address already in use")
        self.send(source, 0)
        self.assertEqual(consumer.frames(1)[0].seq, 0)

    def test_folder_that_is_missing(self):
        self.rig.configure({"arm": {"input": f"ipc://{self.rig.folder}/no/in"}})
        self.refused(1, "cannot bind: No such file or directory; make the folder first")

    def test_address_of_another_machine(self):
        self.rig.configure({"arm": {"output": "tcp://192.0.2.1:5"}}, plaintext="anywhere")
        self.refused(1, "tcp://192.0.2.1:5: cannot bind: ")

    def test_missing_model(self):
        self.model.unlink()
        self.rig.configure({"arm": {}})
        self.refused(1, f"{self.rig.config}:4: model: ", f"{self.rig.folder}/model.safetensors")

    def test_damaged_model(self):
        data = bytearray(self.model.read_bytes())
        self.rig.configure({"arm": {}})
        for n in (0, 7, 100, len(data) - 1):
            self.model.write_bytes(data[:n])
            self.refused(1, f"{self.rig.config}:4: model: ")
        data[-20:] = bytes(20)  # the last known answers
        self.model.write_bytes(data)
        self.refused(1, f"{self.rig.config}:4: model: ", "selftest")

    def test_every_mistake_is_told(self):
        self.rig.config.write_text(
            f"[latentd]\ncontrol = {self.rig.control}\ncontroll = 1\n[stream arm]\n"
            "model = model.safetensors\non-gap = zerro\nbuget-ms = 3\n")
        err = self.refused(2)
        self.assertEqual(err.splitlines(), [
            f"{self.rig.config}:3: controll: not a key of [latentd]; nearest: control",
            f"{self.rig.config}:6: on-gap: 'zerro' is not known; allowed: auto, predict, zero, "
            "hold-input, mean, reset; nearest: zero",
            f"{self.rig.config}:7: buget-ms: not a key of [stream NAME]; nearest: budget-ms",
            "3 problems"])

    def test_what_the_model_does_not_have(self):
        self.rig.configure({"arm": {"mode": "casual", "precision": "f64", "outputs": "rates"}})
        err = self.refused(2)
        self.assertEqual([line.split(": ", 1)[1] for line in err.splitlines()[:3]], [
            "mode: the model file has no 'casual'; it allows: causal; nearest: causal",
            "precision: the model file has no 'f64'; it allows: f32; nearest: f32",
            "outputs: the model gives no rates"])

    def test_what_the_bins_do_not_allow(self):
        self.rig.configure({"arm": {"on_gap": "mean"}})
        rig.write_model(self.model, has_means=False)
        self.refused(2, "on-gap: mean needs the training mean of each channel")
        self.rig.configure({"arm": {"lease_ms": 110, "safe_ramp_ms": 100}})
        rig.write_model(self.model)
        err = self.refused(2)
        self.assertIn("lease-ms: 110 is too short for bins of 20 ms: with safe-ramp-ms = 100 it "
                      "must be at least 120", err)

    def test_command_line(self):
        code, _, err = self.rig.run_to_end(self.rig.folder / "no.conf")
        self.assertEqual((code, err), (2, f"{self.rig.folder}/no.conf: cannot open: "
                                          "No such file or directory\n"))
        for option, word in (("--help", "usage:"), ("--help-config", "max-gap-ms = "),
                             ("--man", ".TH LATENTD 5"), ("--version", "latentd ")):
            code, out, err = self.rig.run_to_end(option)
            self.assertEqual((code, err), (0, ""))
            self.assertIn(word, out)

    # ---- check and print

    def test_check_and_print(self):
        self.rig.configure({"arm": {"budget_ms": "auto", "mode": "auto"}})
        code, out, err = self.rig.run_to_end("--check", self.rig.config)
        self.assertEqual((code, err), (0, ""))
        for line in ("mode = causal", "precision = f32", "outputs = latents readout",
                     "budget-ms = 5", "valid-for-ms = 80", "max-gap-ms = 500"):
            self.assertIn(f"\n{line}\n", out)
        effective = self.rig.folder / "effective.conf"
        effective.write_text(out)
        self.assertEqual(self.rig.run_to_end("--check", effective), (0, out, ""))
        code, out, err = self.rig.run_to_end("--print-config", self.rig.config)
        self.assertEqual((code, err), (0, ""))
        self.assertIn("\nbudget-ms = auto\n", out)
        self.model.unlink()
        self.assertEqual(self.rig.run_to_end("--print-config", self.rig.config), (0, out, ""))
        self.assertEqual(self.rig.run_to_end("--check", self.rig.config)[0], 1)

    # ---- ends

    def check_end(self, number):
        source, consumer = self.start_arm(safe_ramp_ms=100)
        self.send(source, 7, epoch=3)
        self.assertEqual(consumer.frames(1)[0].flags & rig.SAFE, 0)
        self.assertEqual(self.rig.stop(number), 0)
        way = []
        while not way or way[-1] != rig.NEUTRAL:
            frame, = consumer.frames(1)
            self.assertEqual(frame.flags, rig.SAFE | rig.AGE_UNKNOWN)
            self.assertEqual((frame.epoch, frame.seq, frame.t_recv_ns), (3, 7, 0))
            self.assertEqual((frame.pub_seq, len(frame.latents)), (1 + len(way), 0))
            way.append(tuple(frame.readout))
        distances = [abs(np.subtract(readout, rig.NEUTRAL)).max() for readout in way]
        self.assertEqual(distances, sorted(distances, reverse=True))
        self.assertIn(f"1 decoded, {1 + len(way)} frames published", self.rig.log.read_text())
        self.assertIn("ledgers balanced", self.rig.log.read_text())
        self.assertFalse(consumer.socket.poll(300))

    def test_sigterm_sends_safe(self):
        self.check_end(signal.SIGTERM)

    def test_sigint_sends_safe(self):
        self.check_end(signal.SIGINT)

    def test_sigusr1_sends_safe(self):
        self.check_end(signal.SIGUSR1)

    def test_impatience_changes_nothing(self):
        """More signals while it stops: the SAFE frame leaves all the same."""
        source, consumer = self.start_arm()
        self.send(source, 0)
        consumer.frames(1)
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
            self.rig.process.send_signal(number)
        self.assertEqual(self.rig.process.wait(20), 0)
        self.assertTrue(consumer.frames(1)[0].flags & rig.SAFE)

    # ---- SAFE while it runs

    def wait_for_neutral(self, consumer, others=0):
        """Frames until the readout is neutral; after the first SAFE one there are only such."""
        seen = 0
        while True:
            frame, = consumer.frames(1)
            seen |= frame.flags
            self.assertTrue(frame.flags & rig.SAFE or not seen & rig.SAFE)
            self.assertTrue(frame.flags & (rig.SAFE | others))
            if frame.flags & rig.SAFE and tuple(frame.readout) == rig.NEUTRAL:
                return

    def frame_of(self, consumer, seq):
        """The frame of this bin; those before it, and those made without one, are passed over."""
        frame = None
        while not frame or not frame.t_recv_ns or frame.seq < seq:
            frame, = consumer.frames(1)
        self.assertEqual(frame.seq, seq)
        return frame

    def wait_for_good(self, source, consumer, seq):
        """Bins at a pace until one is shown again; -> how many were not, and its number."""
        n_safe = 0
        while True:
            self.send(source, seq)
            frame, = consumer.frames(1)
            while not frame.t_recv_ns:  # made before the bin came
                frame, = consumer.frames(1)
            if not frame.flags & rig.SAFE:
                return n_safe, seq
            n_safe, seq = n_safe + 1, seq + 1

    def test_operator_wants_safe(self):
        source, consumer = self.start_arm()
        self.send(source, 0)
        consumer.frames(1)
        self.assertEqual(self.rig.ctl("--dry-run", "safe", "arm", "on")[:2],
                         (0, "arm would be SAFE\n"))
        self.assertEqual(self.rig.status()["streams"]["arm"]["state"], "running")
        self.assertEqual(self.rig.ctl("safe", "arm", "on")[0], 0)
        self.wait_for_neutral(consumer)
        self.assertEqual(self.rig.status()["streams"]["arm"]["state"], "safe-operator")
        for seq in range(1, 30):
            self.send(source, seq)
        since_ns = self.frame_of(consumer, 1).t_recv_ns
        self.assertTrue(self.frame_of(consumer, 29).flags & rig.SAFE)
        self.assertEqual(self.rig.status()["streams"]["arm"]["state"], "safe-operator")
        code, said, _ = self.rig.ctl("safe", "arm", "off")
        self.assertEqual(code, 0)
        self.assertRegex(said, "^arm is no longer held in SAFE[,\n]")
        # Ten good bins have passed; the first that comes ten bin widths after them is the last.
        frame, is_last = None, False
        while not frame or frame.flags & rig.SAFE:
            seq += 1
            self.send(source, seq)
            frame = self.frame_of(consumer, seq)
            self.assertEqual(bool(frame.flags & rig.SAFE), not is_last)
            is_last = frame.t_recv_ns - since_ns >= 10 * rig.BIN_US * 1000
        self.assertEqual(self.rig.ctl("safe", "arm", "maybe")[0], 2)
        self.assertEqual(self.rig.ctl("safe", "leg", "on")[0], 1)

    def test_position_holds(self):
        """In SAFE the one readout stays where it was, the other goes to neutral."""
        rig.write_model(self.model, first={"safe": "hold"})
        source, consumer = self.start_arm(safe_ramp_ms=60)
        self.assertEqual([r.hold for r in consumer.info.readout], [True, False])
        for seq in range(3):
            self.send(source, seq)
        held = consumer.frames(3)[-1].readout[0]
        self.assertNotEqual(held, rig.NEUTRAL[0])
        self.assertEqual(self.rig.ctl("safe", "arm", "on")[0], 0)
        frame, = consumer.frames(1)
        while frame.readout[1] != rig.NEUTRAL[1]:
            self.assertEqual((frame.flags & rig.SAFE, frame.readout[0]), (rig.SAFE, held))
            frame, = consumer.frames(1)
        self.assertEqual((frame.flags & rig.SAFE, frame.readout[0]), (rig.SAFE, held))
        self.assertEqual(len(frame.latents), 0)

    def test_silence(self):
        """Held, then SAFE within the lease, then back when bins come."""
        source, consumer = self.start_arm(on_missing="hold-frame", missing_after_ms=60,
                                          lease_ms=400, safe_ramp_ms=100, valid_for_ms=10000)
        self.send(source, 0)
        consumer.frames(1)
        self.wait_for_neutral(consumer, rig.HELD)
        status = self.rig.status()["streams"]["arm"]
        self.assertEqual(status["state"], "safe-lease")
        self.assertGreater(status["sequence"]["missing"], 0)

    def test_silence_and_back(self):
        source, consumer = self.start_arm(on_missing="safe", missing_after_ms=1000,
                                          safe_ramp_ms=100, valid_for_ms=1100)
        self.send(source, 0)
        consumer.frames(1)
        self.wait_for_neutral(consumer)
        n_safe, _ = self.wait_for_good(source, consumer, 1)
        self.assertGreaterEqual(n_safe, 10)

    def test_admission_refused(self):
        rig.write_model(self.model, n_channels=20000)  # each step takes more than a microsecond
        self.rig.configure({"arm": {"budget_ms": 0.001, "admission": "refuse"}})
        err = self.refused(1)
        self.assertIn("its budget is 0.001 ms: refused (admission = refuse)", err)

    def test_every_stream_ends_safe(self):
        out = f"ipc://{self.rig.folder}/out2"
        self.rig.configure({"arm": {}, "leg": {}, "eye": {
            "input": f"ipc://{self.rig.folder}/in2", "output": out, "loop": "1"}})
        self.rig.start()
        consumers = [self.rig.consumer("arm"), self.rig.consumer("leg"),
                     self.rig.consumer("eye", out)]
        self.assertEqual(self.rig.stop(), 0)
        for consumer in consumers:
            self.assertTrue(consumer.frames(1)[0].flags & rig.SAFE)

    def test_stop_while_bins_come(self):
        source, consumer = self.start_arm()
        for seq in range(5000):
            self.send(source, seq)
        self.assertEqual(self.rig.stop(), 0)
        last, n = None, 0
        while consumer.socket.poll(500):
            topic, payload = consumer.socket.recv_multipart()
            if topic == b"arm/frame":
                last, n = pb.Frame.FromString(payload), n + 1
        self.assertTrue(last.flags & rig.SAFE)
        self.assertEqual(last.pub_seq, n - 1)

    def test_killed_and_started_again(self):
        """The ports are free again, sources and consumers come back by themselves."""
        self.rig.configure({"arm": {"input": "tcp://127.0.0.1:*", "output": "tcp://127.0.0.1:*"}})
        ends = self.rig.start()
        self.rig.configure({"arm": {"input": ends["arm.input"], "output": ends["arm.output"]}})
        source = self.rig.source(ends["arm.input"])
        consumer = self.rig.consumer("arm", ends["arm.output"])
        for _ in range(3):
            self.send(source, 0)
            self.assertEqual(consumer.frames(1)[0].pub_seq, 0)
            self.assertEqual(self.rig.stop(signal.SIGKILL), -signal.SIGKILL)
            self.rig.start()
            consumer.wait_for_info()
        self.send(source, 1)
        self.assertEqual(consumer.frames(1)[0].seq, 1)

    # ---- the system around it

    def test_service_manager_is_told(self):
        path = f"{self.rig.folder}/notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(rig.WAIT_S)
            self.rig.configure({"arm": {}})
            self.rig.start(environment={"NOTIFY_SOCKET": path})
            self.assertEqual(manager.recv(100), b"READY=1")
            self.assertEqual(self.rig.stop(), 0)
            self.assertEqual(manager.recv(100), b"STOPPING=1")

    def test_memory_that_cannot_be_locked(self):
        """Told, not fatal. Root is only refused without the capability."""
        command = ["prlimit", "--memlock=65536"]
        if os.geteuid() == 0:
            command += ["setpriv", "--bounding-set", "-ipc_lock", "--inh-caps", "-ipc_lock"]
        self.rig.configure({"arm": {}})
        self.rig.start(*command)
        source, consumer = self.rig.source(), self.rig.consumer("arm")
        self.send(source, 0)
        self.assertEqual(consumer.frames(1)[0].seq, 0)
        notes = self.rig.status()["notes"]
        if not self.is_sanitized():  # a sanitizer makes mlockall do nothing
            self.assertEqual(len(notes), 2)
            self.assertRegex(notes[0], "^input is not clipped, .*: arm$")
            self.assertIn("memory is not locked", notes[1])
            for note in notes:
                self.assertIn(note, self.rig.ctl("status")[1])

    def is_sanitized(self):
        maps = pathlib.Path(f"/proc/{self.rig.process.pid}/maps").read_text()
        return "libasan" in maps or "libtsan" in maps

    def test_budget_that_cannot_be_kept(self):
        """A transformer's step of a hundred thousand products takes more than a microsecond."""
        model = rig.SOURCE / "models/ndt/lorenz_causal.safetensors"
        self.rig.configure({"arm": {"model": model, "budget_ms": "0.001"}})
        self.rig.start()
        notes = [note for note in self.rig.status()["notes"] if note.startswith("stream arm: ")]
        self.assertEqual(len(notes), 1)
        self.assertRegex(notes[0], "^stream arm: [0-9]+ of [0-9]+ trial steps were too slow: up "
                                   "to .* its budget is 0.001 ms: expect frames with LATE$")

    # ---- control

    def test_reset(self):
        source, consumer = self.start_arm()
        self.send(source, 0)
        consumer.frames(1)
        code, out, _ = self.rig.ctl("reset", "arm", "--dry-run")
        self.assertEqual((code, out), (0, "arm would be reset before its next bin\n"))
        self.send(source, 1)
        self.assertEqual(consumer.frames(1)[0].flags & rig.RESET, 0)
        code, out, _ = self.rig.ctl("reset", "arm")
        self.assertEqual((code, out), (0, "arm is reset before its next bin\n"))
        self.rig.wait_for("arm", "sequence", "resets", 1)
        self.send(source, 2)
        frame, = consumer.frames(1)
        self.assertTrue(frame.flags & rig.RESET)
        self.assertEqual(tuple(frame.latents), tuple(rig.answer(COUNTS[:1])[0][0]))
        self.assertEqual(self.rig.status()["streams"]["arm"]["sequence"]["resets"], 1)

    def test_unknown_stream(self):
        self.start_arm()
        for command in ("reset", "model"):
            code, out, err = self.rig.ctl(command, "arn")
            self.assertEqual((code, out), (1, ""))
            self.assertEqual(err, "latentctl: no stream 'arn'; there are: arm; nearest: arm\n")

    def test_status_for_people(self):
        source, consumer = self.start_arm()
        self.assertIn("arm: waiting; kalman", self.rig.ctl("status")[1])
        self.send(source, 0)
        self.send(source, 0)
        consumer.frames(1)
        self.rig.wait_for("arm", "bins", "duplicate", 1)
        code, out, _ = self.rig.ctl("status")
        self.assertEqual(code, 0)
        self.assertIn("arm: running; kalman, mode causal, f32; 3 channels, bins of 20 ms", out)
        self.assertIn("bins      in 2 = decoded 1 + duplicate 1\n", out)
        self.assertNotIn("NOT BALANCED", out)

    def test_model(self):
        self.start_arm()
        code, out, _ = self.rig.ctl("model", "arm")
        self.assertEqual(code, 0)
        self.assertIn(str(self.model), out)
        self.assertIn('"checkpoint_sha256"', out)
        code, out, _ = self.rig.ctl("model", "arm", "--json")
        self.assertEqual(rig.json.loads(out)["streams"][0]["config"]["arch"], "kalman")

    def test_nobody_answers(self):
        code, out, err = self.rig.ctl("--timeout", "0.2", "status")
        self.assertEqual((code, out), (1, ""))
        self.assertIn(f"no answer at {self.rig.control}; is latentd running", err)

    def ask(self, *parts):
        """Raw parts to the control socket; -> reply."""
        dealer = self.rig.context.socket(zmq.DEALER)
        self.rig.sockets.append(dealer)
        dealer.connect(self.rig.control)
        dealer.send_multipart(parts)
        if not dealer.poll(rig.WAIT_S * 1000):
            return None
        return pb.Reply.FromString(dealer.recv_multipart()[-1])

    def test_anything_on_the_control_socket(self):
        source, consumer = self.start_arm()
        status = pb.Request(operation=pb.STATUS).SerializeToString()
        self.assertEqual(self.ask(status).code, 0)  # a DEALER without delimiter
        self.assertEqual(self.ask(b"", status).code, 0)
        for parts in ([b"\xff\xff"], [b"", b"\xff"], [b"", b"", status, b"x"], [b"a", b"b", b"c"]):
            reply = self.ask(*parts)
            self.assertEqual((reply.code, reply.text),
                             (-1, "not a Request of latent.proto; use latentctl"), parts)
        self.assertEqual(self.ask(pb.Request(operation=77).SerializeToString()).code, -2)
        self.assertEqual(self.ask(b"").code, -2)  # an empty message: no operation
        self.assertEqual(self.ask(pb.Request(operation=pb.RESET).SerializeToString()).code, -3)
        self.send(source, 0)
        self.assertEqual(consumer.frames(1)[0].seq, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)

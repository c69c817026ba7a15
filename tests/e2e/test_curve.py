#!/usr/bin/python3
"""Encrypted sockets: who is let in where, what strangers get, and that the stream goes on."""
import socket
import subprocess
import threading
import unittest

import h5py
import numpy as np
import zmq
import zmq.auth
from zmq.utils.monitor import recv_monitor_message

import curve_rig
import daemon_rig as rig
from latentd import Publisher, Subscriber

OVER = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL \
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_DISCONNECTED
# ZMTP 3.0 signature, version and mechanism; of the older versions only the signature is left.
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00"


def counts_of(n, seed=5):
    return np.random.default_rng(seed).integers(0, 3, (n, 3))


def raw_exchange(endpoint, data):
    """Bytes to a port, as far as it takes them; what comes back until it closes."""
    host, port = endpoint[len("tcp://"):].split(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=rig.WAIT_S) as raw:
        try:
            raw.sendall(data)
            raw.shutdown(socket.SHUT_WR)
            while chunk := raw.recv(4096):
                answer += chunk
        except OSError:  # closed on the way
            pass
    return answer


def older_messages():
    """A message with one bin in ZMTP 1.0 and in 2.0, from the first byte of the connection on."""
    topic, bins = b"arm/bins", rig.pack_bins(0, [1, 1, 1])
    return (b"\x01\x00" + bytes([1 + len(topic), 1]) + topic + bytes([1 + len(bins), 0]) + bins,
            GREETING[:10] + b"\x01\x08" + b"\x00\x00" + bytes([1, len(topic)]) + topic
            + bytes([0, len(bins)]) + bins)


class CurveCase(unittest.TestCase):
    STREAM = {}

    def setUp(self):
        self.rig = curve_rig.CurveRig()
        self.addCleanup(self.rig.close)
        self.ends = self.rig.start_encrypted(self.STREAM)

    def good_source(self):
        return self.rig.source(self.ends["arm.input"], keys=self.rig.keys("rig"))

    def good_consumer(self, name="screen"):
        return self.rig.consumer("arm", self.ends["arm.output"], keys=self.rig.keys(name))

    def peer(self, kind, end, keys):
        """A socket that is to be turned away, watched."""
        peer = self.rig.context.socket(kind)
        peer.linger = 0
        peer.immediate = 1  # nothing to write to before a handshake
        if keys:
            rig.set_keys(peer, keys)
        if kind == zmq.SUB:
            peer.subscribe("")
        monitor = peer.get_monitor_socket(OVER | zmq.EVENT_HANDSHAKE_SUCCEEDED)
        peer.connect(self.ends[end])
        self.rig.sockets += [peer, monitor]
        self.addCleanup(peer.disable_monitor)
        return peer, monitor

    def check_turned_away(self, monitor):
        self.assertTrue(monitor.poll(rig.WAIT_S * 1000), "neither let in nor turned away")
        self.assertNotEqual(recv_monitor_message(monitor)["event"], zmq.EVENT_HANDSHAKE_SUCCEEDED)

    def check_stream(self, source, consumer, seq, n=20):
        """n bins from seq on are decoded exactly (the decoder is fresh at the first)."""
        counts = counts_of(n)
        for i, row in enumerate(counts):
            source.send_multipart([b"arm/bins", rig.pack_bins(seq + i, row,
                                                              marks=4 if i == 0 else 0)])
        _, readouts = rig.answer(counts)
        for i, frame in enumerate(consumer.frames(n)):
            self.assertEqual(frame.seq, seq + i)
            np.testing.assert_allclose(frame.readout, readouts[i], rtol=1e-5, atol=1e-6)


class RolesTest(CurveCase):
    def test_right_keys(self):
        consumer = self.good_consumer()
        monitor = self.good_consumer("wall")
        self.check_stream(self.good_source(), consumer, 0)
        self.assertEqual(len(monitor.frames(20)), 20)
        status = self.rig.status()
        self.assertEqual(status["streams"]["arm"]["bins"]["decoded"], 20)
        keys = status["keys"]
        self.assertEqual((keys["input.accepted"], keys["output.accepted"]), (1, 2))
        self.assertEqual((keys["input.refused"], keys["output.refused"]), (0, 0))
        self.assertGreater(keys["control.accepted"], 0)

    def test_wrong_roles(self):
        """Each key at each door that its role does not open, and a key that nobody has named."""
        source, consumer = self.good_source(), self.good_consumer()
        turned_away = {"arm.input": (zmq.PUSH, ("screen", "wall", "desk", "stranger")),
                       "arm.output": (zmq.SUB, ("rig", "desk", "stranger")),
                       "control": (zmq.REQ, ("rig", "screen", "stranger"))}
        silent = []
        for end, (kind, names) in turned_away.items():
            for name in names:
                peer, monitor = self.peer(kind, end, self.rig.keys(name))
                self.check_turned_away(monitor)
                if kind == zmq.PUSH:
                    with self.assertRaises(zmq.Again):  # there is nobody to send to
                        peer.send(b"arm/bins", zmq.DONTWAIT)
                else:
                    silent.append(peer)
        self.check_stream(source, consumer, 0)
        for peer in silent:
            self.assertEqual(peer.poll(0), 0)
        for door, least in (("input", 4), ("output", 3), ("control", 3)):
            self.rig.wait_for_refused(door, least)
        status = self.rig.status()
        self.assertEqual(status["streams"]["arm"]["messages"]["in"], 20)
        self.assertEqual((status["keys"]["input.accepted"], status["keys"]["output.accepted"]),
                         (1, 1))
        log = self.rig.log.read_text()
        self.assertRegex(log, r"latentd: warning: input: refused key \S{40} of client \w+ "
                              r"from 127.0.0.1: "
                              r"its roles do not allow it")
        self.assertLessEqual(log.count("refused key"), 4)  # rate-limited: peers try again and again

    def test_control(self):
        """A monitor looks, an operator changes, others get no answer."""
        code, out, err = self.rig.ctl_as("wall", "status")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("keys input.accepted 0", out)
        self.assertEqual(self.rig.ctl_as("wall", "model", "arm")[0], 0)
        for command in (("reset", "arm"), ("safe", "arm", "on"), ("safe", "arm", "off"),
                        ("record", "start", "arm", "x"), ("record", "stop", "arm"),
                        ("--dry-run", "reset", "arm")):
            code, _, err = self.rig.ctl_as("wall", *command)
            self.assertEqual(code, 1)
            self.assertIn("lacks the role operator", err)
        self.assertFalse((self.rig.folder / "x").exists())
        self.assertEqual(self.rig.ctl_as("desk", "reset", "arm")[0], 0)
        self.assertEqual(self.rig.ctl_as("desk", "safe", "arm", "on")[0], 0)
        for name in ("rig", "screen", "stranger"):
            code, _, err = self.rig.ctl_as(name, "status", seconds=0.3)
            self.assertEqual(code, 1)
            self.assertIn("no answer", err)

    def test_borrowed_name(self):
        """What a client calls itself means nothing: its key has the name."""
        peer = self.rig.context.socket(zmq.REQ)
        peer.linger = 0
        rig.set_keys(peer, self.rig.keys("wall"))
        peer.routing_id = b"desk"
        peer.connect(self.ends["control"])
        self.rig.sockets.append(peer)
        request = rig.pb.Request(operation=rig.pb.RESET, stream="arm")
        peer.send(request.SerializeToString())
        self.assertTrue(peer.poll(rig.WAIT_S * 1000))
        reply = rig.pb.Reply.FromString(peer.recv())
        self.assertNotEqual(reply.code, 0)
        self.assertIn("operator", reply.text)


class ClientsTest(CurveCase):
    """Our own programs and clients over encrypted sockets."""

    def test_python_client(self):
        with Publisher(self.ends["arm.input"], "arm", rig.BIN_US, kind="push",
                       keys=self.rig.keys("rig")) as source, \
                Subscriber(self.ends["arm.output"], "arm", keys=self.rig.keys("screen")) as arm:
            self.good_consumer()  # by then the other has surely subscribed, too, or soon will
            time_is_left = rig.deadline()
            while arm.latest(0.05) is None and time_is_left():
                source.publish([1, 2, 0])
            self.assertGreater(arm.received, 0)
        for arguments in ({"bind": True, "keys": self.rig.keys("rig")},
                          {"keys": (self.rig.folder / "rig.key", self.rig.folder / "latentd.key")}):
            with self.assertRaises(ValueError):
                Publisher("tcp://127.0.0.1:*", "arm", rig.BIN_US, **arguments)

    def replay(self, *arguments, name="rig", server="latentd"):
        own, other = self.rig.keys(name, server)
        return subprocess.run(
            [rig.BIN / "latent-replay", "--in", f"{self.rig.folder}/rec.h5:/counts", "--bin-ms",
             str(rig.BIN_US / 1000), "--stream", "arm", "--bins", self.ends["arm.input"],
             "--full-speed", "--key", own, "--server-key", other, *arguments],
            capture_output=True, text=True, timeout=rig.WAIT_S)

    def test_replay(self):
        """All of a recording arrives, and of one with a stranger's key nothing."""
        with h5py.File(self.rig.folder / "rec.h5", "w") as file:
            file["counts"] = counts_of(300).astype(np.uint8)
        done = self.replay("--stop-after", "1", name="stranger")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("nobody took the bins of arm", done.stderr)
        done = self.replay()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("300 bins sent", done.stdout)
        self.rig.wait_for("arm", "bins", "decoded", 300)
        self.assertEqual(self.rig.status()["streams"]["arm"]["bins"]["in"], 300)
        self.rig.wait_for_refused("input")

    def test_replay_options(self):
        for arguments, code, expected in ((("--attach", "bind"), 2, "goes with --attach connect"),
                                          (("--key", "/no/such"), 1, "No such file")):
            with h5py.File(self.rig.folder / "rec.h5", "w") as file:
                file["counts"] = counts_of(3).astype(np.uint8)
            done = self.replay(*arguments)
            self.assertEqual(done.returncode, code)
            self.assertIn(expected, done.stderr)


class StrangersTest(CurveCase):
    """Those who never get as far as showing a key."""

    def check_harmless(self, act):
        """act() between two stretches of a stream that goes on as if nothing were."""
        source, consumer = self.good_source(), self.good_consumer()
        self.check_stream(source, consumer, 0)
        act()
        self.check_stream(source, consumer, 20)
        status = self.rig.status()
        self.assertEqual(status["streams"]["arm"]["messages"]["in"], 40)
        self.assertEqual(status["streams"]["arm"]["sequence"]["lost"], 0)
        self.assertEqual((status["keys"]["input.accepted"], status["keys"]["output.accepted"]),
                         (1, 1))

    def test_plaintext(self):
        peers = []

        def act():
            for kind, end in ((zmq.PUSH, "arm.input"), (zmq.SUB, "arm.output"),
                              (zmq.REQ, "control")):
                peer, monitor = self.peer(kind, end, None)
                self.check_turned_away(monitor)
                peers.append(peer)
        self.check_harmless(act)
        self.assertEqual([peer.poll(0, zmq.POLLIN) for peer in peers], [0, 0, 0])
        code, _, err = rig.Rig.ctl(self.rig, "--control", self.ends["control"], "--timeout", "0.3",
                                   "status")
        self.assertEqual(code, 1)
        self.assertIn("no answer", err)

    def test_wrong_server_key(self):
        """A client that expects another server talks to nobody."""
        def act():
            for kind, end, name in ((zmq.PUSH, "arm.input", "rig"),
                                    (zmq.SUB, "arm.output", "screen")):
                peer, monitor = self.peer(kind, end, self.rig.keys(name, server="stranger"))
                self.check_turned_away(monitor)
                self.assertEqual(peer.poll(0), 0)
        self.check_harmless(act)
        code, _, err = self.rig.ctl_as("desk", "status", server="stranger", seconds=0.3)
        self.assertEqual(code, 1)
        self.assertIn("no answer", err)
        self.assertIn("--server-key", err)

    def test_garbage(self):
        noise = np.random.default_rng(7).bytes(100000)
        curve = GREETING[:10] + b"\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)
        hello = b"\x04\xc8\x05HELLO" + noise[:194]
        pieces = [b"", b"\0", noise, noise[:64], b"GET / HTTP/1.1\r\n\r\n", curve,
                  curve + noise[:300], curve + hello, curve + hello * 3,
                  GREETING + b"NULL".ljust(20, b"\0") + bytes(32) + b"\x04\x19\x05READY"
                  + bytes(19)]

        def act():
            for end in ("arm.input", "arm.output", "control"):
                for data in pieces:
                    raw_exchange(self.ends[end], data)
        self.check_harmless(act)

    def test_older_protocols(self):
        """ZMTP 1.0 and 2.0 know no keys: libzmq must not fall back to them."""
        def act():
            for data in older_messages():
                raw_exchange(self.ends["arm.input"], data)
                self.assertNotIn(b"arm/", raw_exchange(self.ends["arm.output"], data))
        self.check_harmless(act)

    def test_half_handshakes(self):
        """Connections that say nothing, many at once, keep nobody out."""
        host, port = self.ends["arm.input"][len("tcp://"):].split(":")
        idle = [socket.create_connection((host, int(port))) for _ in range(100)]
        try:
            self.check_harmless(lambda: None)
        finally:
            for one in idle:
                one.close()


class ConnectingTest(unittest.TestCase):
    """A latentd that connects: it shows its key and talks to the owner of one key only."""

    def setUp(self):
        self.rig = curve_rig.CurveRig()
        self.addCleanup(self.rig.close)

    def serve(self, name):
        """A source that is bound, with these keys: (socket, endpoint). Whoever comes is let in."""
        source = self.rig.context.socket(zmq.PUSH)
        source.linger = 0
        source.curve_publickey, source.curve_secretkey = zmq.auth.load_certificate(
            self.rig.keys(name)[0])
        source.curve_server = True
        source.bind("tcp://127.0.0.1:*")
        self.rig.sockets.append(source)
        return source, source.last_endpoint.decode()

    def start(self, endpoint):
        return self.rig.start_encrypted(
            {"input": endpoint, "input_attach": "connect", "input_server_key": "rig.key",
             "output": f"ipc://{self.rig.folder}/out"}, control=self.rig.control)

    def test_right_server(self):
        source, endpoint = self.serve("rig")
        self.start(endpoint)
        consumer = self.rig.consumer("arm")  # ipc stays as it is
        for i in range(5):
            source.send_multipart([b"arm/bins", rig.pack_bins(i, [1, 2, 0])])
        _, readouts = rig.answer([[1, 2, 0]] * 5)
        for frame, expected in zip(consumer.frames(5), readouts):
            np.testing.assert_allclose(frame.readout, expected, rtol=1e-5, atol=1e-6)

    def check_nothing_comes(self, source, endpoint):
        monitor = source.get_monitor_socket(OVER | zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self.rig.sockets.append(monitor)
        self.addCleanup(source.disable_monitor)
        self.start(endpoint)
        self.assertTrue(monitor.poll(rig.WAIT_S * 1000))
        self.assertNotEqual(recv_monitor_message(monitor)["event"], zmq.EVENT_HANDSHAKE_SUCCEEDED)
        with self.assertRaises(zmq.Again):
            source.send(b"arm/bins", zmq.DONTWAIT)
        self.assertEqual(self.rig.status()["streams"]["arm"]["messages"]["in"], 0)

    def test_wrong_server(self):
        self.check_nothing_comes(*self.serve("stranger"))

    def test_plaintext_server(self):
        source = self.rig.context.socket(zmq.PUSH)
        source.linger = 0
        source.bind("tcp://127.0.0.1:*")
        self.rig.sockets.append(source)
        self.check_nothing_comes(source, source.last_endpoint.decode())

    def test_older_server(self):
        """A server that speaks ZMTP 1.0 at once is not believed."""
        closed = threading.Event()

        def serve():
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(rig.WAIT_S)
                try:
                    peer.sendall(older_messages()[0])
                    while peer.recv(4096):
                        pass
                except OSError:
                    pass
                closed.set()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            self.start(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
            self.assertTrue(closed.wait(rig.WAIT_S))
            thread.join()
        self.assertEqual(self.rig.status()["streams"]["arm"]["messages"]["in"], 0)


class PlaintextTest(unittest.TestCase):
    def test_older_protocols(self):
        """Without keys the same bytes are taken: it is the keys that keep them out."""
        plain = rig.Rig()
        self.addCleanup(plain.close)
        rig.write_model(plain.folder / "model.safetensors")
        plain.configure({"arm": {"input": "tcp://127.0.0.1:*"}})
        ends = plain.start()
        for data in older_messages():
            raw_exchange(ends["arm.input"], data)
        plain.wait_for("arm", "messages", "in", 2)
        self.assertEqual(plain.status()["keys"], {})


if __name__ == "__main__":
    unittest.main(verbosity=2)

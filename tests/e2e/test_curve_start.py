#!/usr/bin/python3
"""Keys at the start: mistakes in files and configuration, and no moment in which a door is open."""
import os
import socket
import subprocess
import threading
import unittest

import zmq
import zmq.auth
from zmq.utils.monitor import recv_monitor_message

import curve_rig
import daemon_rig as rig

MODEL = "[stream arm]\nmodel = model.safetensors\ninput = ipc:///tmp/i\noutput = ipc:///tmp/o\n"


class MistakesTest(unittest.TestCase):
    """Each ends latentd before it opens a socket, with file, line and key."""

    def setUp(self):
        self.rig = curve_rig.CurveRig()
        self.addCleanup(self.rig.close)

    def check_refused(self, text, expected, code=1, before=("--check",)):
        self.rig.config.write_text(text)
        found, out, err = self.rig.run_to_end(*before, self.rig.config)
        self.assertEqual((found, out), (code, ""), err)
        self.assertRegex(err, expected)
        self.assertNotIn(self.secret("latentd")[:12], err)

    def secret(self, name):
        _, secret = zmq.auth.load_certificate(self.rig.keys(name)[0])
        return secret.decode()

    def daemon(self, key):
        return f"[latentd]\nsecret-key = {key}\n{MODEL}"

    def client(self, key, roles="source"):
        return self.daemon("latentd.key_secret") + \
            f"[client rig]\npublic-key = {key}\nroles = {roles}\n"

    def test_missing_files(self):
        self.check_refused(self.daemon("absent"),
                           r"latentd.conf:2: secret-key: .*/absent: .*No such file")
        self.check_refused(self.client("absent"),
                           r"latentd.conf:8: public-key: .*/absent: .*No such file")
        self.check_refused(
            self.daemon("latentd.key_secret") + "input-attach = connect\n"
            "input-server-key = absent\n", r"latentd.conf:8: input-server-key: .*No such file")

    def test_without_check(self):
        self.check_refused(self.daemon("absent"), r"latentd.conf:2: secret-key: ", before=())
        self.check_refused(self.client("absent"), r"latentd.conf:8: public-key: ", before=())

    def test_permissions(self):
        for mode in (0o644, 0o640, 0o620):
            (self.rig.folder / "latentd.key_secret").chmod(mode)
            self.check_refused(self.daemon("latentd.key_secret"),
                               rf"conf:2: secret-key: .*{mode:04o}.*chmod 600")
        (self.rig.folder / "latentd.key_secret").chmod(0o600)
        (self.rig.folder / "rig.key").chmod(0o646)
        self.check_refused(self.client("rig.key"), r"conf:8: public-key: .*chmod go-w")

    @unittest.skipIf(os.geteuid(), "needs root to give a file away")
    def test_owner(self):
        os.chown(self.rig.folder / "latentd.key_secret", 12345, -1)
        self.check_refused(self.daemon("latentd.key_secret"), r"belongs to user 12345")

    def test_damaged_files(self):
        whole = (self.rig.folder / "latentd.key_secret").read_text()
        damaged = self.rig.folder / "damaged"
        for text in ("", whole[:-20], whole.replace("secret-key", "sekret-key"), "\0" + whole,
                     whole + whole, "x" * 20000, whole.replace('"', '"~')):
            damaged.write_text(text)
            damaged.chmod(0o600)
            self.check_refused(self.daemon("damaged"), r"conf:2: secret-key: .*/damaged: ")
        damaged.chmod(0o644)
        self.check_refused(self.client("damaged"), r"conf:8: public-key: .*/damaged: ")

    def test_exchanged_files(self):
        """The public file for the secret one, and the other way round."""
        (self.rig.folder / "latentd.key").chmod(0o600)
        self.check_refused(self.daemon("latentd.key"), r"has no secret-key")
        self.check_refused(self.client("rig.key_secret"), r"holds a secret key")

    def test_one_key_two_clients(self):
        self.check_refused(self.client("rig.key")
                           + "[client desk]\npublic-key = rig.key\nroles = operator\n",
                           r"conf:11: public-key: is also the key of \[client rig\]")

    def test_roles(self):
        self.check_refused(self.client("rig.key", "sorce"),
                           r"conf:9: roles: 'sorce' is not known; .*nearest: source", code=2)
        self.check_refused(MODEL + "[client rig]\npublic-key = rig.key\nroles = source\n",
                           r"conf:5: \[client rig\] means nothing without", code=2)

    def test_every_mistake_at_once(self):
        self.check_refused(self.daemon("absent")
                           + "[client rig]\npublic-key = nope\nroles = source\n",
                           r"(?s)conf:2: secret-key.*conf:8: public-key.*2 problems")

    def test_check_prints_clients(self):
        self.rig.config.write_text(self.client("rig.key", "source monitor"))
        code, out, err = self.rig.run_to_end("--check", self.rig.config)
        self.assertEqual((code, err), (0, ""))
        self.assertIn("secret-key = latentd.key_secret\n", out)
        self.assertIn("[client rig]\npublic-key = rig.key\nroles = source monitor\n", out)
        self.assertNotIn(self.secret("latentd"), out)


class KeysTest(unittest.TestCase):
    """latentctl keys, and others' certificates."""

    def setUp(self):
        self.rig = curve_rig.CurveRig()
        self.addCleanup(self.rig.close)

    def test_never_overwrites(self):
        before = (self.rig.folder / "rig.key_secret").read_bytes()
        done = subprocess.run([rig.BIN / "latentctl", "keys", self.rig.folder / "rig.key"],
                              capture_output=True, text=True, timeout=rig.WAIT_S)
        self.assertEqual(done.returncode, 1)
        self.assertIn("never replaced", done.stderr)
        self.assertEqual((self.rig.folder / "rig.key_secret").read_bytes(), before)

    def test_modes(self):
        path = self.rig.folder / "new.key"
        self.rig.run_latentctl_keys(path)
        self.assertEqual((self.rig.folder / "new.key_secret").stat().st_mode & 0o7777, 0o600)
        self.assertEqual(path.stat().st_mode & 0o7777, 0o644)

    def test_pyzmq_reads_ours(self):
        public, none = zmq.auth.load_certificate(self.rig.folder / "rig.key")
        same, secret = zmq.auth.load_certificate(self.rig.folder / "rig.key_secret")
        self.assertEqual((public, none), (same, None))
        self.assertEqual(zmq.curve_public(secret), public)

    def test_we_read_pyzmqs(self):
        """Keys made by pyzmq serve as well, once their permissions are right."""
        zmq.auth.create_certificates(self.rig.folder, "theirs")
        (self.rig.folder / "theirs.key_secret").chmod(0o600)
        (self.rig.folder / "theirs.key").chmod(0o644)
        self.rig.configure({"arm": {"input": "tcp://127.0.0.1:*"}},
                           {"me": ("theirs.key", "operator")},
                           secret_key="theirs.key_secret", control="tcp://127.0.0.1:*")
        ends = self.rig.start()
        code, _, err = rig.Rig.ctl(self.rig, "--control", ends["control"], "--key",
                                   self.rig.folder / "theirs.key_secret", "--server-key",
                                   self.rig.folder / "theirs.key", "status")
        self.assertEqual(code, 0, err)

    def test_half_a_pair(self):
        for option in ("--key", "--server-key"):
            code, _, err = rig.Rig.ctl(self.rig, option, self.rig.folder / "rig.key", "status")
            self.assertEqual(code, 2)
            self.assertIn("go together", err)


class Knocker(threading.Thread):
    """Connects with a stranger's key, again and again: libzmq gives up when it is refused."""

    def __init__(self, context, kind, endpoint, keys):
        super().__init__()
        self.arguments = (kind, endpoint, keys)
        self.context = context
        self.over = threading.Event()
        self.n_refused = self.n_let_in = 0

    def knock(self, kind, endpoint, keys):
        peer = self.context.socket(kind)
        rig.set_keys(peer, keys)
        peer.linger = 0
        peer.reconnect_ivl = 1
        if kind == zmq.SUB:
            peer.subscribe("")
        monitor = peer.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED
                                          | zmq.EVENT_HANDSHAKE_FAILED_AUTH)
        peer.connect(endpoint)
        while not self.over.is_set():
            if monitor.poll(20):
                event = recv_monitor_message(monitor)["event"]
                self.n_let_in += event == zmq.EVENT_HANDSHAKE_SUCCEEDED
                self.n_refused += event == zmq.EVENT_HANDSHAKE_FAILED_AUTH
                break
        peer.disable_monitor()
        monitor.close()
        peer.close()

    def run(self):
        while not self.over.is_set():
            self.knock(*self.arguments)

    def end(self):
        self.over.set()
        self.join()


class DoorTest(unittest.TestCase):
    """A stranger who never stops knocking is not let in while latentd starts, runs or ends."""

    def test_no_open_moment(self):
        knocked = curve_rig.CurveRig()
        self.addCleanup(knocked.close)
        ends = [f"tcp://127.0.0.1:{port}" for port in free_ports(3)]
        knockers = [Knocker(knocked.context, kind, end, knocked.keys("stranger"))
                    for kind, end in zip((zmq.PUSH, zmq.SUB, zmq.REQ), ends)]
        for knocker in knockers:
            knocker.start()
        try:
            for _ in range(5):
                knocked.start_encrypted({"input": ends[0], "output": ends[1]}, control=ends[2])
                for door in ("input", "output", "control"):
                    keys = knocked.wait_for_refused(door, 3)
                self.assertEqual((keys["input.accepted"], keys["output.accepted"]), (0, 0))
                self.assertEqual(knocked.stop(), 0)
        finally:
            for knocker in knockers:
                knocker.end()
        for knocker in knockers:
            self.assertGreaterEqual(knocker.n_refused, 10)
            self.assertEqual(knocker.n_let_in, 0)


def free_ports(n):
    """Ports that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


if __name__ == "__main__":
    unittest.main(verbosity=2)

#!/usr/bin/python3
"""Nothing is destroyed, waited for or printed raw: what stands at an ipc endpoint, files without
end, answers of a server that is not ours."""
import os
import pathlib
import socket
import subprocess
import threading
import unittest

import zmq
from google.protobuf.descriptor import FieldDescriptor

import daemon_rig as rig
from latentd import latent_pb2 as pb

NASTY = "\x1b[2J\x1b]0;title\x07 \x9b31m \r\nforged: line\x7f"


def fill(message, depth=0):
    """Every text of a message holds control characters, however deep; numbers 1."""
    for field in message.DESCRIPTOR.fields:
        many = field.label == FieldDescriptor.LABEL_REPEATED
        if field.type == FieldDescriptor.TYPE_STRING:
            value = '{"arch": "a\\u001b[2J\u009b"}' if field.name == "model_json" else NASTY
            getattr(message, field.name).append(value) if many else setattr(
                message, field.name, value)
        elif field.type == FieldDescriptor.TYPE_MESSAGE and depth < 6:
            fill(getattr(message, field.name).add() if many else getattr(message, field.name),
                 depth + 1)
        elif not many and field.name != "code":
            setattr(message, field.name, 1)


class AnswersTest(unittest.TestCase):
    """latentctl prints no control character of an answer, whatever field it stands in."""

    def ask(self, reply, *arguments):
        context = zmq.Context()
        server = context.socket(zmq.REP)
        port = server.bind_to_random_port("tcp://127.0.0.1")

        def serve():
            if server.poll(rig.WAIT_S * 1000):
                server.recv()
                server.send(reply.SerializeToString())
        thread = threading.Thread(target=serve)
        thread.start()
        done = subprocess.run(
            [rig.BIN / "latentctl", "--control", f"tcp://127.0.0.1:{port}", *arguments],
            capture_output=True, timeout=rig.WAIT_S)
        thread.join()
        server.close(1000)
        context.term()
        return done

    def check(self, reply, *arguments):
        done = self.ask(reply, *arguments)
        text = (done.stdout + done.stderr).decode()
        self.assertIn("[2J", text)  # it came, and is harmless
        raw = [c for c in text if c != "\n" and (ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0)]
        self.assertEqual(raw, [], text)
        self.assertNotIn("\nforged", text)
        return done.returncode

    def test_every_field(self):
        reply = pb.Reply()
        fill(reply)
        for arguments in (["status"], ["status", "--json"], ["model", "arm"],
                          ["model", "arm", "--json"]):
            self.assertEqual(self.check(reply, *arguments), 0, arguments)

    def test_refusals(self):
        self.assertEqual(self.check(pb.Reply(code=-1, text=NASTY), "reset", "arm"), 1)
        self.assertEqual(self.check(pb.Reply(text=NASTY), "reset", "arm"), 0)


class FilesTest(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        self.model = rig.write_model(self.rig.folder / "model.safetensors")

    def refused(self, text, **keys):
        """The daemon ends by itself, for this reason."""
        daemon_keys = {key: keys.pop(key) for key in list(keys) if key == "control"}
        self.rig.configure({"arm": keys}, **daemon_keys)
        code, _, said = self.rig.run_to_end(self.rig.config)
        self.assertEqual(code, 1, said)
        self.assertIn(text, said)

    def test_an_ipc_endpoint_removes_no_file(self):
        folder = self.rig.folder
        precious, link, made = folder / "precious", folder / "link", folder / "folder"
        precious.write_text("data")
        link.symlink_to(precious)
        made.mkdir()
        os.mkfifo(folder / "pipe")
        model = self.model.read_bytes()
        for path in (precious, link, made, folder / "pipe", self.model, self.rig.config):
            for end in ("input", "output", "control"):
                with self.subTest(path=path.name, end=end):
                    self.refused(
                        "a file that is no socket stands there", **{end: f"ipc://{path}"})
                    self.assertTrue(os.path.lexists(path))
        self.assertEqual((precious.read_text(), self.model.read_bytes()), ("data", model))

    def test_tools_remove_no_file(self):
        precious = self.rig.folder / "precious"
        precious.write_text("data")
        recipe = next(pathlib.Path(rig.SOURCE / "models").glob("lorenz.json"))
        done = subprocess.run(
            [rig.BIN / "latent-sim", "--recipe", recipe, "--stream", "arm", "--bins",
             f"ipc://{precious}", "--attach", "bind", "--seconds", "1"],
            capture_output=True, text=True, timeout=rig.WAIT_S)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("is no socket stands there", done.stderr)
        self.assertEqual(precious.read_text(), "data")

    def test_a_full_backlog_is_somebody(self):
        path = self.rig.folder / "busy"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(0)
            waiting = []
            for _ in range(4):
                waiting.append(socket.socket(socket.AF_UNIX))
                self.addCleanup(waiting[-1].close)
                waiting[-1].setblocking(False)
                waiting[-1].connect_ex(str(path))
            self.refused("another program has it", output=f"ipc://{path}")

    def test_what_a_killed_daemon_left_is_replaced(self):
        path = self.rig.folder / "left"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
        self.rig.configure({"arm": {"output": f"ipc://{path}"}})
        self.rig.start()

    def test_configurations_without_end(self):
        os.mkfifo(self.rig.folder / "pipe")
        huge = self.rig.folder / "huge"
        with open(huge, "wb") as file:
            file.truncate(4 << 30)
        large = "at most 1048576 bytes"
        for path, text in (("/dev/zero", large), ("/dev/urandom", large), (huge, large),
                           ("/tmp", "Is a directory"),
                           (self.rig.folder / "pipe", "expected a file, found a pipe")):
            for option in ([], ["--check"]):
                code, out, said = self.rig.run_to_end(*option, path)
                self.assertEqual((code, out), (2, ""), said)
                self.assertIn(text, said)

    def test_a_model_as_configuration_is_not_printed(self):
        shipped = sorted((rig.SOURCE / "models").glob("*/*.safetensors"),
                         key=lambda path: path.stat().st_size)
        for model in (self.model, *shipped[:3], shipped[-1]):
            code, out, said = self.rig.run_to_end(model)
            self.assertEqual((code, out, said.count("\n")), (2, "", 1))
            is_long = model.stat().st_size > 1 << 20
            self.assertIn("at most 1048576 bytes" if is_long else
                          "holds a zero byte: not a text file", said)

    def test_models_without_end(self):
        os.mkfifo(self.rig.folder / "pipe")
        with open(self.rig.folder / "sparse", "wb") as file:
            file.truncate((4 << 30) - 1)
        for path, text in (("pipe", "expected a regular file"), ("/dev/zero", "a regular file"),
                           ("sparse", "not a safetensors file")):
            self.rig.configure({"arm": {"model": path}})
            code, _, said = self.rig.run_to_end(self.rig.config)
            self.assertEqual(code, 1, said)
            self.assertIn(text, said)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
"""Orders that cannot be carried out in time: the answer says so, nobody else waits for it, and what
is ordered happens when it can."""
import pathlib
import signal
import subprocess
import sys
import time
import unittest

import zmq

import daemon_rig as rig
import test_syscalls

pb = rig.pb
HOLD_US = 3_000_000
LOOKS = "readlink,readlinkat,lstat,newfstatat"


class OrderTest(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        rig.write_model(self.rig.folder / "model.safetensors")
        self.rig.configure({"arm": {"lease_ms": 200, "safe_ramp_ms": 20, "safe_exit": 3}})
        self.rig.start()
        self.pid = self.rig.process.pid

    def hold(self, calls, *arguments):
        """Let each of these calls of a thread take long; -> what ends that."""
        tracer = subprocess.Popen(["strace", *arguments, "-o", "/dev/null", "-e", f"trace={calls}",
                                   "-e", f"inject={calls}:delay_enter={HOLD_US}"],
                                  stderr=subprocess.PIPE, text=True)
        self.assertIn("attached", tracer.stderr.readline())

        def end():
            tracer.send_signal(signal.SIGINT)
            tracer.communicate()
        return end

    def dealer(self):
        socket = self.rig.context.socket(zmq.DEALER)
        self.rig.sockets.append(socket)
        socket.connect(self.rig.control)
        return socket

    def reply(self, socket):
        self.assertTrue(socket.poll(rig.WAIT_S * 1000))
        return pb.Reply.FromString(socket.recv_multipart()[-1])

    def test_acknowledged_with_its_time(self):
        before = time.monotonic_ns()
        socket = self.dealer()
        socket.send(pb.Request(operation=pb.SAFE_ON, stream="arm").SerializeToString())
        reply = self.reply(socket)
        self.assertEqual((reply.code, reply.text), (0, "arm is SAFE"))
        self.assertTrue(before <= reply.t_done_ns <= time.monotonic_ns())

    def test_data_thread_that_does_not_come(self):
        thread = test_syscalls.thread_named(self.pid, "data-0")
        end = self.hold("epoll_wait,epoll_pwait", "-p", str(thread))
        code, out, err = self.rig.ctl("safe", "arm", "on")
        self.assertEqual((code, out), (3, ""))
        self.assertIn("NOT DONE: the data thread of arm has not taken the order within its lease "
                      "of 200 ms; it stays ordered", err)
        self.assertEqual(self.rig.ctl("status")[0], 0)
        end()
        time_is_left = rig.deadline()
        while time_is_left() and self.rig.status()["streams"]["arm"]["state"] != "safe-operator":
            time.sleep(0.05)
        self.assertEqual(self.rig.status()["streams"]["arm"]["state"], "safe-operator")

    def test_disk_that_does_not_answer(self):
        """The answers come in the order in which they can: SAFE does not wait for the path."""
        end = self.hold(LOOKS, "-f", "-p", str(self.pid))
        path = self.rig.folder / "arm.record"
        socket = self.dealer()
        socket.send(pb.Request(operation=pb.RECORD_START, stream="arm",
                               path=str(path)).SerializeToString())
        socket.send(pb.Request(operation=pb.RECORD_START, stream="arm",
                               path=str(path)).SerializeToString())
        socket.send(pb.Request(operation=pb.SAFE_ON, stream="arm").SerializeToString())
        replies = [self.reply(socket) for _ in range(3)]
        end()
        self.assertEqual([reply.code for reply in replies], [-5, 0, -6])
        self.assertEqual(replies[0].text, "another record of arm is being started")
        self.assertEqual(replies[1].text, "arm is SAFE")
        self.assertIn("NOT DONE: ", replies[2].text)
        self.assertIn("nothing is recorded", replies[2].text)
        code = 1
        time_is_left = rig.deadline()
        while time_is_left() and code:  # the first start ends when its disk answers
            code, _, err = self.rig.ctl("record", "start", "arm", str(path))
        self.assertEqual(code, 0, err)
        self.assertEqual(self.rig.ctl("record", "stop", "arm")[0], 0)
        self.assertEqual([p.name for p in pathlib.Path(self.rig.folder).glob("*.record")],
                         ["arm.record"])


if __name__ == "__main__":
    if not test_syscalls.may_trace():
        print("SKIP host: strace cannot attach to a process here")
        sys.exit(77)
    unittest.main(verbosity=2)

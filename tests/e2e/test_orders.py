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
FOR_EVER_US = 600_000_000
LOOKS = "readlink,readlinkat,lstat,newfstatat"


class OrderTest(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        rig.write_model(self.rig.folder / "model.safetensors")
        self.rig.configure({"arm": {"lease_ms": 200, "safe_ramp_ms": 20, "safe_exit": 3}})
        self.rig.start()
        self.pid = self.rig.process.pid
        self.kept = f"{self.rig.folder}/control.safe"

    def hold(self, calls, *arguments, hold_us=HOLD_US):
        """Let each of these calls of a thread take long; -> what ends that."""
        tracer = subprocess.Popen(["strace", *arguments, "-o", "/dev/null", "-e", f"trace={calls}",
                                   "-e", f"inject={calls}:delay_enter={hold_us}"],
                                  stderr=subprocess.PIPE, text=True)
        self.assertIn("attached", tracer.stderr.readline())

        def end():
            if tracer.returncode is None:
                tracer.send_signal(signal.SIGINT)
                tracer.communicate()
        self.addCleanup(end)
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
        self.assertEqual(reply.code, 0)
        self.assertRegex(reply.text, f"^arm is SAFE(; kept in {self.kept}|, but that is NOT KEPT)")
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

    def test_disk_that_does_not_keep_it(self):
        """SAFE is answered for when the line has it, whatever the disk of its file does."""
        end = self.hold("fsync,rename,renameat,renameat2", "-f", "-p", str(self.pid),
                        hold_us=FOR_EVER_US)
        code, out, err = self.rig.ctl("safe", "arm", "on")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("arm is SAFE, but that is NOT KEPT: after a restart it may be let go: "
                      f"{self.kept}: the disk has not answered", out)
        status = self.rig.status()["streams"]["arm"]
        self.assertEqual(status["state"], "safe-operator")
        self.assertIn("NOT KEPT yet: ", status["held"])
        self.assertIn("NOT KEPT yet: ", self.rig.log.read_text())
        end()
        self.wait_until_kept("arm")

    def wait_until_kept(self, *names):
        time_is_left = rig.deadline()
        while time_is_left():
            streams = self.rig.status()["streams"]
            if all(streams[name]["held"] == f"kept in {self.kept}" for name in names):
                return
        self.fail(f"not kept: {streams}")

    def test_disks_that_hold_all_records(self):
        """As many threads wait for a disk as there are streams: the file of SAFE has one more."""
        names = [f"s{i}" for i in range(6)]
        self.rig.stop()
        self.rig.configure({name: {} for name in names})
        self.rig.start()
        end = self.hold(LOOKS, "-f", "-p", str(self.rig.process.pid), hold_us=FOR_EVER_US)
        records, socket = self.dealer(), self.dealer()
        for name in names:
            records.send(pb.Request(operation=pb.RECORD_START, stream=name,
                                    path=f"{self.rig.folder}/{name}.record").SerializeToString())
        socket.send(pb.Request(operation=pb.SAFE_ON, all=True).SerializeToString())
        reply = self.reply(socket)
        self.assertEqual([r.code for r in reply.streams], [0] * len(names))
        self.wait_until_kept(*names)
        self.assertEqual([self.reply(records).code for _ in names], [-6] * len(names))
        end()

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
        self.assertRegex(replies[1].text, "^arm is SAFE[;,]")
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

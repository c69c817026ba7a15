#!/usr/bin/python3
"""Orders under floods: whatever pours in, at most one step of the decoder comes between posting
SAFE or stop and its entry, on every loop. Counted by the frames that steps make; the time is
printed."""
import signal
import socket
import struct
import threading
import time
import unittest

import zmq

import daemon_rig as rig

pb = rig.pb
MODEL = rig.SOURCE / "models" / "ndt" / "lorenz_full.safetensors"  # steps that take long
N_ORDERS = 5
BATCH = 256
SO_TIMESTAMPNS = 35
PLACE = 0x0123456789abcdef  # stands for the number of a message's first bin until it is sent


class Flood(threading.Thread):
    """Messages of n_bins bins as fast as they are taken; between them n_lost bins are missing."""

    def __init__(self, endpoint, stream, status, n_bins, *, n_lost=0, junk=False):
        super().__init__(daemon=True)
        message = pb.Bins(epoch=1, seq=PLACE, bin_width_us=status["bin_width_us"],
                          n_channels=status["n_channels"])
        for _ in range(n_bins):
            message.bins.add(counts=bytes([1]) * status["n_channels"])
        self.payload = bytearray(message.SerializeToString())
        self.place = self.payload.index(struct.pack("<Q", PLACE))
        self.endpoint, self.topic, self.junk = endpoint, f"{stream}/bins".encode(), junk
        self.apart = n_bins + n_lost
        self.ends = threading.Event()

    def run(self):
        context = zmq.Context()
        out = context.socket(zmq.PUSH)
        out.linger, out.sndtimeo = 0, 100
        out.connect(self.endpoint)
        seq = 0
        while not self.ends.is_set():
            struct.pack_into("<Q", self.payload, self.place, seq)
            try:
                out.send_multipart([self.topic, bytes(self.payload)])
                seq += self.apart
                if self.junk:
                    out.send_multipart([self.topic, b"\xff" * 1000])
                    out.send_multipart([b"nobody/bins", b""])
            except zmq.Again:
                pass
        out.close()
        context.term()

    def end(self):
        self.ends.set()
        self.join()


class Frames(threading.Thread):
    """All frames of a stream, as (published at, number, SAFE or not)."""

    def __init__(self, rig_, stream, endpoint):
        super().__init__(daemon=True)
        self.consumer = rig_.consumer(stream, endpoint)
        self.found = []
        self.ends = False

    def run(self):
        while not self.ends:
            if not self.consumer.socket.poll(100):
                continue
            topic, payload = self.consumer.socket.recv_multipart()
            if topic.endswith(b"/frame"):
                frame = pb.Frame.FromString(payload)
                self.found.append((frame.t_publish_ns, frame.pub_seq, bool(frame.flags & rig.SAFE)))

    def between(self, after_ns, before_ns):
        """How many were published between; None: some did not get here."""
        near = [(t, n) for t, n, _ in list(self.found) if t >= after_ns - 10**9]
        numbers = [n for t, n in near if t <= before_ns]
        if numbers and numbers != list(range(numbers[0], numbers[-1] + 1)):
            return None
        return sum(after_ns < t < before_ns for t, _ in near)

    def end(self):
        self.ends = True
        self.join()


class FloodTest(unittest.TestCase):
    KEYS = {"model": MODEL, "on_gap": "predict", "max_gap_ms": 10000, "safe_exit": 1}

    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind(str(self.rig.folder / "manager"))
        self.manager.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        rig.write_model(self.rig.folder / "model.safetensors")

    def start(self, names):
        folder = self.rig.folder
        self.rig.configure({name: {
            **self.KEYS, "input": f"ipc://{folder}/in-{name}", "loop": name[-1],
            "output": f"ipc://{folder}/out-{name}"} for name in names})
        self.rig.start(environment={"NOTIFY_SOCKET": str(folder / "manager")})
        self.readers = {name: Frames(self.rig, name, f"ipc://{folder}/out-{name}")
                        for name in names}
        for reader in self.readers.values():
            reader.start()
            self.addCleanup(reader.end)

    def flood(self, names, n_bins, **how):
        status = self.rig.status()["streams"]
        self.floods = [Flood(f"ipc://{self.rig.folder}/in-{name}", name, status[name], n_bins,
                             **how) for name in names]
        for flood in self.floods:
            flood.start()
            self.addCleanup(flood.end)
        for name in names:
            self.rig.wait_for(name, "frames", "published", BATCH)

    def wait_for_frames_after(self, names, t_ns):
        time_is_left = rig.deadline()
        while any(not self.readers[n].found or self.readers[n].found[-1][0] <= t_ns for n in names):
            self.assertTrue(time_is_left(), "no frames any more")

    def ask(self, **request):
        out = self.rig.context.socket(zmq.REQ)
        out.linger = 0
        out.connect(self.rig.control)
        out.send(pb.Request(**request).SerializeToString())
        self.assertTrue(out.poll(rig.WAIT_S * 1000))
        reply = pb.Reply.FromString(out.recv())
        out.close()
        self.assertEqual(reply.code, 0, reply.text)
        return reply

    def check_safe(self, names):
        """names share a loop: of all their steps, one at most."""
        worst_ns, n_counted = 0, 0
        for i in range(N_ORDERS):
            reply = self.ask(operation=pb.SAFE_ON, stream=names[i % len(names)])
            self.assertGreaterEqual(reply.t_done_ns, 0)
            worst_ns = max(worst_ns, reply.t_done_ns - reply.t_posted_ns)
            self.wait_for_frames_after(names, reply.t_done_ns)
            counts = [self.readers[name].between(reply.t_posted_ns, reply.t_done_ns)
                      for name in names]
            if None not in counts:
                n_counted += 1
                self.assertLessEqual(sum(counts), 1)
            self.ask(operation=pb.SAFE_OFF, stream=names[i % len(names)])
        self.assertGreater(n_counted, 0)
        return worst_ns

    def stopping_ns(self):
        """When the manager was told, by the kernel; the order was posted before that."""
        while True:
            message, extra, _, _ = self.manager.recvmsg(100, 100)
            now_ns, mono_ns = time.time_ns(), time.monotonic_ns()
            if message != b"STOPPING=1":
                continue
            seconds, ns = struct.unpack("@qq", extra[0][2][:16])
            return mono_ns - now_ns + seconds * 10**9 + ns

    def check_stop(self, loops):
        """After it was posted each loop makes at most one frame more that is not SAFE."""
        self.rig.process.send_signal(signal.SIGTERM)
        posted_ns = self.stopping_ns()
        self.assertEqual(self.rig.process.wait(rig.WAIT_S), 0)
        self.rig.process.stdout.close()
        self.rig.process = None
        ended_ns = time.monotonic_ns()
        time.sleep(0.2)  # what is on its way to the readers
        for names in loops:
            late = [sum(t > posted_ns and not safe for t, _, safe in self.readers[name].found)
                    for name in names]
            self.assertLessEqual(sum(late), 1, names)
            for name in names:
                self.assertTrue(self.readers[name].found[-1][2])
        return ended_ns - posted_ns

    def check(self, n_bins, **how):
        names = ["arm0", "leg0"]
        self.start(names)
        self.flood(names, n_bins, **how)
        safe_ns = self.check_safe(names)
        stop_ns = self.check_stop([names])
        print(f"\n{self._testMethodName}: SAFE in {safe_ns / 1e6:.3f} ms at worst, "
              f"ended {stop_ns / 1e6:.3f} ms after stop", flush=True)

    def test_batches(self):
        self.check(BATCH)

    def test_single_bins(self):
        self.check(1)

    def test_gaps(self):
        """One message asks for hundreds of steps."""
        self.check(1, n_lost=200)

    def test_junk_between(self):
        self.check(BATCH, junk=True)

    def test_several_loops(self):
        """Stop is posted to all before any is waited for."""
        names = ["arm0", "leg0", "hand1", "eye2"]
        self.start(names)
        self.flood(names, BATCH)
        self.check_stop([["arm0", "leg0"], ["hand1"], ["eye2"]])


if __name__ == "__main__":
    unittest.main(verbosity=2)

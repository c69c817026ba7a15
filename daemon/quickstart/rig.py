"""A rig on loopback: simulators and latentd as child processes over a folder that goes away."""
import json
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

START_S = 60  # a model's known answers and the admission run are part of the start
STOP_S = 10


class RigError(Exception):
    """Something did not start or answer; the text says what, with what the program itself said."""


class Child:
    """A process that cannot outlive us: it ends with its parent, whatever ended that."""

    def __init__(self, name, command, folder):
        self.name = name
        self._said = folder / f"{name}.log"
        with open(self._said, "wb") as log:
            # A session of its own: Ctrl-C reaches us only, and we end the children in order.
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "--", *map(str, command)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True)

    def said(self):
        """What it wrote, both outputs."""
        return self._said.read_text(errors="replace").strip()

    def ended(self):
        """Exit code, or None while it runs."""
        return self._process.poll()

    def stop(self):
        """Ask it to end, insist after STOP_S; its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class Rig:
    """Use as a context manager: everything is ended and removed on the way out."""

    def __init__(self, bin_folder, streams, seconds):
        """streams: name -> {"model": path, "mode": text, "recipe": path}; seconds 0: no end."""
        self._bin, self._streams, self._seconds = bin_folder, streams, seconds
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="latentd-quickstart."))
        self._control = f"ipc://{self._folder}/control"
        self._daemon = None
        self.sources = {}  # stream -> Child

    def __enter__(self):
        try:
            self._start_daemon()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()

    def statuses(self):
        """stream -> its part of `latentctl status --json`."""
        done = subprocess.run(
            [self._bin / "latentctl", "--control", self._control, "status", "--json"],
            capture_output=True, text=True, timeout=STOP_S, check=False)
        if done.returncode:
            raise RigError(f"latentctl status: {done.stderr.strip()}")
        return {stream["name"]: stream for stream in json.loads(done.stdout)["streams"]}

    def truth_endpoint(self, stream):
        """Where the simulator publishes NAME/truth."""
        return f"ipc://{self._folder}/truth-{stream}"

    def start_sources(self, inputs):
        """One simulator per stream. inputs: stream -> endpoint of the daemon's input."""
        for stream, settings in self._streams.items():
            command = [
                self._bin / "latent-sim", "--recipe", settings["recipe"], "--stream", stream,
                "--bins", inputs[stream], "--truth", self.truth_endpoint(stream),
                "--start-after-subscriber"]
            if self._seconds:
                command += ["--seconds", self._seconds]
            self.sources[stream] = Child(f"latent-sim-{stream}", command, self._folder)

    def stop_sources(self):
        """No more bins; -> stream -> bins sent, which may still be on their way to the daemon."""
        sent = {}
        for stream, source in self.sources.items():
            code, said = source.stop(), source.said()
            counted = re.search(r"(\d+) bins", said)
            if code == -signal.SIGTERM:  # before it had begun
                sent[stream] = 0
            elif code == 0 and counted:
                sent[stream] = int(counted.group(1))
            else:
                raise RigError(f"{source.name} ended with {code}: {said}")
        return sent

    def check(self):
        """Raise when a process that should run has ended."""
        if self._daemon.ended() is not None:
            raise RigError(f"latentd ended with {self._daemon.ended()}: {self._daemon.said()}")
        for source in self.sources.values():
            if source.ended():
                raise RigError(f"{source.name} ended with {source.ended()}: {source.said()}")

    def stop_daemon(self):
        """Its last frames are SAFE ones. Returns its exit code."""
        return self._daemon.stop()

    def close(self):
        """End what still runs and remove the folder; a second Ctrl-C does not stop that."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for child in [*self.sources.values(), self._daemon]:
            if child is not None:
                child.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start_daemon(self):
        path = self._folder / "latentd.conf"
        path.write_text(self._configuration())
        self._daemon = Child("latentd", [self._bin / "latentd", path], self._folder)
        end = time.monotonic() + START_S
        while True:
            self.check()
            try:
                self.statuses()
                return
            except (RigError, subprocess.TimeoutExpired):
                if time.monotonic() > end:
                    raise
            time.sleep(0.1)

    def _configuration(self):
        """Free loopback ports, everything else as latentd's defaults have it."""
        lines = ["[latentd]", f"control = {self._control}", "lock-memory = no"]
        for stream, settings in self._streams.items():
            lines += [
                f"[stream {stream}]", f"model = {settings['model']}", f"mode = {settings['mode']}",
                "input = tcp://127.0.0.1:*", "output = tcp://127.0.0.1:*"]
        return "\n".join(lines) + "\n"

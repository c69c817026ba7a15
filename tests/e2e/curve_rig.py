"""A rig whose TCP sockets are encrypted, with a key pair for each kind of client."""
import subprocess

import daemon_rig as rig

ROLES = {"rig": "source", "screen": "consumer", "wall": "monitor", "desk": "operator"}

MADE = {}  # name of a client: its files' texts


class CurveRig(rig.Rig):
    """Keys in the folder: of latentd ("latentd"), of the clients in ROLES, of a "stranger"."""

    def __init__(self):
        super().__init__()
        rig.write_model(self.folder / "model.safetensors")
        for name in ("latentd", "stranger", *ROLES):
            self.make_keys(name)

    def make_keys(self, name):
        """By latentctl; the next rig gets copies."""
        paths = [self.folder / f"{name}.key", self.folder / f"{name}.key_secret"]
        if name not in MADE:
            self.run_latentctl_keys(paths[0])
            MADE[name] = [path.read_text() for path in paths]
        for path, text, mode in zip(paths, MADE[name], (0o644, 0o600)):
            path.touch(mode)
            path.write_text(text)

    @staticmethod
    def run_latentctl_keys(path):
        done = subprocess.run([rig.BIN / "latentctl", "keys", path], capture_output=True,
                              text=True, timeout=rig.WAIT_S)
        if done.returncode:
            raise AssertionError(done.stderr)

    def keys(self, name, server="latentd"):
        """What set_keys() takes: own secret file, public file of the server."""
        return self.folder / f"{name}.key_secret", self.folder / f"{server}.key"

    def start_encrypted(self, stream=None, before=(), **daemon_keys):
        """One stream "arm", everything over TCP, by the command `before`; the endpoints."""
        ends = {"input": "tcp://127.0.0.1:*", "output": "tcp://127.0.0.1:*"}
        daemon = {"secret_key": "latentd.key_secret", "control": "tcp://127.0.0.1:*", **daemon_keys}
        self.configure({"arm": {**ends, **(stream or {})}},
                       {name: (f"{name}.key", roles) for name, roles in ROLES.items()}, **daemon)
        return self.start(*before)

    def ctl_as(self, name, *arguments, server="latentd", seconds=10):
        """-> (exit code, stdout, stderr) of latentctl with the keys of this client."""
        own, other = self.keys(name, server)
        return self.ctl("--control", self.endpoints["control"], "--key", own, "--server-key", other,
                        "--timeout", str(seconds), *arguments)

    def ctl(self, *arguments):
        """As the operator, unless the arguments say otherwise."""
        if "--key" in arguments or not self.endpoints["control"].startswith("tcp:"):
            return super().ctl(*arguments)
        return self.ctl_as("desk", *arguments)

    def wait_for_refused(self, door, n=1):
        """The key counters as soon as n keys have been refused at a door."""
        time_is_left = rig.deadline()
        while time_is_left():
            keys = self.status()["keys"]
            if keys[f"{door}.refused"] >= n:
                return keys
        raise AssertionError(f"{door}: {keys}")

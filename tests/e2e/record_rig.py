"""What the tests of the record share: traffic with everything that can happen in it, and looking
into the file with the tools of SQLite."""
import random
import sqlite3
import subprocess
import time

import daemon_rig as rig

MODELS = rig.SOURCE / "models"
RESTARTS = {"missing_after_ms": 20}  # of a stream: a new epoch is believed after this silence


def _architectures():
    """name -> (model file, mode): one shipped model of every architecture, ndt in both kinds."""
    found = {"ndt-causal": (MODELS / "ndt" / "lorenz_causal.safetensors", "C"),
             "ndt-window": (MODELS / "ndt" / "lorenz_causal.safetensors", "A")}
    for model in sorted(MODELS.glob("*/*.safetensors"), reverse=True):
        if model.parent.name != "ndt":
            found[model.parent.name] = (model, None)
    return found


ARCHITECTURES = _architectures()


class Traffic:
    """A source that loses, repeats, restarts, jumps, marks and garbles, seeded. settle: waits until
    the daemon has taken all of it, so that a restart is one after a silence (RESTARTS)."""

    def __init__(self, socket, stream, info, seed, settle=None):
        self.socket, self.settle = socket, settle
        self.topic = f"{stream}/bins".encode()
        self.n_channels, self.bin_us = info.n_channels, info.bin_width_us
        self.random = random.Random(seed)
        self.seq, self.epoch, self.n_sent = 0, 1, 0

    def send(self, n):
        """n messages."""
        for _ in range(n):
            self._something_else()
            self._bins(marks=self.random.choice((0, 0, 0, 0, 1, 2, 4)))

    def send_plain(self, n):
        for _ in range(n):
            self._bins(marks=0)

    def _bins(self, marks, encoding=rig.pb.U8, value=None):
        n = self.random.choice((1, 1, 1, 2, 5))
        counts = [[self.random.choice((0, 0, 0, 1, 2)) for _ in range(self.n_channels)]
                  for _ in range(n)]
        if value is not None:
            counts[0][0] = value
        self._payload(rig.pack_bins(self.seq, counts, self.epoch, self.bin_us, marks=marks,
                                    encoding=encoding))
        self.seq += n

    def _payload(self, payload):
        self.socket.send_multipart([self.topic, payload])
        self.n_sent += 1

    def _something_else(self):
        chance = self.random.randrange(60)
        if chance == 0:
            self.seq += self.random.randrange(1, 12)  # a gap that is filled
        elif chance == 1:
            self.seq += 600000 // self.bin_us + 1  # one that resets: above max-gap-ms
        elif chance == 2:
            if self.settle:
                self.settle()
                time.sleep(0.03)
            self.epoch += 1
            self.seq = 0
        elif chance == 3:
            self._payload(b"\xff\xff")
        elif chance == 4:
            self.seq = max(0, self.seq - 3)  # duplicates
        elif chance == 5:
            self._bins(0, encoding=rig.pb.F32, value=float("nan"))
        elif chance == 6:
            self.socket.send_multipart([self.topic, b"one", b"too many"])
            self.n_sent += 1
        elif chance == 7:
            self._jump()

    def _jump(self):
        """One bin whose number cannot be."""
        seq, self.seq = self.seq, self.seq ^ 1 << 32
        self._bins(0)
        self.seq = seq


def sql(path, *questions):
    """Answers of the sqlite3 tool, each a list of rows of texts."""
    answers = []
    for question in questions:
        done = subprocess.run(["sqlite3", str(path), question], capture_output=True, text=True,
                              timeout=rig.WAIT_S, check=False)
        if done.returncode:
            raise AssertionError(f"{path}: {question}: {done.stderr}")
        answers.append([line.split("|") for line in done.stdout.splitlines()])
    return answers if len(answers) > 1 else answers[0]


def frames_of(path):
    """The bytes of all frames that were sent, in order; None for one that was thinned."""
    file = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    rows = file.execute("SELECT bytes FROM frames WHERE sent = 0 ORDER BY id").fetchall()
    file.close()
    return [row[0] for row in rows]


def verify(path, *arguments):
    """-> (exit code, stdout, stderr) of latent-replay --verify."""
    done = subprocess.run([rig.BIN / "latent-replay", "--verify", path, *arguments],
                          capture_output=True, text=True, timeout=4 * rig.WAIT_S, check=False)
    return done.returncode, done.stdout, done.stderr


def check_whole(path):
    """The file is sound for SQLite, and comes out the same bit by bit; -> what verify said."""
    answer = sql(path, "PRAGMA integrity_check")
    if answer != [["ok"]]:
        raise AssertionError(f"{path}: {answer}")
    code, out, err = verify(path)
    if code or "identical, bit by bit" not in out:
        raise AssertionError(f"{path}: exit {code}\n{out}{err}")
    return out


def record_of(the_rig, stream):
    """What the status says of the record, counts and all."""
    return the_rig.status()["streams"][stream].get("record")


def wait_for_record(the_rig, stream, condition):
    """The record's status as soon as the condition holds for it."""
    time_is_left = rig.deadline()
    record = None
    while time_is_left():
        record = record_of(the_rig, stream)
        if record and condition(record):
            return record
    raise AssertionError(f"the record did not get there: {record}")

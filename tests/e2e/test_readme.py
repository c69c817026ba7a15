#!/usr/bin/python3
"""What the READMEs tell to type: their commands name programs and options that there are, their
links lead somewhere, and those of the main README do what it says, one after the other, with
addresses of this test's own and a recording of half a minute."""
import functools
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import unittest

import h5py
import numpy as np
import torch

from tool_case import BIN, SOURCE, Case, run

BUILD = pathlib.Path(os.environ["LATENT_BUILD"])
READMES = [SOURCE / name for name in subprocess.run(
    ["find", ".", "-name", "README.md", "-not", "-path", "./build/*"], cwd=SOURCE, text=True,
    capture_output=True, check=True).stdout.split() if "latent_models" not in name]
CARDS = sorted(SOURCE.glob("models/*/card.md"))
PROGRAMS = ("latentd", "latentctl", "latent-sim", "latent-replay", "latent-decode")
LINK = re.compile(r"\[[^]]*\]\(([^)#\s]+)")
N_BINS, N_CHANNELS = 3000, 96


def blocks(path):
    """Blocks of a README: what is indented by four blanks, or fenced, as texts."""
    found, block, fenced = [], [], False
    for line in [*path.read_text().splitlines(), ""]:
        is_fence = line.lstrip().startswith("```")
        inside = fenced or (line.startswith("    ") and not block) or \
            (bool(block) and (line.startswith("    ") or not line.strip()))
        if is_fence or not inside:
            if "".join(block).strip():
                found.append("\n".join(block).strip("\n"))
            block, fenced = [], fenced != is_fence
        else:
            block.append(line if fenced else line[4:])
    return found


def commands(path):
    """Command lines in a README's blocks, as lists of words."""
    for block in blocks(path):
        for line in block.replace("\\\n", " ").splitlines():
            try:
                words = shlex.split(line, comments=True)
            except ValueError:
                continue  # no command
            if words:
                yield words


def program_of(word):
    """The program that a word of a command names, as a path, or None."""
    name = word.rsplit("/", 1)[-1]
    if name in PROGRAMS:
        return BIN / name
    is_ours = word.startswith(("models/", "daemon/", "tests/")) and name.endswith((".py", ".sh"))
    return SOURCE / word if is_ours and "<" not in word else None


@functools.cache
def options_of(program):
    """What --help tells of a program."""
    result = run(program, "--help")
    return set(re.findall(r"--[a-z][a-z0-9-]*", result.stdout))


class Words(unittest.TestCase):
    """What can be told without doing it."""

    def test_links(self):
        for path in [*READMES, *CARDS]:
            for target in LINK.findall(path.read_text()):
                if "://" not in target:
                    with self.subTest(path=str(path), target=target):
                        self.assertTrue((path.parent / target).exists())

    def test_programs_and_options(self):
        n_checked = 0
        for path in READMES:
            for words in commands(path):
                while words and re.match("[A-Z_]+=|sudo$|bash$", words[0]):
                    words = words[1:]
                if not words or not program_of(words[0]):
                    continue
                program, rest = program_of(words[0]), words[1:]
                with self.subTest(path=str(path), command=" ".join(words)):
                    self.assertTrue(program.exists())
                    asked = {word.split("=")[0] for word in rest if re.match("--[a-z]", word)}
                    if asked:
                        self.assertLessEqual(asked, options_of(program) | {"--help"})
                    n_checked += 1
        self.assertGreater(n_checked, 30)


class Typed(Case):
    """The main README, typed in a folder where a clone would be."""

    def setUp(self):
        super().setUp()
        for name in ("models", "proto", "core"):
            (self.folder / name).symlink_to(SOURCE / name)
        (self.folder / "build").mkdir()
        (self.folder / "build" / "release").symlink_to(BUILD)
        rng = np.random.default_rng(5)
        time = np.arange(N_BINS)[:, None] * 0.01
        hand = 100 * np.sin(time * [3.1, 2.3]) + 40 * np.sin(time * [7.9, 5.3] + 1)
        gain = rng.normal(0, 0.4, (2, N_CHANNELS)) / hand.std()
        with h5py.File(self.folder / "rec.h5", "w") as f:
            f["counts"] = rng.poisson(0.5 * np.exp(hand @ gain)).astype(np.uint8)
            f["velocity"] = f["hand_vel"] = hand
            f["spikes"] = f["counts"]
        self.blocks = blocks(SOURCE / "README.md")

    def block(self, word):
        """The only block of the main README with this word."""
        found = [block for block in self.blocks if word in block]
        self.assertEqual(len(found), 1, word)
        return found[0]

    def here(self, text):
        """The same, with addresses of this test's own."""
        for address, name in (("ipc:///tmp/latentd.control", "control"),
                              ("tcp://127.0.0.1:5570", "in"), ("tcp://127.0.0.1:5571", "out")):
            text = text.replace(address, f"ipc://{self.folder}/{name}")
        return text

    def type(self, text):
        """Lines of a shell, each of which must succeed -> what they print."""
        result = subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=self.folder,
                                capture_output=True, text=True, timeout=300)
        self.assertEqual(result.returncode, 0, f"{text}\n{result.stdout}{result.stderr}")
        return result.stdout

    def start(self, *command):
        """A program that goes on; ended with the test."""
        process = subprocess.Popen([str(c) for c in command], cwd=self.folder, text=True,
                                   stdout=subprocess.PIPE, env=self.environment())
        self.addCleanup(process.wait)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        return process

    @staticmethod
    def environment():
        return {**os.environ, "PYTHONPATH": "build/release/python"}

    def test_own_recording(self):
        self.type(self.block("models/kalman/train.py"))
        with h5py.File(self.folder / "decoded.h5") as f:
            self.assertEqual(f["readout"].shape, (N_BINS, 2))
        conf = self.here(self.block("[stream arm]")) + \
            f"\ninput = ipc://{self.folder}/in\noutput = ipc://{self.folder}/out\n"
        (self.folder / "arm.conf").write_text(conf)
        check, start = self.block("--check arm.conf").splitlines()
        self.type(check)
        daemon = self.start(*start.split())
        self.assertIn("READY", daemon.stdout.readline())
        reader = self.start("/usr/bin/python3", "-u", "-c",
                            self.here(self.block("latentd.Subscriber(")))
        replay = self.here(self.block("latent-replay --in"))
        self.type(replay.replace("latent-replay ", "latent-replay --seconds 3 "))
        self.assertGreaterEqual(len(reader.stdout.readline().split()), 2)
        status = json.loads(self.type(replay.splitlines()[-1] + " --json"))
        self.assertEqual(status["streams"][0]["bins"]["decoded"], 300)
        daemon.send_signal(signal.SIGINT)
        self.assertEqual(daemon.wait(60), 0)

    def test_own_network(self):
        net = torch.nn.Module()
        net.gru, net.readout = torch.nn.GRU(96, 64), torch.nn.Linear(64, 2)
        torch.save(net.state_dict(), self.folder / "mine.pt")
        self.type(self.block("models/gru/export.py mine.pt"))
        (self.folder / "mine.conf").write_text("[stream arm]\nmodel = mine.safetensors\n")
        self.assertIn("on-gap = predict", self.type("build/release/bin/latentd --check mine.conf"))

    def test_models(self):
        """The first of models/README.md, with what its recording has to have."""
        block = next(b for b in blocks(SOURCE / "models" / "README.md") if "rec.h5:/hand_vel" in b)
        self.type(block.split("\n\n")[0])
        self.assertTrue((self.folder / "mine-kalman.safetensors").exists())

    def test_client_in_c(self):
        block = next(b for b in blocks(SOURCE / "proto" / "README.md") if "liblatent-client.a" in b)
        self.type(block)
        result = run(self.folder / "cursor")
        self.assertEqual(result.returncode, 2)
        self.assertIn("usage:", result.stderr)


if __name__ == "__main__":
    unittest.main()

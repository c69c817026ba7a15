#!/usr/bin/python3
"""A record that was damaged on its disk: verification and export say so, or take what is still
sound; they never crash or hang."""
import random
import shutil
import subprocess
import unittest

import daemon_rig as rig
import record_rig as records

N_COPIES = 30
SEED = 20260401


class DamageTest(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        rig.write_model(self.rig.folder / "model.safetensors")
        self.rig.configure({"arm": {"record": "arm.record"}})
        self.rig.start()
        consumer = self.rig.consumer("arm")
        traffic = records.Traffic(self.rig.source(), "arm", consumer.info, SEED)
        traffic.send(60)
        self.rig.wait_for("arm", "messages", "in", traffic.n_sent)
        self.rig.stop()
        self.record = self.rig.folder / "arm.record"
        self.copy = self.rig.folder / "copy"

    def run_both(self):
        """Exit codes of verification and export of the copy; both end by themselves."""
        out = self.rig.folder / "out.h5"
        codes = []
        for command in (["latent-replay", "--verify", self.copy],
                        ["latentctl", "export", self.copy, out]):
            done = subprocess.run([rig.BIN / command[0], *command[1:]], capture_output=True,
                                  text=True, errors="replace", timeout=rig.WAIT_S,
                                  check=False)
            self.assertIn(done.returncode, (0, 1), f"{command[0]}: {done.stderr}")
            says_why = f"{command[0]}: " in done.stderr  # beside it: what the record lacks
            self.assertEqual(done.returncode == 1 and "DIFFERENT" not in done.stdout,
                             says_why, done.stderr)
            codes.append(done.returncode)
        return codes

    def damage(self, change):
        content = bytearray(self.record.read_bytes())
        change(content)
        self.copy.write_bytes(content)
        return self.run_both()

    def test_sound(self):
        shutil.copy(self.record, self.copy)
        self.assertEqual(self.run_both(), [0, 0])

    def test_flipped_bits(self):
        chance = random.Random(SEED)
        noticed = 0
        for _ in range(N_COPIES):
            def flip(content):
                for _ in range(20):
                    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            noticed += self.damage(flip)[0]
        print(f"{noticed} of {N_COPIES} copies with 20 flipped bits were noticed", flush=True)
        self.assertGreater(noticed, N_COPIES // 2)

    def test_cut(self):
        n = self.record.stat().st_size
        for length in (0, 1, 99, 100, 4096, 5000, n // 2, n - 4096):
            def cut(content, length=length):
                del content[length:]
            self.assertEqual(self.damage(cut)[0], 1, length)

    def test_overwritten_pages(self):
        chance = random.Random(SEED)
        n_pages = self.record.stat().st_size // 4096
        for page in range(1, n_pages):
            def overwrite(content, page=page):
                content[page * 4096:page * 4096 + 4096] = chance.randbytes(4096)
            self.damage(overwrite)


if __name__ == "__main__":
    unittest.main(verbosity=2)

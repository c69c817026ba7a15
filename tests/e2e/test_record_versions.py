#!/usr/bin/python3
"""Records of earlier versions, and records that somebody made: the ones verify, the others are
refused, whatever stands in their snapshots. contract1/ holds a record as latentd wrote it when a
message was one entry and a snapshot the struct as it lay in memory (68 messages with gaps,
duplicates, restarts and garbage, SAFE by the operator, silence, a reset), and its model. contract2/
holds one of contract 2 from before anybody looked whether there is a signal: 12 bins, 65 without a
spike, 8 bins; and its model. contract2/numbers.record.xz is one of contract1's model from before
numbers that cannot be were refused: a jump to 2^63, epochs by turns, an epoch that comes back, a
number far behind, all of them believed at once or after three bins (5 restarts)."""
import hashlib
import lzma
import pathlib
import sqlite3
import struct
import subprocess
import unittest

import daemon_rig as rig
import record_rig as records

KEPT = pathlib.Path(__file__).parent / "contract1"
UNWATCHED = pathlib.Path(__file__).parent / "contract2"
OLD_HEAD, OLD_STATE, N_KEPT = 16, 1216, 7  # bytes, bytes, floats: 2 latents, 2 readouts, 3 channels
OLD_LINE = OLD_HEAD + OLD_STATE + 4 * N_KEPT
OLD_DECODER_HEAD = 48


def fnv(data):
    check = 14695981039346656037
    for byte in data:
        check = (check ^ byte) * 1099511628211 % 2**64
    return check


def mended(snapshot):
    """With the checks that a forger would compute."""
    line = bytes(snapshot[OLD_HEAD:OLD_LINE])
    decoder = snapshot[OLD_LINE:]
    state = decoder[OLD_DECODER_HEAD:]
    return (bytes(snapshot[:8]) + struct.pack("<Q", fnv(line)) + line + bytes(decoder[:16])
            + hashlib.sha256(bytes(state)).digest() + bytes(state))


class Contract1(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        self.path = self.rig.folder / "arm.record"
        self.path.write_bytes(lzma.decompress((KEPT / "arm.record.xz").read_bytes()))

    def verify(self):
        return records.verify(self.path, "--model", KEPT / "model.safetensors")

    def test_verifies(self):
        code, out, err = self.verify()
        self.assertEqual((code, err), (2, ""))
        self.assertIn("entries 109, frames compared 196, thinned 0", out)
        self.assertIn("identical, bit by bit", out)
        self.assertRegex(out, "follows contract 1: its readouts are not those of contract 2\n$")

    def test_opens(self):
        out = self.rig.folder / "out.h5"
        done = subprocess.run([rig.BIN / "latentctl", "export", self.path, out], check=False,
                              capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(out.exists())

    def forge(self, change):
        """The verification of the record with a snapshot that change(bytearray) has changed."""
        file = sqlite3.connect(self.path)
        (whole,), = file.execute("SELECT bytes FROM snapshots").fetchall()
        forged = bytearray(whole)
        change(forged)
        file.execute("UPDATE snapshots SET bytes = ?", (mended(forged),))
        file.commit()
        result = self.verify()
        file.execute("UPDATE snapshots SET bytes = ?", (whole,))
        file.commit()
        file.close()
        return result

    def refuse(self, change):
        code, _, err = self.forge(change)
        self.assertEqual(code, 1, err)
        self.assertIn("snapshot", err)

    def test_checks_are_mended(self):
        self.assertEqual(self.forge(lambda snapshot: None)[0], 2)

    def test_forged_fields(self):
        def set_u32(at, value):
            return lambda s: struct.pack_into("<I", s, OLD_HEAD + at, value)

        def set_byte(at, value):
            return lambda s: s.__setitem__(OLD_HEAD + at, value)

        self.refuse(set_u32(1188, 1 << 20))  # latents shown, of 2
        self.refuse(set_u32(1192, 1 << 20))  # rates shown, of none
        self.refuse(set_u32(1184, 1 << 31))  # flags shown
        self.refuse(set_u32(1124, 77))       # reason of SAFE
        self.refuse(set_byte(1120, 2))       # SAFE is on
        self.refuse(set_byte(68, 9))         # what happened to a bin
        self.refuse(set_byte(24, 2))         # a source has started
        self.refuse(set_u32(0, 4096))        # reorder window
        self.refuse(set_u32(OLD_STATE, 0x7fc00000))  # a latent that is not a number

    def test_forged_decoder(self):
        def change(s):
            struct.pack_into("<I", s, OLD_LINE + OLD_DECODER_HEAD, 2)  # "no bin yet"
        self.refuse(change)
        self.refuse(lambda s: struct.pack_into("<d", s, len(s) - 64, float("inf")))

    def test_every_byte(self):
        """Any value in any place is refused or replayed; nothing crashes."""
        for at in range(OLD_HEAD, OLD_LINE + OLD_DECODER_HEAD + 64, 13):
            code, _, err = self.forge(lambda s, at=at: s.__setitem__(at, s[at] ^ 0xff))
            self.assertIn(code, (1, 2), f"byte {at}: {err}")


class BeforeNoSignal(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        self.path = self.rig.folder / "arm.record"
        self.path.write_bytes(lzma.decompress((UNWATCHED / "arm.record.xz").read_bytes()))

    def verify(self):
        return records.verify(self.path, "--model", UNWATCHED / "model.safetensors")

    def test_verifies(self):
        code, out, err = self.verify()
        self.assertEqual((code, err), (0, ""))
        self.assertIn("identical, bit by bit", out)

    def test_its_silence_would_be_told_now(self):
        file = sqlite3.connect(self.path)
        (text,), = file.execute("SELECT value FROM meta WHERE key = 'config'").fetchall()
        file.execute("UPDATE meta SET value = ? WHERE key = 'config'",
                     (text + "on-silent = flag\n",))
        file.commit()
        file.close()
        code, out, _ = self.verify()
        self.assertNotEqual(code, 0)
        self.assertNotIn("identical", out)


class BeforeJumps(unittest.TestCase):
    """Its configuration has no max-jump-ms, its snapshots no memory of who sends."""

    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        self.path = self.rig.folder / "arm.record"
        kept = KEPT.parent / "contract2" / "numbers.record.xz"
        self.path.write_bytes(lzma.decompress(kept.read_bytes()))

    def test_verifies(self):
        code, out, err = records.verify(self.path, "--model", KEPT / "model.safetensors")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("entries 137, frames compared 60, thinned 0", out)
        self.assertRegex(out, "identical, bit by bit\nthe record is from before max-jump-ms: any "
                              "number and time was believed\n$")

    def test_differs_by_the_rule(self):
        """With the rule of today it would not be the same: the test can fail."""
        file = sqlite3.connect(self.path)
        (config,), = file.execute("SELECT value FROM meta WHERE key = 'config'").fetchall()
        config = config.replace("max-gap-ms = 500\n", "max-gap-ms = 500\nmax-jump-ms = 10000\n")
        file.execute("UPDATE meta SET value = ? WHERE key = 'config'", (config,))
        file.commit()
        file.close()
        code, out, _ = records.verify(self.path, "--model", KEPT / "model.safetensors")
        self.assertEqual(code, 1)
        self.assertIn("DIFFERENT", out)

    def test_opens(self):
        out = self.rig.folder / "out.h5"
        done = subprocess.run([rig.BIN / "latentctl", "export", self.path, out], check=False,
                              capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main(verbosity=2)

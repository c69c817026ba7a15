#!/usr/bin/python3
"""latentd.Decoder: what latent-decode writes, bit for bit, for every model that is shipped; its
calls one by one; and every mistake with a text."""
import ctypes
import os
import pathlib
import subprocess
import sys
import unittest
import unittest.mock

import h5py
import numpy as np

import latentd
from latentd import Decoder, Error, Flag, Mark, _library

from tool_case import BIN, MODELS, Case, random_counts

PACKAGE = pathlib.Path(latentd.__file__).parent
SHIPPED = sorted(MODELS.glob("*/*.safetensors"))
N_BINS = 60


def same(one, other):
    """Bit for bit, NaN and all."""
    return (one is None and other is None) or (
        one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes())


@unittest.skipUnless((PACKAGE / "liblatent.so").exists(), "no liblatent.so that Python can load")
class DecoderCase(Case):
    def decoder(self, path=MODELS / "gru" / "reach.safetensors", *arguments, **options):
        decoder = Decoder(path, *arguments, **options)
        self.addCleanup(decoder.close)
        return decoder

    def counts_for(self, info, seed, *shape):
        """What the model takes; trials no longer than it allows."""
        n_bins = min(shape[-1], info.trial_bins or shape[-1])
        counts = random_counts(seed, *shape[:-1], n_bins, info.n_channels).astype(np.float32)
        return counts if info.input == "counts" else counts / 4 - 0.5


class AsLatentDecode(DecoderCase):
    def written(self, path, counts, mode, precision, bin_ms):
        """Arrays of latent-decode's output."""
        self.n_files = getattr(self, "n_files", 0) + 1
        source, out = (self.folder / f"{self.n_files}-{end}.h5" for end in ("in", "out"))
        with h5py.File(source, "w") as f:
            f["counts"] = counts
            f["counts"].attrs["bin_width_ms"] = bin_ms
        self.run_ok(BIN / "latent-decode", "--model", path, "--in", f"{source}:/counts", "--mode",
                    mode, "--precision", precision, "--out", out)
        with h5py.File(out) as f:
            return {name: f[name][()] if name in f else None
                    for name in ("latents", "rates", "readout", "flags")}

    def test_every_model(self):
        """Every mode and every precision of every shipped file, continuous and in trials."""
        self.assertGreaterEqual(len({path.parent for path in SHIPPED}), 11)
        n = 0
        for path in SHIPPED:
            info = self.decoder(path).info
            for mode, precision in [(m, info.precisions[0]) for m in info.modes] + \
                                   [(info.modes[0], p) for p in info.precisions[1:]]:
                n += 1
                with self.subTest(file=path.name, mode=mode, precision=precision):
                    counts = self.counts_for(info, n, 3, N_BINS) if n % 2 \
                        else self.counts_for(info, n, N_BINS)
                    expected = self.written(path, counts, mode, precision, info.bin_width_us / 1e3)
                    found = self.decoder(path, mode, precision).decode(counts)
                    for name, array in expected.items():
                        self.assertTrue(same(getattr(found, name), array), name)
        self.assertGreater(n, len(SHIPPED))

    def test_workers(self):
        decoder = self.decoder()
        counts = self.counts_for(decoder.info, 1, 7, N_BINS)
        one = decoder.decode(counts, workers=1)
        for workers in (2, 16):
            many = decoder.decode(counts, workers=workers)
            self.assertTrue(all(same(getattr(one, n), getattr(many, n))
                                for n in ("latents", "rates", "readout", "flags")))
        for i, trial in enumerate(counts):
            self.assertTrue(same(decoder.decode(trial).readout, one.readout[i].copy()))

    def test_types(self):
        """Any layout and type that holds the same numbers."""
        decoder = self.decoder()
        counts = self.counts_for(decoder.info, 2, N_BINS)
        expected = decoder.decode(counts).readout
        for other in (counts.astype(np.uint8), counts.astype(np.int64), counts.astype(np.float64),
                      np.asfortranarray(counts), counts.tolist(),
                      np.repeat(counts, 2, axis=0)[::2]):
            self.assertTrue(same(decoder.decode(other).readout, expected))
        self.assertEqual(decoder.decode(counts[:0]).readout.shape, (0, decoder.info.n_readout))


class BinByBin(DecoderCase):
    def test_steps(self):
        """One by one as all at once; a snapshot goes on where it was taken, here and elsewhere."""
        decoder, other = self.decoder(), self.decoder()
        counts = self.counts_for(decoder.info, 3, N_BINS)
        expected = decoder.decode(counts)
        for i, row in enumerate(counts):
            if i == N_BINS // 2:
                state = decoder.save()
            step = decoder.step(row, Mark.TRIAL_START if i == 0 else 0)
            self.assertTrue(same(step.readout, expected.readout[i].copy()))
            self.assertTrue(same(step.latents, expected.latents[i].copy()))
            self.assertEqual(step.flags, Flag(int(expected.flags[i])))
        other.load(state)
        for i in range(N_BINS // 2, N_BINS):
            self.assertTrue(same(other.step(counts[i]).readout, expected.readout[i].copy()))
        decoder.reset()
        self.assertTrue(decoder.step(counts[0]).flags & Flag.RESET)

    def test_decode_leaves_the_state(self):
        decoder, other = self.decoder(), self.decoder()
        counts = self.counts_for(decoder.info, 4, N_BINS)
        for row in counts[:10]:
            decoder.step(row)
            other.step(row)
        decoder.decode(counts)
        self.assertTrue(same(decoder.step(counts[10]).readout, other.step(counts[10]).readout))

    def test_what_it_gave_is_kept(self):
        """Arrays are the caller's: the next step does not change them."""
        decoder = self.decoder()
        first, second = self.counts_for(decoder.info, 5, 2)
        one = decoder.step(first)
        before = one.latents.copy()
        decoder.step(second)
        np.testing.assert_array_equal(one.latents, before)

    def test_predict(self):
        decoder = self.decoder(MODELS / "kalman" / "reach.safetensors", predicts=True)
        decoder.step(self.counts_for(decoder.info, 6, 1)[0])
        self.assertTrue(decoder.predict().flags & Flag.PREDICTED)
        with self.assertRaisesRegex(Error, "not supported"):
            self.decoder(MODELS / "kalman" / "reach.safetensors").predict()

    def test_groups(self):
        decoder = self.decoder(groups=["readout"])
        result = decoder.decode(self.counts_for(decoder.info, 7, N_BINS))
        self.assertIsNone(result.latents)
        self.assertTrue(same(result.readout, self.decoder().decode(
            self.counts_for(decoder.info, 7, N_BINS)).readout))
        self.assertNotEqual(decoder.id, self.decoder().id)

    def test_info(self):
        path = MODELS / "gru" / "reach.safetensors"
        info = self.decoder(path).info
        self.assertEqual((info.arch, info.n_channels, info.input), ("gru", 96, "counts"))
        self.assertEqual([dim.name for dim in info.readout], ["vx", "vy"])
        self.assertEqual(info.path, str(path))
        self.assertIn("gru", repr(self.decoder(path)))


class Mistakes(DecoderCase):
    def test_values(self):
        decoder = self.decoder()
        counts = self.counts_for(decoder.info, 8, 2, N_BINS)
        state = decoder.save()
        for spoilt, kind, text in (
                (counts[..., :-1], ValueError, "96 channels"),
                (counts[0, 0], ValueError, "time, channels"),
                (counts[None], ValueError, "shape"),
                (counts.astype(complex), TypeError, "complex"),
                (np.where(counts == counts[1, 5, 7], np.nan, counts), Error, "trial [01], bin"),
                (counts - 1, Error, "no count"),
                (counts.astype(np.int64) + 2**24 + 1, ValueError, "16777216")):
            with self.assertRaisesRegex(kind, text):
                decoder.decode(spoilt)
        for state_of_others in (b"", b"x" * len(state), self.decoder(groups=["readout"]).save()):
            with self.assertRaisesRegex(Error, "snapshot") as raised:
                decoder.load(state_of_others)
            self.assertEqual(raised.exception.code, -11)
        self.assertEqual(decoder.save(), state)
        with self.assertRaises(ValueError):
            decoder.decode(counts, workers=0)

    def test_first_of_many(self):
        decoder = self.decoder()
        counts = self.counts_for(decoder.info, 9, 6, N_BINS)
        counts[2, 11, 3] = -1
        with self.assertRaisesRegex(Error, "trial 2, bin 11: "):
            decoder.decode(counts, workers=1)

    def test_files(self):
        with self.assertRaisesRegex(Error, "nothing.safetensors") as raised:
            Decoder(self.folder / "nothing.safetensors")
        self.assertEqual(raised.exception.code, -2)
        with self.assertRaisesRegex(Error, "mode"):
            Decoder(MODELS / "gru" / "reach.safetensors", mode="backwards")
        with self.assertRaisesRegex(ValueError, "spikes"):
            Decoder(MODELS / "gru" / "reach.safetensors", groups=["spikes"])

    def test_closed(self):
        with Decoder(MODELS / "gru" / "reach.safetensors") as decoder:
            counts = self.counts_for(decoder.info, 10, 1)
        decoder.close()
        for call in (lambda: decoder.step(counts[0]), decoder.reset, decoder.save,
                     lambda: decoder.decode(counts), lambda: decoder.id):
            with self.assertRaisesRegex(ValueError, "closed"):
                call()

    def test_other_library(self):
        """A library of another version, none, or something else is refused in one line."""
        for library, text in (("libm.so.6", "too old"), ("/nonexistent.so", "cannot be loaded")):
            code = "import latentd\ntry: latentd.Decoder('x')\nexcept ImportError as e: print(e)"
            said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                                  check=True, env={**os.environ, "LATENT_LIBRARY": library}).stdout
            self.assertIn(text, said)
            self.assertEqual(len(said.splitlines()), 1)
        core = _library.load()
        self.assertEqual(core.latent_struct_size(b"nothing"), 0)
        for struct in _library.STRUCTS:
            other = {**_library.STRUCTS, struct: ctypes.c_uint64 * 999}
            with unittest.mock.patch.object(_library, "STRUCTS", other), \
                    self.assertRaisesRegex(ImportError, f"struct {struct} has"):
                _library.check(core, "liblatent")


if __name__ == "__main__":
    unittest.main()

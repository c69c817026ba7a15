#!/usr/bin/python3
"""latent-decode --bins-only: the arrays for training, whole or absent."""
import unittest
import zipfile

import numpy as np

from tool_case import BIN, Case, limits_file_sizes, random_counts, run, small_files


def load(path):
    """{name: array} of an .npz, and nothing that needs unpickling."""
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


class Bins(Case):
    def bins(self, *arguments, name="bins"):
        out = self.folder / f"{name}.npz"
        self.run_ok(BIN / "latent-decode", "--bins-only", *arguments, "--out", out)
        return load(out)

    def test_continuous(self):
        """Longer than what is read at once."""
        counts = random_counts(1, 40000, 7)
        arrays = self.bins("--in", self.recording(counts))
        self.assertEqual(sorted(arrays),
                         ["bin_width_us", "channels", "counts", "input", "start_s", "use"])
        self.assertEqual((arrays["channels"].tolist(), str(arrays["input"])),
                         (list(range(7)), "counts"))
        self.assertEqual((arrays["counts"].dtype, arrays["use"].dtype), (np.float32, np.bool_))
        np.testing.assert_array_equal(arrays["counts"], counts)
        self.assertEqual((arrays["use"].shape, arrays["use"].all()), ((40000,), True))
        self.assertEqual((arrays["bin_width_us"].shape, int(arrays["bin_width_us"])), ((), 20000))

    def test_trials(self):
        counts = random_counts(2, 3, 25, 6)
        arrays = self.bins("--in", self.recording(counts, bin_ms=5.0))
        np.testing.assert_array_equal(arrays["counts"], counts)
        self.assertEqual((arrays["use"].shape, int(arrays["bin_width_us"])), ((3, 25), 5000))

    def test_archive(self):
        """A zip whose checksums hold, stored, the same bytes every time."""
        recording = self.recording(random_counts(3, 30, 4))
        self.bins("--in", recording, name="a")
        self.bins("--in", recording, name="b")
        paths = [self.folder / f"{name}.npz" for name in "ab"]
        self.assertEqual(*(path.read_bytes() for path in paths))
        with zipfile.ZipFile(paths[0]) as archive:
            self.assertIsNone(archive.testzip())
            self.assertEqual({m.compress_type for m in archive.infolist()}, {zipfile.ZIP_STORED})

    @limits_file_sizes
    def test_whole_or_absent(self):
        """A disk that fills up: nothing at the path, nothing beside it; an older file is kept."""
        recording = self.recording(random_counts(4, 2000, 60))
        out = self.folder / "out.npz"
        for before in (None, b"older"):
            if before:
                out.write_bytes(before)
            result = run(BIN / "latent-decode", "--bins-only", "--in", recording, "--out", out,
                         preexec_fn=small_files(100000))
            self.assertEqual(result.returncode, 1)
            self.assertIn("cannot write", result.stderr)
            self.assertEqual(out.read_bytes() if out.exists() else None, before)
            self.assertEqual([p.name for p in self.folder.iterdir() if "tmp" in p.name], [])

    def test_refusals(self):
        recording = self.recording(random_counts(5, 10, 2))
        self.all_refused("latent-decode", (), [
            ("is the file that the input reads",
             ("--bins-only", "--in", recording, "--out", recording.rpartition(":")[0])),
            ("expected a new name or a regular file",
             ("--bins-only", "--in", recording, "--out", self.folder)),
        ])


if __name__ == "__main__":
    unittest.main(verbosity=2)

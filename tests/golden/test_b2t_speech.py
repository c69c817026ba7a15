#!/usr/bin/python3
"""Brain-to-text on simulated speech: the shipped weights through latent-decode, greedy decoding and
its error, the trainer."""
import importlib.util
import unittest

import numpy as np

import golden
import stepping

from latent_models.b2t import phonemes, scoring
from latent_models.common import dataset
from latent_models.common.model_file import read_model


class Shipped(stepping.Stepping):
    """models/b2t/speech.safetensors, and how such a file comes about."""

    MOST = 0.07  # phoneme error

    def recording(self):
        recipe = golden.MODELS / "speech.json"
        return dataset.read_simulated(dataset.simulate(recipe, cache=self.kept))

    def test_phoneme_error(self):
        recording = self.recording()
        found = self.decode(golden.MODELS / "b2t" / "speech.safetensors", recording.part("test"))
        error = phonemes.error_rate(scoring.decoded(found["logits"]), scoring.true(recording))
        self.assertLess(error, self.MOST)
        late = phonemes.error_rate(scoring.decoded(np.roll(found["logits"], 7, -1)),
                                   scoring.true(recording))
        self.assertGreater(late, 0.8)  # another order of classes is no speech

    def test_words(self):
        """Repeats collapse before blanks are dropped; mistakes are counted as such."""
        eye = np.eye(len(phonemes.LABELS))
        for best, expected in (((0, 5, 5, 0, 5, 7, 7), [5, 5, 7]), ((), []), ((0, 0), [])):
            self.assertEqual(phonemes.greedy(eye[list(best)]), expected)
        self.assertEqual(phonemes.said(np.array([40, 40, 3, 3, 4, 40, 3, 40])), [3, 4, 40, 3, 40])
        for a, b, n in (([], [1, 2], 2), ([1, 2, 3], [1, 3], 1), ([1, 2], [2, 1], 2),
                        ([1, 2, 3], [1, 4, 3], 1), ([4], [4], 0)):
            self.assertEqual((phonemes.distance(a, b), phonemes.distance(b, a)), (n, n))

    @unittest.skipUnless(importlib.util.find_spec("torch"), "SKIP: no python3-torch")
    def test_trainer(self):
        """What it writes is exported as any other checkpoint, and its args.yaml with it."""
        out = self.folder / "small.pt"
        self.run_ok(golden.PYTHON, golden.MODELS / "b2t" / "train.py", "--out", out, "--steps", "2",
                    "--batch", "4", "--hidden", "6", "--layers", "1", "--threads", "1")
        path = self.export("b2t", out, "--args", out.with_suffix(".yaml"), "--normalise",
                           "window-trials,outlier=10")
        config = read_model(path).config
        self.assertEqual((config.get("input", "counts"), config["licence"], config["arch"]),
                         ("counts", "Apache-2.0", "stack"))
        self.decode(path, golden.random_counts(1, 2, 60, config["n_channels"]))


if __name__ == "__main__":
    golden.need_binaries("latent-decode", "latent-sim")
    golden.main()

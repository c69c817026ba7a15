#!/usr/bin/python3
"""Stacks damaged in every part of their files: refused with a reason, or decoded with finite
values; no crash, and bounded memory.

LATENT_DAMAGED_STACKS=1000000 tries more, LATENT_DAMAGED_SEED=N from another number on."""
import collections
import os
import struct
import subprocess

import numpy as np

import golden
import stack_making
import test_stack

N_DAMAGED = int(os.environ.get("LATENT_DAMAGED_STACKS", 4000))
FIRST = int(os.environ.get("LATENT_DAMAGED_SEED", 1))
N_FILES, FIRST_NETWORK = 24, 20261201
MOST_KIB = 512 * 1024


class Damaged(test_stack.Stack):
    def files(self):
        """Small networks that have every kind of layer between them."""
        seen, paths = collections.Counter(), []
        for seed in range(FIRST_NETWORK, FIRST_NETWORK + N_FILES):
            drawing = stack_making.Drawing(seed, seen)
            paths.append(self.model_of(drawing.content(), drawing.tensors, name=f"s{seed}"))
        self.assertEqual(test_stack.core_kinds() - set(seen), set())
        return paths

    def test_damaged(self):
        at, paths = self.folder / "at", self.files()
        command = [golden.BIN / "damaged_files", at, FIRST, N_DAMAGED, *paths]
        result = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        where = struct.unpack("=Q", at.read_bytes())[0] if at.exists() else "none"
        self.assertEqual(result.returncode, 0, f"damage {where}: {result.stderr[-3000:]}")
        n_opened, most_kib = map(int, result.stdout.split())
        print(f"{N_DAMAGED} damaged files from number {FIRST} on: {n_opened} opened, most memory "
              f"{most_kib // 1024} MiB")
        self.assertGreater(n_opened, N_DAMAGED // 100)
        self.assertLess(n_opened, N_DAMAGED // 2)
        if not os.environ.get("LATENT_SANITIZE"):
            self.assertLess(most_kib, MOST_KIB)

    def test_not_finite_inside(self):
        """A layer that overflows ends the decoder though the outputs do not show it; a file whose
        known answer does so is refused."""
        def model(factor):
            return self.model_of(test_stack.small({"kind": "dense"}, {"kind": "tanh"}),
                                 {"n0.weight": np.eye(4, dtype=np.float32) * np.float32(factor)})

        counts = np.random.default_rng(3).poisson(1, (40, 4))
        counts[20] = 2000
        self.steps(model(1e35), "causal", counts)
        counts[20] = 4000  # times 1e35: above float32's 3.4e38
        with self.assertRaisesRegex(AssertionError, "non-finite"):
            self.steps(model(1e35), "causal", counts)
        self.refused_by_core(model(3e38), lambda m: None, "known answer", "not finite")


if __name__ == "__main__":
    test_stack.family.main()

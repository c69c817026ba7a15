#!/usr/bin/python3
"""What a consumer may act on, by the Python client: the vectors of judge_vectors.json, whose
meaning README.md has. test_judge.c runs the same by the C client."""
import json
import pathlib
import unittest

import numpy as np

from latentd.frames import Flag, Frame, Info, Mark, ReadoutField
from latentd.judge import Judge

VECTORS = pathlib.Path(__file__).parent / "judge_vectors.json"
START_NS = 4000 * 10**9


def ns(milliseconds):
    return round(milliseconds * 1e6)


def info(decoder=1, readout=({},)):
    fields = [ReadoutField(r.get("name", "x"), r.get("unit", "mm"), float(r.get("neutral", 0)),
                           float(r.get("min", -100)), float(r.get("max", 100)),
                           float(r.get("slew", 1000)), r.get("hold", False)) for r in readout]
    return Info("arm", decoder, "gru", "causal", "f32", 3, 20000, 0, 0, 0, 0, "", 0, fields)


def frame(at_ns, *, clock=1, ahead=0, late=0, valid_for=60, decoder=1, flags=0, readout=(3,),
          drift=0):
    drifted = (at_ns - START_NS) // 10**6 * drift
    return Frame(0, 0, 0, 0, 0, at_ns + ns(ahead) - ns(late) + drifted, clock, 0, 0, ns(valid_for),
                 Flag(flags), decoder, 0, Mark(0), 0, np.zeros(0, np.float32),
                 np.zeros(0, np.float32), np.array([float(v) for v in readout], np.float32), at_ns)


class JudgeTest(unittest.TestCase):
    def check_want(self, readout, step):
        if step["want"] is None:
            self.assertIsNone(readout)
            return
        self.assertEqual(readout.stale, "why" in step, readout.reason)
        self.assertIn(step.get("why", ""), readout.reason)
        np.testing.assert_array_equal(readout.values, np.float32(step["want"]))

    def run_step(self, judge, step):
        at_ns = START_NS + ns(step["at"])
        if "info" in step:
            self.assertEqual(judge.on_info(info(**step["info"])), not step.get("refused"))
        for i in range(step.get("repeat", 1) if "frame" in step else 0):
            judge.on_frame(frame(at_ns + i * ns(step.get("every", 0)), **step["frame"]))
        if "want" in step:
            self.check_want(judge.readout(at_ns), step)

    def test_vectors(self):
        cases = json.loads(VECTORS.read_text())["cases"]
        self.assertGreater(len(cases), 20)
        for case in cases:
            judge = Judge(1)
            for number, step in enumerate(case["steps"]):
                with self.subTest(case=case["name"], step=number):
                    self.run_step(judge, step)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
"""The benchmark on tiny models: every row's path, agreement with the float64 answer; no times."""
import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import tempfile
import unittest
import unittest.mock

import numpy as np

import bench
import end_to_end
import memory
import offline
import pair
import random_models
import rows
import start
import sweeps
import tail
from workers import Absent, Worker, latentd_command, rtneural_command

BIN = pathlib.Path(os.environ["LATENT_BIN"])
SOURCE = pathlib.Path(__file__).resolve().parents[2]
LIBRARIES = sorted(SOURCE.glob("build/bench/npm/**/linux/x64/libonnxruntime.so.1"))


def tiny_rows():
    """The rows of the benchmark with small models."""
    sizes = {"n_channels": 10, "layers": 2, "trial": 6}
    return [
        rows.ndt_row("cached", "", mode="A", **sizes, step_bytes=rows.cached_bytes(4),
                     onnx=rows.CACHED_GRAPHS, torch="cached"),
        rows.ndt_row("window", "", mode="C", **sizes, step_bytes=None, onnx=rows.WINDOW_GRAPHS,
                     torch="window"),
        rows.ndt_row("banded", "", mode="C", **sizes, back=2, step_bytes=None,
                     onnx=rows.WINDOW_GRAPHS, torch="window"),
        rows.ndt_row("int8", "", mode="A", **sizes, step_bytes=rows.cached_bytes(1),
                     onnx=rows.CACHED_GRAPHS, torch="cached", precision="int8"),
        rows.gru_row("gru", "", 0.3, n_channels=10, hidden=8, n_bins=10, goal=1.5),
        *(dataclasses.replace(row, n_bins=12, counts=cut(row.counts, 12)) for row in rows.ROWS
          if row.no_peer == rows.NO_NETWORK),
        rows.sae_row("node", "", decoder="node", n_channels=6, window=8, latents=3, encoder=5,
                     hidden=7),
        rows.sae_row("gru_sae", "", decoder="gru", n_channels=6, window=8, latents=4, encoder=5),
        rows.lfads_row("lfads", "", n_channels=6, n_rates=7, window=8, encoder=5, controller=4,
                       inputs=2, generator_size=9, factors=3),
        rows.smc_row("smc", "", n_bins=6, n_channels=5, n_rates=7, n_latents=3, units=9,
                     particles=8, channels=(4, 3), kernels=(3, 2, 2)),
    ]


def cut(counts, n_bins):
    """The same input, shorter."""
    return lambda generator: counts(generator)[:n_bins]


def tiny_row(name):
    return next(row for row in tiny_rows() if row.name == name)


def options():
    library = str(LIBRARIES[0]) if LIBRARIES else None
    return argparse.Namespace(bin=BIN, ort=library, no_ort="not installed", plan="check",
                              rtneural=os.environ.get("LATENT_RTNEURAL"))


class BenchTest(unittest.TestCase):
    """What is timed is the right function, and what is reported is what was timed."""

    def test_rows(self):
        for row in tiny_rows():
            with self.subTest(row=row.name):
                result = bench.measure_row(row, options())
                json.dumps(result)
                self.assertEqual(result["hot"][0]["implementation"], "latentd")
                self.assertEqual(result["hot"][0]["ratio"], 1.0)
                n_onnx = len(row.onnx) if LIBRARIES else 0
                kinds = [entry["implementation"] for entry in result["hot"]]
                self.assertEqual(kinds.count("ONNX Runtime"), n_onnx, result["missing"])
                self.assertEqual(kinds.count("PyTorch"), 2 if row.torch else 0, result["missing"])
                n_rtneural = int(row.rtneural and bool(options().rtneural))
                self.assertEqual(kinds.count("RTNeural"), n_rtneural, result["missing"])
                cold = ["flushed", "flushed 0 ms"] if row.step_bytes else []
                self.assertEqual(sorted(result["others"]),
                                 sorted({"0 ms", "0 ms warm", "flushed", *cold}))
                self.assertEqual([entry["situation"] for entry in result["cold"]["situations"]]
                                 if cold else [], cold)
                self.assertEqual(result["limit"] is not None, row.step_bytes is not None)
                for entry in sum(result["others"].values(), result["hot"]):
                    self.assertEqual(entry["n_steps"] % row.n_bins, 0)
                    self.assertLessEqual(entry["p50_us"], entry["max_us"])
                self.assertLessEqual(max(result["difference"].values()),
                                     bench.AGREEMENT[row.precision])

    def test_latentd_answers_as_the_reference(self):
        for row in tiny_rows():
            with self.subTest(row=row.name), tempfile.TemporaryDirectory() as folder:
                model, path, counts_path = rows.prepare(row, folder)
                counts = np.fromfile(counts_path, np.float32).reshape(row.n_bins, -1)
                run = random_models.reference_run(model.config["arch"])
                answer = run(model.weights, model.config, counts.astype(np.float64), row.mode)
                has_rates = answer["lograte"] is not None
                wanted = np.exp(answer["lograte"]) if has_rates else answer["readout"]
                worker = Worker("latentd", "", latentd_command(BIN, row, path, counts_path), 0)
                worker.run(row.n_bins)
                error = 1e-4 if row.precision == "f32" else 0.05
                np.testing.assert_allclose(worker.values(), wanted[-1], rtol=error, atol=error)
                worker.close()

    def test_round_trips(self):
        """Every bin is answered by latentd and by the bare server, over each transport."""
        row = tiny_row("gru")
        for transport in end_to_end.TRANSPORTS:
            pairs = end_to_end.measure_path(row, transport, BIN, 2, (0, ))
            self.assertEqual([pairs[0][name]["n"] for name in ("latentd", "bare")],
                             [2 * row.n_bins] * 2)
        lines = end_to_end.measure_line(row, BIN, 2)
        self.assertEqual(lines["line"]["n"], 20 * row.n_bins)

    def test_tail(self):
        """The daemon is asked for its priority, and every bin is answered."""
        with tempfile.TemporaryDirectory() as folder:
            config = end_to_end.write_config(folder, "one", "model", ("ipc://in", "ipc://out"), 1)
            tail.raise_priority(config, 50)
            done = subprocess.run([BIN / "latentd", "--print-config", config], text=True,
                                  capture_output=True, check=True)
        self.assertRegex(done.stdout, r"realtime-priority = 50\n")
        if tail.may_raise():
            pairs = tail.measure_path(tiny_row("gru"), "ipc", BIN, 2, {0: 10})
            self.assertEqual([pairs[0][name]["n"] for name in tail.DAEMONS], [20] * 2)
            json.dumps(pairs)

    def test_pair(self):
        """Every message becomes a frame, in trials, too; two at twice the speed of one are 2."""
        if len(os.sched_getaffinity(0)) > 1:
            for row in map(tiny_row, ("gru", "cached")):
                result = pair.measure_row(row, BIN, 2, 20)
                self.assertGreater(result["messages"]["two_per_s"], 0)
                json.dumps(result)
        rounds = [[10, 20, 15], [30, 20, 30], [20, 50, 20]]
        self.assertEqual(pair.gain(rounds, np.median), 2.0)
        figures = pair.figures(np.array(rounds) * 1e9, 100)
        self.assertEqual((figures["one_per_s"], figures["two_per_s"]), (5.0, 10.0))

    def test_start(self):
        """latentd comes up with the files, and decodes what is sent."""
        row = tiny_row("gru")
        took = start.measure_start(start.m700(["A"]), BIN, 1)
        self.assertGreater(min(took.values()), 0)
        memory_mb = start.measure_resident(row, BIN, 2)
        json.dumps([took, memory_mb])
        self.assertEqual(memory_mb["n_bins"], 2 * start.TRIAL_BINS)
        self.assertGreaterEqual(memory_mb["peak_mb"], memory_mb["after_mb"])
        n_weights = 24 * (10 + 8 + 2) + 10 * (8 + 1)
        self.assertAlmostEqual(memory_mb["weights_mb"], 4 * n_weights / 2 ** 20)

    def test_growth(self):
        """Linear is an exponent of 1, and reading is told beside it."""
        np.testing.assert_allclose(sweeps.exponents([1, 2, 4], [1, 2, 8]), [1.0, 2.0])
        with unittest.mock.patch.object(sweeps.memory, "read_us", lambda _, n: n / 2):
            total = sweeps.growth([1, 2, 4, 8], [5, 5, 10, 20], [10, 20, 40, 80], BIN)
        self.assertAlmostEqual(total["exponent"], 1.0)
        self.assertEqual((total["from"], total["to"], total["per_channel"]), (4, 8, 1.0))
        self.assertEqual(total["reading_per_channel"], 1.0)

    def test_offline(self):
        """latent-decode and PyTorch give the same rates."""
        for row in map(tiny_row, ("cached", "gru")):
            paths = {row.name: ((), )}
            with unittest.mock.patch.dict(offline.PATHS, paths):
                result = offline.measure_row(row, BIN, True)
            self.assertLess(result["largest_relative_difference"], 1e-4)

    def test_plot(self):
        """A picture of what a run wrote, the same bytes each time."""
        us = {"implementation": "latentd", "typical_us": 2.0}
        report = {"machine": {"processor": "p", "vector sets": "v", "date": "d"},
                  "rows": [{"name": "r", "ratio_onnxruntime": 2.0, "limit": {"limit_us": 1.0},
                            "hot": [us, {"implementation": "ONNX Runtime", "typical_us": 4.0}]}],
                  "sweeps": {"channels": {"sizes": [96, 192], "us": {"gru": [1.0, 2.0]}}}}
        with tempfile.TemporaryDirectory() as folder:
            json_path = pathlib.Path(folder) / "run.json"
            json_path.write_text(json.dumps(report))
            pictures = []
            for name in ("one.svg", "two.svg"):
                subprocess.run(["/usr/bin/python3", SOURCE / "tests" / "bench" / "plot.py",
                                json_path, pathlib.Path(folder) / name], check=True)
                pictures.append((pathlib.Path(folder) / name).read_bytes())
        self.assertEqual(*pictures)
        self.assertIn(b"channels", pictures[0])

    def test_another_function_is_no_peer(self):
        class Stranger:
            kind, variant, closed = "ONNX Runtime", "wrong", False

            def close(self):
                self.closed = True
        stranger, missing = Stranger(), {}
        kept = bench.drop_strangers(tiny_rows()[0], [stranger], {stranger: 0.01}, missing)
        self.assertEqual(kept, [])
        self.assertTrue(stranger.closed)
        self.assertIn("another function", missing["ONNX Runtime wrong"])

    def test_absent_peer_says_why(self):
        with self.assertRaisesRegex(Absent, "nowhere.so"):
            Worker("ONNX Runtime", "", [BIN / "bench_ort", "--library", "nowhere.so"], 0)
        with self.assertRaisesRegex(Absent, "cannot be opened|No such file|no-model"):
            Worker("latentd", "", [BIN / "bench_step", "--model", "no-model"], 0)

    def test_rtneural_needs_its_headers(self):
        row = tiny_row("gru")
        with tempfile.TemporaryDirectory() as folder:
            model, _, counts_path = rows.prepare(row, folder)
            with self.assertRaisesRegex(Absent, "LATENT_RTNEURAL"):
                rtneural_command(None, row, model, counts_path, folder)
            with self.assertRaisesRegex(Absent, "headers of /nowhere: .*RTNeural|need g[+][+]"):
                rtneural_command("/nowhere", row, model, counts_path, folder)

    def test_verdict(self):
        results = [{"implementation": "a", "typical_us": us, "ratio": us / 2} for us in (3.0, 4.0)]
        self.assertEqual(bench.verdict(results, "a", 1.4), {"ratio": 1.5, "goal": 1.4, "met": True})
        self.assertFalse(bench.verdict(results, "a", 1.6)["met"])
        self.assertIsNone(bench.verdict(results, "a", None)["met"])
        absent = {"ratio": None, "goal": 2.0, "met": None}
        self.assertEqual(bench.verdict(results, "b", 2.0), absent)

    def test_figures(self):
        row = next(row for row in rows.ROWS if row.name == "wiener")
        row = dataclasses.replace(row, n_bins=2)
        ours = [np.array([1e3, 3e3, 2e3, 3e3]), np.array([4e3, 9e3])]  # medians 2 and 3 us
        theirs = [np.array([3e3, 3e3, 9e3, 3e3]), np.array([9e3, 12e3])]  # 9 and 3 us
        worker = argparse.Namespace(kind="a", variant="b", about="")
        result = bench.figures(row, worker, theirs, ours)
        self.assertEqual((result["typical_us"], result["ratio"]), (6.0, 2.4))
        self.assertEqual((result["least_us"], result["ratio_least"]), (3.0, 1.5))
        self.assertEqual((result["p50_us"], result["max_us"]), (6.0, 12.0))

    def test_memory(self):
        """Every number is read once, in both ways, and the table has a figure for each size."""
        for reader in memory.start(BIN, 5 * 384 + 1):
            reader.run(1, 0, True)
            self.assertEqual(reader.values()[0], 6 * 384 / 4)
            self.assertGreaterEqual(reader.flush(), 6 * 384)
            reader.close()
        with unittest.mock.patch.object(memory, "SIZES_MB", (0.125, 0.25)):
            table = memory.bandwidth(BIN, 3, 1)
        self.assertEqual([entry["bytes"] for entry in table], [2 ** 17, 2 ** 18])
        for entry in table:
            self.assertGreater(min(entry["gb_per_s"], entry["cold_gb_per_s"]), 0)

    def test_flush_reaches_the_weights(self):
        """What is evicted is at least the weights and the decoder's state."""
        row = next(row for row in rows.ROWS if row.name == "gru-dense")
        with tempfile.TemporaryDirectory() as folder:
            model, path, counts_path = rows.prepare(row, folder)
            worker = Worker("latentd", "", latentd_command(BIN, row, path, counts_path), 0)
            self.assertGreater(worker.flush(), rows.n_bytes(model.weights.values()))
            worker.close()

    def test_limits(self):
        def results(ours, *readers):
            times = [("latentd", ours)] + [("memory", reader) for reader in readers]
            return [{"implementation": kind, "typical_us": us, "p50_us": us} for kind, us in times]
        self.assertEqual(memory.limit(3e6, results(40.0, 50.0, 30.0)),
                         {"bytes": 3e6, "gb_per_s": 100.0, "limit_us": 30.0, "share": 0.75})
        others = {"flushed": results(120.0, 100.0, 200.0), "flushed 1 ms": results(130.0, 110.0)}
        cold = memory.cold(1e6, others, ["flushed", "flushed 1 ms"])
        self.assertEqual([(entry["times"], entry["met"]) for entry in cold["situations"]],
                         [(1.2, True), (1.3, False)])
        self.assertEqual((cold["gb_per_s"], cold["limit_us"]), (10.0, 100.0))


if __name__ == "__main__":
    unittest.main()

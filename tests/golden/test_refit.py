#!/usr/bin/python3
"""ReFIT: C against the float64 reference; what is refused; the shipped filter in a closed loop."""
import numpy as np

import family
import golden
from family import drop, hyper, put

from latent_models.refit import loop, reference, scoring

C = 40


def tensors(seed, n_dims=2, channels=C):
    g = np.random.default_rng(seed)
    mixing = g.normal(size=(channels, channels))
    return {"A": 0.9 * np.eye(n_dims) + 0.03 * g.normal(size=(n_dims, n_dims)),
            "Q": 50 * np.eye(n_dims),
            "C.velocity": 0.004 * g.normal(size=(channels, n_dims)),
            "C.position": 0.002 * g.normal(size=(channels, n_dims)),
            "R": mixing @ mixing.T / channels + 0.3 * np.eye(channels),
            "offset": g.uniform(0.2, 0.8, channels)}


class Refit(family.Family):
    arch, answer = "refit", staticmethod(reference.run)

    def test_every_size(self):
        for seed, (n_dims, edge) in enumerate(((2, 100), (1, 100), (3, 1), (2, 0.01))):
            path = self.make(tensors(seed, n_dims), f"--workspace=-{edge},{edge}")
            self.check_gaps(path, golden.random_counts(seed, 60, C),
                            f"{n_dims} dimensions, {edge} mm")
        self.check_replay(path, golden.random_counts(seed, 60, C))

    def test_the_cursor_stays_inside(self):
        path = self.make(tensors(1), "--workspace=-5,5")
        position = self.steps(path, "causal",
                              golden.random_counts(1, 300, C, mean=3))["readout"][:, :2]
        self.assertEqual(np.abs(position).max(), 5.0)

    def test_position_leaves_no_trace_in_the_velocity(self):
        """Counts that the known position explains give no velocity: what ReFIT's second idea is
        for."""
        w = {**tensors(2), "A": 0.9 * np.eye(2), "p0": np.array([40.0, -20.0])}
        path = self.make(w, "--workspace=-100,100")
        counts = (w["offset"] + w["C.position"] @ w["p0"])[None].repeat(20, 0)
        found = self.steps(path, "causal", counts.astype(np.float32))["readout"]
        self.close(found[:, 2:], np.zeros((20, 2)), 1e-3, "velocity")
        self.close(found[:, :2], np.tile(w["p0"], (20, 1)), 1e-3, "position")

    def test_exporter_refuses(self):
        self.refused("refit", self.checkpoint(tensors(1)), text=["--workspace"])
        self.refused("refit", self.checkpoint(tensors(1)), "--workspace=5,5", text=["LOW,HIGH"])
        outside = {**tensors(1), "p0": np.full(2, 7.0)}
        self.refused("refit", self.checkpoint(outside), "--workspace=-5,5", text=["p0"])
        silent = {**tensors(1), "R": np.zeros((C, C))}
        self.refused("refit", self.checkpoint(silent), "--workspace=-5,5", text=["R", "covariance"])
        kalman = golden.read_model(golden.MODELS / "kalman" / "reach.safetensors").weights
        for other in ({"A": np.eye(2)}, kalman, {**tensors(1), "C.velocity": np.ones(C)}):
            self.refused("refit", self.checkpoint(other), text=["C.velocity", "not a ReFIT"])
        for change, words in (({"extra": np.ones(3)}, ["extra", "no place"]),
                              ({"Q": np.eye(3)}, ["Q", "shape"]),
                              ({"C.position": np.full((C, 2), np.inf)}, ["C.position", "finite"]),
                              ({"A": np.array(0.9)}, ["A", "not a ReFIT"])):
            source = self.checkpoint({**tensors(1), **change})
            self.refused("refit", source, "--workspace=-5,5", text=words)

    def test_core_refuses(self):
        path = self.make(tensors(1), "--workspace=-5,5")
        self.refused_by_core(path, hyper(form="steady"), "form", "unknown key")
        self.refused_by_core(path, drop("C.position"), "C.position", "missing")
        self.refused_by_core(path, put("R", lambda a: -a), "R", "positive definite")
        self.refused_by_core(path, put("p0", lambda a: a + 9), "p0", "position.max")
        self.refused_by_core(path, put("A", lambda a: 0.5 * a), "known answer")


class Loop(family.Family):
    """latent-decode is fed whole recordings, so the loop runs over the float64 twin, and what the
    subject sent then goes through C."""

    arch = "refit"

    def test_closed_loop(self):
        path, model = self.check_shipped("loop")
        sessions = scoring.contest(loop.read_recipe(), model.weights, n_trials=80)
        refit = sessions.pop("refit")
        arm, again, _ = (session["seconds"].mean() for session in sessions.values())
        self.assertGreaterEqual(refit["success"].mean(), 0.95)
        self.assertLess(refit["seconds"].mean(), 0.75 * arm)
        self.assertLess(refit["seconds"].mean(), 0.9 * again)
        for trial in range(3):
            bins = refit["trial"] == trial
            found = self.steps(path, "causal", refit["counts"][bins].astype(np.float32))["readout"]
            self.close(found[:, 2:], refit["velocity"][bins], 1e-3, "velocity, mm/s")
            self.close(found[:-1, :2], refit["before"][bins][1:], 1e-3, "position, mm")

    def test_training_is_reproducible(self):
        """The shipped tensors are what the recipe gives."""
        _, model = self.check_shipped("loop")
        _, _, session = scoring.sessions(loop.read_recipe())
        for name, array in scoring.fit_refit(session, loop.read_recipe()).items():
            self.close(model.weights[name], array, 1e-6 * max(1, np.abs(array).max()), name)

    def test_intention(self):
        """Turned towards the target at the decoded speed; zero on the target."""
        session = {"target": np.array([[3.0, 4], [3, 4]]), "before": np.zeros((2, 2)),
                   "velocity": np.array([[-10.0, 0], [5, 5]]), "on": np.array([False, True])}
        self.close(scoring.intention(session), [[6, 8], [0, 0]], 1e-12, "intention")


if __name__ == "__main__":
    family.main()

#!/usr/bin/python3
"""No exporter or trainer ends with a traceback: sound checkpoints, recordings and command lines are
damaged in every way that mutations.py knows; each run ends well, or with one line that does not say
"unforeseen" and exit code 2.

A few hundred in a moment; LATENT_MUTATIONS=10000 for more, LATENT_SEED for others. Each runs in a
child of this process, which has loaded everything: a crash or an endless run is seen as such."""
import importlib
import io
import json
import os
import select
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

import h5py
import numpy as np
import torch

import golden
import mutations
import test_refused
from lfads_making import Making

from latent_models.common import dataset, safetensors
from latent_models.common.model_file import read_model
from latent_models.common.reference_command import run_trials
from latent_models.common.refusal import Refusal, run_command
from latent_models.kalman import reference as kalman

N_MUTATIONS = int(os.environ.get("LATENT_MUTATIONS", 200))
SEED = int(os.environ.get("LATENT_SEED", 1))
LIMIT_S = 300  # ends a run that hangs
HYPER = {
    "ndt": {"heads": 2, "pre_norm": True, "context_forward": 0, "context_backward": 0,
            "max_count": 4, "lograte": True, "trial_bins": 9, "position_offset": True},
    "gru": {}, "kalman": {"form": "steady"}, "wiener": {"lags": 3},
    "lfads": {"window_bins": 9, "trial_bins": 9, "prefix_bins": 0, "ci_lag": 1, "cell_clip": 5.0},
    "sae": {"window_bins": 8, "solver": "rk4", "step": 0.1, "substeps": 1, "first_output": "z0",
            "activation": "relu", "dt": 0.1},
    "dlds": {"observation": "counts", "lambda": 1.0, "gamma": 0.1, "kappa": 1.0},
    "smc": {"activation": "clipped_relu", "rate": "exp"}, "stack": {}, "b2t": {},
    "marble": {"rho": 0.5, "stages": 1, "warmup_bins": 2, "k": 6, "diffusion_time": 1.0,
               "frame": "axes"}}
FACTS = {"bin_width_us": 10000, "licence": "Apache-2.0", "source": "a test"}


def run_child(main, arguments, folder):
    """main() with these arguments in a child -> (exit code or minus the signal, standard error)."""
    ear, mouth = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ear)
        os.chdir(folder)
        sys.argv = list(arguments)
        code, said = 70, io.StringIO()
        signal.alarm(LIMIT_S)
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(said):
                run_command(main)
        except SystemExit as end:
            code = end.code or 0
        except BaseException as error:  # what run_command let through is the finding
            said.write(f"unforeseen {error!r}")
        finally:
            os.write(mouth, said.getvalue().encode(errors="replace")[:60000])
            os._exit(code)
    os.close(mouth)
    heard = b""
    while select.select([ear], [], [], LIMIT_S + 10)[0] and (part := os.read(ear, 65536)):
        heard += part
    os.close(ear)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), heard.decode(errors="replace")


class Judge(Making):
    """Judges the end of a run."""

    def judge(self, main, arguments, what):
        """-> True where the run was refused."""
        code, text = run_child(main, arguments, self.folder)
        with self.subTest(what, arguments=arguments):
            self.assertIn(code, (0, 2), text)
            self.assertNotIn("unforeseen", text)
            self.assertNotIn("Traceback", text)
            self.assertNotIn("ended with", text)  # latent-decode by a signal
            if code == 2:
                self.assertEqual(text.count("\n"), 1, text)
                self.assertTrue(text[:-1].isprintable(), repr(text))
                self.assertGreater(len(text), 20)
        return code == 2


class Absurd(Judge):
    """Checkpoints and the exporters' command lines."""

    def write_checkpoint(self, path, tensors, facts, kind):
        """What exporters read, in one of its three forms."""
        if kind == "safetensors":
            safetensors.write(path, tensors, {"latent": json.dumps(facts)} if facts else {})
        elif kind == "torch":
            state = {k: torch.tensor(np.asarray(v)) for k, v in tensors.items()}
            torch.save({"state_dict": state, **({"latent": json.dumps(facts)} if facts else {})},
                       path)
        else:
            with h5py.File(path, "w") as f:
                for name, array in tensors.items():
                    f[f"weights/{name or 'empty'}"] = array
                f.attrs["architecture"] = json.dumps({})
                f.attrs["bin_width_ms"] = 10.0

    def mutated(self, g, path, arch, tensors, options):
        """One damaged checkpoint at path -> the options to read it with."""
        kind = mutations.pick(g, ("safetensors", "safetensors", "torch", "hdf5"))
        how = mutations.pick(g, ("tensors", "notes", "options", "bytes", "header", "config"))
        facts = {**FACTS, "hyper": HYPER[arch]} if how == "notes" or g.random() < 0.3 else None
        if how == "tensors":
            tensors = mutations.absurd_tensors(g, tensors)
        if how == "notes":
            facts = mutations.absurd_value(g, facts)
            options = [] if g.random() < 0.7 else options
            kind = "safetensors" if kind == "hdf5" else kind
        if how == "options":
            options = mutations.absurd_options(g, options)
        if how == "config":
            state = {k: torch.tensor(np.asarray(v)) for k, v in tensors.items()}
            key = mutations.pick(g, ("config", "latent", "bin_ms", "hyper_parameters", "params",
                                     "max_spikes", "trial_length", "licence"))
            torch.save({"state_dict": state, key: mutations.pick(g, mutations.ABSURD)}, path)
            return options
        try:
            self.write_checkpoint(path, tensors, facts, kind)
        except (TypeError, ValueError, KeyError, OSError):  # no such file can be written
            self.write_checkpoint(path, {"odd": np.zeros(1)}, facts, "safetensors")
        data = path.read_bytes()
        if how == "bytes":
            path.write_bytes(mutations.damaged_bytes(g, data))
        if how == "header" and kind == "safetensors":
            path.write_bytes(mutations.damaged_header(g, data))
        return options

    def test_exporters(self):
        g, n_refused = np.random.default_rng(SEED), 0
        names = sorted(test_refused.SOUND)
        sound = {name: (arch, *make(self)) for name, (arch, make) in test_refused.SOUND.items()}
        n = N_MUTATIONS * 3 // 4
        for i in range(n):
            arch, tensors, options = sound[names[i % len(names)]]
            source = self.folder / "checkpoint"
            options = self.mutated(g, source, arch, tensors, options)
            main = importlib.import_module(f"latent_models.{arch}.export").main
            n_refused += self.judge(main, ["export.py", str(source), "out.safetensors",
                                           *map(str, options)], f"{arch}, mutation {i}")
        self.assertGreater(n_refused, n // 3, "the mutations are too mild")


    def test_the_judge_can_fail(self):
        """What nobody foresaw is told from a refusal, and so are a crash and an endless run."""
        code, text = run_child(lambda: {}["absent"], ["export.py"], self.folder)
        self.assertEqual((code, "unforeseen KeyError" in text), (2, True))
        code, _ = run_child(os.abort, ["export.py"], self.folder)
        self.assertEqual(code, -signal.SIGABRT)


def write_recording(path):
    """Counts that a velocity drives, as bins and as ticks."""
    g = np.random.default_rng(3)
    velocity = np.stack([np.sin(np.arange(400) / 9), np.cos(np.arange(400) / 7)], -1)
    counts = g.poisson(np.exp(velocity @ g.normal(size=(2, 4)))).astype(np.uint8)
    bins, units = np.repeat(np.argwhere(counts), counts[counts > 0], axis=0).T
    with h5py.File(path, "w") as f:
        f["counts"], f["velocity"], f["use"] = counts, velocity, np.ones(400, np.uint8)
        f["tick"], f["unit"] = bins * 300 + 7, units
        f["times"], f["good"] = (np.arange(400) + 1) * 300, np.ones(4, np.uint8)
        f.attrs["clock_hz"] = 30000.0
        for part, first in (("train", 0), ("valid", 20), ("test", 30)):
            f[f"split/{part}"] = np.arange(first, first + 10)
        f["trials"] = counts.reshape(40, 10, 4)


BINNED = ("--in", "recording.h5:/counts", "--bin-ms", 10)
BEHAVIOUR = ("--behaviour", "recording.h5:/velocity", "--use", "recording.h5:/use", "--names",
             "vx,vy", "--unit", "mm/s")
TICKS = ("--in", "recording.h5:/tick", "--ticks", "--units", "/unit", "--good", "/good", "--bin-ms",
         10, "--behaviour", "recording.h5:/velocity", "--behaviour-times", "/times")
TRIALS = ("--in", "recording.h5:/trials", "--bin-ms", 10, "--split", "/split")
QUICK = ("--steps", 2, "--batch", 4, "--threads", 1)
TRAININGS = (
    ("kalman", (*BINNED, *BEHAVIOUR, "--order", 1, "--ridge", 0.02)), ("kalman", TICKS),
    ("wiener", (*BINNED, *BEHAVIOUR, "--lags", 3)), ("wiener", (*TICKS, "--blocks", 10)),
    ("gru", (*BINNED, *BEHAVIOUR, *QUICK, "--hidden", 4, "--window", 20, "--force")),
    ("dlds", (*BINNED, "--states", 2, "--operators", 2, "--turns", 1)),
    ("ndt", (*TRIALS, *QUICK, "--trial-bins", 10, "--width", 8, "--layers", 1, "--hidden", 8)),
    ("lfads", (*TRIALS, *QUICK, "--trial-bins", 10, "--encoder", 4, "--controller", 4,
               "--generator", 6, "--factors", 3, "--initial", 4)),
    ("sae", (*TRIALS, *QUICK, "--trial-bins", 10, "--hidden", 6, "--encoder-size", 4)),
    ("smc", (*BINNED, *QUICK, "--hidden", 6, "--channels", 4, 4, "--window", 20,
             "--train-particles", 4)))


class AbsurdTraining(Judge):
    """The same of recordings and the trainers' command lines."""

    def spoil(self, g):
        """The recording with one dataset or attribute absurd, or its bytes damaged."""
        path = self.folder / "recording.h5"
        write_recording(path)
        how = int(g.integers(4))
        if how == 0:
            path.write_bytes(mutations.damaged_bytes(g, path.read_bytes()))
            return
        with h5py.File(path, "a") as f:
            name = mutations.pick(g, sorted(name for name in f if name != "split"))
            value = mutations.pick(g, ("x", np.nan, 0.0, -1, 1e300, 10.0, 30000, b"ms", [1, 2]))
            if how == 1:
                key = mutations.pick(g, ("clock_hz", "bin_width_ms", "bin_width_us", "unit",
                                         "MATLAB_class", "MATLAB_empty", "names", "units"))
                mutations.pick(g, (f, f[name])).attrs[key] = value
                return
            array = mutations.absurd_tensor(g, f[name][()])
            if how == 3 and array.size and array.dtype.kind in "iuf":
                array = array.astype(np.float64)
                array.flat[int(g.integers(array.size))] = mutations.pick(
                    g, (np.nan, -1, 0.5, 1e9, np.inf))
            del f[name]
            f[name] = array

    def test_trainers(self):
        g, n_refused = np.random.default_rng(SEED + 1), 0
        n = N_MUTATIONS // 4
        for i in range(n):
            arch, options = TRAININGS[i % len(TRAININGS)]
            write_recording(self.folder / "recording.h5")
            if g.random() < 0.5:
                self.spoil(g)
            else:
                options = mutations.absurd_options(g, options)
            main = importlib.import_module(f"latent_models.{arch}.train").main
            n_refused += self.judge(main, ["train.py", *map(str, options), "--out", "fit.out"],
                                    f"{arch}, mutation {i}")
        self.assertGreater(n_refused, n // 4, "the mutations are too mild")

    def test_trainer_and_tools_agree(self):
        """Fifty files, sound and spoilt: what a trainer reads and what latent-decode decodes are
        the same bins, or both refuse in the same words."""
        tensors, _ = test_refused.kalman(self)
        source, model = self.folder / "kalman.safetensors", self.folder / "model.safetensors"
        safetensors.write(source, tensors, {})
        self.run_ok(golden.PYTHON, golden.MODELS / "kalman" / "export.py", source, model,
                    "--bin-width", 10, "--form", "steady")
        config, n_taken = read_model(model), 0
        g, path = np.random.default_rng(SEED + 2), self.folder / "recording.h5"
        for i in range(50):
            self.spoil(g)
            words = ["--in", f"{path}:/{mutations.pick(g, ('counts', 'trials'))}"] \
                if i % 2 else ["--ticks", f"{path}:/tick", "--units", "/unit"]
            words += ["--bin-ms", "10"]
            out = self.folder / "decoded.h5"
            out.unlink(missing_ok=True)
            done = subprocess.run([golden.BIN / "latent-decode", "--model", model, *words, "--out",
                                   out], capture_output=True, text=True, errors="replace")
            with self.subTest(file=i, words=words):
                try:
                    with redirect_stdout(io.StringIO()):
                        counts = dataset.read_bins(words)["counts"]
                except Refusal as refusal:
                    self.assertEqual(done.returncode, 1)
                    self.assertEqual(str(refusal), done.stderr.strip().removeprefix(
                        "latent-decode: "))
                    continue
                if counts.shape[-1] != config.config["n_channels"]:
                    self.assertIn("channels", done.stderr)
                    continue
                self.assertEqual(done.returncode, 0, done.stderr)
                expected = run_trials(kalman.run, config, counts.astype(float), "causal")["latents"]
                with h5py.File(out) as f:
                    self.close(f["latents"][()].reshape(expected.shape), expected,
                               1e-5 * max(1, np.abs(expected).max()), "latents")
                n_taken += 1
        self.assertGreater(n_taken, 5)

    def test_sound_ones_are_trained(self):
        """As they stand, the command lines that are mutated work."""
        write_recording(self.folder / "recording.h5")
        for arch, options in TRAININGS:
            main = importlib.import_module(f"latent_models.{arch}.train").main
            arguments = ["train.py", *map(str, options), "--out", "fit.out"]
            self.assertFalse(self.judge(main, arguments, arch), arch)


if __name__ == "__main__":
    golden.main()

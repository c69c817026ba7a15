#!/usr/bin/python3
"""Behaviour decoded by every kind of model here, streaming and offline, in one table per data set.

  models/compare.py                     both sets; several minutes a model the first time
  models/compare.py --set reach --model ndt,wiener --write

Sets:
  reach        velocity, models/reach.json (simulated), trained on its training trials
  hippocampus  position of a running rat, hippocampus_wmaze.h5 of the checking data (--shared): bins
               of 100 ms, running only, every fifth of 50 blocks held out
Each entry of COMPARED in models/NAME/scoring.py is trained by models/NAME/train.py, exported, given
a readout stage by models/readout/fit.py where it has no readout of its own, and scored on what
latent-decode publishes of the held-out bins. Files are kept under build/compare/, so a second run
only scores. Nothing trained here is shipped: the trainings are short and alike, not tuned. --write
puts the tables into README.md.
"""
import dataclasses
import hashlib
import os
import subprocess
from pathlib import Path

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common import dataset, programs, registry, stream
from latent_models.common.metrics import r2_per_column
from latent_models.common.refusal import Parser, Refusal, run_command, words_of
from latent_models.evaluate import write_tables

MODELS = registry.MODELS
KEPT = programs.ROOT / "build" / "compare"
PYTHON = "/usr/bin/python3"


@dataclasses.dataclass
class Set:
    """A recording, by the options of the trainers. trial_bins: length that windowed models see.
    skip_bins: of each trial, not scored, since some model is still warming up."""

    counts: list
    behaviour: list
    trial_bins: int
    skip_bins: int

    def recording(self):
        parser = Parser()
        dataset.add_recording_options(parser)
        return dataset.read_recording(parser.parse_args(self.counts + self.behaviour))


def reach_set(_args):
    """Test trials come last in the file, so the trainers hold out just these."""
    path = dataset.simulate(MODELS / "reach.json")
    return Set(["--in", f"{path}:/counts", "--bin-ms", "10"],
               ["--behaviour", f"{path}:/readout", "--names", "vx,vy", "--unit", "mm/s"], 60, 60)


def hippocampus_set(args):
    path = Path(args.shared) / "data" / "hippocampus_wmaze.h5"
    if not path.exists():
        raise Refusal(f"{path} is absent: name the folder of the checking data with --shared")
    return Set(["--in", f"{path}:/binned/spikes", "--bin-ms", "100", "--blocks", "50"],
               ["--behaviour", f"{path}:/binned/position", "--names", "x,y", "--unit", "px",
                "--use", f"{path}:/binned/running"], 50, 0)


SETS = {"reach": reach_set, "hippocampus": hippocampus_set}


# Making the files

def run_quietly(command, log):
    """Run a step of the pipeline; what it prints goes to its log, and to the refusal."""
    words = [PYTHON, *map(str, command)]
    result = subprocess.run(words, capture_output=True, text=True)
    log.write_text(" ".join(words) + "\n" + result.stdout + result.stderr)
    if result.returncode != 0:
        raise Refusal(f"{' '.join(words)}\n{result.stderr}see {log}")


def step(text, command, out):
    """A file made by a command, unless the same command made it before."""
    if not out.exists():
        print(f"  {text} ...", flush=True)
        part = out.with_suffix(".part")
        run_quietly([part if word == "OUT" else word for word in command],
                    out.with_suffix(".log"))
        part.rename(out)
    return out


def kept_path(entry, data, what, *more):
    """Where a file is kept: one name per command and recording."""
    text = repr((entry.arch, entry.train, data.counts, data.behaviour, what, more))
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return KEPT / f"{entry.arch}-{digest}.{what}"


def model_file(entry, data):
    """The entry's model file with a readout."""
    learns = data.behaviour if entry.readout == "own" else []
    cut = ("--trial-bins", data.trial_bins) if entry.windowed else ()
    folder = MODELS / entry.arch
    checkpoint = step(f"training {entry.label}", [folder / "train.py", *data.counts, *learns, *cut,
                                                  *entry.train, "--force", "--out", "OUT"],
                      kept_path(entry, data, "checkpoint", entry.readout))
    plain = step(f"exporting {entry.label}", [folder / "export.py", checkpoint, "OUT",
                                              *entry.export],
                 kept_path(entry, data, "plain", entry.readout, entry.export))
    if entry.readout == "own":
        return plain
    cut = ("--trial-bins", data.trial_bins, "--lags", "1") if entry.offline else ()
    return step(f"fitting behaviour to {entry.label}",
                [MODELS / "readout" / "fit.py", plain, *data.counts, *data.behaviour, "--mode",
                 entry.mode, *cut, "--force", "--out", "OUT"],
                kept_path(entry, data, "staged", entry.export, entry.mode, cut))


# Scoring

def decode(entry, data, recording, path):
    """The readout of the held-out trials or blocks [K', T, O]; a stream is decoded as a whole."""
    counts = recording.counts
    if not recording.continuous:
        counts = counts[recording.split["test"]]
    readout = np.full((*counts.shape[:2], recording.behaviour.shape[-1]), np.nan)
    n_bins = counts.shape[1]
    if entry.offline:  # trial after trial; what does not fill one is not decoded
        n_bins -= n_bins % data.trial_bins
        rows = counts[:, :n_bins].reshape(-1, data.trial_bins, counts.shape[-1])
    else:  # the pieces of a continuous recording are one stream
        rows = counts.reshape(1, -1, counts.shape[-1]) if recording.continuous else counts
    found = stream.decode_stream(path, rows, entry.mode, recording.bin_ms)["readout"]
    readout[:, :n_bins] = found.reshape(len(counts), n_bins, -1)
    return readout[recording.split["test"]] if recording.continuous else readout


def score(entry, data, recording, path):
    """R2 per behaviour on the held-out bins."""
    test = recording.split["test"]
    readout = decode(entry, data, recording, path)
    use = recording.used(test) & np.isfinite(readout).all(-1)
    use[:, :data.skip_bins] = False
    return r2_per_column(recording.behaviour[test][use], readout[use])


def entries(names):
    """What is compared of these architectures, or of all (None)."""
    return [entry for arch in registry.architectures() if names is None or arch in names
            for entry in getattr(registry.part(arch, "scoring"), "COMPARED", ())]


def table(args, name):
    """Rows of one set."""
    data = SETS[name](args)
    recording = data.recording()
    names = recording.names
    rows = [f"| model | readout | mode | R2, mean | {' | '.join(names)} |",
            "|---|---|---|" + "---|" * (len(names) + 1)]
    for entry in entries(args.model):
        path = model_file(entry, data)
        r2 = score(entry, data, recording, path)
        mode = f"offline: {entry.mode}" if entry.offline else entry.mode
        rows.append(f"| {entry.label} | {entry.readout} | {mode} | {r2.mean():.3f} | "
                    + " | ".join(f"{value:.3f}" for value in r2) + " |")
        print("  " + rows[-1], flush=True)
    return rows


def main():
    parser = Parser(__doc__)
    parser.add_argument("--set", choices=tuple(SETS), help="only this one")
    parser.add_argument("--model", type=words_of(*registry.architectures()), metavar="NAME,NAME",
                        help="only these architectures")
    parser.add_argument("--shared", default=os.environ.get("LATENT_SHARED",
                                                           programs.ROOT.parent / "shared"),
                        help="folder of the checking data (default: $LATENT_SHARED, or ../shared "
                             "beside the tree)")
    parser.add_argument("--write", action="store_true", help="into README.md")
    args = parser.parse_args()
    if args.write and args.model:
        raise Refusal("--write needs whole tables: without --model")
    KEPT.mkdir(parents=True, exist_ok=True)
    tables = {}
    for name in [args.set] if args.set else SETS:
        print(f"{name}:", flush=True)
        tables[f"compare-{name}"] = table(args, name)
    for name, rows in tables.items():
        print(f"\n{name}\n" + "\n".join(rows))
    if args.write:
        write_tables(tables)


if __name__ == "__main__":
    run_command(main)

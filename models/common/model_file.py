"""The model file: tensors, one JSON string of configuration, and known answers.

An exporter builds a Model, run_selftest() fills in the answers of the float64 reference,
write_model() writes it, rounded to float32 where the file stores float32 - and the answers are
those of the rounded weights.
"""
import dataclasses
import hashlib
import json
import sys
from pathlib import Path

import numpy as np

from latent_models.common import precision, safetensors, stage
from latent_models.common.refusal import Refusal

FORMAT = 1
GROUPS = ("latents", "lograte", "readout")
UNTOLD_OPTIONS = ("--out", "--threads", "--report-every", "--stop-at")
UNTOLD_SWITCHES = ("--resume",)
TRIAL_MODES = ("A", "B", "B-lag", "trial")  # known answers end with the trial
CONFIG_KEYS = {"format", "arch", "n_channels", "bin_width_us", "modes", "precisions", "hyper",
               "outputs", "licence", "source", "checkpoint_sha256"}


@dataclasses.dataclass
class Model:
    """config: latent.config as a dict; weights: name -> array; selftest: name -> array."""

    config: dict
    weights: dict
    selftest: dict = dataclasses.field(default_factory=dict)

    @property
    def hyper(self):
        return self.config["hyper"]


def readout_entry(name, unit, neutral=0.0, low=None, high=None, *, slew=None):
    """One dimension of outputs.readout; None = no limit."""
    return {"name": name, "unit": unit, "neutral": neutral, "min": low, "max": high, "slew": slew}


def build_config(arch, n_channels, bin_width_us, modes, hyper, *, outputs, licence, source,
                 checkpoint_sha256, channels=None):
    """latent.config with every required key. outputs: (n_latents, n_rates, [readout_entry])."""
    config = {"format": FORMAT, "arch": arch, "n_channels": int(n_channels),
              "bin_width_us": int(bin_width_us), "modes": list(modes), "precisions": ["f32"],
              "hyper": hyper, "licence": licence, "source": source,
              "outputs": dict(zip(("latents", "rates", "readout"), outputs)),
              "checkpoint_sha256": checkpoint_sha256}
    if channels is not None:
        config["channels"] = channels
    return config


def channel_table(mean, variance, names=None):
    """The optional channels entry. mean and variance [C] in counts per bin of the training data."""
    names = names if names is not None else [f"ch{i}" for i in range(len(mean))]
    return {"names": list(names), "mean": [float(m) for m in mean],
            "variance": [float(v) for v in variance]}


def command_line():
    """The command that is running, for outputs.source: options that change numbers, and names of
    files without their folders."""
    words, rest = [], iter(sys.argv[1:])
    for word in rest:
        if word in UNTOLD_OPTIONS:
            next(rest)
        elif word not in UNTOLD_SWITCHES:
            words.append(word if word.startswith("-") else word.rsplit("/", 1)[-1])
    program = "/".join(["models", *Path(sys.argv[0]).resolve().parts[-2:]])
    return " ".join([program, *words])


def readout_limits(recording, behaviour, margin=1.5):
    """outputs.readout of a fitted model: limits are the training range [rows, O] times margin, as
    round numbers; a velocity's neutral value is 0, that of any other behaviour its training
    mean."""
    entries, flat = [], behaviour
    for i, (name, unit) in enumerate(zip(recording.names, recording.units)):
        low, high, mean = flat[:, i].min(), flat[:, i].max(), flat[:, i].mean()
        signed = low < 0 < high
        centre = 0.0 if signed else mean
        bounds = [float(f"{centre + margin * (edge - centre):.3g}") for edge in (low, high)]
        entries.append(readout_entry(name, unit, 0.0 if signed else float(f"{mean:.3g}"), *bounds))
    return entries


def file_sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def selftest_counts(model, n_bins, seed=20240229):
    """Whole Poisson counts [T, C] with the channels' training means (0.3 a bin where unknown)."""
    mean = model.config.get("channels", {}).get("mean", [0.3] * model.config["n_channels"])
    generator = np.random.default_rng(seed)
    return generator.poisson(np.broadcast_to(mean, (n_bins, len(mean)))).astype(np.float32)


def check_finite(weights):
    for name, array in weights.items():
        if not np.isfinite(array).all():
            raise Refusal(f"tensor {name} holds values that are not finite")


def run_selftest(model, run, n_bins, counts=None):
    """Store the reference's answer of every listed mode. run: reference.run of the architecture.
    counts: float32 [T, C] in place of n_bins of selftest_counts()."""
    check_finite(model.weights)
    if counts is None:
        counts = selftest_counts(model, n_bins)
    model.selftest = {"selftest.input": counts}
    for mode in model.config["modes"]:
        limit = model.hyper.get("trial_bins") if mode in TRIAL_MODES else None
        answer = stage.staged(run)(model.weights, model.config, counts[:limit].astype(np.float64),
                                   mode)
        for group in GROUPS:
            if answer.get(group) is None:
                continue
            if not np.isfinite(answer[group]).all():
                raise Refusal(f"the reference gives non-finite {group} in mode {mode}: "
                              f"these weights cannot be served")
            model.selftest[f"selftest.{mode}.{group}"] = answer[group].astype(np.float32)


def write_model(path, model):
    """Write the file. Weights must be float32 or float64 already."""
    check_finite(model.weights)
    text = json.dumps(model.config, allow_nan=False)
    safetensors.write(path, {**model.weights, **model.selftest}, {"latent.config": text})


def read_model(path):
    """-> Model, its matrices as floats. Only the outline is checked: the loader in C does the
    rest."""
    tensors, metadata = safetensors.read(path)
    if "latent.config" not in metadata:
        raise Refusal(f"{path}: no latent.config: a safetensors file, but not a model file")
    config = json.loads(metadata["latent.config"])
    missing = CONFIG_KEYS - set(config)
    if missing:
        raise Refusal(f"{path}: latent.config lacks {', '.join(sorted(missing))}")
    weights = precision.widened(
        {k: v for k, v in tensors.items() if not k.startswith("selftest.")})
    return Model(config, weights, {k: v for k, v in tensors.items() if k.startswith("selftest.")})

"""The model file: tensors, one JSON string of configuration, and known answers.

An exporter builds a Model, run_selftest() fills in the answers of the float64 reference,
write_model() writes it, rounded to float32 where the file stores float32 - and the answers are
those of the rounded weights.
"""
import dataclasses
import json
import math
import sys
from pathlib import Path

import numpy as np

from latent_models.common import precision, safetensors, stage
from latent_models.common.refusal import Refusal

FORMAT = 1
GROUPS = ("latents", "lograte", "rates", "readout", "logits")
UNTOLD_OPTIONS = ("--out", "--threads", "--report-every", "--stop-at")
UNTOLD_SWITCHES = ("--resume",)
NAME_BYTES, PROSE_BYTES = 64, 1000  # of a name or unit; of licence and source
CHANNELS_MAX = OUTPUTS_MAX = 65536
MEAN_MAX = 65535.0  # as counts in messages go
CLIP_TIMES, CLIP_DEVIATIONS = 2.0, 10.0
SLEW_TIMES = 2.0
RUN_KEYS, RUN_MAX = ("longest_silence", "longest_repeat"), 10**9  # bins
FLOAT_MAX = float(np.finfo(np.float32).max)
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


def readout_entry(name, unit, neutral=0.0, low=None, high=None, *, slew=None, safe=None):
    """One dimension of outputs.readout; None = no limit. safe: neutral (None) or hold."""
    entry = {"name": name, "unit": unit, "neutral": neutral, "min": low, "max": high, "slew": slew}
    return entry if safe is None else {**entry, "safe": safe}


def check_text(what, text, n_bytes):
    """What the loader takes as a text: 1 to n_bytes bytes, nothing that a terminal obeys."""
    if not isinstance(text, str) or not 1 <= len(text.encode(errors="replace")) <= n_bytes or \
            not all(c.isprintable() for c in text):
        raise Refusal(f"{what} {text!r:.80}: expected 1 to {n_bytes} bytes without control "
                      f"characters")


def check_number(what, value, low=-FLOAT_MAX, high=FLOAT_MAX):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise Refusal(f"{what} {value!r:.60}: expected a finite number"
                      f"{f' of at least {low:g}' if low > -FLOAT_MAX else ''}")


def check_readout(entries):
    """outputs.readout as the loader takes it."""
    for i, entry in enumerate(entries):
        where = f"readout {i}:"
        check_text(f"{where} name", entry["name"], NAME_BYTES)
        check_text(f"{where} unit", entry["unit"], NAME_BYTES)
        for key in ("neutral", "min", "max", "slew"):
            if key == "neutral" or entry[key] is not None:
                check_number(f"{where} {key}", entry[key])
        low, high = (x if x is not None else far for x, far in
                     ((entry["min"], -math.inf), (entry["max"], math.inf)))
        if not low < high or not low <= entry["neutral"] <= high:
            raise Refusal(f"{where} ({entry['name']}) neutral {entry['neutral']}, from {low} to "
                          f"{high}: expected min below max and neutral between them")
        if entry.get("safe", "neutral") not in ("neutral", "hold"):
            raise Refusal(f"{where} ({entry['name']}) safe {entry['safe']!r:.40}: expected neutral "
                          f"or hold")
        if entry["slew"] is not None and entry["slew"] <= 0:
            raise Refusal(f"{where} ({entry['name']}) slew {entry['slew']}: expected more than 0")
    names = [entry["name"] for entry in entries]
    if len(set(names)) < len(names):
        raise Refusal(f"readout names {', '.join(names):.200}: expected each once")


def check_channels(where, channels, n_channels, kind="counts"):
    """The channels entry as the loader takes it."""
    for key in ("names", "mean", "variance"):
        found = channels.get(key)
        if not isinstance(found, list) or len(found) != n_channels:
            n_found = len(found) if isinstance(found, list) else "no list"
            raise Refusal(f"{where}: statistics of {n_found} channels ({key}), but the tensors "
                          f"have {n_channels}")
        for value in found:
            if key == "names":
                check_text(f"{where}: channel name", value, NAME_BYTES)
            else:
                is_free = key == "mean" and kind == "real"
                check_number(f"{where}: channel {key}", value, -FLOAT_MAX if is_free else 0,
                             MEAN_MAX if key == "mean" else FLOAT_MAX)
    check_clip(where, channels, n_channels, kind)
    check_runs(where, channels)


def check_clip(where, channels, n_channels, kind):
    for key in ("clip", "clip_low"):
        found = channels.get(key)
        if found is None:
            continue
        if key == "clip_low" and kind != "real":
            raise Refusal(f"{where}: clip_low: expected with input real alone")
        if not isinstance(found, list) or len(found) != n_channels:
            raise Refusal(f"{where}: {key}: expected a list of {n_channels} numbers")
        for value in found:
            check_number(f"{where}: channel {key}", value, -FLOAT_MAX if kind == "real" else 0)
    if any(low > high for low, high in zip(channels.get("clip_low", ()), channels.get("clip", ()))):
        raise Refusal(f"{where}: clip_low: expected nothing above clip")


def check_runs(where, channels):
    for key in RUN_KEYS:
        if key in channels:
            found = channels[key]
            if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= RUN_MAX:
                raise Refusal(f"{where}: {key} {found!r:.60}: expected a number of bins from 0 to "
                              f"{RUN_MAX}")


def check_sizes(n_channels, outputs):
    n_latents, n_rates, readout, *logits = outputs
    if not 1 <= n_channels <= CHANNELS_MAX or max(
            n_latents, n_rates, len(readout), *map(len, logits)) > OUTPUTS_MAX:
        raise Refusal(f"{n_channels} channels, {n_latents} latents, {n_rates} rates, a readout of "
                      f"{len(readout)}: expected 1 to {CHANNELS_MAX} channels, at most "
                      f"{OUTPUTS_MAX} of each of the others")
    if not n_latents + n_rates + len(readout) + len(logits):
        raise Refusal("neither latents nor rates nor a readout: nothing to publish")
    for label in (label for labels in logits for label in labels):
        check_text("the label", label, NAME_BYTES)


def build_config(arch, n_channels, bin_width_us, modes, hyper, *, outputs, licence, source,
                 checkpoint_sha256, channels=None):
    """latent.config with every required key. outputs: (n_latents, n_rates, [readout_entry]),
    and behind them the labels of logits where it has some."""
    check_sizes(n_channels, outputs)
    check_readout(outputs[2])
    check_text("the licence", licence, PROSE_BYTES)
    source = source.encode(errors="replace")[:PROSE_BYTES].decode(errors="ignore")
    check_text("the source", source, PROSE_BYTES)
    config = {"format": FORMAT, "arch": arch, "n_channels": int(n_channels),
              "bin_width_us": int(bin_width_us), "modes": list(modes), "precisions": ["f32"],
              "hyper": hyper, "licence": licence, "source": source,
              "outputs": dict(zip(("latents", "rates", "readout", "logits"), outputs)),
              "checkpoint_sha256": checkpoint_sha256}
    if channels is not None:
        config["channels"] = channels
    return config


def channel_table(mean, variance, names=None):
    """The optional channels entry. mean and variance [C] in counts per bin of the training data."""
    names = names if names is not None else [f"ch{i}" for i in range(len(mean))]
    return {"names": list(names), "mean": [float(m) for m in mean],
            "variance": [float(v) for v in variance]}


def longest_run(rows):
    """How many bins of rows [K, T] follow each other, in one trial, that are all true."""
    ends = np.flatnonzero(~np.pad(rows, ((0, 0), (1, 1))).ravel())
    return int(np.diff(ends).max()) - 1


def longest_runs(trials, kind):
    """What latentd takes for no signal when it lasts three times as long: bins of zeros (counts
    alone), and equal bins. trials [K, T, C]."""
    same = (trials[:, 1:] == trials[:, :-1]).all(-1)
    if kind == "real":
        return {"longest_repeat": 1 + longest_run(same)}
    silent = (trials == 0).all(-1)
    return {"longest_silence": longest_run(silent),
            "longest_repeat": int((~silent).any()) + longest_run(same & ~silent[:, 1:])}


def clip_limits(flat, kind):
    """What of the input reaches the model, by its training values [rows, C]: twice the largest
    count, or 10 standard deviations above the mean where that is more. Real input has no zero to
    measure from: the same from the mean, upwards and downwards."""
    mean, reach = flat.mean(0), CLIP_DEVIATIONS * flat.std(0)
    if kind == "real":
        high = mean + np.maximum(CLIP_TIMES * (flat.max(0) - mean), reach)
        low = mean - np.maximum(CLIP_TIMES * (mean - flat.min(0)), reach)
        return {"clip": [float(x) for x in high], "clip_low": [float(x) for x in low]}
    return {"clip": [float(x) for x in np.maximum(CLIP_TIMES * flat.max(0), mean + reach)]}


def training_channels(counts, kind="counts", names=None):
    """The channels entry from what a model was trained on: counts [K, T, C] or [T, C]."""
    trials = counts if counts.ndim == 3 else counts[None]
    flat = trials.reshape(-1, trials.shape[-1])
    return {**channel_table(flat.mean(0), flat.var(0), names), **longest_runs(trials, kind),
            **clip_limits(flat, kind)}


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


def largest_steps(trials, joined):
    """The largest change [O] of a dimension from one bin to the next: trials [K, T, O], and which
    bins [K, T - 1] the next one follows."""
    steps = np.abs(np.diff(trials, axis=1))[joined]
    return steps.max(0) if len(steps) else np.zeros(trials.shape[-1])


def slew_limits(trials, joined, bin_s):
    """Per second, SLEW_TIMES the largest step of training; None where nothing moved."""
    return [float(f"{SLEW_TIMES * step / bin_s:.3g}") or None
            for step in largest_steps(trials, joined)]


def readout_limits(recording, index, margin=1.5):
    """outputs.readout of a model fitted to these trials: limits are the range of the behaviour
    times margin, as round numbers, slew as slew_limits; a velocity's neutral value is 0, that of
    any other behaviour its mean."""
    use, flat = recording.used(index), recording.behaviour_rows(index)
    slews = slew_limits(recording.behaviour[index], use[:, 1:] & use[:, :-1],
                        recording.bin_ms / 1000)
    entries = []
    for i, (name, unit) in enumerate(zip(recording.names, recording.units)):
        low, high, mean = flat[:, i].min(), flat[:, i].max(), flat[:, i].mean()
        signed = low < 0 < high
        centre = 0.0 if signed else mean
        bounds = [float(f"{centre + margin * (edge - centre):.3g}") for edge in (low, high)]
        entries.append(readout_entry(name, unit, 0.0 if signed else float(f"{mean:.3g}"), *bounds,
                                     slew=slews[i]))
    return entries


def selftest_counts(model, n_bins, seed=20240229):
    """Whole Poisson counts [T, C] with the channels' training means (0.3 a bin where unknown); of
    input real, normal values with their means and variances (0 and 1)."""
    channels, n_channels = model.config.get("channels", {}), model.config["n_channels"]
    generator = np.random.default_rng(seed)
    if model.config.get("input") == "real":
        mean = np.array(channels.get("mean", [0.0] * n_channels))
        deviation = np.sqrt(channels.get("variance", [1.0] * n_channels))
        return generator.normal(mean, deviation, (n_bins, n_channels)).astype(np.float32)
    mean = channels.get("mean", [0.3] * n_channels)
    return generator.poisson(np.broadcast_to(mean, (n_bins, len(mean)))).astype(np.float32)


def check_finite(weights):
    for name, array in weights.items():
        if not np.isfinite(array).all():
            raise Refusal(f"tensor {name} holds values that are not finite")


def reference_answer(run, model, counts, mode):
    """The reference's groups for counts [T, C]; weights it cannot compute with are refused."""
    try:
        return stage.staged(run)(model.weights, model.config, counts.astype(np.float64), mode)
    except (np.linalg.LinAlgError, ArithmeticError) as error:
        raise Refusal(f"the reference cannot compute in mode {mode} ({error}): these weights "
                      f"cannot be served") from error


def present_rows(answer, group):
    """Which rows of a reference's group hold something: where it says "absent", none but a readout
    that stays (NaN before its first)."""
    if "absent" not in answer:
        return slice(None)
    if group == "readout":
        return np.logical_or.accumulate(~answer["absent"])
    return ~answer["absent"]


def run_selftest(model, run, n_bins, counts=None):
    """Store the reference's answer of every listed mode. run: reference.run of the architecture.
    counts: float32 [T, C] in place of n_bins of selftest_counts()."""
    check_finite(model.weights)
    if counts is None:
        counts = selftest_counts(model, n_bins)
    model.selftest = {"selftest.input": counts}
    for mode in model.config["modes"]:
        limit = model.hyper.get("trial_bins") if mode in TRIAL_MODES else None
        answer = reference_answer(run, model, counts[:limit], mode)
        for group in GROUPS:
            if answer.get(group) is None:
                continue
            rows = answer[group][present_rows(answer, group)]
            is_none = (rows == -np.inf) & (group == "lograte") & \
                (model.hyper.get("lograte", True) is False)  # the logarithm of no count at all
            if not (np.isfinite(rows) | is_none).all():
                raise Refusal(f"the reference gives non-finite {group} in mode {mode}: "
                              f"these weights cannot be served")
            model.selftest[f"selftest.{mode}.{group}"] = answer[group].astype(np.float32)


def write_model(path, model):
    """Write the file. Weights must be float32 or float64 already."""
    check_finite(model.weights)
    text = json.dumps(model.config, allow_nan=False)
    safetensors.write(path, {**model.weights, **model.selftest}, {"latent.config": text})


def read_exact(path):
    """-> Model, its tensors as they lie in the file. Only the outline is checked: the loader in C
    does the rest."""
    tensors, metadata = safetensors.read(path)
    if "latent.config" not in metadata:
        raise Refusal(f"{path}: no latent.config: a safetensors file, but not a model file")
    try:
        config = json.loads(metadata["latent.config"])
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{path}: latent.config is no JSON: {error}") from error
    missing = CONFIG_KEYS - set(config if isinstance(config, dict) else ())
    if missing:
        raise Refusal(f"{path}: latent.config lacks {', '.join(sorted(missing))}")
    return Model(config, {k: v for k, v in tensors.items() if not k.startswith("selftest.")},
                 {k: v for k, v in tensors.items() if k.startswith("selftest.")})


def read_model(path):
    """The same, its matrices as floats."""
    model = read_exact(path)
    return dataclasses.replace(model, weights=precision.widened(model.weights))

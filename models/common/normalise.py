"""The input normalisation of a model file (latent.config.normalise) in float64 numpy: the answer
key for exporters, tests and C. core/decode/normalise.h has the equations; here the bins of each
trial are kept as they came, and pooled in two passes as numpy does."""
import collections

import numpy as np

from latent_models.common.refusal import Refusal

KINDS = ("fixed", "ewma", "window-trials")
SD_RATIO = 3.0


class Normaliser:
    """From the start of a file; goes on from call to call."""

    def __init__(self, config):
        rules = self.rules = config["normalise"]
        self.bin_s = config["bin_width_us"] / 1e6
        self.start = [np.array(rules[key], np.float64) for key in ("mean", "sd")]
        self.mean, self.sd = (x.copy() for x in self.start)
        self.trials = collections.deque(maxlen=rules.get("window_trials", 20))

    def z(self, x):
        """[C] -> [C], by what is known now."""
        z = (x - self.mean) / (self.sd + self.rules.get("eps", 1e-8))
        outlier = self.rules.get("outlier")
        return z if outlier is None else np.where(np.abs(z) > outlier, 0.0, z)

    def run(self, rows, counts, is_trial):
        """rows [T, C], within their range, of counts [T, C] as they came -> z [T, C]. is_trial:
        they are one, whose end is the last row."""
        taught = (rows == counts).all(-1)
        out = np.empty_like(rows)
        for t, x in enumerate(rows):
            out[t] = self.z(x)
            if self.rules["kind"] == "ewma" and taught[t]:
                self.follow(x)
        if self.rules["kind"] == "window-trials" and is_trial and taught.any():
            self.trials.append(rows[taught])
            self.pool()
        return out.astype(np.float32).astype(np.float64)

    def follow(self, x):
        """ewma, after a bin: both by the mean of before."""
        share = -np.expm1(-self.bin_s / self.rules.get("tau_s", 120.0))
        (mean, sd), bound = self.start, self.rules.get("bound_sd", 3.0)
        off = x - self.mean
        var = self.sd ** 2 + share * (off ** 2 - self.sd ** 2)
        self.mean = np.clip(self.mean + share * off, mean - bound * sd, mean + bound * sd)
        self.sd = np.sqrt(np.clip(var, (sd / SD_RATIO) ** 2, (sd * SD_RATIO) ** 2))

    def pool(self):
        """window-trials, after a trial."""
        bins, n, least = np.concatenate(self.trials), len(self.trials), \
            self.rules.get("min_trials", 10)
        found = bins.mean(0), bins.std(0)
        if n < least:
            found = [(n * new + (least - n) * old) / least for new, old in zip(found, self.start)]
        self.mean, self.sd = found


def parse(text, channels):
    """--normalise KIND[,key=number...] -> the entry of latent.config, with the training mean and sd
    of channels."""
    kind, *pairs = text.split(",")
    keys = {"eps": float, "outlier": float,
            **({"tau_s": float, "bound_sd": float} if kind == "ewma" else {}),
            **({"window_trials": int, "min_trials": int} if kind == "window-trials" else {})}
    if kind not in KINDS:
        raise Refusal(f"--normalise {text}: expected one of {', '.join(KINDS)}")
    if not channels or "mean" not in channels or "variance" not in channels:
        raise Refusal(f"--normalise {text}: needs the training mean and variance of each channel; "
                      f"give --statistics FILE.h5:/counts")
    entry = {"kind": kind, "mean": list(map(float, channels["mean"])),
             "sd": [float(v) ** 0.5 for v in channels["variance"]]}
    for pair in pairs:
        key, _, value = pair.partition("=")
        try:
            entry[key] = keys[key](value)
        except (KeyError, ValueError) as error:
            raise Refusal(f"--normalise {text}: {pair!r:.40}: expected KEY=NUMBER with KEY one of "
                          f"{', '.join(keys)}") from error
    return entry


def leave_outliers(config):
    """Where an outlier is declared, its z becomes 0: a value that was clipped before would not be
    one any more, and its bin would teach nothing."""
    if "outlier" in config["normalise"]:
        config["channels"] = {key: value for key, value in config["channels"].items()
                              if key not in ("clip", "clip_low")}

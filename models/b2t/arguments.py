"""args.yaml of the public trainer: what a checkpoint was made with, beside its tensors."""
import re

import numpy as np
import yaml

from latent_models.common.files import open_input
from latent_models.common.refusal import Refusal, number, whole
from latent_models.common.statements import stated, truth

TEXT_MAX = 1 << 20  # bytes
WINDOW_MAX, KERNEL_MAX = 4096, 4096  # bins; items of memory a layer may have
SESSION_BYTES = 64
SMALLEST_TAP = 0.01  # smaller ones are left out
TRUNCATE_SD = 4.0
DATE = re.compile(r"\d{4}[.-]?\d{2}[.-]?\d{2}")


def read_yaml(path):
    """The text as dicts and lists. Nothing is made but plain values; no alias may multiply them."""
    with open_input(path) as f:
        text = f.read(TEXT_MAX + 1)
    if len(text) > TEXT_MAX:
        raise Refusal(f"{path}: more than {TEXT_MAX} bytes: not the args.yaml of a training")
    try:
        if any(isinstance(token, (yaml.AliasToken, yaml.AnchorToken)) for token in yaml.scan(text)):
            raise Refusal(f"{path}: anchors or aliases: not the args.yaml of a training")
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Refusal(f"{path}: no YAML: {error}") from error
    if not isinstance(content, dict):
        raise Refusal(f"{path}: expected the sections model and dataset, as the trainer saves them")
    return content


class Arguments:
    """sessions: their names, in the order of the checkpoint's day_weights. window, stride: bins of
    the features side by side, 0: none, and how far apart. taps [J]: the smoothing, float64; None:
    there is none. said: sizes that the tensors must have, by name, where they are stated."""

    def __init__(self, path):
        self.path, self.content = path, read_yaml(path)
        self.sessions = self.read_sessions()
        self.window = self.need("model.patch_size", whole(0, WINDOW_MAX))
        self.stride = self.need("model.patch_stride", whole(1, WINDOW_MAX)) if self.window else 1
        self.taps = self.read_taps()
        self.said = {key: self.get(f"model.{key}", whole(1))
                     for key in ("n_input_features", "n_units", "n_layers")}
        self.said["n_classes"] = self.get("dataset.n_classes", whole(1))
        self.said["neural_dim"] = self.get("dataset.neural_dim", whole(1))
        n_layers = self.get("model.input_network.n_input_layers", whole(0), 1)
        if n_layers != 1:
            raise Refusal(f"{path}: model.input_network.n_input_layers {n_layers}: expected 1, one "
                          f"layer for each session")

    def find(self, key):
        """What stands at SECTION.KEY, None where there is nothing."""
        value = self.content
        for word in key.split("."):
            if not isinstance(value, dict):
                raise Refusal(f"{self.path}: no section {key.rpartition('.')[0]}, as the trainer "
                              f"saves it")
            value = value.get(word)
            if value is None:
                return None
        return value

    def get(self, key, convert, default=None):
        """A number, checked as an option of the command line is."""
        value = self.find(key)
        if value is None:
            return default
        if not isinstance(value, (str, bool, int, float)):
            raise Refusal(f"{self.path}: {key}: expected a single value, found a list or section")
        return stated(self.path, key, value, convert)

    def need(self, key, convert):
        value = self.get(key, convert)
        if value is None:
            raise Refusal(f"{self.path}: {key} is missing; expected the args.yaml that stands "
                          f"beside the checkpoint")
        return value

    def read_sessions(self):
        names = self.find("dataset.sessions")
        if not isinstance(names, list) or not names or \
                any(isinstance(name, (dict, list)) or name is None for name in names):
            raise Refusal(f"{self.path}: dataset.sessions: expected the list of their names")
        names = [str(name) for name in names]
        for name in names:
            if not name.isprintable() or not 1 <= len(name.encode()) <= SESSION_BYTES:
                raise Refusal(f"{self.path}: dataset.sessions: {name!r:.80}: expected 1 to "
                              f"{SESSION_BYTES} bytes")
            if names.count(name) > 1:
                raise Refusal(f"{self.path}: dataset.sessions: {name} stands there twice")
        return names

    def read_taps(self):
        where = "dataset.data_transforms"
        if not self.get(f"{where}.smooth_data", truth, True):
            return None
        deviation = self.need(f"{where}.smooth_kernel_std", number(above=0, high=KERNEL_MAX))
        taps = smoothing_taps(deviation, self.need(f"{where}.smooth_kernel_size",
                                                   whole(1, KERNEL_MAX)))
        if not len(taps):
            raise Refusal(f"{self.path}: {where}.smooth_kernel_std {deviation:g}: so wide that no "
                          f"tap is above {SMALLEST_TAP}")
        return taps

    def newest(self):
        """The last session by the dates in the names, where all have one; else the last."""
        dates = [DATE.search(name) for name in self.sessions]
        if not all(dates):
            return self.sessions[-1]
        digits = [re.sub(r"\D", "", date[0]) for date in dates]
        return self.sessions[max(range(len(digits)), key=lambda i: (digits[i], i))]


def smoothing_taps(deviation, size):
    """What the trainer convolves with: a unit impulse in the middle of `size` bins through scipy's
    gaussian_filter1d (float64 sums, a float32 result, mirrored at the ends), without small taps,
    their sum 1 in float32 -> float64 [J]."""
    reach = int(TRUNCATE_SD * deviation + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    weights /= weights.sum()
    impulse = np.zeros(size)
    impulse[size // 2] = 1
    response = np.convolve(np.pad(impulse, reach, mode="symmetric"), weights, "valid")
    response = response.astype(np.float32)
    kept = response[response > np.float32(SMALLEST_TAP)]
    return (kept / kept.sum()).astype(np.float64)

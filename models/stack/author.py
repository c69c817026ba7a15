"""A network as its author has it: what it is as a stack, and how to ask it for its own answers."""
import dataclasses

import numpy as np

from latent_models.common.refusal import Refusal

GROUPS = ("latents", "rates", "readout", "logits")
READOUT_KEYS = ("name", "unit", "neutral", "min", "max", "slew")


@dataclasses.dataclass
class Author:
    """label: for refusals. content, tensors: of models/stack/export.py. run: bins [K, T, C] ->
    {group: [K, T, n]}, row t that of bin t, NaN where it gives none. channels: mean and variance
    [C] of the input that it was trained on, where it says them. against: what the file says."""

    label: str
    content: dict
    tensors: dict
    run: object
    notes: list
    against: str
    channels: tuple = None


@dataclasses.dataclass(frozen=True)
class Request:
    """What a call of latentd.export asks for."""

    n_channels: int
    readout: list = None
    rates: bool = False
    latents: bool = False
    logits: list = None
    input: str = "counts"
    link: str = None

    @property
    def groups(self):
        named = {"latents": self.latents, "rates": self.rates, "readout": self.readout is not None,
                 "logits": self.logits is not None}
        return [group for group in GROUPS if named[group]]

    def checked(self):
        """self; a Refusal where nothing is named, or not as it should be."""
        n = self.n_channels
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
            raise Refusal(f"n_channels {n!r:.60}: expected a whole number of at least 1")
        if self.input not in ("counts", "real"):
            raise Refusal(f"input {self.input!r:.60}: expected counts or real")
        if not self.groups:
            raise Refusal('nothing to publish: give readout=[("vx", "mm/s"), ...], rates=True, '
                          'latents=True or logits=["a", ...]')
        if self.link is not None and not self.rates:
            raise Refusal(f"link {self.link!r:.60}: of rates, which are not asked for (rates=True)")
        if self.link not in (None, "exp", "softplus", "relu", "linear"):
            raise Refusal(f"link {self.link!r:.60}: expected exp, softplus, relu or linear")
        return self

    def readout_entries(self):
        """[(name, unit[, neutral[, min, max, slew]])] -> as a file has them."""
        entries = []
        for dim in self.readout or ():
            given = (dim,) if isinstance(dim, str) else tuple(dim)
            if len(given) not in (2, 3, 5, 6) or not all(isinstance(x, str) for x in given[:2]):
                raise Refusal(f"readout {dim!r:.100}: expected (name, unit[, neutral[, min, max"
                              f"[, slew]]])")
            entries.append({**dict.fromkeys(READOUT_KEYS), "neutral": 0.0,
                            **dict(zip(READOUT_KEYS, given))})
        return entries

    def check_widths(self, label, widths):
        """What was named beside what there is."""
        for group, names in (("readout", self.readout), ("logits", self.logits)):
            if names is not None and len(names) != widths[group]:
                raise Refusal(f"{label}: gives {widths[group]} numbers for the {group}, "
                              f"{len(names)} are named")

    def named(self, label, result):
        """What the author's program gives, by group: one for the one that is named, or a dict."""
        groups = self.groups
        if not isinstance(result, dict):
            if len(groups) != 1:
                raise Refusal(f"{label}: gives one output, {' and '.join(groups)} are asked for: "
                              f"return a dict, {{{', '.join(map(repr, groups))}}}")
            return {groups[0]: result}
        if set(result) != set(groups):
            raise Refusal(f"{label}: gives {', '.join(map(str, result)) or 'nothing'}, asked for "
                          f"are {', '.join(groups)}: name all that it gives (latents=True, "
                          f"rates=True, readout=, logits=), or leave it out")
        return {group: result[group] for group in groups}


def on_bins(rows, start, stride, n_bins):
    """Rows [K, R, n] in the bins that they describe -> [K, n_bins, n], NaN elsewhere."""
    out = np.full((len(rows), n_bins, rows.shape[2]), np.nan)
    places = out[:, start::stride]
    n = min(places.shape[1], rows.shape[1])
    places[:, :n] = rows[:, :n]
    return out

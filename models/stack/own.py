"""latentd.export: a module or a fitted estimator to a model file that was compared with it."""
import hashlib
import json
import os

import numpy as np

from latent_models.common import checking, model_file
from latent_models.common.checkpoint import Checkpoint
from latent_models.common.refusal import Refusal
from latent_models.stack import export as command
from latent_models.stack import reference

TRIALS, ROWS, SEED = 2, 64, 20261130  # of the comparison


def fingerprint(tensors):
    """SHA-256 of names and numbers."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()


def statistics(author, request):
    """The channels entry of what the author's input stage says, where a file can have it."""
    if author.channels is None:
        return {}
    mean, variance = (np.asarray(x, np.float64) for x in author.channels)
    if request.input == "counts" and not ((mean >= 0) & (mean <= model_file.MEAN_MAX)).all():
        return {}
    return {"channels": model_file.channel_table(mean, variance)}


def checkpoint_of(author, request):
    """What an exporter would have read."""
    facts = {"readout": request.readout_entries(), "input": request.input,
             "source": f"latentd.export of {author.label}", **statistics(author, request)}
    tensors = {name: array for name, array in author.tensors.items() if np.isfinite(array).all()}
    bad = sorted(set(author.tensors) - set(tensors))
    if bad:
        raise Refusal(f"{author.label}: {bad[0]} holds values that are not finite: a training that "
                      f"diverged?")
    return Checkpoint(author.label, fingerprint(tensors), tensors, notes=author.notes,
                      facts={"latent": json.dumps(facts)})


def drawn_bins(model):
    """[K, T, C] like the known answer's, others than those, enough for the rows to compare."""
    config, hyper = model.config, model.hyper
    wide = {name: np.asarray(array, np.float64) for name, array in model.weights.items()}
    signals = reference.network(wide, hyper, np.zeros((1, config["n_channels"])))
    used = reference.aligned([signals[hyper["outputs"][group]] for group in reference.GROUPS
                              if group in hyper["outputs"]], 1)[0]
    n_bins = used.first + ROWS * used.stride
    flat = model_file.selftest_counts(model, TRIALS * n_bins, SEED)
    return flat.reshape(TRIALS, n_bins, -1)


class Comparison:
    """model -> what its file says of how it was checked, by the C core; a Refusal where it is not
    what its author gives."""

    def __init__(self, author, request, check, decode):
        self.author, self.request, self.check, self.decode = author, request, check, decode

    def __call__(self, model):
        bins = drawn_bins(model)
        said = self.compared(model, bins, self.answers(bins), "drawn bins")
        if self.check is None:
            return said
        bins, theirs = self.given(model)
        whose = self.author.against if theirs is None else "its author's outputs"
        more = self.compared(model, bins, self.answers(bins) if theirs is None else theirs,
                             "the author's bins", whose)
        return f"{said}; {more}"

    def answers(self, bins):
        try:
            found = self.author.run(bins.astype(np.float64))
        except Refusal:
            raise
        except Exception as error:
            raise Refusal(f"{self.author.label}: fails on {bins.shape[0]} trials of "
                          f"{bins.shape[1]} bins: {type(error).__name__}: {error}") from error
        for group, rows in found.items():
            if np.isinf(rows).any() or np.isnan(rows).any(-1).all():
                raise Refusal(f"{self.author.label}: gives {group} that are not finite for drawn "
                              f"bins")
        return found

    def compared(self, model, bins, theirs, whose_bins, whose=None):
        mode = model.config["modes"][0]
        ours = checking.run_model(model, bins, mode, self.decode)
        against = f"{whose or self.author.against} on {whose_bins}"
        asked = checking.Asked(f"{self.author.label} against its file on {whose_bins}", "per-bin",
                               against)
        return checking.compare_outputs(model, theirs, ours, mode=mode, asked=asked)

    def given(self, model):
        """check: bins, or (bins, outputs) -> (bins [K, T, C], {group: [K, T, n]} or None)."""
        bins, outputs = self.check if isinstance(self.check, tuple) else (self.check, None)
        n = model.config["n_channels"]
        if isinstance(bins, (str, os.PathLike)):
            bins, lead = checking.read_bins(os.fspath(bins), n)
        else:
            bins = np.asarray(bins)
            if bins.ndim not in (2, 3) or bins.shape[-1] != n or bins.dtype.kind not in "fiub":
                raise Refusal(f"check: bins of shape {list(bins.shape)}, {bins.dtype}; expected "
                              f"[time, {n}] or [trials, time, {n}] of numbers")
            lead, bins = bins.shape[:-1], bins.reshape(-1, *bins.shape[-2:])
        if outputs is None:
            return bins, None
        if isinstance(outputs, (str, os.PathLike)):
            return bins, checking.read_outputs(os.fspath(outputs), lead)
        return bins, {group: self.laid(group, array, lead) for group, array in
                      self.request.named("check", outputs).items()}

    @staticmethod
    def laid(group, array, lead):
        array = np.asarray(array, np.float64)
        if array.shape[:-1] != lead or array.ndim != len(lead) + 1:
            raise Refusal(f"check: {group} of shape {list(array.shape)}; expected the bins' "
                          f"{list(lead)} and one more axis")
        return array.reshape(-1, *array.shape[-2:])


def author_of(module, request, lags):
    """The Author of a fitted scikit-learn object, or of a torch module."""
    from latent_models.stack import from_sklearn
    if from_sklearn.is_estimator(module):
        return from_sklearn.author(module, request, lags)
    if lags is not None:
        raise Refusal("lags: of scikit-learn objects; a torch module has its own memory (Conv1d, "
                      "GRU, ...)")
    from latent_models.stack import from_torch
    return from_torch.author(module, request)


def export(module, path, request, *, bin_width_ms, lags=None, check=None, decode=None):
    """Trace, compare, write; decode: as stream.decode_stream."""
    request = request.checked()
    author = author_of(module, request, lags)
    args = command.parse(["-", os.fspath(path), "--list", author.label, "--bin-width",
                          str(bin_width_ms), "--input", request.input])
    args.input = author.label
    command.write(args, checkpoint_of(author, request), author.content,
                  compare=Comparison(author, request, check, decode))

"""A model file, decoded in this process: arrays in and out, the numbers of latentd bit for bit."""

import ctypes
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from . import _library
from .frames import Flag, Mark

_GROUPS = {"latents": 1, "rates": 2, "readout": 4, "logits": 8}
_OF_TRIALS = ("latents", "rates", "readout")  # what offline modes give
_ONCE = threading.Lock()
_LIBRARY = []


def _core():
    """liblatent, loaded once; numpy's BLAS is there by then and keeps its number of threads."""
    with _ONCE:
        if not _LIBRARY:
            _LIBRARY.append(_library.load())
        return _LIBRARY[0]


class Error(Exception):
    """What liblatent refuses. code: a negative enum latent_status."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class ReadoutDim:
    """A dimension of the readout; no limit is an infinite one. slew: per second. hold: at rest the
    last value stays, instead of neutral."""

    name: str
    unit: str
    neutral: float
    min: float
    max: float
    slew: float
    hold: bool


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says of itself."""

    arch: str
    path: str
    licence: str
    source: str
    config: str  # latent.config, JSON
    checked: str  # beside its author's outputs: "no", or which rows agreed; "": it does not say
    sha256: str  # of the whole file, hexadecimal
    input: str   # "counts" or "real"
    n_channels: int
    bin_width_us: int
    n_latents: int
    n_rates: int
    n_readout: int
    trial_bins: int  # longest trial; 0: no limit
    modes: tuple     # of names; the first is the default
    precisions: tuple
    readout: tuple   # of ReadoutDim
    channel_names: tuple       # empty: the file has none
    channel_mean: np.ndarray   # [n_channels] counts per bin in training, or None
    channel_clip: np.ndarray   # [n_channels] no more reaches the model, or None
    channel_clip_low: np.ndarray
    n_logits: int = 0
    logits: tuple = ()  # of labels
    delay_bins: int = 0  # a frame's values describe the bin so many before its own
    every_bins: int = 1  # bins have values every so many bins
    first_bin: int = 0   # from this bin after a reset on
    normalise: str = ""        # "fixed", "ewma", "window-trials"; "": the input is not normalised
    channel_variance: np.ndarray = None  # [n_channels] of the counts per bin in training, or None
    sessions: tuple = ()  # of names; of several a decoder takes one


@dataclass
class Result:
    """Decoded bins. NaN where a bin has no values (outside a trial); a group that the model lacks,
    or that was not asked for, is None. Offline modes have no flags: zeros."""

    latents: np.ndarray  # [..., n_latents] float32, model units
    rates: np.ndarray    # [..., n_rates] float32, Hz
    readout: np.ndarray  # [..., n_readout] float32, units of ModelInfo.readout
    flags: np.ndarray    # [...] uint32, bits as in Flag
    logits: np.ndarray = None  # [..., n_logits] float32, of ModelInfo.logits


@dataclass
class Step:
    """One decoded bin. A group that is absent in this bin is an empty array."""

    flags: Flag
    latents: np.ndarray
    rates: np.ndarray
    readout: np.ndarray
    logits: np.ndarray


def _text(value):
    return value.decode() if value else ""


def _bytes(value):
    return None if value is None else os.fsencode(value)


@dataclass
class Normalisation:
    """How a decoder normalises its input now."""

    version: int  # goes up with every order and every trial that was learnt from
    frozen: bool
    n_trials: int   # in the window
    n_bounded: int  # channels that the bounds held back in the newest bin
    mean: np.ndarray  # [n_channels] float64
    sd: np.ndarray


class _Model:
    """An open file, shared by the decoders on it; closed when the last of them is."""

    def __init__(self, path):
        self.core, self.handle = _core(), ctypes.c_void_p()
        error = _library.Error()
        status = self.core.latent_model_open(self.handle, _bytes(path), error)
        if status:
            raise Error(status, error.text.decode(errors="replace"))
        self.info = self._info()

    def _info(self):
        i = _library.Info()
        self.core.latent_model_info(self.handle, i)
        names = tuple(_text(i.channel_names[c]) for c in range(i.n_channels)) \
            if i.channel_names else ()
        mean, variance, clip, low = (
            np.ctypeslib.as_array(p, (i.n_channels,)).copy() if p else None
            for p in (i.channel_mean, i.channel_variance, i.channel_clip, i.channel_clip_low))
        return ModelInfo(
            arch=_text(i.arch), path=_text(i.path), licence=_text(i.licence),
            source=_text(i.source), config=_text(i.config),
            checked=_text(i.checked), sha256=bytes(i.sha256).hex(),
            input=_text(self.core.latent_input_name(i.input)), n_channels=i.n_channels,
            bin_width_us=i.bin_width_us, n_latents=i.n_latents, n_rates=i.n_rates,
            n_readout=i.n_readout, trial_bins=i.trial_bins,
            modes=tuple(_text(i.modes[k].name) for k in range(i.n_modes)),
            precisions=tuple(_text(i.precisions[k]) for k in range(i.n_precisions)),
            readout=tuple(ReadoutDim(_text(r.name), _text(r.unit), r.neutral, r.min, r.max, r.slew,
                                     bool(r.hold))
                          for r in (i.readout[k] for k in range(i.n_readout))),
            channel_names=names, channel_mean=mean, channel_variance=variance, channel_clip=clip,
            channel_clip_low=low, n_logits=i.n_logits,
            logits=tuple(_text(i.logit_labels[k]) for k in range(i.n_logits)),
            delay_bins=i.delay_bins, every_bins=i.every_bins, first_bin=i.first_bin,
            normalise=_text(self.core.latent_normalise_name(i.normalise)),
            sessions=tuple(_text(i.sessions[k]) for k in range(i.n_sessions)))

    def __del__(self):
        if getattr(self, "handle", None):
            self.core.latent_model_close(self.handle)


class Decoder:
    """One stream of a model file: state that bins are decoded into, one after the other.

    One thread at a time; decode() brings decoders of its own and may be called from any. The
    interpreter's lock is released while liblatent computes.
    """

    def __init__(self, model, mode=None, precision=None, *, groups=None, predicts=False,
                 session=None):
        """model: path of a .safetensors file, verified as latentd does.

        mode, precision: names of ModelInfo; default: the file's first. groups: some of "latents",
        "rates", "readout", "logits"; default: all the model has. predicts: predict() will be
        called. session: one of ModelInfo.sessions; default: the only one.
        """
        unknown = set(groups or ()) - set(_GROUPS)
        if unknown:
            raise ValueError(f"groups: unknown {sorted(unknown)}; "
                             f"expected some of {sorted(_GROUPS)}")
        self._model, self._handle = _Model(model), None
        self._core, self._asked = self._model.core, (mode, precision, groups, predicts,
                                                               session)
        self.info = self._model.info
        self._handle = self._new()
        self._frame, self._bin = _library.Frame(), _library.Bin(n_channels=self.info.n_channels)

    def _new(self):
        mode, precision, groups, predicts, session = self._asked
        options = _library.Options(mode=_bytes(mode), precision=_bytes(precision),
                                   groups=sum(_GROUPS[g] for g in set(groups or ())),
                                   predicts=predicts, session=_bytes(session))
        handle, error = ctypes.c_void_p(), _library.Error()
        status = self._core.latent_decoder_new(handle, self._model.handle, options, error)
        if status:
            raise Error(status, error.text.decode(errors="replace"))
        return handle

    @property
    def id(self):
        """As in every frame of a stream that decodes so: file, mode, precision, groups, session."""
        return self._core.latent_decoder_id(self._live())

    @property
    def mode(self):
        """Name of the mode in use."""
        return _text(self._core.latent_decoder_mode(self._live()).contents.name)

    @property
    def session(self):
        """Name of the session in use; "": the file has none."""
        return _text(self._core.latent_decoder_session(self._live()))

    @property
    def is_offline(self):
        """Takes whole trials only, through decode()."""
        return bool(self._core.latent_decoder_mode(self._live()).contents.offline)

    def close(self):
        """Give the memory back. A second time does nothing."""
        handle, self._handle = self._handle, None
        if handle:
            self._core.latent_decoder_free(handle)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if getattr(self, "_handle", None):
            self.close()

    def __repr__(self):
        i = self.info
        state = self.mode if self._handle else "closed"
        return (f"<Decoder {i.arch} {state}: {i.n_channels} channels, {i.bin_width_us / 1e3:g} ms, "
                f"{i.n_latents} latents, {i.n_rates} rates, {i.n_readout} readout>")

    # ---- one bin after the other ----

    def step(self, counts, marks=0):
        """Decode one bin: counts [n_channels]; marks of Mark. -> Step."""
        row = self._rows(counts, 1)
        self._bin.marks, self._bin.counts = int(marks), row.ctypes.data
        self._check(self._core.latent_decoder_step(self._live(), self._bin, self._frame))
        return self._step()

    def predict(self):
        """Advance one bin without input, by the model's own forecast; made with predicts=True.
        -> Step."""
        self._check(self._core.latent_decoder_predict(self._live(), self._frame))
        return self._step()

    def reset(self):
        """Back to the state of a new decoder."""
        self._core.latent_decoder_reset(self._live())

    def save(self):
        """The state, as bytes that load() of a decoder with the same id takes."""
        size = self._core.latent_decoder_size(self._live())
        buffer = ctypes.create_string_buffer(size)
        self._check(self._core.latent_decoder_save(self._live(), buffer, size))
        return buffer.raw

    def load(self, state):
        """Go on from what save() gave. Error: another decoder's, or damaged; nothing changed."""
        state = bytes(state)
        self._check(self._core.latent_decoder_load(self._live(), state, len(state)))

    def normalise(self, act, mean=None, sd=None):
        """Freeze, thaw, reset or load (mean, sd [n_channels]) the normalisation of the file. Error:
        it has none that learns."""
        acts = ("freeze", "thaw", "reset", "load")
        if act not in acts:
            raise ValueError(f"act is {act!r}; expected one of {', '.join(acts)}")
        given = [None if x is None else np.ascontiguousarray(x, np.float64) for x in (mean, sd)]
        n = 0 if mean is None or sd is None else min(len(x) for x in given)
        self._check(self._core.latent_decoder_normalise(
            self._live(), acts.index(act), *(None if x is None else x.ctypes.data for x in given),
            n))

    @property
    def normalisation(self):
        """-> Normalisation; None where the file has none."""
        if not self.info.normalise:
            return None
        state, mean, sd = _library.Normalisation(), *np.zeros((2, self.info.n_channels))
        self._core.latent_decoder_normalisation(self._live(), state, mean.ctypes.data,
                                                sd.ctypes.data)
        return Normalisation(state.version, bool(state.frozen), state.n_trials, state.n_bounded,
                             mean, sd)

    def mask(self, channels, version=None):
        """From the next bin on these channels, and no others, read as their training mean. version:
        of the mask, by default the next. Error: the file has no training mean."""
        chosen = np.zeros(self.info.n_channels, bool)
        chosen[list(channels)] = True
        bits = np.packbits(chosen, bitorder="little").tobytes()
        version = self.mask_version + 1 if version is None else version
        self._check(self._core.latent_decoder_mask(self._live(), bits, len(bits), version))

    @property
    def masked(self):
        """The channels that are masked, ascending."""
        bits = ctypes.create_string_buffer((self.info.n_channels + 7) // 8)
        self._core.latent_decoder_masked(self._live(), bits, len(bits))
        return np.flatnonzero(np.unpackbits(np.frombuffer(bits.raw, np.uint8),
                                            bitorder="little")).tolist()

    @property
    def mask_version(self):
        """Of the mask; 0: there was none."""
        return self._core.latent_decoder_mask_version(self._live())

    def _step(self):
        frame = self._frame
        return Step(Flag(frame.flags), *(_copy(getattr(frame, name), getattr(frame, f"n_{name}"))
                                         for name in _GROUPS))

    # ---- whole recordings ----

    def decode(self, counts, workers=None):
        """Decode a recording from a fresh state: what latent-decode writes, bit for bit.

        counts: [time, channels], or [trials, time, channels]: each trial begins with a reset.
        workers: trials side by side; default: the processors this process may use; the bits do not
        depend on it. A file whose normalisation learns is decoded trial by trial in one decoder.
        The state of this decoder is neither used nor changed. -> Result with the
        leading shape of counts. Error names the trial and the bin.
        """
        self._live()
        trials = self._rows(counts, 2, 3)
        shape = trials.shape[:-1]
        trials = trials if trials.ndim == 3 else trials[None]
        workers = len(os.sched_getaffinity(0)) if workers is None else workers
        if workers < 1:
            raise ValueError(f"workers is {workers}; expected at least 1")
        result = self._result(trials.shape[:2])
        if self.info.normalise in ("ewma", "window-trials"):
            workers = 1  # what one trial teaches, the next is decoded with
        if 0 not in trials.shape[:2]:
            self._decode_trials(trials, result, min(workers, len(trials)))
        return Result(*(None if a is None else a.reshape(*shape, *a.shape[2:])
                        for a in (result.latents, result.rates, result.readout, result.flags,
                                  result.logits)))

    def _result(self, shape):
        groups = self._asked[2] or _GROUPS
        widths = [getattr(self.info, f"n_{name}") if name in groups else 0 for name in _GROUPS]
        *first, logits = (np.full((*shape, n), np.nan, np.float32) if n else None for n in widths)
        return Result(*first, np.zeros(shape, np.uint32), logits)

    def _decode_trials(self, trials, result, workers):
        """Each worker has a decoder of its own; of several errors the first trial's is raised."""
        turns = iter(range(len(trials)))
        taking, errors = threading.Lock(), {}

        def work():
            handle = self._new()
            try:
                while not errors:
                    with taking:
                        trial = next(turns, None)
                    if trial is None:
                        return
                    try:
                        self._decode_trial(handle, trial, trials[trial], result)
                    except Error as error:
                        errors[trial] = error
            finally:
                self._core.latent_decoder_free(handle)

        with ThreadPoolExecutor(workers) as pool:
            for done in [pool.submit(work) for _ in range(workers)]:
                done.result()
        if errors:
            raise errors[min(errors)]

    def _decode_trial(self, handle, trial, rows, result):
        outputs = [(getattr(result, name), name) for name in _GROUPS]
        if self.is_offline:
            places = [None if a is None else a[trial].ctypes.data for a, name in outputs
                      if name in _OF_TRIALS]
            status = self._core.latent_decoder_trial(handle, rows.ctypes.data, len(rows), *places)
            self._check(status, f"trial {trial}, bin 0: ")
            return
        frame, one = _library.Frame(), _library.Bin(n_channels=rows.shape[1])
        step, base = self._core.latent_decoder_step, rows.ctypes.data
        places = [(a[trial].ctypes.data, a.shape[-1], name, f"n_{name}")
                  for a, name in outputs if a is not None]
        for i in range(len(rows)):
            one.marks = Mark.TRIAL_START if i == 0 else 0
            one.counts = base + i * rows.strides[0]
            status = step(handle, one, frame)
            if status:
                self._check(status, f"trial {trial}, bin {i}: ")
            result.flags[trial, i] = frame.flags
            for place, width, name, number in places:
                if getattr(frame, number) == width:
                    ctypes.memmove(place + i * width * 4, getattr(frame, name), width * 4)

    # ---- checks ----

    def _live(self):
        if self._handle is None:
            raise ValueError("the decoder is closed")
        return self._handle

    def _check(self, status, where=""):
        if status:
            raise Error(status, where + _text(self._core.latent_strerror(status)))

    def _rows(self, counts, *dimensions):
        """As contiguous float32 with our number of channels; values are liblatent's to judge, but
        those that float32 cannot tell apart are refused here."""
        given = np.asarray(counts)
        if given.ndim not in dimensions or given.shape[-1] != self.info.n_channels:
            axes = {1: "[channels]", 2: "[time, channels]", 3: "[trials, time, channels]"}
            expected = " or ".join(axes[d] for d in dimensions)
            raise ValueError(f"counts have shape {given.shape}; expected {expected} with "
                             f"{self.info.n_channels} channels")
        if given.dtype.kind not in "buif":
            raise TypeError(f"counts are {given.dtype}; expected whole or real numbers")
        rows = np.ascontiguousarray(given, np.float32)
        if given.dtype.kind in "ui" and not np.array_equal(rows, given):
            raise ValueError("counts above 16777216 cannot be told apart in float32")
        return rows


def _copy(place, n):
    if not n:
        return np.empty(0, np.float32)
    return np.frombuffer(ctypes.string_at(place, 4 * n), np.float32).copy()

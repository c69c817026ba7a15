"""What the wire carries, as light Python objects with numpy arrays."""

import enum
from dataclasses import dataclass, field

import numpy as np

from . import latent_pb2 as pb


class Mark(enum.IntFlag):
    """Marks of a bin."""

    TRIAL_START = 1 << 0  # reset before this bin; it is position 0
    TRIAL_END = 1 << 1    # the last bin of the trial
    RESET = 1 << 2        # reset before this bin


class Flag(enum.IntFlag):
    """Flags of a frame; the same bits as enum latent_flag of latent.h."""

    WARMUP = 1 << 0
    GAP = 1 << 1
    FILLED = 1 << 2
    PREDICTED = 1 << 3
    LATE = 1 << 4
    HELD = 1 << 5
    SAFE = 1 << 6
    RESET = 1 << 7
    SWAPPED = 1 << 8
    MASKED = 1 << 9
    INPUT_CLIPPED = 1 << 10
    LIMITED = 1 << 11
    OUTSIDE = 1 << 12
    AGE_UNKNOWN = 1 << 13
    NO_SIGNAL = 1 << 14
    BETWEEN = 1 << 15

    def __str__(self):
        """Names, "GAP|LATE"; "none"; a newer daemon's flags as a number."""
        names = [flag.name for flag in Flag if flag & self]
        rest = int(self) & ~sum(Flag)
        return "|".join(names + ([str(rest)] if rest else [])) or "none"


@dataclass
class Frame:
    """One decoded bin. Times in nanoseconds; an absent group is an empty array."""

    epoch: int
    seq: int
    pub_seq: int
    t_source_ns: int
    t_recv_ns: int
    t_publish_ns: int
    clock_id: int
    age_ns: int
    budget_left_ns: int
    valid_for_ns: int
    flags: Flag
    decoder_id: int
    mask_version: int
    marks: Mark
    event_id: int
    latents: np.ndarray  # [n_latents] float32, model units
    rates: np.ndarray    # [n_rates] float32, Hz
    readout: np.ndarray  # [n_readout] float32, units of Info.readout
    t_receipt_ns: int    # CLOCK_MONOTONIC of this subscriber
    normalise_version: int = 0  # goes up with every change by order or trial
    # [n_logits] float32, scores of Info.logits; empty where this bin has none: never older ones
    logits: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))

    @property
    def age(self):
        """Seconds from the end of the bin to publication; None: not known. Info says how exact."""
        return None if self.flags & Flag.AGE_UNKNOWN else self.age_ns / 1e9

    @classmethod
    def unpack(cls, payload, t_receipt_ns):
        """Bytes -> Frame; raises google.protobuf.message.DecodeError on anything else."""
        m = pb.Frame.FromString(payload)
        return cls(
            m.epoch, m.seq, m.pub_seq, m.t_source_ns, m.t_recv_ns, m.t_publish_ns, m.clock_id,
            m.age_ns, m.budget_left_ns, m.valid_for_ns, Flag(m.flags), m.decoder_id, m.mask_version,
            Mark(m.marks), m.event_id, np.array(m.latents, np.float32),
            np.array(m.rates, np.float32), np.array(m.readout, np.float32), t_receipt_ns,
            m.normalise_version, np.array(m.logits, np.float32))


@dataclass
class ReadoutField:
    """One dimension of the readout. min, max: -inf, inf when unlimited; slew per second."""

    name: str
    unit: str
    neutral: float
    min: float
    max: float
    slew: float
    hold: bool = False  # at rest the last value stays, instead of neutral


@dataclass
class Info:
    """What the values of the frames with this decoder_id mean."""

    stream: str
    decoder_id: int
    arch: str
    mode: str
    precision: str
    n_channels: int
    bin_width_us: int
    n_latents: int
    n_rates: int
    valid_for_ns: int
    budget_ns: int
    version: str
    clock_id: int
    readout: list = field(default_factory=list)  # [n_readout] ReadoutField
    input: str = ""  # what bins must hold: "counts" or "real"; "": a latentd that does not say
    source_clock: str = ""       # how ages are known: "exact", "estimated", "learning", ...
    source_offset_ns: int = 0    # t_publish_ns less t_source_ns of the same moment, estimated
    age_uncertainty_ns: int = 0  # of an estimated age; the least time on the way cannot be seen:
    min_delay_ns: int = 0        # as configured, it is added to the age
    source_ppm: float = 0.0      # by which the source's clock is faster than latentd's
    source_ppm_uncertainty: float = 0.0  # 0: not known yet
    source_steps: int = 0        # times that the source's clock was set, as far as they show
    logits: list = field(default_factory=list)  # [n_logits] labels
    delay_bins: int = 0  # a frame's values describe the bin so many before its own
    every_bins: int = 1  # frames have values every so many bins; others are BETWEEN
    first_bin: int = 0   # from this bin after a reset on
    session: str = ""    # whose weights decode; "": the model knows no sessions
    sessions: list = field(default_factory=list)  # of the model file

    @classmethod
    def unpack(cls, payload):
        """Bytes -> Info; raises google.protobuf.message.DecodeError on anything else."""
        m = pb.Info.FromString(payload)
        return cls(
            m.stream, m.decoder_id, m.arch, m.mode, m.precision, m.n_channels, m.bin_width_us,
            m.n_latents, m.n_rates, m.valid_for_ns, m.budget_ns, m.version, m.clock_id,
            [ReadoutField(r.name, r.unit, r.neutral, r.min, r.max, r.slew, r.hold)
             for r in m.readout], m.input, m.source_clock, m.source_offset_ns, m.age_uncertainty_ns,
            m.min_delay_ns, m.source_ppm, m.source_ppm_uncertainty, m.source_steps,
            list(m.logits), m.delay_bins, m.every_bins or 1, m.first_bin, m.session,
            list(m.sessions))

    def neutral(self):
        """[n_readout] float32: what a device gets when there is nothing to say."""
        return np.array([r.neutral for r in self.readout], np.float32)


@dataclass
class Readout:
    """A readout by name. When stale, values are at rest and reason says why: neutral, or, where a
    field says hold, the value last given out."""

    fields: list        # [n_readout] ReadoutField
    values: np.ndarray  # [n_readout] float32
    stale: bool
    reason: str         # empty unless stale
    frame: Frame        # the newest frame, stale or not; None before the first

    def __getitem__(self, name):
        for readout_field, value in zip(self.fields, self.values):
            if readout_field.name == name:
                return float(value)
        raise KeyError(name)

    @property
    def names(self):
        """Names in order of values."""
        return [f.name for f in self.fields]

    @property
    def units(self):
        """Units in order of values."""
        return [f.unit for f in self.fields]

    def as_dict(self):
        """{name: value}."""
        return dict(zip(self.names, self.values.tolist()))

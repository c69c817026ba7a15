"""Counts to bytes with the narrowest encoding that holds them exactly; nothing saturates."""

import numpy as np

from . import latent_pb2 as pb

# As in proto/wire.h.
MAX_BYTES = 1 << 20   # of one part of a message
MAX_BINS = 256        # bins in one message
MAX_CHANNELS = 65536  # a channel's index in PAIRS is 16 bits
MAX_MESSAGE_BYTES = 1 << 20  # what latentd takes; a longer one would end the connection
MAX_COUNT = 16777215  # what a model of counts takes: float32 holds all whole numbers up to it
MAX_STREAM = 32       # letters of a stream's name


def as_bins(counts):
    """[n_channels] or [n_bins, n_channels] of any real type -> float32 [n_bins, n_channels]."""
    with np.errstate(over="ignore"):  # what float32 does not hold becomes infinite, refused below
        bins = np.atleast_2d(np.asarray(counts, dtype=np.float32))
    limits = (MAX_BINS, MAX_CHANNELS)
    if bins.ndim != 2 or not all(1 <= n <= limit for n, limit in zip(bins.shape, limits)):
        raise ValueError(
            f"counts have shape {np.shape(counts)}; expected [n_bins, n_channels] with "
            f"1 to {MAX_BINS} bins and 1 to {MAX_CHANNELS} channels")
    if not np.isfinite(bins).all():
        row, channel = np.argwhere(~np.isfinite(bins))[0]
        raise ValueError(f"counts: bin {row}, channel {channel} is {bins[row, channel]}; expected "
                         f"finite numbers that float32 holds (send 0, or no bin, for what is "
                         f"missing)")
    return bins


def check_counts(bins):
    """ValueError unless float32 [n_bins, n_channels] are counts, as most models take them."""
    wrong = (bins < 0) | (bins > MAX_COUNT) | (bins != np.floor(bins))
    if wrong.any():
        row, channel = np.argwhere(wrong)[0]
        raise ValueError(f"counts: bin {row}, channel {channel} is {bins[row, channel]}; expected "
                         f"a count, whole and from 0 to {MAX_COUNT} (a model with input real "
                         f"takes other values)")


def narrowest(bins):
    """The encoding for float32 [n_bins, n_channels]; on equal size the plainer one."""
    whole = np.isfinite(bins) & (bins >= 0) & (bins <= 65535) & (bins == np.floor(bins))
    if not whole.all():
        return pb.F32
    plain, plain_bytes = (pb.U8, bins.size) if bins.max() <= 255 else (pb.U16, 2 * bins.size)
    return pb.PAIRS if 4 * np.count_nonzero(bins) < plain_bytes else plain


def _pairs(row):
    channels = np.flatnonzero(row)
    return np.stack([channels, row[channels]], axis=1).astype("<u2").tobytes()


_ENCODERS = {
    pb.U8: lambda row: row.astype("u1").tobytes(),
    pb.U16: lambda row: row.astype("<u2").tobytes(),
    pb.PAIRS: _pairs,
    pb.F32: lambda row: row.astype("<f4").tobytes(),
}


def encode(bins):
    """float32 [n_bins, n_channels] -> (encoding, [bytes of each bin])."""
    encoding = narrowest(bins)
    return encoding, [_ENCODERS[encoding](row) for row in bins]

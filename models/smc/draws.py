"""Counter-based random numbers (Philox4x32-10, Salmon et al. 2011): twin of core/layers/draws.c.

Every number is a function of (seed, bin, index): no state, so that a replay draws what the live
run drew. Integers are exact. Two words (a, b) give two normals by Box and Muller in float64: radius
sqrt(-2 ln((a + 1) / 2^32)), angle 2 pi b / 2^32, cosine first.
"""
import numpy as np

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
LOW = np.uint64(0xFFFFFFFF)
STREAM_NORMALS, STREAM_UNIFORM = 0, 1


def philox(counter, key):
    """counter [..., 4], key (2 words) -> words [..., 4], all 32 bits wide in uint64."""
    c = [np.asarray(counter, np.uint64)[..., i] for i in range(4)]
    k = [int(word) for word in key]
    for _ in range(ROUNDS):
        first, second = c[0] * np.uint64(MULTIPLIERS[0]), c[2] * np.uint64(MULTIPLIERS[1])
        c = [(second >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]), second & LOW,
             (first >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1]), first & LOW]
        k = [(word + step) & 0xFFFFFFFF for word, step in zip(k, WEYL)]
    return np.stack(c, -1)


def words(seed, stream, bin_index, n_blocks):
    """Blocks 0..n_blocks-1 of one stream of one bin -> [n_blocks, 4]."""
    counter = np.zeros((n_blocks, 4), np.uint64)
    counter[:, 0] = np.arange(n_blocks, dtype=np.uint64)
    counter[:, 1] = stream
    counter[:, 2], counter[:, 3] = bin_index & 0xFFFFFFFF, bin_index >> 32
    return philox(counter, (seed & 0xFFFFFFFF, seed >> 32))


def normals(seed, bin_index, n):
    """n standard normals of one bin, float64."""
    w = words(seed, STREAM_NORMALS, bin_index, -(-n // 4)).reshape(-1, 2).astype(np.float64)
    radius, angle = np.sqrt(-2 * np.log((w[:, 0] + 1) / 2.0 ** 32)), 2 * np.pi * w[:, 1] / 2.0 ** 32
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).reshape(-1)[:n]


def uniform(seed, bin_index):
    """The one uniform of a bin, in [0, 1), 53 bits."""
    w = words(seed, STREAM_UNIFORM, bin_index, 1)[0]
    return float((int(w[0]) >> 5) * 2 ** 26 + (int(w[1]) >> 6)) / 2.0 ** 53

"""The mask of a causal window, as the peers add it to their scores."""
import numpy as np


def banded_mask(model, n_bins):
    """[n_bins, n_bins]: 0 where a query may look, -inf after it and before its band."""
    back = model.hyper["context_backward"]
    outside = np.full((n_bins, n_bins), -np.inf, np.float32)
    mask = np.triu(outside, 1)
    return mask + np.tril(outside, -back - 1) if back > 0 else mask

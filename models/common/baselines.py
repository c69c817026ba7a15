"""What every model of rates is measured against.

Counts and rates are [trials, T, N], in expected counts per bin. A free width or rank is chosen by
the rate R2 on the training trials, whose true rates are known here: that favours the baseline.
"""
import numpy as np

from latent_models.common.metrics import r2_summary

WIDTHS_BINS = (0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)


def gaussian_smooth(counts, sigma_bins):
    """Acausal Gaussian smoothing along time; at the edges the kernel is cut and renormalised."""
    distance = np.arange(counts.shape[1])[:, None] - np.arange(counts.shape[1])[None, :]
    kernel = np.exp(-0.5 * (distance / sigma_bins) ** 2)
    return np.matmul(kernel / kernel.sum(1, keepdims=True), counts)


def causal_smooth(counts, tau_bins):
    """Exponential smoothing of the past and the present bin, renormalised at the trial's start."""
    lag = np.arange(counts.shape[1])[:, None] - np.arange(counts.shape[1])[None, :]
    kernel = np.where(lag >= 0, np.exp(-np.maximum(lag, 0) / tau_bins), 0.0)
    return np.matmul(kernel / kernel.sum(1, keepdims=True), counts)


def fit_width(smooth, counts, rates):
    """The width of WIDTHS_BINS with the best median rate R2."""
    return max(WIDTHS_BINS, key=lambda w: r2_summary(rates, smooth(counts, w))["median"])


def principal_axes(smoothed):
    """-> (mean [N], axes [N, N] as columns, largest variance first)."""
    flat = smoothed.reshape(-1, smoothed.shape[-1])
    _, axes = np.linalg.eigh(np.cov(flat.T))
    return flat.mean(0), axes[:, ::-1]


def project(smoothed, mean, axes, rank):
    """Onto the first rank axes and back."""
    return (smoothed - mean) @ axes[:, :rank] @ axes[:, :rank].T + mean


def smoothing_pca(smooth, train_counts, train_rates, test_counts):
    """Smoothing, then projection onto principal axes of the training trials.
    -> (estimate for the test trials, width in bins, rank)."""
    best = None
    for width in WIDTHS_BINS:
        smoothed = smooth(train_counts, width)
        mean, axes = principal_axes(smoothed)
        for rank in (2, 3, 4, 6, 8):
            score = r2_summary(train_rates, project(smoothed, mean, axes, rank))["median"]
            if best is None or score > best[0]:
                best = (score, width, rank, mean, axes)
    _, width, rank, mean, axes = best
    return project(smooth(test_counts, width), mean, axes, rank), width, rank


def condition_means(train_counts, train_conditions, test_conditions):
    """The known-condition PSTH: the mean training trial of each test trial's condition."""
    means = {c: train_counts[train_conditions == c].mean(0) for c in np.unique(train_conditions)}
    return np.stack([means[c] for c in test_conditions])

"""Scores of rates and readouts. Arrays are [..., N]: every leading axis is a sample."""
import math

import numpy as np


def r2_per_column(truth, estimate):
    """1 - SSres / SStot per column over all samples -> [N]; NaN where the truth is constant."""
    truth = np.asarray(truth, np.float64).reshape(-1, np.shape(truth)[-1])
    estimate = np.asarray(estimate, np.float64).reshape(truth.shape)
    residual = ((truth - estimate) ** 2).sum(0)
    total = ((truth - truth.mean(0)) ** 2).sum(0)
    return np.where(total > 0, 1 - residual / np.where(total > 0, total, 1), np.nan)


def r2_summary(truth, estimate):
    """-> dict of the median and mean over columns, and the variance-weighted R2."""
    truth = np.asarray(truth, np.float64).reshape(-1, np.shape(truth)[-1])
    estimate = np.asarray(estimate, np.float64).reshape(truth.shape)
    columns = r2_per_column(truth, estimate)
    residual = ((truth - estimate) ** 2).sum()
    total = ((truth - truth.mean(0)) ** 2).sum()
    if not total > 0 or np.isnan(columns).all():
        return {"median": math.nan, "mean": math.nan, "weighted": math.nan}
    return {"median": float(np.nanmedian(columns)), "mean": float(np.nanmean(columns)),
            "weighted": float(1 - residual / total)}


def state_r2(truth, inferred):
    """How much of the inferred latents the true ones explain: R2 of the best affine map from truth
    [..., D] to inferred [..., L], mean over the L. Superfluous latent dimensions lower it."""
    truth = np.asarray(truth, np.float64).reshape(-1, np.shape(truth)[-1])
    inferred = np.asarray(inferred, np.float64).reshape(len(truth), -1)
    design = np.concatenate([truth, np.ones((len(truth), 1))], 1)
    weights, *_ = np.linalg.lstsq(design, inferred, rcond=None)
    return float(np.nanmean(r2_per_column(inferred, design @ weights)))


def poisson_nll(counts, expected):
    """Summed Poisson negative log-likelihood without the factorial term, in nats."""
    expected = np.maximum(np.asarray(expected, np.float64), 1e-9)
    return float((expected - counts * np.log(expected)).sum())


def bits_per_spike(counts, expected):
    """Gain over each column's mean count of the evaluated set, per spike, in bits."""
    counts = np.asarray(counts, np.float64).reshape(-1, np.shape(counts)[-1])
    expected = np.asarray(expected, np.float64).reshape(counts.shape)
    null = np.broadcast_to(counts.mean(0), counts.shape)
    gain = poisson_nll(counts, null) - poisson_nll(counts, expected)
    n_spikes = counts.sum()
    return gain / (n_spikes * np.log(2)) if n_spikes > 0 else math.nan

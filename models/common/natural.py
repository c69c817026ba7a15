"""Counts for known answers, like those a model was made for.

A recurrent network far outside its training data can amplify rounding errors; a known answer there
would test the input, not the arithmetic. Where a checkpoint has no training statistics, the counts
are drawn from rates of the model itself.
"""
import numpy as np

from latent_models.common import exporting, model_file

SEED = 20240229
ROUNDS = 3
LIMITS = (1e-3, 20.0)
QUICK_BINS = 100  # a longer window would make the check at every load slow


def own_counts(model, run, n_bins):
    """Whole Poisson counts [n_bins, C] with the model's own mean rates, found in a few rounds;
    channels without a rate take the mean of the others."""
    generator = np.random.default_rng(SEED)
    n_channels = model.config["n_channels"]
    counts = np.zeros((n_bins, n_channels), np.float32)
    for _ in range(ROUNDS):
        answer = run(model.weights, model.config, counts.astype(np.float64), "trial")
        rates = np.clip(np.exp(answer["lograte"]).mean(0), *LIMITS)
        mean = np.full(n_channels, rates.mean())
        mean[:min(n_channels, len(rates))] = rates[:n_channels]
        counts = generator.poisson(np.broadcast_to(mean, counts.shape)).astype(np.float32)
    return counts


def window_counts(run):
    """For exporting.export: model -> counts a few bins past its window, where that is quick."""
    def counts(model):
        window_bins = model.hyper["window_bins"]
        n_bins = window_bins + 5 if window_bins <= QUICK_BINS else exporting.SELFTEST_BINS
        return natural_counts(model, run, n_bins)

    return counts


def natural_counts(model, run, n_bins):
    """Counts [n_bins, C] with the training means, or the model's own."""
    if "channels" in model.config or not model.config["outputs"]["rates"]:
        return model_file.selftest_counts(model, n_bins)
    return own_counts(model, run, n_bins)

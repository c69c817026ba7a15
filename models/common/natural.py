"""Known answers on counts like those a model was made for.

A recurrent network far outside its training data can amplify rounding errors; a known answer there would test
the input, not the arithmetic. Where a checkpoint has no training statistics, the counts are drawn from rates
of the model itself.
"""
import numpy as np

from common import model_file

ROUNDS = 3
LIMITS = (1e-3, 20.0)


def own_counts(model, run, n_bins, seed):
    """Whole Poisson counts [n_bins, C] with the model's own mean rates, found in a few rounds; channels
    without a rate take the mean of the others."""
    generator = np.random.default_rng(seed)
    n_channels = model.config["n_channels"]
    counts = np.zeros((n_bins, n_channels), np.float32)
    for _ in range(ROUNDS):
        lograte = run(model.weights, model.config, counts.astype(np.float64), "trial")["lograte"]
        rates = np.clip(np.exp(lograte).mean(0), *LIMITS)
        mean = np.full(n_channels, rates.mean())
        mean[:min(n_channels, len(rates))] = rates[:n_channels]
        counts = generator.poisson(np.broadcast_to(mean, counts.shape)).astype(np.float32)
    return counts


def rewrite_selftest(path, run, n_bins, seed=20240229):
    """Compute the known answers of a written model file anew, on the model's own counts."""
    model = model_file.read_model(path)
    known = "channels" in model.config or not model.config["outputs"]["rates"]
    if known:
        counts = model_file.selftest_counts(model, n_bins)
    else:
        counts = own_counts(model, run, n_bins, seed)
    model.selftest = {"selftest.input": counts}
    for mode in model.config["modes"]:
        answer = run(model.weights, model.config, counts.astype(np.float64), mode)
        for group in model_file.GROUPS:
            if answer.get(group) is not None:
                model.selftest[f"selftest.{mode}.{group}"] = answer[group].astype(np.float32)
    model_file.write_model(path, model)

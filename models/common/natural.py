"""Export with known answers on counts like those a model was made for.

A recurrent network far outside its training data can amplify rounding errors; a known answer there
would test the input, not the arithmetic. Where a checkpoint has no training statistics, the counts
are drawn from rates of the model itself.
"""
import numpy as np

from common import exporting, model_file, precision
from common.refusal import Refusal

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


def fill_selftest(model, run, window_bins):
    """Known answers of every mode, a few bins past the window where that is quick."""
    n_bins = window_bins + 5 if window_bins <= QUICK_BINS else exporting.SELFTEST_BINS
    if "channels" in model.config or not model.config["outputs"]["rates"]:
        counts = model_file.selftest_counts(model, n_bins)
    else:
        counts = own_counts(model, run, n_bins)
    model.selftest = {"selftest.input": counts}
    for mode in model.config["modes"]:
        answer = run(model.weights, model.config, counts.astype(np.float64), mode)
        for group in model_file.GROUPS:
            if answer.get(group) is None:
                continue
            if not np.isfinite(answer[group]).all():
                raise Refusal(f"the reference gives non-finite {group} in mode {mode}: "
                              f"these weights cannot be served")
            model.selftest[f"selftest.{mode}.{group}"] = answer[group].astype(np.float32)


def export(args, checkpoint, arch, run, *, n_channels, modes, hyper, outputs, weights):
    """As exporting.export, with such known answers. hyper must hold window_bins."""
    facts = exporting.own_facts(checkpoint)
    channels = facts.get("channels")
    if channels is not None and len(channels["mean"]) != n_channels:
        raise Refusal(f"{args.input}: statistics of {len(channels['mean'])} channels, "
                      f"but the tensors have {n_channels}")
    config = model_file.build_config(
        arch, n_channels, exporting.bin_width_us(args, checkpoint), modes, hyper, outputs,
        licence=args.licence or facts.get("licence") or checkpoint.licence or "not stated",
        source=args.source or facts.get("source") or checkpoint.source or "not stated",
        checkpoint_sha256=checkpoint.sha256, channels=channels)
    model = model_file.Model(config, weights)
    for name, array in weights.items():
        if not np.isfinite(array).all():
            raise Refusal(f"{args.input}: tensor {name} holds values that are not finite")
    fill_selftest(model, run, hyper["window_bins"])
    precision.apply(model, args)
    model_file.write_model(args.output, model)
    exporting.print_summary(args.output, model)

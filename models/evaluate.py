#!/usr/bin/python3
"""Score every shipped model on held-out trials beside the baselines; print README.md's tables.

The numbers are those of the stream: each model file runs through latent-decode, trial by trial, and
is scored on what it publishes, warm-up included. Beside it runs the float64 reference on the first
trials; the largest difference is printed. Without a built latent-decode the reference alone is
scored, and the tables say so. --write puts the tables between the markers <!-- table:NAME --> and
<!-- /table --> of README.md and of the cards.
"""
import functools
import re

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common import baselines, dataset, registry
from latent_models.common.cost import stream_cost
from latent_models.common.metrics import bits_per_spike, r2_per_column, r2_summary
from latent_models.common.model_file import read_model
from latent_models.common.reference_command import run_trials
from latent_models.common.refusal import Parser, run_command, words_of
from latent_models.common.programs import find_program
from latent_models.common.stream import decode_stream

MODELS = registry.MODELS
N_CHECKED = 5  # trials that the reference decodes too
RATE_FLOOR = 1e-3  # counts per bin: an estimate of zero would cost infinitely many bits


def files_of(table):
    """(architecture, file, modes) of the shipped files that are scored in a table."""
    return [(arch, name, modes) for arch, where, name, modes in registry.shipped()
            if where == table]


def warm_up_bins(model):
    """Bins whose readout is neutral because lags, or a smoother, are not filled."""
    lags = {**model.hyper, **model.config.get("stage", {})}.get("lags", 1)
    return max(lags - 1, model.hyper.get("warmup_bins", 0))


def decode_reference(arch, model, counts, mode):
    """The float64 reference, readout limited as the stream's is."""
    run = registry.part(arch, "reference").run
    answer = run_trials(run, model, counts.astype(np.float64), mode)
    readout = answer.get("readout")
    if readout is not None:
        for i, entry in enumerate(model.config["outputs"]["readout"]):
            low, high = (x if x is not None else b for x, b in
                         ((entry["min"], -np.inf), (entry["max"], np.inf)))
            readout[..., i] = np.clip(readout[..., i], low, high)
            readout[:, :warm_up_bins(model), i] = entry["neutral"]
    return {"latents": answer.get("latents"), "readout": readout, "logits": answer.get("logits"),
            "rates": np.exp(answer["lograte"]) if "lograte" in answer else None}


def decode(arch, name, counts, mode):
    """-> (outputs as published, model); the difference from the reference is printed."""
    path = MODELS / arch / f"{name}.safetensors"
    model = read_model(path)
    if find_program("latent-decode") is None:
        return decode_reference(arch, model, counts, mode), model
    reference = decode_reference(arch, model, counts[:N_CHECKED], mode)
    stream = decode_stream(path, counts, mode, model.config["bin_width_us"] / 1000)
    for group, expected in reference.items():
        if expected is None:
            continue
        array = stream[group][:N_CHECKED]
        worst = np.abs(np.log(array / expected)).max() if group == "rates" else \
            np.nanmax(np.abs(array - expected)) / np.nanmax(np.abs(expected))
        print(f"  {arch}/{name} mode {mode}: {group} within {worst:.1e} of the reference",
              flush=True)
    return stream, model


def fresh_bits(recording, rates):
    """Expected bits/spike on new counts drawn from the same true rates: the score is linear in the
    counts, so the true rates stand in for them. Scored on the counts it was computed from, copying
    would win."""
    return bits_per_spike(recording.part("test", "rates"), np.maximum(rates, RATE_FLOOR))


def rate_row(label, mode, recording, rates):
    """One line of the rates' table."""
    r2 = r2_summary(recording.part("test", "rates"), rates)
    bits = fresh_bits(recording, rates)
    scores = (r2["median"], r2["mean"], r2["weighted"], bits)
    return f"| {label} | {mode} | " + " | ".join(f"{s:.3f}" for s in scores) + " |"


def rate_baselines(recording):
    """Rows of what needs no model: smoothing, smoothing + PCA, the oracles."""
    fit = recording.fitting
    counts, rates = recording.counts[fit], recording.rates[fit]
    test = recording.part("test")
    rows = []
    for name, smooth in (("Gaussian smoothing", baselines.gaussian_smooth),
                         ("causal exponential smoothing", baselines.causal_smooth)):
        mode = "acausal" if smooth is baselines.gaussian_smooth else "causal"
        width = baselines.fit_width(smooth, counts, rates)
        ms = width * recording.bin_ms
        rows.append(rate_row(f"{name}, {ms:g} ms", mode, recording, smooth(test, width)))
        estimate, width, rank = baselines.smoothing_pca(smooth, counts, rates, test)
        ms = width * recording.bin_ms
        rows.append(rate_row(f"the same + PCA, {ms:g} ms, {rank} axes", mode, recording, estimate))
    means = baselines.condition_means(counts, recording.condition[fit],
                                      recording.part("test", "condition"))
    rows.append(rate_row("mean training trial of the known condition", "oracle", recording, means))
    rows.append(rate_row("true rates", "oracle", recording, recording.part("test", "rates")))
    return rows


def rate_table(recording):
    """Rates of the Lorenz set."""
    rows = ["| model | mode | rate R2, median | mean | variance-weighted | bits/spike |",
            "|---|---|---|---|---|---|"]
    for arch, name, modes in files_of("lorenz"):
        for mode in modes:
            outputs, _ = decode(arch, name, recording.part("test"), mode)
            rows.append(rate_row(f"{arch}/{name}", mode, recording, outputs["rates"]))
    return rows + rate_baselines(recording)


def readout_table(recording):
    """Behaviour of the reach set, and rates where the model has them."""
    truth = recording.part("test", "behaviour")
    names = recording.names
    rows = [f"| model | readout R2, mean | {' | '.join(names)} | rate R2, median | bits/spike |",
            "|---|---|" + "---|" * len(names) + "---|---|"]
    for arch, name, (mode,) in files_of("reach"):
        outputs, _ = decode(arch, name, recording.part("test"), mode)
        columns = r2_per_column(truth, outputs["readout"])
        rates = "- | -"
        if outputs["rates"] is not None:
            r2 = r2_summary(recording.part("test", "rates"), outputs["rates"])["median"]
            rates = f"{r2:.3f} | {fresh_bits(recording, outputs['rates']):.3f}"
        rows.append(f"| {arch}/{name} | {columns.mean():.3f} | "
                    + " | ".join(f"{c:.3f}" for c in columns) + f" | {rates} |")
    bits = fresh_bits(recording, recording.part("test", "rates"))
    return rows + ["| true rates (oracle) | - | " + "- | " * len(names) + f"1.000 | {bits:.3f} |"]


def cost_table():
    """What one bin costs, from the shapes."""
    rows = ["| file | KB | parameters | mode | state, bytes | multiply-adds per bin "
            "| weights read per bin, KB |",
            "|---|---|---|---|---|---|---|"]
    for arch, _, name, modes in registry.shipped():
        path = MODELS / arch / f"{name}.safetensors"
        model = read_model(path)
        n_parameters = sum(a.size for a in model.weights.values())
        for mode in modes:
            if mode == "trial":
                continue
            state, macs, weights = stream_cost(model, mode)
            rows.append(f"| {arch}/{name} | {path.stat().st_size / 1024:.0f} | {n_parameters} "
                        f"| {mode} | {state} | {macs} | {weights / 1024:.0f} |")
    return rows


def all_tables():
    """Table -> function that makes its rows: the sets that several architectures share, what each
    architecture has of its own, the cost."""
    own = {table: functools.partial(make, decode) for arch in registry.architectures()
           for table, make in getattr(registry.part(arch, "scoring"), "TABLES", {}).items()}
    return {"lorenz": lambda: rate_table(dataset.recipe_recording("lorenz")),
            "reach": lambda: readout_table(dataset.recipe_recording("reach")),
            **own, "cost": cost_table}


def write_tables(tables):
    """Put each table between its markers, in README.md and the cards."""
    for path in [MODELS / "README.md", *sorted(MODELS.glob("*/card.md"))]:
        text = path.read_text()
        for name, rows in tables.items():
            block = f"<!-- table:{name} -->\n" + "\n".join(rows) + "\n<!-- /table -->"
            text = re.sub(rf"<!-- table:{name} -->\n.*?<!-- /table -->", lambda _: block, text,
                          flags=re.S)
        path.write_text(text)
        print(f"{path}: tables written")


def main():
    makers = all_tables()
    parser = Parser(__doc__)
    parser.add_argument("--write", action="store_true", help="into README.md and the cards")
    parser.add_argument("--tables", type=words_of(*makers), default=list(makers),
                        metavar="NAME,NAME", help=f"default: all, {','.join(makers)}")
    args = parser.parse_args()
    how = "latent-decode" if find_program("latent-decode") else \
        "the references (latent-decode is not built)"
    print(f"scoring the output of {how} on held-out trials")
    tables = {name: make() for name, make in makers.items() if name in args.tables}
    for name, rows in tables.items():
        print(f"\n{name}\n" + "\n".join(rows))
    if args.write:
        write_tables(tables)


if __name__ == "__main__":
    run_command(main)

#!/usr/bin/python3
"""Score every shipped model on held-out trials beside the baselines; print README.md's tables.

The numbers are those of the stream: each model file runs through latent-decode, trial by trial, and
is scored on what it publishes, warm-up included. Beside it runs the float64 reference on the first
trials; the largest difference is printed. Without a built latent-decode the reference alone is
scored, and the tables say so. --write puts the tables between the markers <!-- table:NAME --> and
<!-- /table --> of README.md and of the cards.
"""
import argparse
import importlib
import re
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from common import baselines, dataset  # noqa: E402
from common.cost import stream_cost  # noqa: E402
from common.metrics import bits_per_spike, r2_per_column, r2_summary  # noqa: E402
from common.model_file import read_model  # noqa: E402
from common.reference_command import run_trials  # noqa: E402
from common.refusal import run_command  # noqa: E402
from common.stream import decode_stream, find_decoder  # noqa: E402
from dlds import scoring as dlds_scoring, switching  # noqa: E402
from lowrank import scoring as lowrank_scoring, task as lowrank_task  # noqa: E402
from marble import scoring as marble_scoring  # noqa: E402
from refit import loop, scoring as refit_scoring  # noqa: E402
from sae import scoring as sae_scoring  # noqa: E402

MODELS = Path(__file__).resolve().parent
N_CHECKED = 5  # trials that the reference decodes too
RATE_FLOOR = 1e-3  # counts per bin: an estimate of zero would cost infinitely many bits
SHIPPED = {"lorenz": (("ndt", "lorenz_causal", ("A", "C", "trial")),
                      ("ndt", "lorenz_full", ("trial", "C")), ("gru", "lorenz", ("causal",)),
                      ("lfads", "lorenz_full", ("trial", "window")),
                      ("lfads", "lorenz_causal", ("prefix", "trial")),
                      ("smc", "lorenz", ("causal",))),
           "reach": (("gru", "reach", ("causal",)), ("wiener", "reach", ("causal",)),
                     ("kalman", "reach", ("causal",))),
           "switching": (("dlds", "switching", ("causal",)),),
           "loop": (("refit", "loop", ("causal",)),),
           "rdm": tuple(("lowrank", name, ("causal",))
                        for name in ("rdm_teacher", "rdm_driven", "rdm_filtered")),
           "animals": (("marble", "animal_a", ("causal",)), ("marble", "animal_b", ("causal",))),
           **{recipe: tuple(("sae", f"{recipe}_{decoder}", ("trial", "window"))
                            for decoder in decoders)
              for recipe, decoders in sae_scoring.DECODERS.items()}}


def warm_up_bins(model):
    """Bins whose readout is neutral because lags, or a smoother, are not filled."""
    lags = {**model.hyper, **model.config.get("stage", {})}.get("lags", 1)
    return max(lags - 1, model.hyper.get("warmup_bins", 0))


def decode_reference(arch, model, counts, mode):
    """The float64 reference, readout limited as the stream's is."""
    run = importlib.import_module(f"{arch}.reference").run
    answer = run_trials(run, model, counts.astype(np.float64), mode)
    readout = answer.get("readout")
    if readout is not None:
        for i, entry in enumerate(model.config["outputs"]["readout"]):
            low, high = (x if x is not None else b for x, b in
                         ((entry["min"], -np.inf), (entry["max"], np.inf)))
            readout[..., i] = np.clip(readout[..., i], low, high)
            readout[:, :warm_up_bins(model), i] = entry["neutral"]
    return {"latents": answer.get("latents"), "readout": readout,
            "rates": np.exp(answer["lograte"]) if "lograte" in answer else None}


def decode(arch, name, counts, mode):
    """-> (outputs as published, model); the difference from the reference is printed."""
    path = MODELS / arch / f"{name}.safetensors"
    model, program = read_model(path), find_decoder()
    if program is None:
        return decode_reference(arch, model, counts, mode), model
    reference = decode_reference(arch, model, counts[:N_CHECKED], mode)
    stream = decode_stream(program, path, counts, mode, model.config["bin_width_us"] / 1000)
    for group, expected in reference.items():
        if expected is None:
            continue
        array = stream[group][:N_CHECKED]
        worst = np.abs(np.log(array / expected)).max() if group == "rates" else \
            np.abs(array - expected).max() / np.abs(expected).max()
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
    for arch, name, modes in SHIPPED["lorenz"]:
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
    for arch, name, (mode,) in SHIPPED["reach"]:
        outputs, _ = decode(arch, name, recording.part("test"), mode)
        columns = r2_per_column(truth, outputs["readout"])
        rates = "- | -"
        if outputs["rates"] is not None:
            r2 = r2_summary(recording.part("test", "rates"), outputs["rates"])["median"]
            rates = f"{r2:.3f} | {fresh_bits(recording, outputs['rates']):.3f}"
        rows.append(f"| {arch}/{name} | {columns.mean():.3f} | "
                    + " | ".join(f"{c:.3f}" for c in columns) + f" | {rates} |")
    bits = fresh_bits(recording, recording.part("test", "rates"))
    return rows + [f"| true rates (oracle) | - | " + "- | " * len(names) + f"1.000 | {bits:.3f} |"]


def switching_table():
    """Segments of the switching systems."""
    data = switching.simulate(switching.read_recipe())
    outputs, model = decode("dlds", "switching", data["counts"][data["split"]["test"]], "causal")
    rows = ["| model | segments right | states R2 |", "|---|---|---|"]
    for name, right, r2 in dlds_scoring.rows(outputs["latents"], len(model.weights["x0"]), data):
        rows.append(f"| {name} | {right:.3f} | {'-' if r2 is None else f'{r2:.3f}'} |")
    return rows


def rdm_table():
    """Random dots: the network, its LINT fit, and the spike filter on that."""
    def run(name, channels):
        outputs, _ = decode("lowrank", name, channels, "causal")
        return outputs["latents"], outputs["readout"]
    models = {name: read_model(MODELS / "lowrank" / f"{name}.safetensors")
              for _, name, _ in SHIPPED["rdm"]}
    return lowrank_scoring.table(lowrank_task.read_recipe(), models, run)


def loop_table():
    """Time to target in the simulated closed loop, which runs over the float64 reference."""
    weights = read_model(MODELS / "refit" / "loop.safetensors").weights
    return refit_scoring.table(loop.read_recipe(), weights)


def animals_table():
    """Decoders of one animal's embedding on another's."""
    seen = [marble_scoring.seen(f"animal_{name}", i, decode) for i, name in enumerate("ab")]
    return marble_scoring.table(seen)


def segments_table():
    """Neural-ODE and GRU auto-encoders on chaotic orbits. A stream whose window has just become
    full publishes what trial says of the window's last bin (test_shipped.py holds that), so one run
    gives the figures of both."""
    rows = list(sae_scoring.HEAD)
    for recipe in sae_scoring.DECODERS:
        recording = dataset.recipe_recording(recipe)
        for arch, name, modes in SHIPPED[recipe]:
            outputs, _ = decode(arch, name, recording.part("test"), "trial")
            rows += [sae_scoring.row(f"{arch}/{name}", mode, recording, outputs) for mode in modes]
        rows += sae_scoring.published(recipe)
    return rows


def cost_table():
    """What one bin costs, from the shapes."""
    rows = ["| file | KB | parameters | mode | state, bytes | multiply-adds per bin "
            "| weights read per bin, KB |",
            "|---|---|---|---|---|---|---|"]
    for models in SHIPPED.values():
        for arch, name, modes in models:
            path = MODELS / arch / f"{name}.safetensors"
            model = read_model(path)
            n_parameters = sum(a.size for a in model.weights.values())
            for mode in modes:
                if mode == "trial":
                    continue
                state, macs, weights = stream_cost(model, mode)
                rows.append(f"| {arch}/{name} | {path.stat().st_size / 1024:.0f} | {n_parameters} "
                            f"| {mode} | "
                            f"{state} | {macs} | {weights / 1024:.0f} |")
    return rows


TABLES = {"lorenz": lambda: rate_table(dataset.recipe_recording("lorenz")),
          "reach": lambda: readout_table(dataset.recipe_recording("reach")),
          "switching": switching_table, "loop": loop_table, "rdm": rdm_table,
          "animals": animals_table,
          "segments": segments_table, "cost": cost_table}


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
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true", help="into README.md and the cards")
    parser.add_argument("--tables", default=",".join(TABLES), metavar="NAME,NAME",
                        help="default: all, %(default)s")
    args = parser.parse_args()
    how = "latent-decode" if find_decoder() else "the references (latent-decode is not built)"
    print(f"scoring the output of {how} on held-out trials")
    tables = {name: make() for name, make in TABLES.items() if name in args.tables.split(",")}
    for name, rows in tables.items():
        print(f"\n{name}\n" + "\n".join(rows))
    if args.write:
        write_tables(tables)


if __name__ == "__main__":
    run_command(main)

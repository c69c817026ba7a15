#!/usr/bin/python3
"""Draw the figures of a benchmark run (run.sh --json FILE) as one SVG picture.

Needs python3-matplotlib."""
import argparse
import json
import pathlib

import matplotlib
import matplotlib.pyplot as plt

matplotlib.use("Agg")  # no window
LIMIT = "reading alone"
COLOURS = {"latentd": "#1b6ca8", "ONNX Runtime": "#e08e0b", "PyTorch": "#c0392b"}


def best(results, kind):
    """Typical microseconds of the fastest variant of an implementation, or None."""
    found = [result["typical_us"] for result in results if result["implementation"] == kind]
    return min(found, default=None)


def draw_rows(axes, rows):
    """One group of bars per row: a step of each implementation, back to back; a stroke: the time
    in which one core reads what the step must."""
    height = 0.8 / len(COLOURS)
    for i, row in enumerate(reversed(rows)):
        for j, (kind, colour) in enumerate(COLOURS.items()):
            value = best(row["hot"], kind)
            if value is None:
                continue
            y = i + 0.4 - (j + 0.5) * height
            axes.barh(y, value, height, color=colour, label=kind if i == 0 else None)
            axes.text(value * 1.07, y, f"{value:.0f}" if value >= 100 else f"{value:.3g}",
                      va="center", fontsize=7)
        if row["limit"]:
            axes.vlines(row["limit"]["limit_us"], i - 0.42, i + 0.42, color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), [row["name"] for row in reversed(rows)])
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_xlabel("a bin, microseconds (back to back, one thread)")
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    handles.append(plt.Line2D([], [], color="black", linewidth=1))
    axes.legend(handles, [*COLOURS, LIMIT], fontsize=7, frameon=False, ncol=len(handles),
                loc="lower left", bbox_to_anchor=(0, 1))


def draw_sweep(axes, sweep, what):
    for name, values in sweep["us"].items():
        axes.loglog(sweep["sizes"], values, marker="o", markersize=3, label=name)
    axes.set_xlabel(what)
    axes.set_ylabel("a bin, microseconds")
    axes.legend(fontsize=7, frameon=False)


def draw(report):
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), gridspec_kw={
        "width_ratios": (3, 2)})
    draw_rows(left, [row for row in report["rows"] if row["ratio_onnxruntime"]])
    draw_sweep(right, report["sweeps"]["channels"], "channels")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    about = report["machine"]
    figure.suptitle(f"{about['processor']}, {about['vector sets']}; {about['date']}", fontsize=8)
    figure.tight_layout()
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("json", type=pathlib.Path, help="what run.sh --json wrote")
    parser.add_argument("svg", type=pathlib.Path, help="the picture")
    options = parser.parse_args()
    matplotlib.rcParams["svg.hashsalt"] = "latentd"  # same figures, same bytes
    matplotlib.rcParams["svg.fonttype"] = "none"
    draw(json.loads(options.json.read_text())).savefig(options.svg, metadata={"Date": None})


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""Draw a live decode: the picture of the README.

  PYTHONPATH=build/release/python daemon/quickstart/picture.py --bin build/release/bin --out P.png

Needs python3-matplotlib besides what quickstart.sh needs.
"""
import argparse
import pathlib
import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np

from live import ROOT, STREAMS, View, take_all
from models import find_model
from rig import Rig

matplotlib.use("Agg")  # no window
SECONDS = 8
TRUE, DECODED = "0.55", "C3"


class Traces(View):
    """A view that keeps every bin: seq -> values."""

    def __init__(self, *args):
        super().__init__(*args)
        self.decoded_bins, self.true_bins = {}, {}
        on_frame, on_truth = self.score.on_frame, self.score.on_truth

        def keep_frame(frame, has_readout):
            self.decoded_bins[frame.seq] = frame
            on_frame(frame, has_readout)

        def keep_truth(truth):
            self.true_bins[truth.seq] = truth
            on_truth(truth)

        self.score.on_frame, self.score.on_truth = keep_frame, keep_truth

    def series(self, group):
        """-> seconds [T], true [T, N], decoded [T, N] of the bins both sides have."""
        seqs = sorted(seq for seq in self.decoded_bins.keys() & self.true_bins.keys()
                      if len(getattr(self.decoded_bins[seq], group)))
        true = np.array([getattr(self.true_bins[seq], group) for seq in seqs])
        decoded = np.array([getattr(self.decoded_bins[seq], group) for seq in seqs])
        bin_s = self._status["bin_width_us"] / 1e6
        return np.array(seqs) * bin_s, true, decoded


def record():
    """Both streams for SECONDS; -> views by name."""
    with Rig(arguments().bin, STREAMS, SECONDS) as rig:
        statuses = rig.statuses()
        views = [Traces(name, settings, statuses[name], rig.truth_endpoint(name))
                 for name, settings in STREAMS.items()]
        rig.start_sources({view.name: view.input for view in views})
        while any(source.ended() is None for source in rig.sources.values()):
            take_all(rig, views)
        take_all(rig, views)
        return {view.name: view for view in views}


def draw_lines(axes, time, true, decoded, labels):
    for i, label in enumerate(labels):
        panel = axes[i]
        panel.plot(time, true[:, i], color=TRUE, lw=2.2, label="truth")
        panel.plot(time, decoded[:, i], color=DECODED, lw=1.0, label="decoded live")
        panel.set_ylabel(label, fontsize=8)
        panel.tick_params(labelsize=7)
        panel.spines[["top", "right"]].set_visible(False)


def draw(views, path):
    figure, axes = plt.subplots(4, 1, figsize=(9, 6.2), height_ratios=(1, 1, 1, 1))
    time, true, decoded = views["reach"].series("readout")
    draw_lines(axes[:2], time, true, decoded, ("vx (mm/s)", "vy (mm/s)"))
    axes[0].set_title("reach: cursor velocity, gru, 96 channels, 10 ms bins", fontsize=9,
                      loc="left")
    axes[0].legend(fontsize=7, ncols=2, frameon=False, loc="lower right", bbox_to_anchor=(1, 1))
    time, true, decoded = views["lorenz"].series("rates")
    neurons = np.argsort(true.std(0))[[-8, -4]]
    draw_lines(axes[2:], time, true[:, neurons], decoded[:, neurons],
               [f"neuron {n} (Hz)" for n in neurons])
    axes[2].set_title("lorenz: firing rates, ndt in mode A, 29 channels, 20 ms bins, "
                      "a new trial every second", fontsize=9, loc="left")
    axes[3].set_xlabel("seconds", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=pathlib.Path, help="folder of the programs")
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="FILE.png")
    return parser.parse_args()


def main():
    args = arguments()
    for name, settings in STREAMS.items():
        settings["model"] = find_model(ROOT / "models" / settings["arch"], name, settings["mode"])
        settings["recipe"] = ROOT / "models" / f"{name}.json"
    draw(record(), args.out)
    print(f"{args.out}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())

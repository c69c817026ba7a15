#!/usr/bin/python3
"""Train a GRU decoder: rates and, where there is behaviour, a readout of it.

  models/gru/train.py --recipe lorenz --out lorenz.pt
  models/gru/train.py --recipe reach --hidden 96 --out reach.pt
  models/gru/train.py --in rec.h5:/spikes --behaviour rec.h5:/hand_vel --bin-ms 1 \
      --steps 300 --out mine.pt

Rates learn from hidden elements (single counts zeroed and predicted from the rest, as in
models/ndt/train.py); the readout learns from the same inputs by squared error on standardised
behaviour.
"""
import argparse

import numpy as np
import torch

from latent_models.common import dataset, training
from latent_models.common.metrics import bits_per_spike, r2_summary
from latent_models.common.model_file import readout_limits
from latent_models.common.refusal import Refusal, run_command
from latent_models.gru.network import GruDecoder, fold_scale


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    training.add_training_options(parser, steps=2000, batch=32, lr=3e-3, seed=1)
    parser.add_argument("--recipe", choices=("lorenz", "reach"), help="train on models/RECIPE.json")
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--hide", type=float, default=0.2, metavar="RATIO",
                        help="of elements hidden")
    parser.add_argument("--window", type=int, default=200, metavar="BINS",
                        help="longest training sequence")
    parser.add_argument("--lead-in", type=int, default=20, metavar="BINS",
                        help="of a window cut out of a longer trial, not counted in the readout's "
                             "error;\nof a recording without trials: half the window")
    parser.add_argument("--readout-weight", type=float, default=1.0)
    dataset.add_recording_options(parser)
    args = parser.parse_args()
    if bool(args.recipe) == bool(args.input):
        raise Refusal("give either --recipe or --in")
    return args


class Batches:
    """Random windows of the training trials, with standardised behaviour."""

    def __init__(self, args, recording):
        self.args, self.continuous = args, recording.continuous
        self.counts = torch.tensor(recording.part("train"), dtype=torch.float32)
        self.behaviour = None
        if recording.behaviour is not None:
            y, use = recording.part("train", "behaviour"), recording.used(recording.split["train"])
            y = y.astype(np.float64)
            self.mean, self.scale = y[use].mean(0), np.maximum(y[use].std(0), 1e-6)
            self.behaviour = torch.tensor((y - self.mean) / self.scale, dtype=torch.float32)
            self.use = torch.tensor(use, dtype=torch.float32)[..., None]

    def draw(self):
        """-> (counts [B, W, C], behaviour [B, W, O] and weights [B, W, 1] or None)."""
        n_bins = self.counts.shape[1]
        width = min(self.args.window, n_bins)
        first = int(torch.randint(0, n_bins - width + 1, ()))
        index = training.batch_of(self.counts, self.args.batch)
        part = slice(first, first + width)
        if self.behaviour is None:
            return self.counts[index, part], None, None
        use = self.use[index, part]
        use[:, :self.lead_in(first, width)] = 0
        return self.counts[index, part], self.behaviour[index, part], use

    def lead_in(self, first, width):
        """Bins until the state, zero at the window's start, has become what it is in a stream."""
        if first == 0 and not self.continuous:
            return 0
        return width // 2 if self.continuous else min(self.args.lead_in, width // 2)


def batch_loss(model, args, batches):
    counts, behaviour, use = batches.draw()
    seen, hidden = training.hide_elements(counts, args.hide)
    lograte, readout = model(seen)
    loss = training.masked_poisson(lograte, counts, hidden)
    if behaviour is not None:
        error = (use * (readout - behaviour) ** 2).mean(-1).sum() / use.sum().clamp(min=1)
        loss = loss + args.readout_weight * error
    return loss


def score(model, batches, recording):
    """Text on the validation trials."""
    counts = recording.part("valid")
    model.eval()
    with torch.no_grad():
        lograte, readout = model(torch.tensor(counts, dtype=torch.float32))
    model.train()
    rates = torch.exp(lograte).numpy()
    texts = [f"valid bits/spike {bits_per_spike(counts, rates):.3f}"]
    if recording.rates is not None:
        r2 = r2_summary(recording.part("valid", "rates"), rates)["median"]
        texts.append(f"rate R2 (median) {r2:.4f}")
    if readout is not None:
        truth = recording.part("valid", "behaviour")
        use = recording.used(recording.split["valid"])
        r2 = r2_summary(truth[use], (readout.numpy() * batches.scale + batches.mean)[use])
        texts.append(f"readout R2 {r2['mean']:.4f}")
    return "  ".join(texts)


def main():
    args = parse()
    recording = dataset.recipe_recording(args.recipe) if args.recipe else \
        dataset.read_recording(args)
    training.prepare(args)
    n_channels = recording.counts.shape[-1]
    batches = Batches(args, recording)
    n_readout = 0 if recording.behaviour is None else recording.behaviour.shape[-1]
    model = GruDecoder(n_channels, args.hidden, args.layers, n_channels, n_readout)
    with torch.no_grad():
        model.rate.bias.copy_(training.log_mean(recording.part("train")))
    seconds = training.fit(model, args, lambda _step: batch_loss(model, args, batches),
                           lambda: score(model, batches, recording))
    if seconds is None:
        return
    state, readout = model.state_dict(), []
    if n_readout:
        state = fold_scale(state, *(torch.tensor(x, dtype=torch.float32)
                                    for x in (batches.mean, batches.scale)))
        readout = readout_limits(recording, recording.behaviour_rows(recording.split["train"]))
    hyper = {"layers": args.layers, "hidden": args.hidden, "lograte": True}
    training.save_checkpoint(args, state, hyper, recording, readout, seconds=seconds)


if __name__ == "__main__":
    run_command(main)

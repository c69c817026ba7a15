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

import latent_models.common  # first: it names a package that is missing
import numpy as np
import torch

from latent_models.common import dataset, training
from latent_models.common.fitting import judge_readout
from latent_models.common.metrics import bits_per_spike, r2_summary
from latent_models.common.model_file import readout_limits
from latent_models.common.refusal import Parser, Refusal, number, run_command, whole
from latent_models.gru.network import GruDecoder, fold_scale


def parse():
    parser = Parser(__doc__)
    training.add_training_options(parser, steps=2000, batch=32, lr=3e-3, seed=1)
    parser.add_argument("--recipe", choices=("lorenz", "reach"), help="train on models/RECIPE.json")
    parser.add_argument("--hidden", type=whole(1, 16384), default=64)
    parser.add_argument("--layers", type=whole(1, 64), default=1)
    parser.add_argument("--hide", type=number(0, 0.99), default=0.2, metavar="RATIO",
                        help="of elements hidden")
    parser.add_argument("--window", type=whole(2), default=200, metavar="BINS",
                        help="longest training sequence")
    parser.add_argument("--lead-in", type=whole(0), default=20, metavar="BINS",
                        help="of a window cut out of a longer trial, not counted in the readout's "
                             "error;\nof a recording without trials: half the window")
    parser.add_argument("--readout-weight", type=number(0), default=1.0)
    dataset.add_recording_options(parser)
    return parser.parse_args()


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
    loss = 0 if lograte is None else training.masked_poisson(lograte, counts, hidden)
    if behaviour is not None:
        error = (use * (readout - behaviour) ** 2).mean(-1).sum() / use.sum().clamp(min=1)
        loss = loss + args.readout_weight * error
    return loss


def validate(model, batches, recording):
    """The validation trials -> (rates or None, behaviour and readout [rows, O] or None)."""
    model.eval()
    with torch.no_grad():
        lograte, readout = model(torch.tensor(recording.part("valid"), dtype=torch.float32))
    model.train()
    if readout is not None:
        use = recording.used(recording.split["valid"])
        readout = (recording.part("valid", "behaviour")[use],
                   (readout.numpy() * batches.scale + batches.mean)[use])
    return None if lograte is None else torch.exp(lograte).numpy(), readout


def score(model, batches, recording):
    """Text on the validation trials."""
    texts, (rates, readout) = [], validate(model, batches, recording)
    if rates is not None:
        texts.append(f"valid bits/spike {bits_per_spike(recording.part('valid'), rates):.3f}")
    if recording.rates is not None and rates is not None:
        r2 = r2_summary(recording.part("valid", "rates"), rates)["median"]
        texts.append(f"rate R2 (median) {r2:.4f}")
    if readout is not None:
        texts.append(f"readout R2 {r2_summary(*readout)['mean']:.4f}")
    return "  ".join(texts)


def make_model(args, recording):
    """A fresh model: rates of every channel where they are counts, a readout of the behaviour."""
    n_channels, is_counts = recording.counts.shape[-1], recording.kind == "counts"
    n_readout = 0 if recording.behaviour is None else recording.behaviour.shape[-1]
    if not is_counts and not n_readout:
        raise Refusal("--input real: without counts there are no rates to learn; give --behaviour")
    model = GruDecoder(n_channels, args.hidden, args.layers, n_channels * is_counts, n_readout)
    if is_counts:
        with torch.no_grad():
            model.rate.bias.copy_(training.log_mean(recording.part("train")))
    return model


def main():
    args = parse()
    recording = dataset.chosen_recording(args)
    training.prepare(args)
    batches, model = Batches(args, recording), make_model(args, recording)
    has_readout = recording.behaviour is not None
    facts = training.describe(
        {"layers": args.layers, "hidden": args.hidden, "lograte": True}, recording,
        readout_limits(recording, recording.split["train"]) if has_readout else [])

    def finished():
        state = model.state_dict()
        if has_readout:
            state = fold_scale(state, *(torch.tensor(x, dtype=torch.float32)
                                        for x in (batches.mean, batches.scale)))
        return training.contents(state, facts)

    seconds = training.fit(model, args, lambda _step: batch_loss(model, args, batches),
                           lambda: score(model, batches, recording), finished)
    if seconds is None:
        return
    if has_readout:
        judge_readout(args, recording, *validate(model, batches, recording)[1])
    training.save_checkpoint(args, finished(), seconds=seconds)


if __name__ == "__main__":
    run_command(main)

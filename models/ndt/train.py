#!/usr/bin/python3
"""Train an NDT on counts: by default on the Lorenz set of models/lorenz.json.

  models/ndt/train.py --causal --out causal.pt     bin t sees bins 0..t (modes A, C, trial)
  models/ndt/train.py --out full.pt                every bin sees the whole trial (modes C, trial)

Single elements are hidden (zeroed, the rest scaled up) and predicted from the others. A
full-context model starts with a causal mask: with the whole trial in view from the start it settles
on smoothing its neighbours.
"""

import latent_models.common  # first: it names a package that is missing
import torch

from latent_models.common import dataset, training
from latent_models.common.metrics import bits_per_spike, r2_summary
from latent_models.common.refusal import Parser, number, run_command, whole
from latent_models.ndt.network import Ndt


def parse():
    parser = Parser(__doc__)
    training.add_training_options(parser, steps=3000, batch=64, lr=2e-3, seed=1)
    parser.add_argument("--causal", action="store_true", help="no look-ahead")
    parser.add_argument("--causal-start", type=number(0, 1), default=0.3, metavar="FRACTION",
                        help="of the steps, with a causal mask (full context only)")
    parser.add_argument("--truncate", type=number(0, 1), default=0.25, metavar="FRACTION",
                        help="of the full-context steps, on a random first part of the trial, so "
                             "that mode C"
                        "\nis fit for windows that are not yet full (full context only)")
    parser.add_argument("--layers", type=whole(1, 64), default=4)
    parser.add_argument("--width", type=whole(1, 16384), default=64)
    parser.add_argument("--hidden", type=whole(1, 16384), default=128)
    parser.add_argument("--heads", type=whole(1, 256), default=2)
    parser.add_argument("--hide", type=number(0, 0.99), default=0.25, metavar="RATIO",
                        help="of elements hidden")
    parser.add_argument("--dropout", type=number(0, 0.99), default=0.0)
    parser.add_argument("--trial-bins", type=whole(2, 65536), default=50,
                        help="length a long recording is cut into")
    dataset.add_recording_options(parser)
    return parser.parse_args()


def build_hyper(args, n_bins):
    """latent.config.hyper of the model to be trained."""
    return {"layers": args.layers, "heads": args.heads, "width": args.width, "hidden": args.hidden,
            "embed": "linear", "embed_dim": 0, "max_count": 0, "pre_norm": True,
            "final_norm": "layer", "position": "learnt", "position_offset": True,
            "trial_bins": n_bins, "window_bins": n_bins,
            "context_forward": 0 if args.causal else -1, "context_backward": -1, "head_layers": 1,
            "lograte": True}


def build_model(args, recording):
    """A fresh model: a small embedding beside the positions, the output bias at the log mean."""
    n_channels = recording.counts.shape[-1]
    model = Ndt(build_hyper(args, recording.counts.shape[1]), n_channels, dropout=args.dropout)
    with torch.no_grad():
        model.embedder.weight.mul_(0.25)
        model.decoder[0].bias.copy_(training.log_mean(recording.part("train")))
    return model


def batch_loss(model, args, counts, step):
    """Poisson loss on the hidden elements of one batch of counts [K, T, C]."""
    x = counts[training.batch_of(counts, args.batch)]
    early = step < args.causal_start * args.steps
    model.hyper["context_forward"] = 0 if args.causal or early else -1
    if not args.causal and not early and torch.rand(()) < args.truncate:
        x = x[:, :int(torch.randint(1, x.shape[1] + 1, ()))]
    seen, hidden = training.hide_elements(x, args.hide)
    return training.masked_poisson(model(seen), x, hidden)


def score(model, args, recording):
    """Text on the validation trials."""
    model.hyper["context_forward"] = 0 if args.causal else -1
    model.eval()
    with torch.no_grad():
        rates = torch.exp(model(torch.tensor(recording.part("valid")))).numpy()
    model.train()
    if recording.rates is None:
        return f"valid bits/spike {bits_per_spike(recording.part('valid'), rates):.3f}"
    r2 = r2_summary(recording.part("valid", "rates"), rates)
    return f"valid rate R2 (median) {r2['median']:.4f}"


def main():
    args = parse()
    recording = dataset.own_trials(args, "ndt") if dataset.is_given(args) else \
        dataset.recipe_recording("lorenz")
    training.prepare(args)
    model = build_model(args, recording)
    counts = torch.tensor(recording.part("train"))
    highest = int(counts.max()) + 3  # beyond it the network was never trained: clamped
    facts = training.describe({**build_hyper(args, recording.counts.shape[1]),
                               "max_count": highest}, recording, [])

    def finished():
        return training.contents(model.state_dict(), facts)

    seconds = training.fit(model, args, lambda step: batch_loss(model, args, counts, step),
                           lambda: score(model, args, recording), finished)
    if seconds is not None:
        training.save_checkpoint(args, finished(), seconds=seconds)


if __name__ == "__main__":
    run_command(main)

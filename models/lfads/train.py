#!/usr/bin/python3
"""Train an LFADS: by default on the Lorenz set of models/lorenz.json.

  models/lfads/train.py --out full.pt                 both encoders look at the whole trial
  models/lfads/train.py --causal --out causal.pt      the controller looks back only, constant
                                                      initial condition: mode prefix, O(1) a bin
  models/lfads/train.py --in rec.h5:/spikes --bin-ms 10 --split /split --out mine.pt

Coordinated dropout: single elements are hidden (zeroed, the rest scaled up) and predicted from the
others. The divergence of the posteriors (initial condition, inferred inputs) from zero-mean
Gaussians counts in full after --kl-warm-up.
"""

import latent_models.common  # first: it names a package that is missing
import torch

from latent_models.common import dataset, training
from latent_models.common.metrics import bits_per_spike, r2_summary
from latent_models.common.refusal import Parser, number, run_command, whole
from latent_models.lfads.network import CLIP, Lfads


def parse():
    parser = Parser(__doc__)
    training.add_training_options(parser, steps=3000, batch=64, lr=3e-3, seed=1)
    parser.add_argument("--causal", action="store_true", help="no look-ahead")
    parser.add_argument("--lag", type=whole(0), metavar="BINS",
                        help="of the controller's input (default 1 as published; --causal: 0)")
    parser.add_argument("--encoder", type=whole(1, 16384), default=64,
                        help="width of each encoder cell")
    parser.add_argument("--controller", type=whole(1, 16384), default=64)
    parser.add_argument("--inputs", type=whole(1, 16384), default=2,
                        help="that the controller infers")
    parser.add_argument("--initial", type=whole(1, 16384), default=32,
                        help="width of the initial condition")
    parser.add_argument("--generator", type=whole(1, 16384), default=100)
    parser.add_argument("--factors", type=whole(1, 16384), default=10)
    parser.add_argument("--hide", type=number(0, 0.99), default=0.25, metavar="RATIO",
                        help="of elements hidden")
    parser.add_argument("--truncate", type=number(0, 1), default=0.25, metavar="FRACTION",
                        help="of the steps, on a random first part of the trial, so that mode "
                             "window is fit\nfor windows that are not yet full (not --causal)")
    parser.add_argument("--kl", type=number(0), default=0.1,
                        help="weight of the divergence in the end")
    parser.add_argument("--kl-warm-up", type=number(0, 1), default=0.5, metavar="FRACTION",
                        help="of the steps, over which the weight rises from 0")
    parser.add_argument("--trial-bins", type=whole(2, 65536), default=50,
                        help="length a long recording is cut into")
    dataset.add_recording_options(parser)
    return parser.parse_args()


def build_hyper(args, n_bins):
    """latent.config.hyper of the model to be trained."""
    lag = args.lag if args.lag is not None else int(not args.causal)
    return {"window_bins": n_bins, "trial_bins": n_bins, "prefix_bins": 0, "readin_dim": 0,
            "ic_enc_dim": 0 if args.causal else args.encoder, "ci_enc_dim": args.encoder,
            "con_dim": args.controller, "co_dim": args.inputs, "ic_dim": args.initial,
            "gen_dim": args.generator, "fac_dim": args.factors, "ext_input_dim": 0,
            "ci_bidirectional": not args.causal, "ci_lag": lag, "cell_clip": CLIP,
            "reconstruction": "poisson", "latents": "factors", "samples": 0}


def batch_loss(model, args, counts, step):
    """Poisson loss on the hidden elements of one batch of counts [K, T, C], and the divergence per
    element."""
    x = counts[training.batch_of(counts, args.batch)]
    if not args.causal and torch.rand(()) < args.truncate:
        x = x[:, :int(torch.randint(2, x.shape[1] + 1, ()))]
    seen, hidden = training.hide_elements(x, args.hide)
    lograte, divergence = model(seen)
    warm = min(step / max(args.kl_warm_up * args.steps, 1), 1.0)
    penalty = divergence.mean() / x[0].numel()
    return training.masked_poisson(lograte, x, hidden) + args.kl * warm * penalty


def score(model, recording, part="valid"):
    """Text on the trials of a split."""
    counts = recording.part(part)
    model.eval()
    with torch.no_grad():
        rates = torch.exp(model(torch.tensor(counts))[0]).numpy()
    model.train()
    if recording.rates is None:
        return f"{part} bits/spike {bits_per_spike(counts, rates):.3f}"
    r2 = r2_summary(recording.part(part, "rates"), rates)
    return f"{part} rate R2 (median) {r2['median']:.4f}"


def main():
    args = parse()
    recording = dataset.own_trials(args, "lfads") if dataset.is_given(args) else \
        dataset.recipe_recording("lorenz")
    training.prepare(args)
    hyper = build_hyper(args, recording.counts.shape[1])
    model = Lfads(hyper, recording.counts.shape[2])
    with torch.no_grad():
        model.readout.bias.copy_(training.log_mean(recording.part("train")))
        model.readout.weight.mul_(0.3)
    counts = torch.tensor(recording.part("train"))
    facts = training.describe(hyper, recording, [])

    def finished():
        return training.contents(model.tensors(), facts)

    seconds = training.fit(model, args, lambda step: batch_loss(model, args, counts, step),
                           lambda: score(model, recording), finished)
    if seconds is None:
        return
    print(score(model, recording, "test"))
    training.save_checkpoint(args, finished(), seconds=seconds)


if __name__ == "__main__":
    run_command(main)

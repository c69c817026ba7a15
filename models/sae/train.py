#!/usr/bin/python3
"""Train a sequential auto-encoder on segments of a chaotic orbit, or on a recording.

  models/sae/train.py --recipe arneodo --out node.pt                  a neural ODE
  models/sae/train.py --recipe arneodo --decoder gru --out gru.pt     a GRU in its place
  models/sae/train.py --in rec.h5:/counts --bin-ms 10 --latent 8 --out mine.pt

The encoder always sees the whole window; the loss counts its first bins only, and more of them as
the training goes on: a decoder that has to be right for the whole window from the start does not
find the dynamics. Single elements of the input are hidden (zeroed, the rest scaled up); the loss
counts them too.
"""

import latent_models.common  # first: it names a package that is missing
import torch

from latent_models.common import dataset, training
from latent_models.common.metrics import bits_per_spike, r2_summary, state_r2
from latent_models.common.refusal import Parser, number, run_command, whole
from latent_models.sae.network import Sae


def parse():
    parser = Parser(__doc__)
    training.add_training_options(parser, steps=2000, batch=256, lr=4e-3, seed=1)
    parser.add_argument("--recipe", choices=("arneodo", "rossler", "lorenz_sae"),
                        help="train on models/RECIPE.json")
    parser.add_argument("--decoder", choices=("node", "gru"), default="node")
    parser.add_argument("--latent", type=whole(1, 16384), default=3, metavar="DIM")
    parser.add_argument("--hidden", type=whole(1, 16384), default=128,
                        help="of a node's vector field")
    parser.add_argument("--encoder-size", type=whole(1, 16384), default=64)
    parser.add_argument("--step", type=number(above=0), default=0.1,
                        help="of a node: its time from bin to bin (a unit, no accuracy: the field "
                             "\nlearns best where a bin changes z by about as much)")
    parser.add_argument("--substeps", type=whole(1, 1000), default=1,
                        help="of the Runge-Kutta method per bin: more for stiff systems")
    parser.add_argument("--first-bins", type=whole(1), default=10,
                        help="that the first step's loss counts")
    parser.add_argument("--gradual", type=number(0, 1), default=0.5, metavar="FRACTION",
                        help="of the steps until the loss counts the whole window")
    parser.add_argument("--hide", type=number(0, 0.99), default=0.1, metavar="RATIO",
                        help="of elements hidden from the encoder")
    parser.add_argument("--trial-bins", type=whole(2, 65536), default=70,
                        help="length a long recording is cut into")
    dataset.add_recording_options(parser)
    return parser.parse_args()


def build_hyper(args, n_bins):
    """latent.config.hyper of the model to be trained."""
    hyper = {"window_bins": n_bins, "encoder_size": args.encoder_size, "latent_dim": args.latent,
             "decoder": args.decoder, "first_output": "z0" if args.decoder == "node" else "step"}
    if args.decoder == "node":
        hyper.update(hidden=args.hidden, solver="rk4", step=args.step, substeps=args.substeps)
    return hyper


def bins_in_loss(args, n_bins, step):
    """Bins that the loss counts at this step."""
    share = min(step / max(args.gradual * args.steps, 1), 1.0)
    first = min(args.first_bins, n_bins)
    return first + int(share * (n_bins - first))


def batch_loss(model, args, counts, step):
    """Poisson loss of one batch of counts [K, T, C]."""
    x = counts[training.batch_of(counts, args.batch)]
    n = bins_in_loss(args, counts.shape[1], step)
    seen, _ = training.hide_elements(x, args.hide)
    lograte, _ = model(seen, n)
    return training.poisson(lograte, x[:, :n]).mean()


def score(model, recording):
    """Text on the validation trials."""
    counts = recording.part("valid")
    model.eval()
    with torch.no_grad():
        lograte, latents = model(torch.tensor(counts))
    model.train()
    rates = torch.exp(lograte).numpy()
    if recording.rates is None:
        return f"valid bits/spike {bits_per_spike(counts, rates):.3f}"
    r2 = r2_summary(recording.part("valid", "rates"), rates)
    text = f"valid rate R2 {r2['mean']:.4f}, median {r2['median']:.4f}"
    if recording.latents is None:
        return text
    states = state_r2(recording.part("valid", "latents"), latents.numpy())
    return f"{text}  state R2 {states:.4f}"


def main():
    args = parse()
    recording = dataset.chosen_recording(args) if args.recipe else \
        dataset.own_trials(args, "sae")
    training.prepare(args)
    hyper = build_hyper(args, recording.counts.shape[1])
    model = Sae(hyper, recording.counts.shape[2])
    with torch.no_grad():
        model.readout.bias.copy_(training.log_mean(recording.part("train")))
    counts = torch.tensor(recording.part("train"))
    facts = training.describe(hyper, recording, [])

    def finished():
        return training.contents(model.state_dict(), facts)

    seconds = training.fit(model, args, lambda step: batch_loss(model, args, counts, step),
                           lambda: score(model, recording), finished)
    if seconds is not None:
        training.save_checkpoint(args, finished(), seconds=seconds)


if __name__ == "__main__":
    run_command(main)

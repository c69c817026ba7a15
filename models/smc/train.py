#!/usr/bin/python3
"""Train a stochastic low-rank RNN and its encoder by variational sequential Monte Carlo.

  models/smc/train.py --recipe lorenz --out lorenz.pt
  models/smc/train.py --in rec.h5:/spikes --behaviour rec.h5:/hand_vel --bin-ms 20 --out mine.pt

The bound on the log-likelihood is the sum of the log mean weights of a particle filter that
resamples at every bin; gradients do not go through the choice of ancestors. Behaviour, where there
is any, is read out of the filtered latents by least squares after the training.
"""

import latent_models.common  # first: it names a package that is missing
import numpy as np
import torch

from latent_models.common import dataset, training
from latent_models.common.fitting import judge_readout
from latent_models.common.metrics import bits_per_spike, r2_summary
from latent_models.common.model_file import readout_limits
from latent_models.common.refusal import Parser, number, run_command, whole
from latent_models.smc.network import ACTIVATIONS, RATES, Smc


def parse():
    parser = Parser(__doc__)
    training.add_training_options(parser, steps=1500, batch=16, lr=3e-3, seed=1)
    parser.add_argument("--recipe", choices=("lorenz", "reach"), help="train on models/RECIPE.json")
    parser.add_argument("--latents", type=whole(1, 16384), default=4)
    parser.add_argument("--hidden", type=whole(1, 16384), default=128, help="units of the RNN")
    parser.add_argument("--channels", type=whole(1, 16384), nargs=2, default=(48, 32),
                        help="of the two convolutions")
    parser.add_argument("--kernels", type=whole(1, 1024), nargs=3, default=(10, 3, 2),
                        help="taps of the two convolutions and of the heads")
    parser.add_argument("--activation", choices=tuple(ACTIVATIONS), default="clipped_relu")
    parser.add_argument("--rate", choices=tuple(RATES), default="exp")
    parser.add_argument("--train-particles", type=whole(1, 4096), default=16)
    parser.add_argument("--hide", type=number(0, 0.99), default=0.2, metavar="RATIO",
                        help="of elements hidden from the encoder (they are scored all the same)")
    parser.add_argument("--window", type=whole(2), default=100, metavar="BINS",
                        help="longest training sequence")
    dataset.add_recording_options(parser)
    return parser.parse_args()


def batch_loss(model, args, counts):
    """Negative bound per bin and channel on a random window of some trials."""
    width = min(args.window, counts.shape[1])
    first = int(torch.randint(0, counts.shape[1] - width + 1, ()))
    batch = counts[training.batch_of(counts, args.batch), first:first + width]
    seen, _ = training.hide_elements(batch, args.hide)
    likelihood, _, _ = model.filter(seen, batch, args.train_particles)
    return -likelihood.mean() / counts.shape[-1]


def filtered(model, counts, seed=0, n_particles=64):
    """counts [K, T, C] -> latents [K, T, S], rates [K, T, N]; the same draws every time."""
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    with torch.no_grad():
        counts = torch.tensor(counts, dtype=torch.float32)
        _, latents, rates = model.filter(counts, counts, n_particles)
    torch.set_rng_state(state)
    return latents.numpy().astype(np.float64), rates.numpy().astype(np.float64)


def score(model, recording):
    """Text on the validation trials."""
    counts = recording.part("valid")
    _, rates = filtered(model, counts)
    texts = [f"valid bits/spike {bits_per_spike(counts, rates):.3f}"]
    if recording.rates is not None:
        r2 = r2_summary(recording.part("valid", "rates"), rates)["median"]
        texts.append(f"rate R2 (median) {r2:.4f}")
    return "  ".join(texts)


def fit_readout(args, model, recording):
    """Affine map of the filtered latents to behaviour -> tensors, entries of the readout."""
    if recording.behaviour is None:
        return {}, []
    index = recording.split["train"]
    latents, _ = filtered(model, recording.part("train"))
    behaviour = recording.behaviour_rows(index).astype(np.float64)
    flat = latents[recording.used(index)]
    design = np.hstack([flat, np.ones((len(flat), 1))])
    weight = np.linalg.lstsq(design, behaviour, rcond=None)[0].T
    index = recording.split["valid"]
    use = recording.used(index)
    found = filtered(model, recording.part("valid"))[0][use] @ weight[:, :-1].T + weight[:, -1]
    judge_readout(args, recording, recording.behaviour[index][use], found)
    tensors = {"readout.weight": torch.tensor(weight[:, :-1]),
               "readout.bias": torch.tensor(weight[:, -1])}
    return tensors, readout_limits(recording, recording.split["train"])


def main():
    args = parse()
    recording = dataset.chosen_recording(args)
    dataset.need_counts(recording, "smc")
    training.prepare(args)
    counts = torch.tensor(recording.part("train"), dtype=torch.float32)
    model = Smc(training.log_mean(recording.part("train")), latents=args.latents, units=args.hidden,
                channels=args.channels, kernels=args.kernels, activation=args.activation,
                rate=args.rate)
    hyper = {"activation": args.activation, "rate": args.rate}
    facts = training.describe(hyper, recording, [])
    seconds = training.fit(model, args, lambda _step: batch_loss(model, args, counts),
                           lambda: score(model, recording),
                           lambda: training.contents(model.state_dict(), facts))
    if seconds is None:
        return
    tensors, readout = fit_readout(args, model, recording)
    training.save_checkpoint(args, training.contents(
        {**model.state_dict(), **tensors}, training.describe(hyper, recording, readout)),
        seconds=seconds)


if __name__ == "__main__":
    run_command(main)

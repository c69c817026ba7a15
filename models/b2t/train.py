#!/usr/bin/python3
"""Train a small brain-to-text GRU on simulated speech, with CTC.

  models/b2t/train.py --out speech.pt
  models/b2t/export.py speech.pt OUT.safetensors --args speech.yaml --normalise window-trials

Trials are those of models/speech.json (latent-sim), z-scored by the training trials. Beside OUT
stands its args.yaml, named as OUT, with what the public trainer would say of it. (One's own
recording is trained by the public trainer: export.py reads what that saves.)
"""
import json
from pathlib import Path

import latent_models.common  # first: it names a package that is missing
import numpy as np
import torch

from latent_models.b2t import phonemes
from latent_models.b2t.arguments import smoothing_taps
from latent_models.b2t.network import BrainToText
from latent_models.common import dataset, training
from latent_models.common.files import check_output, output
from latent_models.common.refusal import Parser, number, run_command, whole

SESSION = "sim.2026.11.30"
SMOOTH_SD, SMOOTH_SIZE = 2, 100
SD_LEAST = 1e-3  # of a channel
ARGS = """model:
  n_input_features: {n_features}
  n_units: {n_units}
  n_layers: {n_layers}
  patch_size: {window}
  patch_stride: {stride}
  input_network:
    n_input_layers: 1
dataset:
  n_classes: {n_classes}
  neural_dim: {n_features}
  data_transforms:
    smooth_data: true
    smooth_kernel_std: {sd}
    smooth_kernel_size: {size}
  sessions:
  - {session}
"""


def parse():
    parser = Parser(__doc__)
    training.add_training_options(parser, steps=400, batch=32, lr=4e-3, seed=1)
    parser.add_argument("--recipe", choices=("speech",), default="speech",
                        help="train on models/RECIPE.json (default)")
    parser.add_argument("--hidden", type=whole(1, 4096), default=96)
    parser.add_argument("--layers", type=whole(1, 64), default=2)
    parser.add_argument("--window", type=whole(1, 4096), default=14, metavar="BINS")
    parser.add_argument("--stride", type=whole(1, 4096), default=4, metavar="BINS")
    parser.add_argument("--dropout", type=number(0, 0.9), default=0.2)
    parser.add_argument("--noise", type=number(0), default=0.3, metavar="SD",
                        help="added to the z-scores of each bin")
    parser.add_argument("--offset", type=number(0), default=0.1, metavar="SD",
                        help="added to those of a whole trial")
    return parser.parse_args()


class Speech:
    """Trials as z-scores [K, T, C], and what was said in them."""

    def __init__(self, recording):
        counts = recording.part("train").astype(np.float64)
        mean, deviation = counts.mean((0, 1)), np.maximum(counts.std((0, 1)), SD_LEAST)
        self.z = {part: torch.tensor((recording.part(part) - mean) / deviation,
                                     dtype=torch.float32) for part in recording.split}
        self.said = {part: [phonemes.said(row[:, 0]) for row in recording.part(part, "behaviour")]
                     for part in recording.split}


def batch_loss(model, args, speech):
    """CTC of random training trials."""
    index = training.batch_of(speech.z["train"], args.batch)
    z = speech.z["train"][index]
    z = z + args.noise * torch.randn_like(z) + args.offset * torch.randn(len(z), 1, z.shape[2])
    true = [torch.tensor(speech.said["train"][int(i)]) for i in index]
    logits = model(z).transpose(0, 1)
    return torch.nn.functional.ctc_loss(
        torch.log_softmax(logits, -1), torch.cat(true),
        torch.full((len(z),), len(logits), dtype=torch.long),
        torch.tensor([len(t) for t in true]), blank=phonemes.BLANK, zero_infinity=True)


def score(model, speech):
    """Text on the validation trials."""
    model.eval()
    with torch.no_grad():
        logits = model(speech.z["valid"]).numpy()
    model.train()
    found = [phonemes.greedy(rows) for rows in logits]
    return f"valid phoneme error {phonemes.error_rate(found, speech.said['valid']):.3f}"


def facts_of(recording):
    """The network takes z-scores, latentd counts: the model file's normalisation is between."""
    facts = json.loads(training.describe({}, recording, []))
    return json.dumps({**facts, "input": "counts"})


def main():
    args = parse()
    beside = Path(args.out).with_suffix(".yaml")
    check_output(beside)
    recording = dataset.recipe_recording(args.recipe)
    training.prepare(args)
    sizes = {"n_features": recording.counts.shape[-1], "n_units": args.hidden,
             "n_layers": args.layers, "n_classes": len(phonemes.LABELS)}
    speech = Speech(recording)
    model = BrainToText(sizes, args.window, args.stride, smoothing_taps(SMOOTH_SD, SMOOTH_SIZE),
                        dropout=args.dropout)
    facts = facts_of(recording)

    def finished():
        return training.contents(model.state_dict(), facts)

    seconds = training.fit(model, args, lambda _step: batch_loss(model, args, speech),
                           lambda: score(model, speech), finished)
    if seconds is None:
        return
    with output(beside) as part:
        Path(part).write_text(ARGS.format(**sizes, window=args.window, stride=args.stride,
                                          sd=SMOOTH_SD, size=SMOOTH_SIZE, session=SESSION))
    training.save_checkpoint(args, finished(), seconds=seconds)


if __name__ == "__main__":
    run_command(main)

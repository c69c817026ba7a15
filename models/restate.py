#!/usr/bin/python3
"""Write a model file again with what a recording of its training says of its input and its readout.

Longest runs without a signal, what reaches the model of each channel, the slew of each dimension,
and limits where the file has none: as the trainers write them. Weights stay as they are, means and
variances too, and known answers unless their input is clipped now.
"""
import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common import dataset, model_file, registry, stage
from latent_models.common.files import output_name
from latent_models.common.refusal import Parser, Refusal, run_command

SAME = 0.1  # of a standard deviation: how far the means of the same training may be apart


def input_of(model, recording, path):
    """The channels entry, with the file's own names, means and variances."""
    kind = model.config.get("input", "counts")
    if recording.counts.shape[-1] != model.config["n_channels"]:
        raise Refusal(f"{path}: {model.config['n_channels']} channels, the recording has "
                      f"{recording.counts.shape[-1]}")
    if round(recording.bin_ms * 1000) != model.config["bin_width_us"]:
        raise Refusal(f"{path}: bins of {model.config['bin_width_us'] / 1000:g} ms, the recording "
                      f"has {recording.bin_ms:g} ms")
    new = model_file.training_channels(recording.part("train").astype(np.float64), kind)
    old = model.config.get("channels", {})
    if "mean" in old:
        off = np.abs(np.array(new["mean"]) - old["mean"])
        far = off > SAME * np.sqrt(np.array(new["variance"])) + 1e-6
        if far.any():
            i = int(np.flatnonzero(far)[0])
            raise Refusal(f"{path} was not trained on this recording: mean of channel {i} "
                          f"{old['mean'][i]:g}, found {new['mean'][i]:g}")
    return {**new, **{k: v for k, v in old.items() if k in ("names", "mean", "variance")}}


def readout_of(model, recording, path):
    entries = model.config["outputs"]["readout"]
    if not entries or recording.behaviour is None:
        return entries
    if recording.behaviour.shape[-1] != len(entries):
        raise Refusal(f"{path}: a readout of {len(entries)}, the behaviour has "
                      f"{recording.behaviour.shape[-1]} columns")
    named = dict(zip(("names", "units"), zip(*((e["name"], e["unit"]) for e in entries))))
    recording.names, recording.units = named["names"], named["units"]
    found = model_file.readout_limits(recording, recording.split["train"])
    return [{**entry, "slew": new["slew"],
             **{k: new[k] for k in ("min", "max") if entry[k] is None and
                new["min"] <= entry["neutral"] <= new["max"]}}
            for entry, new in zip(entries, found)]


def answer_again(model):
    """Where the file's own input is clipped now, the answer is another."""
    counts = model.selftest["selftest.input"]
    if (stage.clipped(model.config, counts) == counts).all():
        return False
    run = registry.part(model.config["arch"], "reference").run
    model_file.run_selftest(model, run, len(counts), counts)
    return True


def main():
    parser = Parser(__doc__)
    parser.add_argument("model", metavar="IN.safetensors", help="a model file of latentd")
    parser.add_argument("output", type=output_name, metavar="OUT.safetensors")
    parser.add_argument("--recipe", metavar="NAME", help="trained on models/NAME.json")
    dataset.add_recording_options(parser)
    args = parser.parse_args()
    model, recording = model_file.read_exact(args.model), dataset.chosen_recording(args)
    model.config["channels"] = input_of(model, recording, args.model)
    model.config["outputs"]["readout"] = readout_of(model, recording, args.model)
    again = answer_again(model)
    model_file.write_model(args.output, model)
    channels = model.config["channels"]
    print(f"{args.output}: longest silence {channels.get('longest_silence', '-')}, longest repeat "
          f"{channels['longest_repeat']} bins, clip {min(channels['clip']):.3g} to "
          f"{max(channels['clip']):.3g}"
          f"{', known answers computed again' if again else ''}")
    for entry in model.config["outputs"]["readout"]:
        print(f"  {entry['name']}: {entry['min']} to {entry['max']} {entry['unit']}, slew "
              f"{entry['slew']} per second")


if __name__ == "__main__":
    run_command(main)

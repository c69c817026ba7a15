"""What the least-squares trainers (kalman, wiener) share."""
import argparse
import json

from latent_models.common import dataset, safetensors
from latent_models.common.model_file import channel_table, command_line, readout_limits
from latent_models.common.refusal import Refusal


def fit_parser(text):
    """Options of a least-squares trainer."""
    parser = argparse.ArgumentParser(description=text,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", required=True, metavar="CHECKPOINT.safetensors",
                        help="what export.py reads")
    parser.add_argument("--recipe", choices=("reach",), help="fit on models/RECIPE.json")
    dataset.add_recording_options(parser)
    return parser


def fit_recording(args):
    """The recording the options name; it must have behaviour."""
    if bool(args.recipe) == bool(args.input):
        raise Refusal("give either --recipe or --in")
    recording = dataset.recipe_recording(args.recipe) if args.recipe else \
        dataset.read_recording(args)
    if recording.behaviour is None:
        raise Refusal("no behaviour to fit: give --behaviour FILE.h5:/dataset")
    return recording


def save_fit(path, tensors, hyper, recording):
    """Tensors, and beside them the facts that the model file must state."""
    flat = recording.part("train").reshape(-1, recording.counts.shape[-1])
    facts = {"bin_width_us": round(recording.bin_ms * 1000), "hyper": hyper,
             "readout": readout_limits(recording,
                                       recording.behaviour_rows(recording.split["train"])),
             "channels": channel_table(flat.mean(0), flat.var(0)),
             "source": f"{command_line()}, data: {recording.source}"}
    if recording.licence:
        facts["licence"] = recording.licence
    safetensors.write(path, tensors, {"latent": json.dumps(facts)})
    print(f"{path}: written")

"""What the least-squares trainers (kalman, wiener) share."""
import json
import sys

from latent_models.common import dataset, safetensors
from latent_models.common.files import output_name
from latent_models.common.metrics import r2_per_column, r2_summary
from latent_models.common.model_file import command_line, readout_limits, training_channels
from latent_models.common.refusal import Parser, Refusal


def fit_parser(text):
    """Options of a least-squares trainer."""
    parser = Parser(text)
    parser.add_argument("--out", required=True, type=output_name, metavar="CHECKPOINT.safetensors",
                        help="what export.py reads")
    parser.add_argument("--recipe", choices=("reach",), help="fit on models/RECIPE.json")
    dataset.add_recording_options(parser)
    return parser


def fit_recording(args):
    """The recording the options name; it must have behaviour."""
    recording = dataset.chosen_recording(args)
    if recording.behaviour is None:
        raise Refusal("no behaviour to fit: give --behaviour FILE.h5:/dataset")
    return recording


def judge_readout(args, recording, truth, found):
    """Refuse to write a fit that explains nothing of held-out behaviour [rows, O], without --force;
    warn of a single dimension of it, by name."""
    weighted = r2_summary(truth, found)["weighted"]
    each = list(zip(recording.names, r2_per_column(truth, found)))
    if weighted > 0:
        for name, r2 in each:
            if not r2 > 0:
                print(f"warning: {name} is not explained (R2 {r2:.4f} on {len(truth)} held-out "
                      f"bins)", file=sys.stderr)
        return
    said = (f"nothing of the held-out behaviour is explained (R2 {weighted:.4f}, weighted by "
            f"variance, on {len(truth)} bins: "
            f"{', '.join(f'{name} {r2:.4f}' for name, r2 in each)})")
    if not args.force:
        raise Refusal(f"{said}: nothing written. Expected more than 0: does the behaviour lie on "
                      f"these bins (its times, clock and unit), is the training long enough? "
                      f"--force writes it all the same")
    print(f"warning: {said}", file=sys.stderr)


def save_fit(path, tensors, hyper, recording):
    """Tensors, and beside them the facts that the model file must state."""
    facts = {"bin_width_us": round(recording.bin_ms * 1000), "hyper": hyper,
             "readout": readout_limits(recording, recording.split["train"]),
             "channels": training_channels(recording.part("train"), recording.kind),
             "source": f"{command_line()}, data: {recording.source}"}
    if recording.licence:
        facts["licence"] = recording.licence
    if recording.kind != "counts":
        facts["input"] = recording.kind
    safetensors.write(path, tensors, {"latent": json.dumps(facts)})
    print(f"{path}: written")

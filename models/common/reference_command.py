"""The command around every reference.py: a model file and counts in, float64 answers out."""

import numpy as np

from latent_models.common.dataset import read_counts
from latent_models.common.files import output_name
from latent_models.common.model_file import read_model
from latent_models.common.normalise import Normaliser
from latent_models.common.refusal import Parser, Refusal
from latent_models.common.stage import staged


def reference_main(run, text):
    """run: the architecture's run(weights, config, counts, mode)."""
    import h5py
    parser = Parser(text)
    parser.add_argument("model", metavar="MODEL.safetensors")
    parser.add_argument("input", metavar="IN.h5:/dataset",
                        help="counts [time, channels], or [trials, time, channels] (reset at each)")
    parser.add_argument("output", type=output_name, metavar="OUT.h5",
                        help="gets latents, lograte (log expected count per bin), readout: float64")
    parser.add_argument("--mode", help="default: the file's first mode")
    args = parser.parse_args()
    model = read_model(args.model)
    mode = args.mode or model.config["modes"][0]
    if mode not in model.config["modes"]:
        raise Refusal(f"{args.model}: mode {mode} is not among {', '.join(model.config['modes'])}")
    counts = read_counts(args.input, model.config["bin_width_us"] / 1000,
                         model.config.get("input", "counts"))
    answers = run_trials(run, model, counts, mode)
    with h5py.File(args.output, "w") as f:
        for name, array in answers.items():
            f[name] = array
        f.attrs["mode"] = mode
        f.attrs["bin_width_ms"] = model.config["bin_width_us"] / 1000


def run_trials(run, model, counts, mode):
    """counts [T, C] or [K, T, C] -> dict of float64 arrays with the same leading axes."""
    if counts.shape[-1] != model.config["n_channels"]:
        raise Refusal(f"the counts have {counts.shape[-1]} channels, "
                      f"the model {model.config['n_channels']}")
    trials = counts if counts.ndim == 3 else counts[None]
    try:
        normaliser = Normaliser(model.config) if "normalise" in model.config else None
        answers = [staged(run, normaliser)(model.weights, model.config, trial, mode)
                   for trial in trials]
    except (LookupError, TypeError, ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        raise Refusal(f"the reference cannot compute ({type(error).__name__}: {error}): does "
                      f"latent-decode open this model file?") from error
    stacked = {k: np.stack([a[k] for a in answers]) for k in answers[0]
               if answers[0][k] is not None}
    return stacked if counts.ndim == 3 else {k: v[0] for k, v in stacked.items()}

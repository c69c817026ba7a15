#!/usr/bin/python3
"""A decoder fitted anew to a day's record: from the record of a stream to a candidate in shadow.

  models/recalibrate.py arm.record --behaviour vel.h5:/velocity --behaviour-times /time_s \\
      --out arm-today.safetensors --stream arm
  models/recalibrate.py arm.record --model OLD.safetensors --behaviour vel.h5:/velocity \\
      --out arm-today.safetensors

Bins that the record says were decoded, and behaviour beside them, go to the trainer of the model's
family with the model's own options (kalman, wiener, gru; of any model with a readout stage, the
stage alone). The last fifth in time is held out and never fitted: there the model in use and the
new one are decoded and compared. Names, units, limits, slew and neutral values stay those of the
model in use. With --stream the new one then runs in shadow, and with --promote it is promoted when
it is warm; one that is no better is neither, without --force.
"""
import dataclasses
import hashlib
import shlex
import subprocess
import tempfile
import time
from pathlib import Path

import latent_models.common  # first: it names a package that is missing
import numpy as np

from latent_models.common import day as days
from latent_models.common import stream
from latent_models.common.dataset import cut, split_end
from latent_models.common.files import output_name
from latent_models.common.metrics import r2_per_column, r2_summary
from latent_models.common.model_file import command_line, read_model, write_model
from latent_models.common.programs import need_program
from latent_models.common.refusal import Parser, Refusal, number, run_command

MODELS = Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"
N_PIECES = 10  # as the trainers cut a continuous recording: the last fifth is held out
EXIT_NO_BETTER = 1


@dataclasses.dataclass
class Case:
    """What is fitted: the model in use and its file, the file of today's bins, where to work."""

    old: object
    path: Path
    data: Path
    folder: Path
    bin_ms: float
    counts: np.ndarray = None
    behaviour: np.ndarray = None
    use: np.ndarray = None


def parse():
    parser = Parser(__doc__)
    parser.add_argument("record", metavar="RECORD", help="of the stream, by latentd")
    parser.add_argument("--out", required=True, type=output_name, metavar="NEW.safetensors")
    parser.add_argument("--model", metavar="OLD.safetensors",
                        help="the model in use (default: that of the record)")
    parser.add_argument("--least", type=number(above=0), default=120, metavar="SECONDS",
                        help="of bins with behaviour that the record must have (default: 120)")
    parser.add_argument("--force", action="store_true",
                        help="write and shadow one that is no better, too")
    parser.add_argument("--train", type=shlex.split, default=[], metavar="'OPTIONS'",
                        help="more options of the family's trainer, e.g. '--steps 500'")
    group = parser.add_argument_group("behaviour: a record has none of its own")
    group.add_argument("--behaviour", metavar="FILE.h5:/DATASET",
                       help="[..., dims], a row for each bin by its number (seq) from 0 on,\n"
                            "unless the next options say otherwise")
    group.add_argument("--behaviour-seq", metavar="/DATASET", help="number of each row's bin")
    group.add_argument("--behaviour-times", metavar="/DATASET",
                       help="time of each row on the source's clock (t_source_ns)")
    group.add_argument("--behaviour-clock-hz", type=number(above=0), default=1.0, metavar="HZ",
                       help="of those times (default: 1, seconds)")
    group.add_argument("--max-gap", type=number(above=0), default=100.0, metavar="MS",
                       help="longest time between two rows to bridge (default: 100)")
    group = parser.add_argument_group("latentd")
    group.add_argument("--stream", metavar="NAME", help="shadow the new model there")
    group.add_argument("--promote", action="store_true", help="and promote it when it is warm")
    group.add_argument("--wait", type=number(above=0), default=120, metavar="SECONDS",
                       help="for that (default: 120)")
    for name in ("--control", "--key", "--server-key"):
        group.add_argument(name, help="of latentctl")
    args = parser.parse_args()
    if args.promote and not args.stream:
        raise Refusal("--promote: where? Give --stream NAME, too")
    if not args.behaviour:
        raise Refusal(f"{args.record}: a record has bins and frames, but no behaviour to fit: "
                      f"give --behaviour FILE.h5:/DATASET")
    return args


# What there is

def model_in_use(args, day):
    """Its path: --model, or the record's, if it is still that file."""
    path = Path(args.model or day["model_path"])
    if not args.model and day["n_promotions"]:
        raise Refusal(f"{args.record}: its stream got another decoder in it, {day['n_promotions']} "
                      f"times; name the model in use with --model")
    if not path.exists():
        raise Refusal(f"{path}: no such file; name the model in use with --model")
    if not args.model and hashlib.sha256(path.read_bytes()).hexdigest() != day["model_sha256"]:
        raise Refusal(f"{path} is not the file any more that the record was made with; name the "
                      f"model in use with --model")
    return path


def check_model(path, old, day):
    for what, mine, found in (("channels", old.config["n_channels"], day["counts"].shape[1]),
                              ("us of bin width", old.config["bin_width_us"],
                               day["bin_width_us"])):
        if mine != found:
            raise Refusal(f"{path}: {mine} {what}, the record has {found}")
    if not old.config["outputs"]["readout"]:
        raise Refusal(f"{path}: has no readout, so there is nothing to fit behaviour to; see "
                      f"models/readout/fit.py")


def check_enough(args, case):
    """Enough to fit and to hold out, in each of both."""
    need, found = args.least, case.use.sum() * case.bin_ms / 1000
    if found < need:
        raise Refusal(f"{args.record}: {found:.1f} s of decoded bins with behaviour, at least "
                      f"{need:g} s are needed (--least): a longer record, or does the behaviour "
                      f"lie on these bins (its numbers, times, clock)?")
    rows = cut(case.use, N_PIECES)
    for part, index in split_end(N_PIECES).items():
        if rows[index].sum() < 100:
            raise Refusal(f"{args.record}: {rows[index].sum()} bins with behaviour in its {part} "
                          f"part, expected at least 100: the last fifth is held out, the tenth "
                          f"before it chooses among fits")


def write_data(case):
    import h5py
    with h5py.File(case.data, "w") as f:
        f["counts"] = stream.stored(case.counts)
        f["behaviour"], f["use"] = case.behaviour, case.use.astype(np.uint8)
        f["counts"].attrs["bin_width_ms"] = case.bin_ms


def make_case(args, folder):
    day = days.read_record(args.record, folder)
    path = model_in_use(args, day)
    old = read_model(path)
    check_model(path, old, day)
    case = Case(old, path, Path(folder) / "today.h5", Path(folder), day["bin_width_us"] / 1000,
                day["counts"])
    case.behaviour, case.use = days.behaviour_of(args, day)
    n_dims = len(old.config["outputs"]["readout"])
    if case.behaviour.shape[1] != n_dims:
        raise Refusal(f"{args.behaviour}: {case.behaviour.shape[1]} columns, the readout of {path} "
                      f"has {n_dims}")
    check_enough(args, case)
    write_data(case)
    return case


# The fit

def kalman_options(old):
    if old.hyper["form"] == "given":
        raise Refusal("a kalman of form given was not fitted here (its gain is a part of the file):"
                      " fit one with models/kalman/train.py first")
    return ["--form", old.hyper["form"],
            "--order", old.config["outputs"]["latents"] // len(old.config["outputs"]["readout"])]


def gru_options(old):
    return ["--hidden", old.hyper["hidden"], "--layers", old.hyper["layers"]]


TRAINED = {"kalman": kalman_options, "wiener": lambda old: ["--lags", old.hyper["lags"]],
           "gru": gru_options}


def run(command):
    """A step; what it refuses is refused."""
    words = [PYTHON, *map(str, command)]
    result = subprocess.run(words, capture_output=True, text=True)
    if result.returncode != 0:
        raise Refusal(f"{Path(command[0]).relative_to(MODELS)}: {result.stderr.strip()}")


def data_options(case):
    entries = case.old.config["outputs"]["readout"]
    kind = case.old.config.get("input", "counts")
    return ["--in", f"{case.data}:/counts", "--behaviour", f"{case.data}:/behaviour",
            "--use", f"{case.data}:/use", "--bin-ms", f"{case.bin_ms:.10g}",
            "--names", ",".join(e["name"] for e in entries),
            "--unit", ",".join(e["unit"] for e in entries),
            *(["--input", kind] if kind != "counts" else []), "--force"]


def fit_stage(args, case, out):
    """The same latents or rates, smoothing and lags."""
    about = case.old.config["stage"]
    run([MODELS / "readout" / "fit.py", case.path, *data_options(case), "--from", about["input"],
         "--tau", f"{about['tau_ms']:.10g}", "--lags", about["lags"], *args.train, "--out", out])


def check_same(case, new):
    """A trainer makes its family's usual form; one that was exported may have another."""
    for what, was, found in (("hyper", case.old.hyper, new.hyper),
                             *((f"outputs.{group}", case.old.config["outputs"][group],
                                new.config["outputs"][group]) for group in ("latents", "rates"))):
        if was != found:
            raise Refusal(f"{case.path}: {what} is {was}, what models/{new.config['arch']}/train.py"
                          f" makes has {found}: train it anew where it was trained, then latentctl "
                          f"shadow")


def fit_model(args, case, out):
    arch = case.old.config["arch"]
    if arch not in TRAINED:
        raise Refusal(f"{case.path}: a {arch} is not fitted to behaviour by one command: train it "
                      f"with models/{arch}/train.py where there is one, then latentctl shadow; "
                      f"expected {', '.join(sorted(TRAINED))}, or a model with a readout stage")
    if "normalise" in case.old.config:
        raise Refusal(f"{case.path}: its input is normalised in the file, and its weights are of "
                      f"z-scores: it follows the day by itself; fit another with "
                      f"models/{arch}/train.py")
    checkpoint = case.folder / ("fit.pt" if arch == "gru" else "fit.safetensors")
    run([MODELS / arch / "train.py", *data_options(case), *TRAINED[arch](case.old), *args.train,
         "--out", checkpoint])
    run([MODELS / arch / "export.py", checkpoint, out])
    check_same(case, read_model(out))


def fit(args, case):
    """-> path of the new file, with the readout of the old one as consumers know it."""
    made = case.folder / "new.safetensors"
    (fit_stage if "stage" in case.old.config else fit_model)(args, case, made)
    new = read_model(made)
    new.config["outputs"]["readout"] = case.old.config["outputs"]["readout"]
    new.config["licence"] = case.old.config["licence"]
    new.config["source"] = f"{command_line()}, record: {Path(args.record).name}, after " \
                           f"{case.path.name}"
    new.config["precisions"] = case.old.config["precisions"]
    write_model(args.out, new)
    return args.out


# Old against new

def held_out(case, path):
    """-> behaviour and readout [rows, O] of the held-out bins, as latentd would publish them."""
    mode = case.old.config["modes"][0]
    found = stream.decode_stream(path, case.counts[None], mode, case.bin_ms)
    use = case.use & (found["flags"][0] & (stream.FLAG_WARMUP | stream.FLAG_OUTSIDE) == 0)
    use, truth, readout = (cut(x, N_PIECES) for x in (use, case.behaviour, found["readout"][0]))
    test = split_end(N_PIECES)["test"]
    return truth[test][use[test]], readout[test][use[test]]


def compare(case, new):
    """Prints both; is the new one better, in R2 weighted by variance?"""
    entries, scores = case.old.config["outputs"]["readout"], []
    for name, path in (("old", case.path), ("new", new)):
        truth, found = held_out(case, path)
        scores.append(r2_summary(truth, found)["weighted"])
        each = zip((e["name"] for e in entries), r2_per_column(truth, found))
        print(f"{name}: R2 {scores[-1]:.4f} on {len(truth) * case.bin_ms / 1000:.1f} s held out "
              f"({', '.join(f'{n} {r2:.4f}' for n, r2 in each)})  {path}")
    return scores[1] > scores[0]


# latentd

def latentctl(args, *words):
    """-> exit code and what was said."""
    options = [word for name in ("control", "key", "server_key") if getattr(args, name)
               for word in (f"--{name.replace('_', '-')}", getattr(args, name))]
    done = subprocess.run([str(need_program("latentctl")), *options, *map(str, words)],
                          capture_output=True, text=True)
    return done.returncode, (done.stdout + done.stderr).strip().removeprefix("latentctl: ")


def say(args, *words):
    code, text = latentctl(args, *words)
    if code not in (0, 3):  # 3: it goes on, and latentctl status tells how
        raise Refusal(text)
    print(text)


def promote(args):
    """As soon as latentd lets it: it says how many bins are missing until then."""
    end = time.monotonic() + args.wait
    code, text = latentctl(args, "promote", args.stream)
    while code == 1 and time.monotonic() < end:
        time.sleep(0.2)
        code, text = latentctl(args, "promote", args.stream)
    if code not in (0, 3):
        raise Refusal(f"{text}; it stays in shadow")
    print(text)


def main():
    args = parse()
    with tempfile.TemporaryDirectory(prefix="latent-recalibrate-") as folder:
        case = make_case(args, folder)
        new = fit(args, case)
        is_better = compare(case, new)
    print(f"{new}: written")
    if not is_better:
        print("the new one is no better on what neither was fitted to"
              f"{'' if args.force else ': not shadowed (--force does it all the same)'}")
        if not args.force:
            return EXIT_NO_BETTER
    if args.stream:
        say(args, "shadow", args.stream, Path(new).resolve())
    if args.promote:
        promote(args)
    return 0


if __name__ == "__main__":
    run_command(main)

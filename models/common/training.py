"""The loop around every PyTorch trainer here: seeded, resumable, with progress."""
import json
import math
import os
import time

import numpy as np
import torch

from latent_models.common.model_file import command_line, training_channels
from latent_models.common.files import output, output_name
from latent_models.common.refusal import Refusal, number, whole

SAVE_EVERY_S = 30


def add_training_options(parser, *, steps, batch, lr, seed):
    """Options of the loop."""
    group = parser.add_argument_group("training")
    group.add_argument("--out", required=True, type=output_name, metavar="CHECKPOINT.pt",
                       help="what export.py reads")
    group.add_argument("--steps", type=whole(1), default=steps)
    group.add_argument("--batch", type=whole(1), default=batch, help="trials per step")
    group.add_argument("--lr", type=number(above=0), default=lr)
    group.add_argument("--weight-decay", type=number(0), default=0.01)
    group.add_argument("--warm-up", type=whole(0), default=200,
                       help="steps of rising learning rate")
    group.add_argument("--seed", type=whole(0), default=seed)
    group.add_argument("--threads", type=whole(1, 1024), default=2,
                       help="1 is often as fast, and leaves a core free")
    group.add_argument("--resume", action="store_true", help="go on from CHECKPOINT.pt.resume")
    group.add_argument("--stop-at", type=whole(1), help="stop after this step, to --resume later")
    group.add_argument("--report-every", type=whole(1), default=100, metavar="STEPS")


def prepare(args):
    """Threads and seeds; call before the model is made."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)


def learning_rate(step, args):
    """Factor on --lr: linear warm-up (a tenth of a short training), then a cosine down to zero."""
    warm_up = max(min(args.warm_up, args.steps // 10), 1)
    warm = min((step + 1) / warm_up, 1.0)
    return warm * 0.5 * (1 + math.cos(math.pi * min(step / args.steps, 1.0)))


class Progress:
    """One line per report: step, time gone and left, loss, and what the trainer adds."""

    def __init__(self, args, step, seconds):
        self.args, self.first, self.before, self.start = args, step, seconds, time.monotonic()
        self.loss = None

    @property
    def seconds(self):
        """Training time so far, those before a resume included."""
        return self.before + time.monotonic() - self.start

    def add(self, loss):
        self.loss = loss if self.loss is None else 0.98 * self.loss + 0.02 * loss

    def line(self, step, text):
        gone = time.monotonic() - self.start
        left = gone / max(step - self.first, 1) * (self.args.steps - step)
        print(f"step {step:5d}/{self.args.steps}  {self.seconds:5.0f} s gone  {left:5.0f} s left  "
              f"loss {self.loss:.4f}  {text}", flush=True)


def resume_path(args):
    return args.out + ".resume"


def save_state(args, step, seconds, *, model, optimizer, finished):
    """Everything needed to go on exactly here, and what export.py would read if this were the end;
    replaced atomically."""
    passing = ("resume", "stop_at", "report_every", "out")
    kept = {k: v for k, v in vars(args).items() if k not in passing}
    # Numbers with fractions go as text: the reader of torch 1.13 that runs no code knows none.
    state = {"step": step, "told": json.dumps({"seconds": seconds, "args": kept}),
             "model": model.state_dict(), "optimizer": optimizer.state_dict()["state"],
             "random": torch.get_rng_state(), **finished}
    with output(resume_path(args)) as part:
        torch.save(state, part)


def load_state(args, model, optimizer):
    """-> (step, seconds) of the interrupted run, which must have had the same options."""
    path = resume_path(args)
    if not os.path.exists(path):
        raise Refusal(f"{path}: nothing to resume; start without --resume")
    try:
        state = torch.load(path, weights_only=True)
        told = json.loads(state["told"])
        for key, value in told["args"].items():
            if getattr(args, key, None) != value:
                raise Refusal(f"{path} was started with {key} = {value}, "
                              f"now {getattr(args, key, None)}: options must be the same")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state["optimizer"]})
        torch.set_rng_state(state["random"])
        return int(state["step"]), float(told["seconds"])
    except Refusal:
        raise
    except Exception as error:  # a damaged file can fail in any way
        raise Refusal(f"{path}: damaged ({type(error).__name__}); start without "
                      f"--resume") from error


def fit(model, args, batch_loss, report, finished):
    """Minimise. batch_loss(step) -> scalar loss; report() -> text for the progress line;
    finished() -> what a checkpoint of the model as it is would hold (contents).
    -> seconds of training, or None when --stop-at ended it."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=args.weight_decay)
    first, before = load_state(args, model, optimizer) if args.resume else (0, 0.0)
    progress, saved = Progress(args, first, before), time.monotonic()
    for step in range(first, args.steps):
        for group in optimizer.param_groups:
            group["lr"] = args.lr * learning_rate(step, args)
        optimizer.zero_grad()
        loss = batch_loss(step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        progress.add(loss.item())
        if not math.isfinite(progress.loss):
            raise Refusal(f"step {step + 1}: the loss is {loss.item()}: the training diverges; try "
                          f"a smaller --lr than {args.lr:g}")
        done = step + 1
        if done % args.report_every == 0 or done == args.steps:
            progress.line(done, report())
        if done == args.stop_at or time.monotonic() - saved > SAVE_EVERY_S:
            save_state(args, done, progress.seconds, model=model, optimizer=optimizer,
                       finished=finished())
            saved = time.monotonic()
        if done == args.stop_at:
            print(f"stopped at step {done}; go on with --resume")
            return None
    return progress.seconds


def describe(hyper, recording, readout):
    """The facts that the model file must state, as text."""
    facts = {"bin_width_us": round(recording.bin_ms * 1000), "hyper": hyper, "readout": readout,
             "channels": training_channels(recording.part("train"), recording.kind),
             "source": f"{command_line()}, data: {recording.source}"}
    if recording.licence:
        facts["licence"] = recording.licence
    if recording.kind != "counts":
        facts["input"] = recording.kind
    return json.dumps(facts)


def contents(state_dict, facts):
    """What export.py reads: tensors, and beside them what describe() gives."""
    return {"state_dict": state_dict, "latent": facts}


def save_checkpoint(args, finished, *, seconds):
    """finished: contents()."""
    with output(args.out) as part:
        torch.save(finished, part)
    if os.path.exists(resume_path(args)):
        os.unlink(resume_path(args))
    print(f"{args.out}: written after {seconds:.0f} s of training")


def poisson(lograte, counts):
    """Poisson loss of each element, without the factorial term."""
    return torch.exp(lograte) - counts * lograte


def masked_poisson(lograte, counts, hidden):
    """Mean Poisson loss over the hidden elements (boolean mask of the same shape)."""
    return poisson(lograte, counts)[hidden].mean()


def hide_elements(counts, ratio):
    """Hide single elements: -> (input without them, the rest scaled up; mask of the hidden)."""
    hidden = torch.rand_like(counts) < ratio
    return counts * ~hidden / (1 - ratio), hidden


def batch_of(array, n):
    """n random trials of a tensor [K, ...]: indices."""
    return torch.randint(len(array), (n,))


def log_mean(counts):
    """Log mean count per channel, bounded for silent ones: counts [K, T, C] -> tensor [C]."""
    return torch.tensor(np.log(np.maximum(counts.mean((0, 1)), 1e-4)), dtype=torch.float32)

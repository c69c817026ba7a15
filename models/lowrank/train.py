#!/usr/bin/python3
"""Train a low-rank RNN on random dots, fit another one to it (LINT), and a spike filter to that.

  models/lowrank/train.py --out FOLDER     (teacher, driven and filtered.safetensors in it)

1. teacher: a rank-1 network learns the task of rdm.json (loss on its decision).
2. driven: LINT, a fresh network of that rank is fitted to the teacher's tanh(h) on given inputs.
3. filtered: spikes are drawn from the teacher with disturbed latents; gain and bias of each unit
   are fitted to the counts along the student's own undisturbed trajectories (Poisson regression),
   and the size of the disturbance by the likelihood of the counts one bin ahead, on the validation
   trials.
"""
import json
import time
from pathlib import Path

import latent_models.common  # first: it names a package that is missing
import numpy as np
import torch

from latent_models.common import safetensors
from latent_models.common.files import output_folder
from latent_models.common.model_file import (command_line, readout_entry, slew_limits,
                                             training_channels)
from latent_models.common.refusal import Parser, number, run_command, whole
from latent_models.lowrank import reference, task

NOISES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)


def parse():
    parser = Parser(__doc__)
    parser.add_argument("--out", required=True, type=output_folder, metavar="FOLDER",
                        help="gets what export.py reads; made if it is missing")
    parser.add_argument("--teacher-steps", type=whole(1), default=600)
    parser.add_argument("--student-steps", type=whole(1), default=1200)
    parser.add_argument("--batch", type=whole(1), default=32)
    parser.add_argument("--lr", type=number(above=0), default=0.01)
    parser.add_argument("--seed", type=whole(0), default=1)
    parser.add_argument("--threads", type=whole(1, 1024), default=1)
    return parser.parse_args()


class Network(torch.nn.Module):
    """m [N, R], n [N, R], wi [I, N] and, for the teacher, wo [N, 1]; no bias, rest at zero."""

    def __init__(self, n_units, rank, alpha, generator):
        super().__init__()
        def normal(*shape):
            return torch.nn.Parameter(torch.randn(*shape, generator=generator))
        self.alpha, self.m, self.n, self.wi = alpha, normal(n_units, rank), normal(n_units, rank), \
            normal(1, n_units)
        self.wo = normal(n_units, 1)

    def forward(self, inputs):
        """inputs [K, T, 1] -> tanh(h) [K, T, N] after each input."""
        h, rows, n_units = torch.zeros(len(inputs), len(self.m)), [], len(self.m)
        for t in range(inputs.shape[1]):
            flow = (torch.tanh(h) @ self.n) @ self.m.T / n_units + inputs[:, t] @ self.wi
            h = h + self.alpha * (flow - h)
            rows.append(torch.tanh(h))
        return torch.stack(rows, 1)

    def tensors(self):
        """As the exporter reads them, float64."""
        n_units = len(self.m)
        w = {k: getattr(self, k).detach().double().numpy() for k in ("m", "n", "wi", "wo")}
        return {**w, "si": np.ones(1), "so": np.ones(1), "b": np.zeros(n_units),
                "h0": np.zeros(n_units)}


def minimise(parameters, args, n_steps, loss_of, what):
    """Adam with a falling rate and a line now and then -> seconds."""
    optimizer = torch.optim.Adam(parameters, lr=args.lr)
    start = time.monotonic()
    for step in range(n_steps):
        for group in optimizer.param_groups:
            group["lr"] = args.lr * (1 - step / n_steps)
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if (step + 1) % 200 == 0 or step + 1 == n_steps:
            print(f"{what} step {step + 1:5d}/{n_steps}  {time.monotonic() - start:4.0f} s gone  "
                  f"loss {loss.item():.5f}", flush=True)
    return time.monotonic() - start


def train_teacher(args, recipe, data, generator):
    """-> Network that performs the task."""
    teacher = Network(recipe["n_units"], recipe["rank"], task.alpha_of(recipe), generator)

    def loss_of():
        u, answer = task.trials(recipe, args.batch, data)
        rates = teacher(torch.tensor(u, dtype=torch.float32))
        out = (rates @ teacher.wo)[:, -recipe["decision_bins"]:, 0] / recipe["n_units"]
        return ((out - torch.tensor(answer, dtype=torch.float32)[:, None]) ** 2).mean()

    minimise(list(teacher.parameters()), args, args.teacher_steps, loss_of, "teacher")
    return teacher


def fit_student(args, recipe, teacher, data, generator):
    """LINT: the same inputs must give the same tanh(h), unit by unit."""
    student = Network(recipe["n_units"], recipe["rank"], task.alpha_of(recipe), generator)

    def loss_of():
        u = torch.tensor(task.trials(recipe, args.batch, data)[0], dtype=torch.float32)
        with torch.no_grad():
            target = teacher(u)
        return ((student(u) - target) ** 2).mean()

    minimise([student.m, student.n, student.wi], args, args.student_steps, loss_of, "student")
    with torch.no_grad():
        student.wo.copy_(teacher.wo)
    return student


def poisson_regression(x, counts, n_steps=30):
    """Newton, one regressor [S] and a constant, per unit -> (gain, bias)."""
    design = np.stack([x, np.ones_like(x)], 1)
    beta = np.array([0.0, np.log(max(counts.mean(), 1e-3))])
    for _ in range(n_steps):
        rate = np.exp(design @ beta)
        hessian = design.T @ (rate[:, None] * design) + 1e-3 * np.eye(2)
        beta = beta + np.linalg.solve(hessian, design.T @ (counts - rate) - 1e-3 * beta)
    return beta


def fit_filter(recipe, student, u, counts, split):
    """Observation and noise of the spike filter -> tensors beside the student's."""
    alpha, n_spikes = task.alpha_of(recipe), counts.shape[-1]
    units = np.tanh(np.stack([reference.simulate(student, alpha, x) for x in u[split["train"]]]))
    flat, y = units.reshape(-1, units.shape[-1]), counts[split["train"]].reshape(-1, n_spikes)
    beta = np.array([poisson_regression(flat[:, i], y[:, i]) for i in range(n_spikes)])
    rank = student["m"].shape[1]
    fitted = {"observation.gain": beta[:, 0], "observation.bias": beta[:, 1],
              "filter.P0": np.eye(rank)}

    def ahead(noise):
        """Log-likelihood of the counts by the rates predicted one bin ahead."""
        w, total = {**student, **fitted, "filter.Q": noise * np.eye(rank)}, 0.0
        for k in split["valid"][:20]:
            rows = one_ahead(w, recipe, u[k], counts[k])
            total += (counts[k] * rows - np.exp(rows)).sum()
        return total

    noise = max(NOISES, key=ahead)
    print(f"filter: noise {noise:g} per bin by the likelihood one bin ahead")
    return {**fitted, "filter.Q": noise * np.eye(rank)}


def hyper_of(recipe, form):
    hyper = {"form": form, "alpha": task.alpha_of(recipe), "output_activation": "tanh"}
    return {**hyper, "observation": "units", "iterations": 2} if form == "filtered" else hyper


def one_ahead(w, recipe, u, counts):
    """Log-rates before each correction: the filter's time update, observed."""
    alpha, hyper = task.alpha_of(recipe), hyper_of(recipe, "filtered")
    latents, _, _ = reference.run_filtered(w, hyper, np.hstack([counts, u]))
    rank, rows = w["m"].shape[1], []
    kappa, v = np.zeros(rank), np.zeros(u.shape[1])
    for t in range(len(u)):
        h = reference.units(w, alpha, kappa, v, t) + (w["b"] if t else 0)
        kappa, v = reference.step(w, alpha, kappa, v, u[t], h=h)
        rows.append(reference.observation(w, hyper, kappa, v,
                                          reference.units(w, alpha, kappa, v, t + 1))[0])
        kappa, v = latents[t, :rank], latents[t, rank:]
    return np.array(rows)


def decisions(tensors, recipe, inputs):
    """The readout [K, T, 1] that the teacher gives for inputs [K, T, 2], which the student was made
    to give."""
    hyper = {**hyper_of(recipe, "driven"), "output": "linear"}
    return np.stack([reference.run(tensors, {"hyper": hyper}, u, "causal")["readout"]
                     for u in inputs])


def save(path, tensors, recipe, form, channels, *, readouts):
    """channels [K, T, C]: what a rig would send, for the training statistics; readouts [K, T, 1]:
    those to give."""
    bin_s = recipe["bin_width_ms"] / 1000
    slew, = slew_limits(readouts, np.ones(readouts[:, 1:, 0].shape, bool), bin_s)
    facts = {"bin_width_us": recipe["bin_width_ms"] * 1000, "hyper": hyper_of(recipe, form),
             "readout": [readout_entry("decision", "1", 0.0, -1.5, 1.5, slew=slew)],
             "licence": "Apache-2.0",
             "channels": training_channels(channels, "real"),
             "source": f"{command_line()}, data: models/lowrank/rdm.json"}
    safetensors.write(path, {k: np.asarray(v, np.float64) for k, v in tensors.items()},
                      {"latent": json.dumps(facts)})
    print(f"{path}: written", flush=True)


def main():
    args, recipe = parse(), task.read_recipe()
    torch.set_num_threads(args.threads)
    generator = torch.Generator().manual_seed(args.seed)
    data = np.random.default_rng(recipe["seed"])
    network = train_teacher(args, recipe, data, generator)
    teacher = network.tensors()
    student = fit_student(args, recipe, network, data, generator).tensors()
    recorded = task.record(recipe, teacher, data)
    student, inputs = task.with_two_sides(student), recorded["inputs"]
    fitted = fit_filter(recipe, student, inputs, recorded["counts"], recorded["split"])
    folder = Path(args.out)
    teacher = task.with_two_sides(teacher)
    readouts = decisions(teacher, recipe, inputs)
    save(folder / "teacher.safetensors", teacher, recipe, "driven", inputs, readouts=readouts)
    save(folder / "driven.safetensors", student, recipe, "driven", inputs, readouts=readouts)
    save(folder / "filtered.safetensors", {**student, **fitted}, recipe, "filtered",
         recorded["channels"], readouts=readouts)


if __name__ == "__main__":
    run_command(main)

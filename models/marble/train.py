#!/usr/bin/python3
"""Train MARBLE on two animals at once: those of animals.json.

  models/marble/train.py --out animal_a.safetensors --out-other animal_b.safetensors

Each animal has its own projection (principal axes of causally smoothed counts), cloud and graph.
The second one's axes are turned so that its flow lies nearest to the first one's (population.py:
points and vectors alone, no behaviour); then one network serves both. A node, a neighbour of its
in the graph and a random node of the same animal: loss -log s(z z+) - log s(-z z-). The readout is
fitted on the first animal alone and goes into both files.
"""
import json
import time

import latent_models.common  # first: it names a package that is missing
import numpy as np
import torch

from latent_models.common import safetensors
from latent_models.common.files import output_name
from latent_models.common.model_file import (command_line, readout_entry, slew_limits,
                                             training_channels)
from latent_models.common.refusal import Parser, number, run_command, whole
from latent_models.marble import animals, geometry, population, scoring

HYPER = {"rho": 0.7, "stages": 2, "warmup_bins": 10, "k": 30, "delta": 1.5, "order": 2,
         "diffusion_time": 3.0, "scale": 1.0, "same_point": 1e-9, "frame": "axes",
         "inner_products": False, "emb_norm": True}
HAND = ("hand_x", "hand_y", "hand_z")


def parse():
    """The command line."""
    parser = Parser(__doc__)
    parser.add_argument("--out", required=True, type=output_name, metavar="A.safetensors",
                        help="what export.py reads")
    parser.add_argument("--out-other", required=True, type=output_name, metavar="B.safetensors")
    parser.add_argument("--steps", type=whole(1), default=1500)
    parser.add_argument("--batch", type=whole(1), default=512, help="nodes per animal")
    parser.add_argument("--hidden", type=whole(1, 16384), default=100)
    parser.add_argument("--embedding", type=whole(1, 16384), default=12)
    parser.add_argument("--sharpness", type=number(above=0), default=3.0,
                        help="of the loss, on unit vectors")
    parser.add_argument("--lr", type=number(above=0), default=0.01)
    parser.add_argument("--foreign", type=whole(0, 100), default=3,
                        help="further animals to score on, which training never sees")
    parser.add_argument("--seed", type=whole(0), default=1)
    parser.add_argument("--threads", type=whole(1, 1024), default=1)
    return parser.parse_args()


class Network(torch.nn.Module):
    """enc of the model file, over features divided by their spread."""

    def __init__(self, n_features, args):
        super().__init__()
        self.first = torch.nn.Linear(n_features, args.hidden)
        self.norm = torch.nn.BatchNorm1d(args.hidden)
        self.last = torch.nn.Linear(args.hidden, args.embedding)

    def forward(self, x):
        """Features [n, F] -> unit vectors [n, L]."""
        z = self.last(torch.relu(self.norm(self.first(x))))
        return torch.nn.functional.normalize(z, dim=1)

    def tensors(self, spread):
        """Under the names of the reference's state dict; the spread goes into the first layer."""
        state = {name: value.detach().double().numpy() for name, value in self.state_dict().items()}
        out = {"enc.lins.0.weight": state["first.weight"] / spread,
               "enc.lins.0.bias": state["first.bias"],
               "enc.lins.1.weight": state["last.weight"], "enc.lins.1.bias": state["last.bias"]}
        out.update({f"enc.norms.0.module.{k}": state[f"norm.{k}"]
                    for k in ("weight", "bias", "running_mean", "running_var")})
        return out


def edges(animal):
    """The graph of its cloud -> (nodes, neighbours), an entry per edge."""
    stars = [geometry.star(animal.cloud, x, animal.hyper) for x in animal.cloud.position]
    return (np.repeat(np.arange(len(stars)), [len(one.neighbours) for one in stars]),
            np.concatenate([one.neighbours for one in stars]))


def triples(features, graph, n, generator):
    """Features of n nodes, of a neighbour of each, of n random nodes: three [n, F]."""
    edge = generator.integers(0, len(graph[0]), n)
    other = generator.integers(0, len(features), n)
    return [features[torch.tensor(nodes)] for nodes in (graph[0][edge], graph[1][edge], other)]


def train(args, crowd, generator):
    """-> the network's tensors."""
    features = [animal.features("train") for animal in crowd]
    graphs, spread = [edges(animal) for animal in crowd], np.concatenate(features).std(0)
    features = [torch.tensor(f / spread, dtype=torch.float32) for f in features]
    network = Network(len(spread), args)
    optimizer, start = torch.optim.Adam(network.parameters(), lr=args.lr), time.monotonic()
    score = torch.nn.functional.logsigmoid
    for step in range(args.steps):
        parts = [triples(f, g, args.batch, generator) for f, g in zip(features, graphs)]
        z, near, far = network(torch.cat([torch.cat(p) for p in zip(*parts)])).chunk(3)
        loss = -(score(args.sharpness * (z * near).sum(1))
                 + score(-args.sharpness * (z * far).sum(1))).mean()
        for group in optimizer.param_groups:
            group["lr"] = args.lr * (1 - step / args.steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % 250 == 0:
            print(f"step {step + 1:5d}/{args.steps}  {time.monotonic() - start:4.0f} s gone  "
                  f"loss {loss.item():.4f}", flush=True)
    return network.eval().tensors(spread)


def save(path, animal, tensors, recipe):
    """What export.py reads."""
    position, velocity = animal.points["train"]
    hand = animal.part("behaviour", "train")
    limits = 1.5 * np.abs(hand).max((0, 1))
    slews = slew_limits(hand, np.ones(hand[:, 1:, 0].shape, bool), recipe["bin_width_ms"] / 1000)
    facts = {"bin_width_us": recipe["bin_width_ms"] * 1000, "hyper": animal.hyper,
             "licence": "Apache-2.0", "channels": training_channels(animal.part("counts", "train")),
             "readout": [readout_entry(name, "mm", 0.0, -float(f"{x:.3g}"), float(f"{x:.3g}"),
                                       slew=slew)
                         for name, x, slew in zip(HAND, limits, slews)],
             "source": f"{command_line()}, data: models/marble/animals.json"}
    safetensors.write(path, {**tensors, **animal.w, "cloud.position": position,
                             "cloud.velocity": velocity}, {"latent": json.dumps(facts)})
    print(f"{path}: written")


def main():
    args, recipe = parse(), animals.read_recipe()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    crowd = [population.Animal(recipe, i, HYPER) for i in range(2 + args.foreign)]
    turns = [population.alignment(crowd[0].cloud, other.cloud, np.random.default_rng(args.seed))
             for other in crowd[1:]]
    for other, q in zip(crowd[1:], turns):
        other.turn(q)
    tensors = train(args, crowd[:2], np.random.default_rng(args.seed))
    seen = [scoring.Seen(animal, scoring.embeddings(animal, tensors)) for animal in crowd]
    for one, q in zip(seen[1:], turns):
        one.z_plain = scoring.embeddings(one.animal.turned(q.T), tensors)
    for name, one, other in scoring.pairs(seen):
        print(f"{name}: " + ", ".join(f"{k} {v:.3f}" for k, v in scoring.compare(one, other)),
              flush=True)
    beta = scoring.fit_linear(seen[0].z["train"], crowd[0].rows("behaviour", "train"))
    tensors.update({"readout.weight": beta[:-1].T, "readout.bias": beta[-1]})
    for path, animal in ((args.out, crowd[0]), (args.out_other, crowd[1])):
        save(path, animal, tensors, recipe)


if __name__ == "__main__":
    run_command(main)

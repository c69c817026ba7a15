#!/usr/bin/python3
"""A recording decoded whole by PyTorch, as a user would: prints "VARIANT SECONDS" lines.

gru: nn.GRU over one trial at a time, and over all trials as one batch; window: the transformer over
one trial at a time. Counts are in memory and results stay there; the fastest of some passes."""
import argparse
import time

import h5py
import numpy as np
import torch
from peer_torch import Ndt

from latent_models.common import model_file


class Gru(torch.nn.Module):
    """All bins of trials [B, T, C] -> rates [B, T, N] per bin."""

    def __init__(self, model):
        super().__init__()
        weights = {name: torch.from_numpy(array) for name, array in model.weights.items()}
        hidden, n_channels = model.hyper["hidden"], model.config["n_channels"]
        self.gru = torch.nn.GRU(n_channels, hidden, batch_first=True)
        self.rate = torch.nn.Linear(hidden, len(weights["rate.bias"]))
        self.gru.load_state_dict({name: weights[f"gru.{name}"] for name in (
            "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")})
        self.rate.load_state_dict({name: weights[f"rate.{name}"] for name in ("weight", "bias")})

    def forward(self, x):
        h, _ = self.gru(x)
        return torch.exp(self.rate(h))


def variants(model, counts):
    """{name: function that decodes everything and returns rates [B, T, N]}."""
    if model.config["arch"] == "gru":
        gru = Gru(model).eval()
        return {"one batch": lambda: gru(counts),
                "trial by trial": lambda: torch.cat([gru(trial[None]) for trial in counts])}
    ndt = torch.jit.freeze(torch.jit.script(Ndt(model).eval()))
    return {"trial by trial": lambda: torch.stack([ndt(trial) for trial in counts])}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="model file")
    parser.add_argument("--counts", required=True, help="HDF5 file with /counts [B, T, C]")
    parser.add_argument("--out", required=True, help="npy file for the rates of the last variant")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--passes", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = model_file.read_model(options.model)
    with h5py.File(options.counts) as f:
        counts = torch.from_numpy(f["counts"][()].astype(np.float32))
    with torch.inference_mode():
        for name, decode in variants(model, counts).items():
            took = []
            for _ in range(options.passes):
                begin = time.perf_counter()
                rates = decode()
                took.append(time.perf_counter() - begin)
            print(f"{min(took):.6f} {name}", flush=True)
    np.save(options.out, rates.numpy())


if __name__ == "__main__":
    main()

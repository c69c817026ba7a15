#!/usr/bin/python3
"""From a recording to a model file: a GRU and an MLP, trained in torch, exported for latentd."""
import sys

import h5py
import latentd
import numpy as np
import torch


class Velocity(torch.nn.Module):
    """counts [trials, time, channels] -> velocity [trials, time, dims]."""

    def __init__(self, counts, n_dims):
        super().__init__()
        flat = torch.from_numpy(counts.reshape(-1, counts.shape[-1]).astype(np.float32))
        self.register_buffer("mean", flat.mean(0))
        self.register_buffer("sd", flat.std(0) + 1e-3)
        self.gru = torch.nn.GRU(flat.shape[1], 48, batch_first=True)
        self.head = torch.nn.Sequential(torch.nn.Linear(48, 32), torch.nn.ReLU(),
                                        torch.nn.Dropout(0.1), torch.nn.Linear(32, n_dims))

    def forward(self, counts):
        hidden, _ = self.gru((counts - self.mean) / self.sd)
        return self.head(hidden)


def train(net, counts, velocity, n_epochs):
    """Adam on batches of 32 trials, in units of the velocity's deviation."""
    optimizer, scale = torch.optim.Adam(net.parameters(), 3e-3), float(velocity.std())
    for epoch in range(n_epochs):
        for batch in np.array_split(np.random.permutation(len(counts)), -(-len(counts) // 32)):
            found = net(torch.from_numpy(counts[batch].astype(np.float32)))
            loss = ((found - torch.from_numpy(velocity[batch] / scale)) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1} of {n_epochs}: {loss.item():.3f}", flush=True)
    with torch.no_grad():  # from deviations to the unit of the recording
        net.head[-1].weight *= scale
        net.head[-1].bias *= scale


def r2(found, truth):
    return 1 - ((found - truth) ** 2).sum() / ((truth - truth.mean((0, 1))) ** 2).sum()


def main(recording, path, n_epochs=8):
    torch.manual_seed(1)
    np.random.seed(1)
    with h5py.File(recording) as f:  # counts, readout: [trials, time, channels or dims]
        counts, velocity = f["counts"][()], f["readout"][()].astype(np.float32)
        bin_ms, names = float(f.attrs["bin_width_ms"]), list(f.attrs["readout_names"])
        units = list(f.attrs["readout_units"])
    n = len(counts) * 4 // 5  # the last fifth is held out
    net = Velocity(counts[:n], velocity.shape[-1])
    train(net, counts[:n], velocity[:n], int(n_epochs))
    latentd.export(net, path, bin_width_ms=bin_ms, n_channels=counts.shape[-1],
                   readout=list(zip(names, units)), check=counts[n:])
    with torch.no_grad():
        own = net.eval()(torch.from_numpy(counts[n:].astype(np.float32))).numpy()
    with latentd.Decoder(path) as decoder:
        live = decoder.decode(counts[n:]).readout
    print(f"R2 on held-out trials: torch {r2(own, velocity[n:]):.4f}, {path} "
          f"{r2(live, velocity[n:]):.4f}")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: own_network.py RECORDING.h5 MODEL.safetensors [EPOCHS]")
    main(*sys.argv[1:])

"""What is measured: one Row per model and mode, with its peers."""
import dataclasses
import pathlib

import numpy as np

import random_models
from latent_models.common.model_file import write_model

F32 = 4


@dataclasses.dataclass
class Row:
    """make(path, generator) writes the model file; counts(generator) -> [n_bins, channels] is the
    input, used round and round; trial: bins of a trial (0: no trials).
    onnx: (builder name, variant)s of graphs.py; torch: kind of peer_torch.py or None.
    rtneural: whether RTNeural has such layers. goal, goal_rtneural: wanted ratio to the fastest
    ONNX graph and to RTNeural, or None. step_bytes(model): what a step reads."""

    name: str
    title: str
    make: object
    mode: str
    n_bins: int
    trial: int
    counts: object
    step_bytes: object
    onnx: tuple = ()
    torch: str = None
    rtneural: bool = False
    goal: float = None
    goal_rtneural: float = None
    no_peer: str = ""
    precision: str = "f32"  # latentd's; the peers compute in float32


def poisson(n_channels, n_bins, mean=0.2):
    """Spike counts [T, C] as a recording has them."""
    return lambda generator: generator.poisson(mean, (n_bins, n_channels)).astype(np.float32)


def non_zero(n_channels, n_bins, share):
    """Counts of which exactly this share of the channels is not zero in every bin."""
    def counts(generator):
        values = np.zeros((n_bins, n_channels), np.float32)
        for row in values:
            chosen = generator.permutation(n_channels)[:round(share * n_channels)]
            row[chosen] = generator.integers(1, 4, len(chosen))
        return values
    return counts


def n_bytes(arrays):
    return sum(array.size * F32 for array in arrays)


def cached_bytes(size):
    """Every weight (size: bytes of one), one row of positions, and on average half the trial's keys
    and values."""
    def step_bytes(model):
        hyper = model.hyper
        positions = model.weights["pos_encoder.pos_embedding.weight"].size * F32
        weights = (n_bytes(model.weights.values()) - positions) * size / F32
        rows = (hyper["trial_bins"] + 1) / 2
        cache = 2 * hyper["layers"] * rows * hyper["width"] * F32
        return weights + hyper["width"] * F32 + cache
    return step_bytes


def gru_bytes(share, size):
    """Recurrent and readout weights whole, of the input weights the non-zero channels' columns."""
    def step_bytes(model):
        inputs = model.weights["gru.weight_ih_l0"].size * F32
        return (n_bytes(model.weights.values()) - (1 - share) * inputs) * size / F32
    return step_bytes


def ndt_row(name, title, *, mode, n_channels, layers, trial, back=0, **rest):
    def make(path, generator):
        return random_models.ndt(path, generator, n_channels=n_channels, layers=layers, heads=2,
                                 hidden=128, trial_bins=trial, modes=[mode], back=back)
    return Row(name, title, make, mode, trial, trial if mode == "A" else 0,
               poisson(n_channels, trial), **rest)


def gru_row(name, title, share, *, n_channels=202, hidden=128, n_bins=100, size=F32, **rest):
    def make(path, generator):
        return random_models.gru(path, generator, n_channels=n_channels, hidden=hidden)
    return Row(name, title, make, "causal", n_bins, 0, non_zero(n_channels, n_bins, share),
               gru_bytes(share, size), onnx=GRU_GRAPHS, torch="gru", rtneural=True, **rest)


def sae_row(name, title, *, window, n_channels, **sizes):
    def make(path, generator):
        return random_models.sae(path, generator, n_channels=n_channels, window=window, **sizes)
    return Row(name, title, make, "window", window, 0, poisson(n_channels, window), None,
               onnx=(("sae_window", "GRU operators" if sizes["decoder"] == "gru" else "unrolled"),),
               torch=f"sae_{sizes['decoder']}")


def lfads_row(name, title, *, window, n_channels, **sizes):
    def make(path, generator):
        return random_models.lfads(path, generator, n_channels=n_channels, window=window, **sizes)
    return Row(name, title, make, "window", window, 0, poisson(n_channels, window), None,
               onnx=(("lfads_window", "encoders as operators, decoder unrolled"),), torch="lfads",
               goal=2.5)


CACHED_GRAPHS = (("ndt_cached", "in-place cache"), ("ndt_cached", "concatenated cache"),
                 ("ndt_cached", "MultiHeadAttention"))
WINDOW_GRAPHS = (("ndt_window", "all rows"), ("ndt_window", "last row only"))
GRU_GRAPHS = (("gru_step", "GRU operator"), ("gru_step", "products"))
OWN_DRAWS = "a particle filter draws its own numbers: no other program gives the same rates"
NO_NETWORK = "a few small products, nothing one would take a network library for"


def kalman_make(path, generator):
    return random_models.kalman(path, generator, n_channels=96, n_states=5)


def wiener_make(path, generator):
    return random_models.wiener(path, generator, n_channels=96, lags=10)


def refit_make(path, generator):
    return random_models.refit(path, generator, n_channels=96)


def dlds_make(path, generator):
    return random_models.dlds(path, generator, n_channels=100, n_states=10, n_operators=8)


def smc_row(name, title, *, n_bins=100, **sizes):
    def make(path, generator):
        return random_models.smc(path, generator, **sizes)
    return Row(name, title, make, "causal", n_bins, 0, poisson(sizes["n_channels"], n_bins),
               lambda model: n_bytes(model.weights.values()), no_peer=OWN_DRAWS)


def marble_make(path, generator):
    return random_models.marble(path, generator, n_channels=100, n_points=5000, n_dims=5)


def lowrank_row(name, title, *, n_spikes=0, n_inputs=2, n_bins=100, **rest):
    def make(path, generator):
        return random_models.lowrank(path, generator, n_units=512, rank=2, n_inputs=n_inputs,
                                     n_spikes=n_spikes)
    return Row(name, title, make, "causal", n_bins, 0, poisson(n_spikes + n_inputs, n_bins),
               lambda model: n_bytes(model.weights.values()), **rest)


LFADS_ROW = lfads_row("lfads", "LFADS of MC_Maze at 20 ms, 137 -> 182 channels, window of 35 bins",
                      n_channels=137, n_rates=182, window=35)
ROWS = (
    ndt_row("m700-cached", "NDT m700 (202 channels, 6 layers), mode A: cached, mean of bins 0-89",
            mode="A", n_channels=202, layers=6, trial=90, step_bytes=cached_bytes(4),
            onnx=CACHED_GRAPHS, torch="cached", goal=2.0),
    ndt_row("m700-bf16", "NDT m700, mode A in bf16; the peers in float32",
            mode="A", n_channels=202, layers=6, trial=90, step_bytes=cached_bytes(2),
            onnx=CACHED_GRAPHS, torch="cached", goal=4.0, precision="bf16"),
    ndt_row("m700-int8", "NDT m700, mode A in int8; the peers in float32",
            mode="A", n_channels=202, layers=6, trial=90, step_bytes=cached_bytes(1),
            onnx=CACHED_GRAPHS, torch="cached", goal=12.0, precision="int8"),
    ndt_row("m700-window", "NDT m700, mode C: whole window of 90 bins, causal, newest bin answered",
            mode="C", n_channels=202, layers=6, trial=90, step_bytes=None,
            onnx=WINDOW_GRAPHS, torch="window", goal=1.2),
    ndt_row("m700-banded", "NDT m700, mode C: the same, each bin looking back at 32 at most",
            mode="C", n_channels=202, layers=6, trial=90, back=32, step_bytes=None,
            onnx=WINDOW_GRAPHS, torch="window", goal=1.35),
    ndt_row("mc_maze-cached", "NDT mc_maze (182 channels, 4 layers), mode A: mean of bins 0-179",
            mode="A", n_channels=182, layers=4, trial=180, step_bytes=cached_bytes(4),
            onnx=CACHED_GRAPHS, torch="cached"),
    gru_row("gru-sparse", "GRU 202 -> 128 -> rates 202, 10 % of the inputs not zero", 0.1,
            goal=6.0, goal_rtneural=2.0),
    gru_row("gru-dense", "GRU 202 -> 128 -> rates 202, every input not zero", 1.0, goal=3.3,
            goal_rtneural=1.2),
    gru_row("gru-small", "GRU 64 -> 64 -> rates 64, every input not zero", 1.0, n_channels=64,
            hidden=64),
    gru_row("gru-bf16", "GRU 202 -> 128 -> rates 202, 10 % of the inputs not zero, in bf16; the "
            "peers in float32", 0.1, size=2, precision="bf16"),
    LFADS_ROW,
    dataclasses.replace(LFADS_ROW, name="lfads-bf16", goal=4.0, precision="bf16",
                        title="the same in bf16; the peers in float32"),
    sae_row("node", "Neural-ODE autoencoder, 10 channels, window of 70 bins, 3 latents, RK4",
            decoder="node", n_channels=10, window=70, latents=3),
    sae_row("gru_sae", "GRU autoencoder, 10 channels, window of 70 bins, 10 latents",
            decoder="gru", n_channels=10, window=70, latents=10),
    smc_row("smc-maze", "Low-rank RNN, 137 -> 182 channels, 36 latents, 512 units, 100 particles",
            n_channels=137, n_rates=182, n_latents=36, units=512, particles=100),
    lowrank_row("lint-driven", "Low-rank RNN (LINT), 512 units, rank 2, driven by 2 inputs",
                torch="lowrank", no_peer=NO_NETWORK),
    lowrank_row("lint-filtered", "the same under 100 spike channels, extended Kalman filter",
                n_spikes=100, no_peer=NO_NETWORK),
    Row("kalman", "Kalman filter, 96 channels, 5 states, steady gain, float64", kalman_make,
        "causal", 100, 0, poisson(96, 100), None, no_peer=NO_NETWORK),
    Row("refit", "ReFIT Kalman filter, 96 channels, 2 dimensions, float64", refit_make,
        "causal", 100, 0, poisson(96, 100), None, no_peer=NO_NETWORK),
    Row("wiener", "Wiener filter, 96 channels, 10 bins, 2 outputs", wiener_make,
        "causal", 100, 0, poisson(96, 100), lambda model: n_bytes(model.weights.values()),
        no_peer=NO_NETWORK),
    Row("dlds", "dLDS, 100 channels, 10 states, 8 operators, 3 x 20 FISTA steps, float64",
        dlds_make, "causal", 100, 0, poisson(100, 100), None, no_peer=NO_NETWORK),
    Row("marble", "MARBLE, 100 channels, cloud of 5000 points in 5 dimensions, k 30, order 2",
        marble_make, "causal", 100, 0, poisson(100, 100), None, no_peer=NO_NETWORK),
)


def prepare(row, folder, seed=700):
    """Write the row's model and input; returns (model, model path, counts path)."""
    generator = np.random.default_rng(seed)
    path = pathlib.Path(folder) / f"{row.name}.safetensors"
    counts_path = pathlib.Path(folder) / f"{row.name}.counts"
    model = row.make(path, generator)
    if row.precision != "f32":
        model.config["precisions"] = [row.precision]
        write_model(path, model)
    row.counts(generator).tofile(counts_path)
    return model, path, counts_path

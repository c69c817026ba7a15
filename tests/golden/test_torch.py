#!/usr/bin/python3
"""The float64 references against PyTorch: torch.nn.GRU, torch's attention and norms, and the
trainers' own modules."""
import itertools

import numpy as np
import torch

import golden

from latent_models.gru import reference as gru_reference
from latent_models.gru.network import GruDecoder, fold_scale
from latent_models.ndt import export as ndt_export
from latent_models.ndt import reference as ndt_reference
from latent_models.ndt.network import Ndt

LIMIT = 1e-11


def arrays(module):
    return {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}


def randomise(module, seed):
    """Norms and biases start at one and zero, which would hide mistakes."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module.double().eval()


class GruTorch(golden.Case):
    def test_layers(self):
        for layers in (1, 2, 3):
            module = randomise(GruDecoder(6, 5, layers, n_rates=6, n_readout=2), layers)
            counts = golden.random_counts(layers, 25, 6).astype(np.float64)
            found = gru_reference.run(arrays(module), {"hyper": {"layers": layers, "hidden": 5}},
                                      counts, "causal")
            with torch.no_grad():
                x = torch.tensor(counts)[None]
                latents, (lograte, readout) = module.gru(x)[0], module(x)
            self.close(found["latents"], latents[0], LIMIT, "latents")
            self.close(found["lograte"], lograte[0], LIMIT, "lograte")
            self.close(found["readout"], readout[0], LIMIT, "readout")

    def test_folded_readout(self):
        """A readout of standardised behaviour, folded, gives the behaviour itself."""
        module = randomise(GruDecoder(6, 5, 1, n_rates=6, n_readout=2), 4)
        mean, scale = torch.tensor([3.0, -2.0]).double(), torch.tensor([100.0, 0.5]).double()
        x = torch.tensor(golden.random_counts(1, 1, 9, 6)).double()
        with torch.no_grad():
            expected = module(x)[1] * scale + mean
            module.load_state_dict(fold_scale(module.state_dict(), mean, scale))
            self.close(module(x)[1], expected, LIMIT * 100, "readout")


class NdtTorch(golden.Case):
    n_bins, n_channels = 11, 5

    def hyper(self, embed, pre_norm, final_norm, position, head_layers, *, context):
        width = {"identity": 6, "table": 10, "linear": 8}[embed]
        return {"layers": 2, "heads": 2, "width": width, "hidden": 7, "embed": embed,
                "embed_dim": 2 if embed == "table" else 0, "max_count": 3, "pre_norm": pre_norm,
                "final_norm": final_norm, "position": position, "position_offset": True,
                "trial_bins": self.n_bins, "window_bins": self.n_bins,
                "context_forward": context[0], "context_backward": context[1],
                "head_layers": head_layers, "lograte": True}

    def test_every_variant(self):
        """The module that is trained here, in every variant, in float64."""
        grid = itertools.product(("identity", "table", "linear"), (True, False), ("layer", "scale"),
                                 ("learnt", "sinusoidal"), (1, 2),
                                 ((-1, -1), (0, 0), (0, 3), (2, 4)))
        torch.set_default_dtype(torch.float64)
        self.addCleanup(torch.set_default_dtype, torch.float32)
        for seed, options in enumerate(grid):
            with self.subTest(options=options):
                hyper = self.hyper(*options[:5], context=options[5])
                n_channels = 6 if hyper["embed"] == "identity" else self.n_channels
                module = randomise(Ndt(hyper, n_channels), seed)
                counts = golden.random_counts(seed, self.n_bins, n_channels,
                                              mean=1.5).astype(np.float64)
                weights = arrays(module)
                weights.pop("pos_encoder.pe", None)
                sizes = ndt_export.learn_sizes(weights, "module")
                self.assertEqual({k: v.shape for k, v in weights.items()},
                                 ndt_export.expected_shapes(sizes, self.n_bins))
                found = ndt_reference.run(weights, {"hyper": hyper}, counts, "trial")
                with torch.no_grad():
                    x = torch.tensor(counts)[None]
                    self.close(found["latents"], module.latents(x)[0], LIMIT, "latents")
                    self.close(found["lograte"], module(x)[0], LIMIT, "lograte")

    def test_layer_is_torchs(self):
        """Torch's own encoder layer, loaded with the same tensors, gives the same numbers."""
        for pre_norm in (True, False):
            hyper = self.hyper("linear", pre_norm, "layer", "learnt", 1, context=(0, 3))
            hyper["layers"] = 1
            module = randomise(Ndt(hyper, self.n_channels), 1)
            layer = torch.nn.TransformerEncoderLayer(8, 2, 7, 0.0, batch_first=True,
                                                     norm_first=pre_norm)
            layer = layer.double().train()  # train: torch's fused path in eval differs in masking
            layer.load_state_dict(module.transformer_encoder.layers[0].state_dict())
            x = torch.randn(1, self.n_bins, 8, dtype=torch.float64)
            mask = torch.tensor(ndt_reference.attention_mask(self.n_bins, 0, 3))
            with torch.no_grad():
                expected = layer(x, src_mask=mask)[0]
            found = ndt_reference.encoder_layer(arrays(module), 0, hyper, x[0].numpy(),
                                                mask.numpy())
            self.close(found, expected, LIMIT, f"pre_norm {pre_norm}")

    def test_streaming_modes_agree(self):
        """Causal: A is the row-by-row limit of trial; C equals A while its window holds the whole
        past."""
        hyper = self.hyper("linear", True, "layer", "learnt", 1, context=(0, 0))
        weights = arrays(randomise(Ndt(hyper, self.n_channels), 9))
        counts = golden.random_counts(5, self.n_bins, self.n_channels).astype(np.float64)
        answers = {mode: ndt_reference.run(weights, {"hyper": hyper}, counts, mode)["lograte"]
                   for mode in ("A", "C", "trial")}
        for t in range(1, self.n_bins + 1):
            part = ndt_reference.run(weights, {"hyper": hyper}, counts[:t], "trial")["lograte"]
            self.close(answers["A"][t - 1], part[-1], 1e-12, f"A at bin {t - 1}")
        self.close(answers["C"], answers["A"], 1e-12, "C")


if __name__ == "__main__":
    golden.main()

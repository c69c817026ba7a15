#!/usr/bin/python3
"""--check IN OUT: what torch gives for the same bins is compared with what the C core publishes.
What agrees is said in the file; what does not is refused, with its place and its likely cause."""
import importlib
import json

import h5py
import numpy as np
import torch

import golden
import test_checkpoints
import test_refused

from latent_models.common import checking, links, model_file, stream
from latent_models.common.refusal import Refusal

C, H, O, K, T = 5, 6, 2, 4, 30
WIDTH = ("--bin-width", "20", "--link", "exp")
BIN_S = 0.02


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = torch.nn.GRU(C, H, batch_first=True)
        self.rate = torch.nn.Linear(H, C)
        self.readout = torch.nn.Linear(H, O)


class Beside(test_checkpoints.Here):
    """A network of torch, bins, and export.py --check with what torch gives for them."""

    def setUp(self):
        super().setUp()
        torch.manual_seed(7)
        self.network = Network()
        with torch.no_grad():
            self.network.rate.weight.mul_(4)
            self.network.readout.weight.mul_(3)
        self.counts = golden.random_counts(3, K, T, C, mean=1.5)
        self.source = self.saved(self.network.state_dict())
        self.bins = self.folder / "bins.npz"
        np.savez(self.bins, counts=self.counts)

    def outputs(self, counts=None, carried=False):
        """What the network gives in float64, as its author would compute it."""
        network = self.network.double()
        x = torch.tensor(self.counts if counts is None else counts, dtype=torch.float64)
        with torch.no_grad():
            if carried:
                latents = network.gru(x.reshape(1, -1, C))[0].reshape(*x.shape[:2], H)
            else:
                latents = network.gru(x)[0]
            drive, readout = network.rate(latents), network.readout(latents)
        return {"latents": latents.numpy(), "rates": np.exp(drive.numpy()),
                "readout": readout.numpy(), "drive": drive.numpy()}

    def checked(self, outputs, *options, bins=None, arch="gru", source=None, width=WIDTH):
        """export.py --check with these outputs -> (model or None, text)."""
        path = self.folder / "theirs.npz"
        np.savez(path, **{k: v for k, v in outputs.items() if k != "drive"})
        return self.export_said(arch, source or self.source, *width, *options, "--check",
                                bins or self.bins, path)

    def agrees(self, outputs, *options, **where):
        model, said = self.checked(outputs, *options, **where)
        self.assertIsNotNone(model, said)
        self.assertIn("checked: " + model.config["checked"], said)
        return model.config["checked"]

    def differs(self, outputs, *words, options=(), **where):
        model, text = self.checked(outputs, *options, **where)
        self.assertIsNone(model, "taken")
        for word in words:
            self.assertIn(word, text)
        return text


class Check(Beside):
    def test_agreement(self):
        """In every unit, from npz and HDF5, whatever limits the file has; an output of float32 as
        torch computes it, too."""
        o = self.outputs()
        said = self.agrees(o)
        self.assertTrue(said.startswith(f"{K * T} rows of latents, rates, readout in mode causal"),
                        said)
        self.agrees({**o, "rates": o["rates"] / BIN_S}, "--check-rates", "hz")
        self.agrees({**o, "rates": np.log(o["rates"])}, "--check-rates", "log")
        self.agrees({"readout": o["readout"].astype(np.float32)}, "--readout-min=-0.01",
                    "--readout-max", "0.01", "--readout-slew", "0.1")
        np.savez(self.folder / "flat.npz", x=self.counts.reshape(-1, C))
        one = self.outputs(self.counts.reshape(1, -1, C))
        self.agrees({k: v[0] for k, v in one.items()}, bins=self.folder / "flat.npz")
        with h5py.File(self.folder / "all.h5", "w") as f:
            f["counts"] = self.counts
            for name, array in o.items():
                f[f"mine/{name}"] = array
        model, said = self.export_said(
            "gru", self.source, *WIDTH, "--check", f"{self.folder}/all.h5:/counts",
            f"{self.folder}/all.h5:/mine")
        self.assertIsNotNone(model, said)
        self.assertIn(f"{K * T} rows", model.config["checked"])

    def test_without_it_the_file_says_so(self):
        model, said = self.export_said("gru", self.source, *WIDTH)
        self.assertEqual(model.config["checked"], "no")
        self.assertIn("checked: no", said)

    def test_absent_rows(self):
        """Rows that the author has not (NaN) are counted, never taken for agreement."""
        o = self.outputs()
        holed = o["readout"].copy()
        holed[:, :10] = np.nan
        said = self.agrees({"readout": holed, "latents": o["latents"]})
        self.assertTrue(said.startswith(f"{K * (T - 10)} rows"), said)
        self.assertIn(f"{K * 10} absent", said)
        holed[:, 10:] = np.nan
        holed[0, :20] = o["readout"][0, :20]
        self.differs({"readout": holed}, "only 20 of 120 rows", "at least 50")

    def test_first_bad_row(self):
        o = self.outputs()
        o["readout"][2, 7, 1] += 1e-2
        text = self.differs(o, "readout", "trial 2, bin 7, column 1", "1 of 120 rows",
                            "no usual cause", "Nothing is written")
        self.assertIn(f"{o['readout'][2, 7, 1]:.6g}", text)
        o = self.outputs()
        o["latents"][3, 29, 0] = np.inf
        self.differs(o, "latents", "trial 3, bin 29, column 0")

    def test_causes(self):
        """Each found, and named with what to do."""
        o = self.outputs()
        soft = np.logaddexp(0, o["drive"])
        self.differs({"rates": o["rates"] / BIN_S}, "yours are Hz", "--check-rates hz")
        self.differs({"rates": np.log(o["rates"])}, "logarithms", "--check-rates log")
        self.differs({"rates": soft}, "rates of softplus", "--link softplus")
        self.differs({"rates": soft / BIN_S}, "--link softplus", "--check-rates hz")
        self.differs({"rates": soft}, "--link softplus", "counts per bin",
                     options=("--check-rates", "hz"))
        self.differs({"rates": np.maximum(o["drive"], 0)}, "--link relu")
        for k in (1, -1, 3):
            moved = {n: np.roll(v, k, axis=1) for n, v in o.items()}
            for array in moved.values():
                array[:, :k] = np.nan if k > 0 else array[:, :k]
                if k < 0:
                    array[:, k:] = np.nan
            for group in ("latents", "rates", "readout"):
                self.differs({group: moved[group]}, f"{abs(k)} bin",
                             f"the file's bin t {'-' if k > 0 else '+'} {abs(k)}")
        self.differs({"readout": self.outputs(carried=True)["readout"]}, "first trial agrees",
                     "from trial to trial")
        spread = (o["readout"] - o["readout"].mean((0, 1))) / o["readout"].std((0, 1))
        self.differs({"readout": spread}, "multiple", "standardised")

    def test_what_cannot_be_compared(self):
        o = self.outputs()
        self.differs({"readout": o["readout"][:, :-1]}, "shape [4, 29, 2]", "[4, 30]")
        self.differs({"readout": o["readout"][..., :1]}, "1 readout, the model has 2")
        self.differs({"logits": o["readout"]}, "the model has none")
        self.differs({"y": o["readout"]}, "expected latents, rates, readout or logits", "y")
        np.savez(self.bins, counts=self.counts[..., 1:])
        self.differs(o, "shape [4, 30, 4]")
        np.savez(self.bins, counts=self.counts - 3.0)
        self.differs(o, "count")
        np.savez(self.bins, counts=self.counts)
        (self.folder / "text").write_text("no numbers")
        self.differs(o, "neither npz nor HDF5", bins=self.folder / "text")
        self.differs(o, "absent.npz", bins=self.folder / "absent.npz")


def rates_of(link, drive):
    """By torch, from what the head gives."""
    drive = torch.as_tensor(drive, dtype=torch.float64)
    return {"exp": torch.exp, "softplus": torch.nn.functional.softplus, "relu": torch.relu,
            "linear": lambda x: x}[link](drive).numpy()


class Links(Beside):
    """What makes rates of the head's output is said, and each link is torch's."""

    def test_it_has_no_default(self):
        for arch, make in (("gru", test_refused.gru), ("lfads", test_refused.lfads),
                           ("ndt", lambda case: test_refused.ndt(case, "linear")),
                           ("sae", lambda case: test_refused.sae(case, "node"))):
            tensors, options = make(test_refused.Refused())
            i = options.index("--link")
            source = self.saved({k: torch.as_tensor(np.asarray(v)) for k, v in tensors.items()})
            model, text = self.export_said(arch, source, *options[:i], *options[i + 2:])
            self.assertIsNone(model, arch)
            self.assertIn("give --link exp", text)
            self.assertIn("softplus, relu or linear", text)

    def test_trainers_say_it(self):
        """A checkpoint of a trainer here says its link, and an option may not differ."""
        facts = {"bin_width_us": 20000, "hyper": {"layers": 1, "hidden": H, "lograte": True},
                 "readout": []}
        state = {k: v for k, v in self.network.state_dict().items() if "readout" not in k}
        source = self.saved({"state_dict": state, "latent": json.dumps(facts)})
        model, said = self.export_said("gru", source)
        self.assertIsNotNone(model, said)
        self.assertEqual(links.link_of(model), "exp")
        model, said = self.export_said("gru", source, "--link", "softplus")
        self.assertIsNone(model)
        self.assertIn("says exp", said)

    def test_gru(self):
        """Each as torch has it, live, too: rates, and LIMITED where less than none is expected."""
        o = self.outputs()
        self.assertLess(o["drive"].min(), -0.5)
        for link in links.LINKS:
            with self.subTest(link):
                rates = rates_of(link, o["drive"])
                self.agrees({**o, "rates": rates}, width=(*WIDTH[:3], link))
                for other in set(links.LINKS) - {link}:
                    if {link, other} == {"relu", "linear"}:  # they differ where less than 0 is 0
                        continue
                    word = "--check-rates log" if (link, other) == ("linear", "exp") else \
                        f"--link {link}"
                    self.differs({"rates": rates}, word, width=(*WIDTH[:3], other))
                model, said = self.export_said("gru", self.source, *WIDTH[:3], link)
                self.assertIsNotNone(model, said)
                found = self.decode(self.folder / "out.safetensors", self.counts)
                shown = np.maximum(rates, 0)
                self.close(found["rates"] * BIN_S, shown, 2e-6 * max(1, shown.max()), link)
                limited = (found["flags"] & golden.FLAG_LIMITED) != 0
                expected = (rates < 0).any(-1) if link == "linear" else np.zeros((K, T), bool)
                self.assertTrue(np.array_equal(limited, expected), link)

    def test_other_architectures(self):
        """ndt, lfads and sae with each link, in whole trials, beside torch's function of the
        head's output."""
        for name in ("ndt, linear", "lfads", "sae, node", "sae, gru"):
            arch, make = test_refused.SOUND[name]
            tensors, options = make(test_refused.Refused())
            for key in tensors:  # so that what links differ in is seen
                if key in ("readout.weight", "decoder.0.weight"):
                    tensors[key] = np.asarray(tensors[key]) * 3
            source = self.saved({k: torch.as_tensor(np.asarray(v)) for k, v in tensors.items()})
            model, said = self.export_said(arch, source, *options)
            self.assertIsNotNone(model, said)
            counts = golden.random_counts(6, 10, model.hyper.get("window_bins", 9),
                                          model.config["n_channels"])
            np.savez(self.bins, counts=counts)
            run = importlib.import_module(f"latent_models.{arch}.reference").run
            drive = np.stack([run(model.weights, model.config, x.astype(float), "trial")["lograte"]
                              for x in counts])  # of exp: what the head gives
            i = options.index("--link")
            for link in links.LINKS:
                with self.subTest(name, link=link):
                    mine = (*options[:i + 1], link, *options[i + 2:])
                    self.agrees({"rates": rates_of(link, drive)}, *mine, arch=arch, source=source,
                                width=())
            self.differs({"rates": rates_of("softplus", drive)}, "--link softplus",
                         options=options, arch=arch, source=source, width=())

    def test_what_the_core_refuses(self):
        """A link that is none, or that the rest of the file contradicts."""
        self.export_said("gru", self.source, *WIDTH[:3], "softplus")
        path = self.folder / "out.safetensors"
        model = model_file.read_exact(path)
        for hyper, word in (({"link": "probit"}, "probit"), ({"link": "exp"}, "with false"),
                            ({"lograte": True}, "with true"), ({"link": "relu"}, "known answer")):
            changed = {**model.hyper, **hyper}
            model_file.write_model(path, model_file.Model(
                {**model.config, "hyper": changed}, model.weights, model.selftest))
            with self.assertRaises(Refusal) as caught:
                stream.decode_stream(path, self.counts.astype(float), "causal", 20)
            self.assertIn(word, str(caught.exception))


class Exporters(Beside):
    """Of every architecture, beside its own reference."""

    def test_every_exporter(self):
        for name, (arch, make) in {**test_refused.SOUND, **test_checkpoints.MORE}.items():
            if arch == "smc" or "Keras" in name:  # smc draws: its numbers are its own
                continue
            with self.subTest(name):
                tensors, options = make(test_refused.Refused())
                source = self.saved({k: torch.as_tensor(np.asarray(v)) for k, v in tensors.items()})
                model, said = self.export_said(arch, source, *options)
                self.assertIsNotNone(model, said)
                n_bins = model.hyper.get("window_bins", 30 if arch == "b2t" else 12)
                counts = golden.random_counts(8, 12, n_bins, model.config["n_channels"])
                np.savez(self.bins, counts=counts)
                mode = "trial" if "trial" in model.config["modes"] else model.config["modes"][0]
                run = importlib.import_module(f"latent_models.{arch}.reference").run
                answers = [run(model.weights, model.config, x.astype(float), mode) for x in counts]
                outputs = {group: np.stack([a[group] for a in answers])
                           for group in ("latents", "lograte", "rates", "readout", "logits")
                           if answers[0].get(group) is not None}
                delay = sum(n.get("look_ahead", 0) for n in model.hyper.get("nodes", ()))
                outputs = {group: checking.advanced(a, delay) for group, a in outputs.items()}
                if "lograte" in outputs:
                    outputs["rates"] = np.exp(outputs.pop("lograte"))
                said = self.agrees(outputs, *options, arch=arch, source=source, width=())
                self.assertIn(f"in mode {mode} ", said)
                group = next(iter(outputs))
                last = np.flatnonzero(~np.isnan(outputs[group][-1]).any(-1))[-1]
                outputs[group][-1, last] += 0.1 * (1 + np.abs(outputs[group][-1, last]))
                self.differs(outputs, group, f"trial 11, bin {last}", options=options,
                             arch=arch, source=source, width=())

    def test_frames_of_earlier_bins(self):
        """A mode that shows a bin once it is final: its frames are compared with that bin's row."""
        tensors, options = test_refused.ndt(None, "linear")
        options = [*options[:-5], "1", *options[-4:]]
        self.assertEqual(options[8:10], ["--context-forward", "1"])
        source = self.saved({k: torch.tensor(v) for k, v in tensors.items()})
        model, said = self.export_said("ndt", source, *options, "--modes", "B-lag")
        self.assertIsNotNone(model, said)
        counts = golden.random_counts(9, 12, 9, model.config["n_channels"])
        np.savez(self.bins, counts=counts)
        run = importlib.import_module("latent_models.ndt.reference").run
        rates = np.stack([np.exp(run(model.weights, model.config, x.astype(float), "trial")
                                 ["lograte"]) for x in counts])
        said = self.agrees({"rates": rates}, *options, "--modes", "B-lag", arch="ndt",
                           source=source, width=())
        self.assertIn("84 rows", said)
        self.assertIn("24 absent", said)


if __name__ == "__main__":
    golden.main()

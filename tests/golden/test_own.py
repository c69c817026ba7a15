#!/usr/bin/python3
"""latentd.export: torch modules in the ways people write them, and scikit-learn objects, decoded by
liblatent beside the object itself; refusals; what is never kept; training to live."""
import contextlib
import io
import re
import sys
import unittest
import warnings
from unittest import mock

import h5py
import numpy as np

import golden

try:
    import torch
    from torch import nn
    import own_networks as own
except ModuleNotFoundError as error:
    print(f"SKIP host: {error}: sudo apt-get install python3-torch")
    sys.exit(golden.SKIPPED)
try:
    from sklearn import decomposition, discriminant_analysis, linear_model, neural_network
    from sklearn import pipeline, preprocessing
except ModuleNotFoundError as error:
    print(f"SKIP host: {error}: sudo apt-get install python3-sklearn")
    sys.exit(golden.SKIPPED)

import latentd
from latent_models.stack import activations, operations

C, O, N_BINS = own.C, own.O, 120
PAIR = [("vx", "mm/s"), ("vy", "mm/s")]
LIBRARY = golden.Path(latentd.__file__).with_name("liblatent.so")


def laid(bins, layout):
    """[K, T, C] as a module takes it, or one trial of it."""
    axes = [name for name in "NTC" if name in layout]
    tensor = torch.from_numpy(bins if "N" in layout else bins[0])
    return tensor.permute([axes.index(name) for name in layout])


def rows(out, layout):
    """What it gives as [K, R, n]."""
    out = out[0] if isinstance(out, tuple) else out
    array = out.detach().double().numpy()
    array = array if array.ndim == len(layout) else array[..., None]
    order = [layout.index(name) for name in "NTC" if name in layout]
    array = array.transpose(order)
    return array if array.ndim == 3 else array[None]


@unittest.skipUnless(LIBRARY.exists(), "no liblatent.so that Python can load")
class Exported(golden.Case):
    def setUp(self):
        super().setUp()
        torch.manual_seed(7)
        torch.set_num_threads(1)
        self.path = self.folder / "own.safetensors"

    def export(self, module, n_channels=C, bin_ms=20, **options):
        """-> ModelInfo; what was said is in self.said."""
        said = io.StringIO()
        self.path.unlink(missing_ok=True)
        with contextlib.redirect_stdout(said):
            info = latentd.export(module, self.path, bin_width_ms=bin_ms, n_channels=n_channels,
                                  **options)
        self.said = said.getvalue()
        return info

    def no(self, module, *words, **options):
        with self.assertRaises(latentd.ExportError) as caught:
            self.export(module, **{"readout": PAIR, **options})
        text = str(caught.exception)
        self.assertFalse(self.path.exists(), "a refused network left a file behind")
        self.assertNotIn("\n", text)
        for word in words:
            self.assertIn(word, text)
        return text

    def counts(self, seed=3, n_trials=1, n_bins=N_BINS, n_channels=C):
        return np.random.default_rng(seed).poisson(0.7, (n_trials, n_bins, n_channels)).astype(
            np.float32)

    def decoded(self, bins):
        with latentd.Decoder(self.path) as decoder:
            return decoder.decode(bins), decoder.info


class Ways(Exported):
    def check_way(self, kind):
        torch.manual_seed(11)
        module = kind().eval()
        layout, start, stride, delay = own.TIMED.get(kind, own.PLAIN)
        info = self.export(module, readout=PAIR[:1] if kind is own.OneNumber else PAIR)
        self.assertEqual((info.delay_bins, info.every_bins), (delay, stride))
        self.assertIn("against the module itself in float64 on drawn bins", info.checked)
        bins = self.counts()
        narrow = rows(module(laid(bins, layout)), layout)[0]
        torch.manual_seed(11)
        with torch.no_grad():
            wide = rows(kind().eval().double()(laid(bins.astype(np.float64), layout)), layout)[0]
        found = self.decoded(bins)[0].readout[0]
        at = start + stride * np.arange(len(wide)) + delay
        at, wide, narrow = at[at < N_BINS], wide[:(at < N_BINS).sum()], narrow[:(at < N_BINS).sum()]
        self.assertGreater(len(at), (N_BINS - start - delay) // stride - 1)
        limit = 1e-6 * max(1, np.abs(wide).max()) + 4 * np.abs(narrow - wide).max()
        self.close(found[at], wide, limit, kind.__name__)

    def test_ways_to_write_a_forward(self):
        for kind in own.WAYS:
            with self.subTest(kind.__name__):
                self.check_way(kind)

    def test_the_module_stays_as_it_is(self):
        """In training mode, of its type, its hooks in place."""
        module = own.Tcn().train()
        module(torch.zeros(1, 9, C)).sum().backward()  # weight norm leaves a tensor with a history
        before = {k: v.clone() for k, v in module.state_dict().items()}
        self.export(module, readout=PAIR)
        self.assertTrue(module.training)
        self.assertTrue(all(m.training for m in module.modules()))
        self.assertEqual(set(before), set(module.state_dict()))
        for name, tensor in module.state_dict().items():
            self.assertTrue(torch.equal(tensor, before[name]), name)
        self.assertIn("WeightNorm of weight folded", self.said)

    def test_what_fails_in_float64(self):
        """Compared in float32, and said."""
        module = own.Of(lambda m, x: m["out"](x.float()), out=nn.Linear(C, O))
        info = self.export(module, readout=PAIR)
        self.assertIn("itself in float32", info.checked)
        self.assertIn("float64 fails", self.said)

    def test_the_input_s_statistics(self):
        """Of buffers that z-score counts, not of a mean that was learnt."""
        module = own.ZScoredGru()
        found = self.export(module, readout=PAIR).channel_mean
        self.close(found, module.mean.numpy(), 1e-6, "means")
        mean = module.mean
        del module.mean
        module.mean = nn.Parameter(mean)
        self.assertIsNone(self.export(module, readout=PAIR).channel_mean)

    def test_groups(self):
        """Several outputs by name; scores with labels."""
        module = own.Of(lambda m, x: {"latents": m["a"](x), "readout": m["b"](m["a"](x)),
                                      "logits": m["b"](x[..., :4]), "rates": m["b"](
                                          x[..., 4:8]).exp()},
                        a=nn.Linear(C, 4), b=nn.Linear(4, O))
        info = self.export(module, readout=[("x", "mm", 1.0, -5, 5, 100), ("y", "mm")],
                           latents=True, rates=True, logits=["go", "stay"])
        self.assertEqual((info.n_latents, info.n_rates, info.logits), (4, 2, ("go", "stay")))
        first = info.readout[0]
        self.assertEqual((first.name, first.neutral, first.min, first.max, first.slew),
                         ("x", 1, -5, 5, 100))
        self.no(module, "gives latents, readout, logits, rates, asked for are readout")
        self.no(nn.Linear(C, O), "gives one output", "a dict", latents=True)


class Links(Exported):
    """Rates as torch gives them, in Hz of the bin."""

    def rates_of(self, module, **options):
        self.export(module, rates=True, **options)
        bins = self.counts()
        with torch.no_grad():
            given = module.double()(torch.from_numpy(bins).double()).numpy()
        return self.decoded(bins)[0].rates, given

    def head(self, *last):
        return nn.Sequential(nn.Linear(C, 8), nn.Tanh(), nn.Linear(8, 5), *last)

    def test_of_the_module_itself(self):
        exponential = own.Of(lambda m, x: m["a"](x).exp(), a=nn.Linear(C, 5))
        for name, module in {"softplus": self.head(nn.Softplus()), "relu": self.head(nn.ReLU()),
                             "exp": exponential}.items():
            with self.subTest(name):
                found, given = self.rates_of(module)
                self.close(found * 0.02, given, 1e-6 * max(1, given.max()), name)
                self.assertIn(f"'link': '{name}'", self.said)

    def test_as_told(self):
        softplus = lambda y: np.logaddexp(0, y)  # noqa: E731
        for link, function in {"exp": np.exp, "softplus": softplus, "relu": lambda y: np.maximum(
                y, 0), "linear": lambda y: np.maximum(y, 0)}.items():
            with self.subTest(link):
                found, given = self.rates_of(self.head(), link=link)
                given = function(given)
                self.close(found * 0.02, given, 1e-6 * max(1, given.max()), link)

    def test_no_guess(self):
        self.no(self.head(), "link is not given", 'link="exp"', readout=None, rates=True)
        self.no(self.head(nn.Softplus()), "ends in softplus itself", readout=None, rates=True,
                link="exp")
        self.no(self.head(), "expected exp, softplus", readout=None, rates=True, link="log")
        self.no(self.head(), "not asked for", readout=[("a", "b")] * 5, link="exp")


class Again(nn.Module):
    """Uses what a layer has changed in place."""

    def forward(self, layer, x):
        return layer(x) + x


class Refused(Exported):
    def test_by_name_and_line(self):
        for name, (make, words) in own.REFUSED.items():
            with self.subTest(name):
                self.no(make(), *words)

    def test_arguments(self):
        module = nn.Linear(C, O)
        for words, options in (
                (("n_channels",), {"n_channels": 0}), (("milliseconds", "20"), {"bin_ms": 0.02}),
                (("nothing to publish",), {"readout": None}), (("counts or real",), {"input": "x"}),
                (("(name, unit",), {"readout": [("vx",), ("vy",)]}),
                (("expected each once",), {"readout": [("vx", "m"), ("vx", "m")]}),
                (("lags",), {"lags": 3}), (("shape [5, 3]",), {"check": np.ones((5, 3))})):
            with self.subTest(words):
                self.no(module, *words, **options)

    def test_a_difference_writes_nothing(self):
        """Whatever the cause: the wrong GELU, a delay that is not there, a state that stays."""
        module = own.Of(lambda m, x: m["b"](torch.nn.functional.gelu(m["a"](x))),
                        a=nn.Linear(C, 8), b=nn.Linear(8, O))
        other = activations.plain("silu")
        with mock.patch.dict(operations.OPERATIONS, gelu=other):
            text = self.no(module, "against its file on drawn bins", "differ", "Nothing is written")
        self.assertIn("first in trial", text)
        late = own.Of(lambda m, x: m["b"](x[:, x.size(1) - 490:]), b=nn.Linear(C, O))
        self.no(late, "on drawn bins")
        changed = own.Of(lambda m, x: m["again"](m["in place"], m["b"](x)), b=nn.Linear(C, O))
        changed.layers.update({"in place": nn.ReLU(inplace=True), "again": Again()})
        self.no(changed, "differ", "Nothing is written")

    def test_the_author_s_bins(self):
        """check: its bins, its bins and outputs."""
        module = own.ZScoredGru().eval()
        bins = self.counts(n_trials=2)
        with torch.no_grad():
            given = module(torch.from_numpy(bins)).numpy()
        self.assertIn("240 rows", self.export(module, readout=PAIR, check=bins).checked)
        info = self.export(module, readout=PAIR, check=(bins, given))
        self.assertIn("its author's outputs on the author's bins", info.checked)
        self.no(module, "agree when yours are taken 2 bins",
                check=(bins[:1], np.roll(given[:1], 2, 1)))
        self.no(module, "only 20 of 20 rows", check=bins[0, :20])

    def test_nothing_of_a_recording_is_kept(self):
        """Not one bin of it, in any type, nor the name of its file."""
        bins = np.random.default_rng(9).poisson(30, (1, 200, C)).astype(np.float32)
        recording = self.folder / "subject-7.npz"
        np.savez(recording, counts=bins)
        for given in (bins, str(recording)):
            self.export(own.ZScoredGru(), readout=PAIR, check=given)
            content = self.path.read_bytes()
            for kind in (np.float32, np.float64, np.uint8, np.uint16, np.int32, np.int64):
                for t in range(200):
                    self.assertNotIn(bins[0, t].astype(kind).tobytes(), content)
            self.assertNotIn(b"subject", content)
            self.assertNotIn(str(golden.ROOT).encode(), content)


class Estimators(Exported):
    def data(self, n_bins=900, lags=1):
        """Counts of a tuned population, what it is tuned to, and lagged rows."""
        g = np.random.default_rng(2)
        hand = np.cumsum(g.normal(size=(n_bins, O)), 0) * 0.1
        x = g.poisson(np.exp(0.3 * np.tanh(hand) @ g.normal(size=(O, C)) + 0.2)).astype(float)
        stacked = np.concatenate([x[k:n_bins - lags + 1 + k] for k in range(lags)], 1)
        return x, stacked, hand[lags - 1:]

    def same(self, x, expected, lags, group="readout"):
        found, _ = self.decoded(x[None].astype(np.float32))
        self.close(getattr(found, group)[0][lags - 1:], expected,
                   1e-5 * max(1, np.abs(expected).max()), group)

    def test_regressions(self):
        for lags in (1, 4):
            x, rows_, hand = self.data(lags=lags)
            for model in (
                    linear_model.LinearRegression(), pipeline.make_pipeline(
                        preprocessing.StandardScaler(), linear_model.Ridge(2.0)),
                    pipeline.make_pipeline(preprocessing.StandardScaler(), decomposition.PCA(
                        5, whiten=True), linear_model.LinearRegression(fit_intercept=False)),
                    *(pipeline.Pipeline([("z", preprocessing.StandardScaler()),
                                         ("none", "passthrough"),
                                         ("mlp", neural_network.MLPRegressor(
                                             (8, 6), activation=kind, max_iter=4))])
                      for kind in ("relu", "tanh", "logistic", "identity"))):
                with self.subTest(model, lags=lags):
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        model.fit(rows_, hand)
                    info = self.export(model, readout=PAIR, lags=lags)
                    self.assertIn("of scikit-learn itself", info.checked)
                    self.assertEqual(info.first_bin, lags - 1)
                    self.same(x, model.predict(rows_), lags)

    def test_scores_and_latents(self):
        x, rows_, hand = self.data()
        for classes in (2, 3):
            labels = np.digitize(hand[:, 0], [-0.5, 0.5][:classes - 1])
            model = discriminant_analysis.LinearDiscriminantAnalysis().fit(rows_, labels)
            self.export(model, logits=[f"c{k}" for k in range(classes)])
            scores = self.decoded(x[None].astype(np.float32))[0].logits[0].astype(float)
            p = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
            self.close(p, model.predict_proba(rows_), 1e-5, "probabilities")
        pca = decomposition.PCA(4).fit(rows_)
        self.export(pca, latents=True)
        self.same(x, pca.transform(rows_), 1, "latents")

    def test_the_input_s_statistics(self):
        """A scaler knows them: the file predicts through a gap."""
        x, rows_, hand = self.data(lags=2)
        model = pipeline.make_pipeline(preprocessing.StandardScaler(),
                                       linear_model.Ridge()).fit(rows_, hand)
        info = self.export(model, readout=PAIR, lags=2)
        self.close(info.channel_mean, rows_[:, C:].mean(0), 1e-5, "means")

    def test_refused(self):
        from sklearn import ensemble, svm
        x, rows_, hand = self.data(lags=2)
        ridge = linear_model.Ridge().fit(rows_, hand)
        self.no(ridge, f"fitted to {2 * C} columns", "lags=2")
        self.no(ridge, "lags", lags=3)
        self.no(linear_model.Ridge(), "not fitted")
        for model in (svm.SVR(), ensemble.RandomForestRegressor(2)):
            self.no(model.fit(rows_, hand[:, 0]), type(model).__name__, "StandardScaler")
        self.no(ridge, "gives 2 numbers", readout=PAIR[:1], lags=2)
        self.no(ridge, "one output", latents=True, lags=2)


class Live(Exported):
    """From training to decoding bin by bin: R2 as torch's own."""

    def recording(self, n_bins=1600):
        g = np.random.default_rng(4)
        hand = np.stack([np.sin(np.arange(n_bins) / k) for k in (17, 29)], 1)
        x = g.poisson(np.exp(hand @ g.normal(size=(O, C)) * 0.5 + 0.3)).astype(np.float32)
        return x, hand.astype(np.float32)

    @staticmethod
    def r2(found, truth):
        return 1 - ((found - truth) ** 2).sum() / ((truth - truth.mean(0)) ** 2).sum()

    def check_live(self, module, layout="NTC", delay=0):
        """Trained on ten trials of 100 bins; the rest is decoded as one."""
        x, hand = self.recording()
        order = [layout.index(name) for name in "NTC"]
        given = laid(x[:1000].reshape(10, 100, C), layout)
        target = torch.from_numpy(hand[:1000].reshape(10, 100, O))
        optimizer = torch.optim.Adam(module.parameters(), 2e-2)
        for _ in range(25):
            optimizer.zero_grad()
            ((module(given).permute(order) - target) ** 2).mean().backward()
            optimizer.step()
        self.export(module, readout=PAIR, check=x[:200])
        x, hand = x[1000:], hand[1000:1600 - delay]
        with torch.no_grad():
            own_hand = module.eval()(laid(x[None], layout)).permute(order)[0, :600 - delay]
        own_r2 = self.r2(own_hand.numpy(), hand)
        self.assertGreater(own_r2, 0.5)
        live, whole = self.stepped(x), self.decode(self.path, x[None])["readout"][0]
        self.assertTrue(np.array_equal(live, whole, equal_nan=True), "live is not as offline")
        self.assertLess(abs(self.r2(live[delay:], hand) - own_r2), 1e-3)

    def stepped(self, x):
        """Bin by bin, NaN where there is no readout."""
        with latentd.Decoder(self.path) as decoder:
            found = [decoder.step(row).readout for row in x]
        return np.stack([y if len(y) else np.full(O, np.nan, np.float32) for y in found])

    def test_gru_with_z_scores(self):
        self.check_live(own.ZScoredGru())

    def test_lstm(self):
        class Own(own.Lstm):
            def forward(self, x):
                return super().forward(x)[0]
        self.check_live(Own(), "TNC")

    def test_tcn_that_looks_ahead(self):
        self.check_live(own.LookAhead(), "NCT", 3)

    def test_pipeline(self):
        x, hand = self.recording()
        lags = 5
        rows_ = np.concatenate([x[k:len(x) - lags + 1 + k] for k in range(lags)], 1)
        model = pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.Ridge())
        model.fit(rows_[:1000], hand[lags - 1:][:1000])
        self.export(model, readout=PAIR, lags=lags)
        live, at = self.stepped(x), slice(1000 + lags - 1, None)
        self.assertTrue(np.array_equal(live, self.decode(self.path, x[None])["readout"][0],
                                       equal_nan=True))
        own_r2 = self.r2(model.predict(rows_[1000:]), hand[at])
        self.assertGreater(own_r2, 0.5)
        self.assertLess(abs(self.r2(live[at], hand[at]) - own_r2), 1e-3)


class Tutorial(Exported):
    def test_example(self):
        """proto/examples/own_network.py on a small recording: as said in models/README.md."""
        x, hand = Live.recording(self, 1200)
        recording = self.folder / "rec.h5"
        with h5py.File(recording, "w") as f:
            f["counts"], f["readout"] = x.reshape(20, 60, C), hand.reshape(20, 60, O)
            f.attrs["bin_width_ms"] = 10.0
            f.attrs["readout_names"], f.attrs["readout_units"] = ["vx", "vy"], ["mm/s", "mm/s"]
        said = self.run_ok(golden.PYTHON, golden.ROOT / "proto/examples/own_network.py", recording,
                           self.path, "2")
        torch_r2, file_r2 = re.search(r"torch (\S+), \S+ (\S+)$", said.strip()).groups()
        self.assertEqual(torch_r2, file_r2)
        self.assertEqual(self.decoded(x[None])[1].readout[1].unit, "mm/s")


if __name__ == "__main__":
    golden.main()

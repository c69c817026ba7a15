"""Decoders stepped bin by bin through golden_steps: missing bins, and a snapshot on the way."""
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

import golden

from latent_models.common.model_file import read_model

STEPS = golden.BIN / "golden_steps"
FLAG_PREDICTED = 1 << 3


class Stepping(golden.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory(prefix="latent-golden-")
        cls.addClassCleanup(folder.cleanup)
        cls.kept = Path(folder.name)

    def export_once(self, arch, source, *options):
        """As export, but one file for all tests of the class."""
        path = self.kept / ("-".join([arch, Path(source).stem, *options]) + ".safetensors")
        if not path.exists():
            shutil.copy(self.export(arch, source, *options), path)
        return path

    def steps(self, path, mode, counts, missing=(), *, save_at=None, session=None):
        """counts [T, C] -> dict of flags [T] and, NaN where a frame has none, latents, lograte,
        rates (per bin), readout, logits. save_at: before this bin the stream moves to another
        decoder (default: half). session: default: that of the known answer."""
        model = read_model(path)
        rows = np.array(counts, np.float32)
        rows[list(missing)] = np.nan
        source, out = self.folder / "rows.f32", self.folder / "frames.f32"
        rows.tofile(source)
        save_at = len(rows) // 2 if save_at is None else save_at
        session = session or golden.session_of(model)
        command = [STEPS, path, mode, source, out, save_at, *([session] if session else [])]
        result = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, f"{command}\n{result.stderr}")
        outputs = model.config["outputs"]
        widths = [1, outputs["latents"], outputs["rates"], len(outputs["readout"]),
                  len(outputs.get("logits", ()))]
        frames = np.fromfile(out, np.float32).reshape(len(rows), sum(widths)).astype(np.float64)
        flags, latents, rates, readout, logits = np.split(frames, np.cumsum(widths)[:-1], 1)
        bin_s = model.config["bin_width_us"] * 1e-6
        with np.errstate(divide="ignore"):
            logarithm = np.log(rates * bin_s)
        return {"flags": flags[:, 0].astype(int), "latents": latents, "lograte": logarithm,
                "rates": rates * bin_s, "readout": readout, "logits": logits}

    def compare_steps(self, path, run, mode, counts, missing, *, limit, what):
        """Stepped frames against the reference, as far as its answer goes; -> (frames, answer)."""
        model = read_model(path)
        expected = run(model.weights, model.config, counts.astype(np.float64), mode, missing)
        found = self.steps(path, mode, counts, missing)
        n_bins = len(expected["latents"])
        warm = found["flags"][:n_bins] & golden.FLAG_WARMUP != 0
        for group in ("latents", "lograte", "readout"):
            if expected[group] is None:
                continue
            valid = ~warm if group == "readout" else np.ones(n_bins, bool)
            self.close(found[group][:n_bins][valid], expected[group][valid],
                       limit * max(1, np.abs(expected[group]).max()), f"{what}, {mode}, {group}")
        predicted = found["flags"] & FLAG_PREDICTED != 0
        self.assertEqual(list(np.flatnonzero(predicted)), sorted(missing), what)
        return found, expected

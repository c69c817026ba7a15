"""Networks of one's own as model files: latentd.export."""

import numpy as np

from .decoder import Decoder, Error


class ExportError(ValueError):
    """What cannot be exported, or did not give what its author's object gives: what, where, found,
    what to do, in one line."""


def _decode(path, bins, mode, _bin_ms):
    """As latent_models.common.stream.decode_stream, in this process."""
    with Decoder(path, mode=mode) as decoder:
        result, info = decoder.decode(bins), decoder.info
    rates = result.rates
    return {"latents": result.latents, "readout": result.readout, "logits": result.logits,
            "rates": None if rates is None else rates * (info.bin_width_us / 1e6),
            "flags": result.flags, "delay_bins": info.delay_bins}


def export(module, path, *, bin_width_ms: float, n_channels: int, readout: list = None,
           rates: bool = False, latents: bool = False, logits: list = None, input: str = "counts",
           link: str = None, check=None, lags: int = None):
    """Write a trained network as a model file that latentd decodes with. -> ModelInfo.

    module: a torch.nn.Module, or a fitted scikit-learn object or Pipeline. Its layers are found by
    torch.fx on a copy in eval mode; core/layers/README.md lists what a stack may be made of. It is
    called with bins [trials, time, channels], [time, trials, channels] or [trials, channels, time],
    whichever its layers fit, and gives one row a bin.

    readout: a list of (name, unit[, neutral[, min, max[, slew]]]), one for each number; logits: the
    labels of scores; latents, rates: True. A module that gives one tensor gives the one group that
    is named; one that gives several returns a dict by these names.

    input: "counts", or "real" for bins of any finite value. link: what makes expected counts per
    bin of its rates, "exp", "softplus", "relu" or "linear"; left out where it ends in one itself.
    lags: of scikit-learn, how many bins a row of X holds side by side, oldest first.

    The file is decoded by liblatent and compared with the module itself on drawn bins; a difference
    above 1e-4 max(1, |y|) raises ExportError and writes nothing. check: bins [time, channels] or
    [trials, time, channels] (or "FILE.h5:/dataset") to compare on, too, or (bins, outputs); nothing
    of them is kept in the file.
    """
    from latent_models.common.refusal import Refusal, printable
    from latent_models.stack import own
    from latent_models.stack.author import Request
    request = Request(n_channels, readout, rates, latents, logits, input, link)
    try:
        with np.errstate(all="ignore"):
            own.export(module, path, request, bin_width_ms=bin_width_ms, lags=lags, check=check,
                       decode=_decode)
    except (Refusal, Error) as error:
        raise ExportError(printable(error)) from None
    with Decoder(path) as decoder:
        return decoder.info

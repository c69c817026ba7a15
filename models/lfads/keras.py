"""LFADS checkpoints of the TensorFlow 2 implementation, renamed and transposed to the torch layout.

Keras stores kernels as (in, out) with the column blocks z, r, h and one bias per cell; nothing else
differs.
"""
import numpy as np

from latent_models.common.refusal import Refusal

CELL = "decoder/rnn/cell/"
# What training leaves in a checkpoint and inference never reads.
UNUSED = {"ic_prior_mean", "ic_prior_logvar", "logtaus", "lognvars", "co_prior_mean",
          "co_prior_logvar"}
CELLS = {"encoder/{0}_enc_bigru/forward_layer/cell": "encoder.{0}_enc.fwd_gru.cell",
         "encoder/{0}_enc_bigru/backward_layer/cell": "encoder.{0}_enc.bwd_gru.cell"}
LINEARS = {"decoder/ic_to_g0": "decoder.ic_to_g0", "decoder/rate_linear": "readout"}
# mean and log-variance: one layer each in Keras, rows of one layer in torch
PAIRS = {("encoder/ic_mean_linear", "encoder/ic_logvar_linear"): "encoder.ic_linear",
         (CELL + "co_mean_linear", CELL + "co_logvar_linear"): "decoder.rnn.cell.co_linear"}


def is_keras(tensors):
    return any(name.endswith("decoder/rnn/cell/gen_gru_cell/kernel") for name in tensors)


class Renamer:
    """Takes tensors by their Keras names; what is left over at the end is refused."""

    def __init__(self, path, tensors):
        self.path = path
        self.left = {name.removeprefix("model/"): array for name, array in tensors.items()}
        self.out, self.clips = {}, set()

    def take(self, name, n_dims):
        """The tensor of this name, which must have so many axes."""
        if name not in self.left:
            raise Refusal(f"{self.path}: tensor {name} is missing: not an LFADS of TensorFlow 2? "
                          f"It has {', '.join(sorted(self.left)[:6])}, ...")
        array = np.asarray(self.left.pop(name))
        if array.ndim != n_dims:
            raise Refusal(f"{self.path}: tensor {name} has shape {list(array.shape)}, expected "
                          f"{n_dims} axes")
        if array.dtype.kind != "f":
            raise Refusal(f"{self.path}: tensor {name} has type {array.dtype}, expected floats")
        return array

    def cell(self, keras, torch):
        """One GRU cell, if the model has it."""
        if keras + "/kernel" not in self.left:
            return
        if np.ndim(self.left.get(keras + "/bias")) == 2:
            raise Refusal(f"{self.path}: tensor {keras}/bias has 2 axes: a cell with "
                          f"reset_after, which LFADS does not use")
        bias = self.take(keras + "/bias", 1)
        self.out.update({torch + ".weight_ih": self.take(keras + "/kernel", 2).T,
                         torch + ".weight_hh": self.take(keras + "/recurrent_kernel", 2).T,
                         torch + ".bias_ih": bias, torch + ".bias_hh": np.zeros_like(bias)})
        if keras + "/clip_value" in self.left:
            self.clips.add(float(self.take(keras + "/clip_value", 0)))

    def pair(self, names, torch):
        """Mean and log-variance as the rows of one layer."""
        if names[0] + "/kernel" not in self.left:
            return
        for part, keras, n_dims in (("weight", "kernel", 2), ("bias", "bias", 1)):
            arrays = [self.take(f"{name}/{keras}", n_dims).T for name in names]
            if arrays[0].shape != arrays[1].shape:
                raise Refusal(f"{self.path}: tensors {names[0]}/{keras} and {names[1]}/{keras} "
                              f"have shapes {list(arrays[0].T.shape)} and "
                              f"{list(arrays[1].T.shape)}, expected the same")
            self.out[f"{torch}.{part}"] = np.concatenate(arrays)


def rename(path, tensors):
    """-> (tensors under their torch names, the cells' clip or None)."""
    r = Renamer(path, tensors)
    if any(name.startswith("lowd_readin") for name in r.left):
        raise Refusal(f"{path}: has a low-dimensional read-in with group normalisation, which "
                      f"cannot be served")
    for encoder in ("ic", "ci"):
        for keras, torch in CELLS.items():
            r.cell(keras.format(encoder), torch.format(encoder))
        if f"encoder/{encoder}_enc_h0" in r.left:
            start = r.take(f"encoder/{encoder}_enc_h0", 3)  # [1, 2, size]
            r.out[f"encoder.{encoder}_enc_h0"] = start.transpose(1, 0, 2)
    for cell in ("con", "gen"):
        r.cell(f"{CELL}{cell}_gru_cell", f"decoder.rnn.cell.{cell}_cell")
    if f"{CELL}con_gru_cell/h0" in r.left:
        r.out["decoder.con_h0"] = r.take(f"{CELL}con_gru_cell/h0", 2)
    r.out["decoder.rnn.cell.fac_linear.weight"] = r.take(CELL + "fac_linear/kernel", 2).T
    for keras, torch in LINEARS.items():
        r.out[torch + ".weight"] = r.take(keras + "/kernel", 2).T
        r.out[torch + ".bias"] = r.take(keras + "/bias", 1)
    for names, torch in PAIRS.items():
        r.pair(names, torch)
    extra = sorted(name for name in r.left if name.split("/")[-1] not in UNUSED)
    if extra:
        raise Refusal(f"{path}: tensor {extra[0]} has no place in this architecture ({len(extra)} "
                      f"such in all)")
    if len(r.clips) > 1:
        raise Refusal(f"{path}: its cells clip at {', '.join(map(str, sorted(r.clips)))}: only one "
                      f"value for all can be served")
    return r.out, r.clips.pop() if r.clips else None

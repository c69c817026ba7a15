"""A module as it runs live: a copy in eval mode, weight norm and parametrizations folded."""
import copy

import torch

from latent_models.common.refusal import Refusal

OTHERS = (("onnx", "an ONNX graph: give the torch module it was made from"),
          ("keras", "a Keras model: write its weights into HDF5 (models/stack/card.md)"),
          ("tensorflow", "a TensorFlow model: write its weights into HDF5 (models/stack/card.md)"),
          ("jax", "a JAX object: write its weights into a checkpoint (models/stack/card.md)"))


def refuse_other(module):
    """What is no module: what it is, and what to do."""
    kind = type(module)
    for name, what in OTHERS:
        if kind.__module__.split(".")[0] == name:
            raise Refusal(f"{kind.__name__}: {what}")
    if isinstance(module, torch.jit.ScriptModule):
        raise Refusal("a TorchScript module: give the Python module it was made from")
    if isinstance(module, torch.nn.Module):
        return
    if isinstance(module, type) and issubclass(module, torch.nn.Module):
        raise Refusal(f"{module.__name__}: a class, expected a trained instance of it")
    if isinstance(module, dict):
        raise Refusal("a state dict, tensors without a network: load it into your module "
                      "(load_state_dict), or write a list for models/stack/export.py")
    if isinstance(module, (str, bytes)) or hasattr(module, "__fspath__"):
        what = "an ONNX graph" if str(module).endswith(".onnx") else "a file"
        raise Refusal(f"{str(module):.80}: {what}; expected the module itself (for a checkpoint: "
                      f"models/stack/export.py)")
    raise Refusal(f"{kind.__name__}: expected a torch.nn.Module or a fitted scikit-learn object")


def copied(module):
    """A deep copy. Tensors that a forward left as attributes (weight norm) are no parameters, which
    deepcopy refuses."""
    memo = {id(value): value.detach().clone() for m in module.modules()
            for value in vars(m).values()
            if isinstance(value, torch.Tensor) and value.grad_fn is not None}
    return copy.deepcopy(module, memo)


def folded(module):
    """-> (module, notes)."""
    refuse_other(module)
    notes = []
    while hasattr(module, "_orig_mod") or isinstance(module, torch.nn.DataParallel):
        module = getattr(module, "_orig_mod", None) or module.module
    try:
        module = copied(module).eval().cpu()
    except Exception as error:
        raise Refusal(f"{type(module).__name__}: cannot be copied: {type(error).__name__}: "
                      f"{error}") from error
    for path, m in module.named_modules():
        notes += [f"{path or 'the module'}: {what} folded" for what in fold(m)]
    if any(p.is_meta for p in module.parameters()):
        raise Refusal(f"{type(module).__name__}: has no weights yet (device meta)")
    return module, notes


def fold(module):
    """weight_norm, spectral_norm and parametrizations of one module become its weights."""
    from torch.nn.utils import parametrize
    found = []
    if parametrize.is_parametrized(module):
        kind = type(module)  # a copy shares it with the author's module, and removing changes it
        module.__class__ = type(kind.__name__, kind.__bases__, {
            k: v for k, v in vars(kind).items() if k not in ("__dict__", "__weakref__")})
        for name in list(module.parametrizations):
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
            found.append(f"parametrization of {name}")
    for hook in list(module._forward_pre_hooks.values()):
        remove = {"WeightNorm": torch.nn.utils.remove_weight_norm,
                  "SpectralNorm": torch.nn.utils.remove_spectral_norm}.get(type(hook).__name__)
        if remove:
            remove(module, hook.name)
            found.append(f"{type(hook).__name__} of {hook.name}")
    return found

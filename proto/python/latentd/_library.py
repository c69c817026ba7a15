"""liblatent through ctypes: the structs of latent.h written down again, and its functions.

The sizes of the structs are compared with those of the library at import: a library of another
version is refused, not misread."""

import ctypes
import ctypes.util
import os
import pathlib

SONAME = "liblatent.so.0"
ERROR_BYTES = 512


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("text", ctypes.c_char * ERROR_BYTES)]


class Options(ctypes.Structure):
    _fields_ = [("mode", ctypes.c_char_p), ("precision", ctypes.c_char_p),
                ("groups", ctypes.c_uint32), ("predicts", ctypes.c_uint32),
                ("any_finite", ctypes.c_uint32), ("session", ctypes.c_char_p)]


class Bin(ctypes.Structure):
    _fields_ = [("seq", ctypes.c_uint64), ("t_source_ns", ctypes.c_uint64),
                ("marks", ctypes.c_uint32), ("n_channels", ctypes.c_uint32),
                ("counts", ctypes.c_void_p), ("no_learning", ctypes.c_uint32)]


class Frame(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint32), ("n_latents", ctypes.c_uint32),
                ("n_rates", ctypes.c_uint32), ("n_readout", ctypes.c_uint32),
                ("latents", ctypes.c_void_p), ("rates", ctypes.c_void_p),
                ("readout", ctypes.c_void_p), ("n_logits", ctypes.c_uint32),
                ("logits", ctypes.c_void_p)]


class Readout(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("unit", ctypes.c_char_p),
                ("neutral", ctypes.c_float), ("min", ctypes.c_float), ("max", ctypes.c_float),
                ("slew", ctypes.c_float), ("hold", ctypes.c_uint32)]


class Mode(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("offline", ctypes.c_uint32),
                ("aligned", ctypes.c_uint32), ("whole", ctypes.c_char_p)]


class Info(ctypes.Structure):
    _fields_ = [("arch", ctypes.c_char_p), ("path", ctypes.c_char_p), ("licence", ctypes.c_char_p),
                ("source", ctypes.c_char_p), ("config", ctypes.c_char_p),
                ("checked", ctypes.c_char_p),
                ("sha256", ctypes.c_uint8 * 32), ("n_channels", ctypes.c_uint32),
                ("bin_width_us", ctypes.c_uint32), ("n_latents", ctypes.c_uint32),
                ("n_rates", ctypes.c_uint32), ("n_readout", ctypes.c_uint32),
                ("trial_bins", ctypes.c_uint32), ("n_modes", ctypes.c_uint32),
                ("n_precisions", ctypes.c_uint32), ("n_tensors", ctypes.c_uint32),
                ("modes", ctypes.POINTER(Mode)), ("precisions", ctypes.POINTER(ctypes.c_char_p)),
                ("readout", ctypes.POINTER(Readout)),
                ("channel_names", ctypes.POINTER(ctypes.c_char_p)),
                ("channel_mean", ctypes.POINTER(ctypes.c_float)),
                ("weight_bytes", ctypes.c_size_t), ("input", ctypes.c_uint32),
                ("longest_silence", ctypes.c_uint32), ("longest_repeat", ctypes.c_uint32),
                ("channel_clip", ctypes.POINTER(ctypes.c_float)),
                ("channel_clip_low", ctypes.POINTER(ctypes.c_float)),
                ("normalise", ctypes.c_uint32), ("delay_bins", ctypes.c_uint32),
                ("every_bins", ctypes.c_uint32), ("first_bin", ctypes.c_uint32),
                ("channel_variance", ctypes.POINTER(ctypes.c_float)),
                ("n_logits", ctypes.c_uint32),
                ("logit_labels", ctypes.POINTER(ctypes.c_char_p)),
                ("n_sessions", ctypes.c_uint32),
                ("sessions", ctypes.POINTER(ctypes.c_char_p))]


class Normalisation(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("frozen", ctypes.c_uint32),
                ("n_trials", ctypes.c_uint32), ("n_bounded", ctypes.c_uint32)]


STRUCTS = {"latent_error": Error, "latent_options": Options, "latent_bin": Bin,
           "latent_frame": Frame, "latent_readout": Readout, "latent_mode": Mode,
           "latent_info": Info, "latent_normalisation": Normalisation}

# name: (result, arguments)
_HANDLE = ctypes.c_void_p
_FUNCTIONS = {
    "latent_model_open": (ctypes.c_int, [ctypes.POINTER(_HANDLE), ctypes.c_char_p,
                                         ctypes.POINTER(Error)]),
    "latent_model_info": (None, [_HANDLE, ctypes.POINTER(Info)]),
    "latent_model_close": (None, [_HANDLE]),
    "latent_decoder_new": (ctypes.c_int, [ctypes.POINTER(_HANDLE), _HANDLE, ctypes.POINTER(Options),
                                          ctypes.POINTER(Error)]),
    "latent_decoder_step": (ctypes.c_int, [_HANDLE, ctypes.POINTER(Bin), ctypes.POINTER(Frame)]),
    "latent_decoder_predict": (ctypes.c_int, [_HANDLE, ctypes.POINTER(Frame)]),
    "latent_decoder_warm": (None, [_HANDLE]),
    "latent_decoder_reset": (None, [_HANDLE]),
    "latent_decoder_trial": (ctypes.c_int, [_HANDLE, ctypes.c_void_p, ctypes.c_size_t,
                                            ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]),
    "latent_decoder_size": (ctypes.c_size_t, [_HANDLE]),
    "latent_decoder_save": (ctypes.c_int, [_HANDLE, ctypes.c_void_p, ctypes.c_size_t]),
    "latent_decoder_load": (ctypes.c_int, [_HANDLE, ctypes.c_void_p, ctypes.c_size_t]),
    "latent_normalise_name": (ctypes.c_char_p, [ctypes.c_uint32]),
    "latent_decoder_normalise": (ctypes.c_int, [_HANDLE, ctypes.c_uint32, ctypes.c_void_p,
                                                ctypes.c_void_p, ctypes.c_size_t]),
    "latent_decoder_normalisation": (None, [_HANDLE, ctypes.POINTER(Normalisation),
                                            ctypes.c_void_p, ctypes.c_void_p]),
    "latent_decoder_mask": (ctypes.c_int, [_HANDLE, ctypes.c_char_p, ctypes.c_size_t,
                                           ctypes.c_uint32]),
    "latent_decoder_masked": (ctypes.c_uint32, [_HANDLE, ctypes.c_void_p, ctypes.c_size_t]),
    "latent_decoder_mask_version": (ctypes.c_uint32, [_HANDLE]),
    "latent_decoder_id": (ctypes.c_uint64, [_HANDLE]),
    "latent_decoder_session": (ctypes.c_char_p, [_HANDLE]),
    "latent_decoder_mode": (ctypes.POINTER(Mode), [_HANDLE]),
    "latent_decoder_free": (None, [_HANDLE]),
    "latent_strerror": (ctypes.c_char_p, [ctypes.c_int]),
    "latent_version": (ctypes.c_char_p, []),
    "latent_kernels": (ctypes.c_char_p, []),
    "latent_struct_size": (ctypes.c_size_t, [ctypes.c_char_p]),
    "latent_input_name": (ctypes.c_char_p, [ctypes.c_uint32]),
    "latent_input_check": (ctypes.c_size_t, [ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t]),
}


def _candidates():
    """Where the library may be: asked for, in this package, in the system."""
    asked = os.environ.get("LATENT_LIBRARY")
    if asked:
        return [asked]
    own = pathlib.Path(__file__).with_name("liblatent.so")
    return [str(own)] if own.exists() else [SONAME]


def check(library, name):
    """Refuses a library whose structs are not those of this file."""
    if not hasattr(library, "latent_struct_size"):
        raise ImportError(f"{name} is too old for this package: it has no latent_struct_size; "
                          "install liblatent and the package from the same build")
    for struct, layout in STRUCTS.items():
        found, expected = library.latent_struct_size(struct.encode()), ctypes.sizeof(layout)
        if found != expected:
            raise ImportError(f"{name} is of another version: struct {struct} has {found} bytes, "
                              f"expected {expected}; install liblatent and the package from the "
                              "same build")


def load():
    """The library, with its functions typed. ImportError says what is missing, and what to do."""
    name, = _candidates()
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        raise ImportError(f"liblatent cannot be loaded ({error}): install it, or name its file in "
                          "LATENT_LIBRARY") from error
    if hasattr(library, "latent_struct_size"):
        library.latent_struct_size.restype = ctypes.c_size_t
    check(library, name)
    for function, (result, arguments) in _FUNCTIONS.items():
        pointer = getattr(library, function)
        pointer.restype, pointer.argtypes = result, arguments
    return library

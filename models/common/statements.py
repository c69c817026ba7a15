"""What a checkpoint says of itself beside its tensors: kinds and ranges are checked as those of the
options are, with the same converters, before anything is computed with them."""
import argparse
import json
import math

import numpy as np

from latent_models.common.refusal import Refusal

OWN_FACTS = {"hyper": dict, "readout": list, "channels": dict, "licence": str, "source": str}


def own_facts(checkpoint):
    """What the trainers of this project note beside their tensors, as a dict ({} for others)."""
    text = checkpoint.facts.get("latent")
    if not isinstance(text, str) or not text.lstrip().startswith("{"):
        return {}  # another program's word
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{checkpoint.path}: its notes (latent) are damaged: {error}") from error
    for key, kind in OWN_FACTS.items():
        if not isinstance(facts.get(key, kind()), kind):
            raise Refusal(f"{checkpoint.path}: its notes (latent) say {key} {facts[key]!r:.60}, "
                          f"expected {'a text' if kind is str else 'a list or a table'}")
    return facts


def stated(path, key, value, convert):
    """A value that a checkpoint states, as the option of the same meaning would read it."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if isinstance(value, (float, np.floating)) and value == int_or_nan(value):
        value = int(value)
    try:
        return convert(value if isinstance(value, str) else repr(value))
    except (argparse.ArgumentTypeError, ValueError) as error:
        raise Refusal(f"{path}: says {key} {error}") from error


def checked(path, said, kinds):
    """Statements (key -> value, None: none) with those of kinds (key -> converter of a text, as
    for an option's type) converted."""
    return {key: stated(path, key, value, kinds[key]) if value is not None and key in kinds
            else value for key, value in said.items()}


def int_or_nan(value):
    return int(value) if math.isfinite(value) else math.nan


def one_of(*words):
    """For a type or for checked(): one of these words."""
    def convert(text):
        if text not in words:
            raise argparse.ArgumentTypeError(f"{text:.60}: expected one of {', '.join(words)}")
        return text
    return convert


def truth(text):
    """For checked(): true or false."""
    if text not in ("True", "False", "0", "1"):
        raise argparse.ArgumentTypeError(f"{text:.60}: expected True or False")
    return text in ("True", "1")

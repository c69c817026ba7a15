"""One line of models/compare.py: what an architecture's scoring.py lists as COMPARED."""
import dataclasses

# The budget of a training by gradients: short, and alike for all.
SHORT = ("--threads", "1", "--report-every", "200", "--steps", "600", "--batch", "16")


@dataclasses.dataclass
class Entry:
    """One model: options of train.py and export.py, the mode that is scored, where its readout
    comes from (own: it learns behaviour itself; stage: fitted on its latents afterwards)."""

    label: str
    arch: str
    mode: str
    readout: str
    train: tuple = ()
    export: tuple = ()
    windowed: bool = False  # train.py cuts long recordings into trials
    offline: bool = False  # whole trials, acausal

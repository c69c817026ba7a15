"""What is shipped and compared of lfads."""
from latent_models.common.comparison import Entry

SHIPPED = {"lorenz": (("lorenz_full", ("trial", "window")), ("lorenz_causal", ("prefix", "trial")))}

TRAIN = ("--threads", "1", "--report-every", "100", "--steps", "300", "--batch", "16")
COMPARED = (
    Entry("lfads", "lfads", "window", "stage", TRAIN, (), True),
    Entry("lfads", "lfads", "trial", "stage", TRAIN, (), True, True),
)

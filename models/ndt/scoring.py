"""What is shipped and compared of ndt."""
from latent_models.common.comparison import SHORT, Entry

SHIPPED = {"lorenz": (("lorenz_causal", ("A", "C", "trial")), ("lorenz_full", ("trial", "C")))}

TRAIN = (*SHORT, "--width", "48", "--layers", "2", "--hidden", "96")
COMPARED = (
    Entry("ndt, causal", "ndt", "D", "stage", (*TRAIN, "--causal"), ("--modes", "D"), True),
    Entry("ndt, full context", "ndt", "trial", "stage", TRAIN, ("--modes", "trial"), True, True),
)

"""What is shipped and compared of gru."""
from latent_models.common.comparison import SHORT, Entry

SHIPPED = {"lorenz": (("lorenz", ("causal",)),), "reach": (("reach", ("causal",)),)}

TRAIN = (*SHORT, "--hidden", "48", "--window", "100")
COMPARED = (
    Entry("gru, trained on behaviour", "gru", "causal", "own", TRAIN),
    Entry("gru", "gru", "causal", "stage", TRAIN),
)

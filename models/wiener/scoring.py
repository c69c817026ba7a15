"""What is shipped and compared of wiener."""
from latent_models.common.comparison import Entry

SHIPPED = {"reach": (("reach", ("causal",)),)}
COMPARED = (Entry("wiener, 20 lags", "wiener", "causal", "own", ("--lags", "20")),)

"""What is shipped and compared of kalman."""
from latent_models.common.comparison import Entry

SHIPPED = {"reach": (("reach", ("causal",)),)}
COMPARED = tuple(Entry(f"kalman, order {order}", "kalman", "causal", "own", ("--order", order))
                 for order in "12")

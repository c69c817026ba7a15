"""A b2t file is a stack: its cost is that of its layers."""
from latent_models.stack.cost import bin_cost  # noqa: F401

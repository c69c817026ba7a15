"""What is shipped of smc."""
SHIPPED = {"lorenz": (("lorenz", ("causal",)),)}

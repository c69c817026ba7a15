"""Nothing is shipped of a stack: its networks are trained elsewhere."""
SHIPPED = {}

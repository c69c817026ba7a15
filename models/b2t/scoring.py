"""What is shipped of b2t."""
SHIPPED = {}

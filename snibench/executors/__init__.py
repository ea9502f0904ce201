"""Where fits happen."""

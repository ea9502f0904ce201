"""Tasks: the official layout, the splits, the embedded suite."""

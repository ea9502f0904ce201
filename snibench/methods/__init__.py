"""Tuning methods, one file each, found through the entry points of ``snibench.methods``."""

"""Figures of a run, drawn from its stored rows alone; matplotlib is imported when one is drawn."""

from snibench.report.figures.conflict import conflict_map
from snibench.report.figures.values import Figure, write_figures

__all__ = ["Figure", "conflict_map", "write_figures"]

"""Gradient conflict in reports: one reader of what was measured, tables, and a map for terminals."""

from snibench.report.conflict.characters import heat_map
from snibench.report.conflict.reading import categories, conflict_pairs, conflict_points, pair_frame
from snibench.report.conflict.tables import FORMULA, build_conflicts, conflict_tables, panels, scores

__all__ = [
    "FORMULA",
    "build_conflicts",
    "categories",
    "conflict_pairs",
    "conflict_points",
    "conflict_tables",
    "heat_map",
    "pair_frame",
    "panels",
    "scores",
]

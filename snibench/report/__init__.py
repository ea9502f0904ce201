"""Tables for people: what the stored rows of a run say."""

from snibench.report.comparison import compare
from snibench.report.files import to_json
from snibench.report.tables import build
from snibench.report.values import Column, Report, Table

__all__ = ["Column", "Report", "Table", "build", "compare", "to_json"]

"""The version of this distribution: what `pyproject.toml` and every export read."""

__version__ = "0.1.0"

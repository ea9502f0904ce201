"""A benchmark harness for instruction-tuning methods over Super-NaturalInstructions."""

__version__ = "0.1.0"

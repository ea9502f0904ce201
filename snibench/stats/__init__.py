"""Intervals, tests, ranking and power, over arrays of task scores. No torch."""

"""Protocols: tasks to tune on and questions to score, found through ``snibench.protocols``. No torch."""

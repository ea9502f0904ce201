"""What to fit and what to ask, found through ``snibench.protocols``. No torch."""

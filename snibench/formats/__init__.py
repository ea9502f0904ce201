"""Ways to render an instance as text, found through ``snibench.formats``. No torch."""

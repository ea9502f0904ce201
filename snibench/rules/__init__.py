"""How task gradients become one update, one file each, found through ``snibench.rules``."""

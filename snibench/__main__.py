"""``python -m snibench``."""

from snibench.cli import main

main()

"""Installs every package in plugins/, with what its tests need, into the Python that runs this. Used by tox."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Install them in one go, so that what one of them needs of another is met."""
    root = Path(__file__).parent.parent / "plugins"
    packages = [f"{project.parent}[test]" for project in sorted(root.glob("*/pyproject.toml"))]
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *packages], check=True)


if __name__ == "__main__":
    main()

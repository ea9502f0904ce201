"""Files and folders that a command will write: proven to be writable while the options are read, before the work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class AnyPath(click.Path):
    """A path that may lead anywhere, or nowhere; a text that cannot be one is refused."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        try:
            return super().convert(value, param, ctx)
        except ValueError as error:  # a null character, or half of one beyond the first 65,536
            self.fail(f"{value!r} cannot be a path ({error}).", param, ctx)


class NewFile(click.ParamType[Path]):
    """A file to write; what is there is replaced unless it is a pipe or a device, and a link is followed."""

    name = "FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path.

        Raises:
            StoreError: If it cannot be written.
        """
        from snibench import store

        path = Path(value)
        (store.require_folder_place if self.is_folder(path) else store.require_file_place)(path)
        return path

    def is_folder(self, path: Path) -> bool:
        """Whether ``path`` is a folder to write files into, made if it is not there."""
        return False


class NewFolder(NewFile):
    """A folder to write files into, made if it is not there."""

    name = "DIR"

    def is_folder(self, path: Path) -> bool:
        """Always."""
        return True


class NewBoard(NewFile):
    """A file that ends in .json, or a folder."""

    name = "FILE|DIR"

    def is_folder(self, path: Path) -> bool:
        """Unless it ends in .json."""
        return path.suffix != ".json"

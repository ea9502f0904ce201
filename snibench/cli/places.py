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
            StoreError: If no file can be written there.
        """
        from snibench.store import require_file_place

        require_file_place(path := Path(value))
        return path


class NewFolder(click.ParamType[Path]):
    """A folder to write files into, made if it is not there."""

    name = "DIR"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path.

        Raises:
            StoreError: If no files can be written there.
        """
        from snibench.store import require_folder_place

        require_folder_place(path := Path(value))
        return path


class NewBoard(NewFile):
    """A file that ends in .json, or a folder."""

    name = "FILE|DIR"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path.

        Raises:
            StoreError: If it cannot be written.
        """
        path = Path(value)
        return (NewFile() if path.suffix == ".json" else NewFolder()).convert(path, param, ctx)

"""Contract of a suite."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from snibench.base.types import SuiteData, SuiteRequest


class Suite(ABC):
    """Tasks, which of them are seen, and which instances serve what."""

    reads_data: ClassVar[bool] = False  # True: its tasks are read from --data, and there are none without it
    # True: their licence lets references and labels be published, so that boards hold their text, and not digests
    open_references: ClassVar[bool] = False
    homepage: ClassVar[str] = ""  # where its tasks are published

    @abstractmethod
    def load(self, request: SuiteRequest) -> SuiteData:
        """The suite under ``request``; equal requests on equal data give an equal digest.

        Raises:
            DataError: If a file or folder is malformed or missing; names it.
        """

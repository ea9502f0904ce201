"""Contract of a suite."""

from __future__ import annotations

from abc import ABC, abstractmethod

from snibench.base.types import SuiteData, SuiteRequest


class Suite(ABC):
    """Tasks, which of them are seen, and which instances serve what."""

    @abstractmethod
    def load(self, request: SuiteRequest) -> SuiteData:
        """The suite under ``request``; equal requests on equal data give an equal digest.

        Raises:
            DataError: If a file or folder is malformed or missing; names it.
        """

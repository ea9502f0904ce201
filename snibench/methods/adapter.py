"""A model that was tuned outside of snibench: an adapter of peft, or a whole model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from snibench.base.errors import UsageError
from snibench.base.hashing import digest, file_digest
from snibench.base.types import TaskCard
from snibench.contracts import Encode, names_seed, path_of_seed
from snibench.methods.base import BaseMethod
from snibench.models.weights import CONFIG, weight_files

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class AdapterSettings:
    """``path``: a folder that peft or transformers wrote. ``digest``: of its weights, found by itself.

    ``{seed}`` in ``path`` stands for the seed: one folder for each seed of the run.
    """

    path: str = ""
    digest: str = ""

    @property
    def by_seed(self) -> bool:
        """Whether every seed has a folder."""
        return names_seed(self.path)

    def of_seed(self, seed: int) -> AdapterSettings:
        """With the seed's own folder and the digest of what lies in it.

        Raises:
            UsageError: If it holds neither an adapter nor a model, or weights in another format than safetensors.
        """
        path = path_of_seed(self.path, seed)
        if not path:
            raise UsageError("adapter needs a folder that peft or transformers wrote: -m 'adapter(path=DIR)'.")
        files = weight_files(Path(path))
        return replace(self, path=path, digest=digest({file.name: file_digest(file) for file in files}))


class Adapter(BaseMethod):
    """A model tuned elsewhere: the adapter or the whole model in a folder, answered with as it is.

    Nothing is tuned here, so nothing is known of its data, order or budget: a difference to a method that was tuned
    here is one of everything that differs. With ``path=NAME-{seed}`` each seed has a folder of its own, and the
    variance between them counts as that of seeds.
    """

    Settings: ClassVar[type] = AdapterSettings
    trains = False
    elsewhere = "tuned elsewhere, on what snibench does not know"

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model`` with the stored weights, all frozen.

        Raises:
            UsageError: If they do not fit the base model; names the first that does not.
        """
        from snibench.engine.foreign import attach_adapter, copy_weights

        folder = Path(self.settings.path)
        weight_files(folder)
        if (folder / CONFIG).is_file():
            return attach_adapter(model, folder).requires_grad_(False)
        copy_weights(model, folder)
        return model

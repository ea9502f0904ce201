"""Folders of weights that peft or transformers wrote."""

from __future__ import annotations

from pathlib import Path

from snibench.base.errors import UsageError

ADAPTER, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def weight_files(folder: Path) -> list[Path]:
    """The files that decide the weights of the adapter or model in ``folder``, its config first.

    Raises:
        UsageError: If it holds neither, or its weights are not safetensors.
    """
    if (folder / CONFIG).is_file():
        files = [folder / CONFIG, folder / ADAPTER]
    elif (folder / "config.json").is_file():
        files = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    elif (folder / "trainable.safetensors").is_file():
        raise UsageError(
            f"'{folder}' was written by a method of snibench that is no adapter of peft. Its fit lies beside it: "
            "`snibench report` shows its answers."
        )
    else:
        raise UsageError(
            f"'{folder}' holds neither {CONFIG} nor config.json. Name a folder that peft or transformers wrote."
        )
    if len(files) < 2 or not all(file.is_file() for file in files):
        raise UsageError(
            f"'{folder}' has no weights in safetensors. Save them so (`save_pretrained(DIR)`): "
            "other formats can run code when they are read."
        )
    return files

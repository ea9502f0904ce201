"""A GGUF file's plain model in the cache: whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import transformers

from snibench.base.errors import ModelError
from snibench.base.hashing import file_digest
from snibench.models.find import find_model


@pytest.fixture
def gguf(llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that transformers is made to read as a small Llama."""
    model = transformers.AutoModelForCausalLM.from_pretrained(llama_folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(llama_folder)
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", lambda *_, **__: model)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *_, **__: tokenizer)
    monkeypatch.setenv("SNIBENCH_HOME", str(tmp_path / "cache"))
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    return tmp_path / "model.gguf"


def test_a_conversion_that_the_disk_does_not_take_is_a_sentence_and_leaves_nothing(gguf, monkeypatch) -> None:
    def fill(self, folder, *_, **__):
        Path(folder).mkdir(parents=True)
        (Path(folder) / "half").touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cache = gguf.parent / "cache" / "converted"
    with monkeypatch.context() as broken:
        broken.setattr(transformers.PreTrainedModel, "save_pretrained", fill)
        with pytest.raises(ModelError, match=r"cannot be kept in .*No space left on device.*SNIBENCH_HOME"):
            find_model(str(gguf))
    assert list(cache.iterdir()) == []
    assert find_model(str(gguf)).folder.parent == cache


def test_what_a_killed_conversion_left_a_day_ago_goes_with_the_next(gguf) -> None:
    cache = gguf.parent / "cache" / "converted"
    old, new = (cache / f"{file_digest(gguf)[:16]}.{pid}" for pid in (1, 2))
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    find_model(str(gguf))
    assert not old.exists()
    assert new.exists()

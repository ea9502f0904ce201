"""Two checkpoints, each with its digest: a damaged one is passed over, and training ends in the same bits."""

from __future__ import annotations

import pytest
import torch

from snibench.engine.checkpoint_files import newest_intact, previous, remove_checkpoints
from snibench.methods.lora import Lora


class Stop(Exception):
    pass


def interrupted(make_trainer, path, at=(2, 4)):
    """Checkpoints of a training that ends before its last step."""
    trainer = make_trainer(Lora)

    def leave() -> None:
        trainer.save(path)
        raise Stop

    with pytest.raises(Stop):
        trainer.run(path.with_name("none.safetensors"), pauses={at[0]: lambda: trainer.save(path), at[1]: leave})


def truncate(file) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flip(file) -> None:
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


def empty(file) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("harm", [truncate, flip, empty])
@pytest.mark.parametrize("both", [False, True])
def test_training_goes_on_from_the_newest_checkpoint_that_is_intact(harm, both, make_trainer, tmp_path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    whole = make_trainer(Lora)
    whole.run(tmp_path / "whole.safetensors")
    interrupted(make_trainer, path)
    assert newest_intact(path) == (path, "")
    harm(path)
    if both:
        harm(previous(path))
    found, note = newest_intact(path)
    assert found == (None if both else previous(path))
    resumed = make_trainer(Lora)
    resumed.run(path, every=1e9)
    assert all(torch.equal(a, b) for a, b in zip(whole.named.values(), resumed.named.values(), strict=True))
    assert resumed.progress.trace == whole.progress.trace
    assert note in resumed.progress.notes
    assert "began anew" in note if both else "from the one before" in note


def test_a_process_killed_between_the_two_leaves_the_previous_one(make_trainer, tmp_path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    interrupted(make_trainer, path)
    path.unlink()
    assert newest_intact(path) == (previous(path), "")
    remove_checkpoints(path)
    assert newest_intact(path) == (None, "")
    assert list(tmp_path.glob("checkpoint*")) == []

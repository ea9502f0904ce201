"""A process that takes part in the tuning of a fit and is not the first: ``python -m snibench.fits.follow``.

It loads the same model, attaches the same method, and takes every step. What it raises in its own micro-batches the
first process raises, too; anything else it leaves as a sentence in a file.
"""

from __future__ import annotations

import os
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import torch

from snibench.engine.distributed import Distributed
from snibench.engine.ranks import RankLost
from snibench.fits import joint as joints
from snibench.fits.context import FitProgress
from snibench.fits.trainers import attach, load, trainer_of


def follow(folder: Path, rank: int) -> None:
    """Take part in the tuning that ``joint.pickle`` of ``folder`` describes, as process ``rank``."""
    joint: joints.Joint = pickle.loads((folder / joints.JOINT).read_bytes())  # noqa: S301 (the first process wrote it just now)
    runtime = replace(joint.runtime, device=joints.device_of(joint.runtime.device, rank), fit_timeout=None)
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    backbone = load(joint.spec, joint.source, runtime, FitProgress())
    context = attach(joint.spec, joint.suite, backbone, folder, runtime, FitProgress())
    trainer = trainer_of(context, joint.instances)
    joints.ready(folder, rank).touch()
    ranks = Distributed(rank, runtime.distributed, backbone.device, folder / joints.MEETING)
    try:
        trainer.follow(joint.checkpoint, ranks)
    except Exception as error:
        if not ranks.agreed(error):
            raise


def main(folder: Path, rank: int) -> int:
    """Exit code of the process; why it fails stands in a file."""
    try:
        follow(folder, rank)
    except RankLost:
        return 0  # the first one knows why, and says it
    except BaseException as error:  # a method may raise anything
        joints.complaint(folder, rank).write_text(joints.complain(error), encoding="utf-8", errors="replace")
        return 1
    return 0


if __name__ == "__main__":
    code = main(Path(sys.argv[1]), int(sys.argv[2]))
    # Connections whose other end is gone are not waited for.
    os._exit(code)

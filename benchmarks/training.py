"""Instances trained on per second: snibench beside transformers.Trainer and trl.SFTTrainer, in one process.

    python benchmarks/training.py --data SNI_FOLDER --model MODEL --shape 8,4 --shape 4,8
    python benchmarks/training.py --data SNI_FOLDER --model MODEL --tasks random

All three tune the same LoRA (r = 8 on every linear layer, float32 master weights, AdamW) of the same base model, in
the same precision, on the same instances and the same optimizer steps of T tasks x m instances, in Tk-Instruct's
default encoding. Repeats alternate; the median and the range of instances per second and of the ratio are printed.

The peers get the same token ids (prompt labelled -100), the length-grouping sampler, no gradient checkpointing, fused
AdamW, and the fastest of the ``--peer`` settings: rows per forward pass, and LoRA's product in float32 (peft's default)
or under bfloat16 autocast. Each setting is timed on a part of a step first, and the one taken is printed. trl's
SFTTrainer computes logits at target tokens only.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from snibench.base.types import Mixture, Recipe, Task
from snibench.data.natural_instructions import load_task, task_files
from snibench.data.split_lists import read_list
from snibench.engine.backbone import Backbone, choose_device, choose_precision
from snibench.engine.loading import load_backbone
from snibench.engine.sampling import Schedule, plan_steps
from snibench.engine.tokens import Encoded, common_prefix
from snibench.engine.tuning import Trainer, TrainingSet
from snibench.formats.tk import TkDefPos2
from snibench.methods.lora import Lora
from snibench.models.find import ModelSource, find_model
from snibench.rules.mean import Mean

# Of the official training tasks (504 have 64 instances or more here), with SmolLM2's tokenizer, 64 instances each: the
# eight, one per source data set, whose shared prefix and own part (input, answer) are nearest to 190 and 58 tokens in
# summed log distance. The medians over all 504 are 188 and 51.
TYPICAL = (
    "task098_conala_list_intersection",
    "task736_mmmlu_answer_generation_virology",
    "task674_google_wellformed_query_sentence_generation",
    "task1326_qa_zre_question_generation_from_answer",
    "task1378_quarel_correct_answer_generation",
    "task563_discofuse_answer_generation",
    "task374_synthetic_pos_or_neg_calculation",
    "task178_quartz_question_answering",
)
LEAST = 64  # instances of a task drawn at random
RATE = 1e-3
Clock = Callable[[], float]


def chosen_tasks(folder: Path, which: str) -> dict[str, Task]:
    """Eight tasks: the typical ones, or a draw (seed 0) from the official training tasks."""
    files = task_files(folder)
    if which == "typical":
        return {name: load_task(files[name]) for name in TYPICAL}
    names = sorted(name for name in read_list(folder / "splits" / "default" / "train_tasks.txt") if name in files)
    random.Random(0).shuffle(names)
    found: dict[str, Task] = {}
    for name in names:
        task = load_task(files[name])
        if len(task.instances) >= LEAST:
            found[name] = task
        if len(found) == len(TYPICAL):
            break
    return found


def load(source: ModelSource, device: str, precision: str) -> Backbone:
    """The frozen base model."""
    return load_backbone(source, device=device, precision=precision)


# ---------------------------------------------------------------------------------------- ours


class Ours:
    """snibench's own loop."""

    def __init__(
        self, backbone: Backbone, tasks: dict[str, Task], recipe: Recipe, clock: Clock = time.perf_counter
    ) -> None:
        self.clock = clock
        method = Lora(Lora.Settings())
        torch.manual_seed(0)
        cards = {name: task.card for name, task in tasks.items()}
        model = method.attach(backbone.model, list(cards.values()), lambda texts: torch.empty(0), 0)
        data = TrainingSet(
            cards,
            {name: task.instances for name, task in tasks.items()},
            [TkDefPos2().bind(backbone.tokenizer)],
            Mixture(tuple(tasks)),
        )
        self.trainer = Trainer(backbone, model, method, Mean(), data, recipe, 0)
        self.schedule = plan_steps(data.mixture, {n: len(t.instances) for n, t in tasks.items()}, recipe, 0)
        self.name = "snibench"
        model.train()

    def train(self, steps: Schedule) -> float:
        """Seconds for ``steps``, rendering and encoding included."""
        started = self.clock()
        for step in steps:
            self.trainer.step(step)
        _wait(self.trainer.backbone.device)
        return self.clock() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


# --------------------------------------------------------------------------------------- peers


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """``rows`` per forward pass; ``autocast``: LoRA's product in bfloat16 instead of float32."""

    rows: int
    autocast: bool

    def __str__(self) -> str:
        return f"{self.rows} rows a pass, LoRA product in {'bfloat16 (autocast)' if self.autocast else 'float32'}"


class Peer:
    """A transformers.Trainer, or trl's, on token ids that snibench encoded."""

    def __init__(
        self, name: str, model: nn.Module, tokenizer: Any, device: str, settings: PeerSettings, clock: Clock
    ) -> None:
        self.clock = clock
        self.name, self.model, self.tokenizer, self.device, self.settings = name, model, tokenizer, device, settings

    def train(self, steps: Sequence[Sequence[Encoded]]) -> float:
        """Seconds from the first batch's collation to the end of the last step."""
        from datasets import Dataset
        from transformers import TrainerCallback

        clock = self.clock

        class Stopwatch(TrainerCallback):
            started = ended = 0.0

            def on_train_begin(self, *_: Any, **__: Any) -> None:
                self.started = clock()

            def on_step_end(self, *_: Any, **__: Any) -> None:
                self.ended = clock()

        rows = [
            {
                "input_ids": [*one.prompt_ids, *one.target_ids],
                "labels": [-100] * len(one.prompt_ids) + [*one.target_ids],
            }
            for step in steps
            for one in step
        ]
        stopwatch = Stopwatch()
        with tempfile.TemporaryDirectory() as folder:
            trainer = self._trainer(Dataset.from_list(rows), len(steps[0]), len(steps), folder)
            trainer.add_callback(stopwatch)
            trainer.train()
            _wait(torch.device(self.device))
        return stopwatch.ended - stopwatch.started

    def _trainer(self, rows: Any, batch: int, steps: int, folder: str) -> Any:
        options: dict[str, Any] = {
            "output_dir": folder,
            "max_steps": steps,
            "per_device_train_batch_size": min(self.settings.rows, batch),
            "gradient_accumulation_steps": max(1, batch // self.settings.rows),
            "train_sampling_strategy": "group_by_length",
            "gradient_checkpointing": False,
            "bf16": self.settings.autocast,
            "learning_rate": RATE,
            "lr_scheduler_type": "constant",
            "weight_decay": 0.0,
            "optim": "adamw_torch_fused",
            "use_cpu": self.device == "cpu",
            "logging_strategy": "no",
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
        }
        if self.name == "trl.SFTTrainer":
            from trl import SFTConfig, SFTTrainer

            config = SFTConfig(**options, max_length=None, dataset_kwargs={"skip_prepare_dataset": True})
            return SFTTrainer(self.model, config, train_dataset=rows, processing_class=self.tokenizer)
        from transformers import DataCollatorForSeq2Seq, TrainingArguments
        from transformers import Trainer as PlainTrainer

        collator = DataCollatorForSeq2Seq(self.tokenizer, label_pad_token_id=-100)
        return PlainTrainer(self.model, TrainingArguments(**options), data_collator=collator, train_dataset=rows)


def make_peer(
    name: str, source: ModelSource, device: str, precision: str, settings: PeerSettings, clock: Clock
) -> Peer:
    """A peer on a base model of its own."""
    backbone = load(source, device, precision)
    if backbone.tokenizer.pad_token_id is None:
        backbone.tokenizer.pad_token = backbone.tokenizer.eos_token
    torch.manual_seed(0)
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    return Peer(name, get_peft_model(backbone.model, config), backbone.tokenizer, device, settings, clock)


PEERS = ("transformers.Trainer", "trl.SFTTrainer")


def fastest(
    name: str,
    source: ModelSource,
    device: str,
    precision: str,
    choices: Sequence[PeerSettings],
    step: Sequence[Encoded],
    clock: Clock,
) -> Peer:
    """A warm peer with the settings under which it does ``step``, or as much of it as fills a pass, fastest."""
    seconds = {}
    trial = step[: max(choice.rows for choice in choices)]
    peer = make_peer(name, source, device, precision, choices[0], clock)
    peer.train([step[:8]])
    for choice in choices:
        peer.settings = choice
        # A single choice needs no trial.
        seconds[choice] = peer.train([trial]) if len(choices) > 1 else 0.0
    peer.settings = min(seconds, key=lambda choice: seconds[choice])
    if len(choices) > 1:
        tried = "; ".join(f"{choice}: {len(trial) / taken:.2f}/s" for choice, taken in seconds.items())
        print(f"{name}, {len(trial)} instances with each setting: {tried}", flush=True)
    return peer


def describe(groups: Sequence[tuple[str, Sequence[Encoded]]]) -> str:
    """Medians of the tokens that a task's instances share and that are an instance's own."""
    shared, own = [], []
    for _, instances in groups:
        prefix = common_prefix([one.prompt_ids for one in instances]) if len(instances) > 1 else 0
        shared.append(prefix)
        own += [len(one.prompt_ids) - prefix + len(one.target_ids) - 1 for one in instances]
    return f"{statistics.median(shared):.0f} tokens shared, {statistics.median(own):.0f} own"


def compare(arguments: argparse.Namespace, shape: tuple[int, int]) -> None:
    """Print one shape's figures."""
    source, device = find_model(arguments.model), choose_device(arguments.device)
    precision = choose_precision(arguments.precision, device)
    tasks = chosen_tasks(arguments.data, arguments.tasks)
    names, each = shape
    count = 1 + arguments.repeats * arguments.steps
    recipe = Recipe(steps=count, tasks_per_step=names, instances_per_task=each, learning_rate=RATE)
    clock = {"wall": time.perf_counter, "cpu": time.process_time}[arguments.clock]
    ours = Ours(load(source, device, precision), tasks, recipe, clock)
    groups = [ours.trainer.encode(step) for step in ours.schedule]
    flat = [[one for _, instances in step for one in instances] for step in groups]
    print(
        f"\n(T, m) = {shape}, {precision}, {arguments.tasks} tasks: {describe([g for s in groups for g in s])}",
        flush=True,
    )
    ours.train(ours.schedule[:1])
    before = ours.trainer.progress.tokens
    peers = [fastest(name, source, device, precision, arguments.peer, flat[0], clock) for name in arguments.against]
    speeds: dict[str, list[float]] = {one.name: [] for one in (ours, *peers)}
    for repeat in range(arguments.repeats):
        part = slice(1 + repeat * arguments.steps, 1 + (repeat + 1) * arguments.steps)
        instances = arguments.steps * names * each
        speeds[ours.name].append(instances / ours.train(ours.schedule[part]))
        for peer in peers:
            speeds[peer.name].append(instances / peer.train(flat[part]))
    own = ours.trainer.progress.tokens - before
    theirs = sum(len(one.prompt_ids) + len(one.target_ids) for step in flat[1:] for one in step)
    print(f"{own:,} tokens read by snibench, padding included; {theirs:,} by the peers, without padding")
    for one in (ours, *peers):
        rates = speeds[one.name]
        ratios = [mine / other for mine, other in zip(speeds[ours.name], rates, strict=True)]
        line = f"{one.name:22s} {spread(rates)} instances/s"
        print(line if one is ours else f"{line}   ratio {spread(ratios)}   ({one.settings})", flush=True)


def spread(values: Sequence[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):6.2f} ({min(values):.2f}-{max(values):.2f})"


def pair(text: str) -> tuple[int, int]:
    """``"8,4"`` as numbers."""
    first, second = text.split(",")
    return int(first), int(second)


def peer_settings(text: str) -> PeerSettings:
    """``"8,autocast"`` or ``"32,float32"``."""
    rows, product = text.split(",")
    return PeerSettings(int(rows), {"autocast": True, "float32": False}[product])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder in the layout of natural-instructions")
    parser.add_argument("--model", required=True, help="a model folder, a GGUF file, or a hub id")
    parser.add_argument("--shape", type=pair, action="append", help="T,m: tasks and instances of each in a step")
    parser.add_argument("--tasks", choices=["typical", "random"], default="typical")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1, help="optimizer steps of one repeat")
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--clock", choices=["wall", "cpu"], default="wall", help="cpu: processor time, where others work"
    )
    parser.add_argument("--against", choices=PEERS, action="append", help="default: both")
    parser.add_argument("--peer", type=peer_settings, action="append", help="ROWS,autocast or ROWS,float32")
    arguments = parser.parse_args()
    arguments.against = arguments.against or list(PEERS)
    arguments.peer = arguments.peer or [PeerSettings(rows, cast) for rows in (8, 32) for cast in (False, True)]
    print(
        f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, device {arguments.device}"
    )
    for shape in arguments.shape or [(8, 4), (4, 8)]:
        compare(arguments, shape)


if __name__ == "__main__":
    main()

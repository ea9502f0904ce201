"""Questions per second: snibench's answers against lm-evaluation-harness and plain ``generate``.

    python benchmarks/evaluation.py tune  --model M --data SNI --tasks typical --out FOLDER
    python benchmarks/evaluation.py compare --model FOLDER --data SNI --tasks typical --dtype bfloat16

``tune`` makes the model that is asked: LoRA for some steps on the same tasks, merged, so that answers are short and
every side runs plain linear layers; without that a model is asked as it is. ``compare`` asks all sides the same
prompts (Tk-Instruct's definition and two positive examples) on the same weights in one process: ours all questions,
a peer the share that ``--peer-share`` says, drawn evenly from all tasks and lengths (a peer shares nothing between
questions, so its rate does not depend on their number; ours does). Peers: lm_eval's ``HFLM.generate_until``, which
sorts by length, and transformers' ``generate`` in arrival order, eight rows padded on the left; both stop at a
newline or the end of sequence, as ours does.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from snibench.base.registry import FORMATS
from snibench.base.types import Instance, Mixture, Recipe, Task
from snibench.contracts import Format
from snibench.data.natural_instructions import load_task
from snibench.engine.backbone import Backbone
from snibench.engine.decoding import Prompted, choose
from snibench.engine.embeddings import InstructionEncoder
from snibench.engine.loading import load_backbone
from snibench.engine.tokens import Encoder, common_prefix
from snibench.engine.trained_parameters import load_trained, save_trained
from snibench.engine.tuning import Trainer, TrainingSet
from snibench.methods.lora import Lora
from snibench.methods.untuned import Untuned
from snibench.models.find import find_model

# (own tokens, shared tokens) of a prompt that the chosen tasks lie closest to.
KINDS = {"typical": (58, 190), "short": (20, 150)}
# Tasks with answers of at most so many tokens, so that reading is what is compared.
SHORT_ANSWER = 4


@dataclass(frozen=True)
class Chosen:
    """A task and what its prompts take."""

    task: Task
    own: float
    shared: int


def measured(task: Task, encoder: Encoder) -> Chosen:
    """``task`` with what its first prompts take."""
    prompts = encoder.prompts([tk().render(task.card, one.input, Random(0)) for one in task.instances[:16]])
    ids = [one.prompt_ids for one in prompts]
    shared = common_prefix(ids)
    return Chosen(task, sum(map(len, ids)) / len(ids) - shared, shared)


def choose_tasks(folder: Path, backbone: Backbone, profile: str, count: int, each: int) -> list[Chosen]:
    """``count`` closed tasks with ``each`` questions to ask and as many to tune on that are closest to ``profile``."""
    own_wanted, shared_wanted = KINDS[profile]
    encoder = Encoder(backbone, 1024, 128)
    found = []
    for path in sorted((folder / "tasks").glob("*.json"))[::10]:  # reading all takes minutes
        task = load_task(path)
        if task.card.labels is None or len(task.instances) < 2 * each:
            continue
        answers = backbone.tokenizer([f" {label}" for label in task.card.labels]).input_ids
        if max(map(len, answers)) > SHORT_ANSWER:
            continue
        found.append(measured(task, encoder))
    found.sort(key=lambda one: abs(one.own / own_wanted - 1) + abs(one.shared / shared_wanted - 1))
    return found[:count]


def tk() -> Format:
    return FORMATS.get("tk_def_pos2")()


def split(task: Task, each: int) -> tuple[list[Instance], list[Instance]]:
    """What is asked, and what is tuned on."""
    return list(task.instances[:each]), list(task.instances[each:])


def tune(args: argparse.Namespace) -> None:
    source = find_model(args.model)
    backbone = load_backbone(source, precision=args.dtype)
    chosen = choose_tasks(args.data, backbone, args.tasks, args.count, args.each)
    cards = {one.task.name: one.task.card for one in chosen}
    instances = {one.task.name: split(one.task, args.each)[1][:200] for one in chosen}
    data = TrainingSet(cards, instances, [tk()], Mixture(tuple(cards)))
    recipe = Recipe(steps=args.steps, tasks_per_step=4, instances_per_task=2, learning_rate=2e-3)
    method = Lora()

    def attached(base: Backbone) -> nn.Module:
        torch.manual_seed(0)
        return method.attach(base.model, list(cards.values()), InstructionEncoder(base, 1024), 0)

    trainer = Trainer(backbone, attached(backbone), method, method.rule(), data, recipe, 0)
    with TemporaryDirectory() as folder:
        # Zero steps leave the model as it is: then the two examples in the prompt alone make answers short.
        trainer.run(Path(folder) / "checkpoint", every=1e9)
        save_trained(trainer.model, Path(folder) / "adapter")
        # Merged in float32: in bfloat16 small updates would round to none.
        model: Any = attached(load_backbone(source, precision="float32"))
        load_trained(model, Path(folder) / "adapter")
    model.merge_and_unload().save_pretrained(args.out)
    backbone.tokenizer.save_pretrained(args.out)
    (args.out / "tasks.json").write_text(json.dumps([one.task.name for one in chosen]))
    losses = [round(row["loss"], 2) for row in trainer.progress.trace]
    print(f"{args.out}: {len(chosen)} tasks, {args.steps} steps, losses {losses}")


def ours(backbone: Backbone, asked: list[Prompted]) -> list[str]:
    decoder, note = choose(backbone, backbone.model, Untuned(), Encoder(backbone, 1024, 128))
    replies = decoder.answer(asked)
    assert not note, note
    return [reply.prediction for reply in replies]


def lm_eval(backbone: Backbone, asked: list[Prompted], batch_size: int) -> list[str]:
    from lm_eval.api.instance import Instance as Request
    from lm_eval.models.huggingface import HFLM

    harness = HFLM(pretrained=backbone.model, tokenizer=backbone.tokenizer, batch_size=batch_size, max_length=2048)
    options = {"until": ["\n"], "max_gen_toks": 128, "do_sample": False}
    requests = [Request("generate_until", {}, (one.prompt.text, options), index) for index, one in enumerate(asked)]
    return [text.strip() for text in harness.generate_until(requests, disable_tqdm=True)]


def generate(backbone: Backbone, asked: list[Prompted], batch_size: int) -> list[str]:
    tokenizer = backbone.tokenizer
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    newlines = [number for number in range(len(tokenizer)) if "\n" in tokenizer.decode([number])]
    answers = []
    for start in range(0, len(asked), batch_size):
        texts = [one.prompt.text for one in asked[start : start + batch_size]]
        inputs = tokenizer(texts, return_tensors="pt", padding=True).to(backbone.device)
        output = backbone.model.generate(
            **inputs,
            max_new_tokens=128,
            do_sample=False,
            eos_token_id=[tokenizer.eos_token_id, *newlines],
            pad_token_id=tokenizer.pad_token_id,
        )
        said = tokenizer.batch_decode(output[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)
        answers += [text.lstrip(" ").split("\n")[0].strip() for text in said]
    return answers


def compare(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    backbone = load_backbone(find_model(args.model), precision=args.dtype, device=args.device)
    encoder = Encoder(backbone, 1024, 128)
    kept = Path(args.model) / "tasks.json"
    if kept.exists():  # those that it was tuned on
        files = [args.data / "tasks" / f"{name}.json" for name in json.loads(kept.read_text())]
        chosen = [measured(load_task(file), encoder) for file in files]
    else:
        chosen = choose_tasks(args.data, backbone, args.tasks, args.count, args.each)
    form = tk()
    asked = [
        Prompted(one.task.card, form.render(one.task.card, instance.input, Random(0)), one.task.name)
        for one in chosen
        for instance in split(one.task, args.each)[0]
    ]
    own, shared = (sum(getattr(one, name) for one in chosen) / len(chosen) for name in ("own", "shared"))
    part = range(0, len(asked), max(1, round(1 / args.peer_share)))
    some = [asked[index] for index in part]
    print(
        f"{Path(args.model).name}: {len(asked)} questions of {len(chosen)} tasks, own part {own:.0f} tokens, "
        f"shared {shared:.0f}; peers {len(some)} of them; {args.dtype}, {args.threads} threads, {platform.machine()}, "
        f"torch {torch.__version__}"
    )
    sides: dict[str, Callable[[], list[str]]] = {
        "lm_eval, batch 8": lambda: lm_eval(backbone, some, 8),
        "lm_eval, batch 16": lambda: lm_eval(backbone, some, 16),
        "generate, batch 8, arrival order": lambda: generate(backbone, some, 8),
    }
    with torch.no_grad():  # what a first call pays once is nobody's
        ours(backbone, asked[:2])
        generate(backbone, asked[:1], 1)
    answers, seconds, busy = timed(lambda: ours(backbone, asked))
    each = seconds / len(asked), busy / len(asked)
    words = sum(len(backbone.tokenizer(one).input_ids) for one in answers) / len(answers)
    print(f"  ours: {1 / each[0]:.2f} questions/s, {each[1]:.3f} processor seconds each; answers of {words:.1f} tokens")
    for name in args.peers:
        side = next(key for key in sides if key.startswith(name))
        theirs, seconds, busy = timed(sides[side])
        here = [answers[index] for index in part]
        differ = [(number, a, b) for number, a, b in zip(part, here, theirs, strict=True) if a != b]
        print(
            f"  {side}: {len(some) / seconds:.2f} questions/s, {busy / len(some):.3f} processor seconds each; ours is "
            f"{seconds / len(some) / each[0]:.2f} times as fast by the clock, {busy / len(some) / each[1]:.2f} times "
            f"by the processor; {len(differ)} answers differ {json.dumps(differ[:5]) if differ else ''}",
            flush=True,
        )


def timed(side: Callable[[], list[str]]) -> tuple[list[str], float, float]:
    """What a side answers, its seconds by the clock, and those of the processor (all threads together)."""
    gc.collect()
    started, busy = time.perf_counter(), time.process_time()
    answers = side()
    return answers, time.perf_counter() - started, time.process_time() - busy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=["tune", "compare"])
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder in the official layout")
    parser.add_argument("--tasks", choices=list(KINDS), default="typical")
    parser.add_argument("--count", type=int, default=4, help="tasks")
    parser.add_argument("--each", type=int, default=100, help="questions of each task")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("tuned"))
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--peer-share", type=float, default=0.25)
    parser.add_argument("--peers", nargs="+", default=["lm_eval, batch 8", "lm_eval, batch 16", "generate"])
    args = parser.parse_args()
    {"tune": tune, "compare": compare}[args.job](args)


if __name__ == "__main__":
    main()

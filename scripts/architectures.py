"""Every architecture of transformers that answers, read by the engine and held against transformers itself.

For each type a small model with random weights is built from its config, saved, and loaded as a run loads it. The
engine either refuses it in a sentence, or its losses and greedy answers, as it is and under two methods with all that
is trained moved off its start, are compared with transformers' own forward pass and ``generate``: another copy of the
model, eager attention, one prompt at a time, all logits. Exit code 1 if any differs without a refusal.

    python scripts/architectures.py                      # all, as lines
    python scripts/architectures.py llama mamba t5       # some
    python scripts/architectures.py --rows rows.jsonl --write docs/models.md   # goes on where it was ended
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from snibench.base.errors import SnibenchError, first_line
from snibench.base.types import FitSpec, Mixture, Paths, Prompt, Recipe, Segment, SuiteRequest, TaskCard
from snibench.contracts import Method
from snibench.engine.backbone import Backbone, base_of, read_backbone
from snibench.engine.check import check_method, check_model
from snibench.engine.decoding import Prompted, choose
from snibench.engine.embeddings import InstructionEncoder
from snibench.engine.losses import target_nll
from snibench.engine.packing import make_batch
from snibench.engine.tokens import Encoded, Encoder
from snibench.methods.lora import Lora
from snibench.methods.ours import Ours
from snibench.methods.untuned import Untuned
from snibench.models.find import ModelSource, find_model, quiet_transformers
from snibench.testing.models import save_tiny

METHODS: dict[str, type[Any]] = {"untuned": Untuned, "lora": Lora, "ours": Ours}
LOSS = 1e-4  # largest relative difference of a loss, or absolute below 1
TIE = 2e-3  # share of the spread of the logits below which two are a tie
TOKENS = 6
START, END = "<!-- architectures: start -->", "<!-- architectures: end -->"

# What people use most, run first; then all others by their names.
FIRST = " ".join(
    (
        "llama mistral qwen2 qwen3 qwen3_5_text qwen3_next qwen2_moe qwen3_moe qwen3_5_moe_text gemma gemma2",
        "gemma3_text gemma3n_text gemma4_text phi phi3 gpt2 gpt_neox gpt_neo gptj gpt_bigcode opt bloom mpt",
        "falcon stablelm olmo olmo2 olmo3 cohere cohere2 granite granitemoe granitemoehybrid mixtral",
        "deepseek_v2 deepseek_v3 gpt_oss llama4_text lfm2 jamba bamba falcon_h1 mamba mamba2 falcon_mamba",
        "rwkv recurrent_gemma smollm3 dbrx t5 mt5 umt5 bart mbart pegasus longt5 led gemma3 xglm glm4 bert",
        "roberta",
    )
).split()

TASKS = {
    "count": ("How many persons does the following sentence speak of? Answer with a numeral.\n",
              (("Anna and Bert went home.\n=", "2"), ("Nobody came.\n=", "0"),
               ("The seven dwarfs dig all day long, and Snow White cooks for them.\n=", "8"))),
    "where": ("Name the place in which the following takes place, in one or two words.\n",
              (("She bought bread at the bakery.\n->", "bakery"), ("On deck it was cold.\n->", "a ship"),
               ("They waited an hour on platform four, then the train was cancelled.\n->", "station"))),
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What was found of one type. ``verdict``: "equal", "refused", "differs", or "not built" (not made small here)."""

    name: str
    verdict: str
    why: str = ""
    model: str = ""
    paths: Paths = field(default_factory=Paths)
    loss: float = 0.0  # largest relative difference over methods and tasks
    methods: tuple[str, ...] = ()  # equal ones
    left: tuple[str, ...] = ()  # refused ones, with the sentence


def architectures() -> list[str]:
    """All model types that transformers loads to answer text, in the order in which they are run."""
    from transformers.models.auto import modeling_auto as auto

    names = (auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES)
    known = {name for mapping in names for name in mapping}
    return [*(name for name in FIRST if name in known), *sorted(known.difference(FIRST))]


def row_of(name: str) -> Row:
    """The row of one type."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            source = find_model(str(save_tiny(name, Path(folder))))
        except Exception as error:  # a config that wants more than small sizes
            return Row(name, "not built", first_line(error))
        try:
            paths = check_model(source).paths
        except SnibenchError as error:
            fault = str(error).replace(f" in '{folder}'", "")
            built = "transformers' own passes" not in fault
            return Row(name, "refused" if built else "not built", fault)
        return compared(name, source, paths)


def compared(name: str, source: ModelSource, paths: Paths) -> Row:
    """The row of a model that is not refused, after each method is compared."""
    worst, equal, left = 0.0, [], []
    model = ""
    for method in METHODS:
        try:
            found, gap = differences(source, paths, method)
        except SnibenchError as error:
            left.append(f"{method}: {error}")
            continue
        model, worst = type(found.model).__name__, max(worst, gap)
        equal.append(method)
    return Row(name, "equal", "", model, paths, worst, tuple(equal), tuple(left))


class Differs(Exception):
    """The engine gives another number than transformers, without a word."""


def differences(source: ModelSource, paths: Paths, name: str) -> tuple[Backbone, float]:
    """The engine's model, and how far its losses lie from those of transformers, under one method.

    Raises:
        SnibenchError: If the method or the model is refused.
        Differs: If a loss or an answer is another.
    """
    here, method, model = attached(read_backbone(source, paths), name, checked=True)
    there, other, true = attached(own(source), name, checked=False)
    groups = encoded(here)
    batch = make_batch(groups, here, pack=here.packs and method.shares_prefixes)
    with torch.no_grad():
        found: Any = method.losses(model, batch) if METHODS[name].trains else target_nll_of(method, model, batch)
        found = getattr(found, "tasks", found)
        expected = torch.stack(
            [torch.stack([loss(there, other, true, *one) for one in each(group)]).mean() for group in groups]
        )
    gap = float(((found - expected).abs() / expected.abs().clamp(min=1)).max())
    if not gap <= LOSS:
        raise Differs(f"{name}: loss {found.tolist()} against {expected.tolist()}")
    asked = [Prompted(card(task), one.prompt, task) for task, some in groups for one in some]
    said = choose(here, model, method, Encoder(here, 1 << 20, TOKENS))[0].token_ids(asked)
    for one, ids in zip([one for group in groups for one in each(group)], said, strict=True):
        expect_answer(there, other, true, *one, ids)
    return here, gap


def target_nll_of(method: Method, model: nn.Module, batch: Any) -> Tensor:
    """``[K]`` losses of a method that is not trained."""
    from snibench.engine.losses import target_logits

    return target_nll(target_logits(model, batch), batch)


def own(source: ModelSource) -> Backbone:
    """The model with the attention that knows every bias and cap; with its own where it has no eager one."""
    try:
        return read_backbone(source, Paths("eager", "single", "generate"))
    except SnibenchError:
        return read_backbone(source, Paths("sdpa", "single", "generate"))


def attached(backbone: Backbone, name: str, *, checked: bool) -> tuple[Backbone, Method, nn.Module]:
    """The model under a method, all that is trained moved off its start by the same draws for equal models."""
    method: Method = METHODS[name]()
    cards = [card(task) for task in TASKS]
    torch.manual_seed(0)
    model = method.attach(backbone.model, cards, InstructionEncoder(backbone, 1 << 20), 0)
    if checked:
        check_method(backbone, method, model, cards, spec(name, backbone.source))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return backbone, method, model.eval()


def spec(name: str, source: ModelSource) -> FitSpec:
    """What identifies a method in a model for the engine's own check."""
    suite, recipe = SuiteRequest("mini"), Recipe(1)
    return FitSpec(name, "", {}, {}, source.ref, suite, "", Mixture(()), "", recipe, 0, "float32", name)


def card(task: str) -> TaskCard:
    """A task whose positive example lets answers hold newlines: all its tokens are compared."""
    from snibench.base.types import Example

    return TaskCard(task, TASKS[task][0], (Example("x", "a\nb"),), (), "C", (), (), None, "exact_match")


def encoded(backbone: Backbone) -> list[tuple[str, list[Encoded]]]:
    """The tasks' instances as tokens."""
    encoder = Encoder(backbone, 1 << 20, 64)
    groups = []
    for name, (instruction, pairs) in TASKS.items():
        prompts = [Prompt((Segment("instruction", instruction), Segment("input", text))) for text, _ in pairs]
        groups.append((name, encoder.pairs(prompts, [target for _, target in pairs])))
    return groups


def each(group: tuple[str, Sequence[Encoded]]) -> list[tuple[TaskCard, Encoded]]:
    """A task's instances beside its card."""
    return [(card(group[0]), one) for one in group[1]]


# ------------------------------------------------------------------------- transformers itself


def logits(backbone: Backbone, model: nn.Module, ids: Sequence[int], following: Sequence[int]) -> Tensor:
    """``[1 + n, V]`` after a prompt and each of n following tokens, by the whole model's own forward pass."""
    base: Any = base_of(model)
    if backbone.encoder_decoder:
        start = base.config.decoder_start_token_id
        given = {"input_ids": torch.tensor([ids]), "decoder_input_ids": torch.tensor([[start, *following]])}
    else:
        given = {"input_ids": torch.tensor([[*ids, *following]])}
    whole: Tensor = base(**given).logits[0].float()
    return whole[-1 - len(following) :]


def active(method: Method, model: nn.Module, task: TaskCard, one: Encoded) -> AbstractContextManager[None]:
    """The method's state for one prompt."""
    return method.for_prompts(model, [task], [one.prompt.instruction])


def loss(backbone: Backbone, method: Method, model: nn.Module, task: TaskCard, one: Encoded) -> Tensor:
    """The mean NLL of one target."""
    with active(method, model, task, one):
        found = logits(backbone, model, one.prompt_ids, one.target_ids[:-1])
    return nn.functional.cross_entropy(found, torch.tensor(one.target_ids))


@torch.no_grad()
def expect_answer(
    backbone: Backbone, method: Method, model: nn.Module, task: TaskCard, one: Encoded, said: Sequence[int]
) -> None:
    """Hold an answer against ``generate``, up to the first near-tie of the full forward pass.

    Raises:
        Differs: If a token is another.
    """
    base: Any = base_of(model)
    ids = torch.tensor([one.prompt_ids])
    with active(method, model, task, one):
        output = base.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS)
        true = output[0, 1 if backbone.encoder_decoder else ids.shape[1] :].tolist()
        after = logits(backbone, model, one.prompt_ids, true[:-1])
    for place, (token, mine, row) in enumerate(zip(true, said, after, strict=False)):
        first, second = row.topk(2).values.tolist()
        if first - second < TIE * float(row.max() - row.min()):
            return
        if mine != token:
            raise Differs(f"token {place} of an answer is {mine}, but transformers says {token}")


# ----------------------------------------------------------------------------------- the table


def line(row: Row) -> str:
    """One row in a line of text."""
    if row.verdict != "equal":
        return f"{row.name}: {row.verdict}: {row.why}"
    how = f"{row.paths.rows}, {row.paths.attention}, {row.paths.decoding}"
    left = "".join(f"; refused {one}" for one in row.left)
    return f"{row.name}: equal: {how}, loss off by {row.loss:.0e}; {', '.join(row.methods)}{left}"


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown: those that are served, then those that are refused, then those not made here."""
    served = [row for row in rows if row.verdict == "equal"]
    refused = [row for row in rows if row.verdict == "refused"]
    left = [row for row in rows if row.verdict == "not built"]
    parts = [
        f"{len(served)} types are served and {len(refused)} refused; none differs. "
        f"{len(left)} more could not be built with small sizes and were not tried.",
        "| type | rows | attention | decoding | loss off by | equal under |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| {row.name} | {row.paths.rows} | {row.paths.attention} | {row.paths.decoding} "
            f"| {_power(row.loss)} | {', '.join(row.methods)} |"
            for row in served
        ),
    ]
    lefts = dict.fromkeys(sentence for row in served for sentence in (f"{row.name}, {one}" for one in row.left))
    text = "\n".join([parts[0], "", *parts[1:]])
    if lefts:
        text += "\n\nMethods refused in a model that is served:\n\n" + "\n".join(f"- {one}" for one in lefts)
    reasons: dict[str, list[str]] = {}
    for row in refused:
        reason = row.why.partition(" ")[2] if row.why[:1].isupper() and "sees tokens" in row.why else row.why
        reasons.setdefault(reason, []).append(row.name)
    text += "\n\nRefused:\n\n" + "\n".join(f"- {', '.join(names)}: {why}" for why, names in reasons.items())
    return f"{text}\n\nNot tried: {', '.join(row.name for row in left) or 'none'}."


def _power(gap: float) -> str:
    return "below 1e-6" if gap < 1e-6 else f"{gap:.0e}"


def kept(path: Path | None) -> dict[str, Row]:
    """The rows of an earlier run by their names; none without a file."""
    if path is None or not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [Row(**{**line, "paths": Paths(**line["paths"])}) for line in lines]
    return {row.name: replace(row, methods=tuple(row.methods), left=tuple(row.left)) for row in rows}


def keep(path: Path | None, row: Row) -> None:
    """Append a row to the file of rows, if there is to be one."""
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")


def written(path: Path, text: str) -> None:
    """Put the table between its two marks."""
    whole = path.read_text(encoding="utf-8")
    before, _, rest = whole.partition(START)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{START}\n{text}\n{END}{after}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None, say: Callable[[str], None] = print) -> int:
    """1 if any type differs from transformers without being refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="model types; all if none is named")
    parser.add_argument("--rows", type=Path, help="a file of rows: types in it are not run again unless named")
    parser.add_argument("--write", type=Path, help="a Markdown file with the two marks of the table")
    given = parser.parse_args(arguments)
    warnings.filterwarnings("ignore")
    quiet_transformers()
    torch.set_num_threads(1)
    rows = kept(given.rows)
    for name in given.names or [name for name in architectures() if name not in rows]:
        try:
            row = row_of(name)
        except Exception as error:  # what the engine neither serves nor refuses is a fault, whatever it raises
            row = Row(name, "differs", f"{type(error).__name__}: {first_line(error)}")
        rows[name] = row
        keep(given.rows, row)
        say(line(row))
    if given.write:
        written(given.write, table(sorted(rows.values(), key=lambda row: row.name)))
    return int(any(row.verdict == "differs" for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())

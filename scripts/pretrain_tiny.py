"""Train the embedded model ``tiny`` from scratch on procedural text.

    python scripts/pretrain_tiny.py --out snibench/models/tiny --state tiny-state

One process, compiled, with products in bfloat16 and sums in float32, and for each of the ``PARTS`` of a batch one
thread. The flags decide what is drawn and how fast is learned; on one kind of processor and one version of torch
they decide the weights as well, but for the rounding of compiled kernels, which depends on the shapes that came
first. The state is saved every ``SAVE`` steps, and the same command goes on from there. The learning rate is
constant, then falls to zero over the last share ``DECAY`` of the steps, so that ``--steps`` may still be changed
before that. ``--smoke`` does everything in seconds, not compiled, with a model that has learned nothing; it ends
with the same weights whether it was stopped or not.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_corpus import row
from tiny_wording import SYLLABLES, Row
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import Unigram
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from snibench.store import write_whole

EOS, GLUE = "<eos>", "\ue000"
EOS_ID, PAD_ID = 0, 2
WORDS = 2300
READING_WEIGHT = 0.3  # of a text without a task, where an answer has 1
TEXT_WEIGHT = 0.06  # of each token of a text or a question, where it is predicted at all
TEXT_SHARE = 0.5  # of the rows whose texts and questions are predicted as well
ALIKE = 0.9  # correlation of the first key and query matrices
SUFFIXES = (
    "ed",
    "es",
    "th",
    "ou",
    "an",
    "en",
    "on",
    "or",
    "ar",
    "ic",
    "ive",
    "able",
    "ful",
    "ness",
    "ist",
    "ity",
    "ous",
    "ate",
)
CYCLE = 6600  # steps of the first cycle of the learning rate; what is left is a second
DECAY = 0.77  # last share of the first cycle, in which the learning rate falls to zero
AGAIN = 0.5  # share of the rate from which it falls again in the second cycle
LATE = 1099  # pool from which more is asked for yes or no
SAVE = 250  # steps between two states
PARTS = 2  # of a batch, each the work of one thread: on a busy machine threads must not wait for each other often
RICH = 250  # pool from which definitions are written as people write; the short ones are learned first
WARM = 60  # steps until the learning rate has risen
WORD = re.compile(r" ?[^\W\d_]+| ?\d| ?[^\w\s]+|_|\n+|\s+")

# -------------------------------------------------------------------------------- tokenizer


def text_of(row: Row) -> str:
    """A row as one text."""
    return row.prefix + "\n\n".join("".join(text for text, _ in branch) for branch in row.branches)


def glued(text: str) -> str:
    """``text`` with a mark and a blank before each word that no blank precedes; a word is one token anywhere."""
    return re.sub(r"(?<! )(?<![^\W\d_])(?=[^\W\d_])", GLUE + " ", text)


def build_tokenizer(rows: int = 20_000) -> PreTrainedTokenizerFast:
    """One token per frequent word of the pre-training text; other words fall back to pieces, letters, bytes.

    A quoted label and the same label as an answer share a token: a word always carries its blank, and a mark
    tells where the blank is not there. Decoding returns the text exactly, but for the private-use mark itself.
    """
    rng = Random("tiny tokenizer")
    counts: Counter[str] = Counter()
    for number in range(rows):
        counts.update(WORD.findall(glued(text_of(row(rng, bool(number % 2))))))
    frequent = [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:WORDS]]
    total = sum(counts.values())
    letters = [chr(c) for c in range(33, 127)]
    vocabulary: dict[str, float] = {EOS: 0.0, "<unk>": 0.0, "<pad>": 0.0}
    vocabulary |= {f"<0x{byte:02X}>": -20.0 for byte in range(256)}
    vocabulary |= {word: math.log(counts[word] / total) for word in frequent}
    for piece in (GLUE, "\n", "\n\n", " ", *letters, *(" " + mark for mark in letters if not mark.isalnum())):
        vocabulary.setdefault(piece, -14.0)
    for piece in sorted({*SYLLABLES, *SUFFIXES}):
        vocabulary.setdefault(piece, -14.0)
    tokenizer = Tokenizer(Unigram(list(vocabulary.items()), unk_id=1, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(Regex(r"(?<![ \p{L}])(?=\p{L})"), GLUE + " ")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        Regex(rf"{GLUE}| ?\p{{L}}+| ?\p{{N}}| ?[^\s\p{{L}}\p{{N}}{GLUE}]+|\n+|\s+"), "isolated"
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse(), decoders.Replace(GLUE + " ", "")])
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in (EOS, "<unk>", "<pad>")])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=EOS,
        pad_token="<pad>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
    )


# ------------------------------------------------------------------------------------ model


def build_model(vocabulary: int, seed: int) -> LlamaForCausalLM:
    """A Llama of about 1.1M parameters with random weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=288,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=40,
        max_position_embeddings=2048,
        rope_theta=100_000.0,
        tie_word_embeddings=True,
        initializer_range=0.06,
        bos_token_id=None,
        eos_token_id=EOS_ID,
        pad_token_id=PAD_ID,
        attn_implementation="eager",
    )
    model = LlamaForCausalLM(config)
    look_for_the_same(model)
    return model


@torch.no_grad()
def look_for_the_same(model: LlamaForCausalLM) -> None:
    """Let every head start by attending to tokens like its own: nearly equal keys and queries.

    Looking a word up where it stood before is what most tasks need, and from unrelated matrices a small model comes on
    it late. Source: Trockman & Kolter, Mimetic initialization of self-attention layers (ICML 2023).
    """
    for layer in model.model.layers:
        query, key = layer.self_attn.q_proj.weight, layer.self_attn.k_proj.weight
        key.mul_(math.sqrt(1 - ALIKE**2)).add_(query, alpha=ALIKE)


class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are made orthogonal before they are applied; equal shapes go in one batch.

    Source: Jordan et al., Muon (2024), with the update scaled to the root mean square of AdamW's (Liu et al., 2025).
    """

    def __init__(self, parameters: list[nn.Parameter], lr: float, momentum: float = 0.95, decay: float = 0.02) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """Apply one update."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                shapes.setdefault(parameter.shape, []).append(parameter)
            for members in shapes.values():
                updates = []
                for parameter in members:
                    state = self.state[parameter]
                    buffer = state.setdefault("momentum", torch.zeros_like(parameter))
                    buffer.lerp_(parameter.grad, 1 - group["momentum"])
                    updates.append(parameter.grad.lerp(buffer, group["momentum"]))
                for parameter, update in zip(members, orthogonal(torch.stack(updates)), strict=True):
                    scale = 0.2 * math.sqrt(max(parameter.shape))
                    parameter.mul_(1 - group["lr"] * group["decay"]).add_(update, alpha=-group["lr"] * scale)


def orthogonal(matrices: Tensor) -> Tensor:
    """``[n, a, b]`` with singular values brought near 1 by five Newton-Schulz steps."""
    x = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x if matrices.shape[1] <= matrices.shape[2] else x.mT


# ---------------------------------------------------------------------------------- batches


class Encoded:
    """A row as tokens: ``ids``, ``segment`` (0 = prefix), ``position``, ``target`` (-1 = none), ``weight``.

    The tokens of one answer share a weight of 1, so that a label counts as much as a sentence. ``text``: the weight of
    every other token but the definition's, which is full of words that nobody can foresee.
    """

    __slots__ = ("answers", "ids", "position", "segment", "target", "view", "weight")

    def __init__(self, row: Row, pieces: list[list[int]], text: float = 0.0) -> None:
        self.view = row.view
        prefix, *rest = pieces
        self.ids = list(prefix)
        self.segment = [0] * len(prefix)
        self.position = list(range(len(prefix)))
        self.target = [-1] * len(prefix)
        self.weight = [0.0] * len(prefix)
        whole = READING_WEIGHT if row.view == "reading" else 1.0
        for number, branch in enumerate(row.branches, 1):
            start, answered = len(self.ids), False
            for _, is_answer in branch:
                tokens = rest.pop(0)
                if answered:  # the blank line after a solved example ends its answer
                    self.target[-1] = tokens[0]
                if is_answer and len(self.ids) > start:
                    self.target[-1] = tokens[0]
                    self.weight[-1] = whole / (len(tokens) + 1)
                self.ids += tokens
                self.target += [*tokens[1:], EOS_ID] if is_answer else [-1] * len(tokens)
                self.weight += [whole / (len(tokens) + 1) if is_answer else 0.0] * len(tokens)
                answered = is_answer
            self.segment += [number] * (len(self.ids) - start)
            self.position += range(len(prefix), len(prefix) + len(self.ids) - start)
        self.answers = sum(token >= 0 for token in self.target)
        if text:
            first = 0 if row.view.startswith("page/") else len(prefix)
            for spot in range(first, len(self.ids) - 1):
                if self.target[spot] < 0 and self.segment[spot] == self.segment[spot + 1]:
                    self.target[spot], self.weight[spot] = self.ids[spot + 1], text


def encoded(tokenizer: PreTrainedTokenizerFast, rows: list[Row], rng: Random | None = None) -> list[Encoded]:
    """Rows as tokens; pieces are encoded apart, so that an answer's tokens never depend on its prompt.

    With ``rng`` some rows have their texts and questions predicted, too.
    """
    texts = [text for row in rows for text in (row.prefix, *(t for branch in row.branches for t, _ in branch))]
    ids = [encoding.ids for encoding in tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    out, spot = [], 0
    for r in rows:
        n = 1 + sum(len(branch) for branch in r.branches)
        text = TEXT_WEIGHT if rng and rng.random() < TEXT_SHARE else 0.0
        out.append(Encoded(r, ids[spot : spot + n], text))
        spot += n
    return out


def collate(rows: list[Encoded]) -> dict[str, Tensor]:
    """``ids, position, target, weight`` ``[B, L]``; ``mask`` ``[B, 1, L, L]``: causal, prefix and own branch."""
    length = -(-max(len(r.ids) for r in rows) // 16) * 16

    def padded(values: str, fill: float) -> Tensor:
        return torch.tensor([getattr(r, values) + [fill] * (length - len(r.ids)) for r in rows])

    segment = padded("segment", -1)
    visible = (segment[:, None, :] == segment[:, :, None]) | (segment[:, None, :] == 0)
    visible &= torch.ones(length, length, dtype=torch.bool).tril()
    return {
        "ids": padded("ids", PAD_ID),
        "position": padded("position", 0),
        "target": padded("target", -1),
        "weight": padded("weight", 0.0),
        "answers": torch.tensor([r.answers for r in rows]),
        "mask": torch.zeros(visible.shape).masked_fill_(~visible, -1e9)[:, None],
    }


def batches(
    tokenizer: PreTrainedTokenizerFast, seed: int, budget: int, pool: int = 0, spot: int = 0, rows: int = 320
) -> Iterator[tuple[int, int, list[dict[str, Tensor]]]]:
    """Endless batches of ``PARTS`` parts, together about ``budget`` tokens, as (pool, spot in it, parts).

    A part holds rows of similar length.

    Pool ``n`` is a function of the seed and ``n`` alone, so that training continues where it stopped.
    """
    while True:
        rng = Random(f"tiny {seed} {pool}")
        texts = [row(rng, pool >= RICH, pool >= LATE) for _ in range(rows)]
        drawn = sorted(encoded(tokenizer, texts, rng), key=lambda r: len(r.ids))
        groups: list[list[Encoded]] = [[]]
        for r in drawn:
            if groups[-1] and (len(groups[-1]) + 1) * len(r.ids) > budget // PARTS:
                groups.append([])
            groups[-1].append(r)
        rng.shuffle(groups)
        for number in range(spot, len(groups) - PARTS + 1, PARTS):
            yield pool, number, [collate(group) for group in groups[number : number + PARTS]]
        pool, spot = pool + 1, 0


# --------------------------------------------------------------------------------- training


Body = Callable[..., Any]  # the model without its head, compiled or not


def target_logits(model: LlamaForCausalLM, batch: dict[str, Tensor], body: Body | None = None) -> tuple[Tensor, Tensor]:
    """Logits ``[T, V]`` at the positions that have a target, and the targets ``[T]``."""
    given = {"input_ids": batch["ids"], "attention_mask": batch["mask"], "position_ids": batch["position"]}
    hidden = (model.model if body is None else body)(**given, use_cache=False).last_hidden_state
    chosen = batch["target"] >= 0
    return F.linear(hidden[chosen], model.model.embed_tokens.weight), batch["target"][chosen]


def gradient(
    model: LlamaForCausalLM,
    parameters: list[nn.Parameter],
    part: dict[str, Tensor],
    whole: float,
    body: Body | None = None,
) -> tuple[float, tuple[Tensor, ...]]:
    """What a part adds to the loss of a batch whose weights sum to ``whole``, and to its gradient.

    With a compiled ``body`` products are in bfloat16.
    """
    with torch.autocast("cpu", torch.bfloat16, enabled=body is not None):
        logits, target = target_logits(model, part, body)
    loss = F.cross_entropy(logits.float(), target, reduction="none") @ part["weight"][part["target"] >= 0] / whole
    return loss.item(), torch.autograd.grad(loss, parameters)


@torch.no_grad()
def accuracy(model: LlamaForCausalLM, rows: list[Encoded]) -> dict[str, float]:
    """Share of branches whose answer tokens are all predicted, by view; teacher-forced."""
    right: dict[str, list[float]] = {}
    for i in range(0, len(rows), 32):
        part = rows[i : i + 32]
        batch = collate(part)
        logits, target = target_logits(model, batch)
        hit = torch.zeros_like(batch["target"], dtype=torch.bool)
        hit[batch["target"] >= 0] = logits.argmax(-1) == target
        for r, hits in zip(part, hit.tolist(), strict=True):
            for branch in sorted(set(r.segment) - {0}):
                spots = [j for j, s in enumerate(r.segment) if s == branch and r.target[j] >= 0]
                right.setdefault(r.view, []).append(float(all(hits[j] for j in spots)))
    return {view: sum(x) / len(x) for view, x in sorted(right.items())}


def report(title: str, by_view: dict[str, float]) -> None:
    """Print the mean over views and each view."""
    each = " ".join(f"{view}={value:.2f}" for view, value in by_view.items())
    print(f"{title} mean {sum(by_view.values()) / len(by_view):.3f} {each}", flush=True)


class Pages(IterableDataset[tuple[int, int, list[dict[str, Tensor]]]]):
    """``batches`` for a ``DataLoader``, whose worker draws them before they are needed."""

    def __init__(self, *given: Any) -> None:
        self.given = given

    def __iter__(self) -> Iterator[tuple[int, int, list[dict[str, Tensor]]]]:
        """As ``batches``."""
        return batches(*self.given)


def held_out(tokenizer: PreTrainedTokenizerFast, count: int) -> list[Encoded]:
    """Rows of definitions that training does not draw: same families, new wordings and instances."""
    rng = Random("tiny held out")
    return [r for r in encoded(tokenizer, [row(rng, True) for _ in range(count)]) if r.view != "reading"]


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write checkpoint and tokenizer: weights rounded to float16, to be loaded as float32."""
    half = LlamaForCausalLM(model.config)
    half.load_state_dict(model.state_dict())
    half.half().save_pretrained(folder)
    model.config.dtype = "float32"  # what loading makes of them unless told otherwise
    model.config.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)  # greedy decoding is the harness's business
    tokenizer.save_pretrained(folder)


Optimizers = dict[str, torch.optim.Optimizer]


def save_state(path: Path, model: nn.Module, optimizers: Optimizers, done: dict[str, Any]) -> None:
    """Write parameters, what the optimizers remember of them, and how far the training is, in one step."""
    tensors = {f"model.{name}": parameter.detach() for name, parameter in model.named_parameters()}
    for kind, optimizer in optimizers.items():
        for number, kept in optimizer.state_dict()["state"].items():
            tensors |= {f"{kind}.{number}.{key}": value for key, value in kept.items()}
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    write_whole(path, lambda temporary: save_file(whole, temporary, {"done": json.dumps(done)}))


def load_state(path: Path, model: nn.Module, optimizers: Optimizers) -> dict[str, Any]:
    """Take back what ``save_state`` wrote; how far the training is."""
    with safe_open(path, framework="pt") as file:
        done: dict[str, Any] = json.loads(file.metadata()["done"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[f"model.{name}"])
    for kind, optimizer in optimizers.items():
        kept: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith(f"{kind}."):
                _, number, key = name.split(".")
                kept.setdefault(int(number), {})[key] = tensor
        optimizer.load_state_dict(optimizer.state_dict() | {"state": kept})
    return done


def rate(step: int, steps: int) -> float:
    """The learning rate of ``step`` as a share of the peak."""
    if step < CYCLE:
        return min(1.0, (step + 1) / WARM, (1 - step / min(steps, CYCLE)) / DECAY)
    return AGAIN * min((step - CYCLE + 1) / WARM, (steps - step) / (steps - CYCLE))


def learn(given: argparse.Namespace) -> None:
    """Train, log, save; goes on from a state if there is one."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(True)
    tokenizer = build_tokenizer(500 if given.smoke else 20_000)
    model = build_model(len(tokenizer), given.seed)
    muon = Muon([p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n], lr=given.lr)
    parameters = list(model.parameters())
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    adam = torch.optim.AdamW(others, lr=given.lr_embedding, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    optimizers = {"muon": muon, "adam": adam}
    done: dict[str, Any] = {"step": 0, "tokens": 0, "answers": 0, "cpu_seconds": 0.0, "pool": 0, "spot": 0}
    state_file = given.state / "state.safetensors" if given.state else None
    if state_file and state_file.exists():
        done = load_state(state_file, model, optimizers)
    test = held_out(tokenizer, 60 if given.smoke else 500)
    print(f"{model.num_parameters()} parameters, {len(tokenizer)} tokens in the vocabulary", flush=True)

    body = None if given.smoke else torch.compile(model.model, dynamic=True)
    thread = ThreadPoolExecutor(PARTS, initializer=torch.set_num_threads, initargs=(1,))
    before = done["cpu_seconds"] - time.process_time()
    losses: list[float] = []
    warm = False
    pages = Pages(tokenizer, given.seed, given.batch, done["pool"], done["spot"])
    for pool, spot, batch in DataLoader(pages, batch_size=None, num_workers=1, prefetch_factor=16):
        if done["step"] >= given.steps:
            break
        factor = rate(done["step"], given.steps)
        for group, peak in ((muon.param_groups[0], given.lr), (adam.param_groups[0], given.lr_embedding)):
            group["lr"] = peak * factor
        whole = sum(float(part["weight"].sum()) for part in batch)
        if body is not None and not warm:  # compiling is not the work of two threads
            for part in batch:
                gradient(model, parameters, part, whole, body)
            warm = True
        found = [thread.submit(gradient, model, parameters, part, whole, body) for part in batch]
        shares, gradients = zip(*(one.result() for one in found), strict=True)
        for parameter, *pieces in zip(parameters, *gradients, strict=True):
            parameter.grad = torch.stack(pieces).sum(0)
        nn.utils.clip_grad_norm_(others, 1.0)
        muon.step()
        adam.step()
        model.zero_grad(set_to_none=True)
        losses.append(sum(shares))
        done = {
            "step": done["step"] + 1,
            "tokens": done["tokens"] + sum(int((part["ids"] != PAD_ID).sum()) for part in batch),
            "answers": done["answers"] + sum(int(part["answers"].sum()) for part in batch),
            "cpu_seconds": round(before + time.process_time(), 1),
            "pool": pool,
            "spot": spot + PARTS,
        }
        if done["step"] % 50 == 0:
            print(f"{json.dumps(done)} loss {sum(losses) / len(losses):.3f}", flush=True)
            losses = []
        if state_file and done["step"] % (2 if given.smoke else SAVE) == 0:
            save_state(state_file, model, optimizers, done)
            save(model, tokenizer, given.state / "snapshot")
    given.out.mkdir(parents=True, exist_ok=True)
    save(model, tokenizer, given.out)
    flags = {"steps": given.steps, "seed": given.seed, "batch": given.batch, "lr": given.lr}
    record = {
        **{"command": "python scripts/pretrain_tiny.py", "flags": flags | {"lr-embedding": given.lr_embedding}},
        **{name: done[name] for name in ("tokens", "answers", "cpu_seconds")},
        **{"device": f"{PARTS} threads, {platform.machine()} ({torch.backends.cpu.get_cpu_capability()})"},
        **{"torch": torch.__version__, "python": platform.python_version()},
    }
    (given.out / "training.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    report(f"finished {json.dumps(done)}", accuracy(model, test))


def main() -> None:
    """Read the flags and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=7900)
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished checkpoint")
    parser.add_argument("--state", type=Path, default=None, help="folder of the state to continue from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=8192, help="tokens per step, padding included")
    parser.add_argument("--lr", type=float, default=0.007, help="of the matrices (Muon)")
    parser.add_argument("--lr-embedding", type=float, default=0.0045, help="of embeddings and norms (AdamW)")
    parser.add_argument("--smoke", action="store_true", help="a few steps, to see that everything runs")
    given = parser.parse_args()
    if given.smoke:
        given.steps = min(given.steps, 4)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    learn(given)


if __name__ == "__main__":
    main()

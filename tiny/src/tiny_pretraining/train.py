"""Train the embedded model ``tiny`` from scratch on procedural text.

    python -m tiny_pretraining.train --out snibench/models/tiny --state tiny-state

One process, compiled, with products in bfloat16 and sums in float32, and for each of the ``PARTS`` of a batch one
thread. The flags decide what is drawn and how fast is learned; on one kind of processor and one version of torch
they decide the weights as well, but for the rounding of compiled kernels, which depends on the shapes that came
first. The state is saved every ``SAVE`` steps, and the same command goes on from there. The learning rate is
constant, then falls to zero over the last share ``DECAY`` of the first ``CYCLE`` steps, then once more, from the
share ``AGAIN`` of its peak to zero at ``--steps``. ``--smoke`` does everything in seconds, not compiled, with a
model that has learned nothing; it ends with the same weights whether it was stopped or not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from snibench.store import write_whole
from tiny_pretraining.batches import PARTS, Encoded, Pages, collate, held_out
from tiny_pretraining.model import build_model
from tiny_pretraining.tokenizer import PAD_ID, build_tokenizer

CYCLE = 6600  # steps of the first cycle of the learning rate; what is left is a second
DECAY = 0.77  # last share of the first cycle, in which the learning rate falls to zero
AGAIN = 0.7  # share of the rate from which it falls again in the second cycle
WARM = 60  # steps until the learning rate has risen
SAVE = 250  # steps between two states

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
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    # An update as large as AdamW's, so that one rate means the same for matrices of any shape.
    muon = torch.optim.Muon(matrices, lr=given.lr, weight_decay=0.02, adjust_lr_fn="match_rms_adamw")
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
        **{"command": "python -m tiny_pretraining.train", "flags": flags | {"lr-embedding": given.lr_embedding}},
        **{name: done[name] for name in ("tokens", "answers", "cpu_seconds")},
        **{"device": f"{PARTS} threads, {platform.machine()} ({torch.backends.cpu.get_cpu_capability()})"},
        **{"torch": torch.__version__, "python": platform.python_version()},
    }
    (given.out / "training.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    report(f"finished {json.dumps(done)}", accuracy(model, test))


def main() -> None:
    """Read the flags and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=9900)
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

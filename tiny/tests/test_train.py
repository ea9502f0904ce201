"""The pre-training script of tiny, on a few steps."""

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tiny_pretraining import batches as tiny_batches  # noqa: E402
from tiny_pretraining import model as tiny_model  # noqa: E402
from tiny_pretraining import tokenizer as tiny_tokenizer  # noqa: E402
from tiny_pretraining import train as script  # noqa: E402
from tiny_pretraining.corpus import row  # noqa: E402
from tiny_pretraining.wording import Row  # noqa: E402


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer.build_tokenizer(rows=300)


def encode(tokenizer, *rows: Row):
    return tiny_batches.encoded(tokenizer, list(rows))


def test_targets_are_the_answers_and_an_end_of_sequence(tokenizer) -> None:
    lesson = Row("x", "Task.\n\n", ((("Input: red\nOutput:", False), (" blue", True)), (("a:", False), (" b c", True))))
    (row_,) = encode(tokenizer, lesson)
    told = [token for token in row_.target if token >= 0]
    assert tokenizer.decode([t for t in told if t != tiny_tokenizer.EOS_ID]) == " blue b c"
    assert told.count(tiny_tokenizer.EOS_ID) == 2
    assert len(row_.ids) == len(row_.target) == len(row_.segment) == len(row_.position)


def test_a_solved_example_is_ended_by_the_line_feed(tokenizer) -> None:
    parts = (("a ->", False), (" red", True), ("\nb ->", False), (" blue", True))
    (row_,) = encode(tokenizer, Row("x", "", (parts,)))
    told = [tokenizer.decode([token]) for token in row_.target if token >= 0]
    assert told == [" red", "\n", " blue", tiny_tokenizer.EOS]


def test_text_is_predicted_at_its_weight_but_never_a_definition(tokenizer) -> None:
    branches = ((("a big dog ->", False), (" red", True)), (("a cat ->", False), (" blue", True)))
    texts = ("Say a colour.", *(text for branch in branches for text, _ in branch))
    pieces = [tokenizer(text, add_special_tokens=False).input_ids for text in texts]
    sheet, page = (tiny_batches.Encoded(Row(view, "Say a colour.", branches), pieces, 0.5) for view in ("x", "page/x"))
    plain = tiny_batches.Encoded(Row("x", "Say a colour.", branches), pieces)
    assert sheet.answers == page.answers == plain.answers == sum(token >= 0 for token in plain.target)
    first = len(pieces[0])
    assert sheet.target[:first] == plain.target[:first] == [-1] * first
    assert page.target[: first - 1] == pieces[0][1:]
    for row_ in (sheet, page):
        for spot, token in enumerate(row_.target):
            if plain.target[spot] >= 0:  # an answer keeps its target and its weight
                assert (token, row_.weight[spot]) == (plain.target[spot], plain.weight[spot])
            elif token >= 0:
                assert (token, row_.weight[spot]) == (row_.ids[spot + 1], 0.5)
                assert row_.segment[spot] == row_.segment[spot + 1]
    assert sum(token >= 0 for token in sheet.target) > sheet.answers


def test_heads_start_by_attending_to_the_same_token(tokenizer) -> None:
    model = tiny_model.build_model(len(tokenizer), seed=0)
    for layer in model.model.layers:
        both = torch.stack([layer.self_attn.q_proj.weight.flatten(), layer.self_attn.k_proj.weight.flatten()])
        assert torch.corrcoef(both)[0, 1].item() == pytest.approx(tiny_model.ALIKE, abs=0.03)
    words = tokenizer(" red blue green dog cat house two", add_special_tokens=False).input_ids
    ids = torch.tensor([[*words, *words]])
    attention = model(ids, output_attentions=True).attentions[0][0]  # heads, queries, keys
    n = len(words)
    again = attention[:, range(n, 2 * n), range(n)].mean()
    others = attention[:, n:, :n].sum() / (4 * n * (n - 1)) - again / (n - 1)
    assert again > 2 * others


def test_packed_branches_give_the_logits_of_separate_sequences(tokenizer) -> None:
    model = tiny_model.build_model(len(tokenizer), seed=0)
    prefix, one, two = "Say a colour.\n\n", "Input: red\nOutput:", "Input: a big dog\nOutput:"
    packed = Row("x", prefix, (((one, False), (" blue", True)), ((two, False), (" green", True))))
    apart = [Row("x", prefix, (branch,)) for branch in packed.branches]
    with torch.no_grad():
        together, _ = script.target_logits(model, tiny_batches.collate(encode(tokenizer, packed)))
        separate = [script.target_logits(model, tiny_batches.collate(encode(tokenizer, row_)))[0] for row_ in apart]
    torch.testing.assert_close(together, torch.cat(separate), atol=1e-4, rtol=1e-4)


def test_the_gradients_of_the_parts_sum_to_that_of_the_whole(tokenizer) -> None:
    model = tiny_model.build_model(len(tokenizer), seed=0)
    parameters = list(model.parameters())
    rng = Random(1)
    rows = encode(tokenizer, *(row(rng) for _ in range(6)))
    whole = float(tiny_batches.collate(rows)["weight"].sum())
    loss, expected = script.gradient(model, parameters, tiny_batches.collate(rows), whole)
    parts = [script.gradient(model, parameters, tiny_batches.collate(some), whole) for some in (rows[:2], rows[2:])]
    assert sum(part[0] for part in parts) == pytest.approx(loss, rel=1e-4)
    for parameter, *pieces in zip(expected, *(part[1] for part in parts), strict=True):
        torch.testing.assert_close(sum(pieces), parameter, atol=1e-4, rtol=1e-3)


def test_the_rate_falls_twice() -> None:
    steps = script.CYCLE + 1000
    rates = [script.rate(step, steps) for step in range(steps)]
    start, again = round(script.CYCLE * (1 - script.DECAY)), script.CYCLE + script.WARM
    assert rates[script.WARM : start] == [1.0] * (start - script.WARM)
    assert rates[start:] != sorted(rates[start:], reverse=True)
    for fall in (rates[start : script.CYCLE], rates[again:]):
        assert fall == sorted(fall, reverse=True)
        assert 0 < fall[-1] < 0.01
    assert max(rates[script.CYCLE :]) <= script.AGAIN
    short = [script.rate(step, 100) for step in range(100)]
    assert max(short) <= 1
    assert 0 < short[-1] < 0.05


def test_batches_are_decided_by_seed_and_place(tokenizer) -> None:
    def some(seed: int, count: int, pool: int = 0, spot: int = 0):
        stream = tiny_batches.batches(tokenizer, seed, 1024, pool, spot, rows=24)
        return [(pool, spot, [part["ids"].tolist() for part in parts]) for pool, spot, parts in _head(stream, count)]

    whole = some(0, 12)
    assert some(0, 12) == whole
    assert some(1, 1) != whole[:1]
    assert whole[-1][0] > 0  # more than one pool
    for number, (pool, spot, _) in enumerate(whole):
        assert some(0, 12 - number, pool, spot) == whole[number:]


def _head(stream, count: int):
    return [next(stream) for _ in range(count)]


def test_rows_decode_to_their_text(tokenizer) -> None:
    rng = Random(3)
    for _ in range(100):
        text = tiny_tokenizer.text_of(row(rng))
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids) == text


@pytest.mark.slow
def test_a_smoke_run_that_was_stopped_ends_as_one_that_was_not(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    def smoke(out: str, *flags: str) -> Path:
        command = [sys.executable, "-m", "tiny_pretraining.train", "--smoke", "--out", str(tmp_path / out), *flags]
        alone = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
        result = subprocess.run(command, capture_output=True, text=True, timeout=600, env=alone)
        assert result.returncode == 0, result.stderr
        return tmp_path / out

    state = ("--state", str(tmp_path / "state"))
    whole = smoke("whole")
    smoke("half", "--steps", "2", *state)
    continued = smoke("continued", *state)
    weights = "model.safetensors"
    assert (continued / weights).read_bytes() == (whole / weights).read_bytes()
    assert (tmp_path / "half" / weights).read_bytes() != (whole / weights).read_bytes()
    record = json.loads((whole / "training.json").read_text("utf-8"))
    assert record["flags"]["steps"] == 4
    assert record["tokens"] > 10_000
    model = AutoModelForCausalLM.from_pretrained(whole)
    assert model.dtype == torch.float32
    assert len(AutoTokenizer.from_pretrained(whole)) == model.config.vocab_size

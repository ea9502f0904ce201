"""The pre-training script of tiny, on a few steps."""

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import pretrain_tiny as script  # noqa: E402
from tiny_corpus import Row, row  # noqa: E402

SCRIPT = Path(__file__).parents[2] / "scripts" / "pretrain_tiny.py"


@pytest.fixture(scope="module")
def tokenizer():  # type: ignore[no-untyped-def]
    return script.build_tokenizer(rows=300)


def encode(tokenizer, *rows: Row):  # type: ignore[no-untyped-def]
    return script.encoded(tokenizer, list(rows))


def test_targets_are_the_answers_and_an_end_of_sequence(tokenizer) -> None:  # type: ignore[no-untyped-def]
    lesson = Row("x", "Task.\n\n", ((("Input: red\nOutput:", False), (" blue", True)), (("a:", False), (" b c", True))))
    (row_,) = encode(tokenizer, lesson)
    told = [token for token in row_.target if token >= 0]
    assert tokenizer.decode([t for t in told if t != script.EOS_ID]) == " blue b c"
    assert told.count(script.EOS_ID) == 2
    assert len(row_.ids) == len(row_.target) == len(row_.segment) == len(row_.position)


def test_a_solved_example_is_ended_by_the_blank_line(tokenizer) -> None:  # type: ignore[no-untyped-def]
    parts = (("Input: a\nOutput:", False), (" red", True), ("\n\nInput: b\nOutput:", False), (" blue", True))
    (row_,) = encode(tokenizer, Row("x", "", (parts,)))
    told = [tokenizer.decode([token]) for token in row_.target if token >= 0]
    assert told == [" red", "\n\n", " blue", script.EOS]


def test_packed_branches_give_the_logits_of_separate_sequences(tokenizer) -> None:  # type: ignore[no-untyped-def]
    model = script.build_model(len(tokenizer), seed=0)
    prefix, one, two = "Say a colour.\n\n", "Input: red\nOutput:", "Input: a big dog\nOutput:"
    packed = Row("x", prefix, (((one, False), (" blue", True)), ((two, False), (" green", True))))
    apart = [Row("x", prefix, (branch,)) for branch in packed.branches]
    with torch.no_grad():
        together, _ = script.target_logits(model, script.collate(encode(tokenizer, packed)))
        separate = [script.target_logits(model, script.collate(encode(tokenizer, row_)))[0] for row_ in apart]
    torch.testing.assert_close(together, torch.cat(separate), atol=1e-4, rtol=1e-4)


def test_orthogonal_brings_singular_values_near_one() -> None:
    matrices = torch.randn(3, 16, 40, generator=torch.Generator().manual_seed(0))
    for result in (script.orthogonal(matrices), script.orthogonal(matrices.mT)):
        values = torch.linalg.svdvals(result)
        assert values.min() > 0.5
        assert values.max() < 1.5


def test_batches_are_decided_by_seed_rank_and_number(tokenizer) -> None:  # type: ignore[no-untyped-def]
    def first(seed: int, rank: int):  # type: ignore[no-untyped-def]
        return next(script.batches(tokenizer, seed, rank, 0, 512, pool=20))[1]["ids"].tolist()

    assert first(0, 0) == first(0, 0)
    assert len({str(first(seed, rank)) for seed in (0, 1) for rank in (0, 1)}) == 4


def test_rows_decode_to_their_text(tokenizer) -> None:  # type: ignore[no-untyped-def]
    rng = Random(3)
    for _ in range(100):
        text = script.text_of(row(rng))
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids) == text


@pytest.mark.slow
def test_a_smoke_run_writes_a_model_that_loads(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    command = [sys.executable, str(SCRIPT), "--smoke", "--out", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    assert '"step": 4' in result.stdout
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert model.dtype == torch.float32
    assert len(AutoTokenizer.from_pretrained(tmp_path)) == model.config.vocab_size

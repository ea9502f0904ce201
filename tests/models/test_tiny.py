"""The embedded model tiny, as it lies in the package."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from hypothesis import example, given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from snibench.data.mini import tasks  # noqa: E402

FOLDER = Path(str(files("snibench") / "models" / "tiny"))
MARK = "\ue000"


@pytest.fixture(scope="module")
def tokenizer():
    return transformers.AutoTokenizer.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def model():
    return transformers.AutoModelForCausalLM.from_pretrained(FOLDER)


def test_it_is_a_small_llama_with_tied_embeddings_and_a_long_context(model) -> None:
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.num_parameters() <= 1_500_000
    assert model.config.max_position_embeddings >= 1024
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight


def test_its_files_are_small_and_hold_no_pickle() -> None:
    assert {path.suffix for path in FOLDER.iterdir()} == {".json", ".safetensors"}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 6_000_000


def test_every_weight_is_finite(model) -> None:
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@given(st.text().filter(lambda text: MARK not in text))
@example("")
@example(' "Yes"\n\n\n(no) x_y 3.14 don\'t  \t')
@example("café 漢字 \u202e \x00 ▁ <eos")
def test_any_text_comes_back_as_it_was(text: str) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER) if not CACHE else CACHE[0]
    CACHE[:] = [tokenizer]
    if any(special in text for special in tokenizer.all_special_tokens):
        return
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids) == text


CACHE: list = []  # type: ignore[type-arg]


def test_each_label_of_the_suite_is_one_token_quoted_or_not(tokenizer) -> None:
    labels = {label for task in tasks().values() for label in task.card.labels or ()}
    assert len(labels) > 50
    for label in labels:
        (token,) = tokenizer(f" {label}", add_special_tokens=False).input_ids
        assert token in tokenizer(f'"{label}"', add_special_tokens=False).input_ids


def test_most_words_of_the_suite_are_one_token(tokenizer) -> None:
    words = [
        word for task in tasks().values() for i in task.instances[:20] for word in re.findall(r"[^\W\d_]+", i.input)
    ]
    single = sum(len(tokenizer(f" {word}", add_special_tokens=False).input_ids) == 1 for word in words)
    assert single > 0.95 * len(words)


def test_it_ends_its_answers_in_a_layout_it_knows(model, tokenizer) -> None:
    task = tasks()["mini103_hotel_pleased"]
    prompt = f"{task.card.definition}\n\n{task.instances[0].input} ->"
    encoded = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
    output = model.generate(
        **encoded,
        max_new_tokens=8,
        do_sample=False,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    assert tokenizer.eos_token_id in output[0, encoded.input_ids.shape[1] :].tolist()

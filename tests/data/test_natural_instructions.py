import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snibench.base.errors import DataError
from snibench.base.types import Example, Instance
from snibench.data.checks import check_folder
from snibench.data.natural_instructions import (
    label_space,
    load_task,
    read_head,
    task_files,
    task_from_json,
)
from snibench.data.task_faults import errors, warnings

WriteTask = Callable[..., Path]


def test_a_task_file_loads_with_every_part(write_task: WriteTask) -> None:
    task = load_task(write_task("task1_a", Source=["SST 2; IMDB"], Domains=["News", "Web"]))
    assert task.name == "task1_a"
    assert task.card.definition == "Say yes or no."
    assert task.card.positive == (Example("good", "yes", "because"), Example("bad", "no", "because"))
    assert task.card.sources == ("SST 2; IMDB",)
    assert task.card.domains == ("News", "Web")
    assert task.instances[1] == Instance("task1_a-1", "input 1", ("no",))
    assert (task.card.labels, task.card.metric) == (("no", "yes"), "exact_match")


def test_a_definition_of_50_megabytes_is_refused_with_its_file_and_size(write_task: WriteTask) -> None:
    path = write_task("huge", Definition=["x" * 50_000_000])
    assert read_head(path).category == "Sentiment Analysis"
    with pytest.raises(DataError) as refused:
        load_task(path)
    said = f"{path}: field 'Definition' has 50,000,000 characters, and at most 100,000 are read. Shorten it."
    assert str(refused.value) == said
    (finding,) = check_folder(path.parent)
    assert (finding.severity, finding.file) == ("error", path.name)
    assert "has 50,000,000 characters" in finding.message


def test_older_releases_load_too(write_task: WriteTask) -> None:
    path = write_task(
        "old",
        Definition="Say it.",
        Categories=["Classification -> Verification"],
        Instances=[{"input": f"i{n}", "output": "yes" if n % 2 else ["no"]} for n in range(30)],
        **{"Positive Examples": [{"input": "x", "output": "yes"}]},
    )
    task = load_task(path)
    assert task.card.definition == "Say it."
    assert task.instances[3] == Instance("old-3", "i3", ("yes",))
    assert task.card.positive[0].explanation == ""
    fields = [fault.field for fault in warnings(json.loads(path.read_text()))]
    assert {"Definition", "Instances", "Positive Examples"} <= set(fields)


def test_the_first_of_two_definitions_counts(write_task: WriteTask) -> None:
    assert load_task(write_task("a", Definition=["First.", "Second."])).card.definition == "First."


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"Definition": ["a"],\n  oops}', "line 2, column 3"),
        (b"", "line 1, column 1"),
        (b'{"Definition": ["caf\xe9"]}', "not UTF-8 (byte 20)"),
        (b"[1]", "holds a list, not an object"),
        (b'{"Definition": ["\\ud800"]}', "half a character"),
        (b'{"Definition": ["\\udc00"]}', "half a character"),
        (b'{"Definition": ["\\udfff\\ud800"]}', "half a character"),
        (b'{"Definition": ' + b"9" * 5000 + b"}", "more than 4,300 digits"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_no_task_is_named_with_the_place(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "task9.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_task(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Definition": None}, "field 'Definition' is null, not a list of texts"),
        ({"Definition": []}, "field 'Definition' is empty"),
        ({"Definition": ["  "]}, "field 'Definition' is empty"),
        ({"Categories": [3]}, "field 'Categories' is a list of other things"),
        ({"Instances": []}, "field 'Instances' is empty"),
        ({"Instances": {}}, "field 'Instances' is an object, not a list"),
        ({"Instances": ["x"]}, "field 'Instances[0]' is a text, not an object"),
        ({"Instances": [{"id": "a", "output": ["x"]}]}, "field 'Instances[0].input' is missing"),
        ({"Instances": [{"id": "a", "input": 4, "output": ["x"]}]}, "'Instances[0].input' is a number, not a text"),
        ({"Instances": [{"id": "a", "input": "q", "output": []}]}, "'Instances[0].output' is empty"),
        ({"Instances": [{"id": "a", "input": "q", "output": [1]}]}, "'Instances[0].output' is a list of other things"),
        ({"Instances": [{"id": 7, "input": "q", "output": ["x"]}]}, "'Instances[0].id' is a number"),
        ({"Instances": [{"id": "a", "input": "q", "output": ["x"]}] * 2}, "'Instances[1].id' is a second 'a'"),
        ({"Positive Examples": [{"input": "q"}]}, "'Positive Examples[0].output' is missing"),
        ({"Negative Examples": "none"}, "field 'Negative Examples' is a text, not a list"),
    ],
)
def test_a_malformed_field_is_named_with_its_reason(write_task: WriteTask, change: dict[str, Any], said: str) -> None:
    path = write_task("broken", **change)
    with pytest.raises(DataError) as caught:
        load_task(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "field", ["Definition", "Categories", "Domains", "Source", "Positive Examples", "Negative Examples", "Instances"]
)
def test_a_missing_field_is_named(write_task: WriteTask, field: str) -> None:
    path = write_task("broken", without=[field])
    with pytest.raises(DataError, match=f"field '{field}' is missing"):
        load_task(path)


def test_every_error_of_a_file_is_found_at_once(write_task: WriteTask) -> None:
    raw = json.loads(write_task("broken", Definition=3, Source=None, Instances=[]).read_text())
    assert [fault.field for fault in errors(raw)] == ["Definition", "Source", "Instances"]


PARTS = ["Definition", "Categories", "Domains", "Source", "Positive Examples", "Negative Examples", "Instances"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["input", "output", "id", "explanation"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*PARTS, "Input_language", "URL"]), JSON, max_size=3))
def test_whatever_stands_in_a_field_is_judged_and_what_passes_loads(change: dict[str, Any]) -> None:
    examples = [{"input": "q", "output": "a"}]
    sound = {part: examples if "Examples" in part or part == "Instances" else ["x"] for part in PARTS}
    raw = sound | change
    if not list(errors(raw)):
        list(warnings(raw))
        task_from_json("a", raw)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Instances": [{"id": str(n), "input": "same", "output": [str(n)]} for n in range(30)]}, "repeats 29 inputs"),
        ({"Instances": [{"id": str(n), "input": str(n), "output": ["x"]} for n in range(30)]}, "one output only"),
        ({"Instances": [{"id": str(n), "input": str(n), "output": [str(n)]} for n in range(25)]}, "holds 25"),
        (
            {"Instances": [{"id": str(n), "input": str(n), "output": ["x" if n else "y"]} for n in range(30)]},
            "skewed labels (entropy 0.21)",
        ),
        ({"Positive Examples": [{"input": "input 0", "output": "x", "explanation": ""}] * 2}, "instances too"),
        ({"Positive Examples": []}, "field 'Positive Examples' holds 0"),
        ({"Input_language": ["Hindi"]}, "does not name the input language"),
        ({"Input_language": 5}, "field 'Input_language' is a number"),
        ({"without": ["URL"]}, "field 'URL' is missing"),
    ],
)
def test_the_rules_of_the_official_ci_are_warnings(write_task: WriteTask, change: dict[str, Any], said: str) -> None:
    path = write_task("odd", **change)
    load_task(path)
    assert any(said in str(fault) for fault in warnings(json.loads(path.read_text())))


def test_a_sound_task_has_neither_errors_nor_warnings(write_task: WriteTask) -> None:
    raw = json.loads(write_task("sound").read_text())
    assert not [*errors(raw), *warnings(raw)]


def instances(*outputs: str) -> list[Instance]:
    return [Instance(str(n), "", (output, "another reference")) for n, output in enumerate(outputs)]


def test_labels_are_the_most_frequent_spellings_in_code_point_order() -> None:
    assert label_space(instances(*["Yes", "yes", " yes", "No."] * 3)) == ("No.", "yes")


@pytest.mark.parametrize(("distinct", "n", "closed"), [(20, 80, True), (21, 200, False), (20, 79, False), (1, 4, True)])
def test_a_task_is_closed_up_to_twenty_labels_and_a_quarter_of_its_instances(
    distinct: int, n: int, closed: bool
) -> None:
    assert (label_space(instances(*(str(i % distinct) for i in range(n)))) is not None) is closed


@pytest.mark.parametrize(
    ("category", "closed", "metric"),
    [
        ("Textual Entailment", False, "exact_match"),
        ("Title Generation", False, "rouge_l"),
        ("Title Generation", True, "exact_match"),
    ],
)
def test_the_metric_follows_labels_and_category(
    write_task: WriteTask, category: str, closed: bool, metric: str
) -> None:
    outputs = [{"id": str(n), "input": str(n), "output": [str(n % 2 if closed else n)]} for n in range(40)]
    assert load_task(write_task("a", Categories=[category], Instances=outputs)).card.metric == metric


def test_a_folder_is_official_or_flat(write_task: WriteTask, tmp_path: Path) -> None:
    write_task("b")
    write_task("a")
    assert list(task_files(tmp_path)) == list(task_files(tmp_path / "tasks")) == ["a", "b"]


def test_a_folder_without_tasks_says_how_to_get_some(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match="snibench data fetch sni"):
            task_files(folder)


def test_the_head_is_read_without_the_instances(write_task: WriteTask) -> None:
    path = write_task("a", Source=["x"], Definition=['Say "Instances".'])
    text = path.read_text()
    path.write_text(text[: text.index('"Instances":')] + '"Instances": [{]')
    head = read_head(path)
    assert (head.category, head.sources, head.languages) == ("Sentiment Analysis", ("x",), {"English"})


def test_the_head_is_found_wherever_the_instances_stand(write_task: WriteTask) -> None:
    path = write_task("a", Source=["x"])
    raw = json.loads(path.read_text())
    path.write_text(json.dumps({"Instances": raw.pop("Instances"), **raw}))
    assert read_head(path).sources == ("x",)


def test_the_head_of_a_malformed_file_is_an_error(write_task: WriteTask) -> None:
    with pytest.raises(DataError, match="'Source' is missing"):
        read_head(write_task("a", without=["Source"]))

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from official import load_tasks

from snibench.base.errors import DataError, UsageError
from snibench.base.types import Example, Instance, SuiteData, SuiteRequest, Task
from snibench.data.natural_instructions import load_task, make_task
from snibench.data.official_layout import export_suite, official_json
from snibench.data.overview import describe_folder, describe_suite
from snibench.data.splits import build_suite
from snibench.data.task_faults import errors

Write = Callable[..., Path]


def task(name: str) -> Task:
    return make_task(
        name,
        definition='Say "ja" 日本語.\u2028',
        positive=(Example("x", " y ", "why"),),
        negative=(),
        category="Misc.",
        domains=("News", "Web"),
        sources=(f"of {name}",),
        instances=tuple(Instance(f"{name}-{n}", f"{name}\t{n}", ("ja", "")[n % 2 :]) for n in range(40)),
    )


@pytest.fixture
def suite() -> SuiteData:
    tasks = {name: task(name) for name in ("a", "b")}
    request = SuiteRequest("test")
    return build_suite("test", tasks, ["a"], ["b"], request, combos=(), drop_seen_on_source_overlap=True, held_out=5)


def test_an_exported_suite_reads_back_equal(suite: SuiteData, tmp_path: Path) -> None:
    export_suite(suite, tmp_path / "out")
    assert load_tasks(tmp_path / "out") == suite.tasks
    assert (tmp_path / "out/splits/default/train_tasks.txt").read_text() == "a\n"
    assert (tmp_path / "out/splits/default/test_tasks.txt").read_text() == "b\n"


def test_the_official_schema_has_fourteen_keys_of_lists(suite: SuiteData) -> None:
    raw = official_json(suite.tasks["a"], "MIT")
    assert len(raw) == 14
    assert all(isinstance(value, list) for value in raw.values())
    assert raw["Instance License"] == ["MIT"]
    assert not list(errors(json.loads(json.dumps(raw))))


def test_originals_are_copied_as_they_are(suite: SuiteData, write_task: Write, tmp_path: Path) -> None:
    original = write_task("a", Contributors=["Ada"])
    suite = replace(suite, tasks={**suite.tasks, "a": load_task(original)})
    export_suite(suite, tmp_path / "out", originals={"a": original})
    assert (tmp_path / "out/tasks/a.json").read_bytes() == original.read_bytes()


def test_a_folder_that_holds_something_is_left_alone(suite: SuiteData, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(UsageError, match="not empty"):
        export_suite(suite, tmp_path)


@pytest.mark.parametrize("name", ["../a", "a/b", "a\\b", "..", "", "a\nb"])
def test_a_task_name_cannot_lead_out_of_the_folder(suite: SuiteData, tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot be a file's name"):
        export_suite(replace(suite, tasks={name: task("a")}), tmp_path / "out")


def test_an_overview_counts_tasks_labels_and_licences(write_task: Write, write_lists: Write, tmp_path: Path) -> None:
    write_task("a", **{"Instance License": ["MIT", "CC0"]})
    write_task("b", without=["Instance License"], Categories=["Misc."])
    write_lists(["a", "gone"], ["b"])
    overview = describe_folder(tmp_path)
    assert [(row.name, row.side, row.instances, row.labels, row.licence) for row in overview.tasks] == [
        ("a", "train", 120, 2, "MIT; CC0"),
        ("b", "test", 120, 2, "Unknown"),
    ]
    assert [(row.side, row.listed, row.here) for row in overview.splits[:2]] == [("train", 2, 1), ("test", 1, 1)]
    assert overview.categories() == [("Misc.", 1, 120), ("Sentiment Analysis", 1, 120)]


def test_an_overview_of_a_suite_has_its_sides(suite: SuiteData) -> None:
    overview = describe_suite(suite)
    assert [(row.name, row.side, row.licence) for row in overview.tasks] == [
        ("a", "seen", "Unknown"),
        ("b", "unseen", "Unknown"),
    ]
    assert overview.licences() == [("Unknown", 2)]


def test_an_export_that_is_killed_leaves_no_folder_and_the_next_one_is_whole(suite, tmp_path, monkeypatch) -> None:
    written = Path.write_text
    left = [2]

    def stop(self, *arguments, **options):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return written(self, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", stop)
    with pytest.raises(KeyboardInterrupt):
        export_suite(suite, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    export_suite(suite, tmp_path / "out")
    assert load_tasks(tmp_path / "out") == suite.tasks
    assert [path.name for path in tmp_path.iterdir()] == ["out"]

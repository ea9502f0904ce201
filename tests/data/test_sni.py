from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from official import OFFICIAL, needs_official

from snibench.base.errors import DataError, UsageError
from snibench.base.registry import SUITES
from snibench.base.types import SuiteData, SuiteRequest
from snibench.data.leakage import origins, source_keys
from snibench.data.sni import COMBOS, COMMONSENSE_QA, FAMILIES, Sni, suits_combo

WriteTask = Callable[..., Path]


@pytest.fixture
def folder(write_task: WriteTask, write_lists: WriteTask, tmp_path: Path) -> Path:
    """Four train tasks (one of Sentiment Analysis), two test tasks; a train and a test task share a source."""
    for name, category, source in (
        ("train_a", "Question Generation", "squad"),
        ("train_b", "Text to Code", "conala"),
        ("train_c", "Misc.", "ROC-Stories"),
        ("train_d", "Sentiment Analysis", "sst2"),
        ("test_a", "Textual Entailment", "snli"),
        ("test_b", "Title Generation", "rocstories"),
    ):
        instances = [
            {"id": f"{name}-{n}", "input": f"{name} asks {n}", "output": ["no" if n % 2 else "yes"]} for n in range(240)
        ]
        write_task(name, Categories=[category], Source=[source], Instances=instances)
    write_lists(["train_a", "train_b", "", "train_c", "train_d"], ["test_a", "test_b"])
    return tmp_path


def load(folder: Path, **request: object) -> SuiteData:
    return Sni().load(replace(SuiteRequest("sni", data=str(folder)), **request))  # type: ignore[arg-type]  # fields


def test_it_is_registered() -> None:
    assert SUITES.get("sni") is Sni


def test_without_a_folder_it_says_how_to_get_one() -> None:
    with pytest.raises(UsageError, match="snibench data fetch sni, then pass --data"):
        Sni().load(SuiteRequest("sni"))


def test_the_official_split_is_kept_as_published(folder: Path) -> None:
    suite = load(folder)
    assert suite.name == "sni/official"
    assert suite.seen == ("train_a", "train_b", "train_c", "train_d")
    assert suite.unseen == ("test_a", "test_b")
    assert suite.evaluation["test_a"] == suite.tasks["test_a"].instances[:100]
    assert suite.flags == {"test_b": ("source-leak", "alias-leak")}


def test_split_families_trains_on_the_test_tasks_and_leaves_the_families_unseen(folder: Path) -> None:
    suite = load(folder, split="families")
    assert suite.unseen == ("train_d",)
    assert set(suite.seen) == {"train_a", "train_b", "train_c", "test_a", "test_b"}
    assert suite.evaluation["train_d"] != suite.tasks["train_d"].instances[:100]  # train files are not balanced


def test_custom_lists_may_be_a_track_a_folder_or_a_prefix(folder: Path, tmp_path: Path, write_lists: WriteTask) -> None:
    mine = write_lists(["train_a", "train_c"], ["test_a", "test_b"], track="mine")
    for side in ("train", "test"):
        (tmp_path / f"my-{side}_tasks.txt").write_text((mine / f"{side}_tasks.txt").read_text())
    suites = [load(folder, split=split) for split in ("mine", str(mine), str(tmp_path / "my-"))]
    assert len({suite.digest for suite in suites}) == 1
    assert suites[0].seen == ("train_a",)  # train_c shares a source with test_b
    assert suites[0].evaluation["test_a"] == suites[0].tasks["test_a"].instances[:100]


def test_an_unknown_split_gets_a_suggestion(folder: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'families'"):
        load(folder, split="familys")


def test_a_flat_folder_needs_its_own_lists(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no splits/default.*--split drawn, or --split FOLDER"):
        load(folder / "tasks")
    assert load(folder / "tasks", split=str(folder / "splits/default")).seen[:2] == ("train_a", "train_b")


def test_a_split_may_be_drawn_where_there_are_no_lists(folder: Path) -> None:
    suite = load(folder / "tasks", split="drawn", allow_leak=True)
    assert (suite.name, len(suite.seen), len(suite.unseen)) == ("sni/drawn", 3, 3)
    assert load(folder / "tasks", split="drawn", allow_leak=True).unseen == suite.unseen


def test_missing_tasks_are_counted_and_named(folder: Path) -> None:
    (folder / "tasks/train_b.json").unlink()
    with pytest.raises(DataError, match=r"1 of 6 tasks of split 'official' have no file: train_b\..*--partial"):
        load(folder)
    suite = load(folder, partial=True)
    assert "train_b" not in suite.seen
    assert any("train_b" in note for note in suite.notes)


def test_a_task_that_a_list_nearly_names_is_suggested(folder: Path) -> None:
    names = folder / "splits/default/train_tasks.txt"
    names.write_text(names.read_text().replace("train_b", "train_bb"))
    with pytest.raises(DataError, match=r"train_bb \(did you mean 'train_b'\?\)"):
        load(folder)


def test_tasks_in_other_languages_are_left_out(folder: Path, write_task: WriteTask) -> None:
    write_task("train_b", Output_language=["German"])
    suite = load(folder)
    assert "train_b" not in suite.seen
    assert any("not all English" in note for note in suite.notes)


def test_only_the_chosen_files_are_read_whole(folder: Path) -> None:
    chosen = load(folder, tasks=1)
    for name in ("train_a", "train_b", "train_c", "train_d"):
        if name not in chosen.tasks:
            path = folder / "tasks" / f"{name}.json"
            text = path.read_text()
            path.write_text(text[: text.index('"Instances"')] + '"Instances": [broken')
    assert load(folder, tasks=1).digest == chosen.digest


def test_a_malformed_chosen_file_is_named(folder: Path) -> None:
    (folder / "tasks/test_a.json").write_text("{")
    with pytest.raises(DataError, match=r"test_a\.json is not JSON"):
        load(folder)


@pytest.mark.parametrize("line", ["../secret", "a/b"])
def test_a_list_cannot_name_files_elsewhere(folder: Path, line: str) -> None:
    (folder / "splits/default/train_tasks.txt").write_text(f"train_a\n{line}\n")
    with pytest.raises(DataError, match=r"train_tasks\.txt, line 2"):
        load(folder)


def test_a_task_suits_a_combo_if_its_answers_vary_and_are_not_copied(write_task: WriteTask) -> None:
    from snibench.data.natural_instructions import load_task

    def suits(category: str, outputs: list[str], inputs: str = "q") -> bool:
        instances = [{"id": str(n), "input": f"{inputs} {n}", "output": [out]} for n, out in enumerate(outputs)]
        return suits_combo(load_task(write_task("a", Categories=[category], Instances=instances)))

    assert suits("Text Matching", ["yes", "no"] * 50)
    assert not suits("Text Matching", ["yes", "no"] * 49)
    assert not suits("Text Matching", ["yes"] * 90 + ["no"] * 10)
    free = [f"answer {n} here" for n in range(100)]
    assert suits("Question Answering", free)
    assert not suits("Question Answering", ["yes", "no"] * 50)
    assert not suits("Question Answering", [str(n) for n in range(100)])  # every answer stands in its input


def test_sources_are_compared_without_spelling_and_by_descent() -> None:
    assert source_keys(["ROC-Stories; Atomic", "synthetic"]) == {"rocstories", "atomic"}
    assert origins(["tellmewhy"]) == origins(["roc_stories"])
    assert origins(["winogrande"]) != origins(["winograd_wsc"])
    assert origins(["Missing", ""]) == frozenset()


@pytest.mark.slow
@needs_official
def test_the_sample_gives_the_official_evaluation_set() -> None:
    suite = load(OFFICIAL, partial=True)
    assert (len(suite.seen), len(suite.unseen)) == (507, 79)
    assert sum(map(len, (suite.evaluation[name] for name in suite.unseen))) == 7810
    assert {"task219_rocstories_title_answer_generation", "task220_rocstories_title_classification"} <= set(suite.flags)
    assert [combo.name for combo in suite.combos] == list(COMBOS)
    assert any(note.startswith("289 of 875 tasks") for note in suite.notes)


@pytest.mark.slow
@needs_official
def test_families_of_the_sample_share_no_source_and_no_input_with_training() -> None:
    suite = load(OFFICIAL, partial=True, split="families")
    for name in suite.unseen:
        assert suite.tasks[name].card.category in FAMILIES or name in COMMONSENSE_QA
    roots = [
        {root for n in side for root in origins(suite.tasks[n].card.sources)} for side in (suite.seen, suite.unseen)
    ]
    assert not roots[0] & roots[1]
    evaluated = {instance.input for name in suite.unseen for instance in suite.evaluation[name]}
    assert not any(instance.input in evaluated for part in suite.training.values() for instance in part)
    assert suite.flags == {}


@pytest.mark.slow
@needs_official
def test_few_tasks_of_the_sample_still_make_every_combo() -> None:
    for seed in range(3):
        suite = load(OFFICIAL, partial=True, tasks=8, seed=seed)
        assert (len(suite.seen), len(suite.unseen), len(suite.combos)) == (8, 4, 4)

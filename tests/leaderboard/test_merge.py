"""Two laboratories end with one board."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snibench.base.errors import DataError, UsageError
from snibench.leaderboard.export import export
from snibench.leaderboard.merge import merge
from snibench.leaderboard.verify import verify
from snibench.store import StoredRun

Make = Callable[..., StoredRun]


@pytest.fixture(scope="module")
def boards(make: Make, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Both measured untuned and the baseline, the second with other answers of it, and each one method of its own."""
    folder = tmp_path_factory.mktemp("laboratories")
    first = make({"untuned": 0.3, "unified-prompt": 0.5, "ours": 0.8})
    second = make({"untuned": 0.3, "unified-prompt": 0.52, "mtl-lora": 0.6})
    return (
        export(first, folder / "a" / "board.json", ["Lab A"]).path,
        export(second, folder / "b" / "board.json", ["Lab B"]).path,
    )


@pytest.fixture(scope="module")
def merged(boards: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[str, ...]]:
    made = merge(boards, tmp_path_factory.mktemp("merged") / "joint.json")
    return made.path, made.notes


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def test_the_joint_board_holds_everything_once_and_is_verified(merged: tuple[Path, tuple[str, ...]]) -> None:
    path, notes = merged
    labels = [entry["label"] for entry in read(path)["entries"]]
    assert labels == ["untuned", "unified-prompt", "ours", "unified-prompt [Lab B]", "mtl-lora"]
    assert notes == (
        "untuned of board.json is there already, answer for answer.",
        "unified-prompt of board.json is called unified-prompt [Lab B]: it has other answers.",
    )
    assert verify(path).faults == ()


def test_the_same_answers_under_another_release_are_the_same_entry(
    make: Make, boards: tuple[Path, Path], tmp_path: Path
) -> None:
    results = make({"untuned": 0.3, "unified-prompt": 0.5, "prompt-aligned": 0.7})
    specs = tuple(replace(spec, source={**spec.source, "file": "0"}) for spec in results.specs)
    fits = {before.id: after.id for before, after in zip(results.specs, specs, strict=True)}
    assert all(before != after for before, after in fits.items())
    later = replace(
        results,
        specs=specs,
        records=tuple(replace(record, fit=fits[record.fit]) for record in results.records),
        answers=results.answers.assign(fit=results.answers["fit"].map(fits)),
        manifest=replace(results.manifest, fits=tuple(fits.values())),
    )
    other = export(later, tmp_path / "later.json", ["Lab C"]).path
    joint = merge((boards[0], other), tmp_path / "joint.json")
    assert [entry["label"] for entry in read(joint.path)["entries"]] == [
        "untuned", "unified-prompt", "ours", "prompt-aligned",
    ]  # fmt: skip
    assert verify(joint.path).faults == ()


def test_ranks_and_tests_are_those_of_the_joint_pool(
    merged: tuple[Path, tuple[str, ...]], boards: tuple[Path, Path]
) -> None:
    joint = {row["label"]: row for row in read(merged[0])["comparisons"]["unseen"]}
    alone = {row["label"]: row for row in read(boards[0])["comparisons"]["unseen"]}
    assert len(joint) == 5
    assert sum(row["rank"] for row in joint.values()) == pytest.approx(15)
    assert sum(row["rank"] for row in alone.values()) == pytest.approx(6)
    assert joint["ours"]["delta"] == pytest.approx(alone["ours"]["delta"])
    assert joint["ours"]["p_holm"] >= alone["ours"]["p_holm"]  # more comparisons
    assert joint["mtl-lora"]["delta"] is not None  # against the first board's baseline
    assert read(merged[0])["baseline"] == "unified-prompt"


def test_a_board_can_be_merged_into_itself_in_its_place(boards: tuple[Path, Path], tmp_path: Path) -> None:
    import shutil

    shutil.copytree(boards[0].parent, tmp_path / "a")
    place = tmp_path / "a" / "board.json"
    before = read(place)
    assert len(merge([place], place).notes) == 0
    assert read(place) == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda board: board["suite"].update(digest="0" * 64), "the digest of the suite differs"),
        (lambda board: board["model"].update(digest="0" * 64), "the digest of the model differs"),
        (lambda board: board["model"].update(tokenizer_digest="0" * 64), "the tokenizer digest of the model differs"),
        (
            lambda board: board["protocols"]["gap"].update(version=3),
            "the version of protocol gap differs \\(2 and 3\\)",
        ),
        (lambda board: board["protocols"]["gap"]["settings"].update(seed=9), "the settings of protocol gap differ"),
        (lambda board: board.update(limit=None), "the limit of questions differs"),
    ],
)
def test_what_may_not_be_compared_is_refused_with_the_reason(
    boards: tuple[Path, Path], tmp_path: Path, change: Callable[[Any], None], reason: str
) -> None:
    other = copy.deepcopy(read(boards[1]))
    change(other)
    path = boards[1].with_name(f"{tmp_path.name}.json")
    path.write_text(json.dumps(other), encoding="utf-8")
    with pytest.raises(UsageError, match=reason):
        merge([boards[0], path], tmp_path / "joint.json")
    assert list(tmp_path.iterdir()) == []


def test_a_board_with_a_fault_is_refused(boards: tuple[Path, Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match=r"bad\.json: .* lacks the field"):
        merge([boards[0], bad], tmp_path / "joint.json")


def test_an_incomplete_entry_of_another_laboratory_joins_without_a_rank(
    make: Make, boards: tuple[Path, Path], tmp_path: Path
) -> None:
    results = make({"untuned": 0.3, "mtl-lora": 0.6})
    results = replace(results, answers=results.answers[results.answers["protocol"] == "gap"])
    part = export(results, tmp_path / "part.json", ["Lab C"]).path
    made = read(merge([boards[0], part], tmp_path / "joint.json").path)
    compared = {row["label"] for row in made["comparisons"]["unseen"]}
    assert "mtl-lora" in {entry["label"] for entry in made["entries"]}
    assert compared == {"untuned", "unified-prompt", "ours"}
    assert verify(tmp_path / "joint.json").faults == ()

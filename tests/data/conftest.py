import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from snibench.base.types import Example, Instance, Task, TaskCard


@pytest.fixture
def make_task() -> Callable[..., Task]:
    """A closed task: ``n`` instances whose inputs start with ``stem``, labels yes and no in turn."""

    def make(
        name: str,
        *,
        n: int = 40,
        category: str = "Sentiment Analysis",
        source: str = "",
        stem: str | None = None,
        outputs: tuple[str, ...] = ("yes", "no"),
    ) -> Task:
        stem = name if stem is None else stem
        card = TaskCard(
            name=name,
            definition=f"Answer {name}.",
            positive=(Example(f"{name} example", outputs[0], "so it is"),),
            negative=(),
            category=category,
            domains=("News",),
            sources=(source or name,),
            labels=tuple(sorted(set(outputs))),
            metric="exact_match",
        )
        return Task(card, tuple(Instance(f"{name}-{i}", f"{stem} {i}", (outputs[i % len(outputs)],)) for i in range(n)))

    return make


@pytest.fixture
def write_task(tmp_path: Path) -> Callable[..., Path]:
    """Writes ``tasks/<name>.json``: sound, but for the fields given and those in ``without``."""

    def write(name: str, *, without: Sequence[str] = (), folder: Path = tmp_path, **fields: Any) -> Path:
        english = {f"{part}_language": ["English"] for part in ("Input", "Output", "Instruction")}
        raw = {
            "Contributors": [],
            "Source": [name],
            "URL": [],
            "Categories": ["Sentiment Analysis"],
            "Reasoning": [],
            "Definition": ["Say yes or no."],
            **english,
            "Domains": ["News"],
            "Positive Examples": [
                {"input": "good", "output": "yes", "explanation": "because"},
                {"input": "bad", "output": "no", "explanation": "because"},
            ],
            "Negative Examples": [{"input": "odd", "output": "maybe", "explanation": "because"}],
            "Instances": [
                {"id": f"{name}-{n}", "input": f"input {n}", "output": ["no" if n % 2 else "yes"]} for n in range(120)
            ],
            "Instance License": ["MIT"],
        }
        raw = {field: value for field, value in {**raw, **fields}.items() if field not in without}
        (folder / "tasks").mkdir(exist_ok=True, parents=True)
        path = folder / "tasks" / f"{name}.json"
        path.write_text(json.dumps(raw, ensure_ascii=False), "utf-8")
        return path

    return write


@pytest.fixture
def write_lists(tmp_path: Path) -> Callable[..., Path]:
    """Writes ``splits/<track>/{train,test,excluded}_tasks.txt``."""

    def write(
        train: Sequence[str], test: Sequence[str], excluded: Sequence[str] = (), *, track: str = "default"
    ) -> Path:
        folder = tmp_path / "splits" / track
        folder.mkdir(parents=True)
        for side, names in (("train", train), ("test", test), ("excluded", excluded)):
            (folder / f"{side}_tasks.txt").write_text("".join(f"{name}\n" for name in names))
        return folder

    return write

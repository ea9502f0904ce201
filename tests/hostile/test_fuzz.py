"""Every reader, on inputs that nobody meant: success or a sentence, never a traceback, a hang, or a file elsewhere.

Documents that are right are spoiled: a value of the tree by something hostile, the text by a cut, a flipped byte or an
insertion. All of it in this process; together more than 10,000 inputs.
"""

from __future__ import annotations

import copy
import json
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snibench.base.codec import to_json
from snibench.base.errors import SnibenchError, UsageError
from snibench.base.settings import make_settings, parse_assignments
from snibench.base.types import FitRecord, FitSpec, Manifest, Mixture, ModelRef, Recipe, SuiteRef, SuiteRequest
from snibench.cli.run import request_of
from snibench.cli.run import run as command
from snibench.data.checks import check_folder
from snibench.data.fetching import RECEIPT, changed_files
from snibench.data.natural_instructions import load_task, read_head
from snibench.data.own import Own
from snibench.data.own.checks import check_rows
from snibench.data.predictions import match_predictions
from snibench.data.split_lists import read_list
from snibench.leaderboard.validate import faults, read_board
from snibench.models.headers import read_headers
from snibench.plan.names import parse_method
from snibench.store import Store, load_results

# What a reader may refuse an input with: each is one sentence for the user.
SENTENCES = (SnibenchError, click.ClickException)

HOSTILE: Sequence[Any] = (
    *(None, True, False, 0, -1, 3.5, 1e308, float("nan"), float("inf"), 2**31, 2**63, 10**30, -(10**30)),
    *("", " ", "a", "\0", "\n", "\x1b[31m", "\u202e", "\ud800", "\udc00", "\U0001f600", "../../x", "/etc/passwd", "."),
    *("NaN", "1e999", "9" * 5000, "a" * 5000, "=cmd()", "{}", "%s%n", "²", "1,2", "a=b", "(", ")", "+", "a(b=c)+d"),
    *([], {}, [[]], [None], [""], {"": None}, {"a": {"b": []}}, [{}], ["a", "a"], {"path": "../x"}),
)
PIECES = (
    b"",
    b"\xff",
    b"\0",
    b'"',
    b"[" * 3000,
    b"{",
    b"}",
    b",",
    b"\\ud800",
    b"9" * 5000,
    b"\xef\xbb\xbf",
    b"\r\n",
    b"NaN",
)


@contextmanager
def ending() -> Iterator[None]:
    """Inside, what hangs for a minute fails."""

    def hung(*_: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, hung)
    signal.alarm(60)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read_or_refused(read: Callable[[], Any]) -> bool:
    """Whether ``read`` succeeds; anything but success or a sentence fails the test."""
    with ending():
        try:
            read()
        except SENTENCES as error:
            said = error.format_message() if isinstance(error, click.ClickException) else str(error)
            assert said.strip()
            return False
        return True


def places(value: Any) -> list[tuple[Any, ...]]:
    """The path of every value inside ``value``, its own among them."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(), *((key, *rest) for key, item in inside for rest in places(item))]


def spoiled(document: Any, changes: Sequence[tuple[int, int, int]]) -> Any:
    """``document`` with a value replaced, dropped, or put under another key, for each of ``changes``."""
    whole = {"": copy.deepcopy(document)}
    for place, value, way in changes:
        paths = places(whole)[1:]
        path = paths[place % len(paths)]
        owner: Any = whole
        for part in path[:-1]:
            owner = owner[part]
        wanted = copy.deepcopy(HOSTILE[value % len(HOSTILE)])
        if way == 0 and len(path) > 1:
            del owner[path[-1]]
        elif way == 1 and isinstance(owner, dict) and len(path) > 1:
            owner[wanted if isinstance(wanted, str) else "other"] = owner.pop(path[-1])
        else:
            owner[path[-1]] = wanted
    return whole[""]


def many(examples: int) -> Any:
    """So many inputs; a folder may be shared by them, as each writes the files that it reads."""
    return settings(max_examples=examples, database=None, suppress_health_check=[*HealthCheck])


NUMBER = st.integers(0, 10_000)
CHANGES = st.lists(st.tuples(NUMBER, NUMBER, st.integers(0, 5)), min_size=1, max_size=3)
CUTS = st.lists(st.tuples(NUMBER, st.integers(0, len(PIECES) - 1), st.integers(0, 40)), min_size=1, max_size=2)


def cut(text: bytes, changes: Sequence[tuple[int, int, int]]) -> bytes:
    """``text`` with pieces in place of some of its bytes."""
    for place, piece, length in changes:
        start = place % (len(text) + 1)
        text = text[:start] + PIECES[piece] + text[start + length :]
    return text


def texts(document: Any) -> st.SearchStrategy[bytes]:
    """JSON texts of spoiled documents, and spoiled texts of the document."""

    def dumped(value: Any) -> bytes:
        return json.dumps(value).encode()

    return CHANGES.map(lambda some: dumped(spoiled(document, some))) | CUTS.map(
        lambda some: cut(dumped(document), some)
    )


@pytest.fixture
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that all inputs of one test share; the test fails if anything is written beside it."""
    root = tmp_path_factory.mktemp("fuzz")
    inside = root / "inside"
    inside.mkdir()
    yield inside
    assert [path.name for path in root.iterdir()] == ["inside"]


# ------------------------------------------------------------------------------------ tasks

EXAMPLE = {"input": "a b", "output": "a", "explanation": "The first."}
TASK = {
    "Contributors": ["x"], "Source": ["made"], "URL": [""], "Categories": ["Text Completion"], "Reasoning": [""],
    "Definition": ["Say the first word."], "Input_language": ["English"], "Output_language": ["English"],
    "Instruction_language": ["English"], "Domains": ["Words"], "Positive Examples": [EXAMPLE, EXAMPLE],
    "Negative Examples": [EXAMPLE], "Instance License": ["none"],
    "Instances": [{"id": f"t-{n}", "input": f"word{n} b", "output": [f"word{n}"]} for n in range(3)],
}  # fmt: skip


@many(1500)
@given(texts(TASK))
def test_a_task_file_loads_or_is_refused_and_data_check_agrees(shared: Path, content: bytes) -> None:
    path = shared / "t.json"
    path.write_bytes(content)
    loads = read_or_refused(lambda: load_task(path))
    with ending():
        errors = [finding for finding in check_folder(shared) if finding.severity == "error"]
    repeated = any("twice in one object" in finding.message for finding in errors)
    assert loads == (not errors) or repeated  # JSON would load, and drop one of two equal keys
    if loads:
        read_head(path)
        json.dumps(to_json(load_task(path).card), ensure_ascii=False).encode()  # what digests and rows are made of


@many(400)
@given(st.binary(max_size=60) | CUTS.map(lambda some: cut(b"task001_a\ntask002_b\n\ntask003_c\n", some)))
def test_a_split_list_is_read_or_refused(shared: Path, content: bytes) -> None:
    (shared / "train_tasks.txt").write_bytes(content)
    read_or_refused(lambda: read_list(shared / "train_tasks.txt"))


OWN = [
    {"input": f"{task} {n}", "output": ["yes", "no"][n % 2], "task": task, "category": task, "definition": "Say."}
    for task in ("a", "b")
    for n in range(12)
]
TABLE = "".join(f'{task} {n},"no, yes",{task}\n' for task in ("a", "b") for n in range(12)).encode()


@many(300)
@given(texts(OWN).map(lambda content: ("own.jsonl", _as_lines(content)))
       | CUTS.map(lambda some: ("own.csv", cut(b"input,output,task\n" + TABLE, some))))  # fmt: skip
def test_rows_of_ones_own_load_or_are_refused_and_data_check_agrees(shared: Path, file: tuple[str, bytes]) -> None:
    path = shared / file[0]
    path.write_bytes(file[1])
    loads = read_or_refused(lambda: Own().load(SuiteRequest("own", data=str(path))))
    with ending():
        findings, _ = check_rows(path)
    assert loads == (not [finding for finding in findings if finding.severity == "error"])


LINES = [{"id": "1", "prediction": "a"}, {"Task": "t", "Instance": {"id": "2", "output": ["b"]}, "Prediction": "b"}]
REFERENCES = [
    {"id": n, "references": ["a"], "task_id": "t", "task_category": "c", "track": "default"} for n in ("1", "2")
]


def _as_lines(content: bytes) -> bytes:
    """A JSON list of objects as one object a line, where it still is one."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return content
    rows = value if isinstance(value, list) else [value]
    return "\n".join(json.dumps(row) for row in rows).encode()


@many(700)
@given(texts(LINES).map(_as_lines), texts(REFERENCES).map(_as_lines), st.integers(0, 3))
def test_predictions_and_references_are_matched_or_refused(shared: Path, said: bytes, known: bytes, way: int) -> None:
    (shared / "p.jsonl").write_bytes(said if way != 1 else _as_lines(json.dumps(LINES).encode()))
    (shared / "r.jsonl").write_bytes(known if way != 2 else _as_lines(json.dumps(REFERENCES).encode()))
    references = None if way == 3 else shared / "r.jsonl"
    read_or_refused(lambda: match_predictions(shared / "p.jsonl", references))


@many(400)
@given(texts({"source": "x", "revision": "", "track": "default", "files": {"a.json": "0" * 64}, "notes": []}))
def test_a_receipt_is_compared_or_refused(shared: Path, content: bytes) -> None:
    (shared / RECEIPT).write_bytes(content)
    with ending():
        found = changed_files(shared)
    (shared / RECEIPT).unlink()
    assert all(isinstance(name, str) and said for name, said in found)


# ------------------------------------------------------------------------------------ boards

MEASURE = {"mean": 0.5, "ci_low": 0.4, "ci_high": 0.6, "n": 10}
ENTRY = {
    "label": "ours", "status": "measured", "distribution": "snibench", "version": "1", "code_digest": "a" * 64,
    "seeds": [0, 1], "metrics": {"gap": {"overall": {"unseen": MEASURE}, "by": {"category": {"c": {"u": MEASURE}}}}},
    "rows": {"path": "rows/a.parquet", "digest": "b" * 64, "count": 1, "questions": "c" * 64},
    "authors": ["A"], "budget": {}, "config": {}, "conflict": {}, "cost": None, "date": "2026-01-01", "source": None,
}  # fmt: skip
BOARD = {
    "schema_version": 1, "suite": {"name": "mini", "digest": "d" * 64}, "protocols": {"gap": 2},
    "model": {"name": "tiny", "digest": "e" * 64, "tokenizer_digest": "f" * 64}, "entries": [ENTRY],
}  # fmt: skip


@many(700)
@given(texts(BOARD))
def test_a_board_is_valid_or_its_faults_are_sentences(shared: Path, content: bytes) -> None:
    path = shared / "board.json"
    path.write_bytes(content)
    with ending():
        found = faults(path)
    assert all(fault.reason.strip() for fault in found)
    assert read_or_refused(lambda: read_board(path)) or found


# ------------------------------------------------------------------------------------- store

SPEC = FitSpec(
    method="ours", rule="", settings={"r": 8}, source={"object": "a:B"}, model=ModelRef("tiny", "b", "c"),
    suite=SuiteRequest("mini"), suite_digest="d", mixture=Mixture(("t",)), train_format="definition",
    recipe=Recipe(steps=3), seed=0, precision="float32", label="ours",
)  # fmt: skip
RECORD = FitRecord("f", "ours", "ours", "", 0, "done", conflict={"1.0": {"score": 0.1}}, versions={"python": "3"})
MANIFEST = Manifest(
    fits=("f",), labels={"f": "ours"}, question_sets={"f": {"gap": "0"}}, protocol_versions={"gap": 2},
    suite=SuiteRef("mini", "d"), baseline="ours",
)  # fmt: skip


@many(700)
@given(texts(to_json(SPEC)), texts(to_json(RECORD)), texts(to_json(MANIFEST)), st.integers(0, 2))
def test_a_stored_run_is_read_or_refused(shared: Path, spec: bytes, record: bytes, manifest: bytes, which: int) -> None:
    fit = shared / "f"
    fit.mkdir(exist_ok=True)
    right = (to_json(SPEC), to_json(RECORD), to_json(MANIFEST))
    contents = [json.dumps(value).encode() for value in right]
    contents[which] = (spec, record, manifest)[which]
    for path, content in zip((fit / "spec.json", fit / "record.json", shared / "manifest.json"), contents, strict=True):
        path.write_bytes(content)
    store = Store(shared)
    for read in (store.manifest, lambda: store.record("f"), lambda: store.spec("f")):
        read_or_refused(read)
    for earlier in (False, True):
        assert not read_or_refused(
            lambda earlier=earlier: load_results(shared, earlier=earlier)
        )  # there are no answers


@many(400)
@given(texts({"model_type": "llama", "hidden_size": 8, "num_hidden_layers": 2, "text_config": {"vocab_size": 3}}))
def test_the_config_of_a_model_is_read_or_refused(shared: Path, content: bytes) -> None:
    (shared / "config.json").write_bytes(content)
    read_or_refused(lambda: read_headers(shared))
    (shared / "config.json").unlink()


# ------------------------------------------------------------------------------------ options

OPTIONS = {
    name.removeprefix("--"): option for option in command.params for name in option.opts if name.startswith("--")
}
TAKING_FILES = {"config", "save-config", "json", "help"}
VALUES = st.sampled_from([value for value in HOSTILE if isinstance(value, str)]) | st.text(max_size=12)


def asked(*arguments: str) -> None:
    with command.make_context("run", list(arguments)) as ctx:
        request_of(ctx.params)


@many(1500)
@given(st.sampled_from(sorted(set(OPTIONS) - TAKING_FILES)), VALUES)
def test_an_option_takes_a_value_or_refuses_it(name: str, value: str) -> None:
    given = [f"--{name}"] if getattr(OPTIONS[name], "is_flag", False) else [f"--{name}", value]
    read_or_refused(lambda: asked("-m", "ours", *given))


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{json.dumps(key)} = {_toml(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float):
        return str(value)
    return "1979-05-27" if value is None else json.dumps(value)


CONFIG = {
    "method": ["ours"],
    "seeds": [0, 1],
    "per-step": [8, 4],
    "learning-rate": 0.1,
    "set": {"r": 4, "gap": {"a": 1}},
}


@many(700)
@given(
    CHANGES.map(lambda some: spoiled(CONFIG, some))
    | st.dictionaries(st.sampled_from(sorted(OPTIONS)), st.sampled_from(HOSTILE), max_size=3),
    st.none() | CUTS,
)
def test_a_config_file_is_read_or_refused(shared: Path, values: Any, cuts: Any) -> None:
    rows = values.items() if isinstance(values, dict) else ()
    text = "\n".join(f"{json.dumps(key)} = {_toml(value)}" for key, value in rows).encode("utf-8", "replace")
    (shared / "run.toml").write_bytes(cut(text, cuts) if cuts else text)
    read_or_refused(lambda: asked("-m", "ours", "--config", str(shared / "run.toml")))


@many(2200)
@given(st.text(alphabet="ours(=,)+. r4\0\n-:/'é", max_size=24) | VALUES)
def test_a_method_is_named_or_refused(text: str) -> None:
    read_or_refused(lambda: parse_method(text))


@dataclass(frozen=True)
class Every:
    """One setting of each type."""

    rank: int = 8
    ratio: float = 0.1
    on: bool = True
    way: Literal["a", "b"] = "a"
    sizes: tuple[int, ...] = ()
    name: str = ""
    maybe: float | None = None


@many(1600)
@given(st.sampled_from([*Every.__dataclass_fields__, "other", ""]), VALUES, st.sampled_from(HOSTILE))
def test_a_setting_is_read_or_refused(key: str, text: str, value: Any) -> None:
    if read_or_refused(lambda: make_settings(Every, "every", parse_assignments([f"{key}={text}"]))):
        made = make_settings(Every, "every", parse_assignments([f"{key}={text}"]))
        assert abs(made.ratio) < float("inf")
        assert made.maybe is None or abs(made.maybe) < float("inf")
    read_or_refused(lambda: make_settings(Every, "every", {key: value}))


def test_all_inputs_are_at_least_ten_thousand() -> None:
    tests = [value for name, value in globals().items() if name.startswith("test_") and hasattr(value, "hypothesis")]
    assert sum(test._hypothesis_internal_use_settings.max_examples for test in tests) >= 10_000


def test_an_unknown_sentence_is_no_success() -> None:
    def refuse() -> None:
        raise UsageError("No.")

    assert not read_or_refused(refuse)
    with pytest.raises(ValueError, match="a traceback"):
        read_or_refused(lambda: (_ for _ in ()).throw(ValueError("a traceback")))

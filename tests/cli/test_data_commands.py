import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from official import OFFICIAL, load_tasks, needs_official

from snibench.base.errors import DataError
from snibench.cli import cli, main


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def raw_task(name: str, **fields: Any) -> dict[str, Any]:
    examples = [{"input": f"example {n}", "output": "yes", "explanation": ""} for n in range(2)]
    return {
        "Contributors": [],
        "Source": [name],
        "URL": [],
        "Categories": ["Textual Entailment"],
        "Reasoning": [],
        "Definition": ["Say yes or no."],
        **{f"{part}_language": ["English"] for part in ("Input", "Output", "Instruction")},
        "Domains": ["News"],
        "Positive Examples": examples,
        "Negative Examples": examples[:1],
        "Instances": [
            {"id": f"{name}-{n}", "input": f"{name} {n}", "output": ["yes" if n % 2 else "no"]} for n in range(40)
        ],
        "Instance License": ["MIT"],
        **fields,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The official layout with train task a and test task b."""
    home = tmp_path / "data"
    (home / "tasks").mkdir(parents=True)
    (home / "splits/default").mkdir(parents=True)
    for name, side in (("a", "train"), ("b", "test")):
        (home / "tasks" / f"{name}.json").write_text(json.dumps(raw_task(name)))
        (home / "splits/default" / f"{side}_tasks.txt").write_text(f"{name}\n")
    return home


def test_check_passes_a_sound_folder(folder: Path) -> None:
    result = invoke("data", "check", folder)
    assert result.exit_code == 0
    assert result.stdout == "2 task files: 0 errors, 0 warnings.\n"


def test_check_lists_every_problem_and_exits_1(folder: Path) -> None:
    (folder / "tasks/a.json").write_text("{")
    (folder / "tasks/b.json").write_text(json.dumps(raw_task("b", Definition="old", Instances=[])))
    result = invoke("data", "check", folder)
    assert result.exit_code == 1
    assert "error: tasks/a.json: is not JSON: line 1" in result.stdout
    assert "error: tasks/b.json: field 'Instances' is empty" in result.stdout
    assert "2 task files: 2 errors, 0 warnings." in result.stdout
    found = json.loads(invoke("data", "check", folder, "--json").stdout)
    assert [finding["file"] for finding in found] == ["tasks/a.json", "tasks/b.json"]


def test_warnings_alone_exit_0(folder: Path) -> None:
    (folder / "tasks/a.json").write_text(json.dumps(raw_task("a", Definition="old")))
    result = invoke("data", "check", folder)
    assert result.exit_code == 0
    assert "warning: tasks/a.json: field 'Definition'" in result.stdout


def test_text_of_a_file_cannot_steer_the_terminal_or_the_markup(folder: Path) -> None:
    evil = "\x1b[2J[bold]x[/nope]"
    (folder / "tasks/a.json").write_text(json.dumps(raw_task("a", Categories=[evil], Input_language=[evil])))
    for result in (invoke("data", "check", folder), invoke("data", "info", folder)):
        assert result.exit_code == 0
        assert "\x1b" not in result.stdout
    assert "[bold]x" in invoke("data", "info", folder).stdout


def test_info_shows_tasks_categories_licences_and_splits(folder: Path) -> None:
    result = invoke("data", "info", folder)
    for expected in ("Textual Entailment", "MIT", "train", "exact_match", "2 tasks, 80 instances."):
        assert expected in result.stdout
    overview = json.loads(invoke("data", "info", folder, "--json").stdout)
    assert [row["name"] for row in overview["tasks"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["data", "info", "mimi"], "Unknown suite 'mimi'. Did you mean 'mini'?"),
        (["data", "info", "sni"], "snibench data fetch sni"),
        (["data", "check", "no/where"], "There is no folder 'no/where'"),
        (["score", "no/where"], "no/where cannot be read"),
    ],
)
def test_what_a_user_can_cause_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_export_writes_what_check_accepts_and_sni_loads(folder: Path, tmp_path: Path) -> None:
    result = invoke("data", "export", "sni", tmp_path / "out", "--data", folder)
    assert result.exit_code == 0, result.output
    assert "2 tasks written" in result.stdout
    assert invoke("data", "check", tmp_path / "out").exit_code == 0
    assert (tmp_path / "out/tasks/a.json").read_bytes() == (folder / "tasks/a.json").read_bytes()


def test_score_prints_official_and_macro_means(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    lines = [{"id": f"b-{n}", "prediction": "Yes."} for n in range(40)]
    path.write_text("\n".join(map(json.dumps, lines)))
    shown = invoke("score", path, "--data", folder, "--per-task")
    assert shown.exit_code == 0, shown.output
    assert "50.0000" in shown.stdout
    assert "instances (official)" in shown.stdout
    scores = json.loads(invoke("score", path, "--data", folder, "--json").stdout)
    assert scores["n_instances"] == 40
    assert scores["scores"]["exact_match_for_textual_entailment"] == scores["scores"]["macro_exact_match"] == 50.0


def test_score_without_categories_still_has_the_overall_means(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text(json.dumps({"Task": "t", "Instance": {"output": ["a"]}, "Prediction": "a"}))
    result = invoke("score", path)
    assert result.exit_code == 0, result.output
    assert "100.0000" in result.stdout
    assert "no category" in result.stdout


@pytest.mark.slow
@needs_official
def test_score_reproduces_the_official_numbers_of_copy_demo(tmp_path: Path) -> None:
    expected = json.loads((OFFICIAL / "reference_scores.json").read_text())["copy_demo"]
    tasks = load_tasks(OFFICIAL, (OFFICIAL / "splits/available/test_tasks.txt").read_text().split())
    path = tmp_path / "predictions.jsonl"
    path.write_text(
        "\n".join(
            json.dumps({"id": instance.id, "prediction": task.card.positive[0].output})
            for task in tasks.values()
            for instance in task.instances[:100]
        )
    )
    result = json.loads(invoke("score", path, "--data", OFFICIAL, "--json").stdout)
    assert result["n_instances"] == expected.pop("n_instances")
    expected.pop("n_tasks")
    assert {key: result["scores"][key] for key in expected} == expected


def test_the_commands_import_neither_torch_nor_pandas_to_start() -> None:
    code = "import sys, snibench.cli.data, snibench.data.sni, snibench.metrics; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert not {"torch", "pandas", "transformers", "nltk", "rich", "numpy"} & set(run.stdout.split())


def test_fetch_ends_with_the_next_command_and_a_bad_source_with_one_sentence(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for part in ("tasks", "splits"):
            archive.add(folder / part, f"root/{part}")
    (tmp_path / "served").mkdir()
    (tmp_path / "served/sni.tar.gz").write_bytes(packed.getvalue())
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{web.server_port}"
        done = invoke("data", "fetch", "sni", tmp_path / "new", "--from", f"{address}/sni.tar.gz")
        missing = invoke("data", "fetch", "sni", tmp_path / "other", "--from", f"{address}/none.tar.gz")
        web.shutdown()
    assert done.exit_code == 0, done.output
    assert "2 tasks in" in done.stdout
    assert f"Next: snibench data check {tmp_path / 'new'}" in done.stdout
    assert invoke("data", "check", tmp_path / "new").exit_code == 0
    assert isinstance(missing.exception, DataError)
    assert "answers 404" in str(missing.exception)
    assert not (tmp_path / "other").exists()


def test_the_xlingual_track_is_scored_with_a_byte_level_tokenizer_over_its_own_references(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.ByteLevelBPETokenizer()
    made.train_from_iterator(["да нет yes no"], vocab_size=300)
    transformers.PreTrainedTokenizerFast(tokenizer_object=made._tokenizer).save_pretrained(tmp_path / "tokenizer")
    references, predictions = tmp_path / "references.jsonl", tmp_path / "predictions.jsonl"
    facts = {"task_id": "t", "task_category": "Textual Entailment"}
    lines = [
        {"id": "1", "references": ["да"], "track": "xlingual", **facts},
        {"id": "2", "references": ["yes"], "track": "default", **facts},
    ]
    references.write_text("".join(json.dumps(line) + "\n" for line in lines))
    predictions.write_text("".join(json.dumps({"id": one, "prediction": "да"}) + "\n" for one in "12"))
    flags = ("score", predictions, "--references", references, "--json")
    xlingual = json.loads(invoke(*flags, "--track", "xlingual", "--tokenizer", tmp_path / "tokenizer").stdout)
    assert (xlingual["track"], xlingual["n_instances"]) == ("xlingual", 1)
    assert (xlingual["scores"]["exact_match"], xlingual["scores"]["rougeL"]) == (100.0, 100.0)
    english = json.loads(invoke(*flags).stdout)
    assert (english["track"], english["scores"]["rougeL"]) == ("default", 0.0)
    assert "--tokenizer" in str(invoke(*flags, "--track", "xlingual", "--tokenizer", "no/where").exception)

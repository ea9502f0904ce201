from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from snibench.base.types import Answer, FitRecord, FitSpec, Manifest, Mixture, ModelRef, Recipe, SuiteRequest
from snibench.cli import main
from snibench.store import Store, write_frame

LEVELS = {"untuned": 0.2, "unified-prompt": 0.5, "ours": 0.8}


def answer(fit: str, task: int, instance: int, right: bool) -> Answer:
    return Answer(
        fit=fit,
        protocol="gap",
        variant="{}",
        format="definition",
        task=f"task{task}",
        split="held_out" if task < 6 else "unseen",
        seen=task < 6,
        instance=f"i{instance}",
        stream=0,
        position=0,
        side="",
        prompt_sha="e" * 64,
        prediction="yes" if right else "no",
        targets=("yes",),
        exact_match=float(right),
        rouge_l=float(right),
        score=float(right),
        prompt_tokens=20,
        truncated=False,
    )


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `snibench run` leaves, with one fit that diverged."""
    store = Store(tmp_path_factory.mktemp("stored") / "runs")
    tasks = pd.DataFrame(
        {"task": f"task{i}", "category": "Sentiment Analysis", "domains": [], "sources": [f"s{i}"], "labels": None}
        | {"definition": f"Say whether text {i} is about {'films' if i % 2 else 'food'}."}
        | {"metric": "exact_match", "chance": 0.0, "majority": 0.5, "seen": i < 6, "flags": []}
        for i in range(12)
    )
    fits = {}
    for method, level in LEVELS.items():
        for seed in (0, 1) if method != "untuned" else (0,):
            spec = FitSpec(
                method=method,
                rule="",
                settings={},
                source={"distribution": "snibench", "version": "0.1.0"},
                model=ModelRef("tiny", "b" * 64, "c" * 64),
                suite=SuiteRequest("mini"),
                suite_digest="a" * 64,
                mixture=Mixture(("task0",)),
                train_format="definition",
                recipe=Recipe(steps=0 if method == "untuned" else 10),
                seed=seed,
                precision="float32",
                label=method,
            )
            folder = store.begin(spec)
            lost = method == "ours" and seed == 1
            status, cause = ("diverged", "the loss is NaN in step 3") if lost else ("done", "")
            fits[spec.id] = {"gap": "q1"}
            if not lost:
                rng = np.random.default_rng([seed, len(method)])
                asked = [(task, instance) for task in range(12) for instance in range(8)]
                store.write_answers(spec.id, "gap", "q1", [answer(spec.id, *q, rng.random() < level) for q in asked])
                write_frame(folder / "tasks.parquet", tasks)
            store.seal(FitRecord.of(spec, status, cause))  # type: ignore[arg-type]
    store.write_manifest(
        Manifest(tuple(fits), question_sets=fits, protocol_versions={"gap": 2}, baseline="unified-prompt")
    )
    return store.root


def snibench(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


def test_report_prints_the_tables_of_a_stored_run(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert snibench("report", run_folder, "--all") == 0
    out = capsys.readouterr().out
    tables = ("Summary", "Fits that are not done", "Compared with unified-prompt", "Generalization gap")
    assert all(title in out for title in tables)
    assert "the loss is NaN in step 3" in out
    assert "\x1b" not in out


@pytest.fixture
def interrupted(run_folder: Path, tmp_path: Path) -> Path:
    """The same run, stopped before the baseline's second seed was finished and before `untuned` was begun."""
    folder = Path(shutil.copytree(run_folder, tmp_path / "runs"))
    store = Store(folder)
    for fit in store.manifest().fits:
        spec = store.spec(fit)
        if spec.label == "untuned":
            shutil.rmtree(store.folder(fit))
        elif (spec.label, spec.seed) == ("unified-prompt", 1):
            (store.folder(fit) / "record.json").unlink()
    return folder


@pytest.mark.parametrize("command", [["report"], ["report", "--all"], ["compare", "ours", "unified-prompt"]])
def test_of_an_interrupted_run_the_finished_fits_are_shown_and_the_others_named(
    interrupted: Path, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert snibench(*command, interrupted) == 0
    assert snibench(*command, interrupted, "--as", "html", "-o", tmp_path / "page.html") == 0
    shown = " ".join(capsys.readouterr().out.split())
    page = " ".join((tmp_path / "page.html").read_text("utf-8").split())
    for text in (shown, page):
        assert "ours" in text
        assert "unified-prompt" in text
        assert "not finished: repeat the run to go on" in text
    assert "is listed, but nothing of fit" in page


def test_report_shows_one_screen_unless_everything_is_asked_for(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert snibench("report", run_folder) == 0
    short = capsys.readouterr().out
    assert "ours against unified-prompt, unseen tasks: " in short.splitlines()[1]
    assert "Generalization gap" not in short
    assert "--all" in short
    assert len(short.splitlines()) < 60


def test_report_explains_its_words_without_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert snibench("report", "nowhere", "--explain") == 0
    assert "undecided\n    " in capsys.readouterr().out


def test_report_looks_in_runs_if_no_folder_is_named(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run_folder.parent)
    assert snibench("report") == 0
    assert "Summary" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["md", "latex", "csv", "json"])
def test_report_exports_to_the_terminal_and_to_a_file_alike(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    assert snibench("report", run_folder, "--as", kind) == 0
    printed = capsys.readouterr().out
    assert snibench("report", run_folder, "--as", kind, "-o", tmp_path / "deep" / "out") == 0
    assert (tmp_path / "deep" / "out").read_text("utf-8") == printed


def test_report_writes_json_beside_the_tables(run_folder: Path, tmp_path: Path) -> None:
    assert snibench("report", run_folder, "--json", tmp_path / "r.json") == 0
    loaded = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert loaded["baseline"] == "unified-prompt"


def test_answers_are_a_table_unless_asked_otherwise(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert snibench("answers", "-o", run_folder, "-m", "ours", "--wrong", "--limit", "3") == 0
    out = capsys.readouterr().out
    assert out.count("ours") == 3
    assert out.count("0.00") == 3
    heading = next(line for line in out.splitlines() if "seed" in line)
    assert all(name in heading for name in ("method", "task", "instance", "score"))


def test_report_takes_another_baseline(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert snibench("report", run_folder, "--baseline", "untuned") == 0
    assert "Compared with untuned" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("report", "nowhere"), "There is no run in 'nowhere'"),
        (("report", "{run}", "--baseline", "unified-promt"), "Did you mean 'unified-prompt'"),
        (("compare", "ours", "our", "{run}"), "Did you mean 'ours'"),
        (("compare", "ours", "ours", "{run}"), "with itself"),
        (("report", "{run}", "-o", "{run}/manifest.json/x"), "cannot be written"),
        (("report", "{run}", "-o", "{run}"), "is a folder"),
        (("leaderboard", "show", "nowhere.json"), "cannot be read"),
        (("leaderboard", "export", "{run}", "-o", "{run}/manifest.json/x"), "cannot be written"),
    ],
)
def test_what_a_user_can_cause_is_one_line_and_exit_code_2(
    run_folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert snibench(*(argument.replace("{run}", str(run_folder)) for argument in arguments)) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.startswith("Error: ")
    assert err.count("\n") == 1


WRITING = [
    (("report", "{run}", "--as", "csv", "-o", "{place}"), "table,"),
    (("report", "{run}", "--json", "{place}"), "{"),
    (("compare", "ours", "unified-prompt", "{run}", "--as", "md", "-o", "{place}"), "# "),
    (("similarity", "{run}", "--json", "{place}"), "{"),
]


@pytest.mark.parametrize(("arguments", "start"), WRITING)
def test_a_pipe_is_written_to_and_stays_a_pipe(
    run_folder: Path, tmp_path: Path, arguments: tuple[str, ...], start: str
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text("utf-8")), daemon=True)
    reader.start()
    assert snibench(*_filled(arguments, run_folder, pipe)) == 0
    reader.join(timeout=30)
    assert received[0].startswith(start)
    assert pipe.is_fifo()


@pytest.mark.parametrize(("arguments", "start"), WRITING)
def test_a_link_is_followed_and_stays_a_link(
    run_folder: Path, tmp_path: Path, arguments: tuple[str, ...], start: str
) -> None:
    (tmp_path / "there").mkdir()
    link, target = tmp_path / "link", tmp_path / "there" / "file"
    link.symlink_to(target)
    for _ in ("it leads nowhere yet", "it leads to a file"):
        assert snibench(*_filled(arguments, run_folder, link)) == 0
        assert link.is_symlink()
        assert target.read_text("utf-8").startswith(start)
        target.write_text("old", "utf-8")


def test_a_device_is_left_alone(run_folder: Path) -> None:
    assert snibench("report", run_folder, "--json", os.devnull) == 0
    assert Path(os.devnull).is_char_device()


def test_standard_output_by_its_name_gets_the_export_alone(run_folder: Path) -> None:
    command = [sys.executable, "-m", "snibench", "report", str(run_folder), "--as", "json", "-o", "/dev/stdout"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["baseline"] == "unified-prompt"


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "{run}", "-o", "{place}"),
        ("report", "{run}", "--json", "{place}"),
        ("report", "{run}", "--figures", "{place}"),
        ("compare", "ours", "untuned", "{run}", "-o", "{place}"),
        ("similarity", "{run}", "--json", "{place}"),
        ("conflicts", "-o", "{run}", "--figure", "{place}.svg"),
        ("leaderboard", "export", "{run}", "-o", "{place}"),
        ("leaderboard", "export", "{run}", "-o", "{place}.json"),
        ("leaderboard", "show", "board.json", "-o", "{place}"),
        ("data", "export", "mini", "{place}"),
        ("data", "fetch", "sni", "{place}", "--from", "nowhere.tar.gz"),
        ("run", "-m", "ours", "--json", "{place}"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    (tmp_path / "file").touch()
    # There is no run to read: were the place looked at afterwards, that would be the error.
    assert snibench(*_filled(arguments, tmp_path / "none", tmp_path / "file" / "below")) == 2
    err = capsys.readouterr().err
    assert "cannot be written (Not a directory)" in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def _filled(arguments: tuple[str, ...], run: Path, place: Path) -> list[str]:
    return [argument.replace("{run}", str(run)).replace("{place}", str(place)) for argument in arguments]


def test_compare_shows_the_difference_and_every_task(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert snibench("compare", "ours", "unified-prompt", run_folder, "--all") == 0
    out = capsys.readouterr().out
    assert "Δ = ours - unified-prompt" in out
    assert all(f"task{i} " in out for i in range(12))


def test_a_terminal_without_arrows_gets_question_marks_and_no_crash(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert snibench("report", run_folder) == 0
    assert b"Seen ?" in raw.getvalue()


def test_a_board_goes_from_export_to_verified_and_is_shown(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert snibench("leaderboard", "export", run_folder, "-o", tmp_path / "board.json", "--author", "A. Author") == 0
    assert snibench("leaderboard", "validate", tmp_path / "board.json") == 0
    assert snibench("leaderboard", "verify", tmp_path / "board.json") == 1  # mini has other tasks
    assert "/suite/digest: is aaaaaaaaaaaa…, but mini under /suite/request has" in capsys.readouterr().err
    board = json.loads((tmp_path / "board.json").read_text("utf-8"))
    board["suite"]["request"]["name"] = "elsewhere"
    (tmp_path / "board.json").write_text(json.dumps(board), encoding="utf-8")
    assert snibench("leaderboard", "verify", tmp_path / "board.json") == 0
    assert snibench("leaderboard", "show", tmp_path / "board.json") == 0
    out = capsys.readouterr().out
    assert "verified: its rows give its numbers\n" in out
    assert "  not checked against the suite (the suite 'elsewhere' is not installed)\n" in out
    assert "  not checked: cost, conflict" in out
    # By the mean on unseen tasks; one fit of ours diverged.
    assert out.index("unified-prompt ") < out.index("untuned ") < out.index("Incomplete") < out.index("ours ")


def test_a_board_with_a_fault_is_named_and_the_exit_code_is_1(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    snibench("leaderboard", "export", run_folder, "-o", good)
    board = json.loads(good.read_text("utf-8"))
    board["entries"][0]["metrics"]["gap"]["overall"]["unseen"]["mean"] = 76.3
    bad.write_text(json.dumps(board), encoding="utf-8")
    capsys.readouterr()
    assert snibench("leaderboard", "validate", good, bad) == 1
    captured = capsys.readouterr()
    assert "good.json: valid" in captured.out
    assert "bad.json: /entries/0/metrics/gap/overall/unseen/mean: must be at most 1" in captured.err


# ------------------------------------------------------------------------------ figures and pages


def test_report_writes_figures_in_threes(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert snibench("report", run_folder, "--figures", tmp_path / "figures") == 0
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"gap.svg", "gap.png", "gap.csv", "forest.svg"} <= names
    assert "Summary" in capsys.readouterr().out


def test_report_as_html_lies_in_the_folder_of_the_run(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert snibench("report", run_folder, "--as", "html") == 0
    page = (run_folder / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "the loss is NaN in step 3" in page
    assert capsys.readouterr().out == f"Wrote {run_folder / 'report.html'}\n"


def test_a_comparison_has_a_page_too(run_folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "pair.html"
    assert snibench("compare", "ours", "unified-prompt", run_folder, "--as", "html", "-o", page) == 0
    assert "ours against unified-prompt" in page.read_text(encoding="utf-8")


def test_a_page_without_matplotlib_has_its_tables_and_says_how_to_get_figures(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert snibench("report", run_folder, "--as", "html") == 0
    page = (run_folder / "report.html").read_text(encoding="utf-8")
    assert "pip install &#x27;snibench[plots]&#x27;" in page
    assert "Generalization gap" in page


def test_figures_without_matplotlib_are_one_clear_line(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert snibench("report", run_folder, "--figures", tmp_path / "figures") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "snibench[plots]" in error


def test_similarity_says_how_far_it_explains_the_results(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert snibench("similarity", run_folder) == 0
    out = capsys.readouterr().out
    assert "Does similarity explain the results?" in out
    assert "Nearest seen task" in out


def test_similarity_writes_its_numbers_and_its_page(run_folder: Path, tmp_path: Path) -> None:
    assert snibench("similarity", run_folder, "--as", "html", "--json", tmp_path / "numbers.json") == 0
    assert "TF-IDF" in (run_folder / "similarity.html").read_text(encoding="utf-8")
    rows = json.loads((tmp_path / "numbers.json").read_text())["tables"]["similarity"]["rows"]
    assert {row["method"] for row in rows} == set(LEVELS)


def test_report_and_compare_import_nothing_that_runs_a_model(run_folder: Path) -> None:
    probe = (
        "import sys\nfrom snibench.cli import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n"
        "    heavy = {'torch', 'transformers', 'peft', 'datasets', 'matplotlib'} & set(sys.modules)\n"
        "    print(end.code or 0, *sorted(heavy), file=sys.stderr)"
    )
    for command in (["report", str(run_folder)], ["compare", "ours", "unified-prompt", str(run_folder)]):
        done = subprocess.run([sys.executable, "-c", probe, *command], capture_output=True, text=True, check=True)
        assert done.stderr.splitlines()[-1] == "0", command

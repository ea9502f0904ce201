"""Models that were tuned elsewhere, and answers that were given elsewhere, in one table with the rest."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from safetensors.torch import load_file, save_file

from snibench.store import load_results

DOCS = Path(__file__).parents[2] / "docs" / "elsewhere.md"
ASKED = ["--protocol", "gap", "--tasks", "4", "--limit", "2", "--max-output", "6"]
QUICK = [*ASKED, "--seeds", "0", "--conflict", "off"]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one fit of LoRA that was tuned far enough to answer unlike its base."""
    from snibench.cli import main

    runs = tmp_path_factory.mktemp("tuned") / "runs"
    with pytest.raises(SystemExit) as ended:
        main(["run", "-m", "lora", "--no-baseline", "--steps", "25", "--per-step", "2,2", *QUICK, "-o", str(runs)])
    assert not ended.value.code
    return runs


def answers_of(runs: Path, label: str) -> dict[str, str]:
    rows = load_results(runs, earlier=True).answers
    rows = rows[rows["method"] == label]
    return dict(zip(rows["prompt_sha"], rows["prediction"], strict=True))


def adapter_of(runs: Path) -> Path:
    return next(runs.glob("*/adapter"))


def test_an_adapter_answers_as_the_fit_that_it_is_from(snibench: Any, tuned: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(adapter_of(tuned), tmp_path / "mine")
    runs = tmp_path / "runs"
    ended = snibench("eval", folder, "--no-baseline", *QUICK, "-o", runs)
    assert ended.code == 0, ended.err
    label = f"adapter(path={folder})"
    assert answers_of(runs, label) == answers_of(tuned, "lora")
    assert "tuned elsewhere" in ended.out

    weights = load_file(folder / "adapter_model.safetensors")
    save_file({name: tensor * 0 for name, tensor in weights.items()}, folder / "adapter_model.safetensors")
    assert snibench("eval", folder, "--no-baseline", *QUICK, "-o", runs).code == 0
    assert len(list(runs.glob("*/record.json"))) == 2  # other weights are another fit
    untuned = tmp_path / "untuned"
    assert snibench("run", "-m", "untuned", "--no-baseline", *QUICK, "-o", untuned).code == 0
    assert answers_of(runs, label) == answers_of(untuned, "untuned")


def test_folders_by_seed_are_seeds(snibench: Any, tuned: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        shutil.copytree(adapter_of(tuned), tmp_path / f"mine-{seed}")
    runs = tmp_path / "runs"
    ended = snibench("eval", tmp_path / "mine-{seed}", "--no-baseline", *QUICK, "--seeds", "0,1", "-o", runs)
    assert ended.code == 0, ended.err
    assert sorted(load_results(runs).answers["seed"].unique()) == [0, 1]


def test_a_whole_model_is_read(snibench: Any, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    from snibench.models.find import find_model

    source = find_model("tiny")
    model = AutoModelForCausalLM.from_pretrained(source.folder)
    model.save_pretrained(tmp_path / "whole")
    runs = tmp_path / "runs"
    ended = snibench(
        "run", "-m", f"adapter(path={tmp_path / 'whole'})", "-m", "untuned", "--no-baseline", *QUICK, "-o", runs
    )
    assert ended.code == 0, ended.err
    assert answers_of(runs, f"adapter(path={tmp_path / 'whole'})") == answers_of(runs, "untuned")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: shutil.rmtree(folder), "holds neither adapter_config.json nor config.json"),
        (lambda folder: (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin"), "safetensors"),
        (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"\0" * 100), "does not fit the model"),
    ],
)
def test_a_folder_that_is_no_adapter_is_one_sentence(
    snibench: Any, tuned: Path, tmp_path: Path, damage: Any, words: str
) -> None:
    folder = shutil.copytree(adapter_of(tuned), tmp_path / "mine")
    damage(folder)
    ended = snibench("eval", folder, "--no-baseline", *QUICK, "-o", tmp_path / "runs")
    assert ended.code != 0
    assert words in ended.err + ended.out
    assert "Traceback" not in ended.err


def test_a_tensor_too_few_or_too_many_is_refused(snibench: Any, tuned: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(adapter_of(tuned), tmp_path / "mine")
    file = folder / "adapter_model.safetensors"
    weights = load_file(file)
    first = min(weights)
    save_file({name: tensor for name, tensor in weights.items() if name != first}, file)
    few = snibench("eval", folder, "--no-baseline", *QUICK, "-o", tmp_path / "runs")
    save_file({**weights, "base_model.model.more.weight": weights[first].clone()}, file)
    many = snibench("eval", folder, "--no-baseline", *QUICK, "-o", tmp_path / "runs")
    assert f"{first} is missing" in few.out + few.err
    assert "more.weight has no place" in many.out + many.err
    assert few.code == many.code == 1


def test_answers_come_back_as_they_were_given(snibench: Any, tmp_path: Path) -> None:
    runs, file = tmp_path / "runs", tmp_path / "answers.jsonl"
    assert snibench("run", "-m", "untuned", "--no-baseline", *QUICK, "-o", runs).code == 0
    own = answers_of(runs, "untuned")
    assert snibench("questions", "export", tmp_path / "questions.jsonl", *ASKED).code == 0
    asked = [json.loads(line) for line in (tmp_path / "questions.jsonl").read_text("utf-8").splitlines()]
    assert {one["id"] for one in asked} == set(own)
    file.write_text("".join(json.dumps({"id": id, "answer": f" {text}\nand on"}) + "\n" for id, text in own.items()))
    ended = snibench("answers", "import", file, "--engine", "stub 1.0", "--no-baseline", *QUICK, "-o", runs)
    assert ended.code == 0, ended.err
    label = f"answers(path={file},engine=stub 1.0)"
    assert answers_of(runs, label) == own
    assert "answered elsewhere, by stub 1.0" in ended.out

    said = snibench("answers", "-o", runs, "-m", "untuned", "--differ", label, "--as", "jsonl")
    assert (said.code, said.out.strip()) == (0, "")
    everything = snibench("answers", "-o", runs, "-m", "untuned", "--as", "jsonl", "--limit", "1000")
    shown = [json.loads(line)["prediction"] for line in everything.out.splitlines()]
    assert sorted(shown) == sorted(own.values())


def test_answers_that_lack_one_are_refused_before_anything_runs(snibench: Any, tmp_path: Path) -> None:
    assert snibench("questions", "export", tmp_path / "questions.jsonl", *ASKED).code == 0
    ids = [json.loads(line)["id"] for line in (tmp_path / "questions.jsonl").read_text("utf-8").splitlines()]
    file = tmp_path / "answers.jsonl"
    file.write_text("".join(json.dumps({"id": id, "answer": "x"}) + "\n" for id in ids[1:]))
    ended = snibench("answers", "import", file, "--engine", "stub", *QUICK, "-o", tmp_path / "runs")
    assert ended.code == 2
    assert f"answers {len(ids) - 1} of {len(ids)} questions" in ended.err
    assert not list((tmp_path / "runs").glob("*/spec.json"))


class Stub(BaseHTTPRequestHandler):
    """Answers as a server with OpenAI's protocol does: the last word of what it is asked."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert body["model"] == "stub"
        assert body["temperature"] == 0
        if self.path == "/v1/chat/completions":
            assert [one["role"] for one in body["messages"]] == ["system", "user"]
            choice: dict[str, Any] = {"message": {"content": body["messages"][1]["content"].split()[-1]}}
        else:
            assert self.path == "/v1/completions"
            choice = {"text": body["prompt"].split()[-2] + "\nmore"}
        text = json.dumps({"choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *values: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Stub) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/v1"
        http.shutdown()


def test_the_documented_client_answers_through_a_server(snibench: Any, server: str, tmp_path: Path) -> None:
    options = ["--protocol", "formats", "--formats", "definition,chat", "--tasks", "4", "--limit", "1"]
    assert snibench("questions", "export", tmp_path / "questions.jsonl", *options).code == 0
    code = next(
        block for block in re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.S) if "urllib" in block
    )
    (tmp_path / "client.py").write_text(code, encoding="utf-8")
    for _ in range(2):  # the second time nothing is left to ask
        done = subprocess.run(
            [sys.executable, "client.py", server, "stub"], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
    lines = (tmp_path / "answers.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == len((tmp_path / "questions.jsonl").read_text("utf-8").splitlines())
    ended = snibench(
        "answers", "import", tmp_path / "answers.jsonl", "--engine", "stub", "--no-baseline", *options,
        "--seeds", "0", "-o", tmp_path / "runs",
    )  # fmt: skip
    assert ended.code == 0, ended.err

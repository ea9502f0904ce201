"""What a user can get wrong: one sentence, exit code 2, nothing left behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from snibench.models.find import EMBEDDED


def refused(outcome, *words: str) -> None:
    assert outcome.code == 2, outcome
    assert outcome.err.count("\n") == 1, outcome.err
    assert "Traceback" not in outcome.err
    for word in words:
        assert word in outcome.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-m", "our"], ["method 'our'", "Did you mean 'ours'?"]),
        (["-m", "ours", "--rule", "pcgrd"], ["rule 'pcgrd'", "'pcgrad'"]),
        (["-m", "ours", "--formats", "definition,templat"], ["format 'templat'", "'template'"]),
        (["-m", "ours", "--train-format", "declaritive"], ["'declarative'"]),
        (["-m", "ours", "--suite", "minni"], ["suite 'minni'", "'mini'"]),
        (["-m", "ours", "--model", "tny"], ["model 'tny'", "'tiny'"]),
        (["-m", "ours", "--protocol", "gaps"], ["protocol 'gaps'", "'gap'"]),
        (["-m", "ours", "--set", "projecton=false"], ["'projecton'", "'projection'"]),
        (["-m", "ours", "--set", "projection=maybe"], ["projection must be true or false", "'maybe'"]),
        (["-m", "ours", "--set", "projection"], ["KEY=VALUE"]),
        (["-m", "ours", "--categories", "sentiment"], ["Did you mean 'Sentiment Analysis'?"]),
        (["-m", "nowhere.py"], ["no file 'nowhere.py'"]),
        (["-m", __file__], [f"'{__file__}' defines no class"]),
        (["-m", "nowhere.py:Mine"], ["no file 'nowhere.py'"]),
        (["-m", "ours", "--batch-size", "none"], ["--batch-size"]),
        (["-m", "ours", "--data", "nowhere"], ["nowhere"]),
        (["-m", "ours", "--config", "nowhere.toml"], ["nowhere.toml"]),
    ],
)
def test_a_wrong_name_or_value_is_told_with_what_to_do(arguments, words, snibench, tmp_path) -> None:
    refused(snibench("run", *arguments, "-o", tmp_path / "runs"), *words)
    assert not list((tmp_path / "runs").glob("*/spec.json"))


def task_file() -> dict[str, object]:
    example = {"input": "a b", "output": "a", "explanation": "The first."}
    return {
        "Contributors": ["x"], "Source": ["made"], "URL": [""], "Categories": ["Text Completion"], "Reasoning": [""],
        "Definition": ["Say the first word."], "Input_language": ["English"], "Output_language": ["English"],
        "Instruction_language": ["English"], "Domains": ["Words"], "Positive Examples": [example, example],
        "Negative Examples": [example], "Instance License": ["none"],
        "Instances": [{"id": f"task001-{n}", "input": f"word{n} b", "output": [f"word{n}"]} for n in range(60)],
    }  # fmt: skip


def write_suite(folder: Path, text: bytes) -> Path:
    (folder / "tasks").mkdir(parents=True)
    (folder / "splits" / "default").mkdir(parents=True)
    for number in range(4):
        good = json.loads(json.dumps(task_file()).replace("task001", f"task00{number}"))
        good["Source"] = [f"source{number}"]
        (folder / "tasks" / f"task00{number}_words.json").write_text(json.dumps(good), encoding="utf-8")
    (folder / "tasks" / "task000_words.json").write_bytes(text)
    (folder / "splits" / "default" / "train_tasks.txt").write_text("task000_words\ntask001_words\n", encoding="utf-8")
    (folder / "splits" / "default" / "test_tasks.txt").write_text("task002_words\ntask003_words\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"Definition": [', ["line 1"]),
        (json.dumps({k: v for k, v in task_file().items() if k != "Definition"}).encode(), ["Definition"]),
        (json.dumps({**task_file(), "Instances": []}).encode(), ["Instances"]),
        (json.dumps({**task_file(), "Definition": ["caf\u00e9"]}, ensure_ascii=False).encode("latin-1"), ["UTF-8"]),
        (json.dumps({**task_file(), "Instances": [{"id": "x", "input": 3, "output": ["a"]}]}).encode(), ["input"]),
    ],
    ids=["not JSON", "field missing", "no instances", "not UTF-8", "wrong type"],
)
def test_a_malformed_task_file_is_named_with_field_and_reason(text, words, snibench, tmp_path) -> None:
    folder = write_suite(tmp_path / "data", text)
    refused(snibench("run", "-m", "ours", "--data", folder, "-o", tmp_path / "runs"), "task000_words.json", *words)


def test_a_model_folder_without_tokenizer_or_weights_is_refused(snibench, tmp_path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(EMBEDDED["tiny"], folder)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    refused(snibench("run", "-m", "ours", "--model", folder, "-o", tmp_path / "runs"), "no tokenizer", "model")
    for file in folder.glob("*.safetensors"):
        file.unlink()
    refused(snibench("run", "-m", "ours", "--model", folder, "-o", tmp_path / "runs"), "no *.safetensors")


def test_a_broken_model_folder_is_named_while_a_run_is_planned(snibench, tmp_path) -> None:
    folder = shutil.copytree(EMBEDDED["tiny"], tmp_path / "model")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    command = ("run", "-m", "lora", "--model", folder, "--dry-run")
    outcome = snibench(*command)
    assert outcome.code != 0
    assert "model.safetensors' is cut off" in outcome.err
    (folder / "model.safetensors").write_bytes(weights)
    config = (folder / "config.json").read_text(encoding="utf-8")
    whole = ("run", "-m", "lora", "--model", folder, "-o", tmp_path / "runs")
    for wrong, words, asked in (
        (config.replace('"hidden_size": 128', '"hidden_size": null'), "null as hidden_size", command),
        (
            config.replace('"num_hidden_layers": 4', '"num_hidden_layers": "four"'),
            '"four" as num_hidden_layers',
            command,
        ),
        # Only transformers knows: a dry run does not ask it.
        (config.replace('"mlp_bias": false', '"mlp_bias": "no"'), "error for field 'mlp_bias': TypeError", whole),
    ):
        (folder / "config.json").write_text(wrong, encoding="utf-8")
        outcome = snibench(*asked)
        assert outcome.code != 0
        assert words in outcome.err
        assert len(outcome.err.strip().splitlines()) == 1
        assert "Traceback" not in outcome.err
    assert not list((tmp_path / "runs").glob("*/spec.json"))


def test_a_revision_of_a_model_on_this_machine_is_refused(snibench) -> None:
    outcome = snibench("run", "-m", "lora", "--revision", "main", "--dry-run")
    assert outcome.code != 0
    assert "--revision names a state of a hub model, but 'tiny' lies on this machine" in outcome.err


def test_a_gguf_file_that_is_none_is_refused(snibench, tmp_path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF and then nothing")
    outcome = snibench("run", "-m", "ours", "--model", tmp_path / "model.gguf", "-o", tmp_path / "runs")
    refused(outcome, "model.gguf", "cannot be read")


def test_an_output_folder_that_cannot_be_written_is_refused(snibench, tmp_path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    refused(snibench("run", "-m", "ours", "-o", tmp_path / "file" / "runs"), "cannot be written", "-o DIR")


def test_an_unknown_command_gets_a_suggestion(snibench) -> None:
    refused(snibench("leaderbord"), "Did you mean 'leaderboard'?")

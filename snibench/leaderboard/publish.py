"""Entries as other collections take them: Every Eval Ever, and the evaluation results of the model hub.

Source:
    evaleval/every_eval_ever 0.3.0, schemas/eval.schema.json; huggingface.co/docs/hub/eval-results.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from snibench.base.errors import UsageError
from snibench.base.hashing import digest
from snibench.base.registry import SUITES
from snibench.base.version import __version__
from snibench.leaderboard.columns import Measures, board_measures
from snibench.report.cells import printable
from snibench.report.files import write_text

if TYPE_CHECKING:
    from snibench.leaderboard.pool import Board
    from snibench.report.values import Column

EEE_VERSION = "0.3.0"
_ABOVE_CHANCE = re.compile("above_chance|normalised")  # unbounded below
Files = dict[PurePosixPath, str]


def write_all(files: Mapping[PurePosixPath, str], folder: Path) -> Iterator[Path]:
    """Write ``files`` below ``folder``, and give the path of each."""
    for name, text in files.items():
        write_text(path := folder / name, text)
        yield path


def every_eval_ever(board: Board, organization: str = "", source_url: str = "", now: int | None = None) -> Files:
    """One record of the schema 0.3 for each measured entry, by its path in the collection.

    Args:
        board: Valid.
        organization: Who publishes. Empty: the first author of the entry.
        source_url: Where the board can be read.
        now: Seconds since 1970, of the record. None: this moment.

    Raises:
        UsageError: If nobody is named who publishes.
    """
    stamp = str(int(time.time()) if now is None else now)
    measures = board_measures(board)
    files: Files = {}
    for entry in _measured(board):
        who = organization or next(iter(entry["authors"]), "")
        if not who:
            raise UsageError("Every Eval Ever asks who publishes a result. Name it: --organization NAME")
        record = _record(board, entry, measures, who, source_url, stamp)
        name = uuid.UUID(digest([board["suite"]["digest"], entry["rows"]["digest"], entry["label"]])[:32], version=4)
        path = PurePosixPath("data", "snibench", *record["model_info"]["id"].split("/"), f"{name}.json")
        files[path] = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return files


def _measured(board: Board) -> list[dict[str, Any]]:
    return [entry for entry in board["entries"] if entry["status"] == "measured"]


def _record(
    board: Board, entry: dict[str, Any], measures: Measures, organization: str, source_url: str, stamp: str
) -> dict[str, Any]:
    model = f"{_slug(organization)}/{_slug(board['model']['name'])}-{_slug(entry['label'])}"
    suite = board["suite"]
    return {
        "schema_version": EEE_VERSION,
        "evaluation_id": f"snibench/{model}/{stamp}",
        "retrieved_timestamp": stamp,
        "source_metadata": {
            "source_name": f"snibench leaderboard: {suite['name']}, {board['model']['name']}",
            "source_type": "evaluation_run",
            "source_organization_name": organization,
            **({"source_organization_url": source_url} if source_url else {}),
            "evaluator_relationship": "first_party",
            "additional_details": {"rows_sha256": entry["rows"]["digest"], "suite_sha256": suite["digest"]},
        },
        "eval_library": {"name": "snibench", "version": entry["provenance"]["snibench"] or __version__},
        "model_info": {
            "name": f"{board['model']['name']} tuned with {entry['label']}",
            "id": model,
            "developer": organization,
            "additional_details": {
                "deployment_type": "self_deployed",
                "model_availability": "unknown",
                "base_model": board["model"]["name"],
                "base_model_sha256": board["model"]["digest"],
                "method": entry["method"],
                "rule": entry["rule"] or "the method's own",
                "training_seeds": ", ".join(map(str, entry["seeds"])),
                "precision": entry["config"]["precision"],
            },
        },
        "evaluation_results": [
            _result(board, protocol, name, column, measure, entry)
            for protocol, name, column, measure in _overall(entry, measures)
        ],
    }


def _overall(entry: dict[str, Any], measures: Measures) -> Iterator[tuple[str, str, Column, dict[str, Any]]]:
    """The measures over all whose better direction is known, with how they are read."""
    for (protocol, name), column in measures.overall.items():
        measure = entry["metrics"].get(protocol, {"overall": {}})["overall"].get(name)
        if measure is not None and measure["mean"] is not None and column.better:
            yield protocol, name, column, measure


def _result(
    board: Board, protocol: str, name: str, column: Column, measure: dict[str, Any], entry: dict[str, Any]
) -> dict[str, Any]:
    metric = f"snibench.{protocol}.{name}"
    difference = column.unit != "percent"
    unbounded = bool(_ABOVE_CHANCE.search(name))
    low: float | str = "-Infinity" if unbounded else -1.0 if difference else 0.0
    interval = {}
    if measure["ci_low"] is not None:
        ends = {"lower": measure["ci_low"], "upper": measure["ci_high"]}
        interval = {"confidence_interval": {**ends, "confidence_level": 0.95, "method": "t, over tasks and seeds"}}
    return {
        "evaluation_result_id": metric,
        "evaluation_name": f"{board['suite']['name']}: {column.title}",
        "source_data": _source_data(board),
        "metric_config": {
            "evaluation_description": column.description or f"Protocol {protocol}, measure {name} of snibench.",
            "metric_id": metric,
            "metric_name": column.title,
            "metric_kind": "score",
            "metric_unit": "proportion",
            "metric_parameters": {"protocol_version": board["protocols"][protocol]["version"]},
            "lower_is_better": column.better == "lower",
            "score_type": "continuous",
            "min_score": low,
            "max_score": "Infinity" if difference and unbounded else 1.0,
        },
        "score_details": {
            "score": measure["mean"],
            "uncertainty": {**interval, "num_samples": measure["n"]},
            "details": {"seeds": str(len(entry["seeds"])), "units": str(measure["n"])},
        },
        "generation_config": {
            "generation_args": {"temperature": 0, "max_tokens": _max_output(entry)},
            "additional_details": {"train_format": entry["config"]["train_format"] or "none"},
        },
    }


def _max_output(entry: dict[str, Any]) -> int:
    value = entry["budget"].get("max_output", 128)
    return int(value[0] if isinstance(value, list) else value)


def _source_data(board: Board) -> dict[str, Any]:
    suite = board["suite"]
    details = {"additional_details": {"suite_sha256": suite["digest"]}}
    name = suite["request"]["name"]
    if name in SUITES.names() and (homepage := SUITES.entry(name).load().homepage):
        return {"dataset_name": suite["name"], "source_type": "url", "url": [homepage], **details}
    return {"dataset_name": suite["name"], "source_type": "other", **details}


# ------------------------------------------------------------------------------------------- hub


def hub_results(board: Board, dataset: str, source_url: str = "") -> Files:
    """One file of ``.eval_results/`` for each measured entry: its summary measures in percent.

    Args:
        board: Valid.
        dataset: Hub id of the dataset that the benchmark is registered under.
        source_url: Where the board can be read.

    Raises:
        UsageError: If ``dataset`` is no hub id.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", dataset):
        raise UsageError("The hub asks for the id of the benchmark's dataset: --dataset OWNER/NAME")
    measures = board_measures(board)
    files: Files = {}
    for entry in _measured(board):
        lines = []
        for (protocol, name), column in measures.summary.items():
            measure = entry["metrics"].get(protocol, {"overall": {}})["overall"].get(name)
            if measure is None or measure["mean"] is None:
                continue
            lines += [
                "- dataset:",
                f"    id: {_yaml(dataset)}",
                f"    task_id: {_yaml(f'{protocol}_{name}')}",
                f"  value: {round(100 * measure['mean'], 2)}",
                *(
                    ["  source:", f"    url: {_yaml(source_url)}", '    name: "snibench leaderboard"']
                    if source_url
                    else []
                ),
                f"  notes: {_yaml(_notes(board, entry, column, measure))}",
            ]
        files[PurePosixPath(".eval_results", f"snibench-{_slug(entry['label'])}.yaml")] = "\n".join(lines) + "\n"
    return files


def _notes(board: Board, entry: dict[str, Any], column: Column, measure: dict[str, Any]) -> str:
    interval = ""
    if measure["ci_low"] is not None:
        interval = f", 95% CI {100 * measure['ci_low']:.1f} to {100 * measure['ci_high']:.1f}"
    return (
        f"{column.title} in percent{interval}, {measure['n']} units, {len(entry['seeds'])} seeds; {entry['label']}, "
        f"suite {board['suite']['name']} {board['suite']['digest'][:12]}"
    )


def _yaml(text: str) -> str:
    """``text`` as a scalar: a JSON string is one in YAML."""
    return json.dumps(printable(text, 500), ensure_ascii=False)


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:80] or "unnamed"

"""Entries as other collections take them, held against the facts of their published schemas."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import Any

import pytest
from jsonschema import Draft7Validator

from snibench.base.errors import UsageError
from snibench.leaderboard.publish import every_eval_ever, hub_results

TEXT = {"type": "string"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
BOUND = {"oneOf": [{"type": "number"}, {"enum": ["Infinity", "-Infinity"]}]}


def having(required: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": required.split(), "properties": properties}


# What schemas/eval.schema.json 0.3.0 of evaleval/every_eval_ever asks of the fields that are written here.
FACTS = {
    **having(
        "schema_version evaluation_id retrieved_timestamp source_metadata model_info eval_library evaluation_results",
        {
            "schema_version": {"const": "0.3.0"},
            "evaluation_id": TEXT,
            "retrieved_timestamp": {"type": "string", "pattern": "^[0-9]+$"},
            "source_metadata": having(
                "source_type source_organization_name evaluator_relationship",
                {
                    "source_name": TEXT,
                    "source_type": {"enum": ["documentation", "evaluation_run"]},
                    "source_organization_name": {"type": "string", "minLength": 1},
                    "source_organization_url": TEXT,
                    "evaluator_relationship": {"enum": ["first_party", "third_party", "collaborative", "other"]},
                    "additional_details": TEXTS,
                },
            ),
            "eval_library": having("name version", {"name": TEXT, "version": TEXT}),
            "model_info": having(
                "name id additional_details",
                {
                    "name": TEXT,
                    "id": {"type": "string", "pattern": "^[^/]+/[^/]+$"},
                    "developer": TEXT,
                    "additional_details": {
                        **having(
                            "deployment_type model_availability",
                            {
                                "deployment_type": {"enum": ["self_deployed", "externally_managed", "unknown"]},
                                "model_availability": {"enum": ["open_weights", "closed_weights", "unknown"]},
                            },
                        ),
                        "additionalProperties": TEXT,
                    },
                },
            ),
            "evaluation_results": {
                "type": "array",
                "minItems": 1,
                "items": having(
                    "evaluation_name source_data metric_config score_details",
                    {
                        "evaluation_result_id": TEXT,
                        "evaluation_name": TEXT,
                        "source_data": {
                            "oneOf": [
                                having("dataset_name source_type url", {"source_type": {"const": "url"}}),
                                having("dataset_name source_type", {"source_type": {"const": "other"}}),
                            ]
                        },
                        "metric_config": having(
                            "lower_is_better score_type min_score max_score",
                            {
                                "lower_is_better": {"type": "boolean"},
                                "score_type": {"const": "continuous"},
                                "min_score": BOUND,
                                "max_score": BOUND,
                            },
                        ),
                        "score_details": having(
                            "score",
                            {
                                "score": {"type": "number"},
                                "details": TEXTS,
                                "uncertainty": having(
                                    "num_samples",
                                    {
                                        "confidence_interval": having(
                                            "lower upper",
                                            {
                                                "lower": {"type": "number"},
                                                "upper": {"type": "number"},
                                                "confidence_level": {"type": "number", "minimum": 0, "maximum": 1},
                                            },
                                        ),
                                        "num_samples": {"type": "integer"},
                                    },
                                ),
                            },
                        ),
                        "generation_config": having(
                            "generation_args",
                            {
                                "generation_args": {
                                    "properties": {
                                        "temperature": {"type": ["null", "number"]},
                                        "max_tokens": {"type": "integer", "minimum": 1},
                                    },
                                    "additionalProperties": False,
                                },
                                "additional_details": TEXTS,
                            },
                        ),
                    },
                ),
            },
        },
    ),
    "additionalProperties": False,
}
UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def records(board: Any) -> dict[PurePosixPath, Any]:
    made = every_eval_ever(board, "A Lab", "https://example.org/board", now=1_700_000_000)
    return {path: json.loads(text) for path, text in made.items()}


def test_every_record_is_one_of_every_eval_ever(records: dict[PurePosixPath, Any]) -> None:
    assert len(records) == 4
    for record in records.values():
        assert [error.message for error in Draft7Validator(FACTS).iter_errors(record)] == []


def test_a_record_lies_where_its_model_is_looked_for(records: dict[PurePosixPath, Any]) -> None:
    for path, record in records.items():
        assert path.parts[:2] == ("data", "snibench")
        assert "/".join(path.parts[2:4]) == record["model_info"]["id"]
        assert re.fullmatch(rf"{UUID4}\.json", path.name)


def test_scores_are_the_boards_and_inside_their_bounds(records: dict[PurePosixPath, Any], board: Any) -> None:
    (record,) = [one for one in records.values() if one["model_info"]["id"].endswith("-ours")]
    (entry,) = [one for one in board["entries"] if one["label"] == "ours"]
    results = {one["evaluation_result_id"]: one for one in record["evaluation_results"]}
    assert {"snibench.gap.unseen", "snibench.gap.gap", "snibench.combos.above_chance"} <= set(results)
    unseen = entry["metrics"]["gap"]["overall"]["unseen"]
    details = results["snibench.gap.unseen"]["score_details"]
    assert details["score"] == unseen["mean"]
    assert details["uncertainty"]["confidence_interval"]["lower"] == unseen["ci_low"]
    assert results["snibench.gap.gap"]["metric_config"]["lower_is_better"]
    for one in results.values():
        low, high = (float(one["metric_config"][end]) for end in ("min_score", "max_score"))
        assert low <= one["score_details"]["score"] <= high


def test_somebody_must_publish(board: Any) -> None:
    nameless = {**board, "entries": [{**entry, "authors": []} for entry in board["entries"]]}
    with pytest.raises(UsageError, match="--organization"):
        every_eval_ever(nameless)


def test_the_hub_reads_its_results(board: Any) -> None:
    hub = pytest.importorskip("huggingface_hub")
    yaml = pytest.importorskip("yaml")
    if not hasattr(hub, "parse_eval_result_entries"):
        pytest.skip("this huggingface_hub does not know .eval_results yet")
    made = hub_results(board, "lab/snibench-mini", "https://example.org/board")
    assert {path.parts[0] for path in made} == {".eval_results"}
    text = next(text for path, text in made.items() if path.name == "snibench-ours.yaml")
    entries = hub.parse_eval_result_entries(yaml.safe_load(text))
    unseen = next(entry for entry in entries if entry.task_id == "gap_unseen")
    (ours,) = [entry for entry in board["entries"] if entry["label"] == "ours"]
    assert unseen.dataset_id == "lab/snibench-mini"
    assert unseen.value == round(100 * ours["metrics"]["gap"]["overall"]["unseen"]["mean"], 2)
    assert unseen.source_url == "https://example.org/board"
    assert "2 seeds; ours, suite mini" in unseen.notes
    assert hub.eval_result_entries_to_yaml(entries) == yaml.safe_load(text)


def test_the_hubs_entries_have_what_its_documentation_asks_for(board: Any) -> None:
    for text in hub_results(board, "lab/snibench-mini").values():
        entries = text.split("- dataset:\n")[1:]
        assert entries
        assert all(
            re.match(r'    id: "lab/snibench-mini"\n    task_id: "\w+"\n  value: -?[\d.]+\n', one) for one in entries
        )


@pytest.mark.parametrize("dataset", ["", "mini", "a/b/c", "a b/c"])
def test_the_hub_asks_for_a_dataset(board: Any, dataset: str) -> None:
    with pytest.raises(UsageError, match="--dataset OWNER/NAME"):
        hub_results(board, dataset)

"""Loss on general text, measured before and after tuning."""

from __future__ import annotations

import hashlib

import pandas as pd
import pytest

torch = pytest.importorskip("torch")

from snibench.cli import main  # noqa: E402
from snibench.data import general  # noqa: E402
from snibench.engine.loading import load_backbone  # noqa: E402
from snibench.engine.passage_loss import passage_losses  # noqa: E402
from snibench.models.find import find_model  # noqa: E402
from snibench.store import load_results  # noqa: E402

SMALL = ["--tasks", "4", "--steps", "3", "--per-step", "3,2", "--seeds", "0", "--limit", "1", "--max-output", "4"]
SMALL += ["--protocol", "gap", "--conflict", "off", "--executor", "inline"]


def test_the_passages_are_those_of_the_digest() -> None:
    assert len(set(general.passages())) == 40
    assert hashlib.sha256(("\n".join(general.passages()) + "\n").encode()).hexdigest() == general.DIGEST


def test_it_is_the_loss_that_the_model_itself_reports() -> None:
    backbone = load_backbone(find_model("tiny"), device="cpu", precision="float32")
    texts = general.passages()[:3]
    frame = passage_losses(backbone, backbone.model, texts)
    for text, row in zip(texts, frame.to_dict("records"), strict=True):
        ids = backbone.tokenizer(text, return_tensors="pt")["input_ids"]
        assert row["loss"] == pytest.approx(float(backbone.model(input_ids=ids, labels=ids).loss), rel=1e-4)
        assert row["tokens"] == ids.shape[1] - 1


@pytest.mark.slow
def test_an_absurd_learning_rate_forgets_and_no_tuning_does_not(tmp_path, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "-m", "mtl-lora", *SMALL, "--learning-rate", "0.5", "-o", str(tmp_path)])
    assert not ended.value.code, capsys.readouterr()
    found = {
        spec.label: pd.read_parquet(tmp_path / spec.id / "forgetting.parquet")
        for spec in load_results(tmp_path).specs
        if not spec.floor
    }
    base = found.pop("untuned")
    assert (base["after"] == base["before"]).all()
    assert set(found) == {"unified-prompt", "mtl-lora"}  # the second routes by prompt
    for tuned in found.values():
        assert (tuned["before"] == base["before"]).all()
        assert (tuned["after"] - tuned["before"]).mean() > 0.5

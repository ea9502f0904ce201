"""The straight line with models of other kinds than the embedded one."""

from __future__ import annotations

import pytest

from snibench.cli import main
from snibench.store import load_results

pytestmark = pytest.mark.slow

SMALL = ["--tasks", "4", "--steps", "2", "--per-step", "3,2", "--seeds", "0", "--limit", "1", "--max-output", "4"]


@pytest.mark.parametrize("method", ["ours", "mtl-lora"])
def test_an_encoder_decoder_passes_end_to_end(method, t5_folder, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "-m", method, "--model", str(t5_folder), *SMALL, "-o", str(tmp_path)])
    assert not ended.value.code, capsys.readouterr()
    assert {record.status for record in load_results(tmp_path).records} == {"done"}


def test_two_models_in_one_folder_share_no_fit(llama_folder, tmp_path) -> None:
    fits = set()
    for model in (str(llama_folder), "tiny"):
        with pytest.raises(SystemExit):
            main(["run", "-m", "lora", "--model", model, "--protocol", "gap", *SMALL, "-o", str(tmp_path)])
        fits |= {record.fit for record in load_results(tmp_path).records}
    assert len(fits) == 8  # untuned, two floors, and the baseline, which lora is


def test_bfloat16_fits_run_and_are_fits_of_their_own(tmp_path) -> None:
    fits = []
    for precision in ("bfloat16", "float32"):
        options = ["--no-baseline", "--protocol", "gap", "--precision", precision]
        with pytest.raises(SystemExit) as ended:
            main(["run", "-m", "ours", *options, *SMALL, "-o", str(tmp_path)])
        assert not ended.value.code
        fits += [record.fit for record in load_results(tmp_path).records]
    assert len(set(fits)) == 2


def test_the_baseline_is_found_where_lora_was_tuned_before(tmp_path, capsys) -> None:
    options = ["run", "-m", "lora", "--protocol", "gap", "--conflict", "off", *SMALL, "-o", str(tmp_path)]
    for more in (["--no-baseline"], []):
        with pytest.raises(SystemExit) as ended:
            main([*options, *more])
        assert not ended.value.code, capsys.readouterr()
    results = load_results(tmp_path)
    (fit,) = [spec.id for spec in results.specs if spec.label == "unified-prompt"]
    assert results.specs[[spec.label for spec in results.specs].index("unified-prompt")].method == "lora"  # made first
    assert len(list(tmp_path.glob("*/trace.parquet"))) == 1
    assert set(results.answers.loc[results.answers["fit"] == fit, "method"]) == {"unified-prompt"}
    assert "lora is unified-prompt: tuned once" in " ".join(capsys.readouterr().out.split())

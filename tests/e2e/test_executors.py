"""Where fits run changes no row: executors by name, one of a third party, and a Ray cluster that loses a node."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from snibench.store import Store, load_results

RUN = ["run", "-m", "lora", "--seeds", "0,1", "--conflict", "off", "--protocol", "gap", "--no-baseline"]
BACKWARDS = """
from snibench.api import Executor

class Backwards(Executor):
    def run(self, work, board):
        for job in list(work.jobs)[::-1]:
            board.started(job.number)
            board.ended(job.number, work.run(job.number, lambda event, *values: board.said(job.number, event, *values)))

class Forgetful(Executor):
    def run(self, work, board):
        pass
"""


def rows(folder: Path) -> pd.DataFrame:
    answers = load_results(folder).answers.sort_values(["fit", "task", "instance"])
    return answers[["fit", "task", "instance", "prediction"]].reset_index(drop=True)


@pytest.mark.slow
def test_a_third_party_s_executor_gives_the_rows_of_inline(snibench, small, tmp_path, install) -> None:
    install("acme", {"snibench.executors": {"backwards": "acme_run:Backwards"}}, {"acme_run.py": BACKWARDS})
    for name in ("inline", "backwards"):
        outcome = snibench(*RUN, *small, "--executor", name, "-o", tmp_path / name)
        assert outcome.code == 0, outcome.err
    pd.testing.assert_frame_equal(rows(tmp_path / "backwards"), rows(tmp_path / "inline"))


def test_a_fit_of_which_an_executor_says_nothing_is_not_done(snibench, small, tmp_path) -> None:
    (tmp_path / "acme_run.py").write_text(BACKWARDS, encoding="utf-8")
    outcome = snibench(*RUN, *small, "--executor", f"{tmp_path}/acme_run.py:Forgetful", "-o", tmp_path / "runs")
    assert outcome.code == 1
    assert "is done. Repeat the run" in outcome.err


@pytest.mark.parametrize(
    ("executor", "said"), [("prcesses", "Did you mean 'processes'"), ("ray(nodes=2)", "nodes"), ("a+b", "NAME")]
)
def test_an_executor_that_is_not_there_is_refused(snibench, small, tmp_path, executor: str, said: str) -> None:
    outcome = snibench(*RUN, *small, "--executor", executor, "-o", tmp_path)
    assert outcome.code == 2
    assert said in outcome.err


@pytest.mark.slow
def test_a_ray_cluster_that_loses_a_node_ends_with_the_rows_of_inline(snibench, small, tmp_path) -> None:
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    assert snibench(*RUN, *small, "--executor", "inline", "-o", tmp_path / "inline").code == 0
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    lost: list[str] = []

    def lose() -> None:
        """Kill a node as soon as a fit has a checkpoint or a folder of its own."""
        while not list((tmp_path / "ray").glob("*/.lock")):
            time.sleep(0.05)
        cluster.remove_node(nodes[1], allow_graceful=False)
        lost.append("node")

    killer = threading.Thread(target=lose, daemon=True)
    killer.start()
    try:
        executor = f"ray(address={cluster.address})"
        outcome = snibench(*RUN, *small, "--executor", executor, "-o", tmp_path / "ray")
        killer.join(60)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert outcome.code == 0, outcome.err
    assert lost
    assert {record.status for record in load_results(tmp_path / "ray").records} == {"done"}
    pd.testing.assert_frame_equal(rows(tmp_path / "ray"), rows(tmp_path / "inline"))
    assert Store(tmp_path / "ray").manifest().fits

"""Runs as stages leave them, and what a store says of them."""

import dataclasses
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stages import mlflow_store, tracking
from stages.contract.metrics import append_step
from stages.contract.record import InputRecord, RunRecord, Status

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


BASE, DEV1, R1, DATA = (f"{letter * 32}.dir" for letter in "abcd")


on_both = pytest.mark.parametrize("client", ["sqlite", "postgres"], indirect=True)
"""What lineage hangs on is asked of a database in a file and of a PostgreSQL server."""


def record(stage: str, out_md5: str, checkpoint: str | None = None, **inputs: InputRecord) -> RunRecord:
    """A finished run of ``stage``."""
    return RunRecord(
        name=stage,
        stage=stage,
        item=None,
        checkpoint=checkpoint,
        fingerprint=f"fingerprint-{stage}",
        params={"grpo": {"group_size": 16}},
        seed=3,
        inputs=inputs,
        out_path=f"artifacts/{stage}",
        execution=f"execution-{stage}",
        started_ms=1_000,
        status=Status.FINISHED,
        ended_ms=2_000,
        out_md5=out_md5,
        metrics={"accuracy": 0.5},
    )


def model_input(md5: str) -> InputRecord:
    return InputRecord(path="artifacts/model", md5=md5, is_checkpoint=True)


def data_input() -> InputRecord:
    return InputRecord(path="artifacts/stage0_problems", md5=DATA, is_checkpoint=False)


def track(run: RunRecord, steps: int = 0) -> None:
    """Do what a stage does: open its run, log ``steps`` steps, close it."""
    curves = Path(f"{run.execution}.jsonl")
    tracker = tracking.open_run(dataclasses.replace(run, status=Status.RUNNING), curves)
    for step in range(1, steps + 1):
        append_step(curves, step, {"reward": step / 2})
        tracker.log(step, {"reward": step / 2})
    tracker.close(run)


def only_run(client: "MlflowClient", name: str) -> "Run":
    """The one run called ``name``."""
    experiment = client.get_experiment_by_name(mlflow_store.EXPERIMENT)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
    assert len(runs) == 1
    return client.get_run(runs[0].info.run_id)  # a search leaves a run's model inputs out


def points(client: "MlflowClient", run: "Run", name: str = "reward") -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]


def dead_address() -> str:
    """An address at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"

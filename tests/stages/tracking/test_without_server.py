"""A stage whose MLflow is not there, or goes away and stays away."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stages import mlflow_store, tracking
from stages.digest import dvc_md5
from tests.stages.tracking.runs import BASE, DEV1, R1, dead_address, model_input, only_run, points, record, track

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tests.stages.conftest import ToyRepository


def test_without_a_server_the_stage_succeeds_and_a_later_sync_brings_everything_once(
    client: "MlflowClient", toy: "ToyRepository"
) -> None:
    toy.environment = {"MLFLOW_TRACKING_URI": dead_address()}
    status, output = toy.run()
    assert status == 0, output
    assert output.count("MLflow cannot be used") == 1
    assert (toy.root / "artifacts" / "toy" / "weights.txt").exists()
    assert sorted(path.suffix for path in (toy.root / "work" / "unsynced").iterdir()) == [".json", ".jsonl"]

    assert tracking.sync() == 1  # the fixture works in the toy's folder, with its sqlite store
    assert tracking.sync() == 0
    run = only_run(client, "stage1_toy")
    assert points(client, run) == [(1, 0.5), (2, 1.0), (3, 1.5), (4, 2.0), (5, 2.5)]
    (version,) = client.search_model_versions("name = 'Dev1'")
    assert version.tags["dvc.md5"] == dvc_md5(toy.root / "artifacts" / "toy")
    assert [entry.dataset.digest for entry in run.inputs.dataset_inputs if entry.dataset.name == "data.jsonl"] == [
        dvc_md5(toy.root / "data.jsonl")
    ]


def test_the_next_stage_sends_what_was_kept_so_that_its_parent_is_known(
    client: "MlflowClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dead_address())
    track(record("stage0_base_model", BASE, "base"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    track(record("stage1_cold_start_sft", DEV1, "Dev1", init=model_input(BASE)))
    (parent,) = only_run(client, "stage1_cold_start_sft").inputs.model_inputs
    assert client.get_logged_model(parent.model_id).name == "base"


def test_a_dead_server_costs_at_most_two_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("R1_TRACKING", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dead_address())
    start = time.monotonic()
    track(record("report", R1))
    assert time.monotonic() - start < 2.5
    assert "does not answer" in caplog.text


def test_tracking_turned_off_says_so_and_leaves_nothing(toy: "ToyRepository") -> None:
    status, output = toy.run()
    assert (status, "tracking is off (R1_TRACKING=off)" in output) == (0, True)
    assert not (toy.root / "mlflow.db").exists()
    assert not (toy.root / "work" / "unsynced").exists()


@pytest.mark.slow
def test_over_http_every_point_arrives_and_a_server_lost_on_the_way_stops_nothing(
    server: tuple[str, "subprocess.Popen[bytes]"], toy: "ToyRepository", monkeypatch: pytest.MonkeyPatch
) -> None:
    address, process = server
    toy.environment = {"MLFLOW_TRACKING_URI": address}
    status, output = toy.run()
    assert (status, "cannot be used" in output) == (0, False), output
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    client = mlflow_store.connect().client
    assert points(client, only_run(client, "stage1_toy")) == [(1, 0.5), (2, 1.0), (3, 1.5), (4, 2.0), (5, 2.5)]

    toy.set_params((toy.root / "params.yaml").read_text().replace("steps: 5", "steps: 40\n  step_seconds: 0.1"))
    stage = toy.start()
    assert stage.stdout is not None
    while "step 3/40" not in stage.stdout.readline():
        pass
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
    start = time.monotonic()
    rest = stage.communicate(timeout=100)[0]
    assert (stage.returncode, rest.count("MLflow cannot be used")) == (0, 1), rest
    assert time.monotonic() - start < 25  # about 4 s of steps and 6 s of retries, on a busy machine
    assert len(list((toy.root / "work" / "unsynced").glob("*.json"))) == 1

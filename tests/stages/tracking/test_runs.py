"""A stage's run in MLflow: parameters, curves, tags, tables; against real stores."""

import dataclasses
import json
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stages import mlflow_store, tracking
from stages.contract.metrics import append_step
from stages.contract.record import Status
from tests.stages.tracking.runs import (
    DATA,
    R1,
    dead_address,
    on_both,
    only_run,
    points,
    record,
    track,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient


@on_both
def test_a_run_holds_parameters_curves_and_final_metrics(client: "MlflowClient") -> None:
    track(record("stage4_general_rl", R1), steps=3)
    run = only_run(client, "stage4_general_rl")
    assert run.data.params == {"grpo.group_size": "16", "seed": "3"}
    assert points(client, run) == [(1, 0.5), (2, 1.0), (3, 1.5)]
    assert run.data.metrics["final/accuracy"] == 0.5
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", 1_000, 2_000)


@pytest.mark.parametrize("status", [Status.FINISHED, Status.FAILED])
def test_what_a_stage_found_out_about_the_machine_is_a_tag(client: "MlflowClient", status: Status) -> None:
    track(dataclasses.replace(record("stage4_general_rl", R1), facts={"sandbox": "weak"}, status=status))
    assert only_run(client, "stage4_general_rl").data.tags["r1.sandbox"] == "weak"


def test_the_licence_of_a_source_is_a_tag_and_stands_in_the_note(client: "MlflowClient") -> None:
    track(dataclasses.replace(record("stage0_problems", DATA), facts={"data.train.mine(1)": "MIT; 7 rows of mine.csv"}))
    tags = only_run(client, "stage0_problems").data.tags
    assert tags["r1.data.train.mine_1_"] == "MIT; 7 rows of mine.csv"
    assert "- data.train.mine(1): MIT; 7 rows of mine.csv" in tags["mlflow.note.content"]


def leave_group(folder: Path) -> None:
    """One group of one completion, as an RL stage leaves it in its output."""
    folder.mkdir(parents=True)
    completion = {
        "text": "two",
        "tokens": 1,
        "truncated": False,
        "reward": 1.0,
        "advantage": 0.5,
        "parts": {"format": 1},
    }
    group = {"step": 7, "problem_id": "p", "prompt": "1 + 1?", "completions": [completion]}
    (folder / "groups.jsonl").write_text(json.dumps(group) + "\n")


def test_the_completions_of_an_rl_stage_are_a_table_of_its_run_also_when_sent_later(
    client: "MlflowClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    run = record("stage4_general_rl", R1)
    leave_group(Path(run.out_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dead_address())
    track(run)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    shutil.rmtree(run.out_path)  # another run's output may lie there by then
    assert tracking.sync() == 1
    assert [path.name for path in tracking.UNSYNCED_FOLDER.iterdir()] == ["lock"]
    found = only_run(client, "stage4_general_rl")
    table = client.load_table(found.info.experiment_id, "completions.json", [found.info.run_id])
    assert table.to_dict("records") == [
        {
            "step": 7,
            "problem": "p",
            "prompt": "1 + 1?",
            "completion": "two",
            "reward": 1.0,
            "advantage": 0.5,
            "reward/format": 1,
            "tokens": 1,
            "truncated": False,
        }
    ]
    # The UI shows a JSON file as a table if this tag names it.
    assert json.loads(found.data.tags["mlflow.loggedArtifacts"]) == [{"path": "completions.json", "type": "table"}]


def test_a_table_is_sent_once(client: "MlflowClient") -> None:
    run = record("stage4_general_rl", R1)
    leave_group(Path(run.out_path))
    track(run)
    track(run)  # a record that was kept although it had been sent
    found = only_run(client, "stage4_general_rl")
    assert len(client.load_table(found.info.experiment_id, "completions.json", [found.info.run_id])) == 1


def test_a_store_that_takes_no_artifacts_gets_the_rest_of_the_run(
    client: "MlflowClient", caplog: pytest.LogCaptureFixture
) -> None:
    with sqlite3.connect("mlflow.db") as database:  # as if a server had made it, which is not running
        database.execute("UPDATE experiments SET artifact_location = 'mlflow-artifacts:/1' WHERE name = 'r1-pipeline'")
    run = record("stage4_general_rl", R1)
    leave_group(Path(run.out_path))
    track(run)
    assert only_run(client, "stage4_general_rl").info.status == "FINISHED"
    assert "the table of completions is not sent to MLflow" in caplog.text


@on_both
def test_a_run_is_a_child_of_the_flows_run(client: "MlflowClient") -> None:
    parent = client.create_run(mlflow_store.connect().experiment_id)
    run = dataclasses.replace(
        record("report", R1), parent_run_id=parent.info.run_id, flow_run_id="flow-1", git_commit="abc123"
    )
    track(run)
    tags = only_run(client, "report").data.tags
    assert (tags["mlflow.parentRunId"], tags["prefect.flow_run_id"]) == (parent.info.run_id, "flow-1")
    assert (tags["git.commit"], tags["r1.fingerprint"]) == ("abc123", "fingerprint-report")


@on_both
def test_a_resumed_run_goes_on_in_the_same_run(client: "MlflowClient") -> None:
    run = record("stage4_general_rl", R1, "R1")
    curves = Path("curves.jsonl")
    tracker = tracking.open_run(dataclasses.replace(run, status=Status.RUNNING), curves)
    append_step(curves, 1, {"reward": 0.5})
    tracker.log(1, {"reward": 0.5})
    append_step(curves, 2, {"reward": 1.0})  # killed before this one was sent
    tracker.close(dataclasses.replace(run, status=Status.KILLED))
    assert only_run(client, run.name).info.status == "KILLED"

    again = tracking.open_run(dataclasses.replace(run, status=Status.RUNNING), curves)
    assert only_run(client, run.name).info.status == "RUNNING"
    append_step(curves, 3, {"reward": 1.5})
    again.log(3, {"reward": 1.5})
    again.close(run)
    assert points(client, only_run(client, run.name)) == [(1, 0.5), (2, 1.0), (3, 1.5)]


def test_a_metric_name_that_mlflow_refuses_is_made_valid(client: "MlflowClient") -> None:
    track(dataclasses.replace(record("evaluate", DATA), metrics={"math/pass@1": 0.25}))
    assert only_run(client, "evaluate").data.metrics == {"math/pass_1": 0.25}

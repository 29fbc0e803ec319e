"""Claims about the MLflow side of a stage, against real MLflow stores."""

import dataclasses
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stages import mlflow_store, tracking
from stages.contract.metrics import append_step
from stages.contract.record import InputRecord, RunRecord, Status
from stages.digest import dvc_md5
from tests.postgres_server import execute

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from tests.stages.conftest import ToyRepository

BASE, DEV1, R1, DATA = (f"{letter * 32}.dir" for letter in "abcd")


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty tracking database with its tables made, which takes MLflow many seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
        patch.chdir(path.parent)  # MLflow notes the folder of the artifacts in the database
        mlflow_store.connect()
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a PostgreSQL server whose database ``template`` has MLflow's tables."""
    execute(postgres, "CREATE DATABASE template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", sqlalchemy_address(postgres, "template"))
        patch.chdir(tmp_path_factory.mktemp("postgres"))
        mlflow_store.connect()
    execute(
        postgres, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'template'"
    )  # one that is in use cannot be copied
    return postgres


def sqlalchemy_address(server: str, database: str) -> str:
    return f"{server.replace('postgresql://', 'postgresql+psycopg://')}/{database}"


@pytest.fixture
def client(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> "MlflowClient":
    """A client of a fresh store, which the stages in ``tmp_path`` use by default: sqlite, or as ``on_both`` says."""
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "R1_TRACKING", "R1_PARENT_RUN_ID", "R1_FLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    if getattr(request, "param", "sqlite") == "postgres":
        server: str = request.getfixturevalue("postgres_template")
        name = f"copy_{uuid.uuid4().hex}"
        execute(server, f"CREATE DATABASE {name} TEMPLATE template")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", sqlalchemy_address(server, name))
    else:
        shutil.copy(request.getfixturevalue("migrated_database"), tmp_path / "mlflow.db")
    return mlflow_store.connect().client


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


def track_base_to_r1() -> None:
    """base -> Dev1 -> R1, each trained on the same problems."""
    track(record("stage0_base_model", BASE, "base"))
    track(record("stage1_cold_start_sft", DEV1, "Dev1", init=model_input(BASE), traces=data_input()))
    track(record("stage4_general_rl", R1, "R1", policy=model_input(DEV1), problems=data_input()), steps=3)


def only_run(client: "MlflowClient", name: str) -> "Run":
    """The one run called ``name``."""
    experiment = client.get_experiment_by_name(mlflow_store.EXPERIMENT)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
    assert len(runs) == 1
    return client.get_run(runs[0].info.run_id)  # a search leaves a run's model inputs out


def points(client: "MlflowClient", run: "Run", name: str = "reward") -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]


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
def test_an_input_data_set_has_dvcs_md5_as_its_digest(client: "MlflowClient") -> None:
    track(record("stage4_general_rl", R1, problems=data_input()))
    (entry,) = only_run(client, "stage4_general_rl").inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest) == ("artifacts/stage0_problems", DATA)


@on_both
def test_from_r1_one_walks_through_its_parents_to_base(client: "MlflowClient") -> None:
    track_base_to_r1()
    (version,) = client.search_model_versions("name = 'R1'")
    walked = []
    model_ids = [version.source.removeprefix("models:/")]
    while model_ids:
        model = client.get_logged_model(model_ids[0])
        walked.append((model.name, model.tags["dvc.md5"]))
        assert model.source_run_id is not None
        model_ids = [entry.model_id for entry in client.get_run(model.source_run_id).inputs.model_inputs]
    assert walked == [("R1", R1), ("Dev1", DEV1), ("base", BASE)]


@on_both
def test_a_checkpoint_is_registered_under_the_papers_name(client: "MlflowClient") -> None:
    track_base_to_r1()
    (version,) = client.search_model_versions("name = 'Dev1'")
    assert version.tags == {
        "dvc.md5": DEV1,
        "path": "artifacts/stage1_cold_start_sft",
        "r1.fingerprint": "fingerprint-stage1_cold_start_sft",
    }
    assert version.run_id == only_run(client, "stage1_cold_start_sft").info.run_id


@on_both
def test_the_note_links_each_input_to_the_run_that_made_it(client: "MlflowClient") -> None:
    track_base_to_r1()
    note = only_run(client, "stage4_general_rl").data.tags["mlflow.note.content"]
    assert f"/runs/{only_run(client, 'stage1_cold_start_sft').info.run_id}" in note
    assert "dvc repro stage4_general_rl" in note
    assert R1 in note


@on_both
def test_an_evaluation_is_tied_to_the_checkpoint_it_measured(client: "MlflowClient") -> None:
    track(record("stage0_base_model", BASE, "base"))
    track(record("evaluate", DATA, checkpoint=None, model=model_input(BASE)))
    experiment = client.get_experiment_by_name(mlflow_store.EXPERIMENT)
    assert experiment is not None
    (model,) = client.search_logged_models([experiment.experiment_id])
    evaluation = only_run(client, "evaluate").info.run_id
    assert [(m.key, m.value) for m in model.metrics or [] if m.run_id == evaluation] == [("accuracy", 0.5)]


def measured(client: "MlflowClient", md5: str) -> set[tuple[str, float]]:
    """The runs that tied a metric to the model ``md5``, with its value; each run did so once."""
    experiment = client.get_experiment_by_name(mlflow_store.EXPERIMENT)
    assert experiment is not None
    (model,) = client.search_logged_models([experiment.experiment_id], f"tags.`dvc.md5` = '{md5}'")
    found = [(client.get_run(metric.run_id).info.run_name, metric.value) for metric in model.metrics or []]
    assert len(found) == len(set(found))
    return set(found)


@on_both
def test_a_model_keeps_one_of_each_metric_however_often_it_is_made_and_measured_alike(client: "MlflowClient") -> None:
    for nth in ("first", "second", "third"):
        made = record("stage0_base_model", BASE, "base")
        track(dataclasses.replace(made, name=f"make-{nth}", execution=f"make-{nth}"))
        evaluation = record("evaluate", DATA, checkpoint=None, model=model_input(BASE))
        track(dataclasses.replace(evaluation, name=f"evaluate-{nth}", execution=f"evaluate-{nth}"))
    assert measured(client, BASE) == {("make-first", 0.5), ("evaluate-first", 0.5)}
    assert only_run(client, "evaluate-third").data.metrics == {"accuracy": 0.5}


def test_equal_results_of_two_models_are_tied_to_each_of_them(client: "MlflowClient") -> None:
    for name, md5 in (("base", BASE), ("Dev1", DEV1)):
        track(dataclasses.replace(record(name, md5, name), metrics={}))
        evaluation = record("evaluate", DATA, checkpoint=None, model=model_input(md5))
        own = {"name": f"evaluate@{name}", "execution": f"evaluate@{name}", "fingerprint": f"evaluate@{name}"}
        track(dataclasses.replace(evaluation, **own))
    assert measured(client, BASE) == {("evaluate@base", 0.5)}
    assert measured(client, DEV1) == {("evaluate@Dev1", 0.5)}


def test_a_checkpoint_that_the_store_does_not_know_is_still_an_input(client: "MlflowClient") -> None:
    track(record("stage4_general_rl", R1, "R1", policy=model_input(DEV1)))
    run = only_run(client, "stage4_general_rl")
    assert [entry.dataset.digest for entry in run.inputs.dataset_inputs] == [DEV1]
    assert "not in this tracking store" in run.data.tags["mlflow.note.content"]


@on_both
def test_tracking_the_same_run_twice_leaves_one_of_everything(client: "MlflowClient") -> None:
    track_base_to_r1()
    track(record("stage4_general_rl", R1, "R1", policy=model_input(DEV1), problems=data_input()))
    run = only_run(client, "stage4_general_rl")
    assert points(client, run) == [(1, 0.5), (2, 1.0), (3, 1.5)]
    assert len(client.search_model_versions("name = 'R1'")) == 1
    assert (len(run.inputs.model_inputs), len(run.inputs.dataset_inputs), len(run.outputs.model_outputs)) == (1, 1, 1)


@on_both
def test_the_same_checkpoint_trained_again_is_the_same_model(client: "MlflowClient") -> None:
    first = record("stage0_base_model", BASE, "base")
    track(first)
    track(dataclasses.replace(first, name="again", execution="another"))
    assert len(client.search_model_versions("name = 'base'")) == 1
    assert len(only_run(client, "again").outputs.model_outputs) == 1


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


def dead_address() -> str:
    """An address at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


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


@pytest.fixture
def server(tmp_path: Path, migrated_database: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A real MLflow server on a free port, with a store of its own."""
    shutil.copy(migrated_database, tmp_path / "server.db")
    address = dead_address()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"),
            *("--port", address.rpartition(":")[2]),
            *("--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}"),
        ],
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # it answers from a child, which must end with it
    )
    end = time.monotonic() + 120
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) == 0:
                break
        assert time.monotonic() < end, "the MLflow server did not start"
        time.sleep(0.2)
    yield address, process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


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

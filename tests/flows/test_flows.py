"""Flows on a real Prefect server, over a real git and DVC repository with steps that take no time."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State, TaskRun
from prefect.settings import PREFECT_API_URL

from tasks import last_failure
from tasks.pipeline import pipeline_run
from tasks.stage_files import locked_outputs
from tests.secrets_in_the_environment import CANARIES, leaks
from tests.toy_repo import REAL_SHAPE, make_toy_repo, run, set_param

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

REPOSITORY = Path(__file__).parents[2]


@flow(name="toy")
def toy_flow() -> None:
    """All stages of the toy repository."""
    with pipeline_run("toy") as stage:
        stage("base")
        stage("train")
        stage("score")


def states_of(state: State) -> dict[str, str]:
    """Stage -> name of its task run's end state, asked of the server."""
    return {task_run.name: task_run.state_name or "" for task_run in task_runs(state)}


def task_runs(state: State) -> list[TaskRun]:
    """Task runs of the flow run that ended in ``state``, once the server knows how each of them ended.

    Prefect sends tasks and their states as events, which on a busy machine arrive seconds after the flow has returned:
    all known ones have ended, and half a second later there are no more of them.
    """
    wanted = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))  # type: ignore[list-item]
    before = -1
    with get_client(sync_client=True) as client:
        for _ in range(120):
            found = client.read_task_runs(flow_run_filter=wanted)
            if len(found) == before and all(run.state is not None and run.state.is_final() for run in found):
                return found
            before = len(found)
            time.sleep(0.5)
    raise AssertionError(f"after 60 s not all ended: {[(run.name, run.state_name) for run in found]}")


def test_first_run_runs_all_second_none_and_changed_back_is_restored(toy: Path) -> None:
    everything = dict.fromkeys(["base", "train@small", "train@big", "score"])
    assert states_of(toy_flow(return_state=True)) == dict.fromkeys(everything, "Ran")
    first_lock = (toy / "dvc.lock").read_bytes()

    assert states_of(toy_flow(return_state=True)) == dict.fromkeys(everything, "UpToDate")

    set_param(toy, "train", x=2)  # train and what reads from it; base is above it
    changed = {"base": "UpToDate", "train@small": "Ran", "train@big": "Ran", "score": "Ran"}
    assert states_of(toy_flow(return_state=True)) == changed

    set_param(toy, "train", x=1)
    back = {"base": "UpToDate", "train@small": "Restored", "train@big": "Restored", "score": "Restored"}
    assert states_of(toy_flow(return_state=True)) == back
    assert (toy / "dvc.lock").read_bytes() == first_lock


def test_plain_dvc_repro_leaves_the_same_lock_as_the_flow(toy: Path, tmp_path: Path) -> None:
    by_hand = tmp_path / "by_hand"
    run(toy, "git", "clone", "-q", str(toy), str(by_hand))
    run(by_hand, "dvc", "repro", "-q")
    toy_flow()
    assert (toy / "dvc.lock").read_bytes() == (by_hand / "dvc.lock").read_bytes()


def test_no_secret_of_the_environment_is_in_what_a_flow_that_runs_and_one_that_fails_leave(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, canary in CANARIES.items():
        monkeypatch.setenv(name, canary)
    assert toy_flow(return_state=True).is_completed()
    set_param(toy, "train", fail=True)
    failed = toy_flow(return_state=True)
    assert failed.is_failed()
    with get_client(sync_client=True) as prefect:
        told = [prefect.read_logs(limit=200), prefect.read_artifacts(), prefect.read_flow_runs(), task_runs(failed)]
    assert all(told), "each kind is there"
    assert leaks(repr(told)) + leaks("".join(capfd.readouterr())) + leaks(tmp_path) == []


def test_task_version_follows_the_parameters_of_its_stage_alone(toy: Path) -> None:
    before = {task_run.name: task_run.task_version for task_run in task_runs(toy_flow(return_state=True))}
    set_param(toy, "train", x=2)
    after = {task_run.name: task_run.task_version for task_run in task_runs(toy_flow(return_state=True))}
    assert {stage for stage in before if before[stage] != after[stage]} == {"train@small", "train@big"}


def test_flow_is_one_mlflow_run_with_note_and_its_artifacts_are_on_the_prefect_page(toy: Path) -> None:
    state = toy_flow(return_state=True)
    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("r1-pipeline")
    assert experiment is not None
    (parent,) = client.search_runs([experiment.experiment_id])
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["prefect.flow_run_id"] == str(state.state_details.flow_run_id)
    # x = 1 gives accuracy 1 / 4
    assert "| score | Ran |" in parent.data.tags["mlflow.note.content"]
    assert "accuracy 0.25" in parent.data.tags["mlflow.note.content"]
    assert "R1_PARENT_RUN_ID" not in os.environ
    with get_client(sync_client=True) as prefect:
        key = ArtifactFilter(key=ArtifactFilterKey(any_=["toy-stages"]))
        tables = [a for a in prefect.read_artifacts(artifact_filter=key) if a.flow_run_id == parent_id(state)]
    rows = json.loads(str(tables[0].data))
    assert [row["md5"] for row in rows[:1]] == [locked_outputs(toy, "base")["artifacts/base"]]
    assert rows[-1]["metrics"] == "accuracy 0.25"
    assert [(row["stage"], row["status"]) for row in rows] == [
        ("base", "Ran"),
        ("train@small", "Ran"),
        ("train@big", "Ran"),
        ("score", "Ran"),
    ]


def parent_id(state: State) -> object:
    """Id of the flow run that ended in ``state``."""
    return state.state_details.flow_run_id


def test_tracking_that_is_down_does_not_stop_the_flow(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # the discard port: nobody answers
    state = toy_flow(return_state=True)
    assert state.is_completed()
    assert set(states_of(state).values()) == {"Ran"}


def test_failed_stage_keeps_its_last_output_metrics_and_lock(toy: Path) -> None:
    toy_flow()
    good = {
        path: path.read_bytes()
        for path in [toy / "dvc.lock", toy / "artifacts/train@big", toy / "metrics/train@big.json"]
    }
    set_param(toy, "train", x=3, fail=True)
    state = toy_flow(return_state=True)
    assert state.is_failed()
    # the first item failed, so neither the second nor score was reached
    assert states_of(state) == {"base": "UpToDate", "train@small": "Failed"}
    assert "train@small: cannot go on" in (state.message or "")
    assert {path: path.read_bytes() for path in good} == good
    for path in ("artifacts/train@small", "metrics/train@small.json"):
        assert (toy / path).is_file()


def test_what_the_doctor_finds_is_the_failure_of_the_flow_with_its_remedy(toy: Path) -> None:
    row = {"check": "base: tags", "state": "finding", "found": "tags are lost", "fix": "keep them"}
    (toy / "stages" / "doctor.py").write_text(f"print({json.dumps(row)!r}); raise SystemExit(1)")
    state = toy_flow(return_state=True)
    assert state.is_failed()
    assert "base: tags: tags are lost. keep them" in (state.message or "")
    assert not (toy / "artifacts").exists()


def test_make_doctor_tells_the_flow_run_that_failed_last(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_failure, "prefect_url", lambda: PREFECT_API_URL.value().removesuffix("/api"))
    set_param(toy, "base", fail=True)
    run_id = parent_id(toy_flow(return_state=True))
    failure = last_failure.last_failure(toy)
    assert failure is not None and failure.log.endswith(f"/runs/flow-run/{run_id}")
    assert "StageFailedError: stage base failed" in failure.message()
    assert "base: cannot go on" in failure.message()


def test_a_flow_in_the_wrong_order_is_refused(toy: Path) -> None:
    @flow(name="wrong-order")
    def wrong_order() -> None:
        with pipeline_run("wrong-order") as stage:
            stage("score")

    state = wrong_order(return_state=True)
    assert state.is_failed()
    assert "calls score before base, train@big, which it reads from" in (state.message or "")
    assert not (toy / "artifacts").exists()


def test_flows_of_the_paper_call_every_stage_in_an_order_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.r1_distillation import r1_distillation
    from flows.r1_pipeline import r1_pipeline
    from flows.r1_zero import r1_zero

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    make_toy_repo(tmp_path, REAL_SHAPE)

    zero = states_of(r1_zero(return_state=True))
    assert set(zero) == {
        *("stage0_base_model", "stage0_problems", "stage0_r1_zero"),
        *("evaluate@base", "evaluate@R1-Zero"),
    }
    students = states_of(r1_distillation(return_state=True))
    assert {stage for stage in students if stage.startswith("evaluate")} == {
        "evaluate@student-small",
        "evaluate@R1-Distill-small",
    }
    assert students["stage0_r1_zero"] == "UpToDate" and students["stage5_distillation@small"] == "Ran"
    assert set(states_of(r1_pipeline(return_state=True))) == set(REAL_SHAPE)
    assert set(states_of(r1_pipeline(return_state=True)).values()) == {"UpToDate"}


def test_one_stage_runs_alone_or_with_what_it_needs(
    toy: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "flows.r1_stage", raising=False)  # its form is made from the directory it is in
    from flows.r1_stage import r1_stage

    toy_flow()
    set_param(toy, "base", x=2)
    set_param(toy, "train", x=2)
    alone = r1_stage("train@big", return_state=True)  # type: ignore[arg-type]
    assert states_of(alone) == {"train@big": "Ran"}
    assert "stale upstream of train@big: base; not run" in caplog.text
    assert "stale downstream of train@big now: score" in caplog.text

    whole = r1_stage("train", with_upstream=True, return_state=True)  # type: ignore[arg-type]
    assert states_of(whole) == {"base": "Ran", "train@small": "Ran", "train@big": "Ran"}
    refused = r1_stage("trian", return_state=True)  # type: ignore[arg-type]
    assert refused.is_failed() and "'base', 'train@small', 'train@big', 'score' or 'train'" in str(refused.message)


def start_flow(toy: Path) -> subprocess.Popen[bytes]:
    """A flow run in a process of its own, whose stage ``base`` sleeps; returns when the stage is running."""
    set_param(toy, "base", x=9, sleep=60)
    code = "from tests.flows.test_flows import toy_flow; toy_flow()"
    # with the server of these tests; without, the flow would start one of its own, which is not ours to stop
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PREFECT_API_URL": PREFECT_API_URL.value()}
    (toy / "running").unlink(missing_ok=True)
    process = subprocess.Popen([sys.executable, "-c", code], cwd=toy, env=env)
    wait_until((toy / "running").exists, seconds=60)
    return process


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Return as soon as ``condition`` holds; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.05)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_ended_flow_leaves_no_process_and_the_last_good_output(toy: Path, how: signal.Signals) -> None:
    toy_flow()
    lock, output = (toy / "dvc.lock").read_bytes(), (toy / "artifacts/base").read_bytes()
    process = start_flow(toy)
    children = psutil.Process(process.pid).children(recursive=True)
    assert any("step.py" in " ".join(child.cmdline()) for child in children)
    ended = time.monotonic()
    process.send_signal(how)
    _, alive = psutil.wait_procs(children, timeout=8)
    assert not alive, f"{how.name} left {alive} after {time.monotonic() - ended:.1f} s"
    assert (toy / "saved").read_text() == "base"  # the stage was told, and could save
    process.wait(timeout=30)
    assert (toy / "dvc.lock").read_bytes() == lock
    if how is signal.SIGTERM:  # after SIGKILL nobody is left to put it back; the next run makes it again
        assert (toy / "artifacts/base").read_bytes() == output

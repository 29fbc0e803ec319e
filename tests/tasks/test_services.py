"""The local servers start once, say which port is taken, and stop without touching anything else."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tasks.addresses import ServiceError, database, mlflow_url, pool, port, prefect_url
from tasks.health import fetch
from tasks.left_behind import flow_run_processes, mark_crashed
from tasks.services import FOLDER, all_services, check_ports, down, running, seconds_after_boot, up
from tasks.stage_files import locked_outputs
from tests.toy_repo import THREE_STAGES, set_param

REPOSITORY = Path(__file__).parents[2]


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("value", ["http", "80", "70000", "-1", ""])
def test_a_port_that_is_none_is_named_with_its_variable(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R1_MLFLOW_PORT", value)
    with pytest.raises(ServiceError, match=r"R1_MLFLOW_PORT=.* is no port"):
        port("R1_MLFLOW_PORT", 5000)


def test_a_port_in_use_names_the_port_and_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        monkeypatch.setenv("R1_MLFLOW_PORT", str(taken))
        with pytest.raises(ServiceError, match=rf"port {taken} for mlflow is in use.*export R1_MLFLOW_PORT="):
            check_ports(all_services(tmp_path)[:1])


def test_a_pid_that_now_belongs_to_another_process_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    us = psutil.Process(os.getpid())
    record = tmp_path / FOLDER / "worker.json"
    record.write_text(
        json.dumps({"pid": us.pid, "started": seconds_after_boot(us) - 1000})
    )  # same number, older process
    assert running(tmp_path, "worker") is None
    down(tmp_path)  # would end this test run if it went by the number alone
    assert not record.exists()


@pytest.mark.slow
def test_up_twice_starts_once_and_down_stops_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R1_MLFLOW_PORT", str(free_port()))
    monkeypatch.setenv("R1_PREFECT_PORT", str(free_port()))
    up(tmp_path)
    try:
        first = {service.name: running(tmp_path, service.name) for service in all_services(tmp_path)}
        assert all(first.values()) and all(service.is_healthy() for service in all_services(tmp_path))
        tree = [p for process in first.values() if process for p in [process, *process.children(recursive=True)]]
        up(tmp_path)
        assert {name: running(tmp_path, name) for name in first} == first
    finally:
        down(tmp_path)
    assert not [process for process in tree if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert fetch(f"{mlflow_url()}/health") is None


def test_a_server_that_is_elsewhere_is_asked_for_and_not_started_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("R1_MLFLOW_URL", f"http://127.0.0.1:{free_port()}/")
    assert [service.name for service in all_services(tmp_path)] == ["prefect", "worker"]
    with pytest.raises(ServiceError, match=r"R1_MLFLOW_URL=http.* does not answer. Start that server, or unset"):
        up(tmp_path)


def test_an_address_that_is_none_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R1_PREFECT_URL", "servers:4200")
    with pytest.raises(ServiceError, match=r"R1_PREFECT_URL='servers:4200' is no address: http://HOST:PORT"):
        prefect_url()


def test_a_database_gets_its_driver_and_a_wrong_one_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("R1_MLFLOW_DB", "postgresql://r1:secret@db/mlflow")
    assert database("R1_MLFLOW_DB", "psycopg") == "postgresql+psycopg://r1:secret@db/mlflow"
    monkeypatch.setenv("R1_MLFLOW_DB", "mysql://r1:secret@db/mlflow")
    with pytest.raises(ServiceError, match=r"R1_MLFLOW_DB begins with 'mysql'") as refused:
        database("R1_MLFLOW_DB", "psycopg")
    assert "secret" not in str(refused.value)


def test_a_database_that_is_not_there_is_named_at_once_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("R1_PREFECT_DB", f"postgresql://r1:secret@{place}/prefect")
    with pytest.raises(ServiceError, match=rf"R1_PREFECT_DB: nothing listens at {place}") as refused:
        up(tmp_path)
    assert "secret" not in str(refused.value)
    assert not (tmp_path / FOLDER).exists()


def test_a_clock_that_was_set_makes_no_service_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / FOLDER).mkdir()
    us = psutil.Process(os.getpid())
    (tmp_path / FOLDER / "worker.json").write_text(json.dumps({"pid": us.pid, "started": seconds_after_boot(us)}))
    created, booted = psutil.Process.create_time, psutil.boot_time()  # the kernel gives both by the new clock
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: created(self) + 3600)
    monkeypatch.setattr(psutil, "boot_time", lambda: booted + 3600)
    assert running(tmp_path, "worker") is not None


def running_flow_run(api: str) -> str:
    """Id of a flow run of our pool that Prefect believes to be running."""
    flow = json.loads(fetch(f"{api}/flows/", {"name": "lost"}) or b"")["id"]
    deployment = {"name": "one", "flow_id": flow, "work_pool_name": pool()}
    made = json.loads(fetch(f"{api}/deployments/", deployment) or b"")["id"]
    started = fetch(f"{api}/deployments/{made}/create_flow_run", {"state": {"type": "RUNNING"}})
    return str(json.loads(started or b"")["id"])


@pytest.mark.slow
def test_servers_that_were_killed_start_again_and_a_lost_flow_run_frees_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("R1_MLFLOW_PORT", str(free_port()))
    monkeypatch.setenv("R1_PREFECT_PORT", str(free_port()))
    up(tmp_path)
    try:
        lost = running_flow_run(f"{prefect_url()}/api")
        services = [running(tmp_path, service.name) for service in all_services(tmp_path)]
        tree = [p for process in services if process for p in [process, *process.children(recursive=True)]]
        for process in filter(None, services):
            process.kill()
        psutil.wait_procs([process for process in services if process], timeout=30)
        up(tmp_path)
        state = json.loads(fetch(f"{prefect_url()}/api/flow_runs/{lost}") or b"")["state"]
        assert (state["type"], "its process was killed" in state["message"]) == ("CRASHED", True)
        assert mark_crashed(tmp_path, f"{prefect_url()}/api", pool(), fetch) == []
        assert flow_run_processes(tmp_path) == {}
    finally:
        down(tmp_path)
    assert not [process for process in tree if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
def test_a_flow_whose_prefect_server_is_killed_and_started_again_during_a_stage_ends_completed(
    tmp_path: Path, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("R1_MLFLOW_PORT", str(free_port()))
    monkeypatch.setenv("R1_PREFECT_PORT", str(free_port()))
    set_param(toy, "base", sleep=6)
    up(tmp_path)
    try:
        urls = {"PREFECT_API_URL": f"{prefect_url()}/api", "MLFLOW_TRACKING_URI": mlflow_url()}
        code = "from tests.flows.test_flows import toy_flow; toy_flow()"
        environment = {**os.environ, **urls, "PYTHONPATH": str(REPOSITORY)}
        flow = subprocess.Popen([sys.executable, "-c", code], cwd=toy, env=environment)
        while not (toy / "running").exists():
            assert flow.poll() is None
            time.sleep(0.1)
        server = running(tmp_path, "prefect")
        assert server is not None
        server.kill()
        server.wait(timeout=30)
        up(tmp_path)
        assert flow.wait(timeout=120) == 0
        [state] = [
            run["state"]["type"] for run in json.loads(fetch(f"{prefect_url()}/api/flow_runs/filter", {}) or b"")
        ]
        assert state == "COMPLETED"
        assert all(locked_outputs(toy, stage) for stage in THREE_STAGES)
    finally:
        down(tmp_path)

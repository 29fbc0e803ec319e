"""Real MLflow stores: a database in a file, a PostgreSQL server, a server over HTTP."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stages import mlflow_store
from tests.postgres_server import execute
from tests.stages.tracking.runs import dead_address

if TYPE_CHECKING:
    from mlflow import MlflowClient


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

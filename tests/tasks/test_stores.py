"""Artifacts go through a real S3 server and back, and both servers keep what they know in a real PostgreSQL."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages import mlflow_store
from tasks.addresses import mlflow_url, prefect_url, services_environment
from tasks.health import fetch
from tasks.services import down, up
from tests.postgres_server import execute
from tests.tasks.test_services import free_port
from tests.toy_repo import run

BUCKET = "r1-pipeline"
DVC = (sys.executable, "-m", "dvc")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An S3 server on loopback with an empty bucket, which the environment names."""
    moto = pytest.importorskip("moto.server", reason="no S3 server: pip install -e '.[servers-test]'")
    boto3 = pytest.importorskip("boto3", reason="no S3 client: pip install -e '.[servers]'")
    pytest.importorskip("dvc_s3", reason="no S3 remote for DVC: pip install -e '.[servers]'")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "r1",
        "AWS_SECRET_ACCESS_KEY": "only-for-tests",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    yield
    server.stop()


def stored() -> list[str]:
    """Keys of the bucket."""
    import boto3

    return [entry["Key"] for entry in boto3.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])]


@pytest.mark.slow
def test_what_is_pushed_to_s3_is_pulled_byte_for_byte_into_a_fresh_clone(toy: Path, tmp_path: Path, s3: None) -> None:
    run(toy, *DVC, "repro", "--quiet", "base")
    run(toy, "git", "add", "-A")
    run(toy, "git", "commit", "-qm", "base was made")
    made = (toy / "artifacts" / "base").read_bytes()
    add_remote = (*DVC, "remote", "add", "--local", "-d", "store", f"s3://{BUCKET}/dvc")
    run(toy, *add_remote)
    run(toy, *DVC, "push", "--quiet", "base")
    assert len(stored()) == 1

    run(tmp_path, "git", "clone", "-q", str(toy), "fresh")
    fresh = tmp_path / "fresh"
    run(fresh, *add_remote)
    run(fresh, *DVC, "pull", "--quiet", "base")
    assert (fresh / "artifacts" / "base").read_bytes() == made
    assert "base" not in run(fresh, *DVC, "status", "base")  # it is what dvc.lock says, and need not be made


@pytest.mark.slow
def test_both_servers_keep_what_they_know_in_postgres_and_artifacts_in_s3(
    tmp_path: Path, postgres: str, s3: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("prefect", "mlflow"):
        execute(postgres, f"CREATE DATABASE {name}")
        monkeypatch.setenv(f"R1_{name.upper()}_DB", f"{postgres}/{name}")
        monkeypatch.setenv(f"R1_{name.upper()}_PORT", str(free_port()))
    monkeypatch.setenv("R1_MLFLOW_ARTIFACTS", f"s3://{BUCKET}/mlflow")
    up(tmp_path)
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url())
        store = mlflow_store.connect()
        run_id = store.client.create_run(store.experiment_id).info.run_id
        store.client.log_dict(run_id, {"answer": 42}, "notes.json")
        assert [key.rsplit("/", 1)[1] for key in stored()] == ["notes.json"]
        assert fetch(f"{prefect_url()}/api/work_pools/r1-local") is not None
    finally:
        down(tmp_path)
    assert rows(f"{postgres}/mlflow", "SELECT run_uuid FROM runs") == [run_id]
    assert rows(f"{postgres}/prefect", "SELECT name FROM work_pool") == ["r1-local"]
    assert not (tmp_path / "mlflow.db").exists()
    assert not list((tmp_path / ".prefect").glob("*.db"))


def rows(database: str, query: str) -> list[str]:
    """The first column of what ``query`` finds."""
    import psycopg

    with psycopg.connect(database) as connection:
        return [row[0] for row in connection.execute(query.encode())]


def test_no_flow_run_is_told_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R1_PREFECT_DB", "postgresql://r1:secret@127.0.0.1/prefect")
    monkeypatch.setenv("R1_MLFLOW_DB", "postgresql://r1:secret@127.0.0.1/mlflow")
    assert not [value for value in services_environment(tmp_path).values() if "secret" in value]

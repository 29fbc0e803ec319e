"""One real Prefect server for all tests of this folder, and a toy repository for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness

from tests.toy_repo import THREE_STAGES, make_toy_repo


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A Prefect server with a database of its own, for as long as the tests run."""
    with prefect_test_harness(server_startup_timeout=60):
        yield


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh repository with the stages base, train@small, train@big, score; the current directory is in it."""
    root = tmp_path / "toy"
    root.mkdir()
    monkeypatch.chdir(root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    return make_toy_repo(root, THREE_STAGES)

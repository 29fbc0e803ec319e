"""A toy repository for each test that asks for one."""

from pathlib import Path

import pytest

from tests.toy_repo import THREE_STAGES, make_toy_repo


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh repository with the stages base, train@small, train@big, score; the current directory is in it."""
    root = tmp_path / "toy"
    root.mkdir()
    monkeypatch.chdir(root)
    return make_toy_repo(root, THREE_STAGES)

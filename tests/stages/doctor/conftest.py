"""The blocks of the tiny profile with changes, as the doctor reads them; and a copy of the tiny base model to break."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.config import StageConfig
from stages.doctor.setup import load_setup

ROOT = Path(__file__).resolve().parents[3]
Setup = dict[str, StageConfig]


@pytest.fixture
def setup_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Setup]:
    """The tiny profile with values changed by their dotted key, from a folder without artifacts."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").symlink_to(ROOT / "weights")

    def changed(changes: dict[str, Any] | None = None) -> Setup:
        # through JSON, so that blocks shared by an anchor are apart
        params = json.loads(json.dumps(yaml.safe_load((ROOT / "profiles" / "tiny.yaml").read_text())))
        for key, value in (changes or {}).items():
            *path, last = key.split(".")
            block = params
            for name in path:
                block = block[name]
            block[last] = value
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
        return load_setup(tmp_path / "params.yaml")

    return changed


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A copy of the shipped base model."""
    return Path(shutil.copytree(ROOT / "weights" / "tiny-base", tmp_path / "base"))


@pytest.fixture
def change_json() -> Callable[..., None]:
    """Sets keys of a JSON file."""

    def change(file: Path, **values: Any) -> None:
        file.write_text(json.dumps(json.loads(file.read_text()) | values))

    return change

"""What a stage left on disk: its entry in dvc.lock, its final metrics, its fingerprint, its version.

Reads files only; nothing here starts a process but ``put_back``, which asks DVC for a stage's last good output.
"""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from tasks.graph import run_dvc

SMALL_FILE_BYTES = 16 * 2**20
"""Outputs up to this size are kept in memory while their stage runs: metrics and curves, which DVC does not cache."""


def locked_outputs(root: Path, stage: str) -> dict[str, str]:
    """Path -> md5 of each output ``dvc.lock`` records for ``stage``; empty for a stage that has never finished."""
    lock = root / "dvc.lock"
    if not lock.exists():
        return {}
    entry = _parsed(lock, lock.stat().st_mtime_ns)["stages"].get(stage, {})
    return {out["path"]: out.get("md5", "") for out in entry.get("outs", [])}


def locked_bytes(root: Path) -> int:
    """Bytes of all outputs that ``dvc.lock`` records: what the last run of each stage has written."""
    lock = root / "dvc.lock"
    if not lock.exists():
        return 0
    stages = _parsed(lock, lock.stat().st_mtime_ns)["stages"].values()
    return sum(out.get("size", 0) for entry in stages for out in entry.get("outs", []))


def read_params(root: Path) -> dict[str, Any]:
    """``params.yaml`` as plain data, unchecked."""
    path = root / "params.yaml"
    return _parsed(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _parsed(path: Path, _changed_at: int) -> dict[str, Any]:
    """Contents of a YAML file, parsed once per version of it: a flow asks for every stage, which took seconds."""
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


def final_metrics(root: Path, stage: str) -> dict[str, float]:
    """Final scalars of ``stage`` from metrics/<stage>.json, in the file's order; empty if it writes none."""
    path = root / "metrics" / f"{stage}.json"
    if not path.exists():
        return {}
    return {name: value for name, value in json.loads(path.read_text()).items() if isinstance(value, int | float)}


def alarm_steps(root: Path, stage: str) -> dict[str, int]:
    """Alarm -> number of steps in which it rang, of the curves in metrics/<stage>.csv; empty if none rang."""
    path = root / "metrics" / f"{stage}.csv"
    if not path.exists():
        return {}
    rang: Counter[str] = Counter()
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rang.update(
                name.removeprefix("alarm/") for name in row if name.startswith("alarm/") and float(row[name] or 0)
            )
    return dict(rang)


def fingerprint(root: Path, stage: str) -> str | None:
    """Fingerprint in the provenance.json beside the output of ``stage``, or None for an output without one."""
    for path in locked_outputs(root, stage):
        provenance = root / path / "provenance.json"
        if provenance.exists():
            return str(json.loads(provenance.read_text())["fingerprint"])
    return None


def stage_version(root: Path, stage: str) -> str:
    """12 hex characters that change when the stage's own module or its block of params.yaml changes."""
    block = stage.split("@", maxsplit=1)[0]
    params = read_params(root)
    code = root / "stages" / f"{block}.py"
    digest = hashlib.sha256(code.read_bytes() if code.exists() else b"")
    digest.update(json.dumps(params.get(block), sort_keys=True, default=str).encode())
    return digest.hexdigest()[:12]


def keep_small_outputs(root: Path, stage: str) -> dict[Path, bytes]:
    """Contents of the small output files of ``stage``. DVC deletes them before it runs the stage."""
    paths = [root / path for path in locked_outputs(root, stage)]
    return {path: path.read_bytes() for path in paths if path.is_file() and path.stat().st_size <= SMALL_FILE_BYTES}


def put_back(root: Path, stage: str, kept: Mapping[Path, bytes]) -> bool:
    """Bring back the last good output of ``stage``: from DVC's cache, and the files DVC does not cache from ``kept``.

    False if there is nothing to bring back, because the stage has never finished.

    Raises:
        DvcError: the cache no longer holds the output.
    """
    if not locked_outputs(root, stage):
        return False
    for path, content in kept.items():
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # never write into a hard link of DVC's cache
            path.write_bytes(content)
    run_dvc(root, "checkout", "--force", stage)
    return True

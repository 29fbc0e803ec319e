"""Checks before any work starts, at the cost of a second: each problem gets one message with its remedy.

    python -m tasks.preflight        exits with 2 and the message if something is wrong

A check says what it found, or raises. ``make doctor`` runs these and those that need the models (``model_checks.py``).
"""

import importlib.metadata
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.version import Version

from tasks.graph import DvcError, StageGraph, read_graph
from tasks.mend import mend
from tasks.processes import child_environment
from tasks.stage_files import locked_bytes, read_params

FLOOR_BYTES = 10**9
"""Data, logs and the servers' databases; a whole run of the tiny profile with its models fits into it."""
SAVED_STATES = 2
"""Resumable states a training keeps (TRL's save_total_limit), each with weights and Adam's two moments in fp32."""
REWARD_MODELS = 2
"""Helpful and safety, beside the checkpoints that are evaluated."""
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


class PreflightError(RuntimeError):
    """The pipeline cannot start: what was found, and what to do."""

    def __init__(self, found: str, fix: str = "") -> None:
        super().__init__(f"{found}. {fix}" if fix else found)
        self.found, self.fix = found, fix


def preflight(root: Path) -> StageGraph:
    """The stage graph, when git, DVC, the environment, the disk, params.yaml and dvc.yaml are fit for a run.

    Raises:
        PreflightError: the first thing found wrong, with its remedy. Nothing was written.
    """
    for check in CHECKS.values():
        check(root)
    return check_graph(root)


def check_git(root: Path) -> str:
    """Pass if ``root`` lies in a git repository: DVC and the lineage tags need one."""
    if shutil.which("git") is None:
        raise PreflightError("the program `git` is not here", "Install it, or put it on PATH")
    command = ["git", "rev-parse", "--is-inside-work-tree"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PreflightError(f"{root} is no git repository", "Run: git init && git add -A && git commit -m start")
    return "a repository"


def check_dvc(root: Path) -> str:
    """Pass if ``root`` holds an initialised DVC repository and the stage graph."""
    if not (root / ".dvc" / "config").is_file():
        raise PreflightError(f"{root} has no usable .dvc directory", "Run: dvc init -f")
    for name in ("dvc.yaml", "params.yaml"):
        if not (root / name).is_file():
            raise PreflightError(f"{root / name} is missing", f"Run: git checkout {name}")
    return "initialised"


def check_versions(root: Path) -> str:
    """Pass if what pyproject.toml wants is installed; says where constraints.txt, tried as a whole, differs."""
    project, constraints = root / "pyproject.toml", root / "constraints.txt"
    if not project.is_file() or not constraints.is_file():
        return "no pyproject.toml and constraints.txt to compare with"
    known = dict(re.findall(r"^([\w.-]+)==([\w.]+)", constraints.read_text(), flags=re.MULTILINE))
    wrong, other = [], []
    for wanted in map(Requirement, tomllib.loads(project.read_text())["project"]["dependencies"]):
        try:
            found = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{wanted} is not installed")
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            wrong.append(f"{wanted.name} {found} is none of {wanted.specifier}")
        elif known.get(wanted.name, found) != Version(found).public:
            other.append(f"{wanted.name} {found}, tried was {known[wanted.name]}")
    if wrong:
        raise PreflightError("; ".join(wrong), "Run: make setup (or: pip install -c constraints.txt -e .)")
    return "; ".join(other) or "as tried together (constraints.txt)"


def check_disk(root: Path) -> str:
    """Pass if what a whole run will write fits on the disk of ``root``."""
    free, needed = shutil.disk_usage(root).free, needed_bytes(root)
    if free < needed:
        raise PreflightError(
            f"only {free / 1e9:.2f} GB free on the disk of {root}, a run needs {needed / 1e9:.1f} GB",
            "Free some, for example with: dvc gc --workspace",
        )
    return f"{free / 1e9:.0f} GB free, {needed / 1e9:.1f} GB needed"


def needed_bytes(root: Path) -> int:
    """The outputs of the last run, or a model a checkpoint if that is more, and the states of the training at work.

    A base model that is not on disk yet (a hub id) counts nothing.
    """
    params = read_params(root)
    weights = _weight_bytes(root, params)
    checkpoints = len(params.get("evaluate", {}).get("checkpoints", {})) + REWARD_MODELS
    return FLOOR_BYTES + max(locked_bytes(root), weights * checkpoints) + weights * 3 * SAVED_STATES


def _weight_bytes(root: Path, params: dict[str, Any]) -> int:
    """Bytes of the base model's weights in fp32, as training holds them."""
    given = params.get("stage0_base_model", {}).get("base", {}).get("checkpoint")
    folder = root / (given or "artifacts/stage0_base_model")
    if not (folder / "config.json").is_file():
        return 0
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    stored = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return stored * 4 // BYTES.get(config.get("dtype") or config.get("torch_dtype") or "float32", 4)


def check_params(root: Path) -> str:
    """Pass if every block of params.yaml is valid. A process of its own: the stages' configs may import torch."""
    command = [sys.executable, "-m", "stages.contract.check_params"]
    done = subprocess.run(command, cwd=root, env=child_environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PreflightError(done.stderr.strip() or done.stdout.strip())
    return "every key is known and allowed"


def check_graph(root: Path) -> StageGraph:
    """The stage graph, if DVC can read it."""
    try:
        return read_graph(root)
    except DvcError as error:
        raise PreflightError(str(error), "Correct dvc.yaml or .dvc/, then try `dvc dag`") from error
    except ValueError as error:
        raise PreflightError(str(error)) from error


def check_addresses(root: Path) -> str:
    """Pass if no server's address holds a password: addresses are shown in logs, links and the report."""
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "R1_MLFLOW_URL", "R1_PREFECT_URL"):
        place = urlsplit(os.environ.get(name, ""))
        if place.scheme in ("http", "https") and place.password is not None:
            raise PreflightError(
                f"{name} holds a password, which logs and links would show",
                "Give it in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or in PREFECT_API_AUTH_STRING",
            )
    return "hold no password"


CHECKS: dict[str, Callable[[Path], str]] = {
    "git": check_git,
    "addresses": check_addresses,
    "DVC": check_dvc,
    "versions": check_versions,
    "disk": check_disk,
    "params.yaml": check_params,
}
"""In an order in which a later one may rely on an earlier one."""


def main() -> int:
    """Exit code 0 if a run can start, else 2 and one message."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    log = logging.getLogger("preflight")
    for mended in mend(Path.cwd()):
        log.warning("%s", mended)
    try:
        graph = preflight(Path.cwd())
    except PreflightError as error:
        log.error("%s", error)
        return 2
    log.info("ready: %d stages, params.yaml valid", len(graph.order))
    return 0


if __name__ == "__main__":
    sys.exit(main())

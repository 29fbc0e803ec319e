"""Checks before any work starts: each problem gets one message that says what is wrong and what to do.

python -m tasks.preflight        exits with 2 and the message if something is wrong
"""

import logging
import shutil
import subprocess
import sys
from pathlib import Path

from tasks.graph import DvcError, StageGraph, read_graph
from tasks.processes import child_environment

MIN_FREE_BYTES = 10**9
"""A whole run of the tiny profile fits into this; a full disk in the middle of a stage costs the stage."""


class PreflightError(RuntimeError):
    """The pipeline cannot start; the message says why and what to do."""


def preflight(root: Path) -> StageGraph:
    """The stage graph, when git, DVC, params.yaml, dvc.yaml and the disk are fit for a run.

    Raises:
        PreflightError: the first thing found wrong, with its remedy. Nothing was written.
    """
    check_git(root)
    check_dvc(root)
    check_disk(root)
    check_params(root)
    try:
        return read_graph(root)
    except DvcError as error:
        raise PreflightError(f"{error}\nCorrect dvc.yaml or .dvc/, then try `dvc dag`.") from error
    except ValueError as error:
        raise PreflightError(str(error)) from error


def check_git(root: Path) -> None:
    """Pass if ``root`` lies in a git repository: DVC and the lineage tags need one."""
    if shutil.which("git") is None:
        raise PreflightError("the program `git` is not installed, or not on PATH")
    command = ["git", "rev-parse", "--is-inside-work-tree"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PreflightError(f"{root} is no git repository. Run: git init && git add -A && git commit -m start")


def check_dvc(root: Path) -> None:
    """Pass if ``root`` holds an initialised DVC repository and the stage graph."""
    if not (root / ".dvc" / "config").is_file():
        raise PreflightError(f"{root} has no usable .dvc directory. Run: dvc init -f")
    for name in ("dvc.yaml", "params.yaml"):
        if not (root / name).is_file():
            raise PreflightError(f"{root / name} is missing. Run: git checkout {name}")


def check_disk(root: Path) -> None:
    """Pass if the disk of ``root`` has MIN_FREE_BYTES left."""
    free = shutil.disk_usage(root).free
    if free < MIN_FREE_BYTES:
        raise PreflightError(
            f"only {free / 1e9:.2f} GB free on the disk of {root}, a run needs {MIN_FREE_BYTES / 1e9:.0f} GB. "
            "Free some, for example with: dvc gc --workspace"
        )


def check_params(root: Path) -> None:
    """Pass if every block of params.yaml is valid. A process of its own: the stages' configs may import torch."""
    command = [sys.executable, "-m", "stages.contract.check_params"]
    done = subprocess.run(command, cwd=root, env=child_environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PreflightError(done.stderr.strip() or done.stdout.strip())


def main() -> int:
    """Exit code 0 if a run can start, else 2 and one message."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    log = logging.getLogger("preflight")
    try:
        graph = preflight(Path.cwd())
    except PreflightError as error:
        log.error("%s", error)
        return 2
    log.info("ready: %d stages, params.yaml valid", len(graph.order))
    return 0


if __name__ == "__main__":
    sys.exit(main())

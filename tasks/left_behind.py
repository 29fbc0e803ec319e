"""What a service that was killed outright has left behind: processes of its own, and flow runs without a process.

`make up` clears it before it starts the service again: MLflow's server answers from a child, which would go on holding
the port, and a flow run that Prefect believes to be running would hold the only place of the work pool for good.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tasks.processes import stop_tree

FLOW_RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"
"""Prefect's workers set it for the process of a flow run."""

Fetch = Callable[[str, dict[str, Any]], bytes | None]


def stop_left_behind(root: Path, group: int) -> None:
    """Stop the processes of the process group ``group``, which a service of ``root`` had made for itself.

    A number that belongs to somebody else by now is told by the environment, where PREFECT_HOME is that of ``root``.
    """
    ours = [process for process, environment in _ours(root) if FLOW_RUN_VARIABLE not in environment]
    for process in [process for process in ours if _group(process) == group]:
        stop_tree(process.pid, grace_seconds=2)


def flow_run_processes(root: Path) -> dict[str, psutil.Process]:
    """Flow run id -> the living process that a worker of ``root`` started for it, also where the worker is gone."""
    return {
        environment[FLOW_RUN_VARIABLE]: process
        for process, environment in _ours(root)
        if FLOW_RUN_VARIABLE in environment and "prefect" in " ".join(process.cmdline())
    }


def mark_crashed(root: Path, api: str, pool: str, fetch: Fetch) -> list[str]:
    """Names of the flow runs of ``pool`` that Prefect took for running without a process; they are Crashed now."""
    states = {"any_": ["RUNNING", "PENDING", "CANCELLING"]}
    wanted = {"flow_runs": {"state": {"type": states}}, "work_pools": {"name": {"any_": [pool]}}}
    runs = json.loads(fetch(f"{api}/flow_runs/filter", wanted) or b"[]")
    living = flow_run_processes(root)
    lost = [run for run in runs if run["id"] not in living]
    crashed = {"type": "CRASHED", "message": "its process was killed with its worker, or the machine was restarted"}
    for run in lost:
        fetch(f"{api}/flow_runs/{run['id']}/set_state", {"state": crashed, "force": True})
    return [run["name"] for run in lost]


def _ours(root: Path) -> list[tuple[psutil.Process, dict[str, str]]]:
    """Every living process that has the environment of the services of ``root``, and that environment."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # ended, or another user's
            continue
        if environment.get("PREFECT_HOME") == str(root / ".prefect"):
            found.append((process, environment))
    return found


def _group(process: psutil.Process) -> int | None:
    """The process group of ``process``; None if it has ended."""
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None

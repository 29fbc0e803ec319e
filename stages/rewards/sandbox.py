"""The sandbox: a model's programs are run, and only plain JSON comes back.

In: programs with call arguments or standard input. Out: what they returned or printed. The caller
compares; expected values never enter the process. ``sandbox_level`` tries the walls themselves.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from stages.rewards.fork_pool import Outcome, shared_pool

WALL_SECONDS = 2.0
"""Wall time of one program, all its calls together. Ours: reference programs need under 0.1 s."""
MAX_PROGRAM_CHARACTERS = 100_000

_PROBE = """
import os, socket, ctypes
def tried(action):
    try:
        action()
    except OSError:
        return False
    return True
def broken(parent):
    libc = ctypes.CDLL(None, use_errno=True)
    probes = {
        "reads files": lambda: open("/etc/passwd").close(),
        "reads processes": lambda: open(f"/proc/{os.getppid()}/environ", "rb").close(),
        "writes files": lambda: open("/tmp/.r1-sandbox-probe", "w").close(),
        "signals processes": lambda: os.kill(os.getppid(), 0),
        "opens sockets": lambda: socket.socket().close(),
        "makes processes": lambda: os.fork() or os._exit(0),
    }
    found = [name for name, action in probes.items() if tried(action)]
    return found + ["makes namespaces"] * (libc.unshare(0x10000000) == 0) + ["is root"] * (os.getuid() == 0)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One program to run: calls of ``function`` with each of ``args`` (typed JSON), or once with ``stdin``."""

    code: str
    function: str = ""
    args: tuple[Any, ...] = ()
    stdin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What came back."""

    timed_out: bool
    values: tuple[Any, ...] | None
    """A typed-JSON value a call, ``FAILED`` for a call that raised; None if nothing readable came back."""
    stdout: str | None
    """For ``stdin`` runs that ended without error."""


FAILED = object()


def run_programs(runs: Sequence[Run], wall_seconds: float = WALL_SECONDS) -> list[RunResult]:
    """The result of each run, in order; each in a fresh process with limits from its start.

    Raises:
        SandboxUnavailableError: this machine cannot run the sandbox at all.
    """
    outcomes = shared_pool("code").run_all([_request(run) for run in runs], wall_seconds)
    return [_result(run, outcome) for run, outcome in zip(runs, outcomes, strict=True)]


def _request(run: Run) -> dict[str, Any]:
    code = run.code.removeprefix("\ufeff")
    if run.stdin is not None:
        return {"code": code, "stdin": run.stdin}
    return {"code": code, "function": run.function, "args": run.args}


def _result(run: Run, outcome: Outcome) -> RunResult:
    ended_well = outcome.ended == "exited" and outcome.exit_code == 0
    values = stdout = None
    if ended_well and run.stdin is None:
        values = _read_values(outcome.payload, len(run.args))
    elif ended_well:
        stdout = outcome.payload.decode("utf-8", errors="replace")
    return RunResult(timed_out=outcome.ended == "timeout", values=values, stdout=stdout)


def _read_values(payload: bytes, count: int) -> tuple[Any, ...] | None:
    """The calls' values out of a hostile string; None unless it is exactly what the child's job writes."""
    try:
        rows = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if type(rows) is not list or len(rows) != count or not all(type(row) is dict and len(row) == 1 for row in rows):
        return None
    return tuple(row.get("value", FAILED) for row in rows)


def sandbox_level() -> tuple[Literal["strong", "weak"], list[str]]:
    """``("strong", [])``, or ``("weak", what a program can do here)``; tried out, takes a few milliseconds.

    Raises:
        SandboxUnavailableError: this machine cannot run the sandbox at all.
    """
    [result] = run_programs([Run(code=_PROBE, function="broken", args=([0],))])
    if result.values is None or not isinstance(result.values[0], list):
        return "weak", ["the self-test did not come back"]
    return ("weak" if result.values[0] else "strong"), result.values[0]

"""The sandbox: a model's programs are run, and only plain JSON comes back.

In: programs with call arguments or standard input. Out: what they returned or printed. The caller
compares; expected values never enter the process. ``sandbox_level`` tries the walls themselves.
"""

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from stages.config import SandboxLevel
from stages.rewards.sandbox.fork_pool import Outcome, shared_pool
from stages.rewards.sandbox.outcome import SandboxUnavailableError
from stages.rewards.sandbox.place import is_address, sandbox_place
from stages.rewards.sandbox.remote_executor import remote_level, run_remotely
from stages.rewards.sandbox.run_json import FAILED, MAX_PROGRAM_CHARACTERS, Run, RunResult, read_values, run_as_json

__all__ = ["FAILED", "MAX_PROGRAM_CHARACTERS", "Run", "RunResult", "run_programs", "sandbox_level"]

WALL_SECONDS = 2.0
"""Wall time of one program, all its calls together. Ours: reference programs need under 0.1 s."""
_CANARY_TIME_NS = 10**18


def run_programs(runs: Sequence[Run], wall_seconds: float = WALL_SECONDS) -> list[RunResult]:
    """The result of each run, in order; each in a fresh process with limits from its start.

    Raises:
        SandboxUnavailableError: programs cannot be run where R1_SANDBOX says.
    """
    place = sandbox_place()
    if is_address(place):
        return run_remotely(place, runs, wall_seconds)
    outcomes = shared_pool("code").run_all([run_as_json(run) for run in runs], wall_seconds)
    return [_result(run, outcome) for run, outcome in zip(runs, outcomes, strict=True)]


def _result(run: Run, outcome: Outcome) -> RunResult:
    values = stdout = None
    if run.stdin is None:
        values = _read_payload(outcome.payload, len(run.args))
    elif outcome.ended == "exited" and outcome.exit_code == 0:
        stdout = outcome.payload.decode("utf-8", errors="replace")
    return RunResult(timed_out=outcome.ended == "timeout", values=values, stdout=stdout)


def _read_payload(payload: bytes, count: int) -> tuple[object, ...] | None:
    """The calls' values out of a hostile string; None if there is a line the child's job does not write."""
    try:
        rows = [json.loads(line) for line in payload.split(b"\n")[:-1]]  # a last line without its end was cut off
        return read_values(rows, count)
    except (ValueError, RecursionError):
        return None


def sandbox_level() -> tuple[SandboxLevel, list[str]]:
    """``("strong", [])``, or a weaker level and what a program can do; tried out, takes a few milliseconds.

    An executor is asked for its own finding. R1_SANDBOX=unsafe is ``unsafe`` whatever would be found.

    Raises:
        SandboxUnavailableError: programs cannot be run where R1_SANDBOX says.
    """
    place = sandbox_place()
    if place == "unsafe":
        return "unsafe", ["runs as a plain process with all rights of this user"]
    if is_address(place):
        return _checked(place, *remote_level(place))
    broken = _try_walls()
    return ("weak" if broken else "strong"), broken


def _checked(place: str, level: object, broken: object) -> tuple[SandboxLevel, list[str]]:
    for known in get_args(SandboxLevel):
        if level == known and isinstance(broken, list):
            return known, [str(one) for one in broken]
    raise SandboxUnavailableError(f"{place} is no executor: it gives its level as {level!r}")


def _try_walls() -> list[str]:
    """What a program could do here, as it says and as can be seen afterwards."""
    probe = Path(__file__).with_name("probe.py").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="r1-canary-") as folder:
        canary = Path(folder, "file")
        canary.write_text("canary")
        canary.chmod(0o644)
        Path(folder).chmod(0o755)
        os.utime(canary, ns=(_CANARY_TIME_NS, _CANARY_TIME_NS))
        before = os.stat(canary)
        [result] = run_programs([Run(code=probe, function="broken", args=([os.getpid(), folder],))])
        after = os.stat(canary) if canary.exists() else None
    if result.values is None or not isinstance(result.values[0], list):
        return ["stops the self-test from coming back"]
    changed = after is None or _described(after) != _described(before)
    return [str(one) for one in result.values[0]] + ["changes files"] * changed


def _described(file: os.stat_result) -> tuple[int, ...]:
    return file.st_mode, file.st_size, file.st_mtime_ns, file.st_gid, file.st_nlink

"""Runs and their results as plain JSON: what goes to an executor and comes back (docs/sandbox.md).

In: ``Run`` and ``RunResult`` records, or JSON from the other side of a network. Out: the other of the two.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stages.data.typed_json import MAX_DEPTH

MAX_PROGRAM_CHARACTERS = 100_000
_MAX_NESTING = 3 * MAX_DEPTH + 5
"""A tagged dictionary takes three levels of JSON for one of Python."""
FAILED = object()
"""Stands where a value would: the call raised, or was not reached."""


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
    """A typed-JSON value a call, ``FAILED`` for one that raised or was not reached; None if nothing can be read."""
    stdout: str | None
    """For ``stdin`` runs that ended without error."""


class MalformedRunError(ValueError):
    """JSON that is not what ``docs/sandbox.md`` describes; the message says where and what is allowed."""


def run_as_json(run: Run) -> dict[str, Any]:
    """The request of one run."""
    code = run.code.removeprefix("\ufeff")
    if run.stdin is not None:
        return {"code": code, "stdin": run.stdin}
    return {"code": code, "function": run.function, "args": list(run.args)}


def run_from_json(row: Any, where: str) -> Run:
    """The run in ``row``; ``where`` names it in errors.

    Raises:
        MalformedRunError: another key or type than allowed, or a program that is too long.
    """
    allowed = ({"code": str, "stdin": str}, {"code": str, "function": str, "args": list})
    if not any(_has_shape(row, shape) for shape in allowed):
        raise MalformedRunError(
            f"{where}: found {_shown(row)}; allowed: code and stdin (strings), or code, function (strings) and args "
            "(a list with one list of arguments a call)"
        )
    if len(row["code"]) > MAX_PROGRAM_CHARACTERS:
        raise MalformedRunError(f"{where}.code: found {len(row['code'])} characters; allowed: {MAX_PROGRAM_CHARACTERS}")
    return Run(**{**row, "args": tuple(row.get("args", ()))})


def result_as_json(result: RunResult) -> dict[str, Any]:
    """The answer to one run."""
    values = None
    if result.values is not None:
        values = [{"error": True} if value is FAILED else {"value": value} for value in result.values]
    return {"timed_out": result.timed_out, "values": values, "stdout": result.stdout}


def result_from_json(row: Any, where: str) -> RunResult:
    """The result in ``row``; what is in its values is for the caller to distrust.

    Raises:
        MalformedRunError: another key or type than allowed.
    """
    shape = {"timed_out": bool, "values": (list, type(None)), "stdout": (str, type(None))}
    if not _has_shape(row, shape):
        raise MalformedRunError(f"{where}: found {_shown(row)}; allowed: timed_out, values and stdout")
    values = None
    if row["values"] is not None:
        values = read_values(row["values"], len(row["values"]))
        if values is None:
            raise MalformedRunError(f"{where}.values: allowed: a list of {{'value': ...}} and {{'error': true}}")
    return RunResult(timed_out=row["timed_out"], values=values, stdout=row["stdout"])


def read_values(rows: Sequence[Any], count: int) -> tuple[Any, ...] | None:
    """``count`` values out of what a hostile program may have written; those missing at the end are FAILED."""
    if len(rows) > count or not all(type(row) is dict and len(row) == 1 and _is_shallow(row) for row in rows):
        return None
    return tuple(row.get("value", FAILED) for row in rows) + (FAILED,) * (count - len(rows))


def _is_shallow(value: Any, room: int = _MAX_NESTING) -> bool:
    """Whether ``value`` is nested at most ``room`` deep; what is deeper no honest job writes, and no encoder takes."""
    if type(value) is dict:
        value = value.values()
    elif type(value) is not list:
        return True
    return room > 0 and all(_is_shallow(item, room - 1) for item in value)


def _has_shape(row: Any, shape: dict[str, Any]) -> bool:
    return type(row) is dict and row.keys() == shape.keys() and all(isinstance(row[k], shape[k]) for k in shape)


def _shown(value: object) -> str:
    text = json.dumps(sorted(value)) if isinstance(value, dict) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."

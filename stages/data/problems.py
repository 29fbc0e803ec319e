"""Problems: a prompt and everything needed to grade a completion of it.

In: rows of JSON Lines. Out: frozen ``Problem`` records, and back without loss.
Grading itself lives in ``stages/rewards``; where problems come from, in
``stages/data/problem_files.py``.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

from stages.cannot_run import CannotRunError

Domain = Literal["math", "code", "logic", "general", "safety"]
Grader = Literal["math", "countdown", "choice", "code", "instruction", "refusal", "preference"]
Language = Literal["en", "zh"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One prompt with what its grader needs; fields a grader does not use stay empty.

    ``answer`` is the reference for ``math``, ``countdown`` (an expression that uses exactly the
    given numbers and has the target's value), ``choice`` (one capital letter), a reference
    program for ``code`` and a response that satisfies the constraints for ``instruction``. ``preference`` is no
    rule: nothing but a judge (``stages/judge.py``) compares its responses, with ``answer`` or with others.
    ``tests`` are ``{"function", "args", "expected"}`` or ``{"stdin", "stdout"}``.
    ``constraints`` are ``{"type", "value"}``, see ``stages/rewards/instruction.py``.
    """

    id: str
    domain: Domain
    grader: Grader
    source: str
    language: Language
    prompt: str
    answer: str
    tests: tuple[Mapping[str, Any], ...] = ()
    constraints: tuple[Mapping[str, Any], ...] = ()


class ProblemFileError(CannotRunError):
    """A problem file that cannot be read as problems; the message names file, row and column."""


def problem_from_row(row: Mapping[str, Any], where: str) -> Problem:
    """The problem in ``row``; ``where`` names file and row in errors.

    Raises:
        ProblemFileError: a column is missing, unknown, of the wrong type or not an allowed value.
    """
    known = {field.name for field in fields(Problem)}
    missing = [name for name in ("id", "domain", "grader", "source", "language", "prompt", "answer") if name not in row]
    unknown = sorted(set(row) - known)
    if missing or unknown:
        raise ProblemFileError(
            f"{where}: missing columns {missing}, unknown columns {unknown}; allowed: {sorted(known)}"
        )
    for name, allowed in (("domain", Domain), ("grader", Grader), ("language", Language)):
        if row[name] not in get_args(allowed):
            raise ProblemFileError(f"{where}: {name} is {row[name]!r}; allowed: {list(get_args(allowed))}")
    for name in ("id", "source", "prompt", "answer"):
        if not isinstance(row[name], str) or (name != "answer" and not row[name].strip()):
            raise ProblemFileError(f"{where}: {name} is {row[name]!r}; a non-empty string is needed")
    lists = {name: row.get(name) or () for name in ("tests", "constraints")}
    for name, entries in lists.items():
        if not isinstance(entries, list | tuple) or not all(isinstance(entry, Mapping) for entry in entries):
            raise ProblemFileError(f"{where}: {name} is {str(entries)[:60]!r}; a list of objects is needed")
    return Problem(**{**row, **{name: tuple(entries) for name, entries in lists.items()}})


def read_problems(path: Path) -> list[Problem]:
    """All problems of a JSON Lines file, in order; see ``iter_problems``."""
    return list(iter_problems(path))


def iter_problems(path: Path) -> Iterator[Problem]:
    """The problems of a JSON Lines file one by one, in order; an empty file gives none.

    Raises:
        ProblemFileError: a line is not JSON or not a problem.
    """
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ProblemFileError(f"{path}:{number}: not JSON ({error})") from error
            yield problem_from_row(row, f"{path}:{number}")


def write_problems(problems: Iterable[Problem], path: Path) -> int:
    """One JSON object a line, UTF-8, keys in field order; returns how many."""
    with path.open("w", encoding="utf-8") as file:
        return sum(1 for problem in problems if file.write(problem_line(problem)))


def problem_line(problem: Problem) -> str:
    """``problem`` as one line of JSON, keys in field order."""
    return (
        json.dumps({field.name: getattr(problem, field.name) for field in fields(problem)}, ensure_ascii=False) + "\n"
    )


def in_portions(problems: Iterable[Problem], size: int) -> Iterator[list[Problem]]:
    """``problems`` in lists of ``size``, the last one shorter; none for none."""
    rest = iter(problems)
    while portion := list(islice(rest, size)):
        yield portion

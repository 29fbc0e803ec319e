"""Code: does the program pass every test?

In: a problem with tests ``{"function", "args", "expected"}`` (typed JSON, see ``data/typed_json.py``) or
``{"stdin", "stdout"}``, and a completion. Out: a grade. The program runs in the sandbox; expected
values stay here, and what comes back is compared here, by exact type (a float to 1e-9).
Differs from graders that execute asserts: there an object equal to everything passes.
"""

import ast
import math
import re
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stages.data.chat_format import ANSWER_CLOSE, ANSWER_OPEN, split_completion
from stages.data.problems import Problem
from stages.data.typed_json import decode
from stages.rewards.grade import Grade, Reason, UngradableProblemError
from stages.rewards.sandbox.programs import (
    FAILED,
    MAX_PROGRAM_CHARACTERS,
    WALL_SECONDS,
    Run,
    RunResult,
    run_programs,
)

_FENCE = re.compile(r"```[ \t]*(?:python|py|python3)?[ \t]*\r?\n(.*?)(?:\r?\n)?```", re.DOTALL | re.IGNORECASE)
_PARSED_HERE_CHARACTERS = 1_000
"""Short programs are parsed before a process is spent on them; long ones could make the parser costly."""


@dataclass(frozen=True, slots=True)
class _Checks:
    """A problem's tests, read."""

    runs: tuple[Run, ...]
    expected: tuple[Any, ...]
    """Values of the calls, or the lines of each standard output."""


def find_program(completion: str) -> str | None:
    """The program: the last fenced block of the answer tag, or of the response, or all of it; None if empty."""
    response = split_completion(completion).response
    if ANSWER_OPEN in response:
        response = response.rpartition(ANSWER_OPEN)[2].partition(ANSWER_CLOSE)[0]
    blocks = _FENCE.findall(response)
    program = blocks[-1] if blocks else response
    return program if program.strip() else None


def grade_code(
    problems: Sequence[Problem],
    completions: Sequence[str],
    *,
    partial_credit: bool = False,
    wall_seconds: float = WALL_SECONDS,
) -> list[Grade]:
    """The grades of the programs in the completions; see ``grade_programs``."""
    programs = [find_program(text) for text in completions]
    return grade_programs(problems, programs, partial_credit=partial_credit, wall_seconds=wall_seconds)


def grade_programs(
    problems: Sequence[Problem],
    programs: Sequence[str | None],
    *,
    partial_credit: bool = False,
    wall_seconds: float = WALL_SECONDS,
) -> list[Grade]:
    """Right if every test of the problem passes, in order; equal programs for one problem run once.

    The score is 1.0 or 0.0, or with ``partial_credit`` the share of tests passed (ours; the paper's is all
    or nothing, DeepSeek-R1, arXiv:2501.12948v1, section 2.2.2). None is no answer. ``wall_seconds`` bounds one run:
    all calls of a function together, or one standard input.

    Raises:
        UngradableProblemError: a problem has no tests or malformed ones.
        SandboxUnavailableError: programs cannot be run where R1_SANDBOX says.
    """
    grades: dict[int, Grade] = {}
    jobs: dict[tuple[int, str], tuple[_Checks, list[int]]] = {}
    checks_of: dict[int, _Checks] = {}
    for place, (problem, program) in enumerate(zip(problems, programs, strict=True)):
        if id(problem) not in checks_of:  # by identity: an id may occur in two data sets
            checks_of[id(problem)] = _read_tests(problem)
        refused = _refuse(program, problem.tests[0])
        if refused is not None or program is None:
            grades[place] = refused or Grade(score=0.0, reason=Reason.NO_ANSWER)
            continue
        jobs.setdefault((id(problem), program), (checks_of[id(problem)], []))[1].append(place)
    to_run = [(program, checks) for (_, program), (checks, _) in jobs.items()]
    for (checks, places), results in zip(jobs.values(), _run_tests(to_run, partial_credit, wall_seconds), strict=True):
        grades.update(dict.fromkeys(places, _judge(checks, results, partial_credit)))
    return [grades[place] for place in range(len(programs))]


def _run_tests(
    programs: Sequence[tuple[str, _Checks]], partial_credit: bool, wall_seconds: float
) -> list[list[RunResult]]:
    """The results of each program's runs; where all must pass, those after a failed first one are left out."""
    first = run_programs([replace(checks.runs[0], code=program) for program, checks in programs], wall_seconds)
    going_on = [
        (program, checks.runs[1:] if partial_credit or _num_passed(checks, [result]) else ())
        for (program, checks), result in zip(programs, first, strict=True)
    ]
    rest = [replace(run, code=program) for program, runs in going_on for run in runs]
    others = iter(run_programs(rest, wall_seconds))
    return [[result, *(next(others) for _ in runs)] for result, (_, runs) in zip(first, going_on, strict=True)]


def _refuse(program: str | None, test: Mapping[str, Any]) -> Grade | None:
    """A grade without running: nothing there, too large, not Python, or not naming the function asked for."""
    if program is None:
        return Grade(score=0.0, reason=Reason.NO_ANSWER)
    if len(program) > MAX_PROGRAM_CHARACTERS:
        return Grade(score=0.0, reason=Reason.UNREADABLE_ANSWER)
    name = str(test.get("function", "")).rpartition(".")[2]
    if name not in unicodedata.normalize("NFKC", program):
        return Grade(score=0.0, reason=Reason.UNREADABLE_ANSWER)
    if len(program) <= _PARSED_HERE_CHARACTERS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a model's invalid escapes are not this program's warnings
                ast.parse(program.removeprefix("\ufeff"))
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            return Grade(score=0.0, reason=Reason.UNREADABLE_ANSWER)
    return None


def _read_tests(problem: Problem) -> _Checks:
    tests = problem.tests
    if not tests:
        raise UngradableProblemError(problem.id, "a code problem without tests")
    if all(set(test) == {"stdin", "stdout"} for test in tests):
        runs = tuple(Run(code="", stdin=str(test["stdin"])) for test in tests)
        return _Checks(runs, tuple(_lines(str(test["stdout"])) for test in tests))
    functions = {str(test.get("function")) for test in tests}
    if any(set(test) != {"function", "args", "expected"} for test in tests) or len(functions) != 1:
        raise UngradableProblemError(
            problem.id,
            f"tests have the columns {sorted({key for test in tests for key in test})} and the functions "
            f"{sorted(functions)}; allowed: function, args, expected with one function, or stdin and stdout",
        )
    try:
        expected = tuple(decode(test["expected"]) for test in tests)
        for test in tests:
            decode(list(test["args"]))
    except (ValueError, TypeError) as error:
        raise UngradableProblemError(problem.id, f"a test is not typed JSON: {error}") from error
    return _Checks((Run(code="", function=functions.pop(), args=tuple(test["args"] for test in tests)),), expected)


def _judge(checks: _Checks, results: Sequence[RunResult], partial_credit: bool) -> Grade:
    passed = _num_passed(checks, results)
    if passed == len(checks.expected):
        return Grade.right()
    reason = Reason.TIMEOUT if any(result.timed_out for result in results) else Reason.WRONG
    return Grade(score=passed / len(checks.expected) if partial_credit else 0.0, reason=reason)


def _num_passed(checks: _Checks, results: Sequence[RunResult]) -> int:
    """How many of the tests the results pass; a run that was left out passes none."""
    if checks.runs[0].stdin is not None:
        found = [None if result.stdout is None else _lines(result.stdout) for result in results]
        return sum(lines == wanted for lines, wanted in zip(found, checks.expected, strict=False))
    return sum(map(_is_expected, checks.expected, results[0].values or ()))


def _is_expected(expected: Any, value: Any) -> bool:
    if value is FAILED:
        return False
    try:
        return same_value(expected, decode(value))
    except (ValueError, ArithmeticError, RecursionError):  # typed JSON that no honest child writes
        return False


def _lines(text: str) -> list[str]:
    """Lines without trailing blanks, and without blank lines at the end."""
    return [line.rstrip() for line in text.rstrip().split("\n")]


def same_value(expected: Any, got: Any) -> bool:
    """Python's ``==`` on builtin types, except that True is no 1 and floats agree to 1e-9; nan equals nothing.

    Where True is expected 1 will do: references return flags as they like (MBPP 414).
    """
    if type(expected) is bool or type(got) is bool:
        return type(expected) is bool and type(got) in (bool, int) and expected == got
    if isinstance(expected, int | float) and isinstance(got, int | float):
        if isinstance(expected, float) or isinstance(got, float):
            in_range = abs(got) < 1e300 and abs(expected) < 1e300  # a larger int has no float
            return in_range and math.isclose(expected, got, rel_tol=1e-9, abs_tol=1e-12)
        return expected == got
    if type(expected) is not type(got):
        return False
    if isinstance(expected, list | tuple):
        return len(expected) == len(got) and all(map(same_value, expected, got))
    if isinstance(expected, dict):
        return expected.keys() == got.keys() and all(same_value(value, got[key]) for key, value in expected.items())
    return bool(expected == got)

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
from dataclasses import dataclass
from typing import Any

from stages.data.chat_format import ANSWER_CLOSE, ANSWER_OPEN, split_completion
from stages.data.problems import Problem
from stages.data.typed_json import decode
from stages.rewards.grade import Grade, Reason, UngradableProblemError
from stages.rewards.sandbox import FAILED, MAX_PROGRAM_CHARACTERS, Run, RunResult, run_programs

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


def grade_code(problems: Sequence[Problem], completions: Sequence[str]) -> list[Grade]:
    """Right if every test of the problem passes, in order; equal programs for equal tests run once.

    Raises:
        UngradableProblemError: a problem has no tests or malformed ones.
        SandboxUnavailableError: this machine cannot run the sandbox.
    """
    grades: dict[int, Grade] = {}
    jobs: dict[tuple[str, str], tuple[_Checks, list[int]]] = {}
    checks_of: dict[str, _Checks] = {}
    for place, (problem, completion) in enumerate(zip(problems, completions, strict=True)):
        if problem.id not in checks_of:
            checks_of[problem.id] = _read_tests(problem)
        program = find_program(completion)
        refused = _refuse(program, problem.tests[0])
        if refused is not None or program is None:
            grades[place] = refused or Grade(score=0.0, reason=Reason.NO_ANSWER)
            continue
        jobs.setdefault((problem.id, program), (checks_of[problem.id], []))[1].append(place)
    runs = [
        Run(code=program, function=run.function, args=run.args, stdin=run.stdin)
        for (_, program), (checks, _) in jobs.items()
        for run in checks.runs
    ]
    results = iter(run_programs(runs))
    for checks, places in jobs.values():
        grade = _judge(checks, [next(results) for _ in checks.runs])
        grades.update(dict.fromkeys(places, grade))
    return [grades[place] for place in range(len(completions))]


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


def _judge(checks: _Checks, results: Sequence[RunResult]) -> Grade:
    if any(result.timed_out for result in results):
        return Grade(score=0.0, reason=Reason.TIMEOUT)
    if checks.runs[0].stdin is not None:
        lines = [None if result.stdout is None else _lines(result.stdout) for result in results]
        return Grade.of(lines == list(checks.expected))
    values = results[0].values
    if values is None or any(value is FAILED for value in values):
        return Grade.wrong()
    try:
        return Grade.of(all(same_value(want, decode(got)) for want, got in zip(checks.expected, values, strict=True)))
    except (ValueError, RecursionError):  # typed JSON that no honest child writes
        return Grade.wrong()


def _lines(text: str) -> list[str]:
    """Lines without trailing blanks, and without blank lines at the end."""
    return [line.rstrip() for line in text.rstrip().split("\n")]


def same_value(expected: Any, got: Any) -> bool:
    """Python's ``==`` on builtin types, except that True is not 1 and floats agree to 1e-9; nan equals nothing."""
    if type(expected) is bool or type(got) is bool:
        return type(expected) is type(got) and expected == got
    if isinstance(expected, int | float) and isinstance(got, int | float):
        if isinstance(expected, float) or isinstance(got, float):
            return abs(got) < 1e300 and math.isclose(expected, got, rel_tol=1e-9, abs_tol=1e-12)
        return expected == got
    if type(expected) is not type(got):
        return False
    if isinstance(expected, list | tuple):
        return len(expected) == len(got) and all(map(same_value, expected, got))
    if isinstance(expected, dict):
        return expected.keys() == got.keys() and all(same_value(value, got[key]) for key, value in expected.items())
    return bool(expected == got)

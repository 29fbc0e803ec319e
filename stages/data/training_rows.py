r"""Rows of public sets made for reinforcement learning: MATH's solutions, verl's form, tested programs, puzzles.

In: a row with the columns of its layout (``LAYOUTS``). Out: a problem, or an error that says why the row is none.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from stages.data.problems import Domain, Grader, Problem, ProblemFileError, problem_from_row

Row = Mapping[str, Any]
_STDIN_TASK = "Write a Python program that reads standard input and writes standard output."
_BOX = "\\boxed{"
_MAX_NUMBERS = 5
"""Countdown: 5 numbers make 233,280 expressions at most, 6 make 21 million, a minute for a row that has no answer."""


def math_solution_problem(row: Row, number: int, where: str) -> Problem:
    r"""MATH as published: the answer is the last ``\boxed{...}`` of the solution."""
    solution = str(row["solution"])
    start = solution.rfind(_BOX) + len(_BOX)
    depth = 1
    for end in range(start, len(solution) if _BOX in solution else 0):
        depth += {"{": 1, "}": -1}.get(solution[end], 0)
        if depth == 0:
            return _problem("math", "math", number, row["problem"], solution[start:end], where)
    raise ProblemFileError(f"{where}: solution has no \\boxed{{...}}, or it does not end")


def verl_math_problem(row: Row, number: int, where: str) -> Problem:
    """``prompt`` is one message, ``reward_model.ground_truth`` the answer or a JSON list of one."""
    messages, reward = row["prompt"], row["reward_model"]
    try:
        [message] = messages
        answer = str(reward["ground_truth"])
        if answer.startswith("["):
            [answer] = json.loads(answer)
        return _problem("math", "math", number, message["content"], str(answer), where)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, ProblemFileError):
            raise
        raise ProblemFileError(
            f"{where}: one message under prompt and one answer under reward_model.ground_truth are needed, found "
            f"{str(messages)[:60]!r} and {str(reward)[:60]!r}"
        ) from error


def countdown_problem(row: Row, number: int, where: str) -> Problem:
    """``nums`` and ``target``; the reference is the first expression of + - * that is found, in the order of ``nums``.

    A puzzle that needs a division is refused: the grader knows whole numbers only.
    """
    numbers, target = list(row["nums"]), row["target"]
    if not 2 <= len(numbers) <= _MAX_NUMBERS or not all(type(each) is int for each in [*numbers, target]):
        raise ProblemFileError(f"{where}: nums {numbers!r}, target {target!r}; 2 to {_MAX_NUMBERS} integers are needed")
    answer = _expression([(each, str(each)) for each in numbers], target)
    if answer is None:
        raise ProblemFileError(f"{where}: {target} cannot be made of {numbers} with + - *")
    prompt = (
        f"Using the numbers {numbers}, each exactly once, write an expression with + - * and parentheses whose value "
        f"is {target}."
    )
    return _problem("math", "countdown", number, prompt, answer, where)


def _expression(parts: list[tuple[int, str]], target: int) -> str | None:
    """An expression of all ``parts`` (value, text) with the value ``target``; None if there is none."""
    if len(parts) == 1:
        return parts[0][1] if parts[0][0] == target else None
    for one, two in itertools.permutations(range(len(parts)), 2):
        rest = [part for place, part in enumerate(parts) if place not in (one, two)]
        (left, left_text), (right, right_text) = parts[one], parts[two]
        for value, sign in ((left + right, "+"), (left - right, "-"), (left * right, "*")):
            if found := _expression([*rest, (value, f"({left_text}{sign}{right_text})")], target):
                return found
    return None


def verifiable_code_problem(row: Row, number: int, where: str) -> Problem:
    """``verification_info`` holds ``test_cases``: standard input and output, or a function with its arguments."""
    info = row["verification_info"]
    if isinstance(info, str):
        info = _json(info, "verification_info", where)
    cases = info.get("test_cases") if isinstance(info, Mapping) else None
    if not isinstance(cases, Sequence) or not cases:
        raise ProblemFileError(f"{where}: verification_info has no test_cases: {str(info)[:60]!r}")
    if info.get("language") not in (None, "python"):
        raise ProblemFileError(f"{where}: its programs are in {info['language']!r}; only python is graded")
    tests = [_test(case.get("fn_name"), case.get("input"), case.get("output"), where) for case in cases]
    program = str(row["gold_standard_solution"]).strip()
    program = program.removeprefix("```python").removesuffix("```").strip() + "\n"
    return _code_problem(number, str(row["problem_statement"]), program, tests, where)


def apps_problem(row: Row, number: int, where: str) -> Problem:
    """APPS and TACO: ``input_output`` and ``solutions`` are JSON; the first solution is the reference."""
    packed, solutions = _json(row["input_output"], "input_output", where), _json(row["solutions"], "solutions", where)
    if not isinstance(packed, Mapping) or not packed.get("inputs") or not solutions:
        raise ProblemFileError(f"{where}: it has no tests or no solution")
    if len(packed["inputs"]) != len(packed["outputs"]):
        raise ProblemFileError(f"{where}: {len(packed['inputs'])} inputs and {len(packed['outputs'])} outputs")
    pairs = zip(packed["inputs"], packed["outputs"], strict=True)
    starter = row.get("starter_code") or ""
    function = packed.get("fn_name")
    if function and "class Solution" in starter:
        function = f"Solution.{function}"
    tests = [_test(function, given, wanted, where) for given, wanted in pairs]
    prompt = f"{row['question']}\n\nComplete this program:\n\n{starter}" if starter else str(row["question"])
    return _code_problem(number, prompt, str(solutions[0]), tests, where)


def _test(function: str | None, given: Any, wanted: Any, where: str) -> dict[str, Any]:
    """One test; a function's result stands in a list of one, which is taken off (the gold check sees a mistake)."""
    if function:
        if not isinstance(given, list):
            raise ProblemFileError(
                f"{where}: a test of {function} has the arguments {str(given)[:60]!r}; a list is needed"
            )
        expected = wanted[0] if isinstance(wanted, list) and len(wanted) == 1 else wanted
        return {"function": function, "args": given, "expected": expected}
    if isinstance(given, list) and isinstance(wanted, list):
        given, wanted = "\n".join(map(str, given)), "\n".join(map(str, wanted))
    if not isinstance(given, str) or not isinstance(wanted, str):
        raise ProblemFileError(f"{where}: a test has the input {str(given)[:60]!r}; text is needed")
    return {"stdin": given, "stdout": wanted}


def _code_problem(number: int, prompt: str, program: str, tests: list[dict[str, Any]], where: str) -> Problem:
    asked = f"The function is called {tests[0]['function']}." if "function" in tests[0] else _STDIN_TASK
    return _problem("code", "code", number, f"{prompt}\n\n{asked}", program, where, tests)


def _problem(
    domain: Domain, grader: Grader, number: int, prompt: Any, answer: str, where: str, tests: Sequence[Row] = ()
) -> Problem:
    fields = {"id": f"row_{number}", "domain": domain, "grader": grader, "source": "row", "language": "en"}
    return problem_from_row({**fields, "prompt": prompt, "answer": answer, "tests": tests}, where)


def _json(text: Any, column: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError) as error:
        raise ProblemFileError(f"{where}: {column} is {str(text)[:60]!r}; JSON is needed") from error

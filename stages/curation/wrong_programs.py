"""Programs that are wrong for certain: what the code grader must refuse.

In: code problems whose reference is right. Out: completions that are wrong, each with the way it was made.
Mutants of the reference (mutation testing: DeMillo, Lipton, Sayward, "Hints on test data selection", 1978)
have one operator or constant changed; one counts only if on some test it does something else than the
reference, which is decided here from what both return, never by the grader: equal outputs, floats
within a millionth, a list for a tuple, and a run that did not end are left out.
"""

import ast
import math
from collections.abc import Iterator, Sequence
from typing import Any

from stages.curation.wrong_answers import WrongAnswer, answer_in_the_thought
from stages.data.chat_format import TAGS, write_completion
from stages.data.problems import Problem
from stages.data.typed_json import decode
from stages.rewards.sandbox.programs import FAILED, Run, RunResult, run_programs

_CLOSE = 1e-6
"""Floats nearer than this are no proof of a difference; the grader's own tolerance is 1e-9."""
_OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Lt: ast.GtE, ast.LtE: ast.Lt, ast.Gt: ast.LtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


def wrong_programs(problems: Sequence[Problem], mutants: int) -> list[list[WrongAnswer]]:
    """Wrong completions of each problem, at most ``mutants`` of them mutants of its reference.

    Raises:
        SandboxUnavailableError: this machine cannot run the sandbox.
    """
    made = [list(_without_running(problem)) for problem in problems]
    tried = [_mutants(problem.answer, mutants) for problem in problems]
    runs = [
        _runs(program, problem)
        for problem, changed in zip(problems, tried, strict=True)
        for program in (problem.answer, *changed)
    ]
    results = iter(run_programs([run for some in runs for run in some]))
    outputs = iter([[next(results) for _ in some] for some in runs])
    for changed, wrong in zip(tried, made, strict=True):
        reference = next(outputs)
        for program in changed:
            if any(map(_differ, reference, next(outputs))):
                wrong.append(WrongAnswer("mutant", write_completion("let me see", program)))
    return made


def _without_running(problem: Problem) -> Iterator[WrongAnswer]:
    """What is wrong whatever the reference does, unless the tests ask for nothing at all."""
    yield WrongAnswer("empty", write_completion("let me see", ""))
    if any(tag in problem.answer for tag in TAGS):
        return
    yield from answer_in_the_thought(f"```python\n{problem.answer}\n```")
    if "stdin" in problem.tests[0]:
        if any(str(test["stdout"]).strip() for test in problem.tests):
            yield WrongAnswer("sys.exit(0)", write_completion("let me see", "import sys\nsys.exit(0)"))
            yield WrongAnswer("empty program", write_completion("let me see", "pass"))
        return
    owner, _, name = str(problem.tests[0]["function"]).rpartition(".")
    programs = {
        "sys.exit(0)": _define(owner, name, "__import__('sys').exit(0)"),
        "equal to everything": f"{_EQUAL}\n{_define(owner, name, 'return Equal()')}",
        "an integer equal to everything": f"{_EQUAL_INT}\n{_define(owner, name, 'return Equal(0)')}",
    }
    if any(test["expected"] is not None for test in problem.tests):
        programs["empty function"] = _define(owner, name, "pass")
        programs["an empty function appended"] = f"{problem.answer}\n{_define(owner, name, 'pass')}"
    for kind, program in programs.items():
        yield WrongAnswer(kind, write_completion("let me see", program))


_EQUAL = "class Equal:\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n"
_EQUAL_INT = _EQUAL.replace("class Equal", "class Equal(int)") + "    __hash__ = int.__hash__\n"


def _define(owner: str, name: str, body: str) -> str:
    if owner:
        return f"class {owner}:\n    def {name}(self, *args):\n        {body}"
    return f"def {name}(*args):\n    {body}"


def _mutants(code: str, count: int) -> list[str]:
    """At most ``count`` copies of ``code`` with one operator or constant changed, from all over it."""
    try:
        tree = ast.parse(code)
        sites = len(_sites(tree))
        chosen = range(sites) if sites <= count else [place * sites // count for place in range(count)]
        return [_mutant(code, site) for site in chosen]
    except (SyntaxError, ValueError, RecursionError):  # a reference that is no Python fails as a reference
        return []


def _mutant(code: str, site: int) -> str:
    tree = ast.parse(code)
    _change(_sites(tree)[site])
    return ast.unparse(tree)


def _sites(tree: ast.Module) -> list[ast.AST]:
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [node for node in ast.walk(tree) if _can_change(node) and id(node) not in docstrings]


def _can_change(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp):
        return type(node.op) in _OPERATORS
    if isinstance(node, ast.Compare):
        return type(node.ops[0]) in _OPERATORS
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float | str)


def _change(node: ast.AST) -> None:
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp):
        node.op = _OPERATORS[type(node.op)]()  # type: ignore[assignment, call-overload]
    elif isinstance(node, ast.Compare):
        node.ops[0] = _OPERATORS[type(node.ops[0])]()  # type: ignore[assignment, call-overload]
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            node.value = not node.value
        elif isinstance(node.value, str):
            node.value += "x"
        elif isinstance(node.value, int | float):
            node.value += 1


def _runs(program: str, problem: Problem) -> list[Run]:
    if "stdin" in problem.tests[0]:
        return [Run(code=program, stdin=str(test["stdin"])) for test in problem.tests]
    function = str(problem.tests[0]["function"])
    return [Run(code=program, function=function, args=tuple(test["args"] for test in problem.tests))]


def _differ(reference: RunResult, mutant: RunResult) -> bool:
    """Whether one run certainly gave something else than the reference's run of the same tests."""
    if mutant.timed_out or reference.timed_out:
        return False
    if reference.stdout is not None:
        return mutant.stdout is None or reference.stdout.split() != mutant.stdout.split()
    if reference.values is None:
        return False
    if mutant.values is None:
        return True
    return any(map(_values_differ, reference.values, mutant.values))


def _values_differ(reference: Any, mutant: Any) -> bool:
    if reference is FAILED or mutant is FAILED:
        return reference is not FAILED
    try:
        return certainly_different(decode(reference), decode(mutant))
    except ValueError:  # not what the sandbox writes: no proof of anything
        return False


def certainly_different(one: Any, other: Any) -> bool:
    """Whether two values differ by more than any sensible grader forgives: 1e-6 in a number, list for tuple."""
    if isinstance(one, int | float) and isinstance(other, int | float):
        if isinstance(one, int) and isinstance(other, int):
            return one != other
        return not math.isclose(one, other, rel_tol=_CLOSE, abs_tol=_CLOSE)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) != len(other) or any(map(certainly_different, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() != other.keys() or any(certainly_different(one[key], other[key]) for key in one)
    if isinstance(one, complex) and isinstance(other, complex):
        return abs(one - other) > _CLOSE
    if any(isinstance(item, float) for some in (one, other) if isinstance(some, set | frozenset) for item in some):
        return False
    return bool(one != other)

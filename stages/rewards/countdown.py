"""Countdown: does the expression use exactly the given numbers and reach the target?

In: a problem whose reference is one such expression, and a completion. Out: a grade. The answer may
use ``+ - *``, digits and parentheses. No ``eval``: a syntax tree of four node types.
"""

import ast
from functools import lru_cache

from stages.data.problems import Problem
from stages.rewards.answers.answer_text import find_answer
from stages.rewards.grade import Grade, Reason, UngradableProblemError

_MAX_CHARACTERS = 100
_ALLOWED = frozenset("0123456789+-*() ")
_SIGNS = str.maketrans({"×": "*", "−": "-", "·": "*", "$": " "})


def evaluate(expression: str) -> tuple[int, tuple[int, ...]] | None:
    """The expression's value and its numbers in ascending order; None if it is not such an expression."""
    return _evaluate(expression) if len(expression) <= _MAX_CHARACTERS else None  # a cache of long ones is a leak


@lru_cache(maxsize=65_536)
def _evaluate(expression: str) -> tuple[int, tuple[int, ...]] | None:
    expression = expression.translate(_SIGNS).strip()
    if not expression or not _ALLOWED.issuperset(expression) or "**" in expression:
        return None
    try:
        tree = ast.parse(expression, mode="eval").body
    except (SyntaxError, MemoryError, RecursionError):
        return None
    numbers: list[int] = []
    value = _value(tree, numbers)
    return None if value is None else (value, tuple(sorted(numbers)))


def _value(node: ast.expr, numbers: list[int]) -> int | None:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        numbers.append(node.value)
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _value(node.operand, numbers)
        return None if inner is None else -inner
    if not isinstance(node, ast.BinOp):
        return None
    left, right = _value(node.left, numbers), _value(node.right, numbers)
    if left is None or right is None:
        return None
    if isinstance(node.op, ast.Add):
        return left + right
    if isinstance(node.op, ast.Sub):
        return left - right
    return left * right if isinstance(node.op, ast.Mult) else None


def grade_countdown(problem: Problem, completion: str) -> Grade:
    """Right if the answer has the reference's value and uses its numbers, each exactly as often.

    Raises:
        UngradableProblemError: the reference is not such an expression.
    """
    reference = evaluate(problem.answer)
    if reference is None:
        raise UngradableProblemError(problem.id, f"the reference {problem.answer!r} is not an expression of + - * ( )")
    found = find_answer(completion)
    if found is None:
        return Grade(score=0.0, reason=Reason.NO_ANSWER)
    answer = evaluate(found)
    if answer is None:
        return Grade(score=0.0, reason=Reason.UNREADABLE_ANSWER)
    return Grade.of(answer == reference)

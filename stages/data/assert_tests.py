"""Assert statements as call/expected pairs.

In: the ``assert`` lines of a data set such as MBPP. Out: tests ``{"function", "args", "expected"}`` in
typed JSON (``typed_json.py``), or None where a line is more than a call on literals compared with a
literal. A pair can be graded without the expected value ever entering the model's process; an
executed assert cannot.
"""

import ast
from typing import Any

from stages.data.typed_json import encode


def tests_from_asserts(asserts: list[str]) -> list[dict[str, Any]] | None:
    """One test an assert, in order; None if any of them cannot be converted; an empty list for none."""
    tests = []
    for source in asserts:
        test = _test_from_assert(source)
        if test is None:
            return None
        tests.append(test)
    return tests


def _test_from_assert(source: str) -> dict[str, Any] | None:
    """``assert f(1) == 2`` (also ``assert f(1)``, ``assert not f(1)``, ``assert f(1) is True``) as a test."""
    try:
        body = ast.parse(source.strip()).body
    except SyntaxError:
        return None
    if len(body) != 1 or not isinstance(body[0], ast.Assert):
        return None
    claim = body[0].test
    if isinstance(claim, ast.UnaryOp) and isinstance(claim.op, ast.Not):
        return _test_from_call(claim.operand, ast.Constant(False))
    if not isinstance(claim, ast.Compare):
        return _test_from_call(claim, ast.Constant(True))
    if len(claim.ops) != 1 or not isinstance(claim.ops[0], ast.Eq | ast.Is):
        return None
    return _test_from_call(claim.left, claim.comparators[0])


def _test_from_call(call: ast.expr, expected: ast.expr) -> dict[str, Any] | None:
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.keywords:
        return None
    if call.func.id == "set" and len(call.args) == 1:  # MBPP: assert set(f(x)) == set(y): order must not count
        return None
    try:
        args = [encode(_literal(argument)) for argument in call.args]
        return {"function": call.func.id, "args": args, "expected": encode(_literal(expected))}
    except ValueError:
        return None


def _literal(node: ast.expr) -> Any:
    """The value of a literal.

    Raises:
        ValueError: not a literal.
    """
    try:
        return ast.literal_eval(node)
    except (TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(f"not a literal: {ast.unparse(node)}") from error

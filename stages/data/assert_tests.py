"""Assert statements as call/expected pairs.

In: the ``assert`` lines of a data set such as MBPP, or a ``check(candidate)`` program such as HumanEval's. Out: tests
``{"function", "args", "expected"}`` in typed JSON (``typed_json.py``), or None where a test is more than a call on
constants compared with a constant. A pair can be graded without the expected value ever entering the
model's process; an executed assert cannot.

Nothing of the data set is run: loops are unrolled and constants computed here (``constant_expressions.py``).
Four things are read for what they say, each stricter than the assert: ``abs(f(x) - y) < 1e-6`` expects ``y`` (the
grader allows 1e-9), ``int(f(x)) == 35`` expects 35, ``tuple(f(x)) == tuple([1, 2])`` expects the list, and random
numbers in a loop are drawn once.
"""

import ast
import random
from typing import Any

from stages.data.constant_expressions import value_of
from stages.data.typed_json import encode

_MAX_TESTS = 1_000
Names = dict[str, Any]
Test = dict[str, Any]


class _UnconvertibleError(ValueError):
    """A statement that is no call on constants compared with a constant."""


def tests_from_asserts(asserts: list[str]) -> list[Test] | None:
    """One test an assert, in order; None if any of them cannot be converted; an empty list for none."""
    tests = []
    for source in asserts:
        try:
            body = ast.parse(source.strip()).body
            if len(body) != 1 or not isinstance(body[0], ast.Assert):
                return None
            tests.append(_test_from_claim(body[0].test, {}))
        except (SyntaxError, ValueError):
            return None
    return tests


def tests_from_check(source: str, function: str) -> list[Test] | None:
    """The tests of ``def check(candidate)`` in ``source`` as tests of ``function``; None if any cannot be converted."""
    try:
        functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
        if len(functions) != 1 or functions[0].name != "check" or len(functions[0].args.args) != 1:
            return None
        candidate = functions[0].args.args[0].arg
        tests = _tests_from_body(functions[0].body, {}, random.Random(0), function)
    except (SyntaxError, ValueError):
        return None
    named = [test for test in tests if test["function"] == candidate]
    return [{**test, "function": function} for test in named] if len(named) == len(tests) else None


def _tests_from_body(
    body: list[ast.stmt], names: Names, generator: random.Random, function: str, in_loop: bool = False
) -> list[Test]:
    """The tests of statements, in order; a loop is unrolled, one inside another is refused."""
    tests: list[Test] = []
    for statement in body:
        if isinstance(statement, ast.Assert):
            if not _says_nothing(statement.test, function):
                tests.append(_test_from_claim(statement.test, names))
        elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            names.update(_assigned(statement.targets[0], statement.value, names, generator))
        elif isinstance(statement, ast.For) and isinstance(statement.target, ast.Name) and not in_loop:
            for item in value_of(statement.iter, names):
                scope = {**names, statement.target.id: item}
                tests += _tests_from_body(statement.body, scope, generator, function, in_loop=True)
        elif not isinstance(statement, ast.Import | ast.Pass) and not _is_idle(statement):
            raise _UnconvertibleError(ast.unparse(statement))
        if len(tests) > _MAX_TESTS:
            raise _UnconvertibleError(f"more than {_MAX_TESTS} tests")
    return tests


def _is_idle(statement: ast.stmt) -> bool:
    """A comment in quotes, or a name that does nothing."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant | ast.Name)


def _says_nothing(claim: ast.expr, function: str) -> bool:
    """``assert True``, or the function compared with itself."""
    if isinstance(claim, ast.Constant):
        return bool(claim.value)
    called = {
        node.func.id for node in ast.walk(claim) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    return function in called


def _assigned(target: ast.expr, value: ast.expr, names: Names, generator: random.Random) -> Names:
    targets = target.elts if isinstance(target, ast.Tuple) else [target]
    values = value.elts if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) else [value]
    if len(targets) != len(values) or not all(isinstance(each, ast.Name) for each in targets):
        raise _UnconvertibleError(ast.unparse(target))
    return {ast.unparse(name): _drawn(each, names, generator) for name, each in zip(targets, values, strict=True)}


def _drawn(value: ast.expr, names: Names, generator: random.Random) -> Any:
    """``random.randint(a, b)`` or a constant."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "random.randint" and len(value.args) == 2:
        return generator.randint(*(value_of(bound, names) for bound in value.args))
    return value_of(value, names)


def _test_from_claim(claim: ast.expr, names: Names) -> Test:
    """``f(1) == 2`` (also ``f(1)``, ``not f(1)``, ``f(1) is True``, ``abs(f(1) - 2) < 1e-6``) as a test."""
    if isinstance(claim, ast.UnaryOp) and isinstance(claim.op, ast.Not):
        return _test_from_call(claim.operand, False, names)
    if not isinstance(claim, ast.Compare):
        return _test_from_call(claim, True, names)
    if len(claim.ops) != 1:
        raise _UnconvertibleError(ast.unparse(claim))
    left, right = claim.left, claim.comparators[0]
    if isinstance(claim.ops[0], ast.Lt) and isinstance(near := _argument(left, "abs"), ast.BinOp):
        if isinstance(near.op, ast.Sub) and 0 < value_of(right, names) <= 1e-6:
            return _test_from_call(near.left, value_of(near.right, names), names)
        raise _UnconvertibleError(ast.unparse(claim))
    if not isinstance(claim.ops[0], ast.Eq | ast.Is):
        raise _UnconvertibleError(ast.unparse(claim))
    if (whole := _argument(left, "int")) is not None and isinstance(whole, ast.Call):
        left = whole
    inner, literal = _argument(left, "tuple"), _argument(right, "tuple")
    if inner is not None and literal is not None:
        left, right = inner, literal
    return _test_from_call(left, value_of(right, names), names)


def _argument(call: ast.expr, function: str) -> ast.expr | None:
    """``x`` of ``function(x)``."""
    if (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == function
        and len(call.args) == 1
    ):
        return call.args[0]
    return None


def _test_from_call(call: ast.expr, expected: Any, names: Names) -> Test:
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.keywords:
        raise _UnconvertibleError(ast.unparse(call))
    if (
        call.func.id in ("set", "tuple", "sorted", "abs") and len(call.args) == 1
    ):  # of f(x): order or sign must not count
        raise _UnconvertibleError(ast.unparse(call))
    args = [encode(value_of(argument, names)) for argument in call.args]
    return {"function": call.func.id, "args": args, "expected": encode(expected)}

"""The value of an expression without running it: literals, arithmetic on them and a few builtins.

In: a syntax tree and the values of names. Out: its value, for the tests of code problems (``3 * 19``,
``list(range(-99, 100, 2))``, ``str(x)`` in a loop over ``x``). Nothing else is called, and no value grows
beyond a bound: the files these expressions stand in are the user's, not ours.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

_MAX_NUMBER = 10**30
_MAX_EXPONENT = 100
_MAX_LENGTH = 10_000
_OPERATIONS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow,
}  # fmt: skip
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}  # fmt: skip
_BUILTINS: dict[str, Callable[..., Any]] = {
    "abs": abs, "dict": dict, "float": float, "int": int, "len": len, "list": list, "max": max, "min": min,
    "range": range, "set": set, "sorted": sorted, "str": str, "sum": sum, "tuple": tuple,
}  # fmt: skip


def value_of(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """The value of ``node`` with ``names``.

    Raises:
        ValueError: it is more than literals, arithmetic and the builtins known here, or it fails, or it is too large.
    """
    try:
        value = _value(node, names)
    except (TypeError, ArithmeticError, KeyError, IndexError, MemoryError, RecursionError) as error:
        raise ValueError(f"cannot be evaluated: {ast.unparse(node)} ({error})") from error
    return value


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name) and node.id in names:
        return names[node.id]
    if isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict):
        return _collection(node, names)
    if isinstance(node, ast.UnaryOp):
        return _unary(node.op, _value(node.operand, names))
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        return _calculated(type(node.op), _value(node.left, names), _value(node.right, names))
    if isinstance(node, ast.BoolOp | ast.Compare):
        return _truth(node, names)
    if isinstance(node, ast.ListComp) and len(node.generators) == 1:
        return _comprehended(node, names)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _called(node.func.id, [_value(item, names) for item in node.args], names)
    raise ValueError(f"not a constant expression: {ast.unparse(node)}")


def _collection(node: ast.List | ast.Tuple | ast.Set | ast.Dict, names: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Dict):
        items = zip(node.keys, node.values, strict=True)
        return {_value(key, names): _value(item, names) for key, item in items if key is not None}
    members = [_value(item, names) for item in node.elts]
    return members if isinstance(node, ast.List) else (tuple if isinstance(node, ast.Tuple) else set)(members)


def _truth(node: ast.BoolOp | ast.Compare, names: Mapping[str, Any]) -> bool:
    if isinstance(node, ast.BoolOp):
        values = [bool(_value(item, names)) for item in node.values]
        return all(values) if isinstance(node.op, ast.And) else any(values)
    if len(node.ops) != 1 or type(node.ops[0]) not in _COMPARISONS:
        raise ValueError(f"not a constant expression: {ast.unparse(node)}")
    return bool(_COMPARISONS[type(node.ops[0])](_value(node.left, names), _value(node.comparators[0], names)))


def _unary(operation: ast.unaryop, value: Any) -> Any:
    if isinstance(operation, ast.USub):
        return -value
    if isinstance(operation, ast.Not):
        return not value
    return +value if isinstance(operation, ast.UAdd) else ~value


def _calculated(operation: type[ast.operator], left: Any, right: Any) -> Any:
    """The result, refused before it is computed if it could be large."""
    if operation is ast.Pow and not (abs(left) <= _MAX_NUMBER and abs(right) <= _MAX_EXPONENT):
        raise ValueError("a power that is too large")
    if isinstance(left, str | bytes) and operation is ast.Mod:
        raise ValueError("a format")
    for one, two in ((left, right), (right, left)):
        if operation is ast.Mult and hasattr(one, "__len__") and len(one) * max(1, two) > _MAX_LENGTH:
            raise ValueError("a repetition that is too long")
    return _bounded(_OPERATIONS[operation](left, right))


def _bounded(value: Any) -> Any:
    if isinstance(value, int) and abs(value) > _MAX_NUMBER**3:
        raise ValueError("a number that is too large")
    if hasattr(value, "__len__") and len(value) > _MAX_LENGTH:
        raise ValueError("a value that is too long")
    return value


def _comprehended(node: ast.ListComp, names: Mapping[str, Any]) -> list[Any]:
    [source] = node.generators
    if not isinstance(source.target, ast.Name):
        raise ValueError(f"not a constant expression: {ast.unparse(node)}")
    scopes = [{**names, source.target.id: item} for item in _bounded(_value(source.iter, names))]
    chosen = [scope for scope in scopes if all(_value(test, scope) for test in source.ifs)]
    return [_value(node.elt, scope) for scope in chosen]


def _called(name: str, arguments: list[Any], names: Mapping[str, Any]) -> Any:
    if name not in _BUILTINS or name in names:
        raise ValueError(f"not a constant expression: a call of {name}")
    return _bounded(_BUILTINS[name](*arguments))

r"""What the jailed child does with a pair of answers: computer algebra. Runs inside the sandbox only.

In: ``{"reference", "answer"}`` in one spelling. Out, on the result descriptor: ``right``, ``wrong`` or
``ungradable`` (a part of the reference cannot be parsed); without an answer, ``readable`` or ``ungradable``.

Formulas are parsed by Math-Verify's parser, with capital letters kept apart from small ones, and compared at
random points to 20 digits, relative to their size: 1/2004! is not 1/2006!, which Math-Verify calls equal.
Where numbers cannot decide (relations, sets, functions of no value), Math-Verify does. Its own timeouts
are off: they need the main thread's alarm and leave C code running; the server's kill needs neither.
"""

import contextlib
import logging
import os
import random
import re
import resource
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import sympy
from latex2sympy2_extended import latex2sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig
from math_verify import parse, verify

from stages.rewards.answers.answer_leaf import Leaf, same_exactly
from stages.rewards.answers.answer_tree import Node, read_answer
from stages.rewards.answers.same_answer import same_answer

_MEMORY_BYTES = 1 << 30
_POINTS = 6
_DIGITS = 40
_TOLERANCE = sympy.Float("1e-20")
_CASE_MATTERS = ConversionConfig(lowercase_symbols=False)
_SUBSCRIPT = re.compile(
    r"((?<![a-zA-Z\\])[a-zA-Z]|\\(?!sum|prod|int|lim|log|min|max|inf|sup)[a-zA-Z]+)\s*_\s*\{([^{}]*)\}"
)
_CONSTANTS = {"i": sympy.I, "e": sympy.E}


class _UngradableError(ValueError):
    """A part of the reference is nothing the parser knows."""


@lru_cache(maxsize=256)
def _parse(text: str) -> Any:
    """The sympy object of a formula, or None."""
    text = _SUBSCRIPT.sub(_plain_subscript, text)
    text = re.sub(r"(?<![_^\d])(\d+)\s*(?=\()", r"\1\\cdot", text)  # 2(1/3) is no mixed number
    with contextlib.suppress(Exception):  # the parser raises whatever it meets; the second try is below
        found = latex2sympy(text, conversion_config=_CASE_MATTERS)
        if isinstance(found, sympy.Basic | sympy.MatrixBase):
            return _exact(found)
    found = parse(f"\\boxed{{{text}}}", parsing_timeout=None)
    return _exact(found[0]) if found and not isinstance(found[0], str) else None


def _plain_subscript(found: re.Match[str]) -> str:
    r"""``R_{\odot}`` as ``R_{odot}``: the parser knows letters and digits only."""
    return found[1] + "_{" + re.sub(r"\W", "", found[2].replace("+", "plus").replace("-", "minus")) + "}"


def _exact(found: Any) -> Any:
    """Decimals as the rational numbers they are written as."""
    return found.xreplace({number: sympy.Rational(str(number)) for number in found.atoms(sympy.Float)})


def _variables(one: sympy.Expr, two: sympy.Expr) -> list[str]:
    return sorted({str(symbol) for symbol in one.free_symbols | two.free_symbols} - set(_CONSTANTS))


def _values(one: sympy.Expr, two: sympy.Expr) -> list[tuple[sympy.Expr, sympy.Expr]]:
    """Values of both at the same random points of both signs, where both have one."""
    names = _variables(one, two)
    generator = random.Random(17)
    values = []
    for number in range(_POINTS if names else 1):
        size = 3_000 if number % 2 else 50_000  # also large enough for floor functions to differ
        point = {name: sympy.Rational(generator.randint(-size, size) or 1, 1009) for name in names} | _CONSTANTS
        pair = tuple(
            sympy.N(side.subs({symbol: point[str(symbol)] for symbol in side.free_symbols}), _DIGITS)
            for side in (one, two)
        )
        if all(value.is_number and value.is_finite for value in pair):
            values.append(pair)
    return values


def _close(one: sympy.Expr, two: sympy.Expr) -> bool:
    size = max(abs(one), abs(two))
    return bool(size == 0 or abs(one - two) <= _TOLERANCE * size)


def _same_at_points(one: Any, two: Any, compare: Callable[[list[Any]], bool]) -> bool | None:
    """What ``compare`` says of the values; None where there are too few to tell."""
    if not isinstance(one, sympy.Expr) or not isinstance(two, sympy.Expr):
        return None
    try:
        if not _variables(one, two) and (difference := (one - two).doit()).is_Rational:  # 2^2008-2 against 2^2008-3
            return compare([(difference, sympy.Integer(0))])
        values = _values(one.doit(), two.doit())
    except (TypeError, ValueError, AttributeError, ArithmeticError, NotImplementedError, RecursionError):
        return None  # a function without values; Math-Verify decides
    return compare(values) if len(values) >= (3 if _variables(one, two) else 1) else None


def _proportional(values: list[Any]) -> bool:
    """Whether two equations with everything on one side have the same zeros: one is a multiple of the other."""
    ratios = [one / two for one, two in values if two != 0]
    return len(ratios) >= 3 and ratios[0] != 0 and all(_close(ratio, ratios[0]) for ratio in ratios)


def _same_formula(reference: str, answer: str) -> bool:
    gold, target = _parse(reference), _parse(answer)
    if gold is None:
        raise _UngradableError(reference)
    if target is None:
        return False
    if isinstance(gold, sympy.Equality) and isinstance(target, sympy.Equality):
        sides = gold.lhs - gold.rhs, target.lhs - target.rhs
        return bool(_same_at_points(*sides, _proportional)) or _verify(gold, target)
    same = _same_at_points(gold, target, lambda values: all(_close(*pair) for pair in values))
    return _verify(gold, target) if same is None else same


def _verify(gold: Any, target: Any) -> bool:
    return bool(verify(gold, target, float_rounding=12, allow_set_relation_comp=True, timeout_seconds=None))


def _same_leaf(reference: Leaf, answer: Leaf) -> bool:
    same = same_exactly(reference, answer)
    if same is not None:
        return same
    if "=" in reference.text or "=" in answer.text:  # equations are compared with their left sides
        return _same_formula(_with_label(reference), _with_label(answer))
    return _same_formula(_formula(reference, answer), _formula(answer, reference))


def _with_label(leaf: Leaf) -> str:
    return f"{leaf.label}={leaf.text}" if leaf.label else leaf.text


def _formula(leaf: Leaf, other: Leaf) -> str:
    r"""What the parser is given; ``45^\circ`` is a multiple of pi if the other one is, inside a sine always."""
    text = leaf.text if leaf.value is None else f"\\frac{{{leaf.value.numerator}}}{{{leaf.value.denominator}}}"
    if leaf.unit is not None and leaf.unit.dimension == "°" and "\\pi" in other.text:
        return f"({text})\\cdot\\frac{{\\pi}}{{180}}"
    return text.replace("^\\circ", "\\cdot\\frac{\\pi}{180}")


def _verdict(reference: str, answer: str) -> str:
    try:
        return "right" if same_answer(read_answer(reference), read_answer(answer), _same_leaf) else "wrong"
    except _UngradableError:
        return "ungradable"


def _readable(node: Node) -> bool:
    if isinstance(node, Leaf):
        return node.value is not None or "\\text" in node.text or _parse(_with_label(node)) is not None
    return all(_readable(member) for member in node.members)


_EXAMPLES = (
    ("\\frac{1}{2}\\pi", "\\sqrt{\\frac{1}{4}}"),
    ("x^2+2x+1", "(x+1)^2"),
    ("y=2x+1", "y-2x=1"),
    ("2\\sin x\\cos x", "\\sin 2x"),
    ("\\log_2 8+\\ln e^2", "5+\\sqrt{0.5}"),
    ("f(x)=x^3", "a_{n}=2n+1"),
    ("\\binom{10}{k}", "10!k"),
    ("3+4i", "e^{2}\\cdot|x|"),
    ("45^\\circ", "\\frac{\\pi}{4}"),
    ("\\mathbb{R}\\setminus\\{0\\}", "\\lfloor x\\rfloor"),
)
"""One pair a kind of answer: a child inherits the grammar's tables that these fill, about 0.1 s each."""


def warm_up() -> None:
    """Fill the parser's and sympy's caches before the first fork."""
    logging.disable(logging.CRITICAL)
    for pair in _EXAMPLES:
        _verdict(*pair)


def run_job(request: dict[str, Any], result: int) -> None:
    """Write the verdict."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    if "answer" not in request:
        verdict = "readable" if _readable(read_answer(request["reference"])) else "ungradable"
    else:
        verdict = _verdict(request["reference"], request["answer"])
    os.write(result, verdict.encode())

r"""Answers taken apart: lists, sets, tuples, intervals, matrices, and in them numbers and formulas.

In: an answer's text in one spelling (``spelling.py``). Out: a tree of groups and leaves: ``(1,2)`` is not
``1,2``, ``0\le x<1`` is ``[0,1)``, ``x=2\text{ or }x=3`` is ``\{2,3\}``, ``1\pm 2`` is two answers.
Standard library only: the sandbox imports it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from stages.rewards.answers.answer_leaf import Leaf, read_leaf
from stages.rewards.answers.exact_numbers import read_number

_MAX_DEPTH = 8
_NAME = (
    r"(?:\\angle\s*)?(?:\\?[a-zA-Z]{1,12}|\\text\{[^{}]{1,20}\})(?:_\s*(?:\{[^{}]{1,20}\}|\w))?'?(?:\^\{-1\})?"
    r"(?:\s*\([a-zA-Z0-9,\\\s]{1,20}\))?"
)
_LABEL = re.compile(rf"\s*({_NAME}|\(\s*{_NAME}(?:\s*,\s*{_NAME}){{0,5}}\s*\))\s*(?:=|\\in(?![a-zA-Z]))\s*(?=\S)")
_NAME_ALONE = re.compile(rf"\s*{_NAME}\s*")
_SEPARATOR = re.compile(
    r"\s*(?:[;、]|,?\s*\\text\s*\{\s*,?\s*(?:and|or|和|或),?\s*\}|,?\s(?:and|or)(?=[\s$\\])|,\s*(?:and|or)\s|和|或者?|,)[\s$]*"
)
_AND = re.compile(r"\band\b|且")
_UNION = re.compile(r"\\cup(?![a-zA-Z])")
_COMMA = re.compile(r",")
_SUCH_THAT = re.compile(r"\\mid(?![a-zA-Z])|\||:")
_EQUALS = re.compile(r"(?<![<>!])=")
_RELATION = re.compile(r"<|>|\\[lg]e(?![a-zA-Z])")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?![\d,])")
_MATRIX = re.compile(r"\\begin\{pmatrix\}(.*)\\end\{pmatrix\}", re.DOTALL)
_PLUS_MINUS = re.compile(r"\\(pm|mp)(?![a-zA-Z])\s*")
_REALS = ("\\mathbb{R}", "\\text{all real numbers}", "all real numbers", "全体实数")
_NO_VARIABLE = ("e", "i", "\\pi", "\\infty")


@dataclass(frozen=True, slots=True)
class Group:
    """Several answers, or one with parts."""

    kind: str
    """``list`` and ``set`` (no order), brackets such as ``(]`` (order counts), or ``matrix 2,2``: its rows' lengths."""
    members: tuple["Node", ...]
    label: str = ""


Node = Leaf | Group


def read_answer(text: str, depth: int = 0) -> Node:
    """The tree of ``text``; what is no group is a leaf, whatever it is."""
    text = _undollared(text.strip())
    if depth > _MAX_DEPTH or (text.isdigit() and text.isascii()):
        return read_leaf(text)
    group = _several(text, depth) or _bracketed(text, depth) or _both_signs(text, depth) or _bounded(text)
    return group or _labelled(text, depth) or read_leaf(text)


def _undollared(text: str) -> str:
    """``text`` without the dollar signs of a formula; one before a number is money."""
    text = text.rstrip("$ ")
    return text.lstrip("$ ") if text[1:2] and text[1:2] not in "0123456789.-" else text


def chain_of(text: str) -> list[str]:
    r"""The parts of an equation, ``\sqrt{4}`` and ``2`` of ``\sqrt{4}=2``; one part if it is none."""
    return _split(text, _EQUALS)


def _split(text: str, separator: re.Pattern[str], thousands: bool = True) -> list[str]:
    """``text`` at each ``separator`` outside of brackets; the comma of a thousand separates nothing."""
    parts, start, depth, position = [], 0, 0, 0
    while position < len(text):
        character = text[position]
        if (
            thousands
            and character.isdigit()
            and depth == 0
            and text[position - 1 : position] not in tuple("0123456789.,")
        ):
            number = _THOUSANDS.match(text, position)
            position = number.end() if number else position + 1
            continue
        found = separator.match(text, position) if depth == 0 else None
        if found and found.end() > position:
            parts.append(text[start:position])
            start = position = found.end()
            continue
        depth += text.startswith("\\begin{", position) - text.startswith("\\end{", position)
        depth += (character in "([{") - (character in ")]}")
        position += 1
    return [*parts, text[start:]]


def _members(parts: Iterable[str], depth: int) -> tuple[Node, ...]:
    """Each part's tree; both values of a part with plus or minus."""
    members: list[Node] = []
    for part in parts:
        node = read_answer(part, depth + 1)
        members += node.members if isinstance(node, Group) and node.kind == "list" and "\\pm" in part else (node,)
    return tuple(members)


def _several(text: str, depth: int) -> Node | None:
    """A list by commas, "and", "or"; a union of intervals."""
    for separator in (_SEPARATOR, _UNION):
        parts = [part for part in _split(text, separator) if part.strip(" $")]
        if len(parts) > 1 and not (_AND.search(text) and _RELATION.search(text)):  # x>1 and x<2 are not two answers
            return Group("list", _members(parts, depth))
    return None


def _both_signs(text: str, depth: int) -> Node | None:
    if not _PLUS_MINUS.search(text):
        return None
    return Group("list", _members([_signed(text, "+", "-"), _signed(text, "-", "+")], depth))


def _signed(text: str, plus_minus: str, minus_plus: str) -> str:
    return _PLUS_MINUS.sub(lambda found: plus_minus if found[1] == "pm" else minus_plus, text)


def _symbol(text: str) -> Node | None:
    """The empty set, all real numbers, a matrix, a number in braces."""
    if text in ("\\emptyset", "\\{\\}", "\\{ \\}"):
        return Group("set", ())
    if text in _REALS:
        return Group("()", (read_leaf("-\\infty"), read_leaf("\\infty")))
    if matrix := _MATRIX.fullmatch(text):
        rows = [row.split("&") for row in re.split(r"\\\\", matrix[1]) if row.strip()]
        lengths = ",".join(str(len(row)) for row in rows)
        return Group(f"matrix {lengths}", tuple(read_leaf(cell) for row in rows for cell in row))
    braced = _inside(text, "{}")
    if braced is not None and read_number(braced) is not None:
        return read_leaf(braced)  # {1,000} groups a number, \{1,000\} is a set
    return None


def _bracketed(text: str, depth: int) -> Node | None:
    if symbol := _symbol(text):
        return symbol
    for brackets in ("\\{}", "{}", "()", "[]", "(]", "[)"):
        inside = _inside(text, brackets)
        if inside is None:
            continue
        if brackets == "\\{}" and len(parts := _split(inside, _SUCH_THAT)) > 1:
            return read_answer(":".join(parts[1:]), depth + 1)
        members = [
            part for part in _split(inside, _COMMA, thousands="{" in brackets and ", " in inside) if part.strip()
        ]
        if len(members) > 1:
            if "{" not in brackets and _PLUS_MINUS.search(inside):  # (1,\pm 2) is two points
                return _both_signs(text, depth)
            return Group("set" if "{" in brackets else brackets, _members(members, depth))
        if brackets == "\\{}":
            return Group("set", _members(members, depth))
        return read_answer(inside, depth + 1) if brackets in ("()", "{}") and members else None
    return None


def _inside(text: str, brackets: str) -> str | None:
    """What is between ``brackets`` if they enclose the whole text."""
    opening, closing = ("\\{", "\\}") if brackets == "\\{}" else tuple(brackets)
    if not (text.startswith(opening) and text.endswith(closing)) or len(text) < len(opening + closing):
        return None
    depth = 0
    for position, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0 and len(opening) - 1 <= position < len(text) - 1:
            return None
    return text[len(opening) : -len(closing)]


def _bounded(text: str) -> Node | None:
    r"""An inequality in one variable as an interval: ``x<2``, ``0\le x<1``."""
    signs = _RELATION.findall(text)
    if len(signs) not in (1, 2) or "\\text" in text or "=" in text:
        return None
    terms = [term.strip() for term in _split(text, _RELATION)]
    if len(terms) != len(signs) + 1 or not all(terms) or len({sign in ("<", "\\le") for sign in signs}) > 1:
        return None
    if signs[0] not in ("<", "\\le"):
        terms, signs = terms[::-1], signs[::-1]
    closed = ["e" in sign for sign in signs]
    names = [bool(_NAME_ALONE.fullmatch(term)) and term not in _NO_VARIABLE for term in terms]
    if names == [True, False]:
        terms, closed, names = ["-\\infty", *terms], [False, *closed], [False, *names]
    elif names == [False, True]:
        terms, closed, names = [*terms, "\\infty"], [*closed, False], [*names, False]
    if names != [False, True, False]:
        return None
    low, name, high = terms
    brackets = "(["[closed[0] and "\\infty" not in low] + ")]"[closed[1] and "\\infty" not in high]
    return Group(brackets, (read_leaf(low), read_leaf(high)), label=name)


def _labelled(text: str, depth: int) -> Node | None:
    label = _LABEL.match(text)
    if label is None:
        return None
    name, node = label[1].replace(" ", ""), read_answer(text[label.end() :], depth + 1)
    if isinstance(node, Leaf):
        return node if node.label else replace(node, label=name)
    if not name.startswith("("):
        return replace(node, members=tuple(replace(member, label=name) for member in node.members))
    names = name[1:-1].split(",")
    if node.kind != "()" or len(names) != len(node.members):
        return node
    return Group("list", tuple(replace(member, label=each) for member, each in zip(node.members, names, strict=True)))

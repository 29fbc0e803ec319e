r"""The smallest parts of an answer: one number, time of the day or formula, with its label and unit.

In: the text of one part in one spelling (``spelling.py``). Out: a ``Leaf``, and whether two of them are
equal as exact numbers or as text. Standard library only: the sandbox imports it.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from stages.rewards.answers.exact_numbers import read_number
from stages.rewards.answers.spelling import squeeze
from stages.rewards.answers.spoken_numbers import read_words
from stages.rewards.answers.units import Unit, comparable, ratio, read_unit, split_unit

_ORDINAL = re.compile(r"(\d{1,9})\s*(?:\^\s*\{?\s*)?(?:\\text\s*\{\s*)?(?:st|nd|rd|th)[\s}]*")
_PERCENT = re.compile(r"(.+?)\s*(?:\\text\s*\{\s*)?(?:%|percent|per cent)[\s}]*")
_BASED = re.compile(r"\(?([0-9][0-9a-zA-Z]{0,60})\)?_\s*\{?\s*(?:\\text\s*\{\s*)?(\d{1,2}|[a-z]{3,8})[\s}]*")
_COLON = re.compile(r"(\d{1,6})\s*(?::|\\text\s*\{\s*to\s*\}|to)\s*(\d{1,6})")
_CLOCK = re.compile(r"(\d{1,2}):([0-5]\d)(?::([0-5]\d))?\s*(?:([ap])\.?\s?m\.?)?", re.IGNORECASE)
_CONSTANT = re.compile(r"(?:[\d\s.,+\-*/^(){}]|\\(?:frac|sqrt|pi|times|cdot)(?![a-zA-Z]))+")
_HAN_QUANTITY = re.compile(
    r"(负?[零一二两三四五六七八九十百千万亿]+(?:点[零一二三四五六七八九]+)?)([\u4e00-\u9fff]{1,4}?)"
)
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_BASES = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}


@dataclass(frozen=True, slots=True)
class Leaf:
    """One number or formula."""

    text: str
    """Without label and unit."""
    label: str = ""
    """``x`` in ``x=2``."""
    value: Fraction | None = None
    percent: bool = False
    unit: Unit | None = None
    kind: Literal["", "base", "12 hours", "24 hours"] = ""
    """A number written with its base, or a time of the day (``value``: minutes) without and with its half."""


def read_leaf(text: str) -> Leaf:
    """The leaf of ``text``; what is neither number nor time is a formula, whatever it is."""
    text = text.strip()
    if (value := read_number(text)) is not None:
        return Leaf(text, value=value)
    if found := _PERCENT.fullmatch(text):
        value = read_number(found[1])
        return Leaf(text, value=read_words(found[1]) if value is None else value, percent=True)
    if found := _ORDINAL.fullmatch(text):
        return Leaf(found[1], value=Fraction(int(found[1])))
    inner = re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", text).strip()
    if special := _clock(inner) or _ratio(text) or _based(text):
        return special
    if (value := read_words(inner)) is not None:
        percent = inner.lstrip("负").startswith("百分之")
        return Leaf(text, value=value * 100 if percent else value, percent=percent)
    if found := _HAN_QUANTITY.fullmatch(inner):  # three hours
        return Leaf(found[1], value=read_words(found[1]), unit=read_unit(found[2]))
    return _with_unit(text)


def _with_unit(text: str) -> Leaf:
    rest, unit = split_unit(text)
    value = read_number(rest)
    if value is None and unit is not None:
        value = read_words(rest)
    stated = value is not None or "\\text" in text or _CONSTANT.fullmatch(rest)
    if unit is None or not stated or _TRIGONOMETRIC.search(rest):
        return Leaf(text)
    return Leaf(rest, value=value, unit=unit)


def _clock(text: str) -> Leaf | None:
    found = _CLOCK.fullmatch(text)
    if found is None or int(found[1]) > 24:
        return None
    hours, half = int(found[1]), (found[4] or "").lower()
    if half and 1 <= hours <= 12:
        hours = hours % 12 + 12 * (half == "p")
    minutes = Fraction(hours * 60 + int(found[2])) + Fraction(int(found[3] or 0), 60)
    return Leaf(text, value=minutes, kind="24 hours" if half or hours > 12 else "12 hours")


def _ratio(text: str) -> Leaf | None:
    found = _COLON.fullmatch(text)
    return Leaf(text, value=Fraction(int(found[1]), int(found[2]))) if found and int(found[2]) else None


def _based(text: str) -> Leaf | None:
    found = _BASED.fullmatch(text)
    base = 0 if found is None else int(found[2]) if found[2].isdigit() else _BASES.get(found[2], 0)
    if found is None or not 2 <= base <= 36:
        return None
    try:
        return Leaf(text, value=Fraction(int(found[1], base)), kind="base")
    except ValueError:  # a digit its base does not have
        return None


def same_exactly(reference: Leaf, answer: Leaf) -> bool | None:
    """Whether two leaves are equal as exact numbers or as text; None if only algebra can tell."""
    if reference.kind or answer.kind:
        return _same_special(reference, answer)
    if not comparable(reference.unit, answer.unit):
        return False
    if reference.value is None or answer.value is None:
        return True if squeeze(reference.text) == squeeze(answer.text) else None
    one, two = reference.value * ratio(reference.unit, answer.unit), answer.value
    if one == two:
        return True
    if reference.percent == answer.percent:
        return False
    return (one / 100 if reference.percent else one) == (two / 100 if answer.percent else two)


def _same_special(reference: Leaf, answer: Leaf) -> bool:
    """A base must be stated by both; the half of the day by the answer, if the reference states it."""
    if reference.value is None or answer.value is None or "base" in (reference.kind, answer.kind):
        return reference.kind == answer.kind and reference.value == answer.value
    if not reference.kind or not answer.kind:
        return False
    if reference.kind == answer.kind:
        return reference.value == answer.value
    return reference.kind == "12 hours" and (reference.value - answer.value) % 720 == 0

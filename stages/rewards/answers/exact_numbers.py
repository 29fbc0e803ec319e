r"""Numbers read exactly: what settles most answers without computer algebra.

In: an answer's text in one spelling (``spelling.py``). Out: the rational number it is, or None if it is
something else. Exact, so 0.333333 is not 1/3, 0.1000001 is not 0.1 (Math-Verify rounds to six decimals),
and ``0.\overline{3}`` is 1/3.
"""

import math
import re
from fractions import Fraction

_INTEGER = r"\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+|\d{1,200}"
_DECIMAL = rf"(?:(?:{_INTEGER})(?:\.\d{{0,200}})?|\.\d{{1,200}})"
_ARGUMENT = rf"\{{\s*([-+]?\s*{_DECIMAL})\s*\}}"
_PLAIN = re.compile(rf"(?P<value>{_DECIMAL})(?:[eE](?P<exponent>[+-]?\d{{1,3}}))?")
_RATIO = re.compile(rf"(?:(?P<whole>\d{{1,60}})\s+)?(?P<top>{_DECIMAL})\s*/\s*(?P<bottom>-?\s*{_DECIMAL})")
_FRACTION = re.compile(rf"(?P<whole>\d{{1,60}})?\s*\+?\s*\\frac\s*{_ARGUMENT}\s*{_ARGUMENT}")
_POWER = re.compile(
    rf"(?:(?P<factor>{_DECIMAL})\s*(?:\\times|\\cdot|\*)\s*)?(?P<base>\d{{1,4}})\s*\^\s*(?:\{{\s*(?P<long>-?\d{{1,3}})\s*\}}|(?P<short>\d{{1,3}}))"
)
_REPEATING = re.compile(
    r"(?P<whole>\d{0,60})\.(?P<fixed>\d{0,60})(?:\\overline\s*\{(?P<bar>\d{1,60})\}|\\dot\s*\{?(?P<dot>\d)\}?|\((?P<brackets>\d{1,60})\))"
)
_FACTORIAL = re.compile(r"(\d{1,2})!")
_MAX_EXPONENT = 400
"""Largest exponent computed; beyond it a power is not an answer."""


def read_number(text: str) -> Fraction | None:
    """The rational number ``text`` is, without per cent sign; None if it is something else."""
    text = text.strip()
    sign = 1
    if text[:1] in "+-":
        sign, text = (-1 if text[:1] == "-" else 1), text[1:].lstrip()
        if text[:1] == "(" and text[-1:] == ")":
            text = text[1:-1].strip()
    if text.isdigit() and text.isascii() and len(text) <= 200:
        return Fraction(sign * int(text))
    value = _unsigned(text)
    return None if value is None else sign * value


def _unsigned(text: str) -> Fraction | None:
    if found := _PLAIN.fullmatch(text):
        return _decimal(found["value"]) * Fraction(10) ** int(found["exponent"] or 0)
    if found := _RATIO.fullmatch(text):
        return _mixed(found["whole"], found["top"], found["bottom"])
    if found := _FRACTION.fullmatch(text):
        return _mixed(found["whole"], found[2], found[3])
    if found := _POWER.fullmatch(text):
        exponent = int(found["long"] or found["short"])
        if abs(exponent) > _MAX_EXPONENT or (exponent < 0 and int(found["base"]) == 0):
            return None
        return _decimal(found["factor"] or "1") * Fraction(int(found["base"])) ** exponent
    if found := _FACTORIAL.fullmatch(text):
        return Fraction(math.factorial(int(found[1])))
    if found := _REPEATING.fullmatch(text):
        period = found["bar"] or found["dot"] or found["brackets"]
        fixed = Fraction(int(found["whole"] + found["fixed"] or "0"), 10 ** len(found["fixed"]))
        return fixed + Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(found["fixed"]))
    return None


def _mixed(whole: str | None, top_text: str, bottom_text: str) -> Fraction | None:
    top, bottom = _decimal(top_text), _decimal(bottom_text)
    if bottom == 0 or (whole and (top < 0 or bottom < 0 or top >= bottom)):
        return None
    return int(whole or 0) + top / bottom


def _decimal(text: str) -> Fraction:
    return Fraction(re.sub(r"[,\s+]", "", text).rstrip(".") or "0")

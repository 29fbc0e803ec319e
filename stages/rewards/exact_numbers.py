"""Numbers read exactly: what settles most answers without computer algebra.

In: an answer's normalised text. Out: the rational numbers it states, or None if it states something
else. Exact, so 0.333333 is not 1/3 and 0.1000001 is not 0.1 (Math-Verify rounds to six decimals).
"""

import re
from dataclasses import dataclass
from fractions import Fraction

_INTEGER = r"\d{1,3}(?:,\d{3})+|\d{1,3}(?:\\[, ] ?\d{3}| \d{3})+|\d{1,200}"
_DECIMAL = rf"(?:(?:{_INTEGER})(?:\.\d{{0,200}})?|\.\d{{1,200}})"
_ARGUMENT = r"(?:\{\s*(-?\d{1,60})\s*\}|(\d))"
_PLAIN = re.compile(rf"(?P<value>{_DECIMAL})(?:[eE](?P<exponent>[+-]?\d{{1,3}}))?")
_RATIO = re.compile(rf"(?P<top>{_DECIMAL})\s*/\s*(?P<bottom>{_DECIMAL})")
_FRACTION = re.compile(rf"(?P<whole>\d{{1,60}})?\s*\\frac\s*{_ARGUMENT}\s*{_ARGUMENT}")
_POWER = re.compile(
    rf"(?:(?P<factor>{_DECIMAL})\s*(?:\\times|\\cdot|\*)\s*)?(?P<base>\d{{1,4}})\s*\^\s*(?:\{{\s*(?P<long>-?\d{{1,3}})\s*\}}|(?P<short>\d))"
)
_LABEL = re.compile(r"^([a-zA-Z](?:_\{?\w\}?)?)\s*(?:=|\\in(?![a-zA-Z]))\s*")
_SEPARATOR = re.compile(
    r"\s*(?:[;、]|\\text\s*\{\s*(?:and|or),?\s*\}|,?\s(?:and|or)\s|,\s*(?:and|or)\s|和|或|,(?!\d{3}(?!\d))|,\s)\s*"
)
_MAX_EXPONENT = 400
"""Largest exponent computed; beyond it a power is not an answer."""


Item = tuple[str, Fraction, bool]
"""(label or "", value, whether it was written with a per cent sign)."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """What an answer states: one number, several, or a tuple in brackets."""

    brackets: str
    """``""`` for a bare list or one number, ``"{}"`` a set, ``"()"``, ``"[]"`` and mixed ones are ordered."""
    items: tuple[Item, ...]


def read_number(text: str) -> Fraction | None:
    """The rational number ``text`` is, without per cent sign; None if it is something else."""
    text = text.strip()
    sign = 1
    if text[:1] in "+-":
        sign, text = (-1 if text[:1] == "-" else 1), text[1:].lstrip()
    text = text.removeprefix("$").lstrip()
    if text.isdigit() and text.isascii() and len(text) <= 200:
        return Fraction(sign * int(text))
    value = _unsigned(text)
    return None if value is None else sign * value


def _unsigned(text: str) -> Fraction | None:
    if found := _PLAIN.fullmatch(text):
        return _decimal(found["value"]) * Fraction(10) ** int(found["exponent"] or 0)
    if found := _RATIO.fullmatch(text):
        bottom = _decimal(found["bottom"])
        return _decimal(found["top"]) / bottom if bottom else None
    if found := _FRACTION.fullmatch(text):
        top, bottom_digits = found[2] or found[3], found[4] or found[5]
        if int(bottom_digits) == 0 or (found["whole"] and (top + bottom_digits).startswith("-")):
            return None
        return int(found["whole"] or 0) + Fraction(int(top), int(bottom_digits))
    if found := _POWER.fullmatch(text):
        exponent = int(found["long"] or found["short"])
        if abs(exponent) > _MAX_EXPONENT or (exponent < 0 and int(found["base"]) == 0):
            return None
        return _decimal(found["factor"] or "1") * Fraction(int(found["base"])) ** exponent
    return None


def _decimal(text: str) -> Fraction:
    return Fraction(re.sub(r"[,\\ ]", "", text).rstrip(".") or "0")


def read_numbers(text: str) -> Numbers | None:
    r"""The numbers ``text`` states, ``x=2, x=3`` and ``\pm 3`` included; None if any part is not a number."""
    if text.isdigit() and text.isascii() and len(text) <= 200:
        return Numbers("", (("", Fraction(int(text)), False),))
    label = _LABEL.match(text)
    body, brackets = (text[label.end() :] if label else text), ""
    for opening, closing in (("\\{", "\\}"), ("(", ")"), ("[", "]"), ("(", "]"), ("[", ")")):
        if body.startswith(opening) and body.endswith(closing) and len(body) > 2:
            text = body[len(opening) : -len(closing)]
            brackets = "{}" if opening == "\\{" else opening + closing
            break
    items: list[Item] = []
    for part in text.split(",") if brackets else _parts(text):
        item = _read_item(part.strip())
        if item is None:
            return None
        items += item
    if brackets in ("()", "[]") and len(items) == 1:
        brackets = ""
    return Numbers(brackets, tuple(items)) if items else None


def _parts(text: str) -> list[str]:
    return [text] if read_number(text) is not None else _SEPARATOR.split(text)


def _read_item(text: str) -> list[Item] | None:
    label = _LABEL.match(text)
    name, text = (label[1], text[label.end() :]) if label else ("", text)
    percent = text.endswith("%")
    text = text.removesuffix("%").strip()
    both_signs = text.startswith("\\pm")
    value = read_number(text.removeprefix("\\pm") if both_signs else text)
    if value is None:
        return None
    return [(name, sign * value, percent) for sign in ((1, -1) if both_signs else (1,))]


def same_numbers(reference: Numbers, answer: Numbers) -> bool:
    """Whether both state the same: sets without order, tuples with it, a per cent sign as /100 or as a unit."""
    if reference.brackets in ("", "{}") and answer.brackets in ("", "{}"):
        return _same_sets(reference.items, answer.items)
    ordered_answer = answer.brackets == reference.brackets or len({label for label, _, _ in answer.items}) > 1
    return (
        ordered_answer
        and len(reference.items) == len(answer.items)
        and all(_same(one, two) for one, two in zip(reference.items, answer.items, strict=True))
    )


def _same_sets(reference: tuple[Item, ...], answer: tuple[Item, ...]) -> bool:
    labels = [{label for label, _, _ in items} for items in (reference, answer)]
    if len(labels[0]) > 1 or len(labels[1]) > 1:  # x=1, y=2: which is which counts
        return {(label, value) for label, value, _ in reference} == {(label, value) for label, value, _ in answer}
    return all(any(_same(one, two) for two in answer) for one in reference) and all(
        any(_same(one, two) for one in reference) for two in answer
    )


def _same(one: Item, two: Item) -> bool:
    if one[1] == two[1]:
        return True
    return one[2] != two[2] and (one[1] / 100 if one[2] else one[1]) == (two[1] / 100 if two[2] else two[1])

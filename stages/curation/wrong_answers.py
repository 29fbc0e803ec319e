r"""Answers that are wrong for certain, made from right ones: what a grader must refuse.

In: a problem whose reference is right. Out: completions that are wrong, each with the way it was made. Ours.
That one is wrong is decided here, by exact rational arithmetic and by the form of the reference, never by a
grader: the sign of 0 is not flipped, ``0.5`` with a 0 appended is left out, and where nothing can be said for
certain (a relation, an expression with a free constant) nothing is made. Programs: ``wrong_programs.py``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from stages.data.chat_format import TAGS, THINK_CLOSE, THINK_OPEN, write_completion
from stages.data.problems import Problem

_THOUGHT = "let me see"
_DIGITS = r"\d{1,3}(?:,\d{3})+(?!\d)|\d{1,60}"
_NUMBER = re.compile(
    rf"(?P<sign>-?)(?:(?P<decimal>(?:{_DIGITS})?(?:\.\d{{1,60}})|(?:{_DIGITS}))|\\[dt]?frac\{{(?P<top>\d{{1,60}})\}}"
    r"\{(?P<bottom>\d{1,60})\}|(?P<over>\d{1,60})/(?P<under>\d{1,60}))"
)
_DRESSED = re.compile(r"(?P<before>\s*\$?(?:\\\$)?\s*)(?P<number>.*?)(?P<after>\s*(?:\\?%)?\$?\s*)")
_WITH_UNIT = re.compile(r"\d{1,60}(?=(?:\\ |\s)*\\text\{[^{}\d]*\}$|\s+[A-Za-z]{2,}$)")
_LIST = re.compile(r"(?P<before>\(|\[|\\\{|)(?P<items>[^()\[\]{}]*,[^()\[\]{}]*)(?P<after>\)|\]|\\\}|)")
_LABEL = re.compile(r"\s*(?:[a-z]\s*=\s*)?")
_SCALAR = re.compile(
    r"(?:[\d\sa-zA-Z+\-*/^.(){}]|\\(?:frac|dfrac|tfrac|sqrt|pi|cdot|times|left|right|sin|cos|tan|ln|log|alpha|theta)"
    r"(?![a-zA-Z]))+"
)
_FREE_CONSTANT = re.compile(r"(?<![a-zA-Z\\])[Ck](?![a-zA-Z])")
_WORD = re.compile(r"(?:\\text\{)?\s*[^\W\d_]{2,}(?: [^\W\d_]+)*\s*\}?")
_SEVERAL = re.compile(r"\\pm|\\mp|[<>≤≥=]|\\[lg](?:eq?|t)|\\cup|\\in(?![a-z])|\bor\b|\band\b|,|或|和")
_UNRELATED = "71\\sqrt{7}+43\\sqrt{11}+12345"
"""No reference is this number; only computer algebra sees that, so the reference must be one it can read."""


@dataclass(frozen=True, slots=True)
class WrongAnswer:
    """A completion that must score 0.0."""

    kind: str
    """How it was made, in a few words."""
    completion: str


def wrong_answers(problem: Problem) -> list[WrongAnswer]:
    """Wrong completions of any problem but ``code``; at least the empty one, and for every kind of reference more."""
    gold = problem.answer
    made = [WrongAnswer("empty", write_completion(_THOUGHT, ""))]
    if any(tag in gold for tag in TAGS):
        return made
    made += answer_in_the_thought(gold)
    if not gold.strip():
        return made
    texts = list(_WRONG_TEXTS.get(problem.grader, _no_texts)(gold))
    made += [WrongAnswer(kind, write_completion(_THOUGHT, text)) for kind, text in texts]
    return made + (_other_dresses(gold, *texts[0]) if texts else [])


def _other_dresses(gold: str, kind: str, text: str) -> list[WrongAnswer]:
    """The wrong ``text`` without the answer tag, and beside the right one."""
    opened = f"{THINK_OPEN}{_THOUGHT}{THINK_CLOSE}"
    return [
        WrongAnswer(f"{kind}, boxed", f"{opened}So it is \\boxed{{{text}}}."),
        WrongAnswer(f"{kind}, announced", f"{opened}The answer is {text}."),
        WrongAnswer("two boxes", f"{opened}\\boxed{{{gold}}} \\boxed{{{text}}}"),
        WrongAnswer("two boxes", f"{opened}\\boxed{{{text}}} \\boxed{{{gold}}}"),
    ]


def answer_in_the_thought(gold: str) -> list[WrongAnswer]:
    """The right answer where it does not count: in a closed thought, and in one that never closes."""
    inside = f"{_THOUGHT}: {gold} \\boxed{{{gold}}}"
    return [
        WrongAnswer("only in the thought", f"{THINK_OPEN}{inside}{THINK_CLOSE}"),
        WrongAnswer("the thought never closes", f"{THINK_OPEN}{inside}\n<answer>{gold}</answer>"),
    ]


def read_exactly(text: str) -> Fraction | None:
    """The number ``text`` is, sign, thousands separators and simple fractions included; None if it is anything else."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    if found["decimal"] is not None:
        value = Fraction(found["decimal"].replace(",", ""))
    else:
        bottom = int(found["bottom"] or found["under"])
        if bottom == 0:
            return None
        value = Fraction(int(found["top"] or found["over"]), bottom)
    return -value if found["sign"] else value


def _spell(value: Fraction, like: str) -> str:
    """``value`` written as ``like`` is: as a fraction where it is one, as a decimal otherwise."""
    sign = "-" if value < 0 else ""
    top, bottom = abs(value.numerator), value.denominator
    if "frac" in like and bottom != 1:
        return f"{sign}\\frac{{{top}}}{{{bottom}}}"
    if "/" in like and bottom != 1:
        return f"{sign}{top}/{bottom}"
    return f"{value.numerator}" if bottom == 1 else f"{Decimal(value.numerator) / Decimal(bottom):f}"


def _math(gold: str) -> Iterator[tuple[str, str]]:
    dressed = _DRESSED.fullmatch(gold)
    if dressed and (value := read_exactly(dressed["number"])) is not None:
        yield from _of_number(dressed["before"], dressed["number"], dressed["after"], value)
        return
    if (items := _LIST.fullmatch(gold)) and (numbers := _read_items(items["items"])):
        yield from _of_list(items["before"], items["after"], numbers)
    elif unit := _WITH_UNIT.search(gold):
        if _NUMBER.fullmatch(gold[: unit.end()]):
            yield "off by one", f"{int(unit.group()) + 1}{gold[unit.end() :]}"
    elif len(gold) > 1 and _WORD.fullmatch(gold):
        yield from _of_words(gold)
    elif _SCALAR.fullmatch(gold) and not _FREE_CONSTANT.search(gold) and re.search(r"[\d\\]", gold):
        other = f"{gold.strip().rstrip('.')}+1"
        yield "off by one", other
        yield from _hedges(gold, other)
    yield "unrelated", _UNRELATED if "12345" not in gold else f"{_UNRELATED}6"


def _of_number(before: str, number: str, after: str, value: Fraction) -> Iterator[tuple[str, str]]:
    def dress(text: str) -> str:
        return f"{before}{text}{after}"

    gold, other = dress(number), dress(_spell(value + 1, number))
    yield "off by one", other
    yield "off by one", dress(_spell(value - 1, number))
    if value != 0:
        yield "sign flipped", dress(_spell(-value, number))
    if read_exactly(longer := f"{number}0") not in (None, value):
        yield "a digit appended", dress(longer)
    yield from _hedges(gold, other)
    yield "a second value appended", f"{gold}, {other}"
    yield "an equation appended", f"{gold} = {other}"
    yield "denied", f"not {gold}"


def _hedges(gold: str, other: str) -> Iterator[tuple[str, str]]:
    if not _SEVERAL.search(gold.replace(",", "") if read_exactly(gold) is not None else gold):
        yield "hedged", f"{gold} or {other}"
        yield "hedged", f"{other} or {gold}"


def _read_items(text: str) -> list[tuple[str, Fraction]]:
    """(label, number) of each item of a plain list; empty if any is not a number."""
    items = []
    for part in text.split(","):
        label = _LABEL.match(part)
        end = label.end() if label else 0
        value = read_exactly(part[end:].strip())
        if value is None:
            return []
        items.append((part[:end].strip(), value))
    return items


def _of_list(before: str, after: str, items: list[tuple[str, Fraction]]) -> Iterator[tuple[str, str]]:
    """The last number replaced by one larger than all; one missing where the list is a set; a pair swapped."""
    spelled = [f"{label}{_spell(value, '/')}" for label, value in items]
    values = [value for _, value in items]
    last = f"{items[-1][0]}{_spell(max(values) + 1, '/')}"
    yield "off by one", f"{before}{', '.join([*spelled[:-1], last])}{after}"
    if before in ("", "\\{") and set(values[:-1]) != set(values):
        yield "one value missing", f"{before}{', '.join(spelled[:-1])}{after}"
    if before == "(" and after == ")" and values != values[::-1]:
        yield "order reversed", f"({', '.join(reversed(spelled))})"


def _of_words(gold: str) -> Iterator[tuple[str, str]]:
    plain = gold.removeprefix("\\text{").removesuffix("}").strip()
    other = "neither of them" if plain.casefold() != "neither of them" else "both of them"
    yield "another word", f"\\text{{{other}}}"
    yield "denied", f"\\text{{not {plain}}}"
    if not _SEVERAL.search(plain):
        yield "hedged", f"\\text{{{plain} or {other}}}"


def _choice(gold: str) -> Iterator[tuple[str, str]]:
    other = "B" if gold == "A" else "A"
    yield "another letter", other
    yield from _hedges(gold, other)
    yield "a second value appended", f"{gold}, {other}"
    yield "denied", f"not {gold}"


def _countdown(gold: str) -> Iterator[tuple[str, str]]:
    """One number larger by one changes the sum of the numbers used; one more changes their count."""
    number = re.search(r"\d+", gold)
    if number is None:
        return
    other = f"{gold[: number.start()]}{int(number.group()) + 1}{gold[number.end() :]}"
    yield "off by one", other
    yield "a second value appended", f"{gold}+0"
    yield "hedged", f"{gold} or {other}"


def _no_texts(gold: str) -> Iterator[tuple[str, str]]:
    return iter(())


_WRONG_TEXTS = {"math": _math, "choice": _choice, "countdown": _countdown}

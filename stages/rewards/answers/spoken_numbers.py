"""Numbers in words: ``forty-two``, ``three fourths``, ``5 million``, ``四十二``, ``三点五``, ``百分之十五``, ``3万``.

In: an answer's text. Out: the rational number it names, or None if it is anything else.
"""

import re
from fractions import Fraction

from stages.rewards.answers.exact_numbers import read_number

_ENGLISH_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_ENGLISH_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_ENGLISH_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth"
_ONES = {word: value for value, word in enumerate(_ENGLISH_ONES.split())}
_TENS = {word: 10 * value for value, word in enumerate(_ENGLISH_TENS.split(), start=2)}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_ORDINALS = _ENGLISH_ORDINALS.split()
_PARTS = {"half": 2, "halves": 2, "quarter": 4, "quarters": 4} | {
    word + plural: place for place, word in enumerate(_ORDINALS[2:], start=3) for plural in ("", "s")
}
_HAN_DIGITS = {character: value for value, character in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_HAN_SCALES = {"十": 10, "百": 100, "千": 1000}
_HAN_NUMBER = re.compile(r"[零〇一二两三四五六七八九十百千万亿]{1,20}")
_SCALED = re.compile(
    r"(\d{1,12}(?:\.\d{1,12})?)\s*(hundred|thousand|million|billion|trillion|dozen|百|千|万|亿|百万|千万)"
)
_NEGATIVE = re.compile(r"(?:negative |minus |负)(.+)")
_FACTORS = {"hundred": 100, "dozen": 12, "百": 100, "千": 1000, "万": 10**4, "亿": 10**8, "百万": 10**6, "千万": 10**7}


def read_words(text: str) -> Fraction | None:
    """The number ``text`` names in English or Chinese words; None if it names none."""
    text = text.strip().casefold()
    if len(text) > 80:
        return None
    if scaled := _SCALED.fullmatch(text):
        return Fraction(scaled[1]) * (_SCALES | _FACTORS)[scaled[2]]
    if signed := _NEGATIVE.fullmatch(text):
        value = read_number(signed[1])
        value = read_words(signed[1]) if value is None else value
        return None if value is None or value < 0 else -value
    if text.isascii():
        return _english(text)
    return _chinese(text)


def _english(text: str) -> Fraction | None:
    words = re.findall(r"[a-z]+", text)
    if not words or not re.fullmatch(r"[a-z]+(?:[ -][a-z]+)*", text):
        return None
    if words == [words[0]] and words[0] in _ORDINALS:
        return Fraction(_ORDINALS.index(words[0]) + 1)
    if len(words) > 1 and words[-1] in _PARTS:
        top = _cardinal(words[:-1])
        return None if top is None else Fraction(top, _PARTS[words[-1]])
    value = _cardinal(words)
    return None if value is None else Fraction(value)


def _cardinal(words: list[str]) -> int | None:
    """A whole number in English words, e.g. one hundred and five thousand two."""
    total = group = 0
    last = 10**15  # each part must be smaller than the one before it
    for word in words:
        if word == "and" and group >= 100:
            continue
        if word in _ONES or word in _TENS:
            value = _ONES.get(word, 0) or _TENS.get(word, 0)
            if group and (last not in (100, 10) or (last == 10 and not 0 < value < 10)):
                return None
            group, last = group + value, 10 if word in _TENS else 1
        elif word == "hundred" and 0 < group < 10:
            group, last = group * 100, 100
        elif word in _SCALES and group and (not total or total % (_SCALES[word] * 1000) == 0):
            total, group, last = total + group * _SCALES[word], 0, 10**15
        else:
            return None
    return total + group if words and words[-1] != "and" else None


def _chinese(text: str) -> Fraction | None:
    if text.startswith("第"):
        return Fraction(text[1:]) if text[1:].isdecimal() and text[1:].isascii() else _chinese(text[1:])
    bottom, divided, top = text.partition("分之")
    if divided:
        below, above = (Fraction(100) if bottom == "百" else _chinese(bottom)), _chinese(top)
        return above / below if below and above is not None else None
    whole, point, decimals = text.partition("点")
    number = _han_integer(whole)
    if number is None or not point:
        return None if number is None else Fraction(number)
    if not decimals or any(character not in _HAN_DIGITS for character in decimals):
        return None
    return number + Fraction(int("".join(str(_HAN_DIGITS[character]) for character in decimals)), 10 ** len(decimals))


def _han_integer(text: str) -> int | None:
    if not _HAN_NUMBER.fullmatch(text):
        return None
    if all(character in _HAN_DIGITS for character in text):  # 二〇二四 is read digit by digit, as 四 is
        return int("".join(str(_HAN_DIGITS[character]) for character in text))
    total = section = digit = 0
    for character in text:
        if character in _HAN_DIGITS:
            digit = _HAN_DIGITS[character]
        elif character in _HAN_SCALES:
            section, digit = section + (digit or 1) * _HAN_SCALES[character], 0
        else:
            scale = 10**4 if character == "万" else 10**8
            total, section, digit = (total + section + digit) * scale, 0, 0
    return total + section + digit

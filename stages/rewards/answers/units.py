r"""Units: ``5\text{ cm}``, ``5 km/h``, ``12 square feet``, ``45^\circ``, ``\$5``, ``5元`` taken apart.

In: an answer's text. Out: the text without its unit, and the unit as a factor and a dimension, so that
50 mm is 5 cm, 5 m is not, and a word in no table is a unit equal to itself only. What
multiplies, hedges or continues an answer (``5 hundred``, ``5 or so``, ``5 and a half``) is no unit.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: ``factor`` times the base unit of ``dimension``, e.g. 1/100 of ``m1``."""

    factor: Fraction
    dimension: str


_NAMES = {
    "m": "m:1 meter metre 米", "cm": "m:1/100 centimeter centimetre 厘米", "mm": "m:1/1000 millimeter millimetre 毫米",
    "dm": "m:1/10 decimeter 分米", "km": "m:1000 kilometer kilometre 千米 公里", "in": "inch:1 inch inches",
    "ft": "inch:12 foot feet", "yd": "inch:36 yard", "mi": "inch:63360 mile", "g": "g:1 gram 克",
    "kg": "g:1000 kilogram 千克 公斤", "mg": "g:1/1000 milligram", "lb": "oz:16 pound lbs", "oz": "oz:1 ounce",
    "s": "s:1 second sec 秒", "min": "s:60 minute mins 分钟 分", "h": "s:3600 hour hr 小时 时", "day": "s:86400 天 日",
    "week": "s:604800 周 星期", "month": "month:1 月 个月", "year": "month:12 yr 年 岁", "l": "l:1 L liter litre 升",
    "ml": "l:1/1000 mL milliliter 毫升", "dollar": "$:1 usd buck 美元", "cent": "$:1/100 美分", "€": "€:1 euro",
    "£": "£:1", "元": "元:1 yuan 人民币 块", "角": "元:1/10", "°": "°:1 degree deg 度", "rad": "rad:1 radian",
    "mph": "inch/s:63360/3600", "kph": "m/s:1000/3600 kmh",
}  # fmt: skip
_WORD = re.compile(r"[a-zA-Z]+|[\u4e00-\u9fff€£°$]+")
_CONTINUED = """and or not no of but if unless else maybe perhaps about around approximately roughly either neither both
plus minus times divided over under squared cubed factorial half quarter third hundred thousand million billion trillion
dozen percent pct score mod base to is are was be the an than more less most least pi sqrt sin cos tan log ln exp
infinity wrong false incorrect unknown with from between up only zero one two three four five six seven eight nine ten
eleven twelve twenty x y z n i e th st nd rd ish"""
_NO_UNIT = frozenset(_CONTINUED.split())
_NO_HAN_UNIT = re.compile(r"[零〇一二两三四五六七八九十百万亿半多几余约或和不非到至点比左右]|分之|千(?![克米瓦])")
_UNIT_WORDS = r"[a-zA-Z€£]{1,20}(?:[ /*.-]{1,2}[a-zA-Z]{1,20}){0,4}"
_POWER = r"(?:\s*\^\s*\{?(\d)\}?)?"
_IN_TEXT = re.compile(r"\s*\\text\s*\{\s*([^{}\\]{1,60})\}" + _POWER + r"$")
_DEGREES = re.compile(r"\s*\^\s*\{?\s*\\circ\s*\}?\s*([CF]?)$")
_PLAIN = re.compile(rf"(?<=[\d}}). \u4e00-\u9fff])\s*(?<![a-zA-Z\\])({_UNIT_WORDS}){_POWER}$")
_HAN = re.compile(r"\s*([\u4e00-\u9fff]{1,5})$")
_MONEY = re.compile(r"^([-+]?\s*)(\$|€|£|¥|USD|US\$)\s*(?=[\d.\\-])")
_SINGLE = frozenset("mgshlL")
"""Letters that are units where a blank or \\text sets them off; any other single letter is a variable."""


def _table() -> dict[str, Unit]:
    units = {}
    for short, entry in _NAMES.items():
        dimension, *names = entry.split()
        base, _, factor = dimension.partition(":")
        for name in (short, *names):
            units[name] = Unit(Fraction(factor), base)
    return units


_UNITS = _table()


def split_unit(text: str) -> tuple[str, Unit | None]:
    """``text`` without the unit around it, and the unit; ``text`` itself and None where there is none."""
    if money := _MONEY.match(text):
        rest = money[1] + text[money.end() :]
        unit = _UNITS.get(money[2], Unit(Fraction(1), "元" if money[2] == "¥" else "$"))
        inner, other = split_unit(rest)
        return (inner, unit) if other is None or other.dimension == unit.dimension else (text, None)
    if degrees := _DEGREES.search(text):
        return text[: degrees.start()].strip(), Unit(Fraction(1), "°" + degrees[1])
    if len(text) > 1 and (text[-1:] == "}" or text[-1:].isdigit()) and "\\text" in text[-80:]:
        return _split(text, _IN_TEXT.search(text))
    if text[-1:].isalpha() and not text[-1:].isascii():
        return _split(text, _HAN.search(text))
    if found := _PLAIN.search(text[-100:]):
        offset = max(0, len(text) - 100)
        if len(found[1]) > 1 or (
            found[1] in _SINGLE and text[offset + found.start() : offset + found.start(1)].strip() == ""
        ):
            return _split(text[:offset] + text[offset:], found, offset)
    return text, None


def _split(text: str, found: re.Match[str] | None, offset: int = 0) -> tuple[str, Unit | None]:
    if found is None or not (rest := text[: offset + found.start()].strip()):
        return text, None
    unit = read_unit(found[1] + (f"^{found[2]}" if found.re is not _HAN and found[2] else ""))
    return (text, None) if unit is None else (rest, unit)


@lru_cache(maxsize=4096)
def read_unit(text: str) -> Unit | None:
    """The unit ``text`` names; None if it is no unit: a number word, a hedge, a variable."""
    text = re.sub(r"\bper\b", "/", text.replace("\\", " ")).strip()
    above, slash, below = text.partition("/")
    if slash:
        top, bottom = read_unit(above), read_unit(below)
        if top is None or bottom is None:
            return None
        return Unit(top.factor / bottom.factor, f"{top.dimension}/{bottom.dimension}")
    power = 1
    if raised := re.fullmatch(r"(.*?)\s*\^(\d)", text):
        text, power = raised[1], int(raised[2])
    words = _WORD.findall(text)
    if words and words[0].casefold() in ("square", "sq", "cubic", "平方", "立方"):
        words, power = words[1:], 2 if words[0].casefold()[0] in "s平" else 3
    elif words and words[0].startswith(("平方", "立方")):
        words, power = [words[0][2:]], 2 if words[0][0] == "平" else 3
    if not words or len(words) > 4 or not re.fullmatch(r"[a-zA-Z\u4e00-\u9fff€£°$ .*'’-]+", text):
        return None
    if any(word.casefold() in _NO_UNIT or _NO_HAN_UNIT.search(word) for word in words):
        return None
    known = _known(" ".join(words))
    if known.dimension == "unit":
        return Unit(Fraction(1), "")
    return known if power == 1 else Unit(known.factor**power, f"{known.dimension}{power}")


def _known(name: str) -> Unit:
    """The table's unit, or one of its own for a name that is in no table; plurals are their singular."""
    for form in (name, name.casefold(), name.casefold().removesuffix("s"), name.casefold().removesuffix("es")):
        if form in _UNITS:
            return _UNITS[form]
    return Unit(Fraction(1), name.casefold().removesuffix("s"))


def comparable(one: Unit | None, two: Unit | None) -> bool:
    """Whether values in these units can be equal: the same dimension, or one of them left out."""
    if one is None or two is None or not one.dimension or not two.dimension:
        return True
    return one.dimension == two.dimension


def ratio(one: Unit | None, two: Unit | None) -> Fraction:
    """How many of ``two`` one of ``one`` is; 1 where a unit is left out."""
    if one is None or two is None or not one.dimension or not two.dimension:
        return Fraction(1)
    return one.factor / two.factor

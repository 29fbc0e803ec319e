r"""One spelling for what can be written in many: the text of an answer before it is read.

In: an answer's text as the policy wrote it. Out: the same with ASCII digits and signs, one name a LaTeX
command (``\dfrac``, ``\tfrac`` and ``\frac`` are ``\frac``), every argument in braces and no outer mark-up.
"""

import re
import unicodedata
from collections.abc import Callable

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_CHARACTERS = {
    "−": "-", "–": "-", "π": "\\pi ", "≤": "\\le ", "≥": "\\ge ", "≠": "\\neq ", "≈": "\\approx ", "∞": "\\infty ",
    "×": "\\times ", "·": "\\cdot ", "÷": "/", "±": "\\pm ", "°": "^\\circ ", "∪": "\\cup ", "∩": "\\cap ",
    "θ": "\\theta ",
    "⁄": "/", "∅": "\\emptyset ", "，": ",", "。": ".", "∶": ":", "∛": "\\sqrt[3]", "√": "\\sqrt", "∈": "\\in ",
    "ℝ": "\\mathbb{R}", "⟨": "(", "⟩": ")", "\u200b": "", "\ufeff": "", "\u00a0": " ",
}  # fmt: skip
_Rules = tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]
_SYNONYMS: _Rules = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\[dtc](frac|binom)(?![a-zA-Z])", r"\\\1"),
        (r"\{([^{}]*)\\choose(?![a-zA-Z])([^{}]*)\}", r"\\binom{\1}{\2}"),
        (r"\\(?:left|right|displaystyle|limits|[bB]igg?[lr]?|large|Large)(?![a-zA-Z])", ""),
        (r"\\(?:mathbf|boldsymbol|mathit|mathsf|bm)\s*\{([^{}]*)\}", r"\1"),
        (r"\\text(?:bf|it|rm|sf|tt|normal)?\s*\{([^{}]*)\}", r"\\text{\1}"),
        (r"\\mathrm\s*\{([eid])\}", r"\1"),
        (r"\\(?:mathrm|operatorname|mbox)\s*\{([^{}]*)\}", r"\\text{\1}"),
        (r"\\text\{([^{}a-zA-Z\u4e00-\u9fff]*)\}", r"\1"),
        (r"_\s*\{\s*\\text\{([^{}]*)\}\s*\}", r"_{\1}"),
        (r"\\(?:varnothing|empty)(?![a-zA-Z])", r"\\emptyset"),
        (r"\\[bBvV]matrix|\{[bB]matrix\}|\{smallmatrix\}", "{pmatrix}"),
        (r"[(\[]\s*\\begin\{array\}\s*\{[^{}]*\}(.*?)\\end\{array\}\s*[)\]]", r"\\begin{pmatrix}\1\\end{pmatrix}"),
        (r"(?<=\d)\\[,!;: ]\s*(?=\d{3}(?!\d))", ""),
        (r"(?<!\\)\\[,;: ]|\\(?:q?quad)(?![a-zA-Z])", " "),
        (r"(?<!\\)\\!", ""),
        (r"\\[lr]angle(?![a-zA-Z])", lambda found: "()"["lr".index(found[0][1])]),
        (r"\\([lr])brace(?![a-zA-Z])", lambda found: "\\{" if found[1] == "l" else "\\}"),
        (r"\\([lg])eq(?:slant)?(?![a-zA-Z])", r"\\\1e"),
        (r"\\([lg])t(?![a-zA-Z])", lambda found: "<" if found[1] == "l" else ">"),
        (r"\\ne(?![a-zA-Z])|\\not\s*=", r"\\neq"),
        (r"\\(?:lor|vee)(?![a-zA-Z])", r"\\text{ or }"),
        (r"\\(?:land|wedge)(?![a-zA-Z])", r"\\text{ and }"),
        (r"\\pmod\s*(\d+|[a-z])", r"\\pmod{\1}"),
        (r"\\degrees?(?![a-zA-Z])", r"^\\circ"),
        (r"\^\s*\{\s*\\circ\s*\}|\\text\{\s*\^\\circ\s*\}", r"^\\circ"),
        (r"\\div(?![a-zA-Z])", "/"),
        (r"\\colon(?![a-zA-Z])", ":"),
        (r"\\infin(?:ity)?(?![a-zA-Z])", r"\\infty"),
        (r"\\sqrt\s*(\[\d\])?\s*([0-9a-zA-Z])", r"\\sqrt\1{\2}"),
        (r"\{([^{}]*)\\over(?![a-zA-Z])([^{}]*)\}", r"\\frac{\1}{\2}"),
        (r"(?<=[\w)}])\*\*(?=[\w({-])", "^"),
        (r"\*\*", ""),
    )
)
_PLAIN: _Rules = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r">=", r"\\ge "),
        (r"<=", r"\\le "),
        (r"!=", r"\\neq "),
        (r"\{([,.:])\s*\}", r"\1"),
        (r"(?:(?<![\\a-zA-Z])|\\)sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"(?<![\\a-zA-Z])(ln|log|sin|cos|tan|exp|pi|infty)(?![a-zA-Z])", r"\\\1 "),
        (r"(?<=[\d}])\s*[xX*]\s*(?=10\s*\^)", r"\\times "),
    )
)
_OUTER = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`"))


def normalise(text: str) -> str:
    """``text`` in one spelling; what it says stays, also if that is no number."""
    if not text.isascii():
        text = _ascii(text)
    text = _unwrap(text.replace("\\$", "$").replace("~", " ").strip())
    if text.isdigit():
        return text
    for pattern, replacement in _PLAIN:
        text = pattern.sub(replacement, text)
    if "\\" in text or "*" in text:
        for pattern, replacement in _SYNONYMS:
            text = pattern.sub(replacement, text)
        text = _brace_fractions(text.replace("\\%", "%"))
    return text.strip().rstrip(" \t\r\n.,;:\\")


def squeeze(text: str) -> str:
    """``text`` without blanks, but for those between digits: 4 2 is not 42."""
    return re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", text)


def _ascii(text: str) -> str:
    text = re.sub(r"[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda found: "^{" + found.group().translate(_SUPERSCRIPTS) + "}", text)
    text = "".join(_spelled(character) for character in text)
    return unicodedata.normalize("NFKC", text)


def _spelled(character: str) -> str:
    if character in _CHARACTERS:
        return _CHARACTERS[character]
    top, slash, bottom = unicodedata.normalize("NFKC", character).partition("⁄")
    return f"\\frac{{{top}}}{{{bottom}}}" if slash and top and bottom else character


def _unwrap(text: str) -> str:
    """``text`` without delimiters around the whole of it."""
    for opening, closing in _OUTER:
        inside = text[len(opening) : -len(closing)]
        if text.startswith(opening) and text.endswith(closing) and inside.strip() and opening not in inside:
            return _unwrap(inside.strip())
    return text


def _brace_fractions(text: str) -> str:
    r"""``\frac12`` and ``\frac\pi2`` with both arguments in braces."""
    pieces = re.split(r"(\\frac|\\binom)(?![a-zA-Z])", text)
    if len(pieces) < 3:
        return text
    return pieces[0] + "".join(
        _with_arguments(piece) if number % 2 else piece for number, piece in enumerate(pieces[1:])
    )


def _with_arguments(rest: str) -> str:
    r"""What follows one ``\frac``: its arguments, unless they begin with a brace or hold one more ``\frac``."""
    first = re.match(r"\s*(\{|\\[a-zA-Z]+\s*|[0-9a-zA-Z])", rest)
    if first is None:
        return rest
    if first[1] != "{":
        if rest[first.end() :].startswith("{"):  # a command with an argument of its own
            return rest
        return f"{{{first[1].strip()}}}" + _second(rest[first.end() :])
    depth = 0
    for position, character in enumerate(rest):
        depth += (character == "{") - (character == "}")
        if depth == 0 and character == "}":
            return rest[: position + 1] + _second(rest[position + 1 :])
    return rest


def _second(rest: str) -> str:
    found = re.match(r"\s*(\\[a-zA-Z]+\s*|[0-9a-zA-Z])", rest)
    return f"{{{found[1].strip()}}}{rest[found.end() :]}" if found and found[1] != "\\sqrt" else rest

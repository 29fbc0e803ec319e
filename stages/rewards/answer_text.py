r"""Where the final answer of a response is, and its text in one spelling.

In: the response (the completion after its closed thought). Out: the answer's text, or None. The
order is: last ``<answer>`` tag, last ``\boxed{}``, ``####``, "answer is" and its Chinese forms, and last a
response that holds a single number. Differs from Math-Verify: the tag is known, and several
different boxes are no answer (they would let a policy guess twice).
"""

import re
import unicodedata

from stages.data.chat_format import ANSWER_CLOSE, ANSWER_OPEN, split_completion

_MARKER = re.compile(r"\banswers?\**\s*(?:is|are|:|：|=)[\s*:：]*|\bA:|答案\s*(?:是|为|:|：)[\s:：]*", re.IGNORECASE)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_NUMBER = re.compile(r"(?<![\w.])-?\$?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?(?![\w])")
_TAIL = 20_000
"""Answers are looked for in the last characters only; a longer response is a loop, not a proof."""
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_CHARACTERS = {
    "−": "-", "–": "-", "π": "\\pi ", "≤": "\\le ", "≥": "\\ge ", "≠": "\\neq ", "≈": "\\approx ", "∞": "\\infty ",
    "×": "\\times ", "·": "\\cdot ", "÷": "/", "±": "\\pm ", "°": "^\\circ ", "∪": "\\cup ", "∩": "\\cap ",
    "⁄": "/", "∅": "\\emptyset ", "，": ",", "。": ".", "\u200b": "", "\ufeff": "", "\u00a0": " ",
}  # fmt: skip
_SYNONYMS = (
    (re.compile(r"\\[dtc]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\\(?:left|right|displaystyle|limits|big|Big|bigg|Bigg)(?![a-zA-Z])"), ""),
    (re.compile(r"\\(?:mathbf|boldsymbol|mathit|mathsf)\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\text(?:bf|it|rm|sf|normal)?\s*\{([^{}]*)\}"), r"\\text{\1}"),
    (re.compile(r"\\(?:mathrm|operatorname|mbox)\s*\{([^{}]{2,})\}"), r"\\text{\1}"),
    (re.compile(r"\\varnothing"), r"\\emptyset"),
    (re.compile(r"\\[bvB]matrix|\{[bB]matrix\}"), "{pmatrix}"),
    (re.compile(r"\\[!;:]|\\(?:q?quad)(?![a-zA-Z])"), " "),
    (re.compile(r"√\s*(\d+)"), r"\\sqrt{\1}"),
    (re.compile(r"\*\*"), ""),
)


def find_answer(completion: str) -> str | None:
    """The answer's text in ``completion``, outer mark-up removed; None if there is none, or more than one."""
    response = split_completion(completion).response[-_TAIL:]
    if ANSWER_OPEN in response:
        inside, closed, _ = response.rpartition(ANSWER_OPEN)[2].partition(ANSWER_CLOSE)
        if not closed:
            return None
        return _boxed(inside) if _BOX.search(inside) else inside.strip() or None
    if _BOX.search(response):
        return _boxed(response)
    if "####" in response:
        return response.rpartition("####")[2].strip().split("\n")[0] or None
    if markers := list(_MARKER.finditer(response)):
        return _sentence(response[markers[-1].end() :].strip().partition("\n")[0])
    numbers = {number.group() for number in _NUMBER.finditer(response)}
    return numbers.pop() if len(numbers) == 1 and "$\\" not in response else None


def _sentence(text: str) -> str | None:
    """The answer in "is $4$. I hope it is correct.": the first formula, or the text up to the sentence's end."""
    if text.startswith("$") and not text.startswith("$$") and "$" in text[1:]:
        return text[1:].partition("$")[0].strip() or None
    return re.split(r"[.。](?:\s|$)", text)[0].strip() or None


def _boxed(response: str) -> str | None:
    """The content of the boxes: of one, of equal ones, or of ones joined by "and" or a comma."""
    boxes = []
    for start in list(_BOX.finditer(response))[-10:]:
        content = _balanced(response, start.end())
        if content is None:
            return None
        if content.strip() and "\\phantom" not in content:  # an empty box is a blank to fill in, not an answer
            boxes.append((start.start(), content))
    different = {content.replace(" ", "") for _, content in boxes}
    if len(different) <= 1:
        return None if not boxes else boxes[-1][1].strip() or None
    ends = [start + response[start:].index("{") + len(content) + 2 for start, content in boxes]
    between = [response[end : boxes[number + 1][0]] for number, end in enumerate(ends[:-1])]
    if all(re.fullmatch(r"[\s$]*(,|and|和|、|\\text\{ ?and ?\})[\s$]*", gap) for gap in between):
        return ", ".join(content for _, content in boxes)
    return None


def _balanced(text: str, start: int) -> str | None:
    """``text`` from ``start`` to the brace that closes the one before it; None if none does."""
    depth = 1
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[start:position]
    return None


def normalise(text: str) -> str:
    """``text`` in one spelling: ASCII digits and signs, one name a LaTeX command, no outer mark-up."""
    if not text.isascii():
        text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda found: "^{" + found.group().translate(_SUPERSCRIPTS) + "}", text)
        text = "".join(_vulgar(character) for character in text)
        text = unicodedata.normalize("NFKC", text)
    if "\\" in text or "*" in text or "√" in text:
        for pattern, replacement in _SYNONYMS:
            text = pattern.sub(replacement, text)
    text = text.replace("\\$", "").replace("\\%", "%").replace("~", " ").strip()
    for opening, closing in (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")):
        if text.startswith(opening) and text.endswith(closing) and len(text) > len(opening + closing):
            text = text[len(opening) : -len(closing)].strip()
    while text != (text := re.sub(r"(?:\\\\|\\,|\\ |[.,;:\s])$", "", text)):
        pass
    return text


def _vulgar(character: str) -> str:
    if character in _CHARACTERS:
        return _CHARACTERS[character]
    value = unicodedata.normalize("NFKC", character)
    top, slash, bottom = value.partition("⁄")
    return f"\\frac{{{top}}}{{{bottom}}}" if slash and top and bottom else character

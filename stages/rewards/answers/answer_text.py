r"""Where the final answer of a response is.

In: the response (the completion after its closed thought). Out: the answer's text, or None. The order is:
``<answer>`` tag, ``\boxed{}``, ``####``, an announcement ("the answer is", ``答案是``), and last a response that is
nothing but an answer. Several different answers in the same place are no answer (they would let a policy
guess twice), boxes joined by "and", "or" or a comma are a list. Differs from Math-Verify in both, and in that it
knows the tag.
"""

import re
from itertools import pairwise

from stages.data.chat_format import ANSWER_CLOSE, ANSWER_OPEN, split_completion
from stages.rewards.answers.exact_numbers import read_number
from stages.rewards.answers.spelling import normalise, squeeze

_MARKER = re.compile(
    r"\b(?:answers?|results?|solutions?|roots?|option|choice)\**(?: to [^.\n]{1,80}?)?\s{0,3}"
    r"(?:(?:is|are|would be|must be|should be|equals?)\b[\s*:：]*|=)"
    r"|\banswers?\s?\**\s?[:：][\s*:：]*|\bA:"
    r"|答案\s?(?:应该|应)?(?:是|为|选|等于|:|：)[\s:：]*|结果\s?(?:是|为|等于)\s*|答\s?[:：]\s*|(?<!不)(?:应|故|因此|所以)?选\s?(?=[(（]?[A-Z])"
    r"|(?<![不大小])等于\s*",
    re.IGNORECASE,
)
_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*(?=\{|\d)")
_JOINED = re.compile(r"[\s$]*(?:[,、]|(?:\\text\s?\{)?\s?(?:and|or|和|或)\s?\}?)[\s$]*")
_NUMBER = re.compile(r"(?<![a-zA-Z\d_.])(?<!\d,)-?\$?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?(?![a-zA-Z\d_!])")
_FORMULA = re.compile(
    r"\$\$(.+?)\$\$|\$((?:[^\\$]|\\.)+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]|\*\*(.+?)\*\*|`([^`]+)`", re.DOTALL
)
_SENTENCE_END = re.compile(r"[.。](?:\s|$)|\n")
_UNSURE = re.compile(
    r"\b(?:not|n't|or|either|might|may|maybe|perhaps|could|probably|about|around|least|most|than|between|if|except|wrong|cannot)\b"
    r"|n't\b|[<>?]|!=|不|或|约|可能|至少|至多|大概|左右",
    re.IGNORECASE,
)
_MORE = re.compile(r"\s*(?:,|or\b|and\b|或|和|、|\\pm|\+|-|=)\s*[$\\\d(-]|\s*(?:or|或|and|和)\b", re.IGNORECASE)
_CHINESE_START = re.compile(r"[\u4e00-\u9fff]{1,12}(?=-?\d+(?:\.\d+)?[^\d=]*$)")
_LAST_FORMULA = re.compile(r"(?:\b(?:is|are|equals?)\b|[是为])[\s:：]*\$([^$\n]{1,100})\$[.。]?$")
_REASON = re.compile(r"\b(?:since|because)\b|因为")
_CONNECTIVE = re.compile(r"\bor\b|\band\b|或|和|,")
_ROOT = re.compile(r"[\s$]*[a-zA-Z](?:_\d)?\s?=\s?-?[\d.,\\{}a-z/^+ -]{1,60}[\s$.]*")
_TAIL = 20_000
"""Answers are looked for in the last characters only; a longer response is a loop, not a proof."""
_SHORT = 60
"""An announcement with more text than this is an explanation, and no second answer."""
_BARE = 200


def find_answer(completion: str) -> str | None:
    """The answer's text in ``completion``, outer mark-up removed; None if there is none, or more than one."""
    response = split_completion(completion).response
    if ANSWER_OPEN in response:
        return _tagged(response)
    response = response[-_TAIL:].strip()
    found = _found(response)
    return (_bare(response) if found is None else found) or None


def _tagged(response: str) -> str | None:
    inside = [part.partition(ANSWER_CLOSE) for part in response.split(ANSWER_OPEN)[1:][-10:]]
    if not all(closed for _, closed, _ in inside):
        return None
    answers = [text for text, _, _ in inside]
    if not _same_texts(answers):
        return None
    found = _found(answers[-1][-_TAIL:])
    return (answers[-1].strip() if found is None else found) or None


def _found(text: str) -> str | None:
    """The marked answer in ``text``; empty if it is marked and no single one, None if nothing is marked."""
    if _BOX.search(text):
        return _boxed(text) or ""
    if "####" in text:
        lines = [line.strip().partition("\n")[0] for line in text.split("####")[1:][-10:]]
        return lines[-1] if _same_texts(lines) else ""
    if markers := list(_MARKER.finditer(text))[-10:]:
        ends = [*(marker.start() for marker in markers[1:]), len(text)]
        spans = [text[marker.end() : end].strip(" ") for marker, end in zip(markers, ends, strict=True)]
        spans = [span for span in spans[:-1] if _SENTENCE_END.search(span)] + spans[-1:]  # "Answer: the answer is"
        said = [_sentence(span.strip()) for span in spans]
        short = [each for each in said if 0 < len(each) <= _SHORT] + said[-1:]
        return said[-1] if _same_texts(short) else ""
    return None


def _same_texts(texts: list[str]) -> bool:
    """Whether all state the same, by their text or as numbers."""
    if len(set(texts)) == 1 or max(map(len, texts)) > _BARE:
        return len(set(texts)) == 1
    spelled = {squeeze(normalise(text)) for text in texts}
    return len(spelled) == 1 or (None not in (numbers := {read_number(text) for text in spelled}) and len(numbers) == 1)


def _sentence(text: str) -> str:
    """The answer in "is $4$. I hope it is correct.": the first formula if it stands alone, or the sentence."""
    formula = _FORMULA.match(text)
    if formula and not _MORE.match(text, formula.end()):
        rest = _REASON.split(_SENTENCE_END.split(text[formula.end() :], maxsplit=1)[0])[0]
        if not re.search(r"\d|\$", rest) and not _UNSURE.search(rest):
            return next(group for group in formula.groups() if group).strip()
    sentence = _REASON.split(_SENTENCE_END.split(text, maxsplit=1)[0])[0]
    sentence = sentence.replace("\\$", "").replace("$", "").strip(" (,，（")
    said = _CHINESE_START.match(sentence)  # "together there are 7"
    return sentence[said.end() :] if said and not _UNSURE.search(sentence) else sentence


def _boxed(response: str) -> str | None:
    """The content of the boxes: of one, of equal ones, or of ones joined by "and", "or" or a comma."""
    boxes = []
    for start in list(_BOX.finditer(response))[-10:]:
        span = _content(response, start.end())
        if span is None:
            return None
        content = response[slice(*span)]
        if content.strip() and "\\phantom{" not in content:  # an empty box is a blank to fill in, not an answer
            boxes.append((start.start(), span[1] + 1, content.strip()))
    if not boxes:
        return None
    if _same_texts([content for _, _, content in boxes]):
        return boxes[-1][2]
    gaps = [response[end:start] for (_, end, _), (start, _, _) in pairwise(boxes)]
    return ", ".join(content for _, _, content in boxes) if all(map(_JOINED.fullmatch, gaps)) else None


def _content(text: str, start: int) -> tuple[int, int] | None:
    """From where to where the argument at ``start`` goes: in braces, or one digit; None if its brace is open."""
    if text[start] != "{":
        return start, start + 1
    depth = 0
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return start + 1, position
    return None


def _bare(response: str) -> str | None:
    """A response that is nothing but a formula, roots or a word, or that holds a single number, stated firmly."""
    if len(response) <= _BARE:
        roots = _CONNECTIVE.split(response)
        if all(_ROOT.fullmatch(root) for root in roots) or (
            not _UNSURE.search(response)
            and re.fullmatch(r"[^.\s\u4e00-\u9fff]+|[\u4e00-\u9fff]{1,6}|\$[^$]+\$\.?|[^.\n]+=[^.\n]+", response)
        ):
            return response
    if (last := _LAST_FORMULA.search(response[-_BARE:])) and not _UNSURE.search(response[-_BARE:].replace(last[1], "")):
        return last[1]
    numbers = list(_NUMBER.finditer(response))
    if not numbers or len({number.group() for number in numbers}) > 1 or "$\\" in response:
        return None
    around = response[max(0, numbers[-1].start() - _BARE) : numbers[-1].end() + _BARE]
    return None if _UNSURE.search(around) else numbers[-1].group()

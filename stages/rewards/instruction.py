"""Instructions: does the response satisfy every verifiable constraint?

In: a problem with constraints ``{"type", "value"}`` and a completion. Out: a grade, all or nothing.
Graded is the text after the thought, or the inside of its last ``<answer>`` tag. The types, with the
type of their value, are the keys of ``CHECKS``.
"""

import re
from collections.abc import Callable
from typing import Any, get_args

from stages.data.chat_format import ANSWER_CLOSE, ANSWER_OPEN, split_completion
from stages.data.problems import Language, Problem
from stages.rewards.grade import Grade, Reason, UngradableProblemError
from stages.rewards.ifeval import IFEVAL_CHECKS
from stages.rewards.parts.language import language_share

_SENTENCE_END = re.compile(r"(?<![.!?。！？])[.!?。！？]+(?=\s|$|[^\x00-\x7f])")
_HAN_OR_WORD = re.compile(r"[㐀-䶿一-鿿]|[^\s㐀-䶿一-鿿]+")


def count_words(text: str) -> int:
    """Words between white space; each Chinese character counts as one."""
    return sum(bool(re.search(r"\w", word)) for word in _HAN_OR_WORD.findall(text))


def count_sentences(text: str) -> int:
    """Runs of sentence-ending marks, and one more for a rest without."""
    ends = list(_SENTENCE_END.finditer(text))
    rest = text[ends[-1].end() :] if ends else text
    return len(ends) + bool(rest.strip())


def _comma_list(text: str, count: int) -> bool:
    items = re.split(r"[,，、]", text.strip().rstrip(".。"))
    return len(items) == count and all(item.strip() for item in items)


def _repeats(text: str, value: dict[str, Any]) -> bool:
    """Exactly ``times`` copies of ``text`` and nothing else between them but blanks and punctuation."""
    wanted = value["text"]
    return text.count(wanted) == value["times"] and not re.search(r"\w", text.replace(wanted, " "))


def _is_in_language(text: str, language: Language) -> bool:
    """At least 95 % of the words, and at least one letter."""
    return bool(re.search(r"[^\W\d_]", text)) and language_share(text, language) >= 0.95


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(_is_text(item) for item in value)


def _is_repeat(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"text", "times"}:
        return False
    return _is_text(value["text"]) and _is_count(value["times"])


def _is_true(value: Any) -> bool:
    return value is True


def _is_language(value: Any) -> bool:
    return value in get_args(Language)


Check = tuple[Callable[[Any], bool], Callable[[str, Any], bool]]
CHECKS: dict[str, Check] = {
    "word_count": (_is_count, lambda text, count: count_words(text) == count),
    "starts_with": (_is_text, lambda text, start: text.startswith(start)),
    "ends_with": (_is_text, lambda text, end: text.endswith(end)),
    "contains": (_is_texts, lambda text, words: all(word.casefold() in text.casefold() for word in words)),
    "repeat": (_is_repeat, _repeats),
    "all_caps": (_is_true, lambda text, _: text.isupper()),
    "all_lowercase": (_is_true, lambda text, _: text.islower()),
    "comma_list": (_is_count, _comma_list),
    "no_commas": (_is_true, lambda text, _: not re.search(r"[,，]", text)),
    "sentence_count": (_is_count, lambda text, count: count_sentences(text) == count),
    "language": (_is_language, _is_in_language),
    "equals": (_is_texts, lambda text, allowed: text.casefold() in {item.strip().casefold() for item in allowed}),
    **IFEVAL_CHECKS,
}
"""Constraint type -> (is the value well-formed, does the text satisfy it)."""


def find_text(completion: str) -> str:
    """The graded text, stripped; empty if the thought never closes."""
    response = split_completion(completion).response
    if ANSWER_OPEN in response:
        response = response.rpartition(ANSWER_OPEN)[2].partition(ANSWER_CLOSE)[0]
    return response.strip()


def constraint_fault(problem: Problem) -> str | None:
    """Why the constraints of ``problem`` cannot be checked; None if they can."""
    if not problem.constraints:
        return "an instruction problem without constraints"
    for constraint in problem.constraints:
        kind, value = constraint.get("type"), constraint.get("value")
        if kind not in CHECKS:
            return f"constraint {dict(constraint)!r} is not one of {sorted(CHECKS)} with a value of its form"
        if not CHECKS[kind][0](value):
            return f"constraint {dict(constraint)!r}: {kind} cannot be checked with this value"
    return None


def grade_instruction(problem: Problem, completion: str) -> Grade:
    """Right if the text satisfies all constraints; an empty text satisfies none.

    Raises:
        UngradableProblemError: no constraints, an unknown type, or a value of the wrong form.
    """
    if fault := constraint_fault(problem):
        raise UngradableProblemError(problem.id, fault)
    text = find_text(completion)
    if not text:
        return Grade(score=0.0, reason=Reason.NO_ANSWER)
    return Grade.of(all(CHECKS[constraint["type"]][1](text, constraint["value"]) for constraint in problem.constraints))

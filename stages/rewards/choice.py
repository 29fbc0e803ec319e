"""Multiple choice: is the chosen letter the reference letter?

In: a problem whose reference is one capital letter, and a completion. Out: a grade. One letter,
possibly in brackets or followed by its text, is a choice; two letters are not.
"""

import re

from stages.data.problems import Problem
from stages.rewards.answers.answer_text import find_answer
from stages.rewards.answers.spelling import normalise
from stages.rewards.grade import Grade, Reason, UngradableProblemError

_CHOICE = re.compile(
    r"(?:option|choice|answer|选项|选)?\s*(?:\\text\s*\{)?\s*[(（\[]?\s*([A-Za-z])\s*(?:[)）\]}]+[.:]?(?:\s.*)?|[.:、]\s*.*|)",
    re.IGNORECASE | re.DOTALL,
)
_MAX_CHARACTERS = 400
_OTHER_CHOICE = re.compile(r"\b(?:or|and|not)\b|或|和|不|,\s*[A-Z]\b|\([A-Z]\)", re.IGNORECASE)


def chosen_letter(answer: str) -> str | None:
    """The one letter that ``answer`` (in one spelling) chooses, as a capital; None if none or more than one."""
    chosen = _CHOICE.fullmatch(answer)
    if chosen is None or _OTHER_CHOICE.search(answer[chosen.end(1) :]):
        return None
    return chosen[1].upper()


def grade_choice(problem: Problem, completion: str) -> Grade:
    """Right if the answer is the reference's letter, in either case.

    Raises:
        UngradableProblemError: the reference is not one capital letter.
    """
    if not re.fullmatch(r"[A-Z]", problem.answer):
        raise UngradableProblemError(problem.id, f"the reference {problem.answer!r} is not one capital letter")
    found = find_answer(completion)
    if found is None:
        return Grade(score=0.0, reason=Reason.NO_ANSWER)
    letter = chosen_letter(normalise(found)) if len(found) <= _MAX_CHARACTERS else None
    if letter is None:
        return Grade(score=0.0, reason=Reason.UNREADABLE_ANSWER)
    return Grade.of(letter == problem.answer)

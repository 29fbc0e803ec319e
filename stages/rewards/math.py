"""Math: is the final answer equal to the reference?

DeepSeek-R1, arXiv:2501.12948v1, section 2.2.2.

In: a reference and a completion. Out: a grade at once where exact numbers settle it (integers,
decimals, fractions, lists of roots, words), otherwise a pair for Math-Verify in a killable process.

Differs from Math-Verify alone: answers that name two values for one, deny or approximate, or leave
the arithmetic of the question undone (``3+4-2`` for 5) are refused; units are not lost.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from stages.data.problems import Problem
from stages.rewards.answer_text import find_answer, normalise
from stages.rewards.exact_numbers import Numbers, read_numbers, same_numbers
from stages.rewards.fork_pool import shared_pool
from stages.rewards.grade import Grade, Reason, UngradableProblemError

WALL_SECONDS = 2.0
"""For one pair; 500 times what an honest answer needs."""
_MAX_CHARACTERS = 400
_MAX_NESTING = 30
_HEDGE = re.compile(
    r"\\neq?(?![a-z])|\\approx|\\sim(?![a-z])|\?|\b(?:not|maybe|perhaps|approx\w*|about|either|probably)\b|约|不是|或者?",
    re.IGNORECASE,
)
_OR = re.compile(r"\bor\b", re.IGNORECASE)
_RELATION = re.compile(r"[<>≤≥]|\\[lg](?:eq?|t)(?![a-z])")
_UNDONE = re.compile(r"(?:[\d\s.,()\[\]{}+\-*/=^!:;%]|\\(?:cdot|times|div)(?![a-z]))+")
_UNIT = re.compile(
    r"\s*(?:\\text\{[^{}\d]*\}|\^\{?\\circ\}?C?|(?<=[\d\s}])[a-zA-Z一-鿿]+(?: [a-zA-Z]+){0,2})(?:\^\{?[23]\}?)?$"
)
_WORDS = re.compile(r"[\(\[]?(?:\\text\{\s*)?[\(\[]?([a-zA-Z][a-zA-Z ]*|[一-鿿]+)[\)\]]?\s*\}?[\)\]]?")
_MEMBER = re.compile(r"^[a-zA-Z]\s*\\in(?![a-z])\s*")
_EXACT_TEXT = re.compile(r"\d+_\{?\d+\}?|\d{1,2}:\d\d.*")
_EXPLODES = re.compile(r"\d{4,}\}?\s*!|\d\)\s*!|!\s*!|!\s*\)+\s*!|\^\{?-?\d{5,}|\^\{?\d+\^|\d{200,}|\\input|\\def")

Verdict = Grade | tuple[str, str]


@lru_cache(maxsize=65_536)
def _read_reference(text: str) -> tuple[str, Numbers | None]:
    reference = normalise(text.removeprefix("\\boxed{").removesuffix("}") if text.startswith("\\boxed{") else text)
    numbers = read_numbers(reference)
    if numbers is not None and numbers.brackets == "" and not numbers.items:
        numbers = None
    return reference, numbers


def decide(problem: Problem, completion: str) -> Verdict:
    """The grade of ``completion``, or (reference, answer) if only computer algebra can tell.

    Raises:
        UngradableProblemError: the reference is empty.
    """
    reference, numbers = _read_reference(problem.answer)
    if not reference:
        raise UngradableProblemError(problem.id, f"the reference answer is {problem.answer!r}, which states nothing")
    found = find_answer(completion)
    if found is None:
        return Grade(score=0.0, reason=Reason.NO_ANSWER)
    if len(found) > _MAX_CHARACTERS:
        return Grade(score=0.0, reason=Reason.UNREADABLE_ANSWER)
    return _decide_text(reference, numbers, normalise(found))


def _decide_text(reference: str, numbers: Numbers | None, answer: str) -> Verdict:
    if answer and _squeeze(answer) == _squeeze(reference):
        return Grade.right()
    if numbers is not None:
        return _decide_number(reference, numbers, answer)
    if _EXACT_TEXT.fullmatch(reference):  # 204_5 in base 5, 10:30 a.m.: algebra would drop the part that matters
        return Grade.wrong()
    if (words := _WORDS.fullmatch(reference)) and (len(words[1]) > 1 or "\\text" in reference):
        said = _WORDS.match(answer) if len(words[1]) == 1 else _WORDS.fullmatch(answer)
        return Grade.of(said is not None and said[1].strip().casefold() == words[1].strip().casefold())
    if _HEDGE.search(answer) or (_OR.search(answer) and not _RELATION.search(answer)):
        return Grade(score=0.0, reason=Reason.UNREADABLE_ANSWER)
    answer = _MEMBER.sub("", answer)
    if _is_tuple(reference) != _is_tuple(answer) and "," in reference and "," in answer and "=" not in answer:
        return Grade.wrong()
    return _for_algebra(reference, answer)


def _decide_number(reference: str, numbers: Numbers, answer: str) -> Verdict:
    """The reference is exact numbers; the answer may carry units the reference leaves out."""
    stated = read_numbers(answer)
    if stated is None and not (_HEDGE.search(answer) or _RELATION.search(answer)):
        stated = read_numbers(_UNIT.sub("", answer))
    if stated is not None:
        return Grade.of(same_numbers(numbers, stated))
    if numbers.brackets and _RELATION.search(answer) and not _HEDGE.search(answer):
        return _for_algebra(reference, answer)  # an interval may be answered by an inequality
    if _HEDGE.search(answer) or _RELATION.search(answer) or "\\text" in answer:
        return Grade(score=0.0, reason=Reason.UNREADABLE_ANSWER)
    if _UNDONE.fullmatch(answer) or not ("\\" in answer or "^" in answer or "sqrt" in answer):
        return Grade(score=0.0, reason=Reason.WRONG)
    return _for_algebra(reference, answer)


def _for_algebra(reference: str, answer: str) -> Verdict:
    depth = deepest = 0
    for character in answer:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    if deepest > _MAX_NESTING or _EXPLODES.search(answer) or answer.count("\\") > 100:
        return Grade(score=0.0, reason=Reason.UNREADABLE_ANSWER)
    return reference, answer


def _squeeze(text: str) -> str:
    """``text`` without blanks, but for those between digits: 4 2 is not 42."""
    return re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", text)


def _is_tuple(text: str) -> bool:
    return text[:1] in "([" and text[-1:] in ")]"


def verify_pairs(problems: Sequence[Problem], pairs: Sequence[tuple[str, str]]) -> list[Grade]:
    """Math-Verify's grade of each (reference, answer), in order, each in a process with WALL_SECONDS to live.

    Raises:
        UngradableProblemError: a reference is nothing Math-Verify can read.
        SandboxUnavailableError: no grading process can be started.
    """
    unique = list(dict.fromkeys(pairs))
    requests = [{"reference": reference, "answer": answer} for reference, answer in unique]
    outcomes = dict(zip(unique, shared_pool("math").run_all(requests, WALL_SECONDS), strict=True))
    grades = []
    for problem, pair in zip(problems, pairs, strict=True):
        outcome = outcomes[pair]
        if outcome.payload == b"ungradable":
            raise UngradableProblemError(problem.id, f"Math-Verify cannot read the reference answer {problem.answer!r}")
        if outcome.ended != "exited":
            grades.append(Grade(score=0.0, reason=Reason.TIMEOUT))
        else:
            grades.append(Grade.of(outcome.payload == b"right"))
    return grades

r"""Math: is the final answer equal to the reference?

DeepSeek-R1, arXiv:2501.12948v1, section 2.2.2.

In: a reference and a completion. Out: a grade at once where exact numbers and the answers' structure settle
it, otherwise a pair for computer algebra in a killable process.

Differs from Math-Verify alone: answers that name two values for one, deny or approximate, or leave
the arithmetic of the question undone (``3+4-2`` for 5) are refused; units, tuples and bases are not lost.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from stages.data.problems import Problem
from stages.rewards.answers.answer_leaf import Leaf, read_leaf, same_exactly
from stages.rewards.answers.answer_text import find_answer
from stages.rewards.answers.answer_tree import Node, chain_of, read_answer
from stages.rewards.answers.same_answer import same_answer
from stages.rewards.answers.spelling import normalise, squeeze
from stages.rewards.answers.worded_answers import is_worded, same_words
from stages.rewards.choice import chosen_letter
from stages.rewards.grade import Grade, Reason, UngradableProblemError
from stages.rewards.sandbox.fork_pool import Outcome, shared_pool

WALL_SECONDS = 2.0
"""For one pair; 500 times what an honest answer needs."""
_MAX_CHARACTERS = 400
_MAX_NESTING = 30
_HEDGE = re.compile(
    r"\\neq?(?![a-z])|\\(?:approx|sim|simeq)(?![a-z])|\?|\b(?:not|maybe|perhaps|approx\w*|about|either|probabl[ey]|around|roughly|"
    r"possibly|might|may|could|unless|else|least|most|between|than|ish)\b|约|不|可能|大概|也许|左右|至少|至多|到",
    re.IGNORECASE,
)
_RELATION = re.compile(r"[<>]|\\[lg]e(?![a-z])")
_UNDONE = re.compile(r"(?:[\d\s.,()\[\]{}+\-*/=^!:;%]|\\(?:cdot|times|div)(?![a-z]))+")
_NO_FORMULA = re.compile(
    r":|\\equiv|\\[lc]?dots|\\text|\\input|\\def|[\u4e00-\u9fff]|(?<![\\a-zA-Z])[a-zA-Z]{5,}|^\s*$|[;'\"@#&`]|//|\b__"
    r"|(?<!\d)\.(?!\d)"  # the parser stops there and takes what came before
)
_EXPLODES = re.compile(r"\d{4,}\}?\s*!|\d\)\s*!|!\s*!|!\s*\)+\s*!|\^\{?-?\d{5,}|\^\{?\d+\^|\d{200,}|\\input|\\def")

Verdict = Grade | tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Reference:
    text: str
    tree: Node
    worded: bool
    """An answer in words, equal to the same words only."""
    exact: bool
    """All its parts are exact numbers."""


@lru_cache(maxsize=65_536)
def _read_reference(text: str) -> _Reference:
    if text.startswith("\\boxed{") and text.endswith("}"):
        text = text.removeprefix("\\boxed{").removesuffix("}")
    spelled = normalise(text)
    tree = read_answer(spelled)
    return _Reference(spelled, tree, is_worded(spelled), all(leaf.value is not None for leaf in _leaves(tree)))


def _leaves(node: Node) -> list[Leaf]:
    return [node] if isinstance(node, Leaf) else [leaf for member in node.members for leaf in _leaves(member)]


def decide(problem: Problem, completion: str) -> Verdict:
    """The grade of ``completion``, or (reference, answer) if only computer algebra can tell.

    Raises:
        UngradableProblemError: the reference is empty.
    """
    reference = _read_reference(problem.answer)
    if not reference.text:
        raise UngradableProblemError(problem.id, f"the reference answer is {problem.answer!r}, which states nothing")
    found = find_answer(completion)
    if found is None:
        return Grade(score=0.0, reason=Reason.NO_ANSWER)
    if len(found) > _MAX_CHARACTERS and found.strip() != problem.answer.strip():
        return Grade(score=0.0, reason=Reason.UNREADABLE_ANSWER)
    return _decide_text(reference, normalise(found))


def _decide_text(reference: _Reference, answer: str) -> Verdict:
    if answer and squeeze(answer) == squeeze(reference.text):
        return Grade.right()
    if reference.worded:
        return Grade.of(same_words(reference.text, answer) or _is_letter(reference.text, answer))
    if len(reference.text) == 1 and reference.text.isupper() and chosen_letter(answer) == reference.text:
        return Grade.right()
    if _HEDGE.search(answer) or _EXPLODES.search(answer) or _nesting(answer) > _MAX_NESTING or answer.count("\\") > 100:
        return Grade(score=0.0, reason=Reason.UNREADABLE_ANSWER)
    tree = read_answer(answer)
    if reference.exact and any(_is_undone(leaf) for leaf in _leaves(tree)):
        return Grade.wrong()
    if not same_answer(reference.tree, tree, lambda one, two: _settle(one, two) is not False):
        return _unequal(answer)
    if same_answer(reference.tree, tree, lambda one, two: _settle(one, two) is True):
        return Grade.right()
    return reference.text, answer


def _unequal(answer: str) -> Grade:
    readable = not _NO_FORMULA.search(answer)
    return Grade(score=0.0, reason=Reason.WRONG if readable else Reason.UNREADABLE_ANSWER)


def _is_letter(reference: str, answer: str) -> bool:
    r"""Whether the reference ``\text{(B)}`` is one letter and the answer chooses it."""
    letter = chosen_letter(reference)
    return letter is not None and letter == chosen_letter(answer)


def _is_undone(leaf: Leaf) -> bool:
    last = chain_of(leaf.text)[-1]
    return leaf.value is None and read_leaf(last).value is None and bool(_UNDONE.fullmatch(last))


def _settle(reference: Leaf, answer: Leaf) -> bool | None:
    """Whether two leaves are equal; None if only algebra can tell."""
    same = same_exactly(reference, answer)
    if same is None and bool(_RELATION.search(reference.text)) != bool(_RELATION.search(answer.text)):
        return False
    if same is not None or _NO_FORMULA.search(answer.text) or _NO_FORMULA.search(reference.text):
        return bool(same)
    if reference.value is not None and not ("\\" in answer.text or "^" in answer.text or answer.unit):
        return None if _UNDONE.fullmatch(answer.text) else False  # a sum may be a part of a chain
    return None


def _nesting(text: str) -> int:
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest


def reference_faults(problems: Sequence[Problem]) -> dict[str, str]:
    """Problem id -> why its reference cannot be graded against: for data preparation. No problems, no faults.

    A reference always equals its own text; here computer algebra must be able to read it too, so that an equal
    answer in another spelling does not stop a training later.

    Raises:
        SandboxUnavailableError: no grading process can be started.
    """
    faults, asked = {}, dict[str, list[str]]()
    for problem in problems:
        reference = _read_reference(problem.answer)
        if not reference.text:
            faults[problem.id] = f"the reference answer is {problem.answer!r}, which states nothing"
        elif not reference.worded and not reference.exact:
            asked.setdefault(reference.text, []).append(problem.id)
    answers = {problem.id: problem.answer for problem in problems}
    outcomes = shared_pool("math").run_all([{"reference": text} for text in asked], WALL_SECONDS) if asked else []
    for ids, outcome in zip(asked.values(), outcomes, strict=True):
        if outcome.payload != b"readable":
            faults |= {name: f"computer algebra cannot read the reference {answers[name]!r}" for name in ids}
    return faults


def verify_pairs(problems: Sequence[Problem], pairs: Sequence[tuple[str, str]]) -> list[Grade]:
    """Computer algebra's grade of each (reference, answer), in order, each in a process with WALL_SECONDS to live.

    Raises:
        UngradableProblemError: a reference is nothing computer algebra can read.
        SandboxUnavailableError: no grading process can be started.
    """
    unique = list(dict.fromkeys(pairs))
    requests = [{"reference": reference, "answer": answer} for reference, answer in unique]
    outcomes = dict(zip(unique, shared_pool("math").run_all(requests, WALL_SECONDS), strict=True))
    return [_grade(problem, outcomes[pair]) for problem, pair in zip(problems, pairs, strict=True)]


def equal_answers(pairs: Sequence[tuple[str, str]]) -> list[bool]:
    """Whether two answers state the same, either one taken as the reference; False where neither can be read.

    Raises:
        SandboxUnavailableError: no grading process can be started.
    """
    asked = list(dict.fromkeys(way for one, two in pairs for way in ((one, two), (two, one))))
    verdicts = {(one, two): _decide_text(_read_reference(one), normalise(two)) for one, two in asked}
    undecided = {pair: verdict for pair, verdict in verdicts.items() if not isinstance(verdict, Grade)}
    requests = [{"reference": reference, "answer": answer} for reference, answer in undecided.values()]
    outcomes = shared_pool("math").run_all(requests, WALL_SECONDS) if requests else []
    equal = {pair for pair, verdict in verdicts.items() if verdict == Grade.right()}
    equal |= {pair for pair, outcome in zip(undecided, outcomes, strict=True) if outcome.payload == b"right"}
    return [(one, two) in equal or (two, one) in equal for one, two in pairs]


def _grade(problem: Problem, outcome: Outcome) -> Grade:
    if outcome.payload == b"ungradable":
        raise UngradableProblemError(problem.id, f"computer algebra cannot read the reference {problem.answer!r}")
    if outcome.ended != "exited":
        return Grade(score=0.0, reason=Reason.TIMEOUT)
    return Grade.of(outcome.payload == b"right")

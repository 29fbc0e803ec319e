r"""cons@k: the score of the answer that most completions of a problem agree on.

In: the completions of each problem with their scores. Out: one number in [0, 1] a problem.

The paper votes among 64 completions (cons@64, arXiv:2501.12948v2, appendix D.1) and does not say when two answers are
one. Ours: when the grader's own rules say so: ``1/2``, ``0.5`` and ``\frac{1}{2}`` are one candidate.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from stages.rewards.answers.answer_text import find_answer
from stages.rewards.answers.spelling import normalise
from stages.rewards.choice import chosen_letter
from stages.rewards.math import equal_answers

VOTING_GRADERS = ("math", "countdown", "choice")
"""Graders whose answers are short texts that can be counted; two programs are never the same text."""
_MAX_CHARACTERS = 400


def majority_vote(candidates: Sequence[int | None], scores: Sequence[float]) -> float:
    """The score of the candidate with most votes: of the completion that named it first; 0.0 if nobody votes.

    A tie goes to the candidate named first. None does not vote.

    Raises:
        ValueError: not one score a completion.
    """
    # reversed, so that of one candidate's scores the first stays
    score_of = dict(zip(reversed(candidates), reversed(scores), strict=True))
    votes = Counter(candidate for candidate in candidates if candidate is not None)
    return score_of[votes.most_common(1)[0][0]] if votes else 0.0


def name_candidates(graders: Sequence[str], groups: Sequence[Sequence[str]]) -> list[list[int | None]]:
    """For each completion (full text) the number of its answer among its problem's, from 0; None without an answer.

    ``graders`` has the grader of each group. Equal math answers get one number: an answer joins the first one before it
    that it equals. Other answers are compared by their text without spaces, choices by their letter.

    Raises:
        SandboxUnavailableError: no process for computer algebra can be started.
    """
    answers = [[_answer(grader, text) for text in group] for grader, group in zip(graders, groups, strict=True)]
    distinct = [list(dict.fromkeys(answer for answer in group if answer is not None)) for group in answers]
    pairs = [
        pair
        for grader, different in zip(graders, distinct, strict=True)
        if grader == "math"
        for pair in combinations(different, 2)
    ]
    equal = {pair for pair, same in zip(pairs, equal_answers(pairs), strict=True) if same}
    named = []
    for grader, group, different in zip(graders, answers, distinct, strict=True):
        number_of = _numbers(different, equal if grader == "math" else set())
        named.append([None if answer is None else number_of[answer] for answer in group])
    return named


def _numbers(distinct: Sequence[str], equal: set[tuple[str, str]]) -> dict[str, int]:
    number_of: dict[str, int] = {}
    firsts: list[str] = []
    for answer in distinct:
        joined = next((place for place, first in enumerate(firsts) if (first, answer) in equal), None)
        if joined is None:
            joined = len(firsts)
            firsts.append(answer)
        number_of[answer] = joined
    return number_of


def _answer(grader: str, completion: str) -> str | None:
    """The answer as it is compared; None if there is none, or too long a one."""
    found = find_answer(completion)
    if found is None or len(found) > _MAX_CHARACTERS:
        return None
    if grader == "choice":
        return chosen_letter(normalise(found))
    return (normalise(found) if grader == "math" else "".join(found.split())) or None

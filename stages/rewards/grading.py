"""Accuracy: the grade of a completion, by the problem's own grader.

In: problems and completions (full text, thought included). Out: a grade each, in order. What exact rules
settle is graded here and now; programs and computer algebra go to their pools, all of one call together.
"""

from collections.abc import Callable, Sequence

from stages.data.problems import Problem
from stages.rewards.choice import grade_choice
from stages.rewards.code import grade_code
from stages.rewards.countdown import grade_countdown
from stages.rewards.grade import Grade, Reason, UngradableProblemError
from stages.rewards.instruction import grade_instruction
from stages.rewards.math import decide, verify_pairs
from stages.rewards.refusal import grade_refusal
from stages.rewards.sandbox.programs import WALL_SECONDS

__all__ = ["Grade", "Reason", "UngradableProblemError", "grade", "grade_all"]

_INLINE: dict[str, Callable[[Problem, str], Grade]] = {
    "countdown": grade_countdown,
    "choice": grade_choice,
    "instruction": grade_instruction,
    "refusal": grade_refusal,
    "preference": lambda _problem, _completion: Grade(score=0.0, reason=Reason.NOT_GRADED),
}


def grade(problem: Problem, completion: str) -> Grade:
    """The grade of one completion; for many, ``grade_all`` is faster.

    Raises:
        UngradableProblemError: the problem's reference cannot be graded against.
    """
    return grade_all([problem], [completion])[0]


def grade_all(
    problems: Sequence[Problem],
    completions: Sequence[str],
    *,
    partial_credit: bool = False,
    program_seconds: float = WALL_SECONDS,
) -> list[Grade]:
    """The grade of each completion of the problem at the same place; no completions, no grades.

    With ``partial_credit`` a program's score is the share of tests it passes. One run may take ``program_seconds``.

    Raises:
        UngradableProblemError: a problem's reference cannot be graded against.
        SandboxUnavailableError: code or algebra is to be graded and this machine cannot run the sandbox.
    """
    grades: dict[int, Grade] = {}
    programs: list[int] = []
    algebra: dict[int, tuple[str, str]] = {}
    for place, (problem, completion) in enumerate(zip(problems, completions, strict=True)):
        if problem.grader == "code":
            programs.append(place)
        elif problem.grader == "math":
            verdict = decide(problem, completion)
            if isinstance(verdict, Grade):
                grades[place] = verdict
            else:
                algebra[place] = verdict
        else:
            grades[place] = _INLINE[problem.grader](problem, completion)
    if programs:
        coded = grade_code(
            [problems[place] for place in programs],
            [completions[place] for place in programs],
            partial_credit=partial_credit,
            wall_seconds=program_seconds,
        )
        grades.update(zip(programs, coded, strict=True))
    if algebra:
        verified = verify_pairs([problems[place] for place in algebra], list(algebra.values()))
        grades.update(zip(algebra, verified, strict=True))
    return [grades[place] for place in range(len(completions))]

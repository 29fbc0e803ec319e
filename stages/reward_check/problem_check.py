"""Problems: every reference must score 1.0, every perturbed one 0.0.

In: problems and the rows that are none. Out: checks. References are graded in one call; those that fail are
not perturbed, since nothing is known about what equals them.
"""

import time
from collections.abc import Sequence

from stages.curation.false_accepts import perturb
from stages.curation.tolerant_grading import Verdict, grade_each
from stages.data.chat_format import write_completion
from stages.data.problem_files import BadRow
from stages.data.problems import Problem
from stages.reward_check.checks import Check
from stages.rewards.grading import Grade
from stages.rewards.math import reference_faults


def check_problems(problems: Sequence[Problem], bad_rows: Sequence[BadRow]) -> list[Check]:
    """Checks of bad rows, of references and of perturbed references; of an id that occurs twice only the first row.

    Raises:
        SandboxUnavailableError: there are code problems and this machine cannot run the sandbox.
    """
    checks = [_unusable(row.where.rpartition(":")[0], row.where, row.reason) for row in bad_rows]
    first = {problem.id: problem for problem in reversed(problems)}
    repeated = [problem for problem in problems if problem is not first[problem.id]]
    checks += [_unusable(problem.source, problem.id, "its id occurs earlier") for problem in repeated]
    unique = [problem for problem in problems if problem is first[problem.id]]
    faults = reference_faults([problem for problem in unique if problem.grader == "math"])
    checks += [_unusable(problem.source, problem.id, faults[problem.id]) for problem in unique if problem.id in faults]
    unique = [problem for problem in unique if problem.id not in faults]
    verdicts = grade_each(unique, [write_completion("reference", problem.answer) for problem in unique])
    references = [
        check_of(problem, "reference", 1.0, problem.answer, verdict)
        for problem, verdict in zip(unique, verdicts, strict=True)
    ]
    right = [problem for problem, check in zip(unique, references, strict=True) if check.agrees]
    return checks + references + _perturbed(right)


def _perturbed(problems: Sequence[Problem]) -> list[Check]:
    perturbed = perturb(problems)
    verdicts = grade_each([problem for problem, _ in perturbed], [wrong.completion for _, wrong in perturbed])
    checks = []
    unreadable = set[str]()
    for (problem, wrong), verdict in zip(perturbed, verdicts, strict=True):
        if not isinstance(verdict, Grade):
            if problem.id in unreadable:  # one line a problem is enough
                continue
            unreadable.add(problem.id)
        checks.append(check_of(problem, wrong.kind, 0.0, wrong.completion, verdict))
    return checks


def check_of(problem: Problem, kind: str, expected: float, answer: str, verdict: Verdict, **more: object) -> Check:
    """The check of one verdict; an ungradable reference makes the row unusable."""
    graded = isinstance(verdict, Grade)
    return Check(
        data_set=problem.source,
        where=problem.id,
        kind=kind,
        expected=expected if graded else None,
        score=verdict.score if isinstance(verdict, Grade) else 0.0,
        reason=str(verdict.reason) if isinstance(verdict, Grade) else str(verdict),
        gold=problem.answer,
        answer=answer,
        **more,  # type: ignore[arg-type]
    )


def timed_check(problem: Problem, kind: str, answer: str, limit_seconds: float) -> Check:
    """The check of one wrong answer, graded alone against the clock."""
    started = time.monotonic()
    [verdict] = grade_each([problem], [answer])
    seconds = time.monotonic() - started
    slow = (f"took {seconds:.1f} s, allowed are {limit_seconds:g} s",) if seconds > limit_seconds else ()
    return check_of(problem, kind, 0.0, answer, verdict, seconds=seconds, breaches=slow)


def _unusable(data_set: str, where: str, reason: str) -> Check:
    return Check(data_set=data_set, where=where, kind="row", expected=None, score=0.0, reason=reason)

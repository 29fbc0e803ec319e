"""Grades of rows that may be faulty: an ungradable reference costs its own problem and nothing else.

In: problems and completions. Out: a grade each, or the error that names the problem. ``grade_all`` stops at the
first ungradable reference, which is right in training; where data are checked, every row is to be judged.
"""

from collections.abc import Sequence

from stages.data.problems import Problem
from stages.rewards.grading import Grade, UngradableProblemError, grade_all

Verdict = Grade | UngradableProblemError


def grade_each(problems: Sequence[Problem], completions: Sequence[str]) -> list[Verdict]:
    """The grade of each completion, in order; the error instead for every row of a problem that cannot be graded.

    One call of ``grade_all`` where all can be graded; after an error the named problem's rows are set aside and
    the others are graded in two halves, so that k faults among n rows cost about k log n gradings more. Rows
    belong to the same problem if they have the same id.

    Raises:
        SandboxUnavailableError: this machine cannot run the sandbox.
    """
    verdicts: dict[int, Verdict] = {}
    waiting = [list(range(len(problems)))]
    while waiting:
        places = waiting.pop()
        try:
            grades = grade_all([problems[place] for place in places], [completions[place] for place in places])
        except UngradableProblemError as error:
            verdicts.update({place: error for place in places if problems[place].id == error.problem_id})
            rest = [place for place in places if problems[place].id != error.problem_id]
            waiting += [half for half in (rest[: len(rest) // 2], rest[len(rest) // 2 :]) if half]
        else:
            verdicts.update(zip(places, grades, strict=True))
    return [verdicts[place] for place in range(len(problems))]

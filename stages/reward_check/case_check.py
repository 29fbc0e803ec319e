"""Cases: does the grader say what the case says, and does the machine stay as it was?

In: math or program cases. Out: a check each. Math is graded in one call; programs one by one, since time, files and
processes must be traced to the program that left them.
"""

import time
from collections.abc import Callable, Sequence

from stages.curation.tolerant_grading import Verdict, grade_each
from stages.reward_check.canaries import canaries
from stages.reward_check.case_files import CaseFileError, CodeCase, MathCase
from stages.reward_check.checks import Check
from stages.reward_check.host_conditions import Host, adopt_orphans
from stages.rewards.grading import Grade
from stages.rewards.sandbox.programs import sandbox_level


def check_math_cases(cases: Sequence[MathCase]) -> list[Check]:
    """A check of each case, in order.

    Raises:
        SandboxUnavailableError: this machine cannot run the sandbox.
    """
    verdicts = grade_each([case.problem() for case in cases], [case.response for case in cases])
    return [
        _check("math cases", case.id, case.expected, case, verdict, case.gold, case.response)
        for case, verdict in zip(cases, verdicts, strict=True)
    ]


def check_code_cases(cases: Sequence[CodeCase]) -> list[Check]:
    """A check of each case, in order, with the conditions on the host and the canaries as breaches.

    Raises:
        SandboxUnavailableError: this machine cannot run the sandbox.
        CanaryError: the canaries cannot be set up.
    """
    adopt_orphans()
    with canaries() as touched:
        sandbox_level()  # the servers start here, so that they are no leftovers of the first program
        return [_run(case, touched) for case in cases]


def _run(case: CodeCase, touched: Callable[[], list[str]]) -> Check:
    try:
        problem = case.problem()
    except CaseFileError as error:
        return Check(
            data_set="programs", where=case.name, kind="case", expected=None, score=0.0, reason=str(error),
            policy_dependent=case.policy_dependent,
        )  # fmt: skip
    host = Host(case.post)
    started = time.monotonic()
    [verdict] = grade_each([problem], [case.completion()])
    seconds = time.monotonic() - started
    breaches = (*host.breaches(seconds), *touched())
    return _check("programs", case.name, case.expected_pass, case, verdict, "", case.code, seconds, breaches)


def _check(
    data_set: str,
    where: str,
    expected: bool,
    case: MathCase | CodeCase,
    verdict: Verdict,
    gold: str,
    answer: str,
    seconds: float = 0.0,
    breaches: tuple[str, ...] = (),
) -> Check:
    graded = isinstance(verdict, Grade)
    return Check(
        data_set=data_set,
        where=where,
        kind="case",
        expected=float(expected) if graded else None,
        score=verdict.score if isinstance(verdict, Grade) else 0.0,
        reason=str(verdict.reason) if isinstance(verdict, Grade) else str(verdict),
        gold=gold,
        answer=answer,
        seconds=seconds,
        policy_dependent=case.policy_dependent,
        breaches=breaches,
    )

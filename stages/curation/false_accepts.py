"""Is a wrong answer ever paid? The references of problems, perturbed, through the problems' own graders.

In: problems whose reference scores 1.0. Out: the wrong answers that scored more than 0.0, by problem. Ours: the paper
speaks of reliable rule-based rewards (DeepSeek-R1, arXiv:2501.12948v1, section 2.2.2) and does not say how that
was checked.
"""

from collections.abc import Sequence

from stages.curation.tolerant_grading import grade_each
from stages.curation.wrong_answers import WrongAnswer, wrong_answers
from stages.curation.wrong_programs import wrong_programs
from stages.data.problems import Problem
from stages.rewards.grading import Grade

MUTANTS = 3
"""Changed programs a code problem; each is one more run in the sandbox."""


def perturb(problems: Sequence[Problem]) -> list[tuple[Problem, WrongAnswer]]:
    """Every problem with each of its wrong answers, problems in order; ``code`` problems need tests.

    Raises:
        SandboxUnavailableError: there are code problems and this machine cannot run the sandbox.
    """
    coded = [problem for problem in problems if problem.grader == "code"]
    programs = iter(wrong_programs(coded, MUTANTS))
    return [
        (problem, wrong)
        for problem in problems
        for wrong in (next(programs) if problem.grader == "code" else wrong_answers(problem))
    ]


def false_accepts(problems: Sequence[Problem]) -> dict[str, str]:
    """Problem id -> reason, for every problem with a wrong answer that is paid, or with a reference nobody can read.

    The second comes up here: a reference always equals its own text, so only another answer needs it read.
    """
    perturbed = perturb(problems)
    verdicts = grade_each([problem for problem, _ in perturbed], [wrong.completion for _, wrong in perturbed])
    found: dict[str, str] = {}
    for (problem, wrong), verdict in zip(perturbed, verdicts, strict=True):
        if not isinstance(verdict, Grade):
            found.setdefault(problem.id, str(verdict))
        elif verdict.score > 0:
            found.setdefault(
                problem.id,
                f"a wrong answer ({wrong.kind}) to the reference {problem.answer[:60]!r} is graded {verdict.score}: "
                f"{wrong.completion[-80:]!r}",
            )
    return found

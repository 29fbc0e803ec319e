"""The paper's phenomena: what was measured here, and whether it appeared.

In: the evaluations of one run. Out: one row a phenomenon. The verdict is computed from the paired
difference and its interval, never written by hand: ``yes`` if the whole interval lies on the
paper's side, ``no`` if it lies on the other, ``not clear`` if it holds zero.

Sources: arXiv:2501.12948v2, table 3 (stages) and C.2 (emergence); v1, sections 2.2 and 2.3.
The intervals are not corrected for looking at many phenomena at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stages.evaluation.statistics import BootstrapSettings
from stages.reporting.comparisons import compare
from stages.reporting.evaluations import Evaluation

Expected = Literal["higher", "lower", "not lower"]
Appeared = Literal["yes", "no", "not clear", "not measured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phenomenon:
    """A change between two checkpoints that the paper describes."""

    claim: str
    before: str
    after: str
    benchmark: str
    measure: str
    expected: Expected


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRow:
    """A phenomenon with what was measured."""

    phenomenon: Phenomenon
    measured: str
    appeared: Appeared


def _expect(
    claim: str,
    before: str,
    after: str,
    benchmark: str,
    measure: str,
    expected: Expected,
) -> Phenomenon:
    return Phenomenon(claim=claim, before=before, after=after, benchmark=benchmark, measure=measure, expected=expected)


PHENOMENA = (
    _expect("Reinforcement learning alone teaches reasoning", "base", "R1-Zero", "math", "accuracy", "higher"),
    _expect("What it taught carries to harder problems", "base", "R1-Zero", "competition", "accuracy", "higher"),
    _expect("Responses grow longer where search pays", "base", "R1-Zero", "search", "tokens", "higher"),
    _expect("Backtracking emerges", "base", "R1-Zero", "search", "rejected_tries", "higher"),
    _expect("Self-verification emerges", "base", "R1-Zero", "math", "self_checks", "higher"),
    _expect("Reflective words become more frequent", "base", "R1-Zero", "math", "reflective_words", "higher"),
    _expect("R1-Zero mixes languages, R1 does so less", "R1-Zero", "R1", "all", "language_mixing", "lower"),
    _expect("R1-Zero is weak on general instructions, R1 is better", "R1-Zero", "R1", "general", "accuracy", "higher"),
    _expect("Cold start cleans the format", "R1-Zero", "Dev1", "all", "format", "higher"),
    _expect("Cold start makes thoughts keep to one language", "R1-Zero", "Dev1", "all", "language_mixing", "lower"),
    _expect("Cold start costs reasoning", "R1-Zero", "Dev1", "math", "accuracy", "lower"),
    _expect("Reasoning RL restores it", "Dev1", "Dev2", "math", "accuracy", "higher"),
    _expect("The second fine-tuning lifts general tasks", "Dev2", "Dev3", "general", "accuracy", "higher"),
    _expect("The final RL lifts general tasks", "Dev3", "R1", "general", "accuracy", "higher"),
    _expect("The final RL lifts harmlessness", "Dev3", "R1", "safety", "accuracy", "higher"),
    _expect("The final RL keeps reasoning", "Dev3", "R1", "math", "accuracy", "not lower"),
    _expect("R1 reasons no worse than R1-Zero", "R1-Zero", "R1", "math", "accuracy", "not lower"),
)

STUDENT, DISTILLED = "student-", "R1-Distill-"
"""Labels of a student before and after distillation start so, followed by the student's name."""


def phenomena_of(evaluations: Mapping[str, Evaluation]) -> list[Phenomenon]:
    """The paper's phenomena, and distillation once for each student that was evaluated."""
    students = [label.removeprefix(DISTILLED) for label in evaluations if label.startswith(DISTILLED)]
    return [
        *PHENOMENA,
        *(
            _expect(f"Distillation teaches {name}", STUDENT + name, DISTILLED + name, "math", "accuracy", "higher")
            for name in students
        ),
    ]


def check_claims(evaluations: Mapping[str, Evaluation], bootstrap: BootstrapSettings, seed: int) -> list[ClaimRow]:
    """One row a phenomenon; one whose checkpoints or problems are missing is ``not measured``."""
    return [_check(one, evaluations, bootstrap, seed) for one in phenomena_of(evaluations)]


def _check(
    phenomenon: Phenomenon, evaluations: Mapping[str, Evaluation], bootstrap: BootstrapSettings, seed: int
) -> ClaimRow:
    absent = [label for label in (phenomenon.before, phenomenon.after) if label not in evaluations]
    if absent:
        missing = f"not evaluated: {', '.join(absent)}"
        return ClaimRow(phenomenon=phenomenon, measured=missing, appeared="not measured")
    comparison = compare(
        evaluations[phenomenon.before],
        evaluations[phenomenon.after],
        phenomenon.benchmark,
        phenomenon.measure,
        bootstrap,
        seed,
    )
    if comparison is None:
        missing = f"no held-out problem under {phenomenon.benchmark}"
        return ClaimRow(phenomenon=phenomenon, measured=missing, appeared="not measured")
    appeared = _judge(comparison.difference.verdict, phenomenon.expected)
    return ClaimRow(phenomenon=phenomenon, measured=f"{comparison.measure.name} {comparison.text}", appeared=appeared)


def _judge(verdict: str, expected: str) -> Appeared:
    """``not lower`` asks only that no loss was shown; the other two ask for a shown change."""
    if expected == "not lower":
        return "no" if verdict == "lower" else "yes"
    if verdict == "no difference shown":
        return "not clear"
    return "yes" if verdict == expected else "no"

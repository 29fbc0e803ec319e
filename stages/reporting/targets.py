"""The numbers this project set itself before measuring, and whether they were reached.

In: the scores of the evaluated checkpoints. Out: one row a number. A target looks at the measured
value alone; how sure that value is stands beside it in the stage table.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from stages.reporting.claims import DISTILLED, STUDENT
from stages.reporting.evaluations import Evaluation


class TargetSettings(BaseModel):
    """Numbers to reach; a nested block of the report stage. Shares in [0, 1]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_math_low: float = Field(ge=0, le=1)
    """The base must solve some problems, or RL finds nothing to reinforce."""
    base_math_high: float = Field(ge=0, le=1)
    """The base must not solve many, or RL has nothing to teach."""
    r1_zero_math: float = Field(ge=0, le=1)
    """pass@1 of R1-Zero, at least."""
    growth: float = Field(gt=0)
    """R1-Zero's tokens and rejected tries on search problems as a multiple of the base's, at least."""
    r1_format: float = Field(ge=0, le=1)
    """Correct format of R1, at least."""
    r1_language_mixing: float = Field(ge=0, le=1)
    """Share of R1's thoughts that mix languages, at most."""
    distillation_gain: float = Field(ge=0, le=1)
    """math pass@1 of the distilled student minus that of the same student before, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRow:
    """A number to reach."""

    name: str
    wanted: str
    measured: str
    met: str
    """``yes``, ``no`` or ``not measured``."""


def check_targets(evaluations: Mapping[str, Evaluation], targets: TargetSettings) -> list[TargetRow]:
    """One row a target; one whose numbers are missing is ``not measured``."""

    def score(label: str, benchmark: str, name: str) -> float | None:
        return evaluations[label].benchmarks.get(benchmark, {}).get(name) if label in evaluations else None

    def growth(name: str) -> float | None:
        before, after = score("base", "search", name), score("R1-Zero", "search", name)
        return after / before if before and after is not None else None

    def gain(student: str) -> float | None:
        before, after = score(STUDENT + student, "math", "accuracy"), score(DISTILLED + student, "math", "accuracy")
        return after - before if before is not None and after is not None else None

    students = [label.removeprefix(DISTILLED) for label in evaluations if label.startswith(DISTILLED)]
    base = score("base", "math", "accuracy")
    return [
        _row("base, math", base, low=targets.base_math_low, high=targets.base_math_high),
        _row("R1-Zero, math", score("R1-Zero", "math", "accuracy"), low=targets.r1_zero_math),
        _row("R1-Zero over base, tokens on search problems", growth("mean_tokens"), low=targets.growth, unit="×"),
        _row("R1-Zero over base, rejected tries", growth("rejected_tries"), low=targets.growth, unit="×"),
        _row("R1, correct format", score("R1", "all", "format"), low=targets.r1_format),
        _row("R1, language mixing", score("R1", "all", "language_mixing"), high=targets.r1_language_mixing),
        *(
            _row(f"distillation, {student}, math", gain(student), low=targets.distillation_gain, unit="points")
            for student in students
        ),
    ]


def _row(
    name: str, value: float | None, *, low: float | None = None, high: float | None = None, unit: str = "%"
) -> TargetRow:
    scale = 1 if unit == "×" else 100

    def write(number: float) -> str:
        return f"{scale * number:.2f} {unit}" if unit == "×" else f"{scale * number:.1f} {unit}"

    bounds = [f"at least {write(low)}"] if low is not None else []
    bounds += [f"at most {write(high)}"] if high is not None else []
    if value is None:
        return TargetRow(name=name, wanted=", ".join(bounds), measured="", met="not measured")
    met = (low is None or value >= low) and (high is None or value <= high)
    return TargetRow(name=name, wanted=", ".join(bounds), measured=write(value), met="yes" if met else "no")

"""Problems that teach something: those the base model does not solve already.

In: a file of problems, a checkpoint. Out: the problems of which it gets less than a share right (DeepSeek-R1,
arXiv:2501.12948v2, appendix B.3).
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from pydantic import BaseModel, ConfigDict, Field

from stages.data.problems import Problem, in_portions, iter_problems
from stages.rewards.grading import grade_all
from stages.rollouts.generate import PORTION, generate_portions
from stages.rollouts.sampler import SamplingSettings


class Difficulty(BaseModel):
    """Which problems are too easy to learn from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples: int = Field(gt=0)
    """Completions of the base model a problem."""
    drop_from: float = Field(gt=0, le=1)
    """Drop a problem if this share of them or more is right. The paper's figure is 0.9."""
    sampling: SamplingSettings


def not_too_easy(settings: Difficulty, base: Path, problems: Path, seed: int) -> Iterator[Problem]:
    """The problems of the file ``problems`` of which ``base`` gets less than ``drop_from`` right, in order."""
    portions = in_portions(iter_problems(problems), PORTION)
    for portion, groups in generate_portions(base, portions, settings.sampling, group_size=settings.samples, seed=seed):
        repeated = [problem for problem in portion for _ in range(settings.samples)]
        grades = iter(grade_all(repeated, [completion.text for group in groups for completion in group]))
        for problem in portion:
            if fmean(next(grades).score for _ in range(settings.samples)) < settings.drop_from:
                yield problem

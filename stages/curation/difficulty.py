"""Problems that teach something: those the base model does not solve already.

In: a file of problems, a checkpoint. Out: the problems of which it gets less than a share right (DeepSeek-R1,
arXiv:2501.12948v2, appendix B.3).
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from pydantic import BaseModel, ConfigDict, Field

from stages.data.problems import Problem, in_portions, iter_problems
from stages.rewards.sharded_grading import grade_in_shards
from stages.rollouts.generate import PORTION, generate_portions
from stages.rollouts.sampler import SamplingSettings
from stages.run import StageRun


class Difficulty(BaseModel):
    """Which problems are too easy to learn from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples: int = Field(gt=0)
    """Completions of the base model a problem."""
    drop_from: float = Field(gt=0, le=1)
    """Drop a problem if this share of them or more is right. The paper's figure is 0.9."""
    sampling: SamplingSettings


def not_too_easy(settings: Difficulty, base: Path, problems: Path, stage: StageRun) -> Iterator[Problem]:
    """The problems of the file ``problems`` of which ``base`` gets less than ``drop_from`` right, in order."""
    sampling, portions = settings.sampling, in_portions(iter_problems(problems), PORTION)
    sampled = generate_portions(stage, "pass-rate", base, portions, sampling, group_size=settings.samples)
    for number, (portion, groups) in enumerate(sampled):
        texts = [[completion.text for completion in group] for group in groups]
        grades = iter(grade_in_shards(stage, f"pass-rate-{number}", portion, texts, size=sampling.shard_prompts))
        for problem in portion:
            if fmean(next(grades).score for _ in range(settings.samples)) < settings.drop_from:
                yield problem
